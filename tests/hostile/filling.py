"""Documents with one text in every field that takes a text, made by looking at their types: a field that is added to a
document is filled without anybody thinking of it."""

from __future__ import annotations

import types
from collections.abc import Mapping
from enum import Enum
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import msgspec

from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    FileState,
    LinkChange,
    ModuleChange,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
    WindowsChange,
)
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.history import History
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.ports import KeyInDns

T = TypeVar("T")


class OtherKey:
    """DNS, which has another key: the answer with the most to show. None of its words can be foreign."""

    def said(self, within: float = 0.0) -> DnsSays | None:
        return "differs"


class Filler:
    """Makes documents. Where a field is one of several words or kinds, a list of documents has each of them.

    `kept`: fields (`Struct.field`, or the name in every struct) that get another value than `text`, or a function that
    gives it by the number of the document among several. `given`: types whose value is given.
    """

    def __init__(
        self, text: str, kept: Mapping[str, Any] | None = None, given: Mapping[Any, Any] | None = None
    ) -> None:
        self.text = text
        self._kept = dict(kept or {})
        self._given = {History: History(), **(given or {})}
        self._turn = 0
        self.fields: set[str] = set()
        """`Struct.field` of every text that was filled."""

    def of(self, kind: type[T], **fields: Any) -> T:
        """A document of this type; `fields` are given."""
        values = {}
        for field in msgspec.structs.fields(kind):  # type: ignore[arg-type]
            if field.name in fields:
                continue
            place = f"{kind.__name__}.{field.name}"
            kept = [self._kept[name] for name in (place, field.name) if name in self._kept]
            value = kept[0] if kept else self._value(field.type, place)
            values[field.name] = value(self._turn) if callable(value) else value
        return kind(**{**values, **fields})

    def each(self, kind: type[T], **fields: Any) -> tuple[T, ...]:
        """So many of it that each word of each field is there once."""
        most = max((len(_words(field.type)) for field in msgspec.structs.fields(kind)), default=1)  # type: ignore[arg-type]
        found = []
        for number in range(max(1, most)):
            self._turn = number
            found.append(self.of(kind, **fields))
        self._turn = 0
        return tuple(found)

    def _value(self, hint: Any, place: str) -> Any:
        if hint in self._given:
            return self._given[hint]
        origin, arguments = get_origin(hint), get_args(hint)
        if origin is Annotated:
            return self._value(arguments[0], place)
        if origin in (Union, types.UnionType):
            return self._value(next(one for one in arguments if one is not type(None)), place)
        if origin is Literal:
            return arguments[self._turn % len(arguments)]
        if origin in (tuple, list, set, frozenset):
            return self._several(origin, arguments, place)
        if origin is dict:
            return {self._value(arguments[0], place): self._value(arguments[1], place)}
        if isinstance(hint, type) and issubclass(hint, Enum):
            return list(hint)[self._turn % len(hint)]
        if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
            return self.of(hint)
        return self._plain(hint, place)

    def _plain(self, hint: Any, place: str) -> Any:
        if hint is str:
            self.fields.add(place)
            return self.text
        known = {int: 7, float: 1.5, bool: True, type(None): None, object: None, KeyInDns: OtherKey()}
        assert hint in known, f"{place}: no value is known for {hint}"
        return known[hint]

    def _several(self, origin: Any, arguments: tuple[Any, ...], place: str) -> Any:
        if origin is tuple and arguments and arguments[-1] is not Ellipsis:
            return tuple(self._value(one, place) for one in arguments)
        one = arguments[0]
        if get_origin(one) in (Union, types.UnionType):
            return origin(self._value(kind, place) for kind in get_args(one))
        if isinstance(one, type) and issubclass(one, msgspec.Struct) and self._turn == 0:
            return origin(self.each(one))
        return origin([self._value(one, place)])


def _words(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return tuple(hint)
    return next((found for one in get_args(hint) if (found := _words(one))), ()) if get_origin(hint) in (
        Union, types.UnionType, Annotated,
    ) else ()  # fmt: skip


def changes_with(text: str) -> tuple[Change, ...]:
    """Changes of every kind whose values have the form that their commands need, with the text in each part."""
    key = ServiceKey(address=text, protocol="tcp", port=80)
    windows = [
        ("dhcp", f"{text}/4", text), ("metric", f"{text}/4", text), ("binding", f"{text}/{text}", text),
        ("dns-registration", text, ",".join([text.replace(",", "")] * 2)), ("netbios", text, text),
        ("listen-address", text, "present"), ("site-binding", f"{text}|http|{text}", "present"),
    ]  # fmt: skip
    return (
        SysctlChange(key=text, old=text, new=text),
        FileChange(path=text, old=FileState(content=text), new=FileState(content=f"{text}\n{text}")),
        FileChange(path=text, old=FileState(target=text), new=None),
        FileChange(path=text, old=None, new=FileState(content=text)),
        AddressChange(interface=text, address=text, prefix=32, old=False, new=True),
        LinkChange(interface=text, old=False, new=True),
        ModuleChange(module=text),
        AnnounceChange(interface=text, address=text),
        ServiceChange(service=key, old=None, new=ServiceState(scheduler=text)),
        DestinationChange(service=key, address=text, port=80, old=None, new=DestinationState(weight=1)),
        *(AddressChange(interface=text, address=text, prefix=32, old=False, new=True, system=system)
          for system in ("windows-2008", "windows-2012")),
        *(LinkChange(interface=text, old=False, new=True, system=system)
          for system in ("windows-2008", "windows-2012")),
        *(WindowsChange(item=item, key=name, old=None, new=new, system=system)  # type: ignore[arg-type]
          for item, name, new in windows for system in ("windows-2008", "windows-2012")),
    )  # fmt: skip


def with_deployment(text: str, file: Deployment, **kept: Any) -> Filler:
    """What a deployment file says was looked at before anything else: it is given, and so are the values without which
    facts and commands refuse to be."""
    changes = changes_with(text[:3_000])
    needed = {
        "prefix": 24, "port": 80, "mode": 0o644, "InterfaceAddress.address": "10.0.0.102", "Listener.address": "*",
        "Route.gateway": "10.0.0.1", "Step.changes": lambda number: () if number else changes,
    }  # fmt: skip
    return Filler(text, {**needed, **kept}, {Deployment: file})
