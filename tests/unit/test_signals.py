"""What ends the program: ctrl+c, kill, a terminal that is closed; and what does not, because whoever started it had it
ignored. Everything here is a process of its own, whose signals are as the test says."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGHUP, SIGINT, SIGTERM, Signals

import pytest

from tests.fakes.program import Program

ENDING = [SIGINT, SIGTERM, SIGHUP]
STOPPING = "Stopping: running commands finish"


def ids(value: object) -> str | None:
    if isinstance(value, Signals):
        return value.name
    return "+".join(one.name for one in value) or "none" if isinstance(value, list) else None


# --- a run that changes hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDING, ids=ids)
def test_a_signal_finishes_what_runs_and_begins_nothing_new(tmp_path: Path, number: Signals) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", held="director") as program:
        program.is_held()
        program.process.send_signal(number)
        program.expect(STOPPING)
        program.go()
        assert program.status() == 3
        assert "Stopped before everything was done" in program.said
        assert program.done == 1
        assert "kill" not in program.said, "ctrl+c works, so nobody needs to be told"


@pytest.mark.parametrize("number", ENDING, ids=ids)
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: Signals) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", held="director") as program:
        program.is_held()
        program.process.send_signal(number)
        program.expect(STOPPING)
        program.process.send_signal(number)
        assert program.status() == 3
        assert "Interrupted." in program.said


@pytest.mark.parametrize("ignored", [SIGINT, SIGHUP], ids=ids)
def test_a_signal_ignored_from_the_start_changes_nothing(tmp_path: Path, ignored: Signals) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", held="director", ignored=[ignored]) as program:
        program.is_held()
        program.process.send_signal(ignored)
        program.process.send_signal(ignored)
        program.go()
        assert program.status() == 0
        assert STOPPING not in program.said
        assert program.done > 10


@pytest.mark.parametrize("command", ["apply", "teardown"])
def test_a_long_run_says_how_to_stop_it_where_ctrl_c_is_ignored(tmp_path: Path, command: str) -> None:
    applied = command == "teardown"
    with Program(
        tmp_path, command, "FILE", "--yes", "--json", held="director", ignored=[SIGINT], applied=applied
    ) as program:
        program.is_held()
        program.expect(f"kill {program.process.pid}\n")
        program.process.send_signal(SIGTERM)  # what that command sends
        program.expect(STOPPING)
        program.go()
        assert program.status() == 3
        assert json.loads(program.out)["ok"] is False


def test_a_short_run_says_nothing_of_it(tmp_path: Path) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", ignored=[SIGINT], applied=True) as program:
        assert program.status() == 0
        assert program.said == ""


def ended(program: Program) -> dict[str, object]:
    """The last line of the journal."""
    last: dict[str, object] = json.loads((program.folder / "journal" / "shop.jsonl").read_text().splitlines()[-1])
    return last


@pytest.mark.parametrize("number", ENDING, ids=ids)
@pytest.mark.parametrize("command", ["apply", "teardown"])
def test_a_run_that_is_stopped_has_its_end_in_the_journal(tmp_path: Path, command: str, number: Signals) -> None:
    with Program(tmp_path, command, "FILE", "--yes", held="director", applied=command == "teardown") as program:
        program.is_held()
        program.process.send_signal(number)
        program.expect(STOPPING)
        program.go()
        assert program.status() == 3
        assert {"type": "RunEnded", "ok": False}.items() <= ended(program).items()


@pytest.mark.parametrize("number", [SIGINT, SIGTERM], ids=ids)
@pytest.mark.parametrize("command", ["apply", "teardown"])
@pytest.mark.parametrize("held", ["director", "web2"])
def test_a_run_that_a_second_signal_ends_has_its_end_in_the_journal(
    tmp_path: Path, held: str, command: str, number: Signals
) -> None:
    with Program(tmp_path, command, "FILE", "--yes", held=held, applied=command == "teardown") as program:
        program.is_held()
        program.process.send_signal(number)
        program.expect(STOPPING)
        program.process.send_signal(number)
        assert program.status() == 3
        assert {"type": "RunEnded", "ok": False}.items() <= ended(program).items()


def test_output_that_has_no_room_ends_no_run_and_is_told(tmp_path: Path) -> None:
    with Program(tmp_path, "teardown", "FILE", "--yes", "--json", applied=True, output="/dev/full") as program:
        assert program.status() == 3
        assert program.said.startswith("Standard output takes no more: No space left on device.\n")
        assert {"type": "RunEnded", "ok": True}.items() <= ended(program).items()
        assert not program.crash.exists()


def test_without_room_for_the_plan_nothing_is_begun(tmp_path: Path) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", output="/dev/full") as program:
        assert program.status() == 3
        assert "Standard output takes no more" in program.said
        assert program.done == 0


# --- connections are waited for --------------------------------------------------------------------------------------

LEFT = "web1, web2, web3: 6 connections left"


def test_ctrl_c_while_connections_are_waited_for_ends_that_wait_alone(tmp_path: Path) -> None:
    words = ("teardown", "FILE", "--yes", "--drain", "3600")
    with Program(tmp_path, *words, applied=True, opened=2) as program:
        program.until(lambda: LEFT in program.out)
        program.process.send_signal(SIGINT)
        program.expect("Not waiting for the connections that are left. Press again to stop.")
        assert program.status() == 0
        assert program.out.count("2 connections were cut") == 3
        assert STOPPING not in program.said


@pytest.mark.parametrize("number", [SIGTERM, SIGHUP], ids=ids)
def test_other_signals_stop_the_run_while_it_waits(tmp_path: Path, number: Signals) -> None:
    words = ("teardown", "FILE", "--yes", "--drain", "3600")
    with Program(tmp_path, *words, applied=True, opened=2) as program:
        program.until(lambda: LEFT in program.out)
        program.process.send_signal(number)
        program.expect(STOPPING)
        assert program.status() == 3
        assert "cut" not in program.out
        assert {"type": "RunEnded", "ok": False}.items() <= ended(program).items()


def test_a_terminal_closed_while_connections_are_waited_for_stops_the_run(tmp_path: Path) -> None:
    words = ("teardown", "FILE", "--yes", "--drain", "3600")
    with Program(tmp_path, *words, applied=True, opened=2, terminal=True) as program:
        program.expect(LEFT)
        program.hang_up()
        assert program.status() == 3
        assert {"type": "RunEnded", "ok": False}.items() <= ended(program).items()
        assert not program.crash.exists()


def test_no_seconds_of_waiting_cut_at_once(tmp_path: Path) -> None:
    with Program(tmp_path, "teardown", "FILE", "--yes", "--drain", "0", applied=True, opened=1) as program:
        assert program.status() == 0
        assert "left" not in program.out.rpartition("steps on")[2]
        assert program.out.count("1 connection was cut") == 3


# --- what only looks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ENDING, ids=ids)
def test_a_look_is_interrupted(tmp_path: Path, number: Signals) -> None:
    with Program(tmp_path, "status", "FILE", held="dump", applied=True) as program:
        program.is_held()
        program.process.send_signal(number)
        assert program.status() == 3
        assert "Interrupted." in program.said


@pytest.mark.parametrize("ignored", ENDING, ids=ids)
def test_a_look_goes_on_where_the_signal_is_ignored(tmp_path: Path, ignored: Signals) -> None:
    with Program(tmp_path, "status", "FILE", held="dump", applied=True, ignored=[ignored]) as program:
        program.is_held()
        program.process.send_signal(ignored)
        program.go()
        assert program.status() == 0
        assert "web1" in program.out
        assert program.said == ""


# --- what runs until it is stopped -----------------------------------------------------------------------------------

UNTIL_STOPPED = [("watch", "FILE", "--json"), ("metrics", "FILE", "--listen", "127.0.0.1:0")]


def begun(program: Program) -> None:
    program.until(lambda: "snapshot" in program.out or "/metrics" in program.said)


@pytest.mark.parametrize("command", UNTIL_STOPPED, ids=lambda words: words[0])
@pytest.mark.parametrize("number", ENDING, ids=ids)
def test_a_signal_ends_a_watch_well(tmp_path: Path, command: tuple[str, ...], number: Signals) -> None:
    with Program(tmp_path, *command, applied=True) as program:
        begun(program)
        program.process.send_signal(number)
        assert program.status() == 0
        assert "kill" not in program.said


@pytest.mark.parametrize("command", UNTIL_STOPPED, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("ignored", "how", "ends"),
    [
        ([SIGINT], "kill", SIGTERM),
        ([SIGINT, SIGHUP], "kill", SIGTERM),
        ([SIGINT, SIGTERM], "kill -HUP", SIGHUP),
        ([SIGINT, SIGTERM, SIGHUP], "kill -KILL", None),
    ],
    ids=ids,
)
def test_a_watch_says_how_to_stop_it_where_ctrl_c_is_ignored(
    tmp_path: Path, command: tuple[str, ...], ignored: list[Signals], how: str, ends: Signals | None
) -> None:
    with Program(tmp_path, *command, "--interval", "0.2", applied=True, ignored=ignored) as program:
        begun(program)
        program.expect(f"{how} {program.process.pid}\n")
        assert program.said.count("kill") == 1
        for number in ignored:
            program.process.send_signal(number)
        if ends is not None:
            program.process.send_signal(ends)
            assert program.status() == 0
        else:
            assert program.process.poll() is None


@pytest.mark.parametrize("command", UNTIL_STOPPED, ids=lambda words: words[0])
def test_nohup_s_hang_up_ends_no_watch_and_needs_no_word(tmp_path: Path, command: tuple[str, ...]) -> None:
    with Program(tmp_path, *command, applied=True, ignored=[SIGHUP]) as program:
        begun(program)
        program.process.send_signal(SIGHUP)
        program.process.send_signal(SIGINT)  # delivered after it
        assert program.status() == 0
        assert "kill" not in program.said


# --- a question stands -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ignored", [[], [SIGINT], [SIGINT, SIGTERM], ENDING], ids=ids)
def test_ctrl_c_typed_at_a_question_ends_the_run_whatever_is_ignored(tmp_path: Path, ignored: list[Signals]) -> None:
    with Program(tmp_path, "apply", "FILE", password="canary", terminal=True, ignored=ignored) as program:
        program.expect("Password of root on web1: ")
        program.enter("half\x03")
        assert program.status() == 3
        assert "Interrupted." in program.said
        assert "half" not in program.said
        assert program.modes_now() == program.modes


@pytest.mark.parametrize("number", ENDING, ids=ids)
def test_a_signal_while_a_question_stands_leaves_the_terminal_as_it_was(tmp_path: Path, number: Signals) -> None:
    with Program(tmp_path, "plan", "FILE", password="canary", terminal=True) as program:
        program.expect("Password of root on web1: ")
        program.process.send_signal(number)
        assert program.status() == 3
        assert "Interrupted." in program.said
        assert program.modes_now() == program.modes


@pytest.mark.parametrize("ignored", [[], [SIGHUP]], ids=ids)
def test_a_terminal_closed_at_a_question_is_no_crash(tmp_path: Path, ignored: list[Signals]) -> None:
    with Program(tmp_path, "plan", "FILE", password="canary", terminal=True, ignored=ignored) as program:
        program.expect("Password of root on web1: ")
        program.hang_up()
        assert program.status() == 3
        assert not program.crash.exists()


# --- the terminal is closed ------------------------------------------------------------------------------------------


def test_a_terminal_closed_in_a_run_finishes_what_runs_and_begins_nothing_new(tmp_path: Path) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", held="director", terminal=True) as program:
        program.is_held()
        program.hang_up()
        program.has_told()
        program.go()
        assert program.status() == 3
        assert program.done == 1
        assert not program.crash.exists()


def test_a_run_that_ignores_the_hang_up_outlives_its_terminal(tmp_path: Path) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", held="director", terminal=True, ignored=[SIGHUP]) as program:
        program.is_held()
        program.hang_up()
        program.go()
        assert program.status() == 3  # what it came to could not be told
        assert program.done > 10
        assert not program.crash.exists()


@pytest.mark.parametrize("ignored", [[], [SIGHUP]], ids=ids)
def test_a_watch_on_a_terminal_that_is_closed_ends(tmp_path: Path, ignored: list[Signals]) -> None:
    with Program(tmp_path, "watch", "FILE", "--json", applied=True, terminal=True, ignored=ignored) as program:
        program.expect("snapshot")
        program.hang_up()
        assert program.status() == 0
        assert not program.crash.exists()
