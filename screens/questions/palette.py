"""The command palette, as Textual has it, which lives through keys that come in one piece."""

from __future__ import annotations

from contextlib import suppress

from textual.command import CommandPalette

from screens.questions.once import OneAnswer


class Palette(OneAnswer[None], CommandPalette):
    """The palette. A page key that arrives before its list is drawn moves nothing."""

    def _action_command_list(self, action: str) -> None:
        with suppress(KeyError):  # the list's lines are counted when it is drawn (Textual 8.2.8)
            super()._action_command_list(action)
