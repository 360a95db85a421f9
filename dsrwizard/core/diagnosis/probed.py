"""The check of a VIP through one real server: the probe and its cause, then the VIP and listener on the server."""

from __future__ import annotations

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.evidence import mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.reach import swallowed
from dsrwizard.core.diagnosis.server_faults import NO_VIP, rip_only, service_down, vip_missing, vip_prefix
from dsrwizard.core.diagnosis.server_view import ServerView, Stopping
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import endpoint

WORDS = {
    "syn-ack": "SYN-ACK from the VIP",
    "reply": "reply from the VIP",
    "rst": "RST from the VIP",
    "port-unreachable": "ICMP port unreachable",
    "silence": "no answer",
    "redirect": "ICMP redirect: the packet was sent back",
    "unreachable": "ICMP unreachable",
    "wrong-source": "reply from another address than the VIP",
    "wrong-reply": "reply from the VIP that does not answer the question",
    "no-mac": "no MAC known for the server",
    "unknown": "not probed",
}


def probes(view: ServerView, faults: Found, views: list[ServerView]) -> list[Check]:
    """`vip.probe` for every VIP and service: what proves DSR. `views` are all servers, for comparison."""
    return [_Probe(view, faults, views, vip, service).check() for vip in view.vips for service in vip.services]


