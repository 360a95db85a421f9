"""The base of every document that people read: its texts are harmless from the moment it is made.

A document is made from what hosts, files and libraries said, by dsrwizard or by the decoder that reads it from disk.
Both ways lead through `Harmless`, so whoever prints a document, draws it or writes it to a file cannot forget it, and
no field can begin a line of its own: it has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec
from msgspec.structs import force_setattr

from dsrwizard.core.model.foreign import lines, one_line

_SHORT = 1_000
"""Characters up to which a text is within every limit."""


class Harmless:
    """For a struct: its texts (`str`, and tuples or lists of them) are as `core.foreign.one_line` leaves them; those in
    `SEVERAL_LINES` keep their lines. What is set later on a struct that is not frozen is left as it is."""

    __slots__ = ()
    SEVERAL_LINES: ClassVar[frozenset[str]] = frozenset()
    if TYPE_CHECKING:
        __struct_fields__: ClassVar[tuple[str, ...]]

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            kind = type(value)
            if kind is str:
                if not (value.isascii() and value.isprintable() and len(value) < _SHORT):
                    force_setattr(self, name, self._harmless(name, value))  # type: ignore[arg-type]
            elif (kind is tuple or kind is list) and value and type(value[0]) is str:
                force_setattr(self, name, kind(self._harmless(name, text) for text in value))  # type: ignore[arg-type]

    def _harmless(self, name: str, text: str) -> str:
        return lines(text) if name in self.SEVERAL_LINES else one_line(text)


class Shown(Harmless, msgspec.Struct, frozen=True):
    """A document that is not changed once it is made."""
