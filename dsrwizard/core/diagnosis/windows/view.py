"""What only the view of a Windows real server has: its Windows facts, and the advice for Windows."""

from __future__ import annotations

from typing import cast

from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.windows.advice import WindowsAdvice
from dsrwizard.core.model.windows_facts import WindowsFacts


def facts_of(view: ServerView) -> WindowsFacts | None:
    """None where there is no login to check from."""
    return view.facts.windows if view.facts is not None else None


def advice_of(view: ServerView) -> WindowsAdvice:
    """Whoever asks is of the Windows platform, and `systems` chose both together."""
    return cast(WindowsAdvice, view.advice)