class _Probe:
    """One probe and what explains it."""

    def __init__(self, view: ServerView, faults: Found, views: list[ServerView], vip: Vip, service: Service) -> None:
        self.view, self.faults, self.views = view, faults, views
        self.vip, self.service, self.name = vip, service, view.name
        self.where = Where(check="vip.probe", host=self.name, vip=vip.address, service=service.label)
        self.held = view.held(vip)
        self.listening = view.listening(vip, service)

    def check(self) -> Check:
        probe = self.view.probe(self.vip, self.service)
        if probe is None:
            family = "an IPv6" if self.vip.ip.version == 6 else "an IPv4"
            return self.where.unknown(
                f"{self.name} cannot serve {self.vip.address}: it has no address of that family in the deployment.", "",
                f"Give {self.name} {family} address in the deployment (address, address6).",
            )  # fmt: skip
        if probe.good:
            took = "" if probe.milliseconds is None else f", {probe.milliseconds:.1f} ms"
            return self.where.passed(
                f"{self.vip.address} {self.service.label} answers through {self.name}.",
                f"{WORDS[probe.signature]}, by {probe.answered_by}{took}",
            )
        fault = self.faults.out_of_reach(self.view.name)
        if fault:
            return self.where.follows(fault, "nothing can be sent to it on this network.")
        if probe.signature in ("unknown", "no-mac"):
            return self._unseen(probe)
        return self._bad(probe)

    def _unseen(self, probe: Probed) -> Check:
        return self.where.unknown(
            f"Could not check whether {self.vip.address} {self.service.label} answers through {self.name}.",
            probe.problem or WORDS[probe.signature],
            sentences.find_forger(self.name)
            if probe.strays
            else "Run dsrwizard as root or with CAP_NET_RAW on the director, or on a host in its network.",
        )

    def _bad(self, probe: Probed) -> Check:
        passed_on = self.view.platform.passed_on(
            self.view, self.faults, self.vip, self.service, self.where, self._seen(probe)
        )
        if passed_on is not None:
            return passed_on
        udp = self.service.protocol == "udp"
        other_mac = probe.answered_by and mac(probe.answered_by) != mac(probe.mac)
        match probe.signature:
            case "redirect":
                return self._vip_missing(probe)
            case "wrong-source":
                return self._wrong_source(probe)
            case _ if other_mac:
                if self.held == "missing":
                    return self._vip_missing(probe)
                if self._by_router(probe):
                    return self.where.passed(
                        f"{self.vip.address} {self.service.label} answers through {self.name}, via its router.",
                        f"{WORDS[probe.signature]}, by {probe.answered_by}; its policy routing uses that path",
                    )
                return self.where.unknown(
                    f"Another machine, not {self.name}, answered for {self.vip.address} {self.service.label}.",
                    f"{WORDS[probe.signature]} by {probe.answered_by}, not by {probe.mac}",
                    f"Check for teaming, a proxy, or a wrong address of {self.name} in the deployment.",
                )
            case "wrong-reply":
                return self._wrong_reply(probe)
            case _ if self.held in ("held", "prefix") and (shown := self._explained(probe)) is not None:
                return shown
            case "rst":
                return self._refused(probe)
            case "port-unreachable" if udp:
                return self._refused(probe)
            case "port-unreachable" | "unreachable":
                return self._vip_missing(probe) if self.held == "missing" else self._firewall(probe, "rejects")
            case _:
                return self._silence(probe)

    def _explained(self, probe: Probed) -> Check | None:
        """What the server's facts explain it by."""
        return self.view.platform.explained(
            self.view, self.faults, self.vip, self.service, self.where, probe, self._seen(probe)
        )

    def _by_router(self, probe: Probed) -> bool:
        """Whether the answer is this server's and took its router, as all from the VIP does by a policy route that
        leaves out the link's own. That the server lets clients in was then seen on it."""
        family = self.vip.ip.version
        way, default = self.view.way(family, self.vip), self.view.way(family)
        if way is None or not way.gateway:
            return False
        accepted = self.view.fate(self.vip, self.service) == "accepted"
        known = {mac(one) for one in self.view.evidence.owner(way.gateway).where}
        return probe.signature == "syn-ack" and accepted and (way != default or mac(probe.answered_by) in known)

    def _refused(self, probe: Probed) -> Check:
        """The VIP is there and says that nobody listens on it."""
        connected = self.view.connect(self.vip, self.service)
        if self.listening == "vip":
            return self._firewall(probe, "rejects")
        if self.listening == "elsewhere" or (
            self.listening == "unknown" and connected is not None and connected.result == "open"
        ):
            return self._rip_only(probe)
        return self._service_down(probe)

    def _silence(self, probe: Probed) -> Check:
        # A wide prefix explains silence where it takes in the director; `server.vip` names any other.
        if self.held == "prefix" and swallowed(self.view):
            prefixes = [entry.prefix for _, entry in self.view.entries(self.vip)]
            return vip_prefix(self.view, self.faults, self.vip, self.where, self._seen(probe), prefixes)
        if self.held == "missing":
            return self._vip_missing(probe)
        if self.view.forged:
            return self.where.unknown(
                f"Could not check whether {self.vip.address} {self.service.label} answers through {self.name}: "
                "somebody else uses its MAC.",
                f"{self._seen(probe)}; {self.view.forged}", sentences.find_forger(self.name),
            )  # fmt: skip
        udp = self.service.protocol == "udp"
        if udp and self.listening == "nowhere":
            return self._service_down(probe)  # a host sends few ICMP errors a second: the refusal may be held back
        if udp and not self._peers_reply():
            return self.where.unknown(
                f"{self.name} does not answer the test datagram to {self.vip.address} {self.service.label}; "
                "the application may ignore it.",
                self._seen(probe),
                f"Send {self.vip.address} a request that {self.service.label} answers, from a client.",
            )
        connected = self.view.connect(self.vip, self.service)
        silent = connected is not None and connected.result in ("silent", "unreachable")
        if self.held == "unknown" and not (silent and self.view.platform.opens_rip):
            return self._vip_missing(probe)
        if self.view.fate(self.vip, self.service) == "accepted":
            way, default = self.view.way(self.vip.ip.version, self.vip), self.view.way(self.vip.ip.version)
            return self._replies_lost(probe) if way == default else self._unexplained(probe, "none")
        return self._firewall(probe, "drops")

    def _peers_reply(self) -> bool:
        """Whether the same test is answered through another server: then the application does answer it."""
        return any(other.good(self.vip, self.service) for other in self.views if other is not self.view)

    # -- the causes

    def _vip_missing(self, probe: Probed) -> Check:
        sure = self.view.facts is not None or probe.signature == "redirect"
        message = f"{self.vip.address} is not on {self.name}, so it drops the packets from the director."
        if probe.signature == "redirect":
            message = sentences.sent_back(self.name, self.vip.address)
        elif not sure:
            message = f"{self.vip.address} is most likely not on {self.name} (or a firewall there drops it)."
        return vip_missing(self.view, self.faults, self.vip, self.where, message, self._seen(probe))

    def _service_down(self, probe: Probed) -> Check:
        return service_down(self.view, self.faults, self.service, self.where, self._seen(probe))

    def _rip_only(self, probe: Probed) -> Check:
        return rip_only(self.view, self.faults, self.vip, self.service, self.where, self._seen(probe))

    def _wrong_source(self, probe: Probed) -> Check:
        fault = Fault(host=self.name, cause="rip-only-listener", vip=self.vip.address, service=self.service.label)
        message, fix = sentences.answers_from_elsewhere(self.name, self.vip.address, self.service, probe.source)
        return self.faults.fail(self.where, fault, message, self._seen(probe), fix)

    def _wrong_reply(self, probe: Probed) -> Check:
        fault = Fault(host=self.name, cause="service-down", service=self.service.label)
        message, fix = sentences.not_the_service(self.name, self.service)
        return self.faults.fail(self.where, fault, message, f"{self._seen(probe)}: {probe.detail}", fix)

    def _firewall(self, probe: Probed, verb: str) -> Check:
        """A packet filter there, where a rule of it or its own refusal shows that; otherwise nobody is blamed."""
        own = self.view.evidence.beside(probe.rip)
        stops = self.view.platform.stopping(self.view, self.vip, self.service, own)
        crowded = self.view.crowded(self.vip, self.service)
        if crowded is not None and probe.signature == "silence" and stops != "stops":
            return self.faults.fail(
                self.where, Fault(host=self.name, cause="service-hung", service=self.service.label),
                sentences.queue_full(self.name, self.service, crowded.waiting),
                f"{self._seen(probe)}; {crowded.waiting} connections wait, room is for {crowded.room}",
                sentences.restart_service(self.name, self.service), shared=True,
            )  # fmt: skip
        by_filter = _refused_by_filter(probe)
        rules = self.view.platform.rules_seen(self.view, self.vip, self.service, own)
        if stops == "narrow" and not by_filter:
            return self.where.unknown(
                f"A firewall on {self.name} {verb} what the director itself sends to {self.vip.address} "
                f"{self.service.label}. By its rules clients get in, which the probe could not prove.",
                f"{self._seen(probe)}; {rules}",
                self.view.platform.opening(self.view, self.vip, self.service, own),
            )
        if stops != "stops" and not by_filter:
            return self._unexplained(probe, stops, rules)
        more = []
        if self.held == "held":
            more.append(f"{self.vip.address} is on {self.name}")
        if self.listening == "vip":
            more.append(f"{self.service.label} listens on it")
        more.append(rules)
        return self.faults.fail(
            self.where, Fault(host=self.name, cause="firewall", service=self.service.label, vip=self.vip.address),
            f"A firewall on {self.name} {verb} {self.service.label} to {self.vip.address}.",
            "; ".join(filter(None, (self._seen(probe), *more))),
            self.view.platform.opening(self.view, self.vip, self.service, own),
            # One rule may stop several VIPs and ports; the rules for IPv4 and for IPv6 are two.
            shared=any(
                fault.cause == "firewall" and (":" in fault.vip) == (self.vip.ip.version == 6)
                for fault in self.faults.of(self.name)
            ),
        )  # fmt: skip

    def _unexplained(self, probe: Probed, stops: Stopping, seen: str = "") -> Check:
        """No answer, or a refusal, that nothing known explains. It may be a filter nobody could read or
        one on the way, a full backlog of the application, or answers that take another way."""
        rules = "its packet filter could not be read"
        if stops == "none":
            rules = "no rule of its packet filter does it"
        elif stops == "undecided":
            rules = seen
        did = "does not answer" if probe.signature == "silence" else "refuses"
        return self.where.unknown(
            f"{self.name} {did} the probe of {self.vip.address} {self.service.label}, and it is not known why: a "
            "filter there or on the way, an application that takes no more connections, or replies on another way.",
            f"{self._seen(probe)}; {rules}", self.view.advice.see_handshakes(self.vip, self.service),
        )  # fmt: skip

    def _replies_lost(self, probe: Probed) -> Check:
        """It answers, as its half-open connection shows, and nothing arrives (field guide A7)."""
        asker = self.view.evidence.beside(probe.rip)
        own = self.view.platform.replies_stopped(
            self.view, self.faults, self.vip, self.service, self.where, self._seen(probe), [asker] if asker else []
        )
        if own is not None:
            return own
        return self.faults.fail(
            self.where, Fault(host=self.name, cause="spoof-filter"),
            f"{self.name} answers for {self.vip.address}, but its answers are lost: the network drops what it sends "
            "from the VIP.",
            f"{self._seen(probe)}; a client-like SYN was answered there",
            f"Allow the port of {self.name} to send from {self.vip.address} (port security, IP source guard, "
            "SpoofGuard, source/destination check). An outbound filter has the same symptoms.",
            shared=True,
        )  # fmt: skip

    def _seen(self, probe: Probed) -> str:
        by = f" by {probe.answered_by}" if probe.answered_by else ""
        source = f" (from {probe.source})" if probe.source and probe.signature in ("wrong-source", "redirect") else ""
        target = (
            f"{self.service.protocol.upper()} probe to {endpoint(self.vip.address, self.service.port)} via {probe.mac}"
        )
        text = f"{target}: {WORDS[probe.signature]}{by}{source}"
        connected = self.view.connect(self.vip, self.service)
        if connected is not None and connected.result != "unknown":
            text += f"; TCP to {endpoint(connected.address, connected.port)}: {connected.result}"
        return text


