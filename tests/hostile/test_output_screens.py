"""No screen sends a terminal what a host, a file or a library said as it is: each one is gone through with a hostile
text in every field of what the engine answers, and what it draws and what reaches the terminal is looked at."""

from __future__ import annotations

import base64
import importlib
import inspect
import pkgutil
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.content import Content
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input, Log, Static, TextArea

import screens
from dsrwizard.app import DsrApp
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.model.connection_table import ConnectionTable
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.foreign import harmless as plain
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.snapshot import DestinationRow, Snapshot
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from screens.live.connections import ConnectionsScreen
from screens.live.farm_screen import FarmScreen
from screens.live.timeline import TimelineScreen
from screens.live.weight import WeightModal
from screens.pane import Desk, Pane
from screens.questions.cause_page import CausePage
from screens.questions.confirm import ConfirmModal
from screens.questions.export import ExportModal, PathModal, RunbookModal
from screens.questions.host_keys import HostKeysModal
from screens.questions.modals import Choice, HelpModal, HostKeyModal, Question, SecretModal
from screens.questions.once import AnsweredOnce, Dialog
from screens.questions.palette import Palette
from screens.runbook import RunbookScreen, SystemQuestion
from screens.runs.mend import MendScreen
from screens.runs.run_screen import RunScreen
from screens.runs.teardown import TeardownScreen
from screens.widgets.check_detail import Detail
from screens.widgets.rows import Rows
from screens.widgets.server_facts import LABEL
from screens.wizard.import_servers import ImportServers
from screens.wizard.reapply import ReapplyScreen
from screens.wizard.server_form import ServerForm
from screens.wizard.several import DraftWeights
from screens.wizard.shell import STEPS, WizardScreen
from tests.fakes.world import World
from tests.hostile.engine import Hostile
from tests.hostile.filling import with_deployment
from tests.hostile.texts import HOSTILE, acts, harmless, unforged
from tests.screens.conftest import state  # noqa: F401 - a state directory of each test's own

pytestmark = pytest.mark.long

DEPLOYMENT = World.lab().deployment()
KNOWN = {
    "host": "web2", "server": "web2", "deployment": "shop", "vip": "10.0.0.10", "service": "tcp/80",
    "Failure.kind": "command", "cause": "vip-missing", "Check.check": "vip.probe",
    "consequence_of": "", "fingerprint": "SHA256:TRUE",
    "since": 1.0, "at": 2.0,
}  # fmt: skip
"""What an answer must name rightly to be shown in its place; the other way each of these is hostile, too."""
TRUE, OTHER = "SHA256:" + "T" * 43, "SHA256:" + "O" * 43
OURS = re.compile(
    r"\x1b\]22;[a-z-]+\x07|\x1b\[[0-9;:]*m|\x1b\[\d+;\d+H|\x1b\[\?(2026|25|1049|1000|1003|1015|1006|2004|1004|2048)[hl]|\x1b\[\d*[KJ]"
)
"""What Textual itself sends: styles, places, modes."""


class Recorder(HeadlessDriver):
    """A terminal that keeps what is sent to it."""

    sent: list[str]

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.__dict__.setdefault("sent", []).append(data)

    def flush(self) -> None:
        pass


class Tour:
    """An app on a terminal that is listened to, and an engine that answers with hostile words."""

    def __init__(self, text: str, known: dict[str, Any]) -> None:
        self.text = text
        self.fill = with_deployment(text, DEPLOYMENT, **known)
        self.engine = Hostile(self.fill, ends=False)
        self.app = self.made()
        self.drawn = ""

    def made(self) -> DsrApp:
        app = DsrApp(lambda asker: self.built(), deployment=DEPLOYMENT, ascii_only=False)
        app.driver_class = Recorder
        return app

    def built(self) -> Any:
        return self.engine

    @property
    def desk(self) -> Desk:
        return next(one for one in self.app.screen_stack if isinstance(one, WizardScreen)).desk

    async def show(self, screen: Screen[Any]) -> None:
        await self.app.push_screen(screen)

    def look(self) -> None:
        """At all that is drawn now."""
        for strip in self.app.screen._compositor.render_strips():
            for segment in strip:
                harmless(segment.text, but="")
                self.drawn += segment.text
        for widget in self.app.screen.query(Static):
            visual = widget.visual
            if isinstance(visual, Content):
                unforged(visual.plain, ("│ ", "| ", " " * LABEL))
        for detail in self.app.screen.query(Detail):
            unforged(detail.text, ("│ ", "| "))
        for rows in self.app.screen.query(Rows):
            assert not [row for row in rows.texts() if "\n" in row]
        for log in self.app.screen.query(Log):
            unforged("\n".join(map(str, log.lines)), ("  ",))

    def sent(self) -> str:
        """All that would have reached the terminal."""
        driver = self.app._driver
        assert isinstance(driver, Recorder)
        return "".join(driver.sent)


