"""Foreign words among the screens' own: titles of frames, entries of a menu, quotations. None of it is markup."""

from __future__ import annotations

from rich.text import Text
from textual.content import Content

from dsrwizard.core.model.foreign import lines, one_line
from screens.widgets.glyphs import ascii_only

_TITLE = 200
"""Characters: no frame is wider."""


def frame_title(text: str) -> Content:
    """For `border_title`, which takes a plain string for markup."""
    return Content(one_line(text, _TITLE))


def entry(text: str) -> Text:
    """For a menu, which takes a plain string for markup."""
    return Text(one_line(text, _TITLE))


def quotation(text: str) -> str:
    """A text of several lines as a quotation, each behind a bar, so that none is taken for a line of the screen's own.
    One line stays as it is."""
    if "\n" not in text:
        return text
    found = lines(text).strip().split("\n")
    return found[0] if len(found) == 1 else "".join(f"\n{_bar()} {line}" for line in found)


def barred(text: str) -> str:
    """Every line behind a bar."""
    return "\n".join(f"{_bar()} {line}" for line in lines(text).split("\n")) if text else ""


def command_text(command: str) -> str:
    """A command; the further lines of a here-document stand behind a bar: a file's content may look like anything."""
    return lines(command).replace("\n", f"\n{_bar()} ")


def _bar() -> str:
    return "|" if ascii_only() else "│"
