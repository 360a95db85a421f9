"""The timeline: what is kept on disk, who writes it, and how it reads together with what the operator did."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.model.errors import DsrError, LookError
from dsrwizard.core.model.snapshot import Happening
from dsrwizard.core.record.timeline import in_order_of_time, of_journal, since, wanted
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.timeline import BEGAN, ENDED, LINE_BYTES, Recorder, Timeline, encoded, events
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World


def down(at: float, host: str = "web2", **others: object) -> Happening:
    values: dict[str, object] = {"vip": "10.0.0.10", "service": "tcp/80", "state": "vip-dead", "before": "up"} | others
    return Happening(at=at, host=host, message="The VIP does not answer.", **values)  # type: ignore[arg-type]


def up(at: float, host: str = "web2") -> Happening:
    return down(at, host, state="up", before="vip-dead")


def changes(timeline: Timeline) -> list[Happening]:
    """What is kept, without the lines about the watches themselves."""
    return [entry for entry in timeline.read() if entry.state != "info"]


@pytest.fixture
def timeline(tmp_path: Path) -> Timeline:
    return Timeline(tmp_path / "events", "shop")


# --- on disk ---------------------------------------------------------------------------------------------------------


def test_what_was_seen_is_read_again_by_another_run(timeline: Timeline) -> None:
    recorder = Recorder(timeline)
    for entry in (down(100.0), up(200.0), down(200.5, "web3")):
        recorder(entry)
    recorder.close()
    assert changes(Timeline(timeline.path.parent, "shop")) == [down(100.0), up(200.0), down(200.5, "web3")]
    assert Timeline(timeline.path.parent, "other").read() == ()


def test_only_the_owner_may_read_it(timeline: Timeline) -> None:
    Recorder(timeline)(down(100.0))
    assert timeline.path.stat().st_mode & 0o777 == 0o600
    assert timeline.path.parent.stat().st_mode & 0o777 == 0o700


def test_silence_can_be_told_from_nobody_watching(timeline: Timeline) -> None:
    now = [100.0]
    recorder = Recorder(timeline, clock=lambda: now[0])
    now[0] = 500.0
    recorder.close()
    recorder.close()
    recorder(down(600.0))
    assert [(entry.at, entry.message) for entry in timeline.read()] == [(100.0, BEGAN), (500.0, ENDED)]


@pytest.mark.parametrize("rubbish", [b"", b"{", b"null\n", b"\xff\xfe\x00\n", b'{"at":1}\n', b"[" * 5000 + b"\n"])
def test_a_torn_or_foreign_line_costs_that_line_alone(timeline: Timeline, rubbish: bytes) -> None:
    Recorder(timeline)(down(100.0))
    with timeline.path.open("ab") as file:
        file.write(rubbish)
    timeline.append(up(200.0))
    assert changes(timeline) == [down(100.0), up(200.0)]


def test_it_is_bounded_and_one_old_file_is_kept(tmp_path: Path) -> None:
    timeline = Timeline(tmp_path, "shop", file_bytes=20_000)
    for number in range(1000):
        timeline.append(down(number, f"web{number}"))
    kept = timeline.read()
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * 20_000
    assert [entry.at for entry in kept] == [float(number) for number in range(1000 - len(kept), 1000)]
    assert len(kept) > 50
    assert {path.name for path in tmp_path.iterdir()} == {"shop.jsonl", "shop.jsonl.1"}


@given(st.text(max_size=9000))
def test_a_line_is_never_longer_than_what_is_written_in_one_piece(message: str) -> None:
    line = encoded(Happening(at=1.0, host="web1", message=message))
    assert len(line) <= LINE_BYTES
    assert line.count(b"\n") == 1
    assert line.endswith(b"\n")


def test_a_disk_that_takes_nothing_is_told_and_the_watch_goes_on(tmp_path: Path) -> None:
    (tmp_path / "events").write_text("a file where the folder should be")
    recorder = Recorder(Timeline(tmp_path / "events", "shop"))
    recorder(down(100.0))
    assert "cannot be written" in recorder.problem
    (tmp_path / "events").unlink()
    recorder(down(200.0))
    assert recorder.problem == ""
    assert changes(Timeline(tmp_path / "events", "shop")) == [down(100.0), down(200.0)], "what waited is not lost"


def test_what_cannot_be_read_is_an_error_that_says_what_to_do(timeline: Timeline) -> None:
    timeline.path.mkdir(parents=True)
    with pytest.raises(LookError, match="XDG_STATE_HOME"):
        timeline.read()


# --- several watches -------------------------------------------------------------------------------------------------


def test_two_watches_write_each_change_once_and_the_second_goes_on_after_the_first(timeline: Timeline) -> None:
    first, second = Recorder(timeline), Recorder(timeline)
    for recorder in (first, second):
        recorder(down(100.0))
    second(up(200.0))  # sees it sooner, but the first one writes
    first(up(200.7))
    first.close()
    second(up(201.0))  # the first wrote that before it ended
    second(down(300.0))
    assert changes(timeline) == [down(100.0), up(200.7), down(300.0)]


def test_a_watch_of_another_process_that_was_killed_holds_nobody_up(timeline: Timeline) -> None:
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom dsrwizard.engine.timeline import Recorder, Timeline\n"
        "recorder = Recorder(Timeline(Path(sys.argv[1]), 'shop'))\nprint('ready', flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(timeline.path.parent)], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        recorder = Recorder(timeline)
        recorder(down(100.0))
        assert changes(timeline) == []
        child.kill()
    recorder(up(200.0))
    assert changes(timeline) == [up(200.0)]


def test_a_fault_that_stands_is_not_written_anew_by_every_watch(timeline: Timeline) -> None:
    for begun in range(5):
        recorder = Recorder(timeline)
        recorder(down(1000.0 * begun, before="" if begun % 2 else "unknown"))
        recorder.close()
    assert changes(timeline) == [down(0.0, before="unknown")]
    recorder = Recorder(timeline)
    recorder(down(9000.0))  # it was up before, though nobody wrote when it came back
    assert changes(timeline)[-1] == down(9000.0)


def test_concurrent_writers_tear_nothing(timeline: Timeline) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom dsrwizard.core.model.snapshot import Happening\n"
        "from dsrwizard.engine.timeline import Timeline\ntimeline = Timeline(Path(sys.argv[1]), 'shop')\n"
        "for at in range(200):\n"
        "    timeline.append(Happening(at=at, host=sys.argv[2], message='x' * 3000, state='up', before='unknown'))"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(timeline.path.parent), name]) for name in ("web1", "web2")
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    lines = timeline.path.read_bytes().splitlines()
    assert len(lines) == 400
    assert all(line.startswith(b'{"at":') and line.endswith(b"}") for line in lines)


# --- reading ---------------------------------------------------------------------------------------------------------


def test_one_host_and_a_time_can_be_asked_for() -> None:
    entries = (down(100.0), down(150.0, "web3"), up(200.0))
    assert wanted(entries, host="web2") == (down(100.0), up(200.0))
    assert wanted(entries, since=150.0) == (down(150.0, "web3"), up(200.0))
    assert wanted(entries, 101.0, "web2") == (up(200.0),)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("15m", 900), ("2h", 7200), (" 3d ", 259200), ("1w", 604800), ("0s", 0)]
)
def test_a_span_counts_back_from_now(text: str, seconds: float) -> None:
    assert since(text, 1_000_000.0) == 1_000_000.0 - seconds


def test_a_date_is_a_moment() -> None:
    assert since("2026-03-01T14:00:00+00:00", 0.0) == 1772373600.0
    assert since("2026-03-01T15:00:00+01:00", 0.0) == 1772373600.0


@pytest.mark.parametrize("text", ["", "yesterday", "2", "h", "-2h", "2026-13-01", "9" * 40 + "h"])
def test_what_is_neither_is_refused(text: str) -> None:
    assert since(text, 0.0) is None


@given(st.text(max_size=30))
def test_no_text_breaks_it(text: str) -> None:
    found = since(text, 1_000_000.0)
    assert found is None or isinstance(found, float)


def test_the_same_change_from_two_sources_is_told_once() -> None:
    assert in_order_of_time([down(100.0), up(200.0)], [down(101.0), up(200.0), down(300.0)]) == (
        down(100.0), up(200.0), down(300.0),
    )  # fmt: skip


# --- what the operator did -------------------------------------------------------------------------------------------


@pytest.fixture
def world() -> World:
    return World.lab()


def test_what_the_operator_did_stands_in_it_with_its_outcome(world: World, tmp_path: Path) -> None:
    engine = engine_of(world, Nobody(), tmp_path / "journal")
    deployment = world.deployment()
    world.servers["web3"].fails["guard"] = "permission denied"
    engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
    del world.servers["web3"].fails["guard"]
    watcher = engine.watch(deployment)
    watcher.set_weight("web1", 0)
    watcher.set_weight("web1", None)
    watcher.close()
    engine.teardown(deployment, engine.teardown_plan(deployment), lambda event: None)
    engine.close()
    told = of_journal(Journals(tmp_path / "journal").of("shop").entries())
    lines = [(entry.host, entry.message) for entry in told]
    assert [entry.at for entry in told] == sorted(entry.at for entry in told)
    assert {entry.state for entry in told} == {"info"}
    applied = {host: text for host, text in lines if text.startswith("apply")}
    assert set(applied) == {"director", "web1", "web2", "web3"}
    assert "permission denied" in applied["web3"]
    assert "changed" in applied["web1"]
    weights = [text for host, text in lines if host == "web1" and text.startswith("Weight")]
    assert [text.split(" for ")[0] for text in weights] == ["Weight 1 → 0", "Weight 0 → 1"]
    assert {host for host, text in lines if text.startswith("teardown")} == {"director", "web1", "web2"}


def test_a_weight_of_many_services_is_one_line(world: World, tmp_path: Path) -> None:
    from dsrwizard.core.model.deployment import Service

    engine = engine_of(world, Nobody(), tmp_path)
    deployment = world.deployment(services=(Service(port=80), Service(protocol="udp", port=7)))
    engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
    watcher = engine.watch(deployment)
    watcher.set_weight("web2", 0)
    engine.close()
    (line,) = (entry for entry in of_journal(Journals(tmp_path).of("shop").entries()) if "Weight" in entry.message)
    assert line.host == "web2"
    assert "2 services" in line.message


def test_a_run_that_was_cut_off_says_so(world: World, tmp_path: Path) -> None:
    journal = Journals(tmp_path).of("shop")
    engine = engine_of(world, Nobody(), tmp_path)
    deployment = world.deployment()
    step = engine.plan(deployment, engine.observe(deployment)).steps[0]
    run = journal.begin("apply", deployment)
    run.intend("local", step)
    (line,) = of_journal(journal.entries())
    assert "started" in line.message
    run.end(False)
    (line,) = of_journal(journal.entries())
    assert "with unknown outcome" in line.message


def test_both_are_read_as_one(world: World, timeline: Timeline, tmp_path: Path) -> None:
    journal = Journals(tmp_path / "journal").of("shop")
    journal.begin("apply", world.deployment()).end(True)
    (done,) = of_journal(journal.entries())
    timeline.append(down(done.at - 5))
    timeline.append(up(done.at + 5))
    assert events(timeline, journal) == (down(done.at - 5), done, up(done.at + 5))
    assert events(timeline, journal, since=done.at, host="director") == (done,)
    journal.path.write_bytes(b"rubbish\n{}\n")
    with pytest.raises(DsrError, match="damaged"):
        events(timeline, journal)


def test_without_a_file_there_are_no_events(timeline: Timeline, tmp_path: Path) -> None:
    assert events(timeline, Journals(tmp_path / "journal").of("shop")) == ()
    assert not os.listdir(tmp_path)  # noqa: PTH208 - reading makes no folder
