"""The Windows side of a Kerberos login: takes a ticket with the keys of a keytab."""

from __future__ import annotations

import os
import threading
from ctypes import byref, c_uint32, c_void_p
from pathlib import Path

from backends.winrm.gssapi import Buffer, Context, bindings, call, given, shown_name, taken

_KEYTAB = threading.Lock()
"""Which keytab it is, one variable of the process says."""


class Acceptor(Context):
    """Raises GssError for what is no ticket for one of these keys, or not over this TLS connection (`binding`)."""

    def __init__(self, keytab: Path, binding: bytes = b"") -> None:
        super().__init__()
        self._keytab, self._binding = keytab, binding
        self.user = ""

    def step(self, token: bytes) -> bytes:
        (came, _kept), (bound, _kept_too) = given(token), bindings(self._binding)
        out, source, flags = Buffer(), c_void_p(), c_uint32()
        with _KEYTAB:
            os.environ["KRB5_KTNAME"] = f"FILE:{self._keytab}"
            try:
                status = call(
                    "gss_accept_sec_context", byref(self.handle), None, byref(came), byref(bound) if bound else None,
                    byref(source), None, byref(out), byref(flags), None, None,
                )  # fmt: skip
            finally:
                del os.environ["KRB5_KTNAME"]
        self.complete = not status
        self.user = shown_name(source)
        return taken(out)
