"""GSS-API with the Kerberos library of this system (MIT's libgssapi_krb5, which Debian's ssh brings): tickets at hand,
one security context per connection, messages sealed and opened.

Called directly, because the Python packages for it are sources that have to be compiled on the director. Functions and
structures are those of RFC 2744 (C bindings), `gss_wrap_iov` and its buffers those of MIT's gssapi_ext.h.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from typing import Any

LIBRARY = "libgssapi_krb5.so.2"
_ERROR_MASK = 0xFFFF0000
_CONTINUE = 1
_EXPIRED = 11 << 16
_KRB5 = b"\x2a\x86\x48\x86\xf7\x12\x01\x02\x02"
"""1.2.840.113554.1.2.2, the mechanism (RFC 4121)."""
_PRINCIPAL_NAME = _KRB5 + b"\x01"
"""1.2.840.113554.1.2.2.1: a name with its realm, in which no DNS is asked (RFC 1964, section 2.1.1)."""
_MUTUAL, _REPLAY, _SEQUENCE, _CONFIDENTIAL, _INTEGRITY = 2, 4, 8, 16, 32
_INITIATE = 1
_DATA, _HEADER, _PADDING, _ALLOCATE = 1, 2, 9, 1 << 16


class Missing(Exception):
    """The library is not on this system."""


class GssError(Exception):
    """A call failed. `code`: Kerberos' own error, as in krb5.h, 32 bits unsigned; the text is the library's."""

    def __init__(self, major: int, code: int, text: str) -> None:
        self.major, self.code = major, code
        super().__init__(text)

    @property
    def expired(self) -> bool:
        return self.major & _ERROR_MASK == _EXPIRED


class Oid(ctypes.Structure):
    _fields_ = [("length", c_uint32), ("elements", c_char_p)]


class _OidSet(ctypes.Structure):
    _fields_ = [("count", c_size_t), ("elements", POINTER(Oid))]


class Buffer(ctypes.Structure):
    _fields_ = [("length", c_size_t), ("value", c_void_p)]


class _Iov(ctypes.Structure):
    _fields_ = [("type", c_uint32), ("buffer", Buffer)]


class Bindings(ctypes.Structure):
    """Channel bindings; only the application's data is used (RFC 5929)."""

    _fields_ = [
        ("initiator_type", c_uint32),
        ("initiator", Buffer),
        ("acceptor_type", c_uint32),
        ("acceptor", Buffer),
        ("data", Buffer),
    ]


@cache
def library() -> Any:
    """The library with the types of what is called. Raises Missing."""
    try:
        gss = ctypes.CDLL(LIBRARY)
    except OSError as error:
        raise Missing(LIBRARY) from error
    status, out = POINTER(c_uint32), POINTER(c_void_p)
    for name, types in {
        "gss_import_name": [status, POINTER(Buffer), POINTER(Oid), out],
        "gss_display_name": [status, c_void_p, POINTER(Buffer), c_void_p],
        "gss_acquire_cred": [status, c_void_p, c_uint32, POINTER(_OidSet), c_int, out, c_void_p, status],
        "gss_inquire_cred": [status, c_void_p, out, status, c_void_p, c_void_p],
        "gss_init_sec_context": [
            status, c_void_p, out, c_void_p, POINTER(Oid), c_uint32, c_uint32, POINTER(Bindings), POINTER(Buffer),
            c_void_p, POINTER(Buffer), status, status,
        ],
        "gss_accept_sec_context": [
            status, out, c_void_p, POINTER(Buffer), POINTER(Bindings), out, c_void_p, POINTER(Buffer), status, status,
            c_void_p,
        ],
        "gss_wrap_iov": [status, c_void_p, c_int, c_uint32, POINTER(c_int), POINTER(_Iov), c_int],
        "gss_unwrap_iov": [status, c_void_p, POINTER(c_int), status, POINTER(_Iov), c_int],
        "gss_release_iov_buffer": [status, POINTER(_Iov), c_int],
        "gss_display_status": [status, c_uint32, c_int, POINTER(Oid), status, POINTER(Buffer)],
        "gss_release_buffer": [status, POINTER(Buffer)],
        "gss_release_name": [status, out],
        "gss_release_cred": [status, out],
        "gss_delete_sec_context": [status, out, c_void_p],
    }.items():  # fmt: skip
        function = getattr(gss, name)
        function.argtypes, function.restype = types, c_uint32
    return gss


def call(name: str, *arguments: Any) -> int:
    """The status of one call. Raises GssError."""
    gss, minor = library(), c_uint32()
    major = int(getattr(gss, name)(byref(minor), *arguments))
    if major & _ERROR_MASK:
        raise GssError(major, minor.value, _text(major, minor.value))
    return major


def given(data: bytes) -> tuple[Buffer, Any]:
    """A buffer over a copy of these bytes, and the copy, which has to outlive it."""
    kept = ctypes.create_string_buffer(data, len(data))
    return Buffer(len(data), ctypes.cast(kept, c_void_p)), kept


def taken(buffer: Buffer) -> bytes:
    """The bytes of a buffer that the library made; it is given back."""
    try:
        return ctypes.string_at(buffer.value, buffer.length) if buffer.value else b""
    finally:
        library().gss_release_buffer(byref(c_uint32()), byref(buffer))


def kerberos() -> Oid:
    return Oid(len(_KRB5), _KRB5)


