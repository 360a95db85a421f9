"""A monkey at keyboard and mouse: every binding of every screen twice in one piece, a click on all that it shows, and
bursts of any keys and clicks, over the real engine and a farm in memory. Nothing may end the program but its own
keys to quit, and nothing may change a host before a dialog was answered with the answer that acts.

Run: python -m tests.monkey [--keys 20000] [--seed 1] [--size 80x24]     (make monkey)
"""

from __future__ import annotations

import argparse
import asyncio
import errno
import os
import random
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from textual import events
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import OptionList

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.watch.poller import Poller
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import Question
from screens.questions.once import OneAnswer
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import Rows
from screens.wizard.stepper import Stepper
from tests.fakes.engine import engine_of, factory
from tests.fakes.operator import Nobody
from tests.fakes.world import World

SIZES = ((80, 24), (120, 40), (200, 50), (60, 15))
COMMON = (
    "enter", "enter", "enter", "escape", "escape", "tab", "shift+tab", "up", "down", "left", "right", "right", "space",
    "backspace", "delete", "home", "end", "pageup", "pagedown", "ctrl+n", "ctrl+n", "f1", "ctrl+p", "slash",
)  # fmt: skip
CLICK = "click at "
LETTERS = "abcdefghijklmnopqrstuvwxyzADMUWX0123456789"
NAMED = {".": "full_stop", "/": "slash", "-": "minus", "+": "plus"}
PLACES: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
    ("live", True, ()),
    ("live, find", True, ("slash",)),
    ("live, drain", True, ("home", "down", "d")),
    ("live, weight", True, ("home", "down", "w")),
    ("live, several", True, ("home", "down", "space", "down", "space", "d")),
    ("live, details", True, ("home", "down", "enter")),
    ("live, cause", True, ("home", "down", "down", "x")),
    ("live, export", True, ("e",)),
    ("live, mend", True, ("home", "down", "down", "m")),
    ("live, log", True, ("l",)),
    ("live, picture", True, ("p",)),
    ("live, clients", True, ("home", "down", "c")),
    ("live, re-apply", True, ("a",)),
    ("live, teardown", True, ("X",)),
    ("live, teardown, sure", True, ("X", "ctrl+n")),
    ("live, help", True, ("f1",)),
    ("live, commands", True, ("ctrl+p",)),
    ("live, edit", True, ("ctrl+e",)),
    ("VIP", False, ()),
    ("director", False, ("ctrl+n",)),
    ("servers", False, ("ctrl+n",) * 2),
    ("servers, form", False, (*("ctrl+n",) * 2, "a")),
    ("servers, import", False, (*("ctrl+n",) * 2, "i")),
    ("review", False, ("ctrl+n",) * 3),
    ("apply, sure", False, ("ctrl+n",) * 4),
    ("apply", False, (*("ctrl+n",) * 4, "right", "enter")),
    ("verify", False, (*("ctrl+n",) * 4, "right", "enter", "ctrl+n")),
)
"""Name, whether it is the live view's, and the keys that lead there."""
APP_KEYS = 150
"""Keys until the program is begun anew somewhere else."""


@dataclass
class Tally:
    """What came of it."""

    keys: int = 0
    acts: Counter[str] = field(default_factory=Counter)
    unasked: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    screens: Counter[str] = field(default_factory=Counter)
    bindings: set[tuple[str, str]] = field(default_factory=set)
    quits: int = 0


class Witness:
    """Sees dialogs answered and hosts changed. An act uses up one answer that allows it."""

    def __init__(self, tally: Tally) -> None:
        self.tally = tally
        self.allowed = 0
        self.given = 0
        self.applied = False
        self.weighed: dict[str, object] = {}
        """Servers that the last answer gave a weight: one answer is for all that were chosen together."""

    def answered(self, screen: Screen[Any], result: object) -> None:
        acts = (isinstance(screen, ConfirmModal) and result is True) or (
            isinstance(screen, Question) and result not in (None, screen._safe)
        )
        self.allowed += acts
        self.given += acts
        if acts:
            self.weighed.clear()

    def weight(self, server: str, weight: object) -> None:
        """A server was given a weight."""
        if self.weighed and server not in self.weighed and weight in self.weighed.values():
            self.tally.acts["weight"] += 1
        else:
            self.act("weight", of=f" of {server}, to {weight}")
        self.weighed[server] = weight

    def act(self, name: str, *, again: bool = False, of: str = "") -> None:
        self.tally.acts[name] += 1
        if again and self.applied:
            return
        if self.allowed < 1:
            self.tally.unasked.append(f"{name}{of}")
        self.allowed = max(self.allowed - 1, 0)
        self.applied = self.applied or name == "apply"


