"""What the next boot sets on a Linux real server: the parser of the files that do.

sysctl.d(5): files of all directories in the order of their names alone; one in /etc hides one of the same name in
/run, that one in /usr/local/lib, and so on; the last line for a key wins. systemd-sysctl reads those alone;
`sysctl --system` of procps, by which hosts without systemd boot, reads /etc/sysctl.conf after all.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

from dsrwizard.core.model.linux_facts import Boot, BootFile, BootSetting

CONF = "/etc/sysctl.conf"
_DIRECTORIES = ("/etc/sysctl.d/", "/run/sysctl.d/", "/usr/local/lib/sysctl.d/", "/usr/lib/sysctl.d/", "/lib/sysctl.d/")
_LINES = 2000
_LENGTH = 1000


def parse(found: Mapping[str, Sequence[str]], *, systemd: bool) -> Boot:
    """The sections `sysctl_files` and `boot_files` (a path a line), `sysctl_lines` and `boot_lines` (`path:line`, from
    those files), `enabled`."""
    enabled = [line.strip() for line in list(found.get("enabled", ()))[:_LINES]]
    texts = _by_file(found.get("boot_files", ()), found.get("boot_lines", ()))
    return Boot(settings=tuple(_settings(found, systemd)), files=tuple(_files(texts, enabled, systemd)))


def _settings(found: Mapping[str, Sequence[str]], systemd: bool) -> Iterator[BootSetting]:
    written = _by_file(found.get("sysctl_files", ()), found.get("sysctl_lines", ()))
    for path in order(written, systemd=systemd):
        # Debian's 99-sysctl.conf is a link to it.
        linked = path.endswith("/99-sysctl.conf") and bool(written[path]) and written[path] == written.get(CONF)
        for text in written[path]:
            setting = line_of(CONF if linked else path, text)
            if setting is not None:
                yield setting


def _by_file(paths: Sequence[str], lines: Sequence[str]) -> dict[str, list[str]]:
    """The lines of each file. A path may have a colon in it."""
    written: dict[str, list[str]] = {path: [] for line in paths[:_LINES] if (path := line.strip()).startswith("/")}
    for line in lines:
        places = [at for at, sign in enumerate(line[:_LENGTH]) if sign == ":" and line[:at] in written]
        path, text = (line[: places[-1]], line[places[-1] + 1 :]) if places else ("", "")
        if text.strip() and len(written[path]) < _LINES:
            written[path].append(text[:_LENGTH])
    return written


def order(paths: Iterable[str], *, systemd: bool) -> list[str]:
    """The files that are read, in the order in which they are."""
    there = dict.fromkeys(paths)
    by_name: dict[str, str] = {}
    for directory in reversed(_DIRECTORIES):
        by_name |= {path.removeprefix(directory): path for path in there if path.startswith(directory)}
    files = [by_name[name] for name in sorted(by_name, key=lambda name: name.encode("utf-8", "replace"))]
    return files if systemd or CONF not in there else [*files, CONF]


def line_of(path: str, text: str) -> BootSetting | None:
    """One line: `key = value`, `-key = value` (no error where it fails), `-key` (no pattern sets it)."""
    key, equals, value = text.strip().partition("=")
    key = key.strip()
    if not key or key[0] in "#;" or not (equals or key[0] == "-"):
        return None
    return BootSetting(path=path, key=key.lstrip("-").strip(), value=value.strip() if equals else None)


def parts(key: str) -> list[str]:
    """A key in any spelling, as the names of its path: the first `.` or `/` is the separator, the other one a `.`."""
    first = re.search(r"[./]", key)
    if first is not None and first[0] == "/":
        return key.split("/")
    return [part.replace("/", ".") for part in key.split(".")]


def _files(texts: Mapping[str, Sequence[str]], enabled: Sequence[str], systemd: bool) -> Iterator[BootFile]:
    said = texts.get("/etc/network/interfaces", ())
    sourced = [line.split()[1] for line in said if re.match(r"\s*source(-directory)?\s+\S", line)]
    active = _Active(enabled, sourced, systemd, any(texts.get("/etc/tuned/active_profile", ())))
    for path, written in texts.items():
        told = tuple(line for line in written if line.strip() and line.strip()[0] not in "#;")
        if told:
            yield BootFile(path=path, lines=told, active=active(path, told))


class _Active:
    """Whether something runs or reads a file at boot, as far as that can be told."""

    def __init__(self, enabled: Sequence[str], sourced: Sequence[str], systemd: bool, profiled: bool) -> None:
        self._enabled = frozenset(enabled)
        self._names = frozenset(path.rpartition("/")[2] for path in enabled)
        self._sourced = [re.sub(r"[*?\[].*", "", path) for path in sourced]
        self._systemd = systemd
        self._profiled = profiled

    def __call__(self, path: str, lines: Sequence[str]) -> bool:
        name = path.rpartition("/")[2]
        if path in ("/etc/rc.local", "/etc/rc.d/rc.local"):
            return path in self._enabled
        if "/systemd/network/" in path:
            return "/run/systemd/netif" in self._enabled
        if path.startswith("/etc/systemd/system/"):
            return self._systemd and name in self._names
        if path.startswith("/etc/network/interfaces"):
            ifup = {"/sbin/ifup", "/usr/sbin/ifup"} & self._enabled
            return (bool(ifup) or not self._systemd) and (
                path == "/etc/network/interfaces" or any(map(path.startswith, self._sourced))
            )
        if path.startswith(("/etc/init.d/", "/etc/rc.d/init.d/")):
            return any(one.endswith(name) for one in self._names if one.startswith("S")) or name in self._names
        if "/tuned" in path:
            return self._profiled
        if "cron" in path:
            return any("@reboot" in line for line in lines)
        return path.startswith(
            (
                "/etc/netplan/",
                "/etc/NetworkManager/",
                "/etc/sysconfig/network",
                "/etc/conf.d/net",
                "/etc/udev/",
                "/etc/local.d/",
            )
        )
