"""Which profile of Windows' firewall lets a connection to the server's own address in. Pure.

Windows Server 2008 (not R2) has one profile for all its networks, the most restrictive of theirs; later ones have one
for each network. A network without a gateway cannot be identified and gets the profile Public (Microsoft, "Network
Location Awareness and Windows Firewall profiles").
"""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.dialects.windows.firewall import Extent, covers, extent
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.windows_facts import FirewallRule, WindowsFacts

NAMES = {1: "Domain", 2: "Private", 4: "Public"}
_IDS: dict[int, Literal["domain", "private", "public"]] = {1: "domain", 2: "private", 4: "public"}
PUBLIC = 4


def single(facts: WindowsFacts) -> bool:
    """Whether one profile counts for all networks of this Windows."""
    return facts.version.startswith("6.0.")


def worded(profiles: int) -> str:
    """Profiles in words."""
    return ", ".join(name for number, name in NAMES.items() if profiles & number) or "none"


def letting_in(facts: WindowsFacts, address: str, port: int) -> tuple[FirewallRule, ...]:
    """The rules that let a TCP connection to this address of the server in, at least for some clients, on some
    profile."""
    target, service = Vip(address=address, services=()), Service(port=port)
    return tuple(
        rule
        for rule in facts.rules or ()
        if rule.allow and covers(rule, target, service, 0) and _extent(facts, rule, target, service) != "none"
    )


def _extent(facts: WindowsFacts, rule: FirewallRule, target: Vip, service: Service) -> Extent:
    """As `firewall.extent`, whatever the profiles of the rule are."""
    return extent(facts, msgspec.structs.replace(rule, profiles=0x7FFFFFFF), target, service)


def open_on(facts: WindowsFacts, address: str, port: int, profile: int) -> bool | None:
    """Whether this profile lets such connections in: it is off, or a rule does; None: not known."""
    firewall = facts.firewall
    if firewall is None or facts.rules is None:
        return None
    if not firewall.profiles.get(_IDS[profile], True):
        return True
    return not firewall.block_all and any(rule.profiles & profile for rule in letting_in(facts, address, port))


def lost_on_public(facts: WindowsFacts, address: str, port: int) -> bool:
    """Whether connections that get in now would not, once the server's one profile is Public."""
    current = facts.firewall.current if facts.firewall else None
    if current is not None and current & PUBLIC:
        return False  # it is so already
    now = [one for one in NAMES if one != PUBLIC and (current is None or current & one)]
    return open_on(facts, address, port, PUBLIC) is False and any(open_on(facts, address, port, one) for one in now)


def admit_everywhere(port: int) -> str:
    """The command that lets TCP in to a port on every profile."""
    return (
        f"netsh advfirewall firewall add rule name=winrm-{port} dir=in action=allow protocol=TCP localport={port} "
        "profile=any"
    )
