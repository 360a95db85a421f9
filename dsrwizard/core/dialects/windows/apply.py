"""The one script that carries out steps on a Windows host, and the reader of its progress.

Each change first makes sure that what it replaces is still what was observed; where that could not be observed, on an
adapter that was not there yet, it notes what it replaces. A step that fails takes back its own changes, the one that
failed in the middle included, and says so where it could not; the steps after it do not run. When all went well the
looking script follows in the same run. One such script runs on a host at a time; a second one says who is at it. The
adapter that carries the WinRM connection is found in the script itself and refused for everything but weak-host
receive.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence

import msgspec

from dsrwizard.core.dialects.windows import revert
from dsrwizard.core.dialects.windows.commands import PSEUDO, quoted, split, standalone, unseen
from dsrwizard.core.dialects.windows.frames import frame_of
from dsrwizard.core.dialects.windows.powershell import DEVICES, GENERATIONS, LOOPBACK, add_type, file
from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.changes import AddressChange, Change, CommandSet, LinkChange, WindowsChange
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.progress import Progress
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.windows_facts import WindowsFacts, mark_of
from dsrwizard.core.model.windows_values import Number, sentence

_ADD_LOOPBACK = add_type(LOOPBACK)
_SHARED = file("settings.ps1")
_DISPATCH = file("dispatch.ps1")
_CHANGES = file("changes.ps1")
_LOOP = file("apply.ps1")
_LOCKED = file("locked.ps1")


def apply_script(
    nonce: str,
    steps: Sequence[Step],
    *,
    reached: str,
    system: CommandSet,
    afterwards: str,
    title: str = "",
    windows: WindowsFacts | None = None,
    revert_after: float = 0.0,
) -> str:
    """The script. `reached` is the address of our own connection, `afterwards` the looking script, `title` what is
    changed for whom: it stands in the process list while the script runs. `windows`: what was seen, so that adapters
    are found that have another name by now. `revert_after` above 0 arms the host's own undo
    (`core.dialects.windows.revert`)."""
    title = title or "dsrwizard: change"
    seconds = math.ceil(revert_after)
    shared = machinery(nonce, steps, reached=reached, system=system, windows=windows)
    parts = [f"# {title}"]
    # The undo is made of the same text, which the script hands on to it and runs itself.
    parts += [f"$machinery = {quoted(shared)}", ". ([ScriptBlock]::Create($machinery))"] if seconds else [shared]
    parts += [_LOCKED, revert.marks(seconds), revert.OVER, "$session = [int](Find-SessionIndex)"]
    parts += [revert.arming(seconds, title.replace("change", "revert", 1))] if seconds else []
    return "\n".join([*parts, _LOOP, afterwards]) + "\n"


def machinery(
    nonce: str, steps: Sequence[Step], *, reached: str, system: CommandSet, windows: WindowsFacts | None = None
) -> str:
    """What carries steps out and what takes them back are made of, and the steps: it defines, and changes nothing."""
    generation = GENERATIONS["2008" if system == "windows-2008" else "2012"]
    names = dict.fromkeys(name for step in steps for change in step.changes if (name := _adapter(change)))
    adapters = {name: windows.adapter(name) if windows else None for name in names}
    shown = {one.guid.lower(): one.name for one in windows.adapters} if windows else {}
    parts = [
        revert.common(nonce),
        generation.json,
        "$known = @{}",
        *(f"$known[{quoted(name)}] = {quoted(one.guid)}" for name, one in adapters.items() if one and one.guid),
        "$marks = @{}",
        *(f"$marks[{quoted(name)}] = {quoted(mark_of(name))}" for name in names),
        f"$reached = {quoted(reached)}",
        _ADD_LOOPBACK if any(isinstance(change, LinkChange) for step in steps for change in step.changes) else "",
        DEVICES,
        _SHARED,
        generation.settings,
        _DISPATCH,
        _CHANGES,
        "$steps = @()",
        *(_step(number, step, shown) for number, step in enumerate(steps, 1)),
    ]
    return "\n".join(parts) + "\n"


def _step(number: int, step: Step, names: Mapping[str, str]) -> str:
    lines = ["$changes = @()"]
    lines += [f"$changes += {_literal(change, revert.about(change, names))}" for change in step.changes]
    lines.append(f"$steps += @{{ number = {number}; changes = $changes }}")
    return "\n".join(lines)


def _adapter(change: Change) -> str:
    """The adapter that a change names; empty where it names none, or names it by GUID."""
    match change:
        case LinkChange(interface=name) | AddressChange(interface=name):
            pass
        case WindowsChange(key=key) if not standalone(change):
            name = key if change.item in ("dns-registration", "netbios") else split(key)[0]
        case _:
            return ""
    return "" if name.startswith("{") or name == PSEUDO else name


def _literal(change: Change, about: str) -> str:
    what, name, before, after = _fields(change)
    checked = "$false" if unseen(change) else "$true"
    return (
        f"@{{ what = {quoted(what)}; name = {quoted(name)}; before = {_text(before)}; after = {_text(after)}; "
        f"checked = {checked}; about = {quoted(about)} }}"
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


def _there(present: bool) -> str | None:
    return "present" if present else None


def _text(value: str | None) -> str:
    return "$null" if value is None else quoted(value)


class _Report(msgspec.Struct):
    """Where the script is. Other documents have none of this."""

    message: str = ""
    step: Number = 0
    name: str = ""
    device: str = ""
    guid: str = ""
    seconds: Number = 0


class _Busy(msgspec.Struct):
    """Who else is changing this host; empty where that could not be told. `since` as WMI writes times."""

    process: str = ""
    since: str = ""
    title: str = ""

    @property
    def text(self) -> str:
        when = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d).*", self.since)
        parts = [
            sentence(self.title.removeprefix("dsrwizard: ")),
            f"process {sentence(self.process)}" if self.process else "",
            "since {}-{}-{} {}:{}:{} by that host's clock".format(*when.groups()) if when else "",
        ]
        return ", ".join(part for part in parts if part) or "Windows does not say which process it is"


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
        elif frame.kind == "busy":
            with contextlib.suppress(msgspec.ValidationError):
                self.refused = frame.read(_Busy).text
        elif frame.kind == "unarmed":
            self.unarmed = True
            self._hear(message)
        elif frame.kind == "disarmed":
            self._disarm()
        elif frame.kind == "armed" and report.seconds and not self.armed:
            self.armed = True
            self._watch.armed(float(report.seconds))
        elif frame.kind == "device" and 0 < report.step <= len(self._steps):
            self._made(report)
        elif report.step:
            if message:
                self._said.append(message)
            self._reached(frame.kind, report.step)

    def _made(self, report: _Report) -> None:
        step = self._steps[report.step - 1]
        names = [change.interface for change in step.changes if isinstance(change, LinkChange)]
        try:
            guid = values.guid(report.guid) if report.guid else ""
        except ValueError:
            return
        if report.name in names and report.device:
            self._watch.made(step, report.name, one_line(report.device, values.NAME), guid)
