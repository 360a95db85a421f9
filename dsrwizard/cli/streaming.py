"""Commands that run until they are stopped and need no terminal: a line per change, and metrics for Prometheus."""

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

from dsrwizard import files, out, signals
from dsrwizard.core.api import Watcher
from dsrwizard.core.model.errors import LookError, UsageError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.snapshot import Snapshot
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.core.tell.stream import WatchLines

LOOK_AGAIN = 0.2
"""Seconds between looks at whether a signal came or the reader has gone."""


class Latest:
    """The newest snapshot. One that nobody took in time is passed over: a slow reader gets what is so now."""

    def __init__(self) -> None:
        self._fresh = threading.Event()
        self.snapshot: Snapshot | None = None
        self.failed: BaseException | None = None

    def show(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._fresh.set()

    def fail(self, problem: BaseException) -> None:
        self.failed = problem
        self._fresh.set()

    def wait(self, seconds: float) -> Snapshot | None:
        """The next one, or None when none came in time. Raises what the watch failed of."""
        if not self._fresh.wait(seconds):
            return None
        self._fresh.clear()
        if self.failed is not None:
            raise self.failed
        return self.snapshot


@contextmanager
def until_signalled() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether a signal came: the usual end of what runs until it is stopped."""
    came: list[int] = []
    with signals.handled(lambda number, _: came.append(number)):
        note = signals.how_to_stop()
        if note:
            out.complaint(note)
        yield lambda: bool(came)


def changes(watcher: Watcher) -> int:
    """Prints JSON Lines (`core.stream.Stream`) until it is stopped or nobody reads any more. The exit code says whether
    looking worked at the end: 0 or 3."""
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
                    out.document(line, indent=0)
                sys.stdout.flush()
        except OSError as problem:
            if not out.nobody_reads(problem):
                raise
            out.forget()
    return LookError.exit_code if stream.problem else 0


def _reader_gone() -> bool:
    """Whether the other end of standard output is closed: without changes nothing is written that would tell."""
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # no file behind it
        return False
    return any(event & (select.POLLERR | select.POLLNVAL) for _, event in poll.poll(0))


def listen_at(text: str) -> tuple[str, int]:
    """`ADDRESS:PORT`, `[IPv6]:PORT`, or `PORT` on loopback. Raises UsageError."""
    address, colon, number = text.strip().rpartition(":")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    if not colon:
        address = "127.0.0.1"
    if not address:
        raise UsageError(
            f"--listen {text} names no address.",
            "Metrics are not for everyone unless you say so.",
            f"Write 127.0.0.1{text}, or 0.0.0.0{text} for every address of this machine.",
        )
    if not (number.isascii() and number.isdigit() and int(number) < 65536) or (":" in address and not _is_ip(address)):
        raise UsageError(f"--listen {text} is no address and port.", "", "Write it as 127.0.0.1:9749 or [::1]:9749.")
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
    """The bearer token of the file, or else of the environment, from which it is taken out: no program that is started
    gets it. None: there is none. Raises UsageError."""
    set_ = os.environ.pop(FROM_ENVIRONMENT, "")
    where = f"The file {path}" if path else f"The variable {FROM_ENVIRONMENT}"
    make = "Make one: (umask 077; openssl rand -hex 32 >FILE), and name that file with --token-file."
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
            raise UsageError(f"{where} with the token can be read by everybody.", "", f"Run: chmod o-r {path}")
        token = content.decode("utf-8", "replace").strip()
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{where} holds no token of at least {_SHORTEST_TOKEN} letters, digits and signs, on one line.", "", make
        )
    return Secret(token)


def metrics(watcher: Watcher, listen: str, names: Sequence[str] = (), token: Secret | None = None) -> int:
    """Serves what the watcher sees until a signal comes. Raises DsrError when it cannot listen there."""
    from dsrwizard.cli.wiring import metrics_server

    address, port = listen_at(listen)
    latest = Latest()
    with (
        until_signalled() as stopped,
        closing(
            metrics_server(address, port, lambda: exposition(latest.snapshot, time.time()), names, token)
        ) as server,
    ):
        where = f"[{address}]" if ":" in address else address
        out.line(f"Metrics at http://{where}:{server.port}/metrics", err=True)
        if not server.loopback and token is None:
            out.line(
                f"Whoever reaches {where}:{server.port} can read them: there is no password. "
                "Set one with --token-file, let a firewall admit only Prometheus, or listen on 127.0.0.1.",
                err=True,
            )
        watcher.start(latest.show)
        while not stopped():
            time.sleep(LOOK_AGAIN)
    return 0
