"""The one script that carries out steps on a Windows host, and the reader of its progress.

Each change first makes sure that what it replaces is still what was observed; where that could not be observed, on an
adapter that was not there yet, it notes what it replaces. A step that fails takes back its own changes, the one that
failed in the middle included, and says so where it could not; the steps after it do not run. When all went well the
looking script follows in the same run. The adapter that carries the WinRM connection is found in the script itself and
refused for everything but weak-host receive.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.dialects.windows.commands import quoted, standalone
from dsrwizard.core.dialects.windows.frames import frame_of
from dsrwizard.core.dialects.windows.powershell import GENERATIONS, LOOPBACK, add_type, file, prelude
from dsrwizard.core.model.changes import AddressChange, Change, CommandSet, LinkChange, WindowsChange
from dsrwizard.core.model.progress import Progress
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.windows_values import Number, sentence

_ADD_LOOPBACK = add_type(LOOPBACK)
_SHARED = file("settings.ps1")
_DISPATCH = file("dispatch.ps1")
_LOOP = file("apply.ps1")


def apply_script(nonce: str, steps: Sequence[Step], *, reached: str, system: CommandSet, afterwards: str) -> str:
    """The script. `reached` is the address of our own connection, `afterwards` the looking script."""
    generation = GENERATIONS["2008" if system == "windows-2008" else "2012"]
    parts = [
        prelude(nonce),
        generation.json,
        f"$reached = {quoted(reached)}",
        _ADD_LOOPBACK if any(isinstance(change, LinkChange) for step in steps for change in step.changes) else "",
        _SHARED,
        generation.settings,
        _DISPATCH,
        "$session = [int](Find-SessionIndex)",
        "$steps = @()",
        *(_step(number, step) for number, step in enumerate(steps, 1)),
        _LOOP,
        afterwards,
    ]
    return "\n".join(parts) + "\n"


def _step(number: int, step: Step) -> str:
    lines = ["$changes = @()"]
    lines += [f"$changes += {_literal(change)}" for change in step.changes]
    lines.append(f"$steps += @{{ number = {number}; changes = $changes }}")
    return "\n".join(lines)


def _literal(change: Change) -> str:
    what, name, before, after = _fields(change)
    checked = "$true" if _checked(change) else "$false"
    return (
        f"@{{ what = {quoted(what)}; name = {quoted(name)}; before = {_text(before)}; after = {_text(after)}; "
        f"checked = {checked} }}"
    )


def _fields(change: Change) -> tuple[str, str, str | None, str | None]:
    match change:
        case LinkChange(interface=interface, old=old, new=new):
            return "adapter", interface, _there(old), _there(new)
        case AddressChange(interface=interface, address=address, prefix=prefix, old=old, new=new):
            return "address", f"{interface}|{address}|{prefix}", _there(old), _there(new)
        case WindowsChange(item=item, key=key, old=old, new=new):
            return item, key, old, new
        case _:
            raise TypeError(f"no change of a Windows host: {type(change).__name__}")


def _checked(change: Change) -> bool:
    """Whether what is replaced was seen: the settings of an adapter that was not there yet were not."""
    return not (isinstance(change, WindowsChange) and change.old is None and not standalone(change))


def _there(present: bool) -> str | None:
    return "present" if present else None


def _text(value: str | None) -> str:
    return "$null" if value is None else quoted(value)


class _Report(msgspec.Struct):
    """Where the script is. Other documents have none of this."""

    message: str = ""
    step: Number = 0


class FrameProgress(Progress):
    """Reads the script's frames as they come."""

    def feed(self, text: str) -> None:
        """One line of the host's output, without its newline."""
        frame = frame_of(self._nonce, text)
        if frame is None:
            if text.strip():
                self._watch.said(sentence(text))
            return
        try:
            report = frame.read(_Report)
        except msgspec.ValidationError:
            return  # no report of ours: the step stays unreported
        message = sentence(report.message)
        if frame.kind == "log":
            self._hear(message)
        elif report.step:
            if message:
                self._said.append(message)
            self._reached(frame.kind, report.step)
