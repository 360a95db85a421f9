"""The evidence of one verification, as plain values: the input of the diagnosis.

Nothing here is a judgement. What could not be looked at is missing, or carries a `problem`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface
from typing import Self

import msgspec

from dsrwizard.core.diagnosis.handshakes import ClientLike, PairKey, Traffic
from dsrwizard.core.model.answers import Arrivals, Claim, Connected, Owners, Ping, Probed, Sized, Talked
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.director_facts import DirectorLook, Entered
from dsrwizard.core.model.facts import Failure, Observed
from dsrwizard.core.model.values import canonical

ProbeKey = tuple[str, str, str, int]
"""RIP, VIP, protocol, port."""


class Evidence(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Everything that was seen. Addresses in the keys are in canonical form: build it with `gathered`.

    `client` is None where the deployment names no client host, a Failure where it could not be reached.
    """

    deployment: Deployment
    observed: Observed
    pings: dict[str, Ping] = {}
    connects: dict[tuple[str, int], Connected] = {}
    owners: dict[str, Owners] = {}
    probes: dict[ProbeKey, Probed] = {}
    client: ClientView | Failure | None = None
    client_like: dict[str, ClientLike] = {}
    """Client-like SYNs by the real server's name; one that is missing could not be looked at from within."""
    traffic: dict[PairKey, Traffic] | None = None
    """Clients' own connections; None: nobody looked, or `traffic_problem` says why it could not be seen."""
    traffic_problem: str = ""
    talks: dict[PairKey, Talked] = {}
    """Conversations with TCP services through one real server; none where nobody talked."""
    sized: dict[str, Sized] = {}
    """Echoes of full size by RIP."""
    twins: tuple[Probed, ...] = ()
    """Probes through each MAC that answered for a RIP, where there are several."""
    boxed: tuple[Probed, ...] = ()
    """The VIPs through each MAC outside the deployment that answered for them, where another machine balances."""
    claims: tuple[Claim, ...] = ()
    """What was heard while all this was looked at: who named a VIP as its own."""
    hearing_problem: str = ""
    """Why nobody could listen, or nobody did."""
    arrivals: Arrivals | None = None
    """What came in on the director's interfaces during the client rounds; None: nobody listened."""
    director_look: DirectorLook | None = None
    """The director's own path before the client rounds; None: nobody looked, or another product balances."""
    director_after: DirectorLook | None = None
    """The same afterwards: counters, and what becomes of packets of the clients that came in."""
    entered: Entered | None = None
    """Which connections that came in made no entry in IPVS; None: nobody listened."""
    kept: frozenset[str] = frozenset()
    """The director's settings that the journal says are ours."""
    held: tuple[str, ...] | None = None
    """The VIPs that this machine had when `owners` were asked again; None: they were not."""
    deployed: dict[str, float] = {}
    """Since when a server has its VIPs, in seconds since the epoch; not known of one that is missing."""

    @classmethod
    def gathered(
        cls,
        deployment: Deployment,
        observed: Observed,
        *,
        pings: Mapping[str, Ping] | None = None,
        connects: Iterable[Connected] = (),
        owners: Mapping[str, Owners] | None = None,
        probes: Iterable[Probed] = (),
        client: ClientView | Failure | None = None,
        client_like: Mapping[str, ClientLike] | None = None,
        traffic: Mapping[PairKey, Traffic] | None = None,
        traffic_problem: str = "",
        talks: Iterable[Talked] = (),
        sized: Iterable[Sized] = (),
        twins: Iterable[Probed] = (),
        boxed: Iterable[Probed] = (),
        claims: Iterable[Claim] = (),
        hearing_problem: str = "",
        arrivals: Arrivals | None = None,
        director_look: DirectorLook | None = None,
        director_after: DirectorLook | None = None,
        entered: Entered | None = None,
        kept: Iterable[str] = (),
        deployed: Mapping[str, float] | None = None,
    ) -> Self:
        """Files the answers of the wire under canonical addresses."""
        return cls(
            deployment=deployment,
            observed=observed,
            pings={canonical(address): ping for address, ping in (pings or {}).items()},
            connects={(canonical(found.address), found.port): found for found in connects},
            owners={canonical(address): found for address, found in (owners or {}).items()},
            probes={(canonical(p.rip), canonical(p.vip), p.protocol, p.port): p for p in probes},
            client=client,
            client_like=dict(client_like or {}),
            traffic=None if traffic is None else dict(traffic),
            traffic_problem=traffic_problem,
            talks={(canonical(one.rip), canonical(one.vip), one.port): one for one in talks},
            sized={canonical(one.rip): one for one in sized},
            twins=tuple(twins),
            boxed=tuple(boxed),
            claims=tuple(claims),
            hearing_problem=hearing_problem,
            arrivals=arrivals,
            director_look=director_look,
            director_after=director_after,
            entered=entered,
            kept=frozenset(kept),
            deployed=dict(deployed or {}),
        )

    def ping(self, rip: str) -> Ping:
        address = canonical(rip)
        return self.pings.get(address) or Ping(address=address, problem="It was not pinged.")

    def connect(self, rip: str, port: int) -> Connected:
        address = canonical(rip)
        return self.connects.get((address, port)) or Connected(
            address=address, port=port, result="unknown", problem="No connection was tried."
        )

    def owner(self, address: str) -> Owners:
        wanted = canonical(address)
        return self.owners.get(wanted) or Owners(address=wanted, problem="No who-has was sent.")

    @cached_property
    def nics(self) -> Mapping[str, frozenset[str]]:
        """MAC → the real servers that have it, by their own facts."""
        found: dict[str, set[str]] = {}
        for name, facts in self.observed.servers.items():
            for link in facts.interfaces:
                if link.mac:
                    found.setdefault(mac(link.mac), set()).add(name)
        return {one: frozenset(names) for one, names in found.items()}

    @cached_property
    def peer_macs(self) -> dict[str, str]:
        """MAC → the other director that has it: it answers for that director's own address, or the director says so.
        One that is also a real server's is not counted: a clone is no director."""
        servers = {mac(one.mac) for one in self.probes.values() if one.mac}
        found: dict[str, str] = {}
        for peer in self.deployment.director.peers:
            facts = self.observed.servers.get(peer.name)
            own = [link.mac for link in facts.interfaces if link.mac] if facts is not None else []
            for one in (*self.owner(peer.address).macs, *own):
                if mac(one) not in servers:
                    found.setdefault(mac(one), peer.name)
        return found

    def probe(self, rip: str, vip: Vip, service: Service) -> Probed:
        key = (canonical(rip), canonical(vip.address), service.protocol, service.port)
        return self.probes.get(key) or Probed(
            vip=key[1], port=service.port, protocol=service.protocol, rip=key[0], signature="unknown",
            problem="It was not probed.",
        )  # fmt: skip

    def served(self, vip: Vip, service: Service, rip: str) -> int:
        """How many connections of a client host in another network were answered through a real server in this look."""
        return self._given(vip, service, rip).count(True)

    def unserved(self, vip: Vip, service: Service, rip: str) -> bool:
        """Whether a client host in another network was given to a real server in this look and got no answer at all:
        then what the director still has of earlier connections says nothing of now."""
        given = self._given(vip, service, rip)
        return bool(given) and not any(given)

    def _given(self, vip: Vip, service: Service, rip: str) -> list[bool]:
        """Of each such connection, whether it was answered."""
        view = self.client
        seen = view.of(vip) if isinstance(view, ClientView) else None
        passage = seen.passages.get(service.port) if seen is not None and seen.on_link is not True else None
        if seen is None or passage is None:
            return []
        given = {port for port, to in passage.given.items() if canonical(to) == canonical(rip)}
        return [one.result == "open" for one in seen.tries if one.port == service.port and one.client_port in given]

    @cached_property
    def _networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        director = self.observed.director
        links = director.interfaces if director else ()
        found = [ip_interface(f"{entry.address}/{entry.prefix}").network for one in links for entry in one.addresses]
        return tuple(found)

    def beside(self, rip: str) -> str:
        """The address of the director's that probes through a RIP come from, as far as it is known."""
        vips = {canonical(vip.address) for vip in self.deployment.vips}
        director = self.observed.director
        for link in director.interfaces if director else ():
            for entry in link.addresses:
                network = ip_interface(f"{entry.address}/{entry.prefix}").network
                wanted = ip_address(rip)
                if canonical(entry.address) not in vips and wanted.version == network.version and wanted in network:
                    return canonical(entry.address)
        return ""

    def serves(self, rip: str, by: str) -> bool | None:
        """Whether a VIP was answered through this MAC, one of several that answer for a RIP; None: it was not tried."""
        found = [one for one in self.twins if canonical(one.rip) == canonical(rip) and mac(one.mac) == mac(by)]
        told = [one.good for one in found if one.signature not in ("unknown", "no-mac")]
        return any(told) if told else None

    def near(self, address: str) -> bool:
        """Whether an address is in a network of the director's own."""
        wanted = ip_address(address)
        return any(wanted.version == network.version and wanted in network for network in self._networks)


def mac(text: str) -> str:
    """One spelling per MAC."""
    return text.lower().replace("-", ":")


def director_macs(evidence: Evidence) -> frozenset[str]:
    """MACs of this machine, and of the other directors."""
    return own_macs(evidence) | evidence.peer_macs.keys()


def own_macs(evidence: Evidence) -> frozenset[str]:
    """MACs of this machine."""
    director = evidence.observed.director
    return frozenset(mac(link.mac) for link in director.interfaces if link.mac) if director else frozenset()
