"""The files that people bring: a text of any usual encoding, and the files that it includes."""

from __future__ import annotations

import contextlib
import errno
import glob
from collections.abc import Sequence
from pathlib import Path

from dsrwizard import files
from dsrwizard.core.intake.importers.common import MOST_CHARACTERS, decoded

_MOST = MOST_CHARACTERS
_MOST_FILES = 300
_PIPE_SECONDS = 10.0
_KEEPALIVED = Path("/etc/keepalived")


def brought(path: Path, *, pipes: bool = False) -> str:
    """The text of a file, `~` at its beginning put in; with `pipes` also of `<(command)` of a shell. Raises OSError,
    also for what is too large, no file, or no path."""
    path = brought_path(path)
    try:
        return decoded(files.piped(path, _MOST, _PIPE_SECONDS) if pipes else files.read(path, _MOST))
    except ValueError:  # a NUL in it, or what no encoding of paths can write
        raise OSError(errno.EINVAL, "it is not a valid path", str(path)) from None


def brought_path(path: Path) -> Path:
    """The path with `~` at its beginning put in, where a home directory is known."""
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def included(pattern: str, base: str) -> Sequence[tuple[str, str]]:
    """The files a pattern names, as (path, text), sorted: relative to the folder of `base`. Raises OSError.

    A file that somebody brought must not have others read and quoted: only files in its own folder and below, and in
    keepalived's, are opened.
    """
    if not base or "\0" in pattern:
        return ()
    folder = brought_path(Path(base)).absolute().parent
    found = sorted(glob.glob(str(folder / brought_path(Path(pattern)))))[:_MOST_FILES]  # noqa: PTH207 - the pattern is absolute
    opened = []
    for path in map(Path, found):
        real = path.resolve()
        if real.is_dir():
            continue
        if not any(real.is_relative_to(place.resolve()) for place in (folder, _KEEPALIVED)):
            raise PermissionError(errno.EPERM, "it is outside the folder of the file with the include", str(path))
        opened.append((str(path), decoded(files.read(path, _MOST))))
    return opened
