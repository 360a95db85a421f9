"""What of a Linux server's guard and VIPs is there after its next boot, by all the files that set them.

Said is only what is certain: a script that may set something makes it unknown, never lost.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Literal

import msgspec

from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.linux.boot import order, parts
from dsrwizard.core.dialects.linux.boot_lines import sets_address, sets_guard
from dsrwizard.core.dialects.linux.plan import (
    GUARD,
    dispatcher_file,
    files_of,
    ifupdown_file,
    keeps_guard,
    keeps_vips,
    unit_file,
    unit_link,
)
from dsrwizard.core.model.changes import GUARD_FILE
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.linux_facts import Boot, BootFile, BootSetting


class After(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one thing. `seen`: the files behind it; `reason` and `fix`: why it is lost, and the cure; an
    empty `fix` is what an apply writes. `lines` of sysctl files are to be taken out."""

    state: Literal["kept", "lost", "unknown"]
    seen: str = ""
    reason: str = ""
    fix: str = ""
    lines: tuple[BootSetting, ...] = ()


# -- the guard


def guard_after(view: ServerView, boot: Boot) -> After:
    """The guard of IPv4 VIPs. The server's facts are known."""
    found = [_setting_after(view, boot, name) for name in GUARD]
    for state in ("lost", "unknown"):
        those = [one for one in found if one.state == state]
        if those:
            lines = [line for one in those for line in one.lines]
            fixes = dict.fromkeys(one.fix for one in those if one.fix)
            if lines:
                fixes[_commented_out(lines)] = None
            return After(
                state=state, seen="; ".join(dict.fromkeys(one.seen for one in those if one.seen)),
                reason="; ".join(dict.fromkeys(one.reason for one in those if one.reason)), fix=" && ".join(fixes),
            )  # fmt: skip
    return After(state="kept", seen=", ".join(dict.fromkeys(one.seen for one in found)))


def _setting_after(view: ServerView, boot: Boot, name: str) -> After:
    assert view.facts is not None  # noqa: S101 - the caller has asked
    nic = view.nic.name if view.nic else ""
    settings = list(boot.settings)
    last = {place: _winner(settings, ["net", "ipv4", "conf", place, name]) for place in ("all", nic) if place}
    values = {place: _number(one.value) for place, one in last.items() if one is not None}
    behind = {place: one.path for place, one in last.items() if one is not None}
    for file, place, value in _later(view, boot, name, settings):
        if place in ("all", nic):
            values[place], behind[place] = value, file
    if _good(name, values):
        spoilers = [one.path for one in boot.files if one.active and _opaque(one) and _only_bad(one, name)]
        if spoilers:
            return After(state="unknown", seen=f"{', '.join(spoilers)} may set another {name}")
        return After(state="kept", seen=", ".join(dict.fromkeys(behind[place] for place in values)))
    doubts = _doubts(view, boot, (name,))
    if not view.facts.privileged:
        doubts.append("files that only root may read")
    if _winner(settings, ["net", "ipv4", "conf", "default", name]) is not None and not values:
        doubts.append(f"net.ipv4.conf.default.{name}, for interfaces that come later")
    if (now := view.setting(name)) is not None and not _good(name, {"all": now}):
        doubts.append(f"{name} is not set now, either: another guard acts")
    if doubts:
        return After(state="unknown", seen="; ".join(doubts))
    culprits = _culprits(view, settings, ["net", "ipv4", "conf", "all", name])
    if not culprits and values:
        place = max(values, key=lambda place: values[place] or 0)
        told, line = f"{behind[place]} sets {place}.{name} = {values[place]}", last[place]
        if line is not None and line.path == behind[place]:
            return After(state="lost", seen=told, reason=told, lines=(line,))
        return After(state="lost", seen=told, reason=told, fix=_without(boot, behind[place], name))
    if not culprits:
        return After(state="lost", seen=f"no file sets {name}")
    said = f"{culprits[-1].path} sets {name} = {culprits[-1].value}"
    before = next((one.path for one in settings if one.path == GUARD_FILE), "")
    reason = f"{said} after {before}" if before else said
    beaten = not keeps_guard(view.facts) and not _culprits(
        view, settings, ["net", "ipv4", "conf", "all", name], ours=True
    )
    return After(state="lost", seen=reason, reason=reason, lines=() if beaten else tuple(culprits))


def _good(name: str, values: dict[str, int | None]) -> bool:
    """The larger of `all` and the interface's own value acts (ip-sysctl)."""
    known = [value for value in values.values() if value is not None]
    return bool(known) and (max(known) in (1, 2) if name == "arp_ignore" else max(known) >= 2)


def _number(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"[0-9]{1,6}", value) else None


def _winner(settings: Sequence[BootSetting], wanted: list[str]) -> BootSetting | None:
    """The line that acts on a key: the last that names it, otherwise the last pattern that it fits, unless a line keeps
    patterns from it."""
    exact = [one for one in settings if one.value is not None and parts(one.key) == wanted]
    if exact:
        return exact[-1]
    fitting = [one for one in settings if _fits(parts(one.key), wanted)]
    if any(one.value is None for one in fitting):
        return None
    return fitting[-1] if fitting else None


