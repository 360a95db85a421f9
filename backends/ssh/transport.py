"""paramiko's connection with bounds on what a server may send: every byte, list and question before it is stored.

paramiko keeps what comes, however much it is: it takes packets of any length, ignores its own receive window, and
believes every count. What is checked here is what RFC 4253 and 4254 ask of a server anyway.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.packet import Packetizer

from backends.ssh.algorithms import PUBLIC_KEYS, AlgorithmOffer, Algorithms
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.words import capital

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PACKET = 256 * 1024
"""Bytes of one packet at most, as in OpenSSH (packet.c, PACKET_MAX_SIZE)."""
_KEX_PACKET = 32 * 1024
"""Bytes of a packet of the key exchange: keys, numbers and signatures, with which is calculated."""
_GREETING, _GREETING_PIECE = 64 * 1024, 512
"""Bytes of all lines before the key exchange begins, and how many are read at once."""
_BEFORE_LOGIN = 1024 * 1024
"""Bytes in all until somebody is logged in: banners, key exchange, questions."""
_WINDOW = 1024 * 1024
"""Bytes of output that may be under way and not read yet, per channel."""
_STALL = 15.0
"""Seconds in which a server must take at least one more byte of what is sent to it."""
_QUESTIONS = 8
_QUESTION_TEXT = 16 * 1024
"""Questions of one round of keyboard-interactive, and bytes of all its texts."""
_EXTENSIONS = 64
_SLACK = 64 * 1024
"""Bytes beyond the window that are not minded: an old server may count wrongly by a packet."""
_READ_AT_ONCE = 35_000
_EXT_INFO, _KEXINIT, _KEX_FIRST, _KEX_LAST, _INFO_REQUEST = 7, 20, 30, 41, 60
_CHANNEL_OPEN, _CHANNEL_CONFIRMED, _WINDOW_ADJUST, _DATA, _EXTENDED_DATA, _CHANNEL_CLOSE = 90, 91, 93, 94, 95, 97
"""Numbers of messages: RFC 4250, 4.1.2; RFC 4256; RFC 8308."""


class TooMuch(paramiko.SSHException):
    """The server went beyond a bound; the text says which, as a clause about it."""


class Packets(Packetizer):
    """Reads and writes packets, within the bounds. `trouble` says which was broken, or nothing; `offer` is what the
    server offered in its last key exchange."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self._line = sock
        self._allowance: float = _BEFORE_LOGIN
        self._greeted, self._greeting_ends = 0, 0.0
        self._ahead = b""
        self._lock = Lock()
        self._windows: dict[int, int] = {}
        self._channels: dict[int, int] = {}
        self.trouble = ""
        self.offer: AlgorithmOffer | None = None

    def allow(self, size: float) -> None:
        """So many bytes may come from now on."""
        self._allowance = size

    def _broken(self, why: str) -> TooMuch:
        self.trouble = self.trouble or why
        return TooMuch(why)

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        if not 0 <= n <= PACKET:
            raise self._broken(f"it sent a packet of more than {PACKET // 1024} KiB, or of negative length")
        self._allowance -= n
        if self._allowance < 0:
            raise self._broken("it sent far more than needed")
        pieces, self._ahead = [self._ahead[:n]], self._ahead[n:]
        left = n - len(pieces[0])
        while left > 0:  # the base class copies all it has for each piece that arrives: it is asked for little at once
            size = min(left, _READ_AT_ONCE)
            pieces.append(super().read_all(size, check_rekey and left == n))
            left -= size
        return b"".join(pieces)

    def readline(self, timeout: float) -> str:
        """One line of the greeting. All of it must come within the `timeout` of its first line."""
        now = time.monotonic()
        self._greeting_ends = self._greeting_ends or now + timeout
        until = min(self._greeting_ends, now + timeout)
        while b"\n" not in self._ahead:
            if self.closed or time.monotonic() > until:
                raise EOFError
            try:
                more = self._line.recv(_GREETING_PIECE)
            except TimeoutError:
                continue
            if not more:
                raise EOFError
            self._ahead += more
            self._greeted += len(more)
            if self._greeted > _GREETING:
                raise self._broken("its greeting does not end")
        line, _, self._ahead = self._ahead.partition(b"\n")
        return line.decode("utf-8", "replace").rstrip("\r")

    def write_all(self, out: ReadableBuffer) -> None:
        """Sends everything, unless the server takes nothing for a while."""
        left, until = memoryview(out), time.monotonic() + _STALL
        while left:
            try:
                sent = self._line.send(left)
            except TimeoutError:
                if self.closed:
                    raise EOFError from None
                if time.monotonic() > until:
                    self.close()  # half a packet is out: nobody can go on after it
                    raise self._broken("it does not read what is sent to it") from None
                continue
            except OSError:
                raise EOFError from None
            if sent <= 0:
                raise EOFError
            left, until = left[sent:], time.monotonic() + _STALL

    def send_message(self, data: paramiko.Message) -> None:
        """Also notes how much output each channel lets come."""
        sent = data.asbytes()
        if sent[0] in (_CHANNEL_OPEN, _WINDOW_ADJUST):
            message = paramiko.Message(sent[1:])
            with self._lock:
                if sent[0] == _CHANNEL_OPEN:
                    message.get_binary()
                    number = message.get_int()
                    self._windows[number] = message.get_int() + _SLACK
                elif (number := self._channels.get(message.get_int(), -1)) in self._windows:
                    self._windows[number] += message.get_int()
        super().send_message(data)

    def read_message(self) -> tuple[int, paramiko.Message]:
        kind, message = super().read_message()
        content = message.asbytes()
        if _KEX_FIRST <= kind <= _KEX_LAST and len(content) > _KEX_PACKET:
            raise self._broken("its key or its numbers for the key exchange are too large")
        if kind == _KEXINIT:
            self.offer = _offer(content)
        elif kind == _EXT_INFO and paramiko.Message(content).get_int() > _EXTENSIONS:
            raise self._broken("it names more extensions than there are")
        elif kind == _INFO_REQUEST:
            self._check_questions(content)
        elif kind in (_CHANNEL_CONFIRMED, _DATA, _EXTENDED_DATA, _CHANNEL_CLOSE):
            self._check_channel(kind, paramiko.Message(content))
        return kind, message

    def _check_questions(self, content: bytes) -> None:
        """A round of keyboard-interactive (RFC 4256, 3.2): its count is believed, and missing texts are made up."""
        if len(content) > _QUESTION_TEXT:
            raise self._broken("its questions are too long")
        at = 0
        for _ in range(3):  # name, instruction, language
            at += 4 + int.from_bytes(content[at : at + 4], "big")
        count, at = int.from_bytes(content[at : at + 4], "big"), at + 4
        if count > _QUESTIONS:
            raise self._broken(f"it asks more than {_QUESTIONS} questions at once")
        for _ in range(count):
            at += 4 + int.from_bytes(content[at : at + 4], "big") + 1
        if at > len(content):
            raise self._broken("its questions are incomplete")

    def _check_channel(self, kind: int, message: paramiko.Message) -> None:
        """RFC 4254, 5.2: no more output than the window lets come."""
        number = message.get_int()
        with self._lock:
            if kind == _CHANNEL_CONFIRMED:
                self._channels[message.get_int()] = number
            elif kind == _CHANNEL_CLOSE:
                self._windows.pop(number, None)
            else:
                if kind == _EXTENDED_DATA:
                    message.get_int()
                left = self._windows.get(number, 0) - message.get_int()
                if left < 0:
                    raise self._broken("it sends output that was not asked for")
                self._windows[number] = left


