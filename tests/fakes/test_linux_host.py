"""A host that answers in text says what the same host says as facts, and is changed by the same steps."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import msgspec

from tests.fakes.engine import engine_of
from tests.fakes.filters import chains
from tests.fakes.linux_host import FILTER, text_server
from tests.fakes.operator import Nobody
from tests.fakes.world import World


def test_it_says_in_text_what_the_world_knows() -> None:
    world = World.lab(1, ipv6=True)
    deployment = world.deployment()
    state = world.servers["web1"]
    state.machine.links["lo"].addresses["10.0.0.10"] = 32
    state.filters = chains(nft=FILTER)
    facts = world.open_server(deployment.servers[0], Nobody()).observe(deployment, closely=True)
    read = text_server(world, deployment.servers[0], Nobody()).observe(deployment, closely=True)
    asked = {key: value for key, value in facts.sysctls.items() if key in read.sysctls}
    assert facts.linux is not None
    assert read == msgspec.structs.replace(facts, sysctls=asked)
    assert len(asked) == 13


def test_a_farm_of_text_is_set_up_proved_and_torn_down(tmp_path: Path) -> None:
    worlds = [World.lab(), World.lab()]
    outcomes = []
    for number, world in enumerate(worlds):
        engine = engine_of(world, Nobody(), tmp_path / str(number), open_server=partial(text_server, world))
        deployment = world.deployment()
        result = engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
        assert result.ok
        report = engine.verify(deployment)
        assert report.verdict == "pass"
        assert {one.outcome for one in report.checks if one.check == "probe.client_like"} == {"pass"}
        world.servers["web1"].fails["undo vip 10.0.0.10"] = "RTNETLINK answers: busy" if number else ""
        torn = engine.teardown(deployment, engine.teardown_plan(deployment), lambda event: None)
        outcomes.append({host.host: host.failure for host in torn.hosts})
    first, second = outcomes
    assert set(first.values()) == {None}
    failure = second["web1"]
    assert failure is not None
    assert "RTNETLINK answers: busy" in failure.why
