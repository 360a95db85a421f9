"""Where dsrwizard keeps what outlives a run."""

from __future__ import annotations

from pathlib import Path


def state_dir() -> Path:
    """The folder: `$XDG_STATE_HOME/dsrwizard`, usually `~/.local/state/dsrwizard`."""
    from platformdirs import user_state_path

    return user_state_path("dsrwizard")
