"""Frames between the machine and the guest: who speaks, about which command, and the bytes.

One console of the guest carries everything: commands, their input, both their outputs apart, and exit statuses. Both
ends use this module, so it imports next to nothing.
"""

from __future__ import annotations

from struct import Struct

HEADER = Struct("!cII")
CHUNK = 32768
# The console of User-Mode Linux now and then forgets to go on reading after it had to pause because its 4 KiB of
# buffer were full. So it never gets there: no more than this is under way to the guest, which says what it has taken.
WINDOW = 3072
TAKEN_AT_LEAST = 1024

# machine to guest
SPAWN = b"S"  # payload: see spawn_payload
INPUT = b"I"  # standard input; an empty payload is its end
SIZE = b"W"  # payload: rows and columns of the terminal, see size_payload
SIGNAL = b"K"  # payload: the signal's number as text
# guest to machine
TAKEN = b"T"  # payload: how many bytes more may be sent now, as text
READY = b"R"  # the network is up and every sshd and service listens
OUTPUT = b"O"
ERRORS = b"E"
EXIT = b"X"  # payload: the exit status as text; 128 + n after signal n

PIPES = b"pipes"  # how a command's input and outputs are connected: three pipes,
TERMINAL = b"terminal"  # a pseudo-terminal of its own,
TERMINAL_BUT_ERRORS = b"terminal-but-errors"  # or a pseudo-terminal and a pipe for standard error


def pack(kind: bytes, session: int, payload: bytes = b"") -> bytes:
    """One frame as bytes."""
    return HEADER.pack(kind, session, len(payload)) + payload


def spawn_payload(
    host: bytes, *, cwd: bytes, mode: bytes, size: tuple[int, int], env: list[bytes], argv: list[bytes]
) -> bytes:
    """The payload of SPAWN: fields divided by NUL, which none of them can hold."""
    return b"\0".join([host, cwd, mode, b"%d" % size[0], b"%d" % size[1], b"%d" % len(env), *env, *argv])


def read_spawn(payload: bytes) -> tuple[bytes, bytes, bytes, tuple[int, int], list[bytes], list[bytes]]:
    """What `spawn_payload` was given."""
    host, cwd, mode, rows, cols, count, *rest = payload.split(b"\0")
    number = int(count)
    return host, cwd, mode, (int(rows), int(cols)), rest[:number], rest[number:]


def size_payload(rows: int, cols: int) -> bytes:
    """The payload of SIZE."""
    return b"%d %d" % (rows, cols)


class Decoder:
    """Turns the stream back into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, int, bytes]]:
        """The frames (kind, session, payload) that `data` completes."""
        self._buffer += data
        frames = []
        while len(self._buffer) >= HEADER.size:
            kind, session, length = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            if len(self._buffer) < end:
                break
            frames.append((kind, session, bytes(self._buffer[HEADER.size : end])))
            del self._buffer[:end]
        return frames
