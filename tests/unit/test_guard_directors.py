"""What a guard says of the directors: two that hold a VIP, one that nobody looks after; and what it leaves alone."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from backends.director.keepalived import runs
from dsrwizard.core.guard.both_directors import NAME_IT
from dsrwizard.core.model.deployment import PeerDirector
from dsrwizard.core.model.errors import LookError
from dsrwizard.engine.directors_seen import OVER
from dsrwizard.engine.guard import Guard
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.timeline import Timeline, note
from tests.unit.test_guard_health import VIP, Kept

LB2 = "10.0.0.3"
MAC, STRANGER = "02:00:0a:00:00:03", "02:00:0a:00:00:99"


class Paired(Kept):
    """The same with another director, which stands by."""

    def __init__(self, folder: Path) -> None:
        self.recorded: list[str] = []
        super().__init__(folder)
        self.world.strangers[LB2] = [MAC]

    def fresh(self) -> Guard:
        director = msgspec.structs.replace(self.deployment.director, peers=(PeerDirector(name="lb2", address=LB2),))
        self.deployment = msgspec.structs.replace(self.deployment, director=director)
        return Guard(
            self.deployment, director=self.world.director(), wire=self.world.wire(),
            journal=Journals(self.folder / "journal").of("shop"), folder=self.run, tell=self.told.append,
            record=self.recorded.append, clock=lambda: self.now,
        )  # fmt: skip

    def looks(self, count: int = 2) -> tuple[str, ...]:
        """So many looks aside, three seconds one after the other, and the alarms of the round after them."""
        for _ in range(count):
            self.now += 3
            self.guard.look_aside()
        self.now += 0.5
        return self.guard.round().alarms


@pytest.fixture
def pair(tmp_path: Path) -> Paired:
    made = Paired(tmp_path)
    made.rounds(4)
    return made


def test_two_that_hold_a_vip_are_an_alarm_once_and_nobody_is_drained(pair: Paired) -> None:
    assert pair.looks() == ()
    before = {path: path.read_bytes() for path in pair.run.rglob("*") if path.is_file() and "health" in str(path)}
    assert before
    pair.world.strangers[VIP] = [MAC]
    assert pair.looks(1) == (), "directors that change over hold it both for a moment"
    (alarm,) = pair.looks(5)
    assert alarm.startswith(f"lb2 answers for {VIP}, which this director holds too")
    assert alarm.endswith(NAME_IT)
    assert {path: path.read_bytes() for path in before} == before
    assert pair.recorded == [f"Alarm: {alarm}"]
    assert pair.told.count(f"Alarm: {alarm}") == 1

    del pair.world.strangers[VIP]
    assert pair.looks(1) == ()
    assert pair.recorded == [f"Alarm: {alarm}", OVER]


def test_a_standby_and_a_stranger_are_no_split(pair: Paired) -> None:
    pair.world.strangers[VIP] = [STRANGER]
    assert all("answers ARP" in line for line in pair.looks())
    pair.world.strangers[VIP] = [MAC]
    pair.world.machine.links["eth0"].addresses.pop(VIP)
    assert pair.looks() == ()
    pair.world.keepalived_runs = False
    assert pair.looks() == (), "who holds nothing leaves no orphan; verify says that it could not take over"
    assert pair.recorded == []


def test_a_vip_without_keepalived_is_an_alarm_with_who_has_taken_it(pair: Paired) -> None:
    pair.world.keepalived_runs = False
    (alarm,) = pair.looks()
    assert alarm.startswith(f"This director holds {VIP} and keepalived does not run here")
    assert "lb2" not in alarm
    pair.world.strangers[VIP] = [MAC]
    assert pair.looks() == (alarm, f"lb2 has taken {VIP} too: clients reach either.")
    del pair.world.strangers[VIP]
    assert pair.looks(1) == (alarm,), "an answer that is missed ends no other alarm"
    pair.world.keepalived_runs = None
    assert pair.looks() == (), "not known is no alarm"


def test_what_cannot_be_asked_neither_raises_nor_ends_an_alarm(pair: Paired, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.world.keepalived_runs = False
    assert pair.looks()

    def no(*_: object) -> object:
        raise LookError("The interfaces cannot be read.", "", "")

    with monkeypatch.context() as cut:
        cut.setattr("tests.fakes.director.FakeDirector.holdings", no)
        assert pair.looks()
    assert OVER not in pair.recorded


def test_what_comes_and_goes_is_told_at_a_low_rate(pair: Paired) -> None:
    for _ in range(10):  # a minute: on for 6 s, off for 3
        pair.world.keepalived_runs = False
        pair.looks()
        pair.world.keepalived_runs = True
        pair.looks(1)
    seconds = 10 * (2 * 3 + 0.5 + 3 + 0.5)
    assert len(pair.recorded) == 2 * (1 + int(seconds // 61))


def test_an_alarm_stands_in_the_timeline(pair: Paired, tmp_path: Path) -> None:
    timeline = Timeline(tmp_path / "events", "shop")
    note(timeline, "guard: Alarm: two of them")
    (line,) = timeline.read()
    assert (line.host, line.state, line.message) == ("director", "info", "guard: Alarm: two of them")
    (tmp_path / "blocked").write_text("")
    note(Timeline(tmp_path / "blocked", "shop"), "nobody reads this")


def process(root: Path, number: int, name: str, namespace: str = "", state: str = "S") -> None:
    folder = root / "proc" / str(number)
    (folder / "ns").mkdir(parents=True)
    (folder / "stat").write_text(f"{number} ({name}) {state} 1 1 1 0")
    if namespace:
        (folder / "ns/net").symlink_to(namespace)


def test_a_keepalived_of_another_namespace_is_not_ours_and_one_that_hides_it_may_be(tmp_path: Path) -> None:
    assert runs(tmp_path) is None
    (tmp_path / "proc/self/ns").mkdir(parents=True)
    (tmp_path / "proc/self/ns/net").symlink_to("net:[1]")
    process(tmp_path, 7, "nginx", "net:[1]")
    process(tmp_path, 8, "keepalived", "net:[2]")
    process(tmp_path, 10, "keepalived", state="Z")  # killed, and its parent has not heard of it yet
    assert runs(tmp_path) is False
    process(tmp_path, 9, "keepalived")
    assert runs(tmp_path) is True
