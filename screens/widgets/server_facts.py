"""The texts of a connection test: what was found on one real server, each line with a sign, a word, and what to do."""

from __future__ import annotations

from ipaddress import ip_address
from textwrap import wrap

from textual.content import Content

from dsrwizard.core.api import ServerTest
from dsrwizard.core.dialects.windows.commands import ADAPTER, PSEUDO
from dsrwizard.core.model.answers import Connected
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Deployment, RealServer, Service
from dsrwizard.core.model.facts import Failure, Interface, Listener, ServerFacts
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.windows_facts import WindowsFacts
from screens.widgets.glyphs import Name, glyph
from screens.widgets.host_words import SHORT

_STYLES: dict[str, str] = {
    "ok": "$text-success",
    "warn": "$text-warning",
    "fail": "$text-error",
    "unknown": "$text-muted",
}

_NO_WAY = ("refused", "timeout", "host")
"""Failures about which the ports of WinRM have something to say: no connection, or one that was no WinRM."""

LABEL = 13
"""Cells of the label in front of each finding."""


def test_words(test: ServerTest, deployment: Deployment, server: RealServer) -> tuple[Name, str]:
    """The test result as a sign and a few words, for the table."""
    if test.failure is not None:
        return "fail", SHORT.get(test.failure.kind, test.failure.what)
    signs = [sign for sign, _, _ in findings(test, deployment, server)]
    if "fail" in signs:
        return "fail", next(text for sign, _, text in findings(test, deployment, server) if sign == "fail")
    if "warn" in signs:
        return "warn", next(text for sign, _, text in findings(test, deployment, server) if sign == "warn")
    return "ok", test.facts.os if test.facts is not None and test.facts.os else "reached"


def details(test: ServerTest, deployment: Deployment, server: RealServer, width: int) -> Content:
    """All results, each as a labelled paragraph of this width in cells."""
    lines: list[Content] = []
    for sign, label, text in findings(test, deployment, server):
        first, *rest = wrap(" ".join(text.split()), max(width - LABEL, 20)) or [""]
        head = f"{glyph(sign)} {label}" if label else ""
        lines.append(Content.assemble(Content.styled(head.ljust(LABEL), _STYLES.get(sign, "")), Content(first)))
        lines += [Content(" " * LABEL + line) for line in rest]
    return Content("\n").join(lines)


def findings(test: ServerTest, deployment: Deployment, server: RealServer) -> list[tuple[Name, str, str]]:
    """(sign, label, text) of each result, in the order in which one would fix them."""
    return [(sign, label, one_line(text)) for sign, label, text in _findings(test, deployment, server)]


def _findings(test: ServerTest, deployment: Deployment, server: RealServer) -> list[tuple[Name, str, str]]:
    found: list[tuple[Name, str, str]] = [_ping(test)]
    if test.failure is not None:
        found += _failure(test.failure)
        if test.failure.kind in _NO_WAY:
            found += _doors(test.contact)
    if test.login:
        found.append(("ok", "Login", test.login))
    facts = test.facts
    if facts is not None:
        found += _system(facts) if facts.windows is None else _windows(facts.windows, server)
        found.append(_ingress(facts, server))
    found.append(_layer2(test))
    services = [(vip.address, service) for vip in deployment.vips_of(server) for service in vip.services]
    connected = {answer.port: answer for answer in test.ports}
    seen: set[str] = set()
    for vip, service in services:
        line = _listening(facts, vip, service, connected)
        if line[2] not in seen:
            seen.add(line[2])
            found.append(line)
    if facts is not None:
        found.append(_gateway(facts, deployment))
    return found


def _ping(test: ServerTest) -> tuple[Name, str, str]:
    ping = test.ping
    if ping is None:
        return "unknown", "Ping", "not checked"
    if ping.problem:
        return "unknown", "Ping", f"could not be sent: {ping.problem}"
    if ping.milliseconds is None:
        return "warn", "Ping", "no answer; some hosts block ping on purpose"
    return "ok", "Ping", f"answers in {ping.milliseconds:.1f} ms"


def _failure(failure: Failure) -> list[tuple[Name, str, str]]:
    found: list[tuple[Name, str, str]] = [("fail", "Login", failure.what)]
    if failure.why:
        found.append(("fail", "", failure.why))
    if failure.next:
        found.append(("unknown", "Next", failure.next))
    return found


def _doors(contact: Contact | None) -> list[tuple[Name, str, str]]:
    """What the ports of WinRM answered, and the settings that fit."""
    if contact is None:
        return []
    found: list[tuple[Name, str, str]] = [
        ("ok" if door.winrm else "unknown", "" if number else "WinRM", sentence)
        for number, (door, sentence) in enumerate(zip(contact.doors, contact.sentences, strict=True))
    ]
    fits = offer(contact)
    found.append(("unknown", "", f"{fits} Enter, then F3, sets it." if fits else NOT_READY))
    return found


NOT_READY = "To make it answer: Enter, then F2, shows what to paste into PowerShell on the server."


def offer(contact: Contact) -> str:
    """The settings that fit, in a sentence; empty where there are none."""
    if contact.settings is None:
        return ""
    winrm, port, auth = contact.settings
    return f"This fits: transport {winrm}{f' on port {port}' if port else ''}, login method {auth}."


def _system(facts: ServerFacts) -> list[tuple[Name, str, str]]:
    told = ", ".join(part for part in (facts.os, facts.kernel) if part) or "unknown system"
    right = "root or sudo works" if facts.privileged else ("neither root nor sudo: nothing can be changed there")
    return [("ok" if facts.privileged else "fail", "System", f"{told}; {right}")]


