"""Two terminals on one deployment: the second looks on, says who has it, and has its keys once the first is closed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pyte
import pytest

from dsrwizard.app import DsrApp
from dsrwizard.engine.seats import Seats
from dsrwizard.session import Session
from tests.fakes.program import Program
from tests.fakes.world import World
from tests.screens.driving import told

NEXT, END = "\x0e", "\x11"
Make = Callable[..., DsrApp]


def shown(program: Program) -> str:
    screen = pyte.Screen(80, 24)
    pyte.Stream(screen).feed(program.said)
    return "\n".join(" ".join(line.split()) for line in screen.display)


def watching(folder: Path) -> Program:
    return Program(folder, "watch", "FILE", applied=True, terminal=True)


def drains(program: Program) -> bool:
    """Whether `d` asks whether to drain the server under the cursor."""
    program.enter("\x1b[H\x1b[B")
    program.enter("d")
    program.until(lambda: "Drain web1?" in shown(program) or "d Drain" not in shown(program))
    return "Drain web1?" in shown(program)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
def test_the_second_looks_on_until_the_first_is_closed(tmp_path: Path, number: signal.Signals) -> None:
    with watching(tmp_path) as first:
        first.until(lambda: "web3" in shown(first) and "d Drain" in shown(first))
        with watching(tmp_path) as second:
            second.until(lambda: "Read-only: pid" in shown(second))
            assert f"Read-only: pid {first.process.pid}, user" in shown(second)
            assert "has shop open since" in shown(second).replace("\n", " ")
            assert not drains(second)
            first.process.send_signal(number)
            first.status()
            second.until(lambda: "The other terminal has closed shop" in shown(second))
            second.until(lambda: "d Drain" in shown(second) and "Read-only" not in shown(second))
            assert drains(second)


def test_commands_ask_for_no_seat(tmp_path: Path) -> None:
    with watching(tmp_path) as first:
        first.until(lambda: "web3" in shown(first))
        with Program(tmp_path, "apply", "FILE", "--yes", applied=True) as command:
            assert command.status() == 0, command.said


def test_a_second_wizard_says_that_it_keeps_nothing(tmp_path: Path) -> None:
    with Program(tmp_path, terminal=True, lab=True) as first:
        first.until(lambda: "VIP and services" in shown(first))
        first.enter(NEXT)
        first.until(lambda: "Director: this machine" in shown(first))
        with Program(tmp_path, terminal=True, lab=True) as second:
            second.until(lambda: f"pid {first.process.pid}, user" in shown(second))
            second.until(lambda: "not saved" in shown(second))
            second.enter("\r")
            second.enter(END)
            assert second.status() == 0
            assert "another terminal has the wizard open" in second.said
        kept = Session.load(tmp_path / "state" / "dsrwizard")
        assert kept is not None
        assert kept.step == "director", "the first one's"
        first.enter(END)
        assert first.status() == 0


def test_what_was_typed_is_kept_when_the_terminal_is_lost(tmp_path: Path) -> None:
    with Program(tmp_path, terminal=True, lab=True) as program:
        program.until(lambda: "VIP and services" in shown(program))
        program.enter(NEXT + NEXT)
        program.until(lambda: "a Add" in shown(program))
        program.enter("aweb9")
        program.until(lambda: "New real server" in shown(program) and "web9" in shown(program))
        program.hang_up()
        assert program.status() == 0
    kept = Session.load(tmp_path / "state" / "dsrwizard")
    assert kept is not None
    assert kept.form is not None
    assert kept.form.server.name == "web9"


class TestSeats:
    def test_a_folder_that_cannot_be_written_bars_nobody(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert Seats(tmp_path / "file").take("shop") == ""

    def test_a_file_with_rubbish_names_nobody(self, tmp_path: Path) -> None:
        import fcntl

        (tmp_path / "shop.open").write_text("{rubbish")
        (tmp_path / "shop.open").chmod(0o600)
        with (tmp_path / "shop.open").open("r+") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            assert Seats(tmp_path).take("shop") == "Another terminal has shop open."

    def test_a_program_does_not_bar_itself(self, tmp_path: Path) -> None:
        first = Seats(tmp_path)
        assert first.take("shop") == first.take("shop") == Seats(tmp_path).take("shop") == ""


class TestSuspending:
    async def test_ctrl_z_suspends(self, make_app: Make, lab: World, monkeypatch: pytest.MonkeyPatch) -> None:
        suspended: list[bool] = []
        monkeypatch.setattr(DsrApp, "action_suspend_process", lambda app: suspended.append(True))
        monkeypatch.setattr(os, "getsid", lambda pid: os.getpid() + 1)
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+z")
            assert suspended
            suspended.clear()
            monkeypatch.setattr(os, "getsid", lambda pid: os.getpid())
            await pilot.press("ctrl+z")
            assert not suspended
            assert "No shell is behind this terminal" in told(app)
            monkeypatch.setattr(DsrApp, "_at_work", lambda app: "shop is being applied.")
            monkeypatch.setattr(os, "getsid", lambda pid: os.getpid() + 1)
            await pilot.press("ctrl+z")
            assert not suspended
            assert "Not now: shop is being applied." in told(app)
