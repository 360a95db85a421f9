"""Keys in turn: a key waits until what the key before it has begun is there, so that it reaches what it was meant for.

Textual hands each key to the widget that has the focus at that moment. A person on a slow link sends several in one
piece: `/` and the words to find. The field opens some messages later, and the words would be taken for other keys. A
click on a button or on the key bar does the same, so clicks wait and are waited for, too.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from textual import events
from textual.app import App
from textual.dom import DOMNode
from textual.errors import NoWidget
from textual.screen import Screen

TURNED = events.Key | events.Paste | events.MouseDown | events.MouseUp
"""What waits for its turn."""
ROUNDS = 3
"""So often in a row the focus has to stay where it is: a key goes up to the app, what a field makes of it comes down
and up again, and a screen that opens takes the focus last."""
TICK = 0.002
"""Seconds between two looks at a screen that is not there yet."""
PATIENCE = 5.0
"""Seconds. What was typed while the program stood still for longer was typed blind, and goes nowhere."""


class AppInTurn(App[int]):
    """An app whose keys, pastes and clicks are taken in turn."""

    def __init__(self) -> None:
        super().__init__()
        self._keys = KeysInTurn(self, super().on_event)

    async def on_event(self, event: events.Event) -> None:
        """Hands keys and clicks on in turn, everything else at once."""
        if isinstance(event, TURNED) and not event.is_forwarded:
            await self._keys.take(event)
        elif not isinstance(event, TURNED) or self.screen_stack:  # a key that comes back from a screen that is gone
            await super().on_event(event)

    def simulate_key(self, key: str) -> None:
        """A click on the key bar: the key comes before those that were typed after the click."""
        self._keys.ahead(events.Key(key, None))


class KeysInTurn:
    """The queue of keys and pastes of one app. `hand_on` does with one of them what Textual does."""

    def __init__(self, app: App[Any], hand_on: Callable[[events.Event], Awaitable[None]]) -> None:
        self._app = app
        self._hand_on = hand_on
        self._waiting: deque[events.Event] = deque()
        self._settling: asyncio.Task[None] | None = None

    def ahead(self, event: events.Event) -> None:
        """Takes it before those that wait: it is the effect of what came before them."""
        self._waiting.appendleft(event)
        self._app.call_next(self._next)

    async def take(self, event: events.Event) -> None:
        """Hands it on at once, or once those before it have had their effect. To be called by the app for each."""
        if self._settling is not None:
            self._waiting.append(event)
            return
        await self._give(event)

    @property
    def idle(self) -> bool:
        """Whether every key has had its effect."""
        return self._settling is None and not self._waiting

    async def _give(self, event: events.Event) -> None:
        screen = self._screen()
        if screen is None:  # the app is ending
            return
        target = self._target(screen, event)
        if target.parent is None and not isinstance(target, Screen):
            target = screen  # a click on what is just leaving is for nobody: Textual would look for its parent
        else:
            await self._hand_on(event)
        self._settling = asyncio.create_task(self._settle(target))

    async def _settle(self, target: DOMNode | None) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self._still(target)
        except TimeoutError:
            self._waiting.clear()
        self._settling = None
        if self._waiting:
            self._app.call_next(self._next)

    async def _next(self) -> None:
        if self._settling is None and self._waiting:
            await self._give(self._waiting.popleft())

    async def _still(self, target: DOMNode | None) -> None:
        """Until everything that the key went through has done its work, and the focus stays where it is."""
        await self._through(target)
        calm, before = 0, self._where()
        while calm < ROUNDS:
            screen = self._screen()
            if screen is None:
                return
            await self._through(screen.focused or screen)
            where = self._where()
            if not screen.is_mounted:
                await asyncio.sleep(TICK)
                continue
            calm, before = (calm + 1 if where == before else 0), where

    async def _through(self, target: DOMNode | None) -> None:
        """Until the target and all around it, the app last, have handled what waited for them."""
        for node in target.ancestors_with_self if target is not None else ():
            await _handled(node)
        await _handled(self._app)

    def _target(self, screen: Screen[Any], event: events.Event) -> DOMNode:
        if isinstance(event, events.MouseEvent):
            try:
                return self._app.get_widget_at(event.x, event.y)[0]
            except NoWidget:
                return screen
        return screen.focused or screen

    def _screen(self) -> Screen[Any] | None:
        stack = self._app.screen_stack
        return stack[-1] if stack else None

    def _where(self) -> tuple[object, object]:
        screen = self._screen()
        return screen, screen.focused if screen is not None else None


async def _handled(node: DOMNode) -> None:
    """Until this one has handled what waits in its queue now; at once for one that has ended."""
    done = asyncio.Event()
    if not node.is_running or not node.call_later(done.set):
        return
    while not done.is_set() and node.is_running:
        try:
            async with asyncio.timeout(0.05):
                await done.wait()
        except TimeoutError:  # one that ends meanwhile calls nothing
            continue
