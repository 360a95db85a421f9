"""The guard on both directors, as one apply sets it up: each proves for itself, and the standby takes over with servers
that serve. systemd is stood in for by a script, because the lab has none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backends.lab import network
from dsrwizard.core.model.guarding import guard_files
from tests.lab.harness import VIP, Lab
from tests.lab.keepalived import HOLDS, apply, gone, nothing_to_do, served, two
from tests.lab.test_guard_keepalived import until, weights

pytestmark = pytest.mark.cases
ONE, OTHER = network.directors(2)
GUARDS = "ls /etc/systemd/system | grep dsrwizard-guard; pgrep -f 'dsrwizard guard'"
SYSTEMCTL = """\
#!/bin/bash
# Stands in for systemctl: keepalived, and units of one ExecStart= that are started anew or stopped.
unit=${@: -1}
pid=/run/stand-in-$unit
[ "$1" != daemon-reload ] || exit 0
if [ "$unit" = keepalived ] || [ "$unit" = keepalived.service ]; then
  now=$(cat /run/keepalived.pid 2>/dev/null)
  case $1 in
  is-active) kill -0 "$now" 2>/dev/null ;;
  start) kill -0 "$now" 2>/dev/null || keepalived </dev/null >/dev/null 2>&1 ;;
  reload) kill -HUP "$now" ;;
  stop) kill -TERM "$now" ;;
  esac
  exit
fi
if [ -e "$pid" ]; then
  kill "$(cat "$pid")"; while kill -0 "$(cat "$pid")"; do sleep 0.05; done
  rm "$pid"
fi 2>/dev/null
[ "$1" = restart ] || exit 0
rm -f /run/dsrwizard/guard-shop.json
HOME=/root WATCHDOG_USEC=15000000 setsid $(sed -n 's/^ExecStart=//p' "/etc/systemd/system/$unit") \
  </dev/null >/run/guard.log 2>&1 &
echo $! >"$pid"
for i in $(seq 1200); do [ ! -e /run/dsrwizard/guard-shop.json ] || exit 0; sleep 0.1; done
cat /run/guard.log
exit 1
"""


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        for host in (ONE, OTHER):
            running.put("/usr/local/bin/systemctl", SYSTEMCTL, host=host.name)
            running.run(host.name, "chmod 755 /usr/local/bin/systemctl; mkdir -p /run/systemd/system").ok()
        yield running


def named(lab: Lab) -> set[tuple[str, str]]:
    report = lab.dsrwizard("verify", "/tmp/shop.toml", "--json").json
    return {(one["cause"], one["host"]) for one in report["checks"] if one["outcome"] == "fail"}


def test_one_apply_sets_the_guard_up_on_both_and_the_standby_takes_over_with_the_right_servers(pair: Lab) -> None:
    text = two().replace("[director]\n", "[director]\nguard = true\n", 1) + "\n[director.vrrp]\npreempt_delay = 1\n"
    assert "Run the guard on lb2 as a systemd unit" in apply(pair, text)
    for host in (ONE.name, OTHER.name):
        for path in guard_files("shop"):
            assert pair.exists(host, path), (host, path)
        for server in ("web1", "web2", "web3"):
            until(pair, server, 1, host)
    pair.wait(ONE.name, HOLDS)
    nothing_to_do(pair)
    assert named(pair) == set()

    pair.run("web2", f"ip addr del {VIP}/32 dev lo").ok()
    until(pair, "web2", 0)
    assert pair.run(OTHER.name, HOLDS).status != 0, "it stands by, and knows all the same"
    cable = f"nsenter --target=1 --net ip link set v{OTHER.name}"
    before = weights(pair, OTHER.name)
    files = "cat /run/dsrwizard/health/shop/*"
    said = pair.run(OTHER.name, files).ok().stdout
    pair.run(OTHER.name, f"{cable} down").ok()
    pair.wait(OTHER.name, 'grep -q \'"blind":"[^"]\' /run/dsrwizard/guard-shop.json')
    assert pair.run(OTHER.name, files).ok().stdout == said, "who proves nothing says nothing new"
    pair.run(OTHER.name, f"{cable} up").ok()
    pair.wait(OTHER.name, 'grep -q \'"blind":""\' /run/dsrwizard/guard-shop.json')
    for server, weight in before.items():
        until(pair, server, weight, OTHER.name)

    pair.wait(ONE.name, HOLDS)
    pair.run(ONE.name, "kill $(cat /run/keepalived.pid)").ok()
    pair.wait(OTHER.name, HOLDS)
    assert served(pair) == {"web1", "web3"}
    pair.run("web2", f"ip addr add {VIP}/32 dev lo").ok()
    until(pair, "web2", 1, OTHER.name)
    apply(pair, text)  # it starts again what does not run
    pair.wait(ONE.name, HOLDS)

    pair.run(OTHER.name, "systemctl stop dsrwizard-guard-shop.service").ok()
    assert named(pair) == {("guard-off", OTHER.name)}
    apply(pair, text)
    assert named(pair) == set()

    pair.dsrwizard("teardown", "/tmp/shop.toml", "--yes").ok()
    for host in (ONE.name, OTHER.name):
        gone(pair, host)
        assert pair.run(host, GUARDS).stdout == ""
