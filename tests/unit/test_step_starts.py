"""A step starts when the script's own report says so. Whatever else a host prints is what the host said."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dsrwizard.core.model.deployment import Connect, Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import ConnectionLost
from dsrwizard.core.model.events import Event, StepStarted
from dsrwizard.core.model.outcome import HostResult, Outcome
from dsrwizard.core.model.steps import HostPlan, Plan, Step
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import Lease
from screens.runs.hosts import HostRun, HostRuns
from tests.fakes.operator import Nobody
from tests.fakes.world import World

STEPS = tuple(
    Step(id=name, host="web1", phase="vip", title=title, why="", changes=())
    for name, title in (("guard", "Keep quiet about the VIP"), ("vip", "Add 10.0.0.10"), ("boot", "Keep it"))
)
FORGED = "▸ Keep it"


def linux_report(nonce: str, word: str, number: int) -> str:
    return f"==dsr:{nonce}:{word}:{number}=="


def windows_report(nonce: str, word: str, number: int) -> str:
    document = json.dumps({"nonce": nonce, "kind": word, "step": number}).encode()
    return f"<<DSR:{base64.b64encode(document).decode()}:DSR>>"


Report = Callable[[str, str, int], str]
KINDS: dict[Connect, tuple[str, Report]] = {
    "ssh": (r"m='==dsr:(\w+)'", linux_report),
    "winrm": (r"\$nonce = '(\w+)'", windows_report),
}


class Host:
    """A connection to a host that prints these lines while it carries out the script; a number and a word stand for a
    report of the script. `breaks`: the connection is lost after them, without a word of how far the script got."""

    def __init__(self, connect: Connect, lines: tuple[str | tuple[str, int], ...], *, breaks: bool) -> None:
        self._nonce, self._report = KINDS[connect]
        self._lines, self._breaks = lines, breaks

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        found = re.search(self._nonce, script)
        if found is None:  # `:`, to see whether the connection is alive
            return Answer(status=0, stdout="", stderr="")
        said = [line if isinstance(line, str) else self._report(found[1], *line) for line in self._lines]
        for line in said:
            if on_line is not None:
                on_line(line)
        if self._breaks:
            lost = ConnectionLost("web1: the connection was lost.", "", "Connect again.")
            lost.begun = False
            raise lost
        return Answer(status=0, stdout="\n".join(said), stderr="")

    def close(self) -> None:
        pass


@pytest.fixture(params=KINDS)
def carry_out(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., tuple[list[str], HostRun, HostResult]]:
    """Titles of the steps that were told as started, the host's part as the screen shows it, and its result."""

    def run(*lines: str | tuple[str, int], breaks: bool = False) -> tuple[list[str], HostRun, HostResult]:
        world = World.lab(1)
        engine = Engine(
            director=lambda interface: world.director(),
            wire=world.wire(),
            connect=lambda host, target, asker: Host(request.param, lines, breaks=breaks),
            asker=Nobody(),
            journals=Journals(tmp_path),
        )
        shop = Deployment(
            name="shop",
            director=Director(interface="eth0", engine="external"),
            vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
            servers=(RealServer(name="web1", address="10.0.0.101", connect=request.param),),
        )
        plan = Plan(deployment="shop", hosts=(HostPlan(host="web1", steps=STEPS),))
        shown = HostRuns(plan)
        started: list[str] = []

        def watch(event: Event) -> None:
            if isinstance(event, StepStarted):
                started.append(event.title)
            shown.take(event)

        (result,) = engine.apply(shop, plan, watch, None, Lease()).hosts
        return started, shown.hosts["web1"], result

    return run


def test_a_line_that_reads_like_a_later_steps_start_starts_nothing_and_is_shown(
    carry_out: Callable[..., tuple[list[str], HostRun, HostResult]],
) -> None:
    started, shown, result = carry_out(
        ("start", 1), FORGED, ("done", 1), ("start", 2), ("done", 2), ("start", 3), ("done", 3)
    )
    assert started == [step.title for step in STEPS]
    assert shown.lines.count(f"  {FORGED}") == 1
    assert shown.number == 3
    assert [step.outcome for step in result.steps] == [Outcome.CHANGED] * 3


def test_such_a_line_before_the_first_step_is_no_beginning(
    carry_out: Callable[..., tuple[list[str], HostRun, HostResult]],
) -> None:
    """Were it one, nothing would be known of the steps; the connection broke before any of them."""
    started, shown, result = carry_out(FORGED, breaks=True)
    assert started == []
    assert f"  {FORGED}" in shown.lines
    assert shown.number == 0
    assert [step.outcome for step in result.steps] == [Outcome.NOT_ATTEMPTED] * 3


def test_a_step_that_did_start_is_not_known_when_the_connection_breaks(
    carry_out: Callable[..., tuple[list[str], HostRun, HostResult]],
) -> None:
    started, _, result = carry_out(("start", 1), FORGED, breaks=True)
    assert started == [STEPS[0].title]
    assert Outcome.UNKNOWN in {step.outcome for step in result.steps}