def _offer(kexinit: bytes) -> AlgorithmOffer:
    message = paramiko.Message(kexinit)
    message.get_bytes(16)  # the cookie
    kex, host_keys, cipher_out, cipher_in, mac_out, mac_in = (message.get_list() for _ in range(6))
    return AlgorithmOffer(kex, host_keys, (cipher_out, cipher_in), (mac_out, mac_in))


@contextmanager
def within(transport: Transport, seconds: float) -> Iterator[None]:
    """Ends the connection when what is done in here takes longer: some waits of paramiko have no end of their own."""

    def end() -> None:
        transport.packets.trouble = transport.packets.trouble or f"it did not answer within {seconds:.0f} s"
        transport.close()

    timer = Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class Transport(paramiko.Transport):
    """A connection within the bounds that agrees on nothing but the algorithms given."""

    # RFC 8731 registered curve25519 without the `@libssh.org`, and some servers are set to that name alone.
    _kex_info = paramiko.Transport._kex_info | {  # type: ignore[attr-defined]
        "curve25519-sha256": paramiko.Transport._kex_info["curve25519-sha256@libssh.org"]  # type: ignore[attr-defined]
    }

    server_extensions: dict[str, bytes]
    """RFC 8308, by name."""
    clear_to_send_timeout: float
    """Seconds in which a key exchange that the server began must be over."""

    def __init__(self, sock: Any, algorithms: Algorithms, host_keys: Iterable[str]) -> None:
        refused = [name for name in PUBLIC_KEYS.safe if name not in algorithms.public_keys]
        super().__init__(
            sock,
            default_window_size=_WINDOW,
            disabled_algorithms={"pubkeys": refused},
            packetizer_class=Packets,
        )
        self.clear_to_send_timeout = _STALL
        options = self.get_security_options()
        options.ciphers, options.digests = algorithms.ciphers, algorithms.macs
        options.kex, options.key_types = algorithms.kex, tuple(host_keys)

    @property
    def packets(self) -> Packets:
        assert isinstance(self.packetizer, Packets)  # noqa: S101
        return self.packetizer

    def misbehaved(self, host: str, at: str) -> HostError:
        """The error for a server that went beyond a bound."""
        return HostError(
            f"{host}: the SSH server at {at} does what no SSH server does, so the connection was closed.",
            f"{capital(self.packets.trouble)}.",
            "Check that host, and check that it is the one that answers there.",
        )

    def get_exception(self) -> Exception | None:
        """What ended it. Whatever nonsense made paramiko stumble is an SSHException like any other."""
        error = super().get_exception()
        if error is None or isinstance(error, paramiko.SSHException | EOFError | OSError | UnicodeEncodeError):
            return error
        return paramiko.SSHException("it sends what is not SSH")
