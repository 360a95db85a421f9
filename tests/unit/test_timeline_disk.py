"""The timeline's file while a watch runs for days: rotated, removed, emptied, its lock gone, the disk full."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dsrwizard.core.model.snapshot import Happening
from dsrwizard.engine import timeline as module
from dsrwizard.engine.timeline import ANEW, WAITING, Recorder, Timeline
from tests.fakes.clock import Clock
from tests.unit.test_timeline import changes, down, up


class Disk:
    """Takes so many bytes more, as a full one does: first a part of what is written, then nothing."""

    def __init__(self) -> None:
        self.room = 1 << 30

    def write(self, descriptor: int, data: bytes) -> int:
        if not self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = os.write(descriptor, data[: self.room])
        self.room -= written
        return written

    def __getattr__(self, name: str) -> object:
        return getattr(os, name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(module, "os", made)
    return made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    return Timeline(tmp_path / "events", "shop")


@pytest.fixture
def recorder(timeline: Timeline) -> Iterator[Recorder]:
    made = Recorder(timeline)
    yield made
    made.close()


@pytest.mark.parametrize("room", [0, 1, 60])
def test_what_a_full_disk_did_not_take_is_written_once_there_is_room(
    disk: Disk, clock: Clock, timeline: Timeline, recorder: Recorder, room: int
) -> None:
    recorder(down(100.0))
    size = timeline.path.stat().st_size
    disk.room = room
    for entry in (up(200.0), down(300.0)):
        recorder(entry)
    assert os.strerror(errno.ENOSPC) in recorder.problem
    assert "2 lines wait" in recorder.problem
    assert timeline.path.stat().st_size == size, "no half of a line"
    disk.room = 1 << 30
    recorder.again()
    assert recorder.problem, "not tried without a pause"
    clock.ahead += 6
    recorder.again()
    assert recorder.problem == ""
    assert changes(timeline) == [down(100.0), up(200.0), down(300.0)]


def test_a_disk_that_stays_full_fills_no_memory(disk: Disk, timeline: Timeline, recorder: Recorder) -> None:
    disk.room = 0
    for number in range(3 * WAITING):
        recorder(down(number, f"web{number}"))
    disk.room = 1 << 30
    recorder(down(9e9, "web0"))
    kept = changes(timeline)
    assert len(kept) <= WAITING
    assert kept[-1] == down(9e9, "web0"), "the oldest go"


def test_a_watch_that_ends_writes_what_waits(disk: Disk, timeline: Timeline, recorder: Recorder) -> None:
    disk.room = 0
    recorder(down(100.0))
    disk.room = 1 << 30
    recorder.close()
    assert changes(timeline) == [down(100.0)]


@pytest.mark.parametrize("how", ["removed", "emptied", "moved"])
def test_a_file_that_others_take_away_begins_anew_and_says_so(
    timeline: Timeline, recorder: Recorder, tmp_path: Path, how: str
) -> None:
    recorder(down(100.0))
    match how:
        case "removed":
            timeline.path.unlink()
        case "emptied":
            os.truncate(timeline.path, 0)
        case _:
            timeline.path.rename(tmp_path / "elsewhere")
    recorder(up(200.0))
    recorder(down(300.0))
    assert [entry.message for entry in timeline.read() if entry.state == "info"] == [ANEW]
    assert changes(timeline) == [up(200.0), down(300.0)]


def test_rotated_to_the_old_name_nothing_is_lost(timeline: Timeline, recorder: Recorder) -> None:
    recorder(down(100.0))
    timeline.path.rename(timeline.old)
    recorder(up(200.0))
    assert changes(timeline) == [down(100.0), up(200.0)]


def test_a_whole_folder_that_is_removed_comes_back(timeline: Timeline, recorder: Recorder) -> None:
    recorder(down(100.0))
    for path in timeline.path.parent.iterdir():
        path.unlink()
    timeline.path.parent.rmdir()
    recorder(up(200.0))
    assert recorder.problem == ""
    assert changes(timeline) == [up(200.0)]


def test_a_lock_that_was_removed_lets_only_one_write(timeline: Timeline, recorder: Recorder) -> None:
    recorder(down(100.0))
    timeline.lock.unlink()
    second = Recorder(timeline)
    recorder(up(200.0))
    second(up(200.1))
    recorder(down(300.0))
    second(down(300.1))
    second.close()
    written = [line for line in timeline.path.read_text().splitlines() if '"state":"info"' not in line]
    assert len(written) == 3, "each change once"


def test_the_files_stay_bounded_whatever_is_told(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path, "shop", file_bytes=20_000)
    recorder = Recorder(timeline)
    for number in range(2000):
        recorder(down(20.0 * number) if number % 2 else up(20.0 * number))
        recorder.note(Happening(at=20.0 * number + 1, host="director", message="The clock was set forward by 1 h."))
    recorder.close()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 20_000
    assert ANEW not in [entry.message for entry in timeline.read()], "it rotates by itself, and that is no loss"
