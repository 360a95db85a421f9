"""On which adapter of a Windows server a VIP is, and what that does: a network's adapter answers ARP for it, unless
Windows gave the address up because another host has it, or the adapter is disabled.

Windows has an address on one adapter only, so what is to be elsewhere is taken away first (New-NetIPAddress, and netsh:
"the object already exists"). A VIP on a network's adapter is a fault by itself; with the mask of its network it is no
second one. MSFT_NetIPAddress: AddressState 2 is a duplicate; Windows does not answer for it.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.evidence import director_macs, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.diagnosis.windows.view import advice_of, facts_of
from dsrwizard.core.dialects.windows.advice import told
from dsrwizard.core.dialects.windows.answer import PREFERRED
from dsrwizard.core.dialects.windows.plan import DUPLICATE, nic_of
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.nlb import balanced_macs
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import parsed
from dsrwizard.core.model.windows_facts import WindowsAdapter, WindowsAddress

NLB = "ms_wlbs"
"""The component of Network Load Balancing."""


def real(adapter: WindowsAdapter) -> bool:
    """Whether it leads to a network, where Windows answers ARP for its addresses."""
    return not (adapter.loopback or adapter.pseudo)


def _places(view: ServerView, vip: Vip) -> Iterator[tuple[WindowsAdapter, WindowsAddress]]:
    facts = facts_of(view)
    for adapter in facts.adapters if facts else ():
        for entry in adapter.addresses:
            if entry.address == str(vip.ip):
                yield adapter, entry


def on_real(view: ServerView, vip: Vip) -> WindowsAdapter | None:
    """The network's adapter that holds the VIP and uses it; the one to the director before others."""
    facts = facts_of(view)
    found = [
        adapter for adapter, entry in _places(view, vip) if real(adapter) and adapter.up and entry.state != DUPLICATE
    ]
    return min(found, key=lambda adapter: adapter != nic_of(view.server, facts) if facts else False, default=None)


def stuck(view: ServerView, vip: Vip) -> tuple[WindowsAdapter, WindowsAddress] | None:
    """The network's adapter that holds the VIP without using it: disabled, or given up as a duplicate."""
    unused = (
        (adapter, entry)
        for adapter, entry in _places(view, vip)
        if real(adapter) and (not adapter.up or entry.state == DUPLICATE)
    )
    return next(unused, None)


def _moved(view: ServerView, vip: Vip, adapter: WindowsAdapter, prefix: int) -> list[str]:
    """The commands that take the VIP off an adapter, and put it where it belongs if it is not there."""
    lines = [advice_of(view).take_vip(vip, adapter.name, prefix)]
    if not any(not real(one) for one, _ in _places(view, vip)) or not real(adapter):
        lines.append(advice_of(view).put_vip(vip))
    return lines


# -- ARP


def leak_reason(view: ServerView, vip: Vip) -> tuple[str, str]:
    """Why it answers ARP for the VIP, and the commands that silence it; empty: unexplained."""
    adapter = on_real(view, vip)
    if adapter is None:
        return "", ""
    prefix = next(entry.prefix for one, entry in _places(view, vip) if one == adapter)
    lines, more = _moved(view, vip, adapter, prefix), list[str]()
    why = f"the VIP is on {adapter.name}, where Windows answers for its addresses"
    if balances(view, vip, adapter):
        why = f"Network Load Balancing still runs on {adapter.name}, with the VIP as its cluster address"
        off = advice_of(view).leave_balancing(adapter.name)
        lines = [*filter(None, (off,)), *lines]
        more = [] if off else [f"first, clear Network Load Balancing in the properties of {adapter.name}"]
    return why, told(lines, more)


def balances(view: ServerView, vip: Vip, adapter: WindowsAdapter) -> bool:
    """Whether Network Load Balancing runs there: bound, or by the MACs that it makes of the cluster's address."""
    heard = {mac(one) for one in (adapter.mac, *view.evidence.owner(vip.address).macs) if one}
    return (adapter.bindings or {}).get(NLB) is True or bool(heard & balanced_macs(vip.address))


def cluster_macs(view: ServerView) -> frozenset[str]:
    """The MACs with which its Network Load Balancing answers for VIPs that are on adapters of a network."""
    return frozenset(one for vip in view.vips if on_real(view, vip) for one in balanced_macs(vip.address))