def _refused_by_filter(probe: Probed) -> bool:
    """Whether the answer is one that only a packet filter gives to a SYN: a kernel without a listener sends a RST."""
    own = probe.protocol == "tcp" and mac(probe.answered_by) == mac(probe.mac)
    return own and (
        probe.signature == "port-unreachable"
        or (probe.signature == "unreachable" and ("prohibited" in probe.detail or probe.detail == "port unreachable"))
    )


def inside(view: ServerView, faults: Found) -> list[Check]:
    """`server.vip` and `server.listener`: what the server itself says, after the probes have spoken."""
    checks = []
    for vip in view.vips:
        checks.append(_vip(view, faults, vip))
        checks += [_listener(view, faults, vip, service) for service in vip.services]
    return checks


def _vip(view: ServerView, faults: Found, vip: Vip) -> Check:
    where, name = Where(check="server.vip", host=view.name, vip=vip.address), view.name
    held = view.held(vip)
    if held == "prefix":
        return vip_prefix(view, faults, vip, where, "", [entry.prefix for _, entry in view.entries(vip)])
    if held == "held":
        places = ", ".join(f"{entry.address}/{entry.prefix} on {link.name}" for link, entry in view.entries(vip))
        translated = view.platform.translated(view, vip)
        if translated:
            return where.passed(f"{name} serves {vip.address} without holding it.", f"{name} {translated}")
        return where.passed(f"{vip.address} is on {name}.", places or "it answered for the VIP")
    known = faults.find(name, *NO_VIP, vip=vip.address)
    if known:
        return where.follows(known, f"{vip.address} is not on {name}.")
    if held == "missing":
        return vip_missing(
            view, faults, vip, where, f"{vip.address} is not on {name}, so it drops the packets from the director.", ""
        )
    fault = faults.out_of_reach(view.name)
    if fault:
        return where.follows(fault)
    blind = view.facts.addresses_unknown if view.facts is not None else "no login, and nothing came back from the VIP"
    return where.unknown(
        f"Could not check whether {vip.address} is on {name}.", blind,
        f"On {name}: {view.advice.show_address(vip)}",
    )  # fmt: skip


