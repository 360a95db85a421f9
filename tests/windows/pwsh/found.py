"""Where PowerShell is: by the environment variable DSRWIZARD_PWSH, on the path, or in a folder `shared/pwsh` beside the
checkout or above it."""

from __future__ import annotations

import os
import shutil
import threading
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MISSING = "There is no PowerShell."
asked_in_vain = threading.Event()
"""Set when a script was to run and could not, in whatever thread."""


class NoPowerShell(Exception):
    """There is none on this machine."""


@cache
def pwsh() -> str | None:
    """The program; None: there is none."""
    named = os.environ.get("DSRWIZARD_PWSH")
    if named is not None:
        return shutil.which(named)
    beside = (folder / "shared" / "pwsh" / "pwsh" for folder in ROOT.parents)
    return shutil.which("pwsh") or next((str(one) for one in beside if os.access(one, os.X_OK)), None)


def needed() -> str:
    """The program. Raises NoPowerShell, which leaves the test out."""
    program = pwsh()
    if program is None:
        asked_in_vain.set()
        raise NoPowerShell(MISSING)
    return program