def bindings(data: bytes) -> tuple[Bindings | None, Any]:
    """Channel bindings for these bytes, and what has to outlive them; none for no bytes."""
    if not data:
        return None, None
    buffer, kept = given(data)
    return Bindings(0, Buffer(0, None), 0, Buffer(0, None), buffer), kept


def _text(major: int, minor: int) -> str:
    said = []
    for code, kind, oid in ((minor, 2, kerberos()), (major, 1, None)):
        message, more = Buffer(), c_uint32()
        failed = library().gss_display_status(
            byref(c_uint32()), code, kind, byref(oid) if oid else None, byref(more), byref(message)
        )
        if not failed & _ERROR_MASK:
            said.append(taken(message).decode("utf-8", "replace"))
    return next((text for text in said if text and text != "Success"), "unknown error")


@contextmanager
def _name(text: str) -> Iterator[c_void_p]:
    name, (buffer, _kept) = c_void_p(), given(text.encode())
    call("gss_import_name", byref(buffer), byref(Oid(len(_PRINCIPAL_NAME), _PRINCIPAL_NAME)), byref(name))
    try:
        yield name
    finally:
        library().gss_release_name(byref(c_uint32()), byref(name))


def shown_name(name: c_void_p) -> str:
    """A name as Kerberos writes it, `user@REALM`. The name is given back."""
    shown = Buffer()
    try:
        call("gss_display_name", name, byref(shown), None)
        return taken(shown).decode("utf-8", "replace").rstrip("\0")
    finally:
        library().gss_release_name(byref(c_uint32()), byref(name))


class Ticket:
    """The credentials at hand of one principal, or of whoever the cache is for; `principal` says who. Raises GssError,
    `expired` for tickets that are over, and Missing."""

    def __init__(self, principal: str = "") -> None:
        self.handle = c_void_p()
        oid = kerberos()
        mechanisms = _OidSet(1, ctypes.pointer(oid))
        if principal:
            with _name(principal) as name:
                self._acquire(name, mechanisms)
        else:
            self._acquire(None, mechanisms)
        name, seconds = c_void_p(), c_uint32()
        try:
            call("gss_inquire_cred", self.handle, byref(name), byref(seconds), None, None)
        except GssError:
            self.close()
            raise
        self.principal = shown_name(name)
        self.seconds = seconds.value

    def _acquire(self, name: c_void_p | None, mechanisms: _OidSet) -> None:
        call("gss_acquire_cred", name, 0, byref(mechanisms), _INITIATE, byref(self.handle), None, None)

    def close(self) -> None:
        if self.handle:
            library().gss_release_cred(byref(c_uint32()), byref(self.handle))

    def __del__(self) -> None:
        self.close()


class Context:
    """A security context, of a client or (in the tests) of a server, as `step` makes it. One thread at a time."""

    def __init__(self) -> None:
        self.handle = c_void_p()
        self.complete = False

    def close(self) -> None:
        if self.handle:
            library().gss_delete_sec_context(byref(c_uint32()), byref(self.handle), None)

    def __del__(self) -> None:
        self.close()

    def wrap(self, data: bytes) -> tuple[bytes, bytes]:
        """The sealed bytes and their header, as WinRM sends them apart (MS-WSMV 2.2.9.1). Raises GssError."""
        buffer, _kept = given(data)
        iov = (_Iov * 3)(_Iov(_HEADER | _ALLOCATE), _Iov(_DATA, buffer), _Iov(_PADDING | _ALLOCATE))
        sealed = c_int()
        try:
            call("gss_wrap_iov", self.handle, 1, 0, byref(sealed), iov, 3)
            parts = [ctypes.string_at(one.buffer.value, one.buffer.length) if one.buffer.value else b"" for one in iov]
        finally:
            library().gss_release_iov_buffer(byref(c_uint32()), iov, 3)
        if not sealed.value:
            raise GssError(0, 0, "the library did not encrypt the message")
        return parts[1] + parts[2], parts[0]

    def unwrap(self, data: bytes, header: bytes) -> bytes:
        """The message. Raises GssError for one that was changed, or not sealed."""
        (head, _kept), (body, _kept_too) = given(header), given(data)
        iov = (_Iov * 3)(_Iov(_HEADER, head), _Iov(_DATA, body), _Iov(_DATA))
        sealed = c_int()
        call("gss_unwrap_iov", self.handle, byref(sealed), None, iov, 3)
        if not sealed.value:
            raise GssError(0, 0, "the message was not encrypted")
        return ctypes.string_at(iov[1].buffer.value, iov[1].buffer.length) if iov[1].buffer.value else b""


class ClientContext(Context):
    """For a target such as `WSMAN/web1.corp.example@`: the empty realm is found by the library and the domain."""

    def __init__(self, ticket: Ticket, target: str, binding: bytes = b"") -> None:
        super().__init__()
        self._ticket, self._target, self._binding = ticket, target, binding

    def step(self, token: bytes = b"") -> bytes:
        """The token to send, after what the other side sent. Raises GssError."""
        flags = _MUTUAL | _REPLAY | _SEQUENCE | _CONFIDENTIAL | _INTEGRITY
        (came, _kept), (bound, _kept_too) = given(token), bindings(self._binding)
        out, oid = Buffer(), kerberos()
        with _name(self._target) as target:
            status = call(
                "gss_init_sec_context", self._ticket.handle, byref(self.handle), target, byref(oid), flags, 0,
                byref(bound) if bound else None, byref(came) if token else None, None, byref(out), None, None,
            )  # fmt: skip
        self.complete = not status & _CONTINUE
        return taken(out)
