"""Values of a modelled host as PowerShell gets them: hashtables, objects, types, and what goes wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class NotModelled(Exception):
    """The script asks for something this model does not know: the script or the model is to be mended, not the test."""


class PowerShellError(Exception):
    """An error of a cmdlet or a method, as a script can catch it. `id`: a cmdlet's FullyQualifiedErrorId."""

    def __init__(self, text: str, id: str = "DsrHost") -> None:  # noqa: A002 - PowerShell's own word
        super().__init__(text)
        self.id = id


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


class Object:
    """An object of the host. `properties` and `methods` in any case; a property not given is not modelled. A property
    that is a function is asked each time. `assigned` is called with name and value."""

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

    def fixed(self) -> dict[str, Any]:
        """The properties that nothing but an assignment changes."""
        return {name: value for name, value in self._properties.items() if not callable(value)}

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


class Version(tuple[int, ...]):
    """`[Version]'6.2'`."""

    @classmethod
    def of(cls, text: str) -> Version:
        return cls(int(part) for part in text.split("."))

    def __str__(self) -> str:
        return ".".join(str(part) for part in self)


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
