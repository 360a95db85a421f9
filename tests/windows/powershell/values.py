"""Values of the small PowerShell: hashtables, objects of the host, types, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class NotModelled(Exception):
    """The script says something this model does not know: the script or the model is to be mended, not the test."""


class PowerShellError(Exception):
    """A terminating error, as a script can catch it."""


class Hash:
    """A hashtable: keys in any case, order of insertion."""

    def __init__(self, entries: Mapping[str, Any] | None = None) -> None:
        self._entries: dict[str, tuple[str, Any]] = {}
        for key, value in (entries or {}).items():
            self[key] = value

    def __getitem__(self, key: Any) -> Any:
        return self._entries.get(str(key).lower(), ("", None))[1]

    def __setitem__(self, key: Any, value: Any) -> None:
        self._entries[str(key).lower()] = (str(key), value)

    def __contains__(self, key: Any) -> bool:
        return str(key).lower() in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def items(self) -> Iterator[tuple[str, Any]]:
        return iter(self._entries.values())

    def member(self, name: str) -> Any:
        if name in self:
            return self[name]
        match name.lower():
            case "count":
                return len(self)
            case "keys":
                return [key for key, _ in self.items()]
            case "values":
                return [value for _, value in self.items()]
            case _:
                return None


class Object:
    """An object of the host. `properties` and `methods` in any case; a property not given is not modelled. `settable`
    names properties that may be assigned; `assigned` is called with name and value."""

    def __init__(
        self,
        kind: str,
        properties: Mapping[str, Any],
        methods: Mapping[str, Callable[..., Any]] | None = None,
        assigned: Callable[[str, Any], None] | None = None,
    ) -> None:
        self.kind = kind
        self._properties = {name.lower(): value for name, value in properties.items()}
        self._methods = {name.lower(): method for name, method in (methods or {}).items()}
        self._assigned = assigned

    def member(self, name: str) -> Any:
        lower = name.lower()
        if lower not in self._properties:
            raise NotModelled(f"property {name} of {self.kind}")
        value = self._properties[lower]
        return value() if callable(value) else value

    def assign(self, name: str, value: Any) -> None:
        if self._assigned is None or name.lower() not in self._properties:
            raise NotModelled(f"assignment to {name} of {self.kind}")
        self._properties[name.lower()] = value
        self._assigned(name, value)

    def call(self, name: str, arguments: list[Any]) -> Any:
        method = self._methods.get(name.lower())
        if method is None:
            raise NotModelled(f"method {name} of {self.kind}")
        return method(*arguments)

    def __str__(self) -> str:
        return self.kind


class Collection(Object):
    """An object that is also enumerated: `foreach`, `@(…)`."""

    def __init__(self, kind: str, entries: Callable[[], list[Any]], methods: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(kind, {"Count": lambda: len(entries())}, methods)
        self.entries = entries


class Static:
    """A .NET type by name, with static members."""

    def __init__(self, name: str, members: Mapping[str, Any]) -> None:
        self.name = name
        self._members = {key.lower(): value for key, value in members.items()}

    def member(self, name: str) -> Any:
        if name.lower() not in self._members:
            raise NotModelled(f"[{self.name}]::{name}")
        return self._members[name.lower()]

    def call(self, name: str, arguments: list[Any]) -> Any:
        method = self.member(name)
        if not callable(method):
            raise NotModelled(f"[{self.name}]::{name}(…)")
        return method(*arguments)


class Char(str):
    """A [char]: as a number it is its code, unlike a text of one letter."""

    __slots__ = ()


class Version(tuple[int, ...]):
    """`[Version]'6.2'`."""

    @classmethod
    def of(cls, text: str) -> Version:
        return cls(int(part) for part in text.split("."))

    def __str__(self) -> str:
        return ".".join(str(part) for part in self)


def text_of(value: Any) -> str:
    """`[string]$value`."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, list):
        return " ".join(text_of(entry) for entry in value)
    if isinstance(value, Hash):
        return "System.Collections.Hashtable"
    return str(value)


def truth(value: Any) -> bool:
    """As `if` takes it."""
    if isinstance(value, list):
        return len(value) > 1 or (len(value) == 1 and truth(value[0]))
    if isinstance(value, Hash | Object | Static):
        return True
    return bool(value)


def same(left: Any, right: Any) -> bool:
    """`-eq` of two single values: by the left one's type, text in any case."""
    if left is None or right is None:
        return left is right
    if isinstance(left, str):
        return left.lower() == text_of(right).lower()
    if isinstance(left, bool):
        return left == truth(right)
    if isinstance(left, int | float):
        try:
            return left == (float(right) if not isinstance(right, bool) else int(right))
        except (TypeError, ValueError):
            return False
    return bool(left == right)


def wildcard(pattern: str) -> re.Pattern[str]:
    """A pattern of `-like`, `-Path` and `-Name`: `*`, `?`, `[…]`; after a backtick a character is itself."""
    parts = _PARTS.findall(pattern)
    return re.compile("".join(_meant(part) for part in parts) + r"\Z", re.I | re.S)


def _meant(part: str) -> str:
    if part in ("*", "?"):
        return {"*": ".*", "?": "."}[part]
    if part.startswith("[") and len(part) > 2:
        return f"[{re.escape(part[1:-1])}]".replace(r"\-", "-")
    return re.escape(part.removeprefix("`") if len(part) == 2 else part)


_PARTS = re.compile(r"`.|\[[^\]]+\]|.", re.S)


def escaped(text: str) -> str:
    """`[WildcardPattern]::Escape`."""
    return re.sub(r"[*?\[\]`]", r"`\g<0>", text)
