"""The reader of the observing script's answer. What a Windows cannot have makes the answer unreadable, never wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from dsrwizard.core.dialects.undo import undo_of
from dsrwizard.core.dialects.windows.blocked import blocked, explained
from dsrwizard.core.dialects.windows.frames import Document, frames
from dsrwizard.core.dialects.windows.install_policy import restricted, retroactive
from dsrwizard.core.dialects.windows.site_xml import sites
from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Listener, Route, ServerFacts
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.values import Impossible, address, machine_guid, parsed
from dsrwizard.core.model.windows_facts import CertificateSettings, Conflict, WindowsAdapter, WindowsFacts
from dsrwizard.core.model.windows_values import Number, sentence

PREFERRED = 4
"""MSFT_NetIPAddress.AddressState of an address that is usable."""
_DAY = 86_400
_LARGEST = {
    "adapters": 2_000_000,
    "events": 500_000,
    "listen_list": 200_000,
    "ssl": 1_000_000,
    "ssl_settings": 2_000_000,
    "sni": 1_000_000,
    "central": 200_000,
    "install_policy": 200_000,
    "undo": 50_000,
    "unread": 500_000,
}
"""Bytes of what could be many small things, each of which takes ten times its text to keep. Firewall rules may fill the
rest: session hosts have tens of thousands."""


class _Sizes(msgspec.Struct):
    """Parts of the answer as they are written, for their size."""

    adapters: msgspec.Raw = msgspec.Raw(b"")
    events: msgspec.Raw = msgspec.Raw(b"")
    listen_list: msgspec.Raw = msgspec.Raw(b"")
    ssl: msgspec.Raw = msgspec.Raw(b"")
    ssl_settings: msgspec.Raw = msgspec.Raw(b"")
    sni: msgspec.Raw = msgspec.Raw(b"")
    central: msgspec.Raw = msgspec.Raw(b"")
    install_policy: msgspec.Raw = msgspec.Raw(b"")
    undo: msgspec.Raw = msgspec.Raw(b"")
    unread: msgspec.Raw = msgspec.Raw(b"")


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


class _Policy(msgspec.Struct, frozen=True):
    """`on`: the policies that are 1; `lists`: the entries of their lists."""

    on: tuple[str, ...] = ()
    lists: dict[str, tuple[str, ...]] = {}


class _Unread(msgspec.Struct):
    """A section that could not be read; `adapter` is the index of the one it is about, 0 where it is about all. `id`:
    the error's FullyQualifiedErrorId and the type of its exception."""

    section: str
    adapter: Number = 0
    said: str = ""
    id: str = ""

    @property
    def told(self) -> str:
        return sentence(explained(self.said or "nothing", self.id))


class _Answer(msgspec.Struct, kw_only=True):
    """What the frame holds beside the fields of WindowsFacts."""

    machine: str = ""
    boot: str = ""
    hostname: str = ""
    listeners: tuple[_Listener, ...] | None = None
    site_xml: str | None = None
    ssl: dict[str, tuple[str, str, str]] | None = None
    ssl_settings: dict[str, CertificateSettings] = {}
    sni: dict[str, tuple[str, str, str]] | None = None
    central: dict[str, tuple[str, str, str]] | None = None
    install_policy: _Policy = _Policy()
    events: tuple[_Event, ...] | None = None
    undo: tuple[str, ...] = ()
    unread: tuple[_Unread, ...] = ()


def parse(host: str, nonce: str, text: str, *, now: float, reached: str, said: str = "") -> ServerFacts:
    """The facts in a host's answer. `now` in seconds since the epoch, `reached` the address of our own connection,
    `said` what PowerShell wrote to its standard error.

    Raises AnswerUnreadable when the answer is cut short or is not what the script says.
    """
    found = next((frame for frame in frames(nonce, text) if frame.kind == "facts"), None)
    if found is None:
        raise _ended(host, said)
    try:
        return _facts(host, found, now, reached)
    except (msgspec.ValidationError, ValueError) as problem:
        raise AnswerUnreadable(
            f"{host}: its answer is not what was asked for.",
            f"It cannot be right: {one_line(str(problem), 300)}.",
            "Try again; if it stays so, check on that host what is named here.",
        ) from None