def _listener(view: ServerView, faults: Found, vip: Vip, service: Service) -> Check:
    name = view.name
    where = Where(check="server.listener", host=name, vip=vip.address, service=service.label)
    if view.good(vip, service):
        return where.passed(f"{service.label} listens on {vip.address} of {name}.", "it answered the probe")
    state = view.listening(vip, service)
    if state in ("elsewhere", "nowhere"):
        unbound = view.platform.not_listening(view, faults, vip, service, where)
        if unbound is not None:
            return unbound
    if state == "vip":
        bound = ", ".join(endpoint(one.address, one.port) for one in view.listeners(service))
        return where.passed(f"{service.label} listens on {vip.address} of {name}.", bound)
    if state == "elsewhere":
        return rip_only(view, faults, vip, service, where, "")
    if state == "nowhere":
        return service_down(view, faults, service, where, "")
    fault = faults.out_of_reach(view.name) or faults.find(
        name, "service-down", "rip-only-listener", "vip-missing", vip=vip.address, service=service.label
    )
    if fault:
        return where.follows(fault)
    blind = view.facts.listeners_unknown(vip.ip.version) if view.facts is not None else ""
    return where.unknown(
        f"The addresses that {service.label} listens on at {name} could not be read.", blind,
        f"On {name}: {view.advice.show_listeners(service)}",
    )  # fmt: skip
