"""The command `dsrwizard explain`: prints the page of a cause, or the list of all causes."""

from __future__ import annotations

from difflib import get_close_matches

from dsrwizard import out
from dsrwizard.core.model.causes import CAUSES
from dsrwizard.core.model.errors import UsageError
from dsrwizard.pages import page


def explain(cause: str | None) -> None:
    """Prints the page, formatted on a terminal and as Markdown elsewhere; without a cause, one line per cause.

    Raises UsageError for an unknown cause.
    """
    if cause is None:
        width = max(map(len, CAUSES))
        for row in CAUSES.values():
            out.line(f"{row.id:<{width}}  {row.words}")
        return
    if cause not in CAUSES:
        near = get_close_matches(cause, CAUSES, n=1)
        hint = f"Did you mean {near[0]}? " if near else ""
        raise UsageError(f"Unknown cause: {cause!r}.", "", f"{hint}To list all causes, run: dsrwizard explain")
    out.markdown(page(cause))
