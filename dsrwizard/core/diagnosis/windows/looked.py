"""The check that tells what a look at a Windows real server could not read."""

from __future__ import annotations

from dsrwizard.core.diagnosis.found import Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.windows.view import facts_of
from dsrwizard.core.model.checks import Check


def looked(view: ServerView) -> list[Check]:
    """`server.look`, only where something could not be read: whatever needs it says so in its own check, too."""
    facts = facts_of(view)
    unread = facts.unread() if facts is not None else ()
    if not unread:
        return []
    return [
        Where(check="server.look", host=view.name).unknown(
            f"Not everything could be read on {view.name}. Checks that need it say so.",
            "; ".join(unread),
            "Fix there what Windows complains about, then verify again.",
        )
    ]
