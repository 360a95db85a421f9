"""One page per cause: what you see, why it happens, how to see it by hand, mend it, and make it in the lab."""

from __future__ import annotations

from importlib.resources import files


def page(cause: str) -> str:
    """The page of a cause, in Markdown. Raises KeyError where there is none."""
    from dsrwizard.core.model.causes import CAUSES

    if cause not in CAUSES:
        raise KeyError(cause)
    return files(__name__).joinpath(f"{cause}.md").read_text("utf-8")
