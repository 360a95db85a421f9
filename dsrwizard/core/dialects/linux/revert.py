"""The revert that a Linux server carries out by itself: what is sent to arm it, to keep the steps, what a look says.

Before a step touches its network, a script that takes the run's changes back is written to a folder in /run that is
root's alone, and started: by a timer of systemd (systemd-run(1)), elsewhere by a shell in a session of its own. It
waits for a time that each step puts off, counted by the kernel's uptime, which no clock change moves (proc(5)), and
takes back what had begun, the last first, where it is still as this run left it. A reboot empties /run, and with it
this.
"""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.dialects.linux.writing import exactly, folder_of, leave_or_remove, placed, proc_path
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    FileChange,
    FileState,
    FolderChange,
    LinkChange,
    SysctlChange,
    UnitChange,
    aside,
)
from dsrwizard.core.model.steps import Step

PLACES = ("/run", "/var/run")
"""Folders that only root writes to and that a reboot empties, the first of which is taken."""
_PURE_FILES = (FileChange, FolderChange, UnitChange)

_REVERT = body(__package__, "revert.sh")
_REVERT_END = body(__package__, "revert_end.sh")
_TAKE_OVER = body(__package__, "take_over.sh")
_ARM = body(__package__, "arm.sh")
_UNUSED = body(__package__, "disarm_unused.sh")
_KEEP = body(__package__, "keep.sh")


def touches_network(steps: Iterable[Step]) -> bool:
    """Whether any of these could cut the host off or change whom it answers: all but those that write files alone."""
    return any(not isinstance(change, _PURE_FILES) for step in steps for change in step.changes)


def mark(step: int, change: int) -> str:
    """The name of a change within a run, both counted from 1."""
    return f"s{step}c{change}"


def take_over(places: Sequence[str] = PLACES) -> str:
    """What every script that changes something begins with."""
    return filled(_TAKE_OVER, {"@PLACES@": _words(places)})


def arming(nonce: str, steps: Sequence[Step], seconds: int, places: Sequence[str] = PLACES) -> str:
    """What arms the revert of these steps, before the first of them."""
    holes = {"@NONCE@": nonce, "__AFTER__": str(seconds), "@PLACES@": _words(places)}
    return filled(_ARM, holes | {"@REVERT@": revert_script(steps, seconds)})


def after_steps() -> str:
    """What follows the last step where a revert is armed."""
    return _UNUSED


def keep_script(nonce: str, places: Sequence[str] = PLACES) -> str:
    """The script that disarms every revert on the host; `kept` reads what it says."""
    return filled(_KEEP, {"@NONCE@": nonce, "@PLACES@": _words(places)})


def clear_script(nonce: str, places: Sequence[str] = PLACES) -> str:
    """The script that removes the note of a revert that is over."""
    return f"m='==dsr:{nonce}'\n{take_over(places)}"


def kept(nonce: str, text: str) -> str:
    """What came of it: `kept`, `back` (it has taken the steps back), `none` (none was armed), or nothing that is
    known."""
    words = {f"==dsr:{nonce}:{word}==": word for word in ("kept", "back", "none")}
    return next((words[line] for line in text.splitlines() if line in words), "")


def _words(texts: Iterable[str]) -> str:
    return " ".join(shlex.quote(text) for text in texts)


# --- the script that takes back --------------------------------------------------------------------------------------


def revert_script(steps: Sequence[Step], seconds: int) -> str:
    """The whole script; each change has its function, named after its mark."""
    changes = [(mark(n, m), c) for n, step in enumerate(steps, 1) for m, c in enumerate(step.changes, 1)]
    functions = [_function(f"undo_{name}", _back(change)) for name, change in changes]
    calls = [f"back {name} {shlex.quote(_about(change))}" for name, change in reversed(changes)]
    if any(isinstance(change, UnitChange) for _, change in changes):
        calls.append("systemctl daemon-reload")
    folders = dict.fromkeys(folder_of(change.path) for _, change in changes if isinstance(change, FileChange))
    end = filled(_REVERT_END, {"@FOLDERS@": _words(folders) or "''"})
    return "\n".join([filled(_REVERT, {"__AFTER__": str(max(1, seconds))}), *functions, *calls, end])


def _function(name: str, lines: Sequence[str]) -> str:
    return f"{name}() {{\n" + "\n".join(f"  {line}" for line in lines or [":"]) + "\n}"


def _back(change: Change) -> list[str]:
    """Lines of a function that takes the change back, whether it was carried out whole, in part or not at all; it fails
    where what is there is neither what was there before nor ours."""
    match change:
        case SysctlChange(key=key, old=old, new=new):
            return [f"sysctl_ {_words((key, proc_path(key), old, new))}"]
        case AddressChange(interface=name, address=address, prefix=prefix):
            there = f"holds {shlex.quote(name)} {address}/{prefix}"
            (undo,) = commands(change.inverse())
            return [f"{undo} 2>/dev/null", there if change.old else f"! {there}"]
        case LinkChange(interface=name, old=False):
            link = shlex.quote(name)
            unused = f'[ -z "$(ip -o addr show dev {link} scope global 2>/dev/null)" ] || return 1'
            return [f"ip link show dev {link} >/dev/null 2>&1 || return 0", unused, f"ip link del {link}"]
        case LinkChange():
            return [*commands(change.inverse())]
        case FolderChange(path=path, old=False):
            return [leave_or_remove(path)]
        case FolderChange(path=path):
            return [f"[ -d {shlex.quote(path)} ] || mkdir -m 755 {shlex.quote(path)}"]
        case FileChange():
            return _file_back(change)
        case _:
            return []


def _file_back(change: FileChange) -> list[str]:
    path, old = shlex.quote(change.path), change.old
    lines = [f"rm -f {shlex.quote(aside(change.path))}"]
    if old is not None:
        lines.append(f"{_is(path, old)} && return 0")
    else:
        lines.append(f"none {path} && return 0")
    ours = [_is(path, change.new), f"empty {path}"] if change.new is not None else []
    lines.append(" || ".join([*ours, f"none {path}", "return 1"]))
    if old is None:
        return [*lines, f"rm -f {path}"]
    if old.target is not None:
        return [*lines, f"rm -f {path}", f"ln -s {shlex.quote(old.target)} {path}"]
    back = FileChange(path=change.path, old=change.new, new=old)
    return [*lines, " && ".join(f"{{ {line}; }}" for line in placed(back, old, exactly(old, aside(change.path))))]


def _is(path: str, state: FileState | None) -> str:
    if state is None:
        return f"none {path}"
    if state.target is not None:
        return f'[ "$(readlink {path})" = {shlex.quote(state.target)} ]'
    return f"is {path} {hashlib.sha256(state.content.encode()).hexdigest()}"


def _about(change: Change) -> str:
    """What a note calls it that could not be taken back."""
    match change:
        case SysctlChange(key=key):
            return key
        case AddressChange(address=address, prefix=prefix, interface=name):
            return f"{address}/{prefix} on {name}"
        case LinkChange(interface=name):
            return f"the interface {name}"
        case FileChange(path=path) | FolderChange(path=path):
            return path
        case _:
            return type(change).__name__
