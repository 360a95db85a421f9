"""Words that a shell offers when TAB is pressed, for arguments whose values dsrwizard knows."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def causes(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """The ids of the causes that begin so; zsh and fish show the words beside them."""
    from dsrwizard.core.model.causes import CAUSES

    return [CompletionItem(row.id, help=row.words) for row in CAUSES.values() if row.id.startswith(begun)]
