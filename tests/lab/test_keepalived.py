"""keepalived on two real directors that hand the VIPs over, as apply sets them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.harness import DEPLOYMENT_FILE, SERVERS, Lab
from tests.lab.keepalived import HOLDS, alone, apply, gone, nothing_to_do, served, table, two

pytestmark = [pytest.mark.lab, pytest.mark.long]
FILES = "find /etc/keepalived /etc/systemd/system/keepalived.service.d -mindepth 1 2>/dev/null | sort"


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        yield running


def test_two_directors_take_over_drain_and_leave_nothing(pair: Lab) -> None:
    assert two().splitlines()[1:] == pair.read("director", DEPLOYMENT_FILE).splitlines()[1:]
    apply(pair, two())
    pair.wait("director", HOLDS)
    pair.wait("lb2", f"! {HOLDS}")
    assert table(pair) == table(pair, "lb2")
    assert served(pair) == set(SERVERS)
    nothing_to_do(pair)
    pair.dsrwizard("verify", "/tmp/shop.toml").ok()

    pair.run("director", "kill $(cat /run/keepalived.pid)").ok()
    pair.wait("lb2", HOLDS)
    pair.wait("director", f"! {HOLDS}")
    assert served(pair) == set(SERVERS)
    apply(pair, two())  # it starts again what does not run
    nothing_to_do(pair)

    fewer = two()
    fewer = fewer[: fewer.index('[[servers]]\nname = "web3"')] + fewer[fewer.index("[client]") :]
    apply(pair, fewer)
    for host in ("director", "lb2"):
        assert "10.0.0.103" not in table(pair, host)
    assert pair.run("web3", HOLDS).status != 0, "the server is restored once nothing is sent to it"
    assert served(pair) == {"web1", "web2"}
    nothing_to_do(pair)

    pair.put("/tmp/alone.toml", alone())
    assert "both would hold the VIPs" in pair.dsrwizard("plan", "/tmp/alone.toml").stderr
    pair.dsrwizard("teardown", "/tmp/shop.toml", "--yes").ok()
    for host in ("director", "lb2"):
        gone(pair, host)
        assert pair.run(host, FILES).stdout == ""
    for server in SERVERS:
        assert pair.run(server, HOLDS).status != 0
