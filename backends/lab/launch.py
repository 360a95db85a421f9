"""Opens the lab for a person: boots a guest and joins a command on the director to this terminal or these pipes."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import sys
import termios
import tty
from collections.abc import Iterator, Mapping, Sequence
from types import FrameType

from backends.lab import frames, guest, recipe
from backends.lab.naming import parse_all
from dsrwizard import signals
from dsrwizard.core.model.errors import DsrError, LookError

KNOWN_HOSTS_VARIABLE = "DSRWIZARD_LAB_KNOWN_HOSTS"
_SESSION = 1
_QUEUE_LIMIT = 1 << 16  # input beyond this waits where it is until the guest has taken some
_STDIN, _STDOUT, _STDERR = 0, 1, 2
_LINES = 5  # of what a failing preparation said
# What a program leaves behind that could not say goodbye: alternate screen, hidden cursor, mouse, paste and key modes.
_LEAVE_SCREEN = b"\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[<u\x1b[0m\r\n"


class _Ended(BaseException):
    """A signal asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def launch(
    command: Sequence[str], *, faults: Sequence[str] = (), directors: int = 1, rows: int | None = None,
    cols: int | None = None,
) -> int:  # fmt: skip
    """See `backends.lab.run`. With KNOWN_HOSTS_VARIABLE set the director knows every host's key from the start."""
    wanted = parse_all(faults)
    names = [made.name for made in wanted]
    file = recipe.RICH_FILE if any(made.rich for made in wanted) else recipe.DEPLOYMENT_FILE
    on_terminal = os.isatty(_STDIN) and os.isatty(_STDOUT)
    if not command and not on_terminal:
        raise LookError(
            "The wizard needs a terminal, and there is none here.",
            "Standard input or standard output is not a terminal.",
            f"Run it in a terminal, or name a command: dsrwizard lab -- dsrwizard plan {recipe.DEPLOYMENT_FILE}",
        )
    machine = guest.Guest(known_hosts=bool(names or os.environ.get(KNOWN_HOSTS_VARIABLE)), directors=directors)
    try:
        with _ended_by_signals():
            if not on_terminal and os.isatty(_STDERR) and (note := signals.how_to_stop()):
                sys.stderr.write(f"{note}\n")  # to a terminal alone: elsewhere standard error is the command's own
            with _please_wait(directors, shown=on_terminal and os.isatty(_STDERR)):
                machine.start()
                machine.wait_until_ready()
                if names:
                    _make(machine, file, names)
            with _raw_terminal(wanted=on_terminal):
                joint = _Joint(machine, on_terminal=on_terminal, rows=rows, cols=cols)
                env = {"DSRWIZARD_LAB": file} | ({} if command else {"DSRWIZARD_LAB_ENDS": "yes"})
                return joint.run(command, env=env)
    except _Ended as ended:
        return 128 + ended.number
    finally:
        machine.kill()


def _make(machine: guest.Guest, file: str, names: Sequence[str]) -> None:
    """Applies a deployment of the lab and makes the faults; raises `DsrError` with what the commands said."""
    commands = (
        guest.wizard_command("apply", file, "--yes"),
        guest.wizard_command("lab", "fault", *names),
    )
    for argv in commands:
        waiting = memoryview(guest.spawn_frame(_SESSION, argv) + frames.pack(frames.INPUT, _SESSION))
        said = bytearray()
        status: int | None = None
        while status is None:
            while waiting and (sent := machine.send_some(waiting)):
                waiting = waiting[sent:]
            got = machine.receive()
            if got is None:
                raise DsrError("The lab's kernel ended while its faults were made.", machine.log()[-200:])
            for kind, _session, payload in got:
                if kind == frames.EXIT:
                    status = int(payload)
                else:
                    said += payload
        if status:
            lines = said.decode(errors="replace").strip().splitlines()
            raise DsrError("The lab's faults could not be made.", " | ".join(lines[-_LINES:]))


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turns the signals that end a process into `_Ended`, so that the guest is ended and the terminal mended first."""

    def end(number: int, _frame: FrameType | None) -> None:
        raise _Ended(number)

    with signals.handled(end):
        yield


@contextlib.contextmanager
def _please_wait(directors: int, *, shown: bool) -> Iterator[None]:
    if shown:
        counted = "a director" if directors == 1 else f"{directors} directors"
        sys.stderr.write(f"Starting the lab: a kernel, a router, a client, {counted} and three servers …")
        sys.stderr.flush()
    try:
        yield
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


@contextlib.contextmanager
def _raw_terminal(*, wanted: bool) -> Iterator[None]:
    """Every key goes to the guest as it is; whatever happens, the terminal is as before afterwards."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(_STDIN)
    tty.setraw(_STDIN)
    orderly = False
    try:
        yield
        orderly = True
    finally:
        if not orderly:
            with contextlib.suppress(OSError):
                os.write(_STDOUT, _LEAVE_SCREEN)
        # A terminal that was closed cannot be restored, and need not.
        with contextlib.suppress(termios.error):
            termios.tcsetattr(_STDIN, termios.TCSADRAIN, before)


