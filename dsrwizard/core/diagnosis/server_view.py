"""The view of one real server: whether it is there, has the VIP, listens on it and guards it.

Only views, no checks: each says what is known or None. Outside evidence that is certain (an answer from the VIP
through this server's MAC) goes before facts, which are a moment older and cannot see address translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Literal, Protocol

from dsrwizard.core.diagnosis.evidence import Evidence, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.handshakes import Fate
from dsrwizard.core.dialects.advice import Advice
from dsrwizard.core.dialects.linux.plan import effective, ingress
from dsrwizard.core.model.answers import Connected, Probed, Talked
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import RealServer, Service, Vip
from dsrwizard.core.model.facts import Interface, InterfaceAddress, Listener, Route
from dsrwizard.core.model.values import canonical

Held = Literal["held", "prefix", "missing", "unknown"]
Listening = Literal["vip", "elsewhere", "nowhere", "unknown"]
Stopping = Literal["stops", "narrow", "undecided", "none", "unknown"]
"""What a server's packet filter does with a first packet that got no answer: it drops it, it drops it for its source
and lets clients in, its rules alone do not decide it, it lets it in, or the rules are not known."""
FORGED = 64
"""Answers that fit no question until they are more than late ones and those to this machine's own connections."""
_FORWARDERS = frozenset({"docker-proxy", "rootlessport", "conmon"})
"""Programs that hold a container's port on its host while a packet filter translates what arrives there."""


