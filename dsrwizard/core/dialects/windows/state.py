"""One setting of a Windows server read from its facts, in the terms of `WindowsChange`. Pure."""

from __future__ import annotations

from dsrwizard.core.dialects.windows.commands import UNBINDABLE, split
from dsrwizard.core.dialects.windows.firewall import known_rules
from dsrwizard.core.dialects.windows.sites import parts_of
from dsrwizard.core.model.changes import WindowsChange, WindowsItem
from dsrwizard.core.model.windows_facts import IpSettings, WindowsAdapter, WindowsFacts

UNSEEN = object()
"""It could not be seen."""


def found(facts: WindowsFacts, key: str) -> WindowsAdapter | None:
    """The adapter a key speaks of: by GUID in braces, otherwise by name."""
    if key.startswith("{"):
        return next((adapter for adapter in facts.adapters if adapter.guid.lower() == key.lower()), None)
    return facts.adapter(key)


def present(facts: WindowsFacts, change: WindowsChange) -> object:
    """The value there is now: a text, None for absent, or UNSEEN."""
    return value(facts, change.item, change.key)


def value(facts: WindowsFacts, item: WindowsItem, key: str) -> object:
    """As `present`, for an item and a key."""
    match item:
        case "firewall-rule":
            return _rule(facts, key)
        case "site-binding":
            return _site(facts, key)
        case "listen-address":
            if facts.listen_list is None:
                return UNSEEN
            return "present" if key in facts.listen_list else None
        case "certificate":
            return UNSEEN if facts.certificates is None else facts.certificates.get(key)
        case _:
            return _of_adapter(facts, item, key)


def _rule(facts: WindowsFacts, name: str) -> object:
    rules = known_rules(facts)
    if rules is None:
        return UNSEEN
    rule = next((rule for rule in rules if rule.name == name), None)
    if rule is None:
        return None
    protocol = {6: "tcp", 17: "udp"}.get(rule.protocol, str(rule.protocol))
    address = rule.addresses.partition("/")[0]  # Windows writes a host as 10.0.0.10/255.255.255.255
    return " ".join(part.replace(" ", "") for part in (protocol, rule.ports, address))


def _site(facts: WindowsFacts, key: str) -> object:
    if facts.sites is None:
        return UNSEEN
    name, protocol, information = parts_of(key)
    for site in facts.sites:
        if site.name == name:
            same = any(one.protocol == protocol and one.information == information for one in site.bindings)
            return "present" if same else None
    return None


def _of_adapter(facts: WindowsFacts, item: WindowsItem, key: str) -> object:
    name, what = split(key)
    adapter = found(facts, name)
    if adapter is None:
        return UNSEEN if facts.adapters_unknown else None
    if item == "netbios":
        return UNSEEN if adapter.netbios is None else str(adapter.netbios)
    if item == "dns-registration":
        if adapter.dns_registration is None or adapter.dns_suffix_registration is None:
            return UNSEEN
        return f"{_word(adapter.dns_registration)},{_word(adapter.dns_suffix_registration)}"
    if item == "binding":
        if adapter.bindings is None:
            return UNSEEN
        if what == "*":
            bound = [name for name in ("ms_tcpip", *UNBINDABLE) if adapter.bindings.get(name)]
            return ",".join(bound)
        if what not in adapter.bindings:
            return UNSEEN
        return _able(adapter.bindings[what])
    settings = adapter.of(int(what)) if what in ("4", "6") else None
    return UNSEEN if settings is None else _of_family(settings, item)


def _of_family(settings: IpSettings, item: WindowsItem) -> object:
    seen: object = None
    match item:
        case "dhcp":
            seen = _able(settings.dhcp)
        case "weak-receive":
            seen = _able(settings.weak_host_receive)
        case "weak-send":
            seen = _able(settings.weak_host_send)
        case "dad":
            seen = None if settings.dad_transmits is None else str(settings.dad_transmits)
        case "router-discovery":
            number = settings.router_discovery
            seen = {0: "Disabled", 1: "Enabled", 2: "ControlledByDHCP"}.get(number) if number is not None else None
        case "metric":
            automatic = settings.automatic_metric
            seen = "automatic" if automatic else None if settings.metric is None else str(settings.metric)
        case _:
            pass
    return UNSEEN if seen is None else seen


def _able(on: bool | None) -> str | None:
    return None if on is None else "Enabled" if on else "Disabled"


def _word(on: bool) -> str:
    return "true" if on else "false"
