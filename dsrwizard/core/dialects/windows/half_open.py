"""Half-open TCP connections on a Windows host: the script that looks for them, and the reader of its answer.

.NET's list of connections tells states as numbers (TcpState.SynReceived is 4) on every Windows that has PowerShell.
Windows drops by its strong-host model, not by a reverse-path filter, and counts nothing of the kind, so there are no
counters.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.dialects.script_files import filled
from dsrwizard.core.dialects.windows.frames import frames
from dsrwizard.core.dialects.windows.powershell import GENERATIONS, array, file, prelude
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import HalfOpen, HalfOpenLook
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.values import address, parsed
from dsrwizard.core.model.windows_values import Port

TURNS = 15
"""Looks, a tenth of a second apart."""

_SCRIPT = file("half_open.ps1")


def script(nonce: str, sources: Sequence[str], expected: int, *, legacy: bool) -> str:
    """The looking script; without sources it looks once."""
    text = filled(
        _SCRIPT,
        {
            "'@SOURCES@'": array(tuple(str(parsed(source)) for source in sources)),
            "'@TURNS@'": str(TURNS),
            "'@EXPECTED@'": str(expected if sources else 0),
        },
    )
    return (
        "# dsrwizard: look for half-open connections\n"
        + prelude(nonce)
        + GENERATIONS["2008" if legacy else "2012"].json
        + text
    )


class _Entry(msgspec.Struct):
    vip: str
    port: Port
    client: str
    client_port: Port


class _Look(msgspec.Struct):
    seen: tuple[_Entry, ...] = ()
    waiting: tuple[_Entry, ...] = ()


def parse(host: str, nonce: str, text: str) -> HalfOpenLook:
    """What was seen. Raises AnswerUnreadable when the script did not run to its end, or told what cannot be."""
    for frame in frames(nonce, text):
        if frame.kind == "half-open":
            try:
                look = frame.read(_Look)
                return HalfOpenLook(seen=_entries(look.seen), waiting=_entries(look.waiting))
            except (msgspec.ValidationError, ValueError) as problem:
                raise AnswerUnreadable(
                    f"{host}: its half-open connections could not be read.",
                    f"Its answer cannot be right: {one_line(str(problem), 300)}.",
                    "Verify again.",
                ) from None
    raise AnswerUnreadable(
        f"{host}: its half-open connections could not be read.", "The script did not finish.", "Verify again."
    )


def _entries(rows: tuple[_Entry, ...]) -> tuple[HalfOpen, ...]:
    return tuple(
        HalfOpen(vip=address(row.vip), port=row.port, client=address(row.client), client_port=row.client_port)
        for row in rows
    )
