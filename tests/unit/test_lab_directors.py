"""The lab's deployments with several directors, and what they need on this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from backends.lab import network, prerequisites
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.plan.engines import refuse_unbuilt


@pytest.mark.parametrize("count", range(1, network.MOST_DIRECTORS + 1))
@pytest.mark.parametrize("text", [network.deployment, network.rich_deployment])
def test_the_file_suits_the_lab_and_can_be_applied(text, count: int) -> None:  # type: ignore[no-untyped-def]
    director = loads(text("~/.ssh/id_ed25519", count)).director
    hosts = network.directors(count)[1:] if count == network.PAIR else ()
    assert [(peer.name, peer.address) for peer in director.peers] == [(host.name, host.address) for host in hosts]
    refuse_unbuilt(loads(text("~/.ssh/id_ed25519", count)))
    assert (director.engine == "keepalived", director.bgp is not None) == (count == 2, count > 2)
    if director.bgp is not None:
        assert director.bgp.neighbour == network.ROUTER.address
        router = (Path(network.__file__).parent / "inside/router.bird.conf").read_text()
        assert f"local as {director.bgp.neighbour_as};" in router
        assert f"as {director.bgp.local_as};" in router


def test_no_address_of_a_lab_is_used_twice() -> None:
    hosts = network.hosts(network.USUAL, network.MOST_DIRECTORS)
    used = [host.address for host in hosts] + [host.address6 for host in hosts] + list(network.SERVICES)
    assert len(set(used)) == len(used)


@pytest.mark.parametrize(("count", "package"), [(2, "keepalived"), (3, "bird2"), (8, "bird2")])
def test_what_is_missing_for_several_directors_is_named(
    count: int, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = prerequisites._system_tool
    monkeypatch.setattr(
        prerequisites, "_system_tool", lambda name: None if name in ("keepalived", "bird", "birdc") else there(name)
    )
    prerequisites.find()
    with pytest.raises(LookError) as caught:
        prerequisites.find(count)
    assert caught.value.lines()[-1] == f"Install what is missing: sudo apt-get install {package}"
