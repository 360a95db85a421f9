"""keepalived on two real directors that hand the VIPs over, as apply sets them up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.harness import DEPLOYMENT_FILE, SERVERS, VIP, Lab

pytestmark = pytest.mark.lab
HOLDS = f"ip -o addr show to {VIP} | grep -q ."
FILES = "find /etc/keepalived /etc/systemd/system/keepalived.service.d -mindepth 1 2>/dev/null | sort"


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        yield running


def two() -> str:
    from backends.lab import network

    return network.deployment("~/.ssh/id_ed25519", 2)


def alone(engine: str = "keepalived") -> str:
    """The same with one director."""
    text = two()
    start, end = text.index("\n[[director.peers]]"), text.index("\n[[vips]]")
    return (text[:start] + text[end:]).replace('engine = "keepalived"', f'engine = "{engine}"')


def table(lab: Lab, host: str = "director") -> str:
    return lab.run(host, "ipvsadm -Sn").ok().stdout


def served(lab: Lab, times: int = 12) -> set[str]:
    return {lab.request(VIP) for _ in range(times)}


def apply(lab: Lab, text: str) -> str:
    lab.put("/tmp/shop.toml", text)
    return lab.dsrwizard("apply", "/tmp/shop.toml", "--yes").ok().stdout


def nothing_to_do(lab: Lab) -> None:
    assert "0 steps on 0 hosts." in lab.dsrwizard("plan", "/tmp/shop.toml").ok().stdout


def gone(lab: Lab, host: str) -> None:
    """Nothing of a deployment is left on a director."""
    assert f"{VIP}:" not in table(lab, host)
    assert lab.run(host, HOLDS).status != 0


def test_two_directors_take_over_drain_and_leave_nothing(pair: Lab) -> None:
    assert two().splitlines()[1:] == pair.read("director", DEPLOYMENT_FILE).splitlines()[1:]
    apply(pair, two())
    pair.wait("director", HOLDS)
    assert pair.run("lb2", HOLDS).status != 0
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