def _fits(pattern: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(pattern) == len(wanted) and all(map(fnmatchcase, wanted, pattern))


def _culprits(
    view: ServerView, settings: Sequence[BootSetting], wanted: list[str], *, ours: bool = False
) -> list[BootSetting]:
    """The lines that undo a good value or give a bad one, the one that acts last; none where none does. `ours`: as if
    our own file were there."""
    name = wanted[-1]
    told = list(settings)
    if ours:
        mine = BootSetting(path=GUARD_FILE, key=".".join(wanted), value=GUARD[name])
        systemd = view.facts is not None and view.facts.persistence == "systemd"
        sequence = order([*_paths(settings), GUARD_FILE], systemd=systemd)
        told = [one for path in sequence for one in (*settings, mine) if one.path == path]
    exact = [one for one in told if one.value is not None and parts(one.key) == wanted] or [
        one for one in told if one.value is not None and _fits(parts(one.key), wanted)
    ]
    found: list[BootSetting] = []
    for one in exact:
        found = [] if _good(name, {"all": _number(one.value)}) else [*found, one]
    return found


def _paths(settings: Iterable[BootSetting]) -> list[str]:
    return list(dict.fromkeys(one.path for one in settings))


def _commented_out(lines: Sequence[BootSetting]) -> str:
    """The command that makes comments of these lines."""
    commands = []
    for path in _paths(lines):
        keys = dict.fromkeys(_literal(one.key) for one in lines if one.path == path)
        words = " ".join(
            f"-e {shlex.quote(f's|^[[:space:]]*-{{0,1}}[[:space:]]*{key}[[:space:]]*=|# &|')}" for key in keys
        )
        commands.append(f"sed -i {words} {shlex.quote(path)}")
    return " && ".join(commands).replace("-{0,1}", r"-\{0,1\}")


def _without(boot: Boot, path: str, name: str) -> str:
    """What takes the lines out of a file that give a setting a bad value. A shell script is left to who wrote it: its
    lines may depend on each other."""
    bad = [
        line
        for one in boot.files
        if one.path == path
        for line in one.lines
        if any(not _good(name, {"all": value}) for _, value in sets_guard(line, name))
    ]
    if path.endswith("/rc.local") or not all(line.isascii() and line.isprintable() for line in bad):
        return f"take that line out of {path}"
    words = " ".join(f"-e {shlex.quote(f's|^[[:space:]]*{_literal(line.strip())}[[:space:]]*$|# &|')}" for line in bad)
    return f"sed -i {words} {shlex.quote(path)}"


def _literal(text: str) -> str:
    """A text as sed's pattern for it."""
    return re.sub(r"([.\[\]*^$\\|])", r"\\\1", text)


# -- what comes after the sysctl files


def _later(view: ServerView, boot: Boot, name: str, settings: Sequence[BootSetting]) -> list[tuple[str, str, int]]:
    """(file, interface, value) of what sets it later on: ifupdown, units, tuned, rc.local, in that order. Our own unit
    is left out: what it sets is gone when the sysctl files are read again, as after an update."""
    assert view.facts is not None  # noqa: S101 - the caller has asked
    found: list[tuple[str, str, int]] = []
    files = [one for one in boot.files if one.active and not _opaque(one)]
    found += [told for one in files if "/network/interfaces" in one.path for told in _told(one, name)]
    mine = files_of(view.evidence.deployment.name)
    units = [one for one in files if one.path.endswith(".service") and one.path not in mine]
    found += [told for one in units for told in _told(one, name)]
    found += _by_tuned(boot, name, settings)
    return found + [told for one in files if one.path.endswith("/rc.local") for told in _told(one, name)]


def _told(file: BootFile, name: str) -> list[tuple[str, str, int]]:
    return [(file.path, place, value) for line in file.lines for place, value in sets_guard(line, name)]


def _by_tuned(boot: Boot, name: str, settings: Sequence[BootSetting]) -> list[tuple[str, str, int]]:
    """What the active profiles of tuned set; it reads the sysctl files again after them, unless told not to."""
    lines = {one.path: one.lines for one in boot.files if "/tuned" in one.path and one.active}
    profiles = {word for line in lines.get("/etc/tuned/active_profile", ()) for word in line.split()}
    again = not any(
        re.match(r"\s*reapply_sysctl\s*=\s*(0|false|no|off)\b", line, re.IGNORECASE)
        for line in lines.get("/etc/tuned/tuned-main.conf", ())
    )
    found = []
    for path, text in lines.items():
        if path.endswith("/tuned.conf") and path.split("/")[-2] in profiles:
            for line in text:
                found += [(path, place, value) for place, value in sets_guard(line, name)]
    if not again:
        return found
    return [one for one in found if _winner(settings, ["net", "ipv4", "conf", one[1], name]) is None]


_SCRIPTS = ("/etc/init.d/", "/etc/rc.d/init.d/", "/etc/local.d/", "/etc/udev/", "/usr/local/", "/root/")


def _opaque(file: BootFile) -> bool:
    """Whether only running it would tell what it does."""
    return file.path.startswith(_SCRIPTS) or "cron" in file.path or "dispatcher.d" in file.path


def _only_bad(file: BootFile, name: str) -> bool:
    told = [value for _, _, value in _told(file, name)]
    return bool(told) and not any(_good(name, {"all": value}) for value in told)


def _doubts(view: ServerView, boot: Boot, words: Sequence[str]) -> list[str]:
    """Files that may set what these words name."""
    mine = files_of(view.evidence.deployment.name)
    found = []
    for one in boot.files:
        if one.path in mine or "/tuned" in one.path or "/network/interfaces" in one.path:
            continue
        named = any(_names(line, word) for line in one.lines for word in words)
        calls = one.path.endswith("/rc.local") and one.active and any(map(_calls, one.lines))
        reboot = any("@reboot" in line for line in one.lines)
        settled = one.path.endswith("/rc.local") and any(sets_guard(line, word) for line in one.lines for word in words)
        if (named and not settled) or calls or reboot:
            found.append(f"{one.path} may set it")
    return found


def _names(line: str, word: str) -> bool:
    """Whether a line names an address or a setting: 10.0.0.10 is not in 10.0.0.102."""
    before = "" if word in GUARD else r"(?<![\w.:])"
    return re.search(rf"{before}{re.escape(word)}(?![\w.:]*\w)", line) is not None


def _calls(line: str) -> bool:
    """Whether a line of rc.local runs something that may be a script of its own."""
    first = (line.split() or [""])[0]
    known = (
        "exit",
        "#",
        "ip",
        "/sbin/ip",
        "/usr/sbin/ip",
        "ifconfig",
        "/sbin/ifconfig",
        "sysctl",
        "echo",
        "set",
        "touch",
    )
    return bool(first) and first not in known and not first.startswith("#") and not re.match(r"\w+=\S*$", line.strip())


# -- the VIPs


def vip_after(view: ServerView, boot: Boot, vip: Vip) -> After:
    """One VIP. The server's facts are known."""
    assert view.facts is not None  # noqa: S101 - the caller has asked
    deployment = view.evidence.deployment
    ours = keeps_vips(deployment, view.server, view.facts)
    if ours:
        return After(state="kept", seen=", ".join(ours))
    mine = files_of(deployment.name)
    others = [one for one in boot.files if one.path not in mine]
    for one in others:
        if one.active and not _opaque(one) and sets_address(one.path, one.lines, vip.address):
            return After(state="kept", seen=one.path)
    doubts = _doubts(view, msgspec.structs.replace(boot, files=tuple(others)), (vip.address,))
    doubts += [
        f"{one.path} names {vip.address}"
        for one in others
        if "/network/interfaces" in one.path and any(_names(line, vip.address) for line in one.lines)
    ]
    if not view.facts.privileged:
        doubts.append("files that only root may read")
    translated = view.platform.translated(view, vip)
    if translated:
        doubts.append(f"{view.name} {translated}")
    unread = _unread(view, boot)
    if unread and not doubts:
        return After(
            state="lost", seen=f"{unread} is there", reason="no source line of /etc/network/interfaces reads its file",
            fix="printf '%s\\n' 'source /etc/network/interfaces.d/*' >>/etc/network/interfaces",
        )  # fmt: skip
    if view.facts.persistence == "none" and not doubts:
        doubts.append("neither systemd nor ifupdown sets addresses there")
    if (
        vip.ip.version == 6
        and not doubts
        and not any(one in view.facts.files for one in mine if view.facts.files.get(one))
    ):
        doubts.append("an IPv6 address may be written in several ways")
    if doubts:
        return After(state="unknown", seen="; ".join(doubts))
    return After(state="lost", seen=f"not as it should be: {', '.join(_own_paths(view))}")


def _unread(view: ServerView, boot: Boot) -> str:
    """Our file of ifupdown where it is as it should be and interfaces(5) does not read it; empty: it does, or nothing
    of ifupdown is there."""
    assert view.facts is not None  # noqa: S101 - the caller has asked
    stanza = ifupdown_file(view.evidence.deployment.name)
    main = any(one.path == "/etc/network/interfaces" and one.active for one in boot.files)
    there = view.facts.files.get(stanza) is not None
    return stanza if view.facts.persistence == "none" and main and there else ""


def _own_paths(view: ServerView) -> list[str]:
    assert view.facts is not None  # noqa: S101 - the caller has asked
    name = view.evidence.deployment.name
    if view.facts.persistence != "systemd":
        return [ifupdown_file(name)]
    return [unit_file(name), unit_link(name), *([dispatcher_file(name)] if view.facts.networkmanager else [])]