def _ended(host: str, said: str) -> AnswerUnreadable:
    """The script ended before its frame: for a reason that is known, or in the host's own words."""
    known = blocked(said)
    return AnswerUnreadable(
        f"{host}: its answer could not be read.",
        f"{known.why if known else 'The observing script ended before it reported everything.'} "
        f"The host says: {sentence(said) or 'nothing'}",
        known.next if known else "Try again; if it stays so, start PowerShell there and check what it prints.",
    )


def _facts(host: str, frame: Document, now: float, reached: str) -> ServerFacts:
    sizes = frame.read(_Sizes)
    for part, most in _LARGEST.items():
        size = len(getattr(sizes, part))
        if size > most:
            raise ValueError(f"{part} of {size:,} bytes are more than the {most:,} that a host may have")
    more, windows = frame.read(_Answer), frame.read(WindowsFacts)
    everywhere = {one.section: one.told for one in more.unread if not one.adapter}
    policy = restricted(more.install_policy.on, more.install_policy.lists)
    windows = msgspec.structs.replace(
        windows,
        adapters=tuple(_marked(adapter, reached, windows) for adapter in _with_unread(windows.adapters, more.unread)),
        conflicts=None if more.events is None else tuple(_conflicts(more.events, now)),
        certificates=_certificates(more.ssl),
        certificate_settings={
            values.http_endpoint(where): one for where, one in more.ssl_settings.items() if one != CertificateSettings()
        },
        sni_certificates=_certificates(more.sni),
        central_store=None if more.central is None else tuple(one_line(where, values.NAME) for where in more.central),
        sites=None if more.site_xml is None else sites(more.site_xml),
        restricted=policy,
        restricted_retroactively=retroactive(more.install_policy.on, policy),
        unknown=everywhere,
        firewall_problem=everywhere.get("firewall", "") or everywhere.get("firewall-rules", ""),
    )
    return ServerFacts(
        host=host,
        os=windows.product,
        hostname=one_line(more.hostname, 100),
        kernel=windows.version,
        machine=machine_guid(more.machine),
        boot_id=one_line(more.boot, 100),
        privileged=windows.elevated is not False,
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
        undo=undo_of(more.undo),
    )


def _with_unread(adapters: tuple[WindowsAdapter, ...], unread: tuple[_Unread, ...]) -> Iterator[WindowsAdapter]:
    """The adapters with what could not be read of each. One of which nothing was read keeps its place."""
    lacking: dict[int, dict[str, str]] = {}
    for one in unread:
        if one.adapter:
            lacking.setdefault(one.adapter, {})[one.section] = one.told
    for adapter in adapters:
        yield msgspec.structs.replace(adapter, unknown=lacking.pop(adapter.index, {}))
    for index, sections in lacking.items():
        yield WindowsAdapter(name=f"#{index}", index=index, unknown=sections)


def _certificates(entries: dict[str, tuple[str, str, str]] | None) -> dict[str, str] | None:
    if entries is None:
        return None
    return {values.http_endpoint(where): values.certificate(*parts) for where, parts in entries.items()}


def _marked(adapter: WindowsAdapter, reached: str, windows: WindowsFacts) -> WindowsAdapter:
    """Whether our connection comes in by it, and the mark of its device."""
    ours = any(parsed(entry.address) == parsed(reached) for entry in adapter.addresses)
    mark = next((one.mark for one in windows.devices or () if one.id.lower() == adapter.pnp_id.lower()), "")
    return msgspec.structs.replace(adapter, carries_session=ours, mark=mark)


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