Stop = Callable[[Tour, Pilot[Any]], Awaitable[None]]


async def keys(tour: Tour, pilot: Pilot[Any], *pressed: str) -> None:
    """Presses keys and looks after each, when what it began has come back."""
    for key in pressed:
        await pilot.press(key)
        await settled(tour, pilot)
        tour.look()


async def settled(tour: Tour, pilot: Pilot[Any]) -> None:
    await pilot.app.workers.wait_for_complete()
    await pilot.pause()


def step(name: str, *pressed: str) -> Stop:
    async def stop(tour: Tour, pilot: Pilot[Any]) -> None:
        wizard = tour.app.screen
        assert isinstance(wizard, WizardScreen)
        await wizard.go(name)
        await settled(tour, pilot)
        tour.look()
        await keys(tour, pilot, *pressed)

    return stop


def screen(make: Callable[[Tour], Screen[Any]], *pressed: str) -> Stop:
    async def stop(tour: Tour, pilot: Pilot[Any]) -> None:
        await tour.show(make(tour))
        await settled(tour, pilot)
        tour.look()
        await keys(tour, pilot, *pressed)

    return stop


async def review_and_apply(tour: Tour, pilot: Pilot[Any]) -> None:
    await step("review", "down", "down", "enter", "escape", "end", "enter", "escape")(tour, pilot)
    await keys(tour, pilot, "ctrl+n", "escape", "a", "right", "enter", "down", "end", "c", "b", "escape")


async def importing(tour: Tour, pilot: Pilot[Any]) -> None:
    await tour.show(ImportServers())
    for text in (tour.text, f"web9 {tour.text}", f"[web]\n{tour.text} ansible_host={tour.text}", f"Host {tour.text}"):
        tour.app.screen.query_one(TextArea).load_text(text)
        await settled(tour, pilot)
        tour.look()
    path = Path.cwd() / "list"
    path.write_text(tour.text, errors="replace")
    tour.app.screen.query_one("#path", Input).value = str(path)
    tour.app.screen.query_one("#path", Input).focus()
    await keys(tour, pilot, "enter")
    tour.app.screen.query_one("#path", Input).value = f"/{tour.text}"
    tour.app.screen.query_one("#path", Input).focus()
    await keys(tour, pilot, "enter")
    await keys(tour, pilot, "ctrl+n")


async def toasts(tour: Tour, pilot: Pilot[Any]) -> None:
    tour.app.notify(tour.text, title=tour.text)
    tour.app.notify(str(DsrError(tour.text, tour.text, tour.text)), markup=True, severity="error")
    await pilot.pause()
    tour.look()


async def host_keys(tour: Tour, pilot: Pilot[Any]) -> None:
    """A host of any name, two whose names and kinds come from elsewhere, and files: one that has a key, one that has
    another for it, and one of hostile words."""
    questions = (
        tour.fill.of(HostKeyQuestion, untrusted=""),
        tour.fill.of(HostKeyQuestion, untrusted="", host="web1", key_type="ssh-ed25519"),
        tour.fill.of(HostKeyQuestion, untrusted="", host="web2", key_type="ssh-ed25519", fingerprint=TRUE),
    )
    await tour.show(HostKeysModal(questions))
    await settled(tour, pilot)
    tour.look()
    for name, content in (
        ("same", f"256 {TRUE} web2 (ED25519)\n256 {TRUE} {tour.text}"), ("other", f"256 {OTHER} web2 (ED25519)"),
        ("hostile", tour.text), ("none", None),
    ):  # fmt: skip
        path = Path.cwd() / name
        if content is not None:
            path.write_text(content, errors="replace")
        file = tour.app.screen.query_one("#keys-file", Input)
        file.value = str(path)
        file.focus()
        await keys(tour, pilot, "enter")
    tour.app.screen.query_one("#keys-file", Input).value = f"/{tour.text}"
    tour.app.screen.query_one("#keys-file", Input).focus()
    await keys(tour, pilot, "enter", "f2", "ctrl+n")