def _windows(windows: WindowsFacts, server: RealServer) -> list[tuple[Name, str, str]]:
    """Which Windows, whether the login may change it, and its loopback adapters."""
    shell = f", PowerShell {windows.powershell}" if windows.powershell else ""
    told = f"{windows.product or 'Windows'} ({windows.version}){shell}"
    right = {
        True: "administrator",
        False: "not an administrator: nothing can be changed there",
        None: "whether it is an administrator could not be read",
    }[windows.elevated]
    sign: dict[bool | None, Name] = {True: "ok", False: "fail", None: "unknown"}
    found: list[tuple[Name, str, str]] = [(sign[windows.elevated], "System", f"{told}; {right}")]
    found += [("unknown", "Not read", sentence) for sentence in windows.unread()]
    if server.vip_interface == PSEUDO:
        found.append(("ok", "Loopback", "the built-in pseudo-interface holds the VIP; nothing is installed"))
        return found
    own = windows.adapter(ADAPTER)
    others = [adapter.name for adapter in windows.loopbacks if adapter is not own]
    beside = f"; {', '.join(others)}: not created by dsrwizard, left alone" if others else ""
    if own is not None and own.loopback:
        held = ", ".join(
            f"{one.address}/{one.prefix}" for one in own.addresses if not ip_address(one.address).is_link_local
        )
        found.append(("ok", "Loopback", f"{own.name} exists, with {held or 'no address'}{beside}"))
    elif windows.wow64:
        found.append(("fail", "Loopback", "32-bit PowerShell on a 64-bit Windows: no adapter can be installed from it"))
    elif windows.restricted:
        found.append(("fail", "Loopback", f"a policy forbids installing devices: {windows.restricted}"))
    elif windows.adapters_unknown:
        found.append(("unknown", "Loopback", "whether it is there could not be read"))
    else:
        found.append(("ok", "Loopback", f"not installed yet: apply installs {ADAPTER}{beside}"))
    return found


def _ingress(facts: ServerFacts, server: RealServer) -> tuple[Name, str, str]:
    carrying = facts.carrying(server.address)
    if not carrying and facts.addresses_unknown:
        return "unknown", "Interface", f"could not be read: {facts.addresses_unknown}"
    if not carrying:
        return (
            "warn",
            "Interface",
            (f"no interface has {server.address}: is the server behind NAT? Direct routing needs its real address"),
        )
    card: Interface = carrying[0]
    state = "" if card.up else ", down"
    return "ok" if card.up else "fail", "Interface", f"{card.name}, MAC {card.mac or 'unknown'}{state}"


def _layer2(test: ServerTest) -> tuple[Name, str, str]:
    owners = test.owners
    if owners is None:
        return "unknown", "Layer 2", "not checked"
    if owners.problem:
        return "unknown", "Layer 2", f"could not be checked: {owners.problem}"
    if not owners.where:
        return (
            "fail",
            "Layer 2",
            (f"nobody answers ARP for {owners.address}: a router is in between, or the server is off"),
        )
    if len(owners.where) > 1:
        return "warn", "Layer 2", f"several machines answer for {owners.address}: {', '.join(owners.where)}"
    if not owners.macs:
        others = ", ".join(dict.fromkeys(told.by for told in owners.told if told.answer))
        return "warn", "Layer 2", f"the same as the director's; {others} answers for {owners.where[0]}"
    return "ok", "Layer 2", f"the same as the director's; {owners.macs[0]} answers"


def _listening(
    facts: ServerFacts | None, vip: str, service: Service, connected: dict[int, Connected]
) -> tuple[Name, str, str]:
    """Which program listens on the service's port: from the server's own list if it could be read, else by
    connecting to the RIP."""
    label = service.label
    if facts is not None and facts.listeners is not None:
        mine = [one for one in facts.listeners if one.protocol == service.protocol and one.port == service.port]
        covering = [one for one in mine if one.covers(vip)]
        blind = facts.listeners_unknown(ip_address(vip).version)
        if blind and not covering:
            return "unknown", label, f"not known: {blind}"
        if not mine:
            return "fail", label, f"nothing listens on port {service.port}: start the application"
        if covering:
            return "ok", label, f"{_who(covering[0])} listens on {_where(covering[0])}"
        only = ", ".join(dict.fromkeys(one.address for one in mine))
        return (
            "warn",
            label,
            (f"{_who(mine[0])} listens on {only} only, not on the VIP: bind it to {vip} or to all addresses"),
        )
    answer = connected.get(service.port) if service.protocol == "tcp" else None
    if answer is None or answer.result == "unknown":
        return "unknown", label, (answer.problem if answer is not None else "") or "not checked"
    if answer.result == "open":
        return "ok", label, f"open on {answer.address}"
    said = {"refused": "nothing listens", "silent": "no answer: a firewall?", "unreachable": "unreachable"}
    return "fail", label, f"{said[answer.result]} on {answer.address} port {answer.port}"


def _who(listener: Listener) -> str:
    return listener.process or "a program"


def _where(listener: Listener) -> str:
    return "all addresses" if listener.address in ("*", "0.0.0.0", "::") else listener.address


def _gateway(facts: ServerFacts, deployment: Deployment) -> tuple[Name, str, str]:
    families = {ip_address(vip.address).version for vip in deployment.vips}
    routes = [route for route in facts.default_routes if route.family in families]
    if not routes and facts.routes_unknown:
        return "unknown", "Gateway", f"could not be read: {facts.routes_unknown}"
    if not routes:
        return "fail", "Gateway", "no default route: replies cannot reach clients in other networks"
    return "ok", "Gateway", ", ".join(f"{route.gateway} on {route.interface}" for route in routes)