class Platform(Protocol):
    """The platform interface: the checks and faults that differ between operating systems.

    `where` and `seen` are the question and the evidence of the check that asks.
    """

    opens_rip: bool
    """Whether the firewall of a server that works lets in connections to its own address, too."""

    def default_routes(self, view: ServerView) -> tuple[Route, ...]:
        """The default routes, the one in force first. The server's facts are known."""
        ...

    def ways(self, view: ServerView, family: int) -> list[tuple[str, str, Route | None]]:
        """(VIP, client, route) of the ways back that were asked for; without any, the default route is what there is.
        The client is empty where the way is that to anywhere."""
        ...

    def way_back(self, view: ServerView, faults: Found, where: Where, family: int) -> Check | None:
        """What is wrong or not known with the way that replies take, which does not lead to the director; None: nothing
        is."""
        ...

    def settings(self, view: ServerView, faults: Found) -> list[Check]:
        """The checks of its own settings that come before a client-like SYN is judged."""
        ...

    def after_clients(self, view: ServerView, faults: Found) -> list[Check]:
        """`server.rp_filter`, `server.health_check` and `server.persistent`: what a client-like SYN has shown comes
        before them."""
        ...

    def leak_reason(self, view: ServerView, vip: Vip) -> tuple[str, str]:
        """Why it answers ARP for the VIP, by its facts, and the command that silences it; empty: unexplained."""
        ...

    def leak_fault(self, view: ServerView, vip: Vip) -> Fault:
        """The fault of a server that answers ARP for the VIP."""
        ...

    def explained(
        self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, probe: Probed, seen: str
    ) -> Check | None:
        """The fault behind a probe that failed though the VIP is there, by the facts; None: they show none."""
        ...

    def passed_on(
        self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str
    ) -> Check | None:
        """The fault of a server that passes the service's packets on to others; None: it does not, or not known."""
        ...

    def replies_stopped(
        self,
        view: ServerView,
        faults: Found,
        vip: Vip,
        service: Service,
        where: Where,
        seen: str,
        clients: Sequence[str] = (),
    ) -> Check | None:
        """The fault of a server whose own filter drops the replies that it makes to these clients (none: to any), or
        the doubt whether it does; None: it does not, or its rules are not known."""
        ...

    def translated(self, view: ServerView, vip: Vip) -> str:
        """How the server takes packets for a VIP that it does not hold, by its facts; empty: it does not."""
        ...

    def vip_gone(self, view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
        """What lies behind a VIP that is not on the server, where the facts show more than that; None: they do not."""
        ...

    def misplaced(self, view: ServerView, faults: Found, vip: Vip, where: Where, seen: str) -> Check | None:
        """What is wrong with where the VIP is, for a prefix that follows from that; None: its prefix is a fault."""
        ...

    def cluster_macs(self, view: ServerView) -> frozenset[str]:
        """MACs that it answers with for VIPs beside those of its adapters."""
        ...

    def not_listening(self, view: ServerView, faults: Found, vip: Vip, service: Service, where: Where) -> Check | None:
        """What lies behind a service that does not listen on the VIP, where the facts show it; None: they do not."""
        ...

    def rules_seen(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
        """The firewall's rules for such a packet, as evidence; empty where none are known."""
        ...

    def stopping(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> Stopping:
        """What its packet filter does with a first packet from `source` (empty: a client that no rule names)."""
        ...

    def echoes_stopped(self, view: ServerView, rip: str, size: int) -> bool:
        """Whether its packet filter may drop echoes of this size alone, and not clients' data; so it is where its rules
        are not known."""
        ...

    def opening(self, view: ServerView, vip: Vip, service: Service, source: str = "") -> str:
        """What to do on the server so that such packets get in."""
        ...


class ServerView:
    """Everything known about one real server; `advice` and `platform` are those of the system that it runs."""

    def __init__(self, evidence: Evidence, server: RealServer, advice: Advice, platform: Platform) -> None:
        self.advice, self.platform = advice, platform
        self.evidence = evidence
        self.server = server
        self.name = server.name
        self.facts = evidence.observed.servers.get(server.name)
        self.failure = evidence.observed.failed.get(server.name)
        self.vips = evidence.deployment.vips_of(server)
        self._rip = {vip.address: server.rip_for(vip) for vip in self.vips}
        self._probes = {
            vip.address: [(one, evidence.probe(rip, vip, one)) for one in vip.services]
            for vip in self.vips
            if (rip := self._rip[vip.address]) is not None
        }
        self._held: dict[str, Held] = {}
        self._entries: dict[str, list[tuple[Interface, InterfaceAddress]]] = {}
        for link in self.facts.interfaces if self.facts else ():
            for entry in link.addresses:
                self._entries.setdefault(canonical(entry.address), []).append((link, entry))

    def rip_for(self, vip: Vip) -> str | None:
        """The RIP of the VIP's family; None where the deployment names none, or the server does not serve the VIP."""
        return self._rip.get(vip.address)

    @cached_property
    def _ports(self) -> tuple[int, ...]:
        """The TCP ports that were tried at its RIPs."""
        tried = (one.port for vip in self.vips for one in vip.services if one.protocol == "tcp")
        return tuple(dict.fromkeys(tried))

    @cached_property
    def rips(self) -> tuple[str, ...]:
        """The RIPs its VIPs need, each once; the server's address where it has no VIP."""
        found = dict.fromkeys(rip for rip in self._rip.values() if rip)
        return tuple(found) or (self.server.address,)

    @cached_property
    def macs(self) -> frozenset[str]:
        """Every MAC known to be this server's, from its facts and from who answers for its RIPs alone."""
        found = {*self.nics, *(self.platform.cluster_macs(self) if self.facts else ())}
        for rip in self.rips:
            owners = self.evidence.owner(rip)
            if not owners.problem and len(owners.where) == 1:
                # Another server that answers for this one's address does not become this one by that.
                heard = mac(owners.where[0])
                if self.name in self.evidence.nics.get(heard, (self.name,)):
                    found.add(heard)
        return frozenset(found)

    @cached_property
    def nics(self) -> frozenset[str]:
        """The MACs that it has by its own facts."""
        return frozenset(mac(link.mac) for link in self.facts.interfaces if link.mac) if self.facts else frozenset()

    @cached_property
    def voices(self) -> frozenset[str]:
        """The MACs that its frames come from: its own, and what alone speaks for its RIPs, such as an access point."""
        found = set(self.macs)
        for rip in self.rips:
            owners = self.evidence.owner(rip)
            if not owners.problem and not owners.macs and len(owners.where) == 1:
                found |= {
                    mac(told.by) for told in owners.told
                    if told.answer and self.name in self.evidence.nics.get(mac(told.by), (self.name,))
                }  # fmt: skip
        return frozenset(found)

    @cached_property
    def nic(self) -> Interface | None:
        """The interface on which the director's frames arrive."""
        return ingress(self.server, self.facts) if self.facts else None

    # -- from the wire

    def probe(self, vip: Vip, service: Service) -> Probed | None:
        """The probe of this VIP and service, None where the server has no RIP of the VIP's family."""
        return next((probe for one, probe in self._probes.get(vip.address, ()) if one == service), None)

    def connect(self, vip: Vip, service: Service) -> Connected | None:
        """The TCP connect to the RIP of the VIP's family; None for UDP."""
        rip = self.rip_for(vip)
        return None if rip is None or service.protocol == "udp" else self.evidence.connect(rip, service.port)

    def answers(self, rip: str) -> str:
        """How the server showed that it lives at a RIP, empty where it did not: ping, TCP or a probe's answer."""
        ping = self.evidence.ping(rip)
        if ping.milliseconds is not None:
            return f"ping {ping.milliseconds:.1f} ms"
        for port in self._ports:
            connected = self.evidence.connect(rip, port)
            if connected.result in ("open", "refused"):
                return f"TCP {port} {connected.result}"
        for found in self._probes.values():
            for service, probe in found:
                if canonical(probe.rip) == canonical(rip) and _from_server(probe):
                    return f"probe {service.label} {probe.signature}"
        return ""

    def looked(self, rip: str) -> bool:
        """Whether anything was tried that would have shown the server alive."""
        if not self.evidence.ping(rip).problem:
            return True
        return any(self.evidence.connect(rip, port).result != "unknown" for port in self._ports)

    def leaks(self, vip: Vip) -> str:
        """The MAC of this server that it answered with for the VIP; empty: it did not, or nobody could be asked. What
        others answered with its MAC it did not say."""
        owners = self.evidence.owner(vip.address)
        if owners.problem:
            return ""
        said = [told.mac for told in owners.told if told.answer and mac(told.by) in self.voices]
        return next((found for found in map(mac, (*owners.macs, *said)) if found in self.macs), "")

    @cached_property
    def forged(self) -> str:
        """What says that somebody sends answers in its name, empty where nothing does. A switch that hears its MAC at
        the forger's port delivers its frames there, so that silence then says nothing about this server."""
        most = max((one.strays for found in self._probes.values() for _, one in found), default=0)
        return f"{most} answers in its name fit no question" if most > FORGED else ""

    def proven(self, vip: Vip) -> bool:
        """Whether the wire showed that this server holds the VIP: it answered for it, if only with a refusal."""
        if self.leaks(vip):
            return True
        return any(
            probe.good or (probe.signature == _refusal(service) and _from_server(probe))
            for service, probe in self._probes.get(vip.address, ())
        )

    def good(self, vip: Vip, service: Service) -> bool:
        probe = self.probe(vip, service)
        return probe is not None and probe.good

    def fate(self, vip: Vip, service: Service) -> Fate:
        """What became of a client-like SYN to this VIP and service."""
        seen = self.evidence.client_like.get(self.name)
        if seen is None or service.protocol == "udp":
            return "unseen"
        return seen.fate(canonical(vip.address), service.port)

    def talked(self, vip: Vip, service: Service) -> Talked | None:
        """The conversation with a TCP service through this server; None where nobody talked."""
        rip = self.rip_for(vip)
        if rip is None or service.protocol == "udp":
            return None
        return self.evidence.talks.get((canonical(rip), canonical(vip.address), service.port))

    def asked_as_client(self, vip: Vip, service: Service) -> bool:
        """Whether the last client-like SYN had the client host's address, not a documentation address."""
        seen = self.evidence.client_like.get(self.name)
        last = seen.last(canonical(vip.address), service.port) if seen is not None else None
        return last is not None and last[1].of_client

    def met(self, vip: Vip, service: Service) -> str:
        """How it is known that a client in another network was answered through this server, empty where it is not:
        the client host in this look, or clients whose connections the director has."""
        rip = self.rip_for(vip)
        if rip is None or service.protocol == "udp":
            return ""
        count = self.evidence.served(vip, service, rip)
        if count:
            return f"the client host was answered through {self.name} ({count} connection{'s' if count > 1 else ''})"
        if self.evidence.unserved(vip, service, rip):
            return ""
        seen = (self.evidence.traffic or {}).get((canonical(rip), canonical(vip.address), service.port))
        far = [one for one in (seen.answered if seen else ()) if not self.evidence.near(one)]
        return f"clients in other networks are connected through {self.name}, {far[0]} for one" if far else ""

    def accepts(self, family: int) -> bool:
        """Whether it has accepted a client-like SYN of a family (4, 6): then the director's link lets those out."""
        return any(
            self.fate(vip, service) == "accepted"
            for vip in self.vips
            if vip.ip.version == family
            for service in vip.services
        )

    # -- from the facts

    def way(self, family: int, vip: Vip | None = None) -> Route | None:
        """The route that replies take to clients elsewhere: the one asked for from the VIP, with policy routes, else
        the default route in force (`ip route` lists the preferred one first). None: there is none, or no facts."""
        if self.facts is None:
            return None
        # Asked for a way from an address it has not, the kernel says the same as where there is no way (ENETUNREACH).
        if vip is not None and self.local(vip.address):
            address = canonical(vip.address)
            if address in self.facts.ways:
                return self.facts.ways[address]
        return next((route for route in self._default_routes if route.family == family), None)

    @cached_property
    def _default_routes(self) -> tuple[Route, ...]:
        """Those that lead to a network, the one in force first."""
        return self.platform.default_routes(self) if self.facts else ()

    def entries(self, vip: Vip) -> list[tuple[Interface, InterfaceAddress]]:
        """Where the VIP is, on any interface."""
        return self._entries.get(canonical(vip.address), [])

    def local(self, address: str) -> bool:
        """Whether the kernel takes an address for its own: on an interface that is up, or in a local route."""
        if any(link.up for link, _ in self._entries.get(canonical(address), ())):
            return True
        looked = self.facts.linux if self.facts is not None else None
        if looked is None:
            return False
        wanted = ip_address(address)
        return any(wanted in network for network in map(ip_network, looked.local_networks))

    def held(self, vip: Vip) -> Held:
        """Whether the VIP is usable on the server, by its facts and by the wire."""
        if vip.address not in self._held:
            self._held[vip.address] = self._holds(vip)
        return self._held[vip.address]

    def _holds(self, vip: Vip) -> Held:
        if self.facts is None:
            return "held" if self.proven(vip) else "unknown"
        usable = [entry for link, entry in self.entries(vip) if link.up and not entry.tentative]
        if any(entry.prefix != vip.prefix for entry in usable):
            return "prefix"
        if usable or self.proven(vip) or (not self.entries(vip) and self.platform.translated(self, vip)):
            return "held"
        return "unknown" if self.facts.addresses_unknown else "missing"

    def on_nic(self, vip: Vip) -> Interface | None:
        """The ingress interface where it holds the VIP itself: it then answers for it whatever the guard."""
        return self.nic if any(link == self.nic for link, _ in self.entries(vip)) else None

    def listeners(self, service: Service) -> tuple[Listener, ...]:
        """Its sockets on the service's port."""
        found = (self.facts.listeners if self.facts else None) or ()
        return tuple(one for one in found if one.protocol == service.protocol and one.port == service.port)

    def serves_itself(self, vip: Vip, service: Service) -> bool:
        """Whether its own sockets serve the VIP, so that half-open connections show there: what is translated to a
        container or another host shows elsewhere."""
        return any(one.covers(vip.address) and one.process not in _FORWARDERS for one in self.listeners(service))

    def crowded(self, vip: Vip, service: Service) -> Listener | None:
        """The socket that serves the VIP where it takes no more connections: what came before waits for its
        application."""
        covering = [one for one in self.listeners(service) if one.covers(vip.address)]
        own = [one for one in covering if one.address == "*" or ip_address(one.address).version == vip.ip.version]
        covering = own or covering  # a socket of the VIP's own family comes before one of both
        return covering[0] if covering and all(one.full for one in covering) else None

    def listening(self, vip: Vip, service: Service) -> Listening:
        """Where the service listens, as far as the VIP is concerned. `elsewhere`: on other addresses only."""
        if self.good(vip, service):
            return "vip"
        if self.facts is None or self.facts.listeners is None:
            return "unknown"
        found = self.listeners(service)
        covering = [one for one in found if one.covers(vip.address)]
        if covering and not (self._refuses(vip, service) and self._six_only(vip, covering)):
            return "vip"
        if covering:
            return "nowhere"
        blind = bool(self.facts.listeners_unknown(vip.ip.version))
        if any(one.address in ("0.0.0.0", "::") or not ip_address(one.address).is_loopback for one in found):
            return "unknown" if blind else "elsewhere"
        if blind:
            return "unknown"
        connected = self.connect(vip, service)
        if connected is not None and connected.result == "open":
            return "unknown"  # something answers that is no socket of this host: translation, another namespace
        return "nowhere"

    def _refuses(self, vip: Vip, service: Service) -> bool:
        probe = self.probe(vip, service)
        return probe is not None and probe.signature == _refusal(service) and _from_server(probe)

    @staticmethod
    def _six_only(vip: Vip, covering: list[Listener]) -> bool:
        """Whether the sockets may be deaf to IPv4: `ss` shows `::` for those, and old ones for both families."""
        return vip.ip.version == 4 and all(one.address == "::" for one in covering)

    def setting(self, name: str, interface: str = "") -> int | None:
        """A guard setting as it acts on the ingress interface (or the one given): the larger of it and `all`."""
        where = interface or (self.nic.name if self.nic else "")
        return effective(self.facts, where, name) if self.facts and where else None

    def mute(self) -> bool:
        """arp_ignore 8 answers for no local address at all, the RIP included (ip-sysctl)."""
        return self.setting("arp_ignore") == 8


def _from_server(probe: Probed) -> bool:
    return bool(probe.answered_by) and mac(probe.answered_by) == mac(probe.mac)


def _refusal(service: Service) -> str:
    return "rst" if service.protocol == "tcp" else "port-unreachable"