def rows_of(tour: Tour) -> tuple[DestinationRow, ...]:
    return tour.fill.each(DestinationRow)


def connections_of(tour: Tour, **known: str) -> ConnectionsScreen:
    read = partial(tour.fill.of, ConnectionTable, **known)
    return ConnectionsScreen(tour.text, {}, read, tour.engine.events, tour.engine.events)


STOPS: dict[str, Stop] = {
    "vip": step("vip"),
    "director": step("director", "f5"),
    "servers": step("servers", "T", "down", "e", "escape", "i", "escape", "space", "slash", "w", "enter", "escape"),
    "review and apply": review_and_apply,
    "verify": step("verify", "down", "f", "enter", "escape", "x", "escape"),
    "live": step("live", "down", "down", "enter", "t", "slash", "escape", "i", "escape", "space", "d", "escape"),
    "mend": screen(lambda tour: MendScreen(DEPLOYMENT, tour.built, tour.engine.verify(DEPLOYMENT).checks[1:2]),
                   "pagedown", "ctrl+n", "pagedown", "right", "enter", "down", "c", "r"),
    "mend a row": screen(lambda tour: MendScreen(DEPLOYMENT, tour.built, row=rows_of(tour)[2])),
    "teardown": screen(lambda tour: TeardownScreen(DEPLOYMENT, tour.built), "down", "end", "enter", "escape",
                       "ctrl+n", "escape"),
    "reapply": screen(lambda tour: ReapplyScreen(DEPLOYMENT, tour.built), "down", "enter", "escape"),
    "timeline": screen(lambda tour: TimelineScreen(DEPLOYMENT, tour.built, tour.engine.events()),
                       "home", "enter", "escape", "f"),
    "connections": screen(lambda tour: connections_of(tour, problem=""), "down", "end", "r"),
    "no connections": screen(connections_of, "r"),
    "picture": screen(lambda tour: FarmScreen(DEPLOYMENT, partial(tour.fill.of, Snapshot), "10.0.0.10 tcp/80"),
                      "down", "end", "x", "escape", "right"),
    "runbook": screen(lambda tour: RunbookScreen(tour.desk, "web2"), "escape", "v", "down", "down", "enter", "escape",
                      "c", "e"),
    "host key": screen(lambda tour: HostKeyModal(tour.fill.of(HostKeyQuestion, untrusted="")), "pagedown"),
    "host keys": host_keys,
    "certificate": screen(lambda tour: HostKeyModal(tour.fill.of(HostKeyQuestion)), "pagedown"),
    "secret": screen(lambda tour: SecretModal(tour.fill.of(SecretQuestion))),
    "confirm": screen(lambda tour: ConfirmModal(tour.fill.of(Plan), "10.0.0.10", rows=True, title=tour.text),
                      "pagedown"),
    "weight": screen(lambda tour: WeightModal(rows_of(tour)[:1], rows_of(tour)), "9", "enter"),
    "weights": screen(lambda tour: DraftWeights(tour.text, tour.text), "enter"),
    "question": screen(lambda tour: Question(tour.text, "one line", (Choice("ok", "OK"),), safe="ok")),
    "help": screen(lambda tour: HelpModal(tour.text, Content("words"))),
    "cause": screen(lambda tour: CausePage("vip-missing"), "pagedown"),
    "export": screen(lambda tour: ExportModal(tour.text.replace("\0", "")), "enter"),
    "runbook export": screen(lambda tour: RunbookModal("shop", "web2")),
    "server form": screen(lambda tour: ServerForm(Draft.from_deployment(DEPLOYMENT), 0)),
    "import": importing,
    "toasts": toasts,
}  # fmt: skip
WITHOUT = ("vip", "cause", "server form", "runbook export")
"""Stops at which nothing of what the engine answers stands."""
SEEN_WITHIN = {
    WizardScreen: "the steps", PathModal: "export", SystemQuestion: "runbook", Pane: "the steps",
    RunScreen: "mend, teardown",
    HostKeysModal: "host keys", ConnectionsScreen: "connections",
}  # fmt: skip
NOTHING_SHOWN: dict[type[Screen[Any]], str] = {
    AnsweredOnce: "a base class: those that derive from it are gone through",
    Dialog: "a base class: those that derive from it are gone through",
    Palette: "Textual's own, over commands that have names of dsrwizard's own",
}


