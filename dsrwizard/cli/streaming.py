"""Commands that run until stopped and need no terminal: `watch --json` and `metrics`."""

from __future__ import annotations

import os
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from ipaddress import ip_address
from pathlib import Path

from dsrwizard import files, garbage, out, signals
from dsrwizard.core.api import Watcher
from dsrwizard.core.model.errors import LookError, UsageError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.snapshot import Snapshot
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.core.tell.stream import WatchLines

LOOK_AGAIN = 0.2
"""Seconds between checks for a signal or a closed output."""


class Latest:
    """The newest snapshot. A slow reader skips older ones and gets the current state."""

    def __init__(self) -> None:
        self._fresh = threading.Event()
        self._came = 0.0
        self.snapshot: Snapshot | None = None
        self.failed: BaseException | None = None

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot, self._came = snapshot, _running()
        self._fresh.set()

    def moment(self) -> float:
        """Now, by the clock of the snapshot: if the wall clock is set, the snapshot becomes neither old nor new."""
        snapshot, came = self.snapshot, self._came
        return 0.0 if snapshot is None else snapshot.at + max(0.0, _running() - came)

    def fail(self, problem: BaseException) -> None:
        self.failed = problem
        self._fresh.set()

    def wait(self, seconds: float) -> Snapshot | None:
        """The next snapshot, or None if none came in time. Raises the error of the watch."""
        if not self._fresh.wait(seconds):
            return None
        self._fresh.clear()
        if self.failed is not None:
            raise self.failed
        return self.snapshot


def _running() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@contextmanager
def until_signalled() -> Iterator[Callable[[], bool]]:
    """Provides a function that says whether a signal came, the usual way to stop such a command. The second one raises
    KeyboardInterrupt: it ends what waits for a reader in the middle of a long line."""
    came: list[int] = []

    def heard(number: int, _: object) -> None:
        came.append(number)
        if len(came) > 1:
            raise KeyboardInterrupt

    with signals.handled(heard):
        note = signals.how_to_stop()
        if note:
            out.complaint(note)
        yield lambda: bool(came)


def changes(watcher: Watcher) -> int:
    """Prints JSON Lines (`core.tell.stream.Stream`) until stopped or until the output is closed. The exit code says
    whether checking worked at the end: 0 or 3."""
    garbage.staying()
    stream, latest = WatchLines(), Latest()

    def work() -> None:
        try:
            latest.show(watcher.once())
        except BaseException as problem:  # noqa: BLE001 - handed to the caller's thread as it is
            latest.fail(problem)

    with until_signalled() as stopped:
        threading.Thread(target=work, name="first-look", daemon=True).start()
        try:
            while not stopped() and not _reader_gone():
                snapshot = latest.wait(LOOK_AGAIN)
                if snapshot is not None and not stream.begun:
                    watcher.start(latest.show)
                for line in stream.lines(snapshot) if snapshot is not None else ():
                    if _room(stopped):
                        out.document(line, indent=0)
                sys.stdout.flush()
        except OSError as problem:
            if not out.nobody_reads(problem):
                raise
            out.forget()
    return LookError.exit_code if stream.problem else 0


_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


def _reader_gone() -> bool:
    """Whether the other end of standard output is closed. Without changes, no failing write would show it."""
    return bool(_output(0, 0.0) & _GONE)


def _room(stopped: Callable[[], bool]) -> bool:
    """Waits until standard output takes a line: a reader that stands still keeps the watch from nothing, not even from
    ending when a signal comes. False: it came."""
    while not stopped():
        if _output(select.POLLOUT, LOOK_AGAIN):
            return True
    return False


def _output(events: int, seconds: float) -> int:
    """What poll(2) says of standard output; where there is no file behind it, that it can be written."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), events)
    except (OSError, ValueError):
        return events
    return next((event for _, event in poll.poll(1000 * seconds)), 0)


def listen_at(text: str) -> tuple[str, int]:
    """`ADDRESS:PORT`, `[IPv6]:PORT`, or `PORT` on loopback. Raises UsageError."""
    address, colon, number = text.strip().rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not colon:
        address = "127.0.0.1"
    if not address:
        raise UsageError(
            f"--listen {text} has no address.",
            "Metrics are not public unless you say so.",
            f"Write 127.0.0.1{text}, or 0.0.0.0{text} for every address of this machine.",
        )
    if not (number.isascii() and number.isdigit() and int(number) < 65536) or (":" in address and not _is_ip(address)):
        raise UsageError(
            f"--listen {text} is not an address and port.", "", "Write it as 127.0.0.1:9749 or [::1]:9749."
        )
    return address, int(number)


def _is_ip(address: str) -> bool:
    try:
        ip_address(address)
    except ValueError:
        return False
    return True


FROM_ENVIRONMENT = "DSRWIZARD_METRICS_TOKEN"
_SHORTEST_TOKEN = 16


def metrics_token(path: Path | None) -> Secret | None:
    """The bearer token from the file, or else from the environment, from which it is removed so that child processes
    do not get it. None: there is none. Raises UsageError."""
    set_ = os.environ.pop(FROM_ENVIRONMENT, "")
    where = f"The file {path}" if path else f"The variable {FROM_ENVIRONMENT}"
    make = "Create one: (umask 077; openssl rand -hex 32 >FILE), and pass that file with --token-file."
    if path is None:
        token = set_.strip()
        if not token:
            return None
    else:
        try:
            content, status = files.looked(path, 4096)
        except OSError as problem:
            raise UsageError(f"{where} with the token cannot be read.", f"{problem.strerror}.", make) from None
        if stat.S_IMODE(status.st_mode) & stat.S_IROTH:
            raise UsageError(f"{where} with the token is readable by everyone.", "", f"Run: chmod o-r {path}")
        token = content.decode("utf-8", "replace").strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{where} holds no token of at least {_SHORTEST_TOKEN} letters, digits and signs, on one line.", "", make
        )
    return Secret(token)


def metrics(watcher: Watcher, listen: str, names: Sequence[str] = (), token: Secret | None = None) -> int:
    """Serves metrics until a signal comes. Raises DsrError if it cannot listen at the address."""
    from dsrwizard.cli.wiring import metrics_server

    garbage.staying()
    address, port = listen_at(listen)
    latest = Latest()
    with (
        until_signalled() as stopped,
        closing(
            metrics_server(address, port, lambda: exposition(latest.snapshot, latest.moment()), names, token)
        ) as server,
    ):
        where = f"[{address}]" if ":" in address else address
        out.complaint(f"Metrics at http://{where}:{server.port}/metrics")
        if not server.loopback and token is None:
            out.complaint(
                f"Anyone who can reach {where}:{server.port} can read the metrics: there is no password. Set one "
                "with --token-file, let a firewall admit only Prometheus, or listen on 127.0.0.1."
            )
        watcher.start(latest.show)
        while not stopped():
            time.sleep(LOOK_AGAIN)
    return 0
