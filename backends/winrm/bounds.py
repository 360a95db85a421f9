"""Limits on the size and duration of a host's answers: every byte of every exchange is read through here.

What is too much or too slow raises OutOfBounds, and the connection is dropped. The messages are WinRM's envelopes, of
which we ask for 150 kB at most (MaxEnvelopeSize), so the bounds are far from what a Windows does.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
import time
from typing import Any, cast
from xml.parsers import expat

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from winrm.exceptions import WinRMError

LARGEST_ANSWER = 600_000
"""Bytes of one HTTP answer, headers and framing included: the whole envelope that Windows is set to by default."""
LARGEST_OUTPUT = 8_388_608
"""Bytes that one script may print, standard output and standard error together."""
MOST_LINES = 50_000
"""Lines of one script's standard output."""
KEPT_ERRORS = 65_536
"""Bytes of standard error that are kept: what it begins with says what went wrong."""
_MOST_ELEMENTS, _DEEPEST = 5_000, 64
_PIECE = 16_384
"""Bytes at a time: what is wrong stops the parser at the end of a piece."""


class OutOfBounds(WinRMError):
    """The host's answer is not read any further; the text says why, as the end of “it answered …”."""


class _Source(io.RawIOBase):
    """A socket's bytes for one answer: so many, and within so many seconds from when it was asked for."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock  # under this name requests_ntlm looks for the certificate of the connection
        self._seconds = sock.gettimeout()
        self._end = None if self._seconds is None else time.monotonic() + self._seconds
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            left = self._end - time.monotonic()
            if left <= 0:
                raise self._late()
            self._sock.settimeout(left)
        try:
            got = cast(int | None, self._raw.readinto(buffer))
        except TimeoutError:
            if not self._read:
                raise  # nothing at all: the host is silent
            raise self._late() from None
        self._read += got or 0
        if self._read > LARGEST_ANSWER:
            raise OutOfBounds(f"more than {LARGEST_ANSWER:,} bytes at once, which no WinRM service sends")
        return got

    def close(self) -> None:
        if not self.closed:
            with contextlib.suppress(OSError):
                self._sock.settimeout(self._seconds)
            self._raw.close()
        super().close()

    def _late(self) -> OutOfBounds:
        return OutOfBounds(f"so slowly that {self._seconds:g} s were not enough for one message")


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_Source(self.fp.detach(), sock))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class BoundedAdapter(HTTPAdapter):
    """requests' way to a host, with these bounds on what comes back. Nobody asked for a compressed answer, so there is
    none to unpack."""

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        request.headers["Accept-Encoding"] = "identity"
        response = super().send(request, *arguments, **options)
        if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            response.close()
            raise OutOfBounds("with compression that was not requested")
        return response


def envelope(body: bytes) -> bytes:
    """The body, when it is XML without declarations and of a size and depth that messages have: only then is a tree
    made of it. Raises OutOfBounds."""
    parser = expat.ParserCreate()
    depth = elements = 0

    def declared(*_: object) -> None:
        raise OutOfBounds("XML with its own declarations, as used in entity-expansion attacks")

    def start(*_: object) -> None:
        nonlocal depth, elements
        depth, elements = depth + 1, elements + 1
        if depth > _DEEPEST or elements > _MOST_ELEMENTS:
            raise OutOfBounds("XML that is larger or deeper than any message of WinRM")

    def end(*_: object) -> None:
        nonlocal depth
        depth -= 1

    parser.StartDoctypeDeclHandler, parser.EntityDeclHandler = declared, declared
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        for at in range(0, len(body), _PIECE):
            parser.Parse(body[at : at + _PIECE], False)
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise OutOfBounds(f"something that is not XML ({expat.errors.messages.get(error.code, 'damaged')})") from None
    return body
