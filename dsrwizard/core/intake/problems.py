"""A problem with the input: where it is, what is wrong, and what to write instead."""

from __future__ import annotations

from typing import NamedTuple

from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.shown import Shown

_SHOWN = 60


class Problem(Shown, frozen=True):
    """`key` is the path in the deployment, e.g. `vips[0].services[1].port` or `servers[2].address`.

    `message` says what is wrong, `hint` what to write instead. `line` is the line in the file, 1-based, where known.
    """

    key: str
    message: str
    hint: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        return f"{self.message} {self.hint}".strip()

    @property
    def place(self) -> str:
        """The place as `line 7, servers[0].weight`, or without the line if it is unknown."""
        return ", ".join(part for part in (f"line {self.line}" if self.line else "", self.key) if part)


class Refusal(NamedTuple):
    """A problem with one value: a `Problem` without its key."""

    message: str
    hint: str = ""

    @property
    def text(self) -> str:
        return f"{self.message} {self.hint}".strip()

    def at(self, key: str) -> Problem:
        return Problem(key=key, message=self.message, hint=self.hint)


def shown(value: object) -> str:
    """A value for a message: one short line without control characters, in double quotes if it is text."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 128:
        return "a huge number"
    text = value if isinstance(value, str) else str(value)
    text = "".join(" " if char.isspace() else char for char in one_line(text[: _SHOWN + 1]))
    if len(text) > _SHOWN:
        text = text[:_SHOWN] + "…"
    return f'"{text}"' if isinstance(value, str) else text
