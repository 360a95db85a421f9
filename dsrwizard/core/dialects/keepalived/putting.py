"""The scripts that check keepalived's files and have it read them, start or stop it; and the words for a review."""

from __future__ import annotations

import base64

from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.changes import KeepalivedChange

_PROCESS = body(__package__, "process.sh")
_CHECK = body(__package__, "check.sh")
_DAEMON = body(__package__, "daemon.sh")
_UNIT = {
    "read": ("systemctl reload keepalived",),
    "running": ("systemctl start keepalived",),
    "stopped": ("systemctl stop keepalived",),
}
_ITSELF = {
    "read": ("kill -HUP $(cat /run/keepalived.pid)",),
    "running": ("keepalived",),
    "stopped": ("kill $(cat /run/keepalived.pid)",),
}
_FOLDER = "/etc/keepalived/"


def process() -> str:
    """The function `keepalived_pid`."""
    return _PROCESS


def script(change: KeepalivedChange) -> str:
    """What carries the change out, for `sh`. Status 1: it did not; the output says why. Empty: nothing to do."""
    verb = {"read": "reload", "running": "start", "stopped": "stop"}.get(change.new)
    if verb is not None:
        return filled(_DAEMON, {"@PROCESS@": _PROCESS, "@VERB@": f"{change.by}-{verb}"})
    put = [
        f"put {path.removeprefix(_FOLDER)} {base64.b64encode(text.encode()).decode()}" for path, text in change.files
    ]
    return filled(_CHECK, {"@PUT@": "\n".join(put)}) if put else ""


def in_one_line(change: KeepalivedChange) -> tuple[str, ...]:
    """The same as one command of a longer script."""
    text = script(change)
    return (f"printf %s {base64.b64encode(text.encode()).decode()} | base64 -d | sh",) if text else ()


def shown_commands(change: KeepalivedChange) -> tuple[str, ...]:
    """The same as an operator would type it."""
    if change.new == "checked":
        return ("keepalived -t  # on a copy of /etc/keepalived with the new files",) if change.files else ()
    return (_ITSELF if change.by == "itself" else _UNIT)[change.new]
