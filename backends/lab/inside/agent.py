"""The agent that runs commands on the lab's hosts for the process at the other end of the console."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import tty

from backends.lab import frames
from backends.lab.inside import kernel

_CONSOLE = "/dev/tty1"
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
_NOT_FOUND, _NOT_STARTED = 127, 126  # a shell's statuses
_NOBODY = 0  # the process of a command that could not be started


class _Session:
    """One running command."""

    def __init__(self, pid: int, stdin: int, outputs: dict[int, bytes], *, terminal: bool) -> None:
        self.pid = pid
        self.stdin = stdin
        self.outputs = outputs
        self.terminal = terminal
        self.waiting = bytearray()  # input the command has not taken yet
        self.input_ended = False


class Agent:
    """The loop between the console and the commands; `hosts` maps a host's name to its namespaces."""

    def __init__(self, hosts: dict[str, tuple[int, ...]]) -> None:
        self._hosts = hosts
        self._own = tuple(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY) for kind in kernel.NAMESPACES)
        self._sessions: dict[int, _Session] = {}
        self._decoder = frames.Decoder()
        self._taken = 0
        self._console = os.open(_CONSOLE, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._console)
        self._woken, wake = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(wake, False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(wake)

    def serve(self) -> None:
        """Works until the other end is gone."""
        self._send(frames.READY, 0)
        while True:
            readable, writable = self._poll()
            if self._woken in readable:
                os.read(self._woken, 512)
                self._reap()
            for number, session in list(self._sessions.items()):
                for descriptor in [each for each in session.outputs if each in readable]:
                    self._forward(number, session, descriptor)
                if session.stdin in writable:
                    self._feed(session)
            if self._console in readable:
                try:
                    data = os.read(self._console, frames.CHUNK)
                except OSError:
                    data = b""
                if not data:
                    return
                self._taken += len(data)
                if self._taken >= frames.TAKEN_AT_LEAST:
                    self._send(frames.TAKEN, 0, b"%d" % self._taken)
                    self._taken = 0
                for kind, number, payload in self._decoder.feed(data):
                    self._handle(kind, number, payload)

    def _poll(self) -> tuple[set[int], set[int]]:
        poll = select.poll()
        poll.register(self._console, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        interest: dict[int, int] = {}
        for session in self._sessions.values():
            for descriptor in session.outputs:
                interest[descriptor] = select.POLLIN
            if session.waiting:
                interest[session.stdin] = interest.get(session.stdin, 0) | select.POLLOUT
        for descriptor, events in interest.items():
            poll.register(descriptor, events)
        ready = poll.poll()
        readable = {descriptor for descriptor, events in ready if events & ~select.POLLOUT}
        return readable, {descriptor for descriptor, events in ready if events & (select.POLLOUT | select.POLLERR)}

    def _send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        data = memoryview(frames.pack(kind, number, payload))
        while data:
            data = data[os.write(self._console, data) :]

    def _forward(self, number: int, session: _Session, descriptor: int) -> bool:
        """Passes on what the command wrote; False when there is no more."""
        try:
            data = os.read(descriptor, frames.CHUNK)
        except BlockingIOError:
            return False
        except OSError:  # a terminal whose last user is gone
            data = b""
        if data:
            self._send(session.outputs[descriptor], number, data)
            return True
        del session.outputs[descriptor]
        if descriptor != session.stdin:
            os.close(descriptor)
        return False

    def _feed(self, session: _Session) -> None:
        try:
            del session.waiting[: os.write(session.stdin, session.waiting)]
        except BlockingIOError:
            return
        except OSError:  # the command does not read any more
            session.waiting.clear()
            session.input_ended = True
        self._end_input(session)

    def _end_input(self, session: _Session) -> None:
        if session.input_ended and not session.waiting and not session.terminal and session.stdin >= 0:
            os.close(session.stdin)
            session.stdin = -1

    def _reap(self) -> None:
        ended: dict[int, int] = {}
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            ended[pid] = os.waitstatus_to_exitcode(status)
        for number, session in list(self._sessions.items()):
            if session.pid in ended:
                self._close(number, session, ended[session.pid])

    def _close(self, number: int, session: _Session, status: int) -> None:
        # What it wrote is read now; what children it left behind write later is not waited for, as they may stay.
        for descriptor in list(session.outputs):
            while self._forward(number, session, descriptor):
                pass
        for descriptor in {*session.outputs, session.stdin} - {-1}:
            os.close(descriptor)
        del self._sessions[number]
        self._send(frames.EXIT, number, b"%d" % (status if status >= 0 else 128 - status))

    def _handle(self, kind: bytes, number: int, payload: bytes) -> None:
        if kind == frames.SPAWN:
            self._spawn(number, payload)
            return
        session = self._sessions.get(number)
        if session is None:
            return  # it has ended in the meantime
        if kind == frames.INPUT and payload:
            if session.stdin >= 0:
                session.waiting += payload
        elif kind == frames.INPUT:
            session.input_ended = True
            self._end_input(session)
        elif kind == frames.SIZE and session.terminal:
            _set_size(session.stdin, *(int(word) for word in payload.split()))
        elif kind == frames.SIGNAL:
            os.killpg(session.pid, int(payload))

    def _spawn(self, number: int, payload: bytes) -> None:
        host, cwd, mode, size, env, argv = frames.read_spawn(payload)
        terminal = mode != frames.PIPES
        theirs: list[int] = []  # the command's standard input, output and error
        outputs: dict[int, bytes] = {}
        if terminal:
            stdin, slave = os.openpty()
            _set_size(stdin, *size)
            theirs = [slave, slave, slave]
            outputs[stdin] = frames.OUTPUT
        else:
            reader, stdin = os.pipe()
            output, writer = os.pipe()
            theirs = [reader, writer]
            outputs[output] = frames.OUTPUT
        if mode != frames.TERMINAL:
            errors, writer = os.pipe()
            theirs[2:] = [writer]
            outputs[errors] = frames.ERRORS
        try:
            pid = self._start(self._hosts[host.decode()], theirs, terminal=terminal, cwd=cwd, env=env, argv=argv)
        except OSError as error:
            pid, missing = _NOBODY, isinstance(error, FileNotFoundError)
            why = "command not found" if missing else error.strerror
            os.write(theirs[2], os.fsencode(f"{os.fsdecode(argv[0])}: {why}\n"))
        for descriptor in set(theirs):
            os.close(descriptor)
        for descriptor in {stdin, *outputs}:
            os.set_blocking(descriptor, False)
        self._sessions[number] = _Session(pid, stdin, outputs, terminal=terminal)
        if pid == _NOBODY:
            self._close(number, self._sessions[number], _NOT_FOUND if missing else _NOT_STARTED)

    def _start(
        self,
        namespaces: tuple[int, ...],
        stdio: list[int],
        *,
        terminal: bool,
        cwd: bytes,
        env: list[bytes],
        argv: list[bytes],
    ) -> int:
        """Starts the command on the host whose namespaces these are. Raises `OSError` when it cannot be started.

        This process goes there itself and comes back: a fork, to go there in the child, would cost more than many a
        command does, as every page that either of the two touches is a fault, which is dear in here.
        """
        variables = dict(word.partition(b"=")[::2] for word in env)
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = []
        if terminal:  # opened by the leader of a session that has none, it becomes that session's
            actions.append((os.POSIX_SPAWN_OPEN, 0, os.ttyname(stdio[0]), os.O_RDWR, 0))
        actions += [(os.POSIX_SPAWN_DUP2, each, number) for number, each in enumerate(stdio) if number or not terminal]
        try:
            for namespace in namespaces:
                kernel.set_namespace(namespace)
            try:
                os.chdir(cwd)
            except OSError:
                os.chdir("/")  # a directory of this machine that the user's guest may not enter
            program = _find(argv[0], variables.get(b"PATH", os.defpath.encode()))
            return os.posix_spawn(
                program, argv, variables, file_actions=actions, setsid=True, setsigdef=_IGNORED_BY_PYTHON
            )
        finally:
            for namespace in self._own:
                kernel.set_namespace(namespace)


def _set_size(terminal: int, rows: int, cols: int) -> None:
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def _find(name: bytes, path: bytes) -> bytes:
    """The program of that name along the path, from where this process is now."""
    if b"/" in name:
        return name
    for directory in path.split(b":"):
        if os.access(program := b"%s/%s" % (directory or b".", name), os.X_OK):
            return program
    raise FileNotFoundError(name)
