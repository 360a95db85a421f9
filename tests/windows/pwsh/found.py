"""Where PowerShell is: by the environment variable DSRWIZARD_PWSH, on the path, or beside the checkout."""

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
    beside = ROOT.parent / "shared" / "pwsh" / "pwsh"
    return shutil.which("pwsh") or (str(beside) if os.access(beside, os.X_OK) else None)


def needed() -> str:
    """The program. Raises NoPowerShell, which leaves the test out."""
    program = pwsh()
    if program is None:
        asked_in_vain.set()
        raise NoPowerShell(MISSING)
    return program
