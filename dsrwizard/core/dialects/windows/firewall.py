"""Whether Windows' firewall lets clients of a VIP in, by its rules as numbers. Pure."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.windows_facts import FirewallRule, WindowsFacts

NUMBERS = {"tcp": 6, "udp": 17}
ANY = 256
EVERY_PROFILE = 7
"""Domain, private and public: an adapter without gateway is in the public profile, whatever the others are."""


def rule_name(vip: Vip, service: Service) -> str:
    """The name of our rule for this VIP and service."""
    return f"dsrwizard-{vip.ip}-{service.protocol}-{service.port}"


def admitted(facts: WindowsFacts, vip: Vip, service: Service) -> bool:
    """Whether clients of the VIP get in: no profile filters, or a rule covers address and port on every profile that
    does. Not known counts as yes: then there is nothing to plan."""
    if facts.firewall is None or facts.rules is None or not any(facts.firewall.profiles.values()):
        return True
    return any(rule.allow and covers(rule, vip, service) for rule in facts.rules)


def covers(rule: FirewallRule, vip: Vip, service: Service) -> bool:
    """Whether the rule is about this VIP and service, on every profile."""
    return (
        rule.enabled
        and rule.protocol in (NUMBERS[service.protocol], ANY)
        and (rule.profiles & EVERY_PROFILE) == EVERY_PROFILE
        and (rule.protocol == ANY or _port(rule.ports, service.port))
        and _address(rule.addresses, vip)
    )


def _port(ports: str, wanted: int) -> bool:
    """`*`, `80`, `80,443`, `8000-8100`; words (`RPC`, `IPHTTPS`) are no port of ours."""
    if ports.strip() in ("*", ""):
        return True
    for part in ports.split(","):
        low, _, high = part.strip().partition("-")
        ends = (low, high or low)
        if all(end.isdecimal() and len(end) <= 5 for end in ends) and int(ends[0]) <= wanted <= int(ends[1]):
            return True
    return False


def _address(addresses: str, vip: Vip) -> bool:
    """`*`, single addresses, networks with a mask, and ranges, separated by commas."""
    if addresses.strip() in ("*", ""):
        return True
    for part in addresses.split(","):
        try:
            if "-" in part:
                low, high = (ip_address(end.strip()) for end in part.split("-", 1))
                if low.version == high.version == vip.ip.version and int(low) <= int(vip.ip) <= int(high):
                    return True
            elif vip.ip in ip_network(part.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False
