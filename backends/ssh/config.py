"""`~/.ssh/config` and `/etc/ssh/ssh_config` read as ssh_config(5) says: Host, Match and Include, in file order.

paramiko's own reader knows no Include and one name per host. Here a host has two names: the address it is reached at,
and its name in the deployment. A Host block counts when its patterns match either, so that `Host web1` works though
the deployment says 10.0.0.101. Only HostName counts under the address alone: where a server is, the deployment says,
and a like-named host of another network must never be configured by mistake.

Match knows `all`, `final`, `host`, `originalhost`, `user` and `localuser`; a block with another criterion (`exec`,
`localnetwork`, …) never applies, and no command of it is run.
"""

from __future__ import annotations

import getpass
import glob
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

from dsrwizard import files
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.foreign import one_line

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_DEPTH = 16
"""OpenSSH's own limit for Include inside Include."""
_LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")
_WHOLE_LINE = {"proxycommand"}
_LARGEST = 4_000_000
"""Bytes of a file that is read."""


@dataclass(frozen=True, slots=True)
class _Condition:
    keyword: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Entry:
    conditions: tuple[_Condition, ...]
    key: str
    words: tuple[str, ...]
    place: str
    """File and line, for messages."""


@dataclass(frozen=True, slots=True)
class Value:
    """A setting as written (first word first) and where it stands."""

    words: tuple[str, ...]
    place: str

    @property
    def text(self) -> str:
        return " ".join(self.words)


Settings = dict[str, list[Value]]
"""Lower-case keyword to its values: one, or all of them for IdentityFile."""

_Stamp = tuple[int, int] | None
_cache: dict[tuple[Path, ...], tuple[dict[Path, _Stamp], tuple[_Entry, ...]]] = {}
_cache_lock = Lock()


def home() -> Path:
    """The HOME of this process; `~` in every path means this."""
    return Path.home()


def stamp(path: Path) -> _Stamp:
    """What changes when a file changes; None: it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


@lru_cache(maxsize=4096)
def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.IGNORECASE)


def matches(patterns: Iterable[str], names: Iterable[str]) -> bool:
    """PATTERNS of ssh_config(5): `*` and `?`, and a `!` pattern that matches makes the whole list not match."""
    names, found = tuple(names), False
    for pattern in patterns:
        bare = pattern.removeprefix("!")
        if any(_wildcard(bare).fullmatch(name) for name in names):
            if bare != pattern:
                return False
            found = True
    return found


def lookup(address: str, name: str = "", user: str | None = None) -> Settings:
    """What the configuration files say for a host, first value first. Raises HostError for an unreadable file."""
    settings: Settings = {}
    verdicts: dict[tuple[tuple[_Condition, ...], str], bool] = {}
    names = (address, name) if name else (address,)
    for entry in _entries((home() / ".ssh" / "config", SYSTEM_CONFIG)):
        candidates = (address,) if entry.key == "hostname" else names
        # Match looks at HostName and User found so far, so only Host blocks can be remembered.
        only_hosts = all(condition.keyword == "host" for condition in entry.conditions)
        memo = (entry.conditions, "address" if entry.key == "hostname" else "both")
        if not only_hosts or memo not in verdicts:
            verdicts[memo] = all(_holds(each, candidates, settings, user) for each in entry.conditions)
        if verdicts[memo] and (entry.key not in settings or entry.key == "identityfile"):
            settings.setdefault(entry.key, []).append(Value(entry.words, entry.place))
    return settings


def _holds(condition: _Condition, names: Sequence[str], settings: Settings, user: str | None) -> bool:
    if condition.keyword == "host":
        return matches(condition.words, names)
    words = iter(condition.words)
    for word in words:
        criterion = word.lower()
        wanted = not criterion.startswith("!")
        match criterion.removeprefix("!"):
            case "all" | "final":
                held = True
            case "host":
                real = [settings["hostname"][0].text] if "hostname" in settings else names
                held = matches(next(words, "").split(","), real)
            case "originalhost":
                held = matches(next(words, "").split(","), names)
            case "user":
                configured = settings["user"][0].text if "user" in settings else getpass.getuser()
                held = matches(next(words, "").split(","), [user or configured])
            case "localuser":
                held = matches(next(words, "").split(","), [getpass.getuser()])
            case _:
                return False
        if held != wanted:
            return False
    return True


def _entries(files: tuple[Path, ...]) -> tuple[_Entry, ...]:
    with _cache_lock:
        known = _cache.get(files)
        if known and all(stamp(path) == seen for path, seen in known[0].items()):
            return known[1]
        stamps: dict[Path, _Stamp] = {}
        entries = tuple(entry for path in files for entry in _read(path, (), stamps, 0))
        _cache[files] = (stamps, entries)
        return entries


def _read(path: Path, outer: tuple[_Condition, ...], stamps: dict[Path, _Stamp], depth: int) -> Iterator[_Entry]:
    stamps[path] = stamp(path)
    try:
        text = files.read(path, _LARGEST, ours=True).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return
    except files.NotOurs as error:
        raise HostError(
            f"The SSH configuration {one_line(str(path))} is not used.", error.sentence, "Then connect again."
        ) from error
    except OSError as error:
        raise broken(str(path), error.strerror or "it cannot be read") from error
    conditions = outer
    for number, raw in enumerate(text.splitlines(), 1):
        line, place = raw.strip(), f"{path} line {number}"
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found:
            raise broken(place, f"“{line}” has no value")
        key, words = found[1].lower(), _words(found[1].lower(), found[2], place)
        if key in ("host", "match"):
            conditions = (*outer, _Condition(key, words))
        elif key == "include":
            if depth >= _DEPTH:
                raise broken(place, "files include each other")
            for included in _included(words, path, stamps):
                yield from _read(included, conditions, stamps, depth + 1)
        else:
            yield _Entry(conditions, key, words, place)


def _words(key: str, value: str, place: str) -> tuple[str, ...]:
    if key in _WHOLE_LINE:
        return (value.strip(),)
    try:
        words = tuple(shlex.split(value, comments=True))
    except ValueError as error:
        raise broken(place, "a quotation mark is not closed") from error
    if not words:
        raise broken(place, f"{key} has no value")
    return words


def _included(words: tuple[str, ...], parent: Path, stamps: dict[Path, _Stamp]) -> Iterator[Path]:
    base = SYSTEM_CONFIG.parent if parent.is_relative_to(SYSTEM_CONFIG.parent) else home() / ".ssh"
    for word in words:
        pattern = base / Path(word).expanduser()
        stamps[pattern.parent] = stamp(pattern.parent)
        yield from (Path(found) for found in sorted(glob.glob(str(pattern))))  # noqa: PTH207  (absolute patterns)


def broken(place: str, why: str) -> HostError:
    """The error for a configuration that cannot be used."""
    return HostError(
        f"The SSH configuration cannot be used: {one_line(place)}.",
        one_line(f"{why[0].upper()}{why[1:]}."),
        "Fix that line.",
    )
