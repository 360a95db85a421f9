"""A deployment with keepalived in the lab: its file, applied, and what is there of it."""

from __future__ import annotations

from backends.lab import network
from tests.lab.harness import VIP, Lab

HOLDS = f"ip -o addr show to {VIP} | grep -q ."


def two() -> str:
    return network.deployment("~/.ssh/id_ed25519", 2)


def alone(engine: str = "keepalived") -> str:
    """The same with one director."""
    text = two()
    start, end = text.index("\n[[director.peers]]"), text.index("\n[[vips]]")
    return (text[:start] + text[end:]).replace('engine = "keepalived"', f'engine = "{engine}"')


def table(lab: Lab, host: str = "director") -> str:
    return lab.run(host, "ipvsadm -Sn").ok().stdout


def served(lab: Lab) -> set[str]:
    """Who answers the client; an empty name for a request that nobody answered."""
    return set(lab.requests(VIP))


def apply(lab: Lab, text: str) -> str:
    lab.put("/tmp/shop.toml", text)
    return lab.dsrwizard("apply", "/tmp/shop.toml", "--yes").ok().stdout


def nothing_to_do(lab: Lab) -> None:
    assert "0 steps on 0 hosts." in lab.dsrwizard("plan", "/tmp/shop.toml").ok().stdout


def gone(lab: Lab, host: str) -> None:
    """Nothing of a deployment is left on a director."""
    assert f"{VIP}:" not in table(lab, host)
    assert lab.run(host, HOLDS).status != 0
