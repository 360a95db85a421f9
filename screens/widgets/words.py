"""Untrusted text in titles, menus and quotations, shown as plain text and never as markup."""

from __future__ import annotations

from rich.text import Text
from textual.content import Content

from dsrwizard.core.model.foreign import lines, one_line
from screens.widgets.glyphs import ascii_only

_TITLE = 200
"""Characters: no frame is wider."""


def frame_title(text: str) -> Content:
    """A text for `border_title`, which parses plain strings as markup."""
    return Content(one_line(text, _TITLE))


def entry(text: str) -> Text:
    """A text for a menu, which parses plain strings as markup."""
    return Text(one_line(text, _TITLE))


def quotation(text: str) -> str:
    """A text of several lines as a quotation: each line gets a bar, so that none looks like a line of dsrwizard. A
    single line stays as it is."""
    if "\n" not in text:
        return text
    found = lines(text).strip().split("\n")
    return found[0] if len(found) == 1 else "".join(f"\n{_bar()} {line}" for line in found)


def barred(text: str) -> str:
    """A text with a bar before every line."""
    return "\n".join(f"{_bar()} {line}" for line in lines(text).split("\n")) if text else ""


def command_text(command: str) -> str:
    """A command. Further lines of a here-document get a bar, because a file's content may look like anything."""
    return lines(command).replace("\n", f"\n{_bar()} ")


def _bar() -> str:
    return "|" if ascii_only() else "│"