@pytest.mark.parametrize("stop", STOPS)
async def test_a_screen_sends_nothing_raw(
    stop: str,
    scale: Callable[[int, int], int],
    tally: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    counted = tally("output: screens")
    for name in list(HOSTILE)[: scale(1, len(HOSTILE))]:
        for known in (KNOWN, {})[: scale(1, 2)]:
            with counted.case(f"{stop}, {name}, {'the deployment’s hosts' if known else 'hosts of any name'}"):
                tour = Tour(HOSTILE[name], known)
                async with tour.app.run_test(headless=False, notifications=True, size=(100, 30)) as pilot:
                    await settled(tour, pilot)
                    await STOPS[stop](tour, pilot)
                    copied = tour.app.clipboard
                reached_the_terminal(tour.sent(), copied)
                seen = one_line(tour.text[:4]) in tour.drawn
                assert seen or stop in WITHOUT or (stop == "runbook" and not known), "else it proves nothing"
    counted.settle()


def reached_the_terminal(sent: str, copied: str) -> None:
    """Nothing but what Textual itself sends, and copies that are harmless to paste."""
    sent = re.sub(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", "", sent)
    harmless(OURS.sub("", sent), but="\r\n")
    harmless(copied, but="\n\t")
    for mark in ("\x1b]0", "\x1b]8", "\x1b]52", "\x1b[8m", "\x1b[31;5;7m", "\x1b[5;5HZZ", "\x1b[2J\x1b[5"):
        assert mark not in sent, ascii(mark)


def test_every_screen_is_gone_through() -> None:
    """One that is new belongs into `STOPS`."""
    found = set()
    for module in pkgutil.walk_packages(screens.__path__, "screens."):
        for made in vars(importlib.import_module(module.name)).values():
            if inspect.isclass(made) and issubclass(made, Screen) and made.__module__ == module.name:
                found.add(made)
    source = inspect.getsource(importlib.import_module(__name__)).partition("STOPS:")[2].partition("SEEN_WITHIN")[0]
    shown = {made for made in found if re.search(rf"\b{made.__name__}\(", source)}
    live = {made for made in found if made.__name__ == "LiveScreen"}  # the step "live" in a screen of its own
    assert found - shown - live - set(SEEN_WITHIN) - set(NOTHING_SHOWN) - {ImportServers} == set()
    assert {one.id for one in STEPS} - {"apply", "review"} <= set(STOPS)


async def test_a_copied_command_is_one_that_was_seen(tmp_path: Path) -> None:
    """OSC 52 carries it as base64, which no terminal would stop: it is looked at before."""
    tour = Tour("plain", KNOWN)
    async with tour.app.run_test(headless=False, size=(100, 30)):
        tour.app.copy_to_clipboard(f"ls\x1b[201~\nreboot\x9b \u202e{HOSTILE['all of it']}")
    found = re.findall(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07", tour.sent())
    copied = base64.b64decode(found[-1]).decode()
    assert copied.startswith("ls\\x1b[201~\nreboot\\x9b ")
    harmless(copied, but="\n\t")


def test_the_oracle_and_the_program_agree() -> None:
    """Two lists of what acts, made apart from each other."""
    for code in [*range(0x3000), *range(0xD7F0, 0xE010), *range(0xFE00, 0x10000), *range(0xE0000, 0xE1010)]:
        if acts(chr(code)):
            assert not plain(chr(code)), hex(code)
