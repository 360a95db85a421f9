"""Whether Windows' firewall lets clients of a VIP in, by its rules as numbers. Pure.

A rule lets them in only when it does for every client: one for a program, a service, some clients, some of their ports,
some interfaces or for connections that IPsec has proven may let some in, or none; nobody can tell from here.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Literal

from dsrwizard.core.dialects.windows.sites import serving
from dsrwizard.core.model.deployment import Address, Service, Vip
from dsrwizard.core.model.windows_facts import FirewallRule, WindowsFacts

NUMBERS = {"tcp": 6, "udp": 17}
ANY = 256
EVERY_PROFILE = 7
"""Domain, private and public: an adapter without gateway is in the public profile, whatever the others are."""
KERNEL = "system"
"""The program of http.sys in a rule, as in those that IIS brings."""
Extent = Literal["all", "some", "none"]
_DIGITS = re.compile(r"[0-9]{1,5}")


def rule_name(vip: Vip, service: Service) -> str:
    """The name of our rule for this VIP and service."""
    return f"dsrwizard-{vip.ip}-{service.protocol}-{service.port}"


def filters(facts: WindowsFacts) -> bool:
    """Whether the firewall is known to be on for some profile."""
    return facts.firewall is not None and any(facts.firewall.profiles.values())


def known_rules(facts: WindowsFacts) -> tuple[FirewallRule, ...] | None:
    """The rules, or only our own where there were too many; None: none could be read."""
    return facts.rules if facts.rules is not None else facts.own_rules


def admitting(facts: WindowsFacts, vip: Vip, service: Service) -> FirewallRule | None:
    """A rule that lets every client of the VIP in."""
    return next((rule for rule in known_rules(facts) or () if extent(facts, rule, vip, service) == "all"), None)


def perhaps(facts: WindowsFacts, vip: Vip, service: Service) -> FirewallRule | None:
    """A rule that lets some clients in, or some programs have them."""
    return next((rule for rule in known_rules(facts) or () if extent(facts, rule, vip, service) == "some"), None)


def admitted(facts: WindowsFacts, vip: Vip, service: Service) -> bool:
    """Whether no rule is needed: no profile filters, or a rule lets every client in. Where nothing could be read
    nothing can be said, and nothing is planned."""
    if facts.firewall is None or known_rules(facts) is None or not filters(facts):
        return True
    return admitting(facts, vip, service) is not None


def extent(facts: WindowsFacts, rule: FirewallRule, vip: Vip, service: Service) -> Extent:
    """Which clients of the VIP the rule lets in."""
    if not rule.allow or not covers(rule, vip, service):
        return "none"
    if rule.service not in ("", "*") and not _named(rule):
        return "none"  # such as that of WMI: every port, for a service of Windows that serves none of ours
    return "some" if _narrow(facts, rule, vip, service) else "all"


def limits(rule: FirewallRule) -> str:
    """For whom the rule is, in words; empty: for everybody."""
    parts = (
        f"program {rule.application}" if rule.application else "",
        f"service {rule.service}" if rule.service else "",
        f"clients {rule.remote_addresses}" if not _everyone(rule.remote_addresses, None) else "",
        f"clients' ports {rule.remote_ports}" if not _every_port(rule.remote_ports) else "",
        f"interfaces {', '.join(rule.interfaces)}" if rule.interfaces else "",
        f"interface types {rule.interface_types}" if not _every_type(rule.interface_types) else "",
        "connections proven by IPsec" if rule.secure else "",
    )
    return ", ".join(part for part in parts if part)


def covers(rule: FirewallRule, vip: Vip, service: Service, profiles: int = EVERY_PROFILE) -> bool:
    """Whether protocol, port, address and profiles of the rule take in this VIP and service, on these profiles."""
    return (
        rule.enabled
        and rule.protocol in (NUMBERS[service.protocol], ANY)
        and (rule.profiles & profiles) == profiles
        and (rule.protocol == ANY or _port(rule.ports, service.port))
        and _address(rule.addresses, vip)
    )


def _named(rule: FirewallRule) -> bool:
    """Whether it names ports or addresses of this host."""
    return not (_every_port(rule.ports) and rule.addresses.strip() in ("*", ""))


def _narrow(facts: WindowsFacts, rule: FirewallRule, vip: Vip, service: Service) -> bool:
    of_kernel = rule.application.lower() == KERNEL and not rule.service and bool(serving(facts, service))
    return bool(
        (rule.application and not of_kernel)
        or rule.service
        or not _everyone(rule.remote_addresses, vip)
        or not _every_port(rule.remote_ports)
        or rule.interfaces
        or not _every_type(rule.interface_types)
        or rule.secure
    )


def _every_type(types: str) -> bool:
    return types.strip().lower() in ("", "all", "*")


def _every_port(ports: str) -> bool:
    if ports.strip() in ("*", ""):
        return True
    return any(low <= 1 and high >= 65_535 for low, high in _ranges(ports))


def _port(ports: str, wanted: int) -> bool:
    """`*`, `80`, `80,443`, `8000-8100`; words (`RPC`, `IPHTTPS`) are no port of ours."""
    if ports.strip() in ("*", ""):
        return True
    return any(low <= wanted <= high for low, high in _ranges(ports))


def _ranges(ports: str) -> list[tuple[int, int]]:
    found = []
    for part in ports.split(","):
        low, _, high = part.strip().partition("-")
        ends = (low.strip(), (high or low).strip())
        if all(_DIGITS.fullmatch(end) for end in ends):
            found.append((int(ends[0]), int(ends[1])))
    return found


def _address(addresses: str, vip: Vip) -> bool:
    """`*`, single addresses, networks with a mask, and ranges, separated by commas. Words (`LocalSubnet`) are no
    address of this host."""
    if addresses.strip() in ("*", ""):
        return True
    return any(low <= int(vip.ip) <= high for low, high in _spans(addresses, vip.ip.version))


def _everyone(addresses: str, vip: Vip | None) -> bool:
    """Whether a list of remote addresses leaves no client out: for the VIP's family, or for either."""
    if addresses.strip() in ("*", ""):
        return True
    families = (vip.ip.version,) if vip is not None else (4, 6)
    return all(_whole(addresses, family) for family in families)


def _whole(addresses: str, family: int) -> bool:
    """Whether the list takes in the whole family, in whatever pieces."""
    reached = 0
    for low, high in sorted(_spans(addresses, family)):
        if low > reached:
            return False
        reached = max(reached, high + 1)
    return reached >= 1 << (32 if family == 4 else 128)


def _spans(addresses: str, family: int) -> list[tuple[int, int]]:
    """First and last address of every part that is of this family."""
    found = []
    for part in addresses.split(","):
        try:
            ends: tuple[Address, Address]
            if "-" in part:
                first, last = (ip_address(end.strip()) for end in part.split("-", 1))
                ends = first, last
            else:
                network: IPv4Network | IPv6Network = ip_network(part.strip(), strict=False)
                ends = network[0], network[-1]
        except ValueError:
            continue
        if ends[0].version == ends[1].version == family:
            found.append((int(ends[0]), int(ends[1])))
    return found