def misplaced(view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
    """The fault of a VIP on a network's adapter, for a check that asks after its prefix; None: it is on none."""
    adapter = on_real(view, vip)
    if adapter is None:
        return None
    known = faults.find(view.name, "arp-leak", vip=vip.address)
    said = f"{vip.address} is on {adapter.name} of {view.name}, not on a loopback adapter."
    if known:
        return where.follows(known, said)
    reason, command = leak_reason(view, vip)
    return faults.fail(
        where, Fault(host=view.name, cause="arp-leak", vip=vip.address), sentences.arp_leak(view.name, vip.address),
        "; ".join(filter(None, (seen, reason))), f"On {view.name}: {command}",
    )  # fmt: skip


# -- conflicts


def events(view: ServerView, vip: Vip) -> list[tuple[int, str]]:
    """Event and MAC of every conflict the system log tells of this VIP since it was put there. One with the load
    balancer is over when the VIP is off the network's adapters, where alone the two could meet."""
    facts, since = facts_of(view), view.evidence.deployed.get(view.name, 0.0)
    over: frozenset[str] = frozenset()
    if any(_in_place(adapter, entry) for adapter, entry in _places(view, vip)):
        over = _balancer(view, vip)
    return [
        (one.event, one.mac)
        for one in (facts.conflicts if facts else None) or ()
        if _is(one.address, vip) and one.at >= since and mac(one.mac) not in over
    ]


def _in_place(adapter: WindowsAdapter, entry: WindowsAddress) -> bool:
    return not real(adapter) and adapter.up and entry.state in (None, PREFERRED)


def _balancer(view: ServerView, vip: Vip) -> frozenset[str]:
    """The MACs that may answer for the VIP: the director's, and of another product's balancer who alone does so."""
    heard = {mac(one) for one in view.evidence.owner(vip.address).macs} - view.macs
    return director_macs(view.evidence) | (heard if len(heard) == 1 else frozenset())


def _is(text: str, vip: Vip) -> bool:
    try:
        return parsed(text.strip()) == vip.ip
    except ValueError:
        return False


def _given_up(view: ServerView, vip: Vip) -> tuple[WindowsAdapter, WindowsAddress] | None:
    return next(((one, entry) for one, entry in _places(view, vip) if entry.state == DUPLICATE), None)


def claimed(view: ServerView, vip: Vip) -> bool:
    """Whether Windows gave the VIP up because another host has it: its state says so, or it is not usable and the log
    says why. The log is read a day back; the state stays until the address is set anew."""
    if any(entry.state == PREFERRED for _, entry in _places(view, vip)):
        return False
    unusable = any(entry.state not in (None, PREFERRED) for _, entry in _places(view, vip))
    return _given_up(view, vip) is not None or (unusable and bool(events(view, vip)))


def conflict_fault(view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check:
    """The fault address-conflict, or what it follows from."""
    name = view.name
    found = dict.fromkeys(events(view, vip))
    log = "; ".join(f"event {event} of Tcpip: {vip.address} at {who or 'an unknown MAC'}" for event, who in found)
    known = faults.find(DIRECTOR, "duplicate-vip", vip=vip.address) or faults.find(name, "arp-leak", vip=vip.address)
    if known:
        return where.follows(known, f"{name} saw another host with {vip.address}.", log)
    given_up = _given_up(view, vip)
    find = (
        "Find the host with that MAC (switch table, DHCP leases) and take the VIP off it, unless it is the load "
        "balancer's: then the VIP was on an adapter of the network here."
    )
    state = f"{vip.address} on {given_up[0].name} is a duplicate" if given_up is not None else ""
    if given_up is not None:
        adapter, entry = given_up
        fix = told(_moved(view, vip, adapter, entry.prefix), ["the other host may have it only as the load balancer"])
        find = f"On {name}: {fix}"
    return faults.fail(
        where, Fault(host=name, cause="address-conflict", vip=vip.address, aside=not claimed(view, vip)),
        f"The system log of {name} shows another host that claims {vip.address}."
        if found else f"{name} gave {vip.address} up because another host has it.",
        "; ".join(filter(None, (seen, state, log))), find,
    )  # fmt: skip


def stuck_fault(view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
    """The fault vip-missing of a VIP on an adapter that is disabled; None: it is on none."""
    found = stuck(view, vip)
    if found is None:
        return None
    adapter, entry = found
    return faults.fail(
        where, Fault(host=view.name, cause="vip-missing", vip=vip.address),
        f"{vip.address} is on {adapter.name} of {view.name}, which is disabled; when it is enabled again, it answers "
        "ARP for it.",
        seen, f"On {view.name}: {told(_moved(view, vip, adapter, entry.prefix), [])}",
    )  # fmt: skip
