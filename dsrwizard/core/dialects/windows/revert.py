"""The undo that a Windows server carries out by itself: what is sent to arm it, to keep the steps, what the server's
own task runs.

Before the first step a script that takes the steps back is written to a folder in Windows' own folder, where nobody but
administrators can make anything, and started as a scheduled task of the system's own account. It is registered by the
COM object Schedule.Service (Task Scheduler 2.0), which PowerShell 2.0 on Windows Server 2008 has as well as every later
one, and whose errors are numbers; the cmdlets came with 2012, and schtasks.exe speaks the host's language. The task has
no trigger. It runs from the moment it is armed, so that whatever keeps it from running is known before anything is
changed, and waits for a time that each step puts off, counted since the boot. A reboot ends it, and nothing starts it
again.

The script takes changes back by the functions that the steps are carried out with (`scripts/changes.ps1`,
`scripts/dispatch.ps1`).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from dsrwizard.core.dialects.script_files import filled
from dsrwizard.core.dialects.windows.commands import UNBINDABLE, quoted, split
from dsrwizard.core.dialects.windows.frames import frames
from dsrwizard.core.dialects.windows.powershell import GENERATIONS, array, file, prelude
from dsrwizard.core.dialects.windows.sites import parts_of
from dsrwizard.core.model.changes import AddressChange, Change, LinkChange, WindowsChange

PLACE = file("undo_place.ps1")
END = file("undo_end.ps1")
OVER = file("undo_over.ps1")
_LOCK = file("lock.ps1")
_LOCKED = file("locked.ps1")
_MARKS = file("undo_marks.ps1")
_ARM = file("arm.ps1")
_BEGIN = file("revert_begin.ps1")
_REVERT = file("revert.ps1")
_KEEP = file("keep.ps1")
_CLEARED = file("cleared.ps1")


def common(nonce: str) -> str:
    """What every script begins with that ends an undo, or that one undo is made of."""
    return prelude(nonce) + GENERATIONS["2008"].json + _LOCK + PLACE + END


def marks(seconds: int) -> str:
    """What the steps note for the undo; they note nothing where none is armed."""
    return filled(_MARKS, {"'@AFTER@'": str(seconds)})


def arming(seconds: int, title: str) -> str:
    """What arms the undo of the steps in the variable `$machinery`, before the first of them. `title` stands in the
    process list while the task runs."""
    return filled(
        _ARM,
        {
            "'@AFTER@'": str(seconds),
            "'@TITLE@'": quoted(quoted(title)),
            "'@BEGIN@'": quoted(_BEGIN),
            "'@REVERT@'": quoted(_end(seconds)),
        },
    )


def task_script(machinery: str, session: int, seconds: int) -> str:
    """What `arming` writes for the task."""
    return f"{_BEGIN}\n{machinery}\n$session = {session}\n{_end(seconds)}"


def _end(seconds: int) -> str:
    return filled(_REVERT, {"'@AFTER@'": str(seconds), "'@UNBINDABLE@'": array(UNBINDABLE)})


def keep_script(nonce: str) -> str:
    """The script that disarms every undo on the host; `kept` reads what it says."""
    return f"# dsrwizard: keep what was changed\n{common(nonce)}{_KEEP}"


def clear_script(nonce: str) -> str:
    """The script that removes what an undo has left: its note, and one that will never be carried out."""
    return f"# dsrwizard: change of nothing but what an undo has left\n{common(nonce)}{_LOCKED}{OVER}{_CLEARED}"


class _Kept(msgspec.Struct):
    word: str = ""


def kept(nonce: str, text: str) -> str:
    """What came of it: `kept`, `back` (it has taken the steps back), `none` (none was armed), or nothing that is
    known."""
    for frame in frames(nonce, text):
        if frame.kind == "keep":
            try:
                word = frame.read(_Kept).word
            except msgspec.ValidationError:
                return ""
            return word if word in ("kept", "back", "none") else ""
    return ""


_OF_ADAPTER = {
    "dhcp": "DHCP", "weak-receive": "weak-host receive", "weak-send": "weak-host send", "metric": "the metric",
    "dad": "duplicate address detection", "router-discovery": "router discovery", "binding": "the bindings",
    "dns-registration": "DNS registration", "netbios": "NetBIOS",
}  # fmt: skip


def about(change: Change, names: Mapping[str, str]) -> str:
    """What a note calls it that could not be taken back. `names`: adapters by GUID."""
    match change:
        case LinkChange(interface=name):
            return f"the adapter {name}"
        case AddressChange(interface=name, address=address, prefix=prefix):
            return f"{address}/{prefix} on {name}"
        case WindowsChange(item="firewall-rule", key=key):
            return f"the firewall rule {key}"
        case WindowsChange(item="site-binding", key=key):
            site, _, information = parts_of(key)
            return f"the binding {information} of the site {site}"
        case WindowsChange(item="listen-address", key=key):
            return f"{key} in the listen list of http.sys"
        case WindowsChange(item="certificate", key=key):
            return f"the certificate of {key}"
        case WindowsChange(item=item, key=key):
            adapter, part = (key, "") if item in ("dns-registration", "netbios") else split(key)
            family = f" for IPv{part}" if part in ("4", "6") else ""
            return f"{_OF_ADAPTER[item]} of {names.get(adapter.lower(), adapter)}{family}"
        case _:
            return type(change).__name__
