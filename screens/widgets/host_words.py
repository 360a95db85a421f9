"""What a host's outcome is called and how it is marked, the same on every screen."""

from __future__ import annotations

from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.engine.defects import Defect
from screens.widgets.glyphs import Name, glyph

WORDS: dict[str, tuple[Name, str, str]] = {
    "waiting": ("todo", "waiting", "dim"),
    "running": ("working", "working", "accent"),
    "in part": ("warn", "in part", "warn"),
    Outcome.UNCHANGED: ("ok", "unchanged", "dim"),
    Outcome.CHANGED: ("ok", "done", "good"),
    Outcome.FAILED: ("fail", "FAILED", "bad"),
    Outcome.SKIPPED: ("dash", "skipped", "warn"),
    Outcome.HELD: ("warn", "held at 0", "warn"),
    Outcome.NOT_ATTEMPTED: ("dash", "not begun", "warn"),
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
    "name-unknown": "The name is misspelt, or this machine's DNS does not know it.",
    "refused": "SSH does not run there, or on another port.",
    "timeout": "The machine is down, the address is wrong, or a firewall is in between.",
    "key-unknown": "Nobody has accepted this host's key yet.",
    "key-changed": "The machine was reinstalled, or somebody stands in between.",
    "login": "Wrong user, or none of the keys and passwords is accepted there.",
    "privilege": "The user may not become root there.",
    "interface": "The interface named in the deployment is not there.",
    "command": "The host refused a command; its own words stand above.",
    "lost": "The machine or the network went away in the middle. What was done last is not known.",
    "answer": "Something on the host prints what it should not, or a tool is missing there.",
}
"""What is behind each kind of failure most often."""

EDIT_HELPS = frozenset({"name-unknown", "refused", "timeout", "login", "privilege", "interface"})
"""Kinds that another value in the deployment may mend."""


def plan_is_stale(failure: Failure) -> bool:
    """Whether the host is no longer what the plan was made from."""
    return "changed meanwhile" in failure.why or "changed meanwhile" in failure.what


def in_words(error: Exception) -> DsrError:
    """Any error as one that can be shown. What is no DsrError is a defect of dsrwizard and says so."""
    if isinstance(error, OSError):
        return DsrError("This machine refused it.", f"It says: {error.strerror or type(error).__name__}.")
    return error if isinstance(error, DsrError) else Defect.of(error)
