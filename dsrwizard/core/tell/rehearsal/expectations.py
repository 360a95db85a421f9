"""What dsrwizard expects of Windows, each thing held against what one server showed. Pure.

Most of it stands in documents only (Microsoft's pages of the Net cmdlets, of `MIB_IPINTERFACE_ROW` and of
`INetFwRule`); a rehearsal says whether it is so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

import msgspec

from dsrwizard.core.dialects.windows.answer import PREFERRED
from dsrwizard.core.dialects.windows.commands import UNBINDABLE
from dsrwizard.core.dialects.windows.firewall import rule_name
from dsrwizard.core.dialects.windows.plan import METRIC, NETBIOS_OFF, nic_of
from dsrwizard.core.dialects.windows.state import value
from dsrwizard.core.model.deployment import Deployment, Vip
from dsrwizard.core.model.windows_facts import IpSettings, WindowsAdapter, WindowsFacts
from dsrwizard.core.tell.rehearsal.record import Agreement, Expectation, Look, Stage
from dsrwizard.core.tell.rehearsal.trial import ADAPTER

_DEVICE = re.compile(r"ROOT\\NET\\[0-9]{4}", re.IGNORECASE)
AS_BEFORE = "as-before"


def _finding(stage: Stage, about: str, expected: str, agrees: bool | None, seen: str) -> Expectation:
    agreement: Agreement = "unknown" if agrees is None else "as-expected" if agrees else "differs"
    return Expectation(stage=stage, id=about, expected=expected, agreement=agreement, seen=seen)


# -- the look


def of_looks(first: Look, second: Look, allowed: float) -> Iterator[Expectation]:
    """`first` opened the connection, `second` used it again. `allowed`: seconds that a look may take."""
    facts = first.windows
    rules = "rules unknown" if facts.rules is None else f"inbound firewall rules: {len(facts.rules)}"
    unread = facts.unread()
    yield _finding(
        "look", "complete", "One script reads everything.", not unread, "; ".join(unread) or "all parts were read"
    )
    yield _finding(
        "look", "in-time", f"It takes less than half of the {allowed:g} s that it may take.",
        max(first.seconds, second.seconds) < allowed / 2,
        f"{first.seconds:.1f} s with the login, {second.seconds:.1f} s without; {rules}",
    )  # fmt: skip
    changed = tuple(differences(facts, second.windows))
    yield _finding("look", "repeatable", "Two looks see the same.", not changed, "; ".join(changed))
    yield _finding(
        "look", "administrator", "The login has all rights of an administrator.", facts.elevated,
        "" if facts.elevated else "the token is filtered, or the user is not an administrator",
    )  # fmt: skip
    yield _finding(
        "look", "64-bit", "WinRM starts the PowerShell of the system's own width.", not facts.wow64,
        f"{facts.bits} bits",
    )  # fmt: skip
    odd = sorted(one for one in facts.certificates or {} if not _is_endpoint(one))
    yield _finding(
        "look", "certificates", "http.sys keeps its certificates by address and port.",
        None if facts.certificates is None else not odd,
        f"other keys: {', '.join(odd)}" if odd else f"{len(facts.certificates or {})} entries",
    )  # fmt: skip


def _is_endpoint(key: str) -> bool:
    place, _, port = key.rpartition(":")
    try:
        ip_address(place.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return port.isdecimal()


# -- what was set up


def of_set_up(stage: Stage, before: WindowsFacts, now: WindowsFacts, deployment: Deployment) -> Iterator[Expectation]:
    """What the trial's steps have brought about; at `restart`, what a restart has left of it."""
    (server,) = deployment.servers
    adapter = now.adapter(ADAPTER)
    yield _finding(
        stage, "adapter", "The loopback adapter is there under the name it was given.", adapter is not None,
        ", ".join(one.name for one in now.loopbacks) or "no loopback adapter",
    )  # fmt: skip
    if adapter is None:
        return
    yield _finding(
        stage, "device", r"It is a Microsoft loopback adapter with a device id such as ROOT\NET\0001.",
        adapter.loopback and bool(_DEVICE.fullmatch(adapter.pnp_id)), adapter.pnp_id or "no device id",
    )  # fmt: skip
    yield _finding(stage, "up", "The adapter is up.", adapter.up, "up" if adapter.up else "down")
    for vip in deployment.vips:
        yield from _of_address(stage, adapter, vip)
        yield from _of_family(stage, now, adapter, vip)
    yield from _of_silence(stage, now, adapter)
    for vip in deployment.vips:
        yield from _of_rule(stage, now, vip)
    others = tuple(_elsewhere(before, now, nic_of(server, now)))
    if stage == "set-up":
        yield _finding(stage, "others", "No other adapter has changed.", not others, "; ".join(others))


