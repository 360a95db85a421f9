"""Small commands that both carrying steps out and taking them back are made of."""

from __future__ import annotations

import base64
import shlex

from dsrwizard.core.dialects.commands import replaces_link
from dsrwizard.core.model.changes import FileChange, FileState, aside


def folder_of(path: str) -> str:
    """The folder of a file."""
    return path.rpartition("/")[0]


def proc_path(key: str) -> str:
    """The file of a kernel setting (sysctl(8): a dot within a name is written as a slash)."""
    return "/proc/sys/" + key.translate(str.maketrans("./", "/."))


def leave_or_remove(folder: str) -> str:
    """The command that removes a folder unless something is in it."""
    path = shlex.quote(folder)
    return f'rmdir {path} 2>/dev/null || [ ! -d {path} ] || [ -n "$(ls -A {path})" ]'


def exactly(state: FileState, path: str) -> str:
    """The command that writes any bytes whatever, for restoring what was there."""
    encoded = base64.b64encode(state.content.encode()).decode()
    return f"printf %s {encoded} | base64 -d > {shlex.quote(path)}"


def placed(change: FileChange, new: FileState, write: str) -> tuple[str, ...]:
    """The commands that put a file in its place whole or not at all: `write` is the one that writes it aside, over a
    copy of the file that is there, which keeps that one's owner. Only a link is not copied: the file takes its place,
    and what it points to is nobody's business."""
    path, beside = shlex.quote(change.path), shlex.quote(aside(change.path))
    link = replaces_link(change)
    copy = (f"[ ! -f {path} ] || cp -a {path} {beside}",) if change.old is not None and not link else ()
    unlink = (f"rm -f {path}",) if link else ()
    return (
        f"rm -f {beside}", *copy, write, f"chmod {new.mode:o} {beside}", f"sync {beside}", *unlink,
        f"mv -f {beside} {path}",
    )  # fmt: skip