class _Joint:
    """Carries bytes between this process's standard streams and the command in the guest."""

    def __init__(self, machine: guest.Guest, *, on_terminal: bool, rows: int | None, cols: int | None) -> None:
        self._machine = machine
        self._on_terminal = on_terminal
        self._fixed = (rows, cols)
        self._queue = bytearray()
        self._input_open = True

    def run(self, command: Sequence[str], *, env: Mapping[str, str]) -> int:
        mode = frames.PIPES
        if self._on_terminal:
            mode = frames.TERMINAL if os.isatty(_STDERR) else frames.TERMINAL_BUT_ERRORS
        argv = list(command) or guest.wizard_command()
        cwd = str(recipe.HOME) if not command else _working_directory()
        self._queue += guest.spawn_frame(_SESSION, argv, cwd=cwd, mode=mode, size=self._size(), env=env)
        with _window_changes() as changed:
            return self._carry(changed)

    def _size(self) -> tuple[int, int]:
        # Not shutil's: LINES and COLUMNS in the environment would outlive a change of the window.
        try:
            now = os.get_terminal_size(_STDIN)
        except OSError:
            now = os.terminal_size((80, 24))
        return self._fixed[0] or now.lines or 24, self._fixed[1] or now.columns or 80

    def _carry(self, changed: int) -> int:
        self._machine.socket.setblocking(False)
        while True:
            # poll, not epoll: standard input may be a file.
            with selectors.PollSelector() as selector:
                events = selectors.EVENT_READ | (
                    selectors.EVENT_WRITE if self._queue and self._machine.credit > 0 else 0
                )
                selector.register(self._machine.socket, events)
                selector.register(changed, selectors.EVENT_READ)
                if self._input_open and len(self._queue) < _QUEUE_LIMIT:
                    selector.register(_STDIN, selectors.EVENT_READ)
                ready = {key.fd: mask for key, mask in selector.select()}
            if changed in ready:
                os.read(changed, 512)
                if self._on_terminal:
                    self._queue += frames.pack(frames.SIZE, _SESSION, frames.size_payload(*self._size()))
            if _STDIN in ready:
                self._take_input()
            mask = ready.get(self._machine.socket.fileno(), 0)
            if mask & selectors.EVENT_WRITE:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    del self._queue[: self._machine.send_some(self._queue)]
            if mask & selectors.EVENT_READ:
                status = self._give_output()
                if status is not None:
                    return status

    def _take_input(self) -> None:
        try:
            data = os.read(_STDIN, frames.CHUNK)
        except OSError:  # the terminal is gone
            data = b""
        self._input_open = bool(data)
        self._queue += frames.pack(frames.INPUT, _SESSION, data)

    def _give_output(self) -> int | None:
        try:
            got = self._machine.receive()
        except BlockingIOError:
            return None
        if got is None:
            raise DsrError(
                "The lab's kernel ended while the command ran.",
                f"Its last output: {' | '.join(self._machine.log().splitlines()[-3:])}",
                "Run it again; nothing on this machine was changed.",
            )
        for kind, _session, payload in got:
            if kind == frames.EXIT:
                return int(payload)
            if kind in {frames.OUTPUT, frames.ERRORS}:
                try:
                    _write_all(_STDOUT if kind == frames.OUTPUT else _STDERR, payload)
                except BrokenPipeError:  # nobody reads any more, as with `| head`
                    return 128 + signal.SIGPIPE
        return None


@contextlib.contextmanager
def _window_changes() -> Iterator[int]:
    """A descriptor that becomes readable when the terminal's size has changed."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.signal(signal.SIGWINCH, lambda _number, _frame: None)
    wakeup_before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        yield reader
    finally:
        signal.set_wakeup_fd(wakeup_before)
        signal.signal(signal.SIGWINCH, before)
        os.close(reader)
        os.close(writer)


def _working_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a string is wanted
    except OSError:  # it was removed
        return str(recipe.HOME)


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