def _of_address(stage: Stage, adapter: WindowsAdapter, vip: Vip) -> Iterator[Expectation]:
    entry = next((one for one in adapter.addresses if one.address == str(vip.ip)), None)
    family = f"IPv{vip.ip.version}"
    yield _finding(
        stage, f"address-{vip.ip.version}", f"Windows accepts an {family} address with the prefix /{vip.prefix}.",
        entry is not None and entry.prefix == vip.prefix, f"/{entry.prefix}" if entry else "the address is not there",
    )  # fmt: skip
    if entry is None:
        return
    expected = (
        ("usable", "is usable", entry.state == PREFERRED if entry.state is not None else None, f"state {entry.state}"),
        ("skip-as-source", "is never chosen as a source", entry.skip_as_source, ""),
        ("persistent", "is in the persistent store", entry.persistent, ""),
    )
    for about, words, agrees, seen in expected:
        yield _finding(stage, f"{about}-{vip.ip.version}", f"The {family} address {words}.", agrees, seen)


def _of_family(stage: Stage, now: WindowsFacts, adapter: WindowsAdapter, vip: Vip) -> Iterator[Expectation]:
    settings = adapter.of(vip.ip.version)
    family = f"IPv{vip.ip.version}"
    holder = IpSettings(family=6 if vip.ip.version == 6 else 4) if settings is None else settings
    expected = (
        ("weak-receive", "weak host receive is on", holder.weak_host_receive, True),
        ("weak-send", "weak host send is on", holder.weak_host_send, True),
        ("metric", f"the metric is {METRIC}", holder.metric, int(METRIC)),
        ("dad", "no address detection is done", holder.dad_transmits, 0),
    )
    for about, words, found, wanted in expected:
        agrees = None if found is None else found == wanted
        yield _finding(stage, f"{about}-{vip.ip.version}", f"{family} on the adapter: {words}.", agrees, str(found))
    if vip.ip.version == 4:
        agrees = None if holder.dhcp is None else not holder.dhcp
        yield _finding(stage, "dhcp", "IPv4 on the adapter: DHCP is off.", agrees, str(holder.dhcp))
    carrying = [one for one in now.adapters if one.carries_session]
    receives = {one.name: (one.of(vip.ip.version) or holder).weak_host_receive for one in carrying}
    yield _finding(
        stage, f"nic-{vip.ip.version}", f"{family} on the network adapter: weak host receive is on.",
        None if not receives or None in receives.values() else all(receives.values()), str(receives),
    )  # fmt: skip


def _of_silence(stage: Stage, now: WindowsFacts, adapter: WindowsAdapter) -> Iterator[Expectation]:
    if now.dialect != "2008":
        bound = sorted(one for one, on in (adapter.bindings or {}).items() if on and one in UNBINDABLE)
        loud = [one for one in bound if one != "ms_tcpip6"]
        yield _finding(
            stage, "bindings", "Nothing but IP is bound to the adapter.",
            None if adapter.bindings is None else not loud, ", ".join(bound),
        )  # fmt: skip
    registered = (adapter.dns_registration, adapter.dns_suffix_registration)
    yield _finding(
        stage, "dns", "The adapter registers nothing in DNS.",
        None if None in registered else not any(registered), str(registered),
    )  # fmt: skip
    yield _finding(
        stage, "netbios", "NetBIOS is off on the adapter.",
        None if adapter.netbios is None else adapter.netbios == NETBIOS_OFF, f"option {adapter.netbios}",
    )  # fmt: skip


