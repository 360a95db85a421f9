"""The reader of the observing script's answer. What a Windows cannot have makes the answer unreadable, never wrong."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from dsrwizard.core.dialects.windows.frames import Document, frames
from dsrwizard.core.dialects.windows.site_xml import sites
from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Listener, Route, ServerFacts
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.values import Impossible, address, parsed
from dsrwizard.core.model.windows_facts import Conflict, WindowsAdapter, WindowsFacts
from dsrwizard.core.model.windows_values import Number, sentence

PREFERRED = 4
"""MSFT_NetIPAddress.AddressState of an address that is usable."""
_DAY = 86_400
_LARGEST = {"adapters": 2_000_000, "events": 500_000, "listen_list": 200_000, "ssl": 1_000_000}
"""Bytes of what could be many small things, each of which takes ten times its text to keep. Firewall rules may fill the
rest: session hosts have tens of thousands."""


class _Sizes(msgspec.Struct):
    """Parts of the answer as they are written, for their size."""

    adapters: msgspec.Raw = msgspec.Raw(b"")
    events: msgspec.Raw = msgspec.Raw(b"")
    listen_list: msgspec.Raw = msgspec.Raw(b"")
    ssl: msgspec.Raw = msgspec.Raw(b"")


class _Listener(msgspec.Struct):
    protocol: Literal["tcp", "udp"]
    address: str
    port: Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class _Event(msgspec.Struct):
    """`age` in seconds; below 0 where the host's clock was set back."""

    event: Number
    address: str
    mac: str
    age: Annotated[float, msgspec.Meta(ge=-_DAY, le=2 * _DAY)]


class _Answer(msgspec.Struct, kw_only=True):
    """What the frame holds beside the fields of WindowsFacts."""

    boot: str = ""
    hostname: str = ""
    listeners: tuple[_Listener, ...] | None = None
    site_xml: str | None = None
    ssl: dict[str, tuple[str, str, str]] | None = None
    events: tuple[_Event, ...] | None = None


def parse(host: str, nonce: str, text: str, *, now: float, reached: str, said: str = "") -> ServerFacts:
    """The facts in a host's answer. `now` in seconds since the epoch, `reached` the address of our own connection,
    `said` what PowerShell wrote to its standard error.

    Raises AnswerUnreadable when the answer is cut short or is not what the script says.
    """
    found = next((frame for frame in frames(nonce, text) if frame.kind == "facts"), None)
    if found is None:
        raise AnswerUnreadable(
            f"{host}: its answer could not be read.",
            f"The observing script ended before it reported everything. It printed: {sentence(said) or 'nothing'}",
            "Try again; if it stays so, start PowerShell there and check what it prints.",
        )
    try:
        return _facts(host, found, now, reached)
    except (msgspec.ValidationError, ValueError) as problem:
        raise AnswerUnreadable(
            f"{host}: its answer is not what was asked for.",
            f"It cannot be right: {one_line(str(problem), 300)}.",
            "Try again; if it stays so, check on that host what is named here.",
        ) from None


def _facts(host: str, frame: Document, now: float, reached: str) -> ServerFacts:
    sizes = frame.read(_Sizes)
    for part, most in _LARGEST.items():
        size = len(getattr(sizes, part))
        if size > most:
            raise ValueError(f"{part} of {size:,} bytes are more than the {most:,} that a host may have")
    more, windows = frame.read(_Answer), frame.read(WindowsFacts)
    windows = msgspec.structs.replace(
        windows,
        adapters=tuple(_marked(adapter, reached) for adapter in windows.adapters),
        conflicts=None if more.events is None else tuple(_conflicts(more.events, now)),
        certificates=None
        if more.ssl is None
        else {values.http_endpoint(where): values.certificate(*parts) for where, parts in more.ssl.items()},
        sites=None if more.site_xml is None else sites(more.site_xml),
    )
    return ServerFacts(
        host=host,
        os=windows.product,
        hostname=one_line(more.hostname, 100),
        kernel=windows.version,
        boot_id=one_line(more.boot, 100),
        privileged=windows.elevated,
        interfaces=tuple(_interface(adapter) for adapter in windows.adapters),
        default_routes=tuple(
            Route(
                gateway="" if parsed(gateway).is_unspecified else gateway,  # 0.0.0.0: whoever is on the link
                interface=adapter.name,
                family=6 if ":" in gateway else 4,
            )
            for adapter in windows.adapters
            for gateway in adapter.gateways
        ),
        listeners=None if more.listeners is None else _listeners(more.listeners),
        windows=windows,
    )


def _marked(adapter: WindowsAdapter, reached: str) -> WindowsAdapter:
    """Whether our connection comes in by it."""
    ours = any(parsed(entry.address) == parsed(reached) for entry in adapter.addresses)
    return msgspec.structs.replace(adapter, carries_session=ours)


def _conflicts(events: tuple[_Event, ...], now: float) -> list[Conflict]:
    """Events that name an address; others of these numbers are not about one."""
    found = []
    for one in events:
        try:
            found.append(Conflict(event=one.event, address=one.address, mac=one.mac, at=now - one.age))
        except Impossible:
            continue
    return found


def _interface(adapter: WindowsAdapter) -> Interface:
    """As the shared diagnosis sees it: a loopback adapter is what a dummy interface is on Linux."""
    return Interface(
        name=adapter.name,
        mac=adapter.mac,
        up=adapter.up,
        kind="dummy" if adapter.loopback else "loopback" if adapter.pseudo else "",
        addresses=tuple(
            InterfaceAddress(
                address=entry.address,
                prefix=entry.prefix,
                scope="link" if parsed(entry.address).is_link_local else "global",
                tentative=entry.state is not None and entry.state != PREFERRED,
            )
            for entry in adapter.addresses
        ),
    )


def _listeners(rows: tuple[_Listener, ...]) -> tuple[Listener, ...]:
    found = (
        Listener(protocol=row.protocol, address=address(row.address), port=row.port, only6=True)
        for row in rows
        if row.port
    )
    return tuple(dict.fromkeys(found))
