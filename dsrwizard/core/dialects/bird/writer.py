"""BIRD's file for a deployment, as a text. Pure.

Keywords: the user's guide of BIRD 2.0 (Protocol options, BGP, BFD, Static). The VIPs are in tables of their own: what
other protocols of the operator's file export from `master4` and `master6`, the kernel's among them, never has them, and
what others learn is never announced here.
"""

from __future__ import annotations

import re
from hashlib import sha256
from ipaddress import IPv4Address, ip_address
from typing import NamedTuple

from dsrwizard.core.model.bird import BIRD_INCLUDE, sign_of
from dsrwizard.core.model.deployment import Bgp, Deployment
from dsrwizard.core.model.errors import UsageError

_OURS = "# dsrwizard wrote this for the deployment {name}. Change the deployment file and apply it, not this file.\n"
HOLD_SECONDS = 9
"""Without BFD a router notices a dead director after this long; BIRD's own default is four minutes."""
BFD_MILLISECONDS = 100
BFD_TIMES = 3
"""So many packets of BFD are missed before the other side counts as gone: 0.3 s. With it the route of a director whose
power was cut was gone 0.21 s later (BIRD 2.0.12 on both sides)."""


class OwnAddresses(NamedTuple):
    """One director's own addresses, of which the router may send to one: None where it has none of that family."""

    four: str | None
    six: str | None

    @property
    def router_id(self) -> str:
        """Its BGP identifier, unlike any other director's: RFC 6286 wants it to be unique within an AS. BIRD's own
        choice is the lowest address of the machine, which may be a VIP that all directors have."""
        if self.four:
            return self.four
        digest = sha256(str(ip_address(self.six or "::")).encode()).digest()
        return str(IPv4Address(bytes((1 + digest[0] % 223, *digest[1:4]))))


def bird_text(deployment: Deployment, bgp: Bgp, own: OwnAddresses, *, bfd_there: bool = False) -> str:
    """The file. `bfd_there`: BIRD has a protocol bfd that is not ours; a second one would take its packets away. Raises
    UsageError where this director has no address to which a router could send packets for a VIP."""
    word = symbol(deployment.name)
    families = sorted({vip.ip.version for vip in deployment.vips})
    blocks = [_OURS.format(name=deployment.name) + _sign_words(deployment.name)]
    for family in families:
        routes = [
            f'    route {vip.ip}/{vip.prefix} via "{sign_of(deployment.name)}";'
            for vip in deployment.vips
            if vip.ip.version == family
        ]
        blocks.append(
            _block(
                f"ipv{family} table {word}_{family};\nprotocol static {word}_vips{family}",
                f"    ipv{family} {{ table {word}_{family}; }};",
                *routes,
            )
        )
    if bgp.bfd and not bfd_there:
        blocks.append(f"protocol bfd {word}_bfd {{ }}\n")
    interval = f"{BFD_MILLISECONDS} ms"
    session = [
        f"    router id {own.router_id};",
        f"    local as {bgp.local_as};",
        f"    neighbor {bgp.neighbour} as {bgp.neighbour_as};",
        "    direct;",
        f"    hold time {HOLD_SECONDS};",
        "    connect delay time 1;",
        "    connect retry time 5;",
        "    error wait time 1, 10;",
    ]
    if bgp.bfd:
        session.append(
            f"    bfd {{ min rx interval {interval}; min tx interval {interval}; multiplier {BFD_TIMES}; }};"
        )
    for family in families:
        hop = _next_hop(bgp, own, family)
        session.append(f"    ipv{family} {{ table {word}_{family}; import none; export all; next hop {hop}; }};")
    blocks.append(_block(f"protocol bgp {word}_bgp", *session))
    return "\n".join(blocks)


def symbol(deployment: str) -> str:
    """How the names of everything in the file begin. BIRD's have letters, digits and underscores; a name with others
    gets a few of its digest, so that no two deployments meet."""
    plain = re.sub(r"[^a-zA-Z0-9_]", "_", deployment)
    return f"dsr_{plain}" if plain == deployment else f"dsr_{plain}_{sha256(deployment.encode()).hexdigest()[:6]}"


def with_include(text: str) -> str:
    """The operator's bird.conf with our line at its end."""
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{BIRD_INCLUDE}\n"


def without_include(text: str) -> str:
    """The same without our line."""
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() != BIRD_INCLUDE)


def included(text: str) -> bool:
    """Whether our line is in force there. What is commented out is not."""
    return any(line.strip() == BIRD_INCLUDE for line in text.splitlines())


def _sign_words(deployment: str) -> str:
    sign = sign_of(deployment)
    return f"# The routes are there while the interface {sign} is up. The guard has it up while it is well.\n"


def _block(head: str, *lines: str) -> str:
    return "\n".join((f"{head} {{", *lines, "}", ""))


def _next_hop(bgp: Bgp, own: OwnAddresses, family: int) -> str:
    """Where the router is to send packets for VIPs of a family: to this director's own address, which has to be named
    where the session is of the other family (RFC 4760, 3)."""
    if ip_address(bgp.neighbour).version == family:
        return "self"
    address = own.four if family == 4 else own.six
    if address is None:
        raise UsageError(
            f"This director has no IPv{family} address of its own, so no router could send packets for an IPv{family} "
            "VIP to it.",
            f"The session with {bgp.neighbour} is of the other family, so the address has to be named.",
            f"Give the interface an IPv{family} address, or take the IPv{family} VIPs out of this deployment.",
        )
    return f"address {address}"
