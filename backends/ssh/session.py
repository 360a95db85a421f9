"""One exec channel: feeds standard input while it drains both outputs, against a deadline.

What login shells and sudo print before the script begins is kept apart: the script's own output starts after a line
that nobody else can print.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import paramiko

from dsrwizard.core.ports import OnLine

_CHUNK = 65536
_TICK = 0.25
"""Seconds between looks at the exit status, which wakes nobody when it arrives."""
_FULL = 0.005
"""Seconds to wait for the host to take more input."""
OUTPUT = 8 * 1024**2
"""Bytes of both outputs of a script that are kept: dsrwizard's own scripts print some hundred KiB at most."""
NOISE = 64 * 1024
"""Bytes before the script begins, of each output."""
LONGEST = 64 * 1024
"""Bytes of a line that is told while the script runs; the answer has it whole."""
_LINGER = 1.0
"""Seconds without output after which a script that has ended is over, though something it started in the background
still holds its output open."""


class Overdue(Exception):
    """The deadline has passed."""


LONGER = 4
"""How many times its deadline a script may take that goes on printing lines."""


@dataclass(slots=True)
class Clock:
    """Seconds that are left; time the operator takes to type does not count. A script that prints goes on, on however
    slow a host: with each line it has its whole time again, `LONGER` times altogether."""

    left_at_start: float
    began: float = field(default_factory=time.monotonic)
    gained: float = 0.0

    @property
    def left(self) -> float:
        return self.left_at_start + self.gained - (time.monotonic() - self.began)

    def goes_on(self) -> None:
        """A line has come."""
        spent = time.monotonic() - self.began
        self.gained = min(spent, (LONGER - 1) * self.left_at_start)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        stop = time.monotonic()
        try:
            yield
        finally:
            self.began += time.monotonic() - stop


class Flood(Exception):
    """The host prints more than is kept; the text says so as a clause about the script."""


@dataclass(slots=True)
class Budget:
    """Bytes of output that are still kept, of both outputs together."""

    left: int = OUTPUT


class CommandOutput:
    """Bytes of one output: `before` the marker line, then `text`. Raises Flood where it is too much of either."""

    def __init__(self, marker: bytes, on_line: OnLine | None = None, budget: Budget | None = None) -> None:
        self._marker, self._on_line = marker + b"\n", on_line
        self._budget = budget or Budget()
        self._output = bytearray()
        self._told = 0
        self.before = bytearray()
        self.begun = False
        self.lines = 0
        """How often whole lines have come."""

    def feed(self, data: bytes) -> None:
        if not self.begun:
            looked = max(len(self.before) - len(self._marker), 0)
            self.before += data
            at = self.before.find(self._marker, looked)
            if (len(self.before) if at < 0 else at) > NOISE:
                del self.before[NOISE:]
                raise Flood(f"more than {NOISE // 1024} KiB came before it began")
            if at < 0:
                return
            data = bytes(self.before[at + len(self._marker) :])
            del self.before[at:]
            self.begun = True
        self._budget.left -= len(data)
        if self._budget.left < 0:
            raise Flood(f"it printed more than {OUTPUT // 1024**2} MiB")
        looked = len(self._output)
        self._output += data
        end = self._output.rfind(b"\n", looked) + 1
        if end:
            self._tell(end)

    def end(self) -> None:
        """What came last without a newline is a line, too."""
        if len(self._output) > self._told:
            self._tell(len(self._output))

    def _tell(self, end: int) -> None:
        """Whole lines up to there."""
        told, self._told = self._told, end
        self.lines += 1
        if self._on_line:
            for line in bytes(self._output[told:end]).removesuffix(b"\n").split(b"\n"):
                self._on_line(line[:LONGEST].decode("utf-8", "replace"))

    @property
    def text(self) -> str:
        return self._output.decode("utf-8", "replace")

    @property
    def noise(self) -> str:
        """What came before the marker line: all there is when the script never began."""
        return self.before.decode("utf-8", "replace")


class SshCommand:
    """A command on the host. `marker` is the line after which its own output begins."""

    def __init__(self, channel: paramiko.Channel, clock: Clock, marker: bytes, on_line: OnLine | None) -> None:
        self._channel, self._clock = channel, clock
        budget = Budget()
        self.out, self.err = CommandOutput(marker, on_line, budget), CommandOutput(marker, budget=budget)
        self._input = memoryview(b"")
        self._last = False
        self._ended_at: float | None = None
        channel.settimeout(0.0)
        self._poll = select.poll()
        self._poll.register(channel.fileno(), select.POLLIN)

    def send(self, data: bytes, *, last: bool = False) -> None:
        """Queues input; `last` closes the standard input after it."""
        self._input, self._last = memoryview(bytes(self._input) + data), last

    def step(self) -> bool:
        """Waits for something to happen and deals with it; false when the command is over. Raises Overdue, Flood."""
        if self._clock.left <= 0:
            raise Overdue
        moved = self._drain()
        self._feed()
        if moved:
            return True
        if self._over():
            if self._drain():  # what came between the two looks
                return True
            self.out.end()
            self.err.end()
            return False
        self._wait()
        return True

    @property
    def status(self) -> int | None:
        """The exit status, None where there is none: killed, or the connection broke."""
        status = self._channel.exit_status
        return status if self._channel.status_event.is_set() and status >= 0 else None

    def close(self) -> None:
        self._channel.close()

    def sign(self) -> bool:
        """One byte more for a command that stands; false where it has ended."""
        if self._channel.closed or self._channel.status_event.is_set():
            return False
        with contextlib.suppress(TimeoutError):  # it has not read those before: it is slow, and there
            try:
                self._channel.send(b".")
            except (paramiko.SSHException, OSError, EOFError):
                return False
        return True

    def end(self, patience: float) -> None:
        """Ends the input of a command that stands, gives it so many seconds to end, and closes."""
        with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.shutdown_write()
            self._channel.status_event.wait(patience)
            self._channel.close()

    def _drain(self) -> bool:
        moved, lines = False, self.out.lines
        while self._channel.recv_ready():
            self.out.feed(self._channel.recv(_CHUNK))
            moved = True
        while self._channel.recv_stderr_ready():
            self.err.feed(self._channel.recv_stderr(_CHUNK))
            moved = True
        if moved:
            self._ended_at = None
        if self.out.lines > lines:
            self._clock.goes_on()
        return moved

    def _feed(self) -> None:
        try:
            while self._input and self._channel.send_ready():
                self._input = self._input[self._channel.send(bytes(self._input[:_CHUNK])) :]
            if self._last and not self._input:
                self._channel.shutdown_write()
                self._last = False
        except (paramiko.SSHException, OSError, EOFError):
            # The command has closed its input, or is gone: its output and status say which.
            self._input, self._last = memoryview(b""), False

    def _over(self) -> bool:
        channel = self._channel
        if channel.closed:
            return True
        if channel.eof_received:
            # Output is complete; the exit status follows in a packet of its own.
            return channel.status_event.wait(min(_TICK, max(self._clock.left, 0.0)))
        if not channel.status_event.is_set():
            return False
        now = time.monotonic()
        self._ended_at = self._ended_at or now
        return now - self._ended_at > _LINGER

    def _wait(self) -> None:
        if self._channel.eof_received or self._channel.closed:
            return
        seconds = _FULL if self._input else _TICK
        self._poll.poll(1000 * max(min(seconds, self._clock.left), 0.0))
