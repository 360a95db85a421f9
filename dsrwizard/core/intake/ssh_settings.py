"""ssh_config(5) as ssh reads it: Host, Match and Include in file order, the first value of a setting counting.

One reader for connections (`backends.ssh.config`, which brings the files) and for imports (`importers.ssh_config`).
It is pure: the caller gives the files of an Include, and decides what becomes of a line that is broken.

A host has two names here: the address it is reached at, and its name in the deployment. A Host block counts when its
patterns match either, so that `Host web1` works though the deployment says 10.0.0.101. Only HostName counts under the
address alone: where a server is, the deployment says, and a like-named host of another network must never be configured
by mistake.

Match knows `all`, `final`, `host`, `originalhost`, `user` and `localuser`; a block with another criterion (`exec`,
`localnetwork`, …) never applies, and no command of it is run.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache

DEPTH = 16
"""OpenSSH's own limit for Include inside Include."""
KNOWN_CRITERIA = frozenset({"all", "final", "host", "originalhost", "user", "localuser"})
_LINE = re.compile(r"(\w+)(?:\s*=\s*|\s+)(.*)")
_WHOLE_LINE = {"proxycommand"}
_WILDCARD = re.compile(r"[*?!]")


@dataclass(frozen=True, slots=True)
class SshCondition:
    """A Host (patterns) or Match (criteria) that a setting stands under."""

    keyword: str
    words: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The hosts it names, if it is a Host block without wildcards."""
        plain = self.keyword == "host" and not any(_WILDCARD.search(word) for word in self.words)
        return self.words if plain else ()


@dataclass(frozen=True, slots=True)
class SshEntry:
    """One setting: all conditions must hold. `key` is in lower case; a line `Host` or `Match` alone is none."""

    conditions: tuple[SshCondition, ...]
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
Included = Callable[[tuple[str, ...], str, str], Iterable[tuple[str, str]]]
"""The files of an Include, as (name, text): its words, the file it stands in, and its place."""
Broken = Callable[[str, str], None]
"""Told of a line that cannot be used: its place, and why as a clause. It may raise."""


@lru_cache(maxsize=4096)
def _wildcard(pattern: str) -> re.Pattern[str]:
    return re.compile(translate(pattern.replace("[", "[[]")), re.IGNORECASE)


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


def read_entries(
    text: str,
    name: str,
    included: Included,
    broken: Broken,
    *,
    outer: tuple[SshCondition, ...] = (),
    depth: int = 0,
    conditions_seen: Callable[[SshCondition, str], None] | None = None,
) -> Iterator[SshEntry]:
    """The settings of a text, those of included files in their place. `conditions_seen` is told of every Host and Match
    with its place."""
    conditions = outer
    for number, raw in enumerate(text.splitlines(), 1):
        line, place = raw.strip(), f"{name} line {number}"
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if not found:
            broken(place, f"“{line}” has no value")
            continue
        key = found[1].lower()
        words = _words(key, found[2], place, broken)
        if not words:
            continue
        if key in ("host", "match"):
            condition = SshCondition(key, words)
            conditions = (*outer, condition)
            if conditions_seen is not None:
                conditions_seen(condition, place)
        elif key == "include":
            if depth >= DEPTH:
                broken(place, "files include each other")
                continue
            for path, inner in included(words, name, place):
                yield from read_entries(
                    inner, path, included, broken, outer=conditions, depth=depth + 1, conditions_seen=conditions_seen
                )
        else:
            yield SshEntry(conditions, key, words, place)


def _words(key: str, value: str, place: str, broken: Broken) -> tuple[str, ...]:
    if key in _WHOLE_LINE:
        return (value.strip(),)
    try:
        words = tuple(shlex.split(value, comments=True))
    except ValueError:
        broken(place, "a quotation mark is not closed")
        return ()
    if not words:
        broken(place, f"{key} has no value")
    return words


class SshConfig:
    """The settings of all files in order, to be looked up by host."""

    def __init__(self, entries: Sequence[SshEntry]) -> None:
        self._entries = tuple(entries)
        self._named: dict[str, list[int]] = {}
        self._tried: list[int] = []
        for number, entry in enumerate(self._entries):
            names = {word.lower() for word in entry.conditions[0].names} if len(entry.conditions) == 1 else set()
            for name in names:
                self._named.setdefault(name, []).append(number)
            if not names:
                self._tried.append(number)

    def lookup(self, address: str, name: str = "", user: str | None = None, local_user: str = "") -> Settings:
        """What it says for a host, the first value of each setting. `user`: who logs in, where the deployment says it;
        `local_user`: who runs this."""
        settings: Settings = {}
        verdicts: dict[tuple[tuple[SshCondition, ...], bool], bool] = {}
        names = (address, name) if name else (address,)
        numbers = {*self._tried, *(number for each in names for number in self._named.get(each.lower(), ()))}
        for entry in (self._entries[number] for number in sorted(numbers)):
            by_address = entry.key == "hostname"
            candidates = (address,) if by_address else names
            # Match looks at HostName and User found so far, so only Host blocks can be remembered.
            only_hosts = all(condition.keyword == "host" for condition in entry.conditions)
            memo = (entry.conditions, by_address)
            if not only_hosts or memo not in verdicts:
                verdicts[memo] = all(_holds(each, candidates, settings, user, local_user) for each in entry.conditions)
            if verdicts[memo] and (entry.key not in settings or entry.key == "identityfile"):
                settings.setdefault(entry.key, []).append(Value(entry.words, entry.place))
        return settings


def _holds(
    condition: SshCondition, names: Sequence[str], settings: Settings, user: str | None, local_user: str
) -> bool:
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
                configured = settings["user"][0].text if "user" in settings else local_user
                held = matches(next(words, "").split(","), [user or configured])
            case "localuser":
                held = matches(next(words, "").split(","), [local_user])
            case _:
                return False
        if held != wanted:
            return False
    return True


def unknown_criteria(condition: SshCondition) -> list[str]:
    """The criteria of a Match for which it never applies here."""
    found, words = [], iter(condition.words)
    for word in words:
        criterion = word.lower().removeprefix("!")
        if criterion not in KNOWN_CRITERIA:
            found.append(criterion)
        if criterion not in ("all", "final", "canonical"):
            next(words, "")
    return found
