"""The connection between the live view and the engine: opens the watcher on a thread, receives its snapshots as
messages, closes it.

The engine's poller runs in threads of its own; its snapshots arrive as messages, so a slow poll never delays a key
press.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock, Thread

from textual import on
from textual.containers import Vertical
from textual.message import Message

from dsrwizard.core.api import Engine, Watcher
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.snapshot import Snapshot
from screens import clock
from screens.background import in_thread, let_keys_through
from screens.live.header import Tally
from screens.live.order import ORDERS, arranged
from screens.widgets.host_words import in_words

SEAT_SECONDS = 2.0
"""Between two looks whether the terminal that has the deployment open is closed."""
INTERVALS = (0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


class Watching(Vertical):
    """The base class of the live view. Watches one deployment from `start` to `stop`; calls `redraw` when there is
    something new to show."""

    class Polled(Message, bubble=False):
        """The observer through which the engine reports to this view."""

        def __init__(self, snapshot: Snapshot, turn: int, order: str = ORDERS[0]) -> None:
            super().__init__()
            self.plain = snapshot
            """With its rows as the deployment file has them."""
            self.snapshot = arranged(snapshot, order)
            """Sorted on the poller's thread, as it is counted there: no key waits for it."""
            self.tally = Tally.of(snapshot)
            """Counted on the poller's thread, so that no key waits for it."""
            self.turn = turn

    class Woken(Message, bubble=False):
        """There is a newer picture."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        *,
        id: str | None = None,  # noqa: A002 - Textual's word
        read_only: bool = False,
        interval: float = 1.0,
    ) -> None:
        super().__init__(id=id)
        self._engine = engine
        self._asked_for = read_only
        self.elsewhere = ""
        """Who has this deployment open in another terminal, as a sentence; empty: nobody."""
        self.interval = interval
        self.paused = False
        self.order = ORDERS[0]
        self.deployment: Deployment | None = None
        self.watcher: Watcher | None = None
        self.snapshot: Snapshot | None = None
        self._plain: Snapshot | None = None
        self.tally = Tally()
        self.problem = ""
        """The error that kept the engine from watching."""
        self._turn = 0
        self._handing = Lock()
        self._newest: Watching.Polled | None = None

    @property
    def read_only(self) -> bool:
        """Whether no key changes anything: the operator wants it so, or another terminal has the deployment open."""
        return self._asked_for or bool(self.elsewhere)

    def redraw(self) -> None:
        """Called when there is something new to show."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.set_interval(SEAT_SECONDS, self._seat_again)

    def on_unmount(self) -> None:
        self.stop()

    def start(self, deployment: Deployment) -> None:
        """Starts watching this deployment, unless it is watched already."""
        if self.watcher is not None and deployment == self.deployment:
            return
        self.stop()
        self.deployment = deployment
        let_keys_through()
        self._turn += 1
        self._newest = None  # one that an earlier watch has left
        self.run_worker(self._open(deployment, self._turn, self.interval, self.paused), group="live-open")

    async def _open(self, deployment: Deployment, turn: int, interval: float, paused: bool) -> None:
        def show(snapshot: Snapshot) -> None:
            picture = self.Polled(snapshot, turn, self.order)
            with self._handing:
                waits, self._newest = self._newest is not None, picture
            if not waits:  # pictures do not pile up before a terminal that stands still for hours
                self.post_message(self.Woken())

        def work() -> Watcher:
            engine = self._engine()
            if not self._asked_for:
                self.elsewhere = engine.seat(deployment.name)
            watcher = engine.watch(deployment, interval, read_only=self._asked_for)
            watcher.pause(paused)
            watcher.start(show)
            return watcher

        try:
            watcher = await in_thread(work)
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self.problem = str(in_words(error))
            self.redraw()
            return
        if turn == self._turn:
            self.watcher = watcher
            watcher.set_interval(self.interval)  # a key may have come meanwhile
            watcher.pause(self.paused)
            self.problem = ""
            self.refresh_bindings()
        else:
            _close(watcher)

    def _seat_again(self) -> None:
        """Looks whether the other terminal is closed now."""
        if self.elsewhere and self.deployment is not None:
            self.run_worker(self._ask_for_seat(self.deployment.name), group="live-seat", exclusive=True)

    async def _ask_for_seat(self, name: str) -> None:
        try:
            self.elsewhere = await in_thread(lambda: self._engine().seat(name))
        except Exception:  # noqa: BLE001 - then the other one has it still
            return
        if not self.elsewhere:
            self.notify(f"The other terminal has closed {name}. Its keys work here now.", markup=False)
            self.refresh_bindings()
        self.redraw()

    def stop(self) -> None:
        """Stops watching. The threads end by themselves; nothing waits for them."""
        self._turn += 1
        if self.watcher is not None:
            _close(self.watcher)
            self.watcher = None

    @on(Woken)
    def woken(self) -> None:
        with self._handing:
            newest, self._newest = self._newest, None
        if newest is not None:
            self.polled(newest)

    @on(Polled)
    def polled(self, event: Polled) -> None:
        if event.turn == self._turn:
            clock.agree()
            self._plain = event.plain
            self.snapshot, self.tally = event.snapshot, event.tally
            self.redraw()

    def sort(self) -> None:
        """Puts the rows that are shown in the order of now."""
        if self._plain is not None:
            self.snapshot = arranged(self._plain, self.order)

    def toggle_pause(self) -> None:
        """Pauses or resumes polling."""
        self.paused = not self.paused
        if self.watcher is not None:
            self.watcher.pause(self.paused)

    def change_interval(self, by: int) -> None:
        """Sets the next longer or shorter interval."""
        if by > 0:
            self.interval = next((one for one in INTERVALS if one > self.interval), INTERVALS[-1])
        else:
            self.interval = next((one for one in reversed(INTERVALS) if one < self.interval), INTERVALS[0])
        if self.watcher is not None:
            self.watcher.set_interval(self.interval)


def _close(watcher: Watcher) -> None:
    Thread(target=watcher.close, name="dsrwizard-unwatch", daemon=True).start()