def _of_rule(stage: Stage, now: WindowsFacts, vip: Vip) -> Iterator[Expectation]:
    if now.firewall is None or now.rules is None or not any(now.firewall.profiles.values()):
        return  # no rule was planned
    (service,) = vip.services
    name, wanted = rule_name(vip, service), f"{service.protocol} {service.port} {vip.ip}"
    found = value(now, "firewall-rule", name)
    yield _finding(
        stage, f"rule-{vip.ip.version}",
        f"The firewall gives the rule for IPv{vip.ip.version} back as it was written.", found == wanted,
        f"{found or 'no rule'}, written: {wanted}",
    )  # fmt: skip


def _elsewhere(before: WindowsFacts, now: WindowsFacts, nic: WindowsAdapter | None) -> Iterator[str]:
    """Changes of adapters that were there already; the switch of weak host receive on the NIC is the trial's own."""
    for old in before.adapters:
        new = _same(now, old)
        if new is None:
            yield f"{old.name} is gone"
            continue
        if nic is not None and new == nic:
            new = msgspec.structs.replace(
                new, settings=tuple(_received(one, old.of(one.family)) for one in new.settings)
            )
        yield from _changed(old, new)


def _received(now: IpSettings, before: IpSettings | None) -> IpSettings:
    return msgspec.structs.replace(now, weak_host_receive=before.weak_host_receive) if before else now


# -- the undo


def of_undo(before: WindowsFacts, after: WindowsFacts) -> Iterator[Expectation]:
    """Whether the server is as the rehearsal found it."""
    left = tuple(differences(before, after))
    yield _finding("undo", AS_BEFORE, "The server is as it was before the rehearsal.", not left, "; ".join(left))


def differences(before: WindowsFacts, after: WindowsFacts) -> Iterator[str]:
    """What is not the same, in words; but for events and for what programs do by themselves."""
    for old in before.adapters:
        new = _same(after, old)
        if new is None:
            yield f"{old.name} is gone"
        else:
            yield from _changed(old, new)
    for new in after.adapters:
        if _same(before, new) is None:
            yield f"{new.name} is new"
    for what in ("firewall", "rules", "sites", "listen_list", "certificates"):
        yield from _listed(what.replace("_", " "), getattr(before, what), getattr(after, what))


def _same(facts: WindowsFacts, adapter: WindowsAdapter) -> WindowsAdapter | None:
    if not adapter.guid:
        return facts.adapter(adapter.name)
    return next((one for one in facts.adapters if one.guid.lower() == adapter.guid.lower()), None)


def _changed(old: WindowsAdapter, new: WindowsAdapter) -> Iterator[str]:
    for field in old.__struct_fields__:
        was, now = getattr(old, field), getattr(new, field)
        if field == "settings":
            yield from _settings(old.name, was, now)
        elif was != now:
            yield f"{old.name}: {field.replace('_', ' ')} was {_short(was)}, is {_short(now)}"


def _settings(name: str, before: Sequence[IpSettings], after: Sequence[IpSettings]) -> Iterator[str]:
    now = {one.family: one for one in after}
    for old in before:
        new = now.get(old.family, old)
        for field in old.__struct_fields__:
            was, is_ = getattr(old, field), getattr(new, field)
            if was != is_:
                yield f"{name}, IPv{old.family}: {field.replace('_', ' ')} was {was}, is {is_}"


def _listed(what: str, before: object, after: object) -> Iterator[str]:
    if before == after:
        return
    if isinstance(before, tuple) and isinstance(after, tuple):
        for one in before:
            if one not in after:
                yield f"{what}: {_short(one)} is gone"
        for one in after:
            if one not in before:
                yield f"{what}: {_short(one)} is new"
    else:
        yield f"{what} was {_short(before)}, is {_short(after)}"


def _short(thing: object) -> str:
    name = getattr(thing, "name", None)
    text = name if isinstance(name, str) else str(thing)
    return text if len(text) <= 120 else f"{text[:117]}..."
