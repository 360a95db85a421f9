"""The script that looks at keepalived on a director, and the parser of what it prints."""

from __future__ import annotations

import base64
import binascii
import re
import shlex
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

import msgspec

from dsrwizard.core.dialects.keepalived.putting import process
from dsrwizard.core.dialects.linux import values
from dsrwizard.core.dialects.linux.look_at_files import look_at_files
from dsrwizard.core.dialects.linux.observe import file_of, folders_seen, sections, sysctl_key
from dsrwizard.core.dialects.linux.values import reading
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.guarding import GuardState, state_path
from dsrwizard.core.model.keepalived import (
    KEEPALIVED_CONF,
    KeepalivedFacts,
    SyncDaemon,
    TableEntry,
    TableService,
    files_looked_at,
    keepalived_folders,
)

_LOOK = body(__package__, "keepalived_look.sh")
_VERSION = re.compile(r"Keepalived v([0-9]{1,5}(?:\.[0-9]{1,5}){0,4})", re.ASCII)
_SERVICE = re.compile(r"(TCP|UDP)\s+(\S+):([0-9A-F]{4})\s+(\w+)(?:\s+ops)?(?:\s+persistent ([0-9]{1,10}))?", re.ASCII)
_ENTRY = re.compile(r"\s*->\s+(\S+):([0-9A-F]{4})\s+(\w+)\s+([0-9]{1,10})\s+([0-9]{1,10})", re.ASCII)
_CONFIG = re.compile(r"\s(?:-f|--use-file=?)\s*(\S+)")
_PROGRAM = re.compile(r"/[!-~]+", re.ASCII)
_DAEMON = re.compile(r"(master|backup) sync daemon \(mcast=([!-~]{1,15}), syncid=([0-9]{1,3})\b", re.ASCII)
_DIGITS = 12
"""Of seconds since the epoch."""
_METHODS = {"Route": "dr", "Masq": "nat", "Tunnel": "tun", "Local": "local"}


def look_script(nonce: str, deployment: str, settings: Iterable[str]) -> str:
    """The script. `settings`: kernel settings in dotted form."""
    paths = [f"/proc/sys/{key.translate(str.maketrans('./', '/.'))}" for key in settings]
    holes = {
        "@NONCE@": nonce,
        "@PROCESS@": process(),
        "@GUARD@": shlex.quote(str(state_path(deployment))),
        "@SETTINGS@": " ".join(map(shlex.quote, paths)) or "''",
        "@LOOK_AT_FILES@": look_at_files(files_looked_at(deployment), keepalived_folders()),
    }
    return filled(_LOOK, holes)


def parse_look(host: str, nonce: str, text: str) -> KeepalivedFacts:
    """The facts in what the script printed. Raises AnswerUnreadable."""
    found = sections(nonce, text)
    if "end" not in found:
        raise AnswerUnreadable(
            f"{host}: what it says of keepalived is cut short.", "The script did not run to its end.", "Run it again."
        )
    modes = {path: mode for mode, _, path in (line.partition(" ") for line in found.get("modes", []))}
    version = _VERSION.match(next(iter(found.get("version", [])), ""))
    running = found.get("running", [])
    config = _CONFIG.search(running[1]) if len(running) > 1 else None
    unit = found.get("unit", [])
    program = next(iter(found.get("program", [])), "")
    guard, guarded = _guard(found.get("guard", []))
    with reading(host, "its kernel settings", "sysctl net.ipv4.vs"):
        settings = dict(_settings(found.get("settings", [])))
    return KeepalivedFacts(
        version=version[1] if version else "",
        systemd=found.get("systemd") == ["yes"],
        running=bool(running),
        active=found.get("active") == ["yes"],
        age=_age(next(iter(found.get("age", [])), "")),
        sync=_sync(found.get("sync", [])),
        other_config=config[1] if config and config[1] != KEEPALIVED_CONF else "",
        program=program if _PROGRAM.fullmatch(program) else "",
        guard=guard,
        guarded=guarded,
        unit=unit[0] if unit else "",
        masked=unit[1:] == ["/dev/null"],
        sysctls=settings,
        table=tuple(_table(found["table"][1:])) if found.get("table") else None,
        missing=tuple(found.get("named", [])),
        texts={name[5:]: _text(lines) for name, lines in found.items() if name.startswith("text:/")},
        folders=folders_seen(found.get("folders", [])),
        files={
            name[5:]: file_of(host, name[5:], lines, modes.get(name[5:], ""))
            for name, lines in found.items()
            if name.startswith("file:/")
        },
    )


def _settings(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    for line in lines:
        path, _, value = line.rpartition(":")
        yield sysctl_key(path), values.setting(value.strip())


def _age(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS else None


def _sync(lines: list[str]) -> tuple[SyncDaemon, ...] | None:
    """What `ipvsadm -l --daemon` prints; the last line stands only where it could ask."""
    if lines[-1:] != ["asked"]:
        return None
    found = (_DAEMON.match(line) for line in lines)
    return tuple(SyncDaemon(state=one[1], interface=one[2], id=int(one[3])) for one in found if one is not None)


def _guard(lines: list[str]) -> tuple[GuardState | None, bool]:
    """What a guard there wrote last, and whether it is at work: by the clock there, which stands in the first line."""
    try:
        state = msgspec.json.decode(base64.b64decode("".join(lines[1:]), validate=True), type=GuardState)
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        return None, False
    now = lines[0].strip()
    return state, now.isascii() and now.isdigit() and len(now) <= _DIGITS and state.alive(float(now))


def _text(lines: list[str]) -> str:
    try:
        return base64.b64decode("".join(lines), validate=True).decode(errors="replace")
    except (ValueError, binascii.Error):
        return ""


def _table(lines: Iterable[str]) -> Iterable[TableService]:
    """/proc/net/ip_vs (ip_vs_info_seq_show() of ip_vs_ctl.c): addresses of IPv4 in hexadecimal, of IPv6 in brackets."""
    head: re.Match[str] | None = None
    entries: list[TableEntry] = []
    for line in (*lines, ""):
        entry = _ENTRY.match(line)
        if entry is not None:
            entries.append(
                TableEntry(
                    address=_address(entry[1]), port=int(entry[2], 16), method=_METHODS.get(entry[3], entry[3]),
                    weight=int(entry[4]), active=int(entry[5]),
                )
            )  # fmt: skip
            continue
        if head is not None:
            yield TableService(
                protocol=head[1].lower(), address=_address(head[2]), port=int(head[3], 16), scheduler=head[4],
                persistence=int(head[5] or 0), entries=tuple(entries),
            )  # fmt: skip
        head, entries = _SERVICE.match(line), []


def _address(text: str) -> str:
    try:
        return str(IPv6Address(text.strip("[]"))) if text.startswith("[") else str(IPv4Address(int(text, 16)))
    except ValueError:
        return text