@contextmanager
def watched(witness: Witness) -> Iterator[None]:
    """The witness sees everything; nothing of this process reaches a network."""
    kept: list[tuple[Any, str, Any]] = []

    def put(owner: Any, name: str, new: Callable[..., Any]) -> None:
        kept.append((owner, name, getattr(owner, name)))
        setattr(owner, name, new)

    real: dict[str, Any] = {
        name: getattr(Engine, name) for name in ("apply", "roll_back", "mend", "teardown", "forget")
    }

    def acting(name: str) -> Callable[..., Any]:
        def call(self: Engine, *args: Any, **kwargs: Any) -> Any:
            again = name == "apply" and (len(args) > 4 or "lease" in kwargs)
            empty = any(getattr(one, "empty", False) for one in args)
            if not empty:
                witness.act(name, again=again)
            return real[name](self, *args, **kwargs)

        return call

    for name in real:
        put(Engine, name, acting(name))
    weigh = Poller.set_weight

    def weighed(self: Poller, server: str, weight: int | None, *args: Any) -> None:
        witness.weight(server, weight)
        weigh(self, server, weight, *args)

    put(Poller, "set_weight", weighed)
    leave = OneAnswer.dismiss

    def dismissed(self: Any, result: Any = None) -> Any:
        if not self._answered and self.is_active:
            witness.answered(self, result)
        return leave(self, result)

    put(OneAnswer, "dismiss", dismissed)
    connect = socket.socket.connect

    def nowhere(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6):
            raise OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
        connect(self, address)

    def nameless(*args: Any, **kwargs: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    put(socket.socket, "connect", nowhere)
    put(socket, "getaddrinfo", nameless)
    try:
        yield
    finally:
        for owner, name, old in reversed(kept):
            setattr(owner, name, old)


def farm(folder: Path, live: bool) -> tuple[World, DsrApp]:
    """A farm of its own, in force with two faults where the live view begins."""
    world = World.lab()
    journals = folder / "journals"
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    (folder / "lab.toml").write_text(dumps(world.deployment()))
    os.environ["DSRWIZARD_LAB"] = str(folder / "lab.toml")
    if not live:
        return world, DsrApp(factory(world, journals), ascii_only=False)
    engine, deployment = engine_of(world, Nobody(), journals), world.deployment()
    engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
    del world.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
    world.servers["web3"].reachable = False
    return world, DsrApp(factory(world, journals), deployment=deployment, start="live", ascii_only=False)


def typed(key: str) -> events.Key:
    return events.Key(NAMED.get(key, key), key if len(key) == 1 else None)


def clicked(where: str) -> list[events.Event]:
    """As a terminal reports a click: there, down, up. `where`: as `click at` makes it."""
    x, y = map(int, where.removeprefix(CLICK).split(","))
    kinds = (events.MouseMove, events.MouseDown, events.MouseUp)
    return [kind(None, x, y, 0, 0, int(kind is not events.MouseMove), False, False, False, x, y) for kind in kinds]


def at(x: int, y: int) -> str:
    """A click there, among keys."""
    return f"{CLICK}{x},{y}"


def clickable(app: DsrApp) -> list[str]:
    """A click on all that the screen on top shows: each key of its bar, button, field, menu, header and row."""
    spots = []
    for widget in app.screen.query("*"):
        shown = widget.region.intersection(app.screen.region)
        if isinstance(widget, KeyBar | Rows | Stepper | OptionList):
            step = shown.width if isinstance(widget, Rows | OptionList) else 6
            spots += [(shown.x + x, y) for y in range(shown.y, shown.bottom) for x in range(2, shown.width, step)]
        elif shown.area and not widget.children:
            spots.append((shown.x + min(2, shown.width - 1), shown.y))
    return [at(x, y) for x, y in dict.fromkeys(spots)]


async def press(pilot: Pilot[int], keys: Sequence[str], tally: Tally) -> None:
    """All of them in one piece, then until they had their effect."""
    app = pilot.app
    for key in keys:
        for event in clicked(key) if key.startswith(CLICK) else [typed(key)]:
            app.post_message(event)
    tally.keys += len(keys)
    taken = asyncio.Event()
    app.call_later(taken.set)
    async with asyncio.timeout(30):
        while app._exception is None and not taken.is_set():  # noqa: ASYNC110 - a crash sets no event
            await asyncio.sleep(0.001)
        while app._exception is None and not app._keys.idle:  # type: ignore[attr-defined] # noqa: ASYNC110
            await asyncio.sleep(0.001)
    tally.screens[type(app.screen).__name__] += 1


async def arrive(pilot: Pilot[int], keys: Sequence[str], tally: Tally) -> None:
    """Goes there as a person does: a key, and a look."""
    for key in keys:
        await press(pilot, [key], tally)
        async with asyncio.timeout(20):
            await pilot.app.workers.wait_for_complete()
        await asyncio.sleep(0.05)


def offered(app: DsrApp) -> list[str]:
    return [key for key, one in app.screen.active_bindings.items() if one.enabled]


def any_keys(app: DsrApp, dice: random.Random) -> list[str]:
    """A burst."""
    keys: list[str] = []
    own = offered(app)
    for _ in range(dice.randint(1, 10)):
        throw = dice.random()
        if throw > 0.95:
            keys.append(at(dice.randrange(app.size.width), dice.randrange(app.size.height)))
            continue
        key = dice.choice(own) if own and throw < 0.5 else dice.choice(COMMON) if throw < 0.8 else dice.choice(LETTERS)
        keys += [key] * (2 if dice.random() < 0.3 else 1)
    return keys


async def one_app(place: int, size: tuple[int, int], tally: Tally, play: Callable[[Pilot[int]], Any]) -> None:
    """One program from its start to its end, and what came of it."""
    name, live, keys = PLACES[place]
    witness = Witness(tally)
    with tempfile.TemporaryDirectory(prefix="dsrwizard-monkey-") as scratch:
        world, app = farm(Path(scratch), live)
        os.chdir(scratch)  # whatever path it types is below here
        before = len(world.done)

        def quits(said: str = "") -> None:
            tally.quits += 1

        app.leave = quits  # type: ignore[method-assign] # it is counted, and the program goes on
        try:
            with watched(witness):
                async with app.run_test(size=size, notifications=True) as pilot:
                    async with asyncio.timeout(20):
                        while live and "web1" not in _text(app):  # noqa: ASYNC110 - a thread paints it
                            await asyncio.sleep(0.02)
                    await arrive(pilot, keys, tally)
                    await play(pilot)
        except Exception as error:  # noqa: BLE001 - whatever ends the program is what is looked for
            tally.crashes.append(f"{name}: {type(error).__name__}: {error} {_where(error)}")
            print(f"{size[0]}x{size[1]}: {tally.crashes[-1]}", flush=True)
        finally:
            os.chdir("/")
        if len(world.done) > before and not witness.given:
            tally.unasked.append(f"{name}: a host was changed, and no dialog was answered")


def _where(error: BaseException) -> str:
    """The last lines that it came from."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{Path(one.filename).name}:{one.lineno}" for one in reversed(frames[-6:]))


def _text(app: DsrApp) -> str:
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


async def twice(place: int, size: tuple[int, int], tally: Tally, dice: random.Random, share: float = 1.0) -> None:
    """Every key that the place offers, twice in one piece, then Enter and Escape in one; each from the same place."""
    left: list[str] | None = None

    async def play(pilot: Pilot[int]) -> None:
        nonlocal left
        app: DsrApp = pilot.app  # type: ignore[assignment]
        if left is None:
            left = [key for key in offered(app) if dice.random() <= share]
        while left:
            key = left.pop()
            tally.bindings.add((PLACES[place][0], key))
            await press(pilot, [key, key], tally)
            await press(pilot, ["enter", "escape", "enter", "enter"], tally)
            await press(pilot, ["escape", "escape", key], tally)
            if not await back(pilot, place, tally):
                return  # the rest from a new start

    await one_app(place, size, tally, play)
    while left:
        await one_app(place, size, tally, play)


async def each_click(place: int, size: tuple[int, int], tally: Tally) -> None:
    """A click on all that the place shows, each from the same place; what opens is left by Escape."""
    left: list[str] | None = None

    async def play(pilot: Pilot[int]) -> None:
        nonlocal left
        app: DsrApp = pilot.app  # type: ignore[assignment]
        if left is None:
            left = clickable(app)
        here = _where_it_is(app)
        while left:
            await press(pilot, [left.pop()], tally)
            if _where_it_is(app) != here and not await back(pilot, place, tally):
                return  # the rest from a new start

    await one_app(place, size, tally, play)
    while left:
        await one_app(place, size, tally, play)


def _where_it_is(app: DsrApp) -> tuple[object, ...]:
    return (*app.screen_stack, getattr(app.screen_stack[0], "step", ""))


async def back(pilot: Pilot[int], place: int, tally: Tally) -> bool:
    """Whether Escape led to the live view, and its keys from there to the place."""
    if not PLACES[place][1]:
        return False
    for _ in range(5):
        if len(pilot.app.screen_stack) == 1:
            await press(pilot, ["escape"], tally)
            await arrive(pilot, PLACES[place][2], tally)
            return True
        await press(pilot, ["escape"], tally)
    return False


async def bursts(
    size: tuple[int, int], keys: int, tally: Tally, dice: random.Random, places: Sequence[int] = range(len(PLACES))
) -> None:
    """Bursts at any of these places, until so many keys were pressed."""
    goal = tally.keys + keys
    while tally.keys < goal:
        until = min(tally.keys + APP_KEYS, goal)

        async def play(pilot: Pilot[int], until: int = until) -> None:
            while tally.keys < until:
                await press(pilot, any_keys(pilot.app, dice), tally)  # type: ignore[arg-type]

        await one_app(dice.choice(places), size, tally, play)
        if tally.keys // 2000 > (tally.keys - APP_KEYS) // 2000:
            print(f"{size[0]}x{size[1]}: {tally.keys:,} keys", file=sys.stderr, flush=True)


def told(size: tuple[int, int], tally: Tally, seconds: float) -> str:
    acts = ", ".join(f"{name} {count}" for name, count in tally.acts.most_common()) or "none"
    lines = [
        f"{size[0]}x{size[1]}: {tally.keys:,} keys in {seconds:.0f} s on {len(tally.screens)} screens; "
        f"{len(tally.bindings)} bindings twice; {len(tally.crashes)} crashes; {len(tally.unasked)} acts without "
        f"confirmation; acts with one: {acts}; quit {tally.quits} times"
    ]
    return "\n".join(
        [*lines, *(f"  crash: {one}" for one in tally.crashes), *(f"  unasked: {x}" for x in tally.unasked)]
    )


async def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.monkey")
    parser.add_argument("--keys", type=int, default=20_000, help="for each size")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", choices=[f"{width}x{height}" for width, height in SIZES])
    parser.add_argument("--bursts", action="store_true", help="no binding twice, bursts alone")
    given = parser.parse_args(arguments)
    bad = 0
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    for size in SIZES:
        if given.size not in (None, f"{size[0]}x{size[1]}"):
            continue
        tally, began, dice = Tally(), time.monotonic(), random.Random(f"{given.seed} {size}")
        try:
            if not given.bursts:
                for place in range(len(PLACES)):
                    await twice(place, size, tally, dice)
                    await each_click(place, size, tally)
            await bursts(size, max(given.keys - tally.keys, 0), tally, dice)
        finally:  # ctrl+c, too, tells what came of it so far
            print(told(size, tally, time.monotonic() - began), flush=True)
        bad += len(tally.crashes) + len(tally.unasked)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
