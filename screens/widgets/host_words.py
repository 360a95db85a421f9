"""Words, signs and styles for a host's outcome, the same on every screen."""

from __future__ import annotations

from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.engine.defects import Defect
from screens.widgets.glyphs import Name, glyph

WORDS: dict[str, tuple[Name, str, str]] = {
    "waiting": ("todo", "waiting", "dim"),
    "left out": ("dash", "left out", "warn"),
    "running": ("working", "working", "accent"),
    "in part": ("warn", "in part", "warn"),
    Outcome.UNCHANGED: ("ok", "unchanged", "dim"),
    Outcome.CHANGED: ("ok", "done", "good"),
    Outcome.FAILED: ("fail", "FAILED", "bad"),
    Outcome.SKIPPED: ("dash", "skipped", "warn"),
    Outcome.HELD: ("warn", "held at 0", "warn"),
    Outcome.NOT_ATTEMPTED: ("dash", "not started", "warn"),
    Outcome.ROLLED_BACK: ("stale", "rolled back", "warn"),
    Outcome.UNKNOWN: ("unknown", "UNKNOWN", "bad"),
}
"""State → glyph, word, style."""


def word(state: str) -> str:
    """`✓ done`."""
    name, text, _ = WORDS[state]
    return f"{glyph(name)} {text}"


def style(state: str) -> str:
    return WORDS[state][2]


LIKELY: dict[str, str] = {
    "name-unknown": "The name is misspelled, or this machine's DNS cannot resolve it.",
    "refused": "SSH does not run there, or runs on another port.",
    "timeout": "The machine is down, the address is wrong, or a firewall blocks the connection.",
    "key-unknown": "The host's key has not been accepted yet.",
    "key-changed": "The machine was reinstalled, or another machine intercepts the connection.",
    "login": "Wrong user, or the host accepts none of the keys and passwords.",
    "privilege": "The user is not allowed to become root there.",
    "interface": "The interface named in the deployment does not exist.",
    "command": "The host refused a command; its message is shown above.",
    "lost": "The connection was lost during a command. It is not known whether the last command was done.",
    "answer": "The host's output was not understood: a login script prints text, or a tool is missing.",
}
"""The most likely reason for each kind of failure."""

SHORT: dict[str, str] = {
    "name-unknown": "name has no address",
    "refused": "connection refused",
    "timeout": "does not answer",
    "key-unknown": "host key unknown",
    "key-changed": "host key CHANGED",
    "login": "login refused",
    "privilege": "neither root nor sudo",
    "interface": "no such interface",
    "lost": "connection lost",
    "answer": "answer not understood",
    "busy": "another run is there",
}
"""The same in a few words, for the cell of a table that names the host beside it."""

EDIT_HELPS = frozenset({"name-unknown", "refused", "timeout", "login", "privilege", "interface"})
"""Kinds of failure that another value in the deployment may fix."""


def plan_is_stale(failure: Failure) -> bool:
    """Whether the host has changed since the plan was made."""
    return "changed meanwhile" in failure.why or "changed meanwhile" in failure.what


def in_words(error: Exception) -> DsrError:
    """Any error as one that can be shown. An error that is not a DsrError is a defect of dsrwizard, and the text
    says so."""
    if isinstance(error, OSError):
        return DsrError(
            "This machine refused the operation.", f"The system reports: {error.strerror or type(error).__name__}."
        )
    return error if isinstance(error, DsrError) else Defect.of(error)
