"""The part of a look that is the same for a real server and a director: folders, and files with their modes."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from dsrwizard.core.dialects.script_files import body, filled

_PART = body(__package__, "look_at_files.sh")


def look_at_files(files: Iterable[str], folders: Iterable[str]) -> str:
    """The lines, for a script that defines `s` (it begins a section)."""
    return filled(
        _PART,
        {
            "@FILES@": " ".join(map(shlex.quote, files)) or "''",
            "@FOLDERS@": " ".join(map(shlex.quote, folders)),
        },
    )
