"""The live rows: every service with its real servers, computed for each snapshot; states are kept between snapshots.

Ten thousand rows are made every second, so what does not change is worked out once: names, addresses, who is where,
and the judgement of a place as long as nothing it rests on has changed.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Literal

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.live.directors import peers_heard
from dsrwizard.core.live.findings import Finding, Findings
from dsrwizard.core.live.judge import Judged, SeenOfServer, judged, wire_word
from dsrwizard.core.live.last_seen import Heard, Owning, owning
from dsrwizard.core.live.log_lines import StateChange
from dsrwizard.core.live.readings import NO_RATES, Reading, RowPlace, rates, totals
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.facts import Destination, Stats, VirtualService
from dsrwizard.core.model.guarding import HeldOut
from dsrwizard.core.model.history import NOTHING, History, Metric
from dsrwizard.core.model.snapshot import DestinationRow, Latency, ServiceRow, State, Totals
from dsrwizard.core.plan.director import key_of

_NO_TOTALS = Totals()
_NO_LATENCY = Latency()
_UNJUDGED = Judged(state="unknown")


class _Slot:
    """One row and its last judgement."""

    __slots__ = (
        "basis", "changed", "endpoint", "judgement", "place", "rip", "seen_before", "server", "since", "stats",
        "totals", "word",
    )  # fmt: skip

    def __init__(self, place: RowPlace, server: RealServer, rip: str, port: int) -> None:
        self.place, self.server, self.rip = place, server, rip
        self.endpoint = (str(ip_address(rip)), port)
        self.judgement = _UNJUDGED
        self.since = 0.0
        self.seen_before = False
        self.basis: object = None
        self.word = ""
        self.changed = 0.0
        self.stats: Stats | None = None
        self.totals = _NO_TOTALS


class _Group:
    """One service and its places."""

    def __init__(self, deployment: Deployment, vip: Vip, service: Service) -> None:
        self.vip, self.service = vip, service
        self.key: ServiceKey = key_of(vip, service)
        self.name = (vip.address, service.label)
        self.fault: Finding | None = None
        self.slots = [
            _Slot((vip.address, service.label, server.name), server, rip, service.port)
            for server in deployment.servers_of(vip)
            if (rip := server.rip_for(vip)) is not None
        ]
        self.endpoints = {slot.endpoint for slot in self.slots}


class LiveRows:
    """The rows of one deployment. `changes` holds what became another state since it was last emptied."""

    def __init__(self, deployment: Deployment) -> None:
        self._external = not deployment.director.in_kernel
        self._engine = deployment.director.engine
        self._balancer = "The load balancer" if self._external else "IPVS"
        self._by_turns, self._peers = deployment.director.by_turns, deployment.director.peers
        self._vips = deployment.vips
        self._groups = [_Group(deployment, vip, service) for vip in deployment.vips for service in vip.services]
        self._ahead = 0.0
        self._past: dict[RowPlace, tuple[State, float]] = {}
        self._remembers_until = 0.0
        self.changes: list[StateChange] = []
        self.unsettled: set[str] = set()
        """Servers whose state on the wire has changed; the caller that looks at them empties it."""
        self._index: dict[RowPlace, int] = {}
        for group in self._groups:
            self._index[group.vip.address, group.service.label, ""] = len(self._index)
            for slot in group.slots:
                self._index[slot.place] = len(self._index)

    def remember(self, past: Mapping[RowPlace, tuple[State, float]], until: float) -> None:
        """What an earlier watch has seen: place → state and since when. A place that is found in this state before
        `until` has been so since then."""
        self._past, self._remembers_until = dict(past), until

    def rows(
        self,
        at: float,
        now: Reading,
        before: Reading | None,
        heard: Heard,
        findings: Findings,
        *,
        ahead: float = 0.0,
    ) -> tuple[ServiceRow, ...]:
        """The rows as of `at`, with the numbers of `now`. `before`: the reading to form rates with; `ahead`: how far
        the clock that `since` is shown by is ahead of `at`'s."""
        self._ahead = ahead
        present = {service.key: service for service in now.services or ()}
        earlier = {service.key: service for service in before.services or ()} if before else {}
        seconds = now.at - before.at if before else 0.0
        peers = peers_heard(self._peers, heard)
        owners = {vip.address: owning(vip, heard, at, peers) for vip in self._vips}
        known = frozenset(heard.macs.values())
        guarded = now.guard.held if now.guard else ()
        held = {(one.place.vip, one.place.service, one.place.server): one for one in guarded}
        return tuple(
            self._row(
                group,
                at,
                present.get(group.key),
                earlier.get(group.key),
                seconds,
                heard,
                findings,
                owners[group.vip.address],
                known,
                now.services is not None,
                held,
            )
            for group in self._groups
        )

    def _row(
        self,
        group: _Group,
        at: float,
        found: VirtualService | None,
        old: VirtualService | None,
        seconds: float,
        heard: Heard,
        findings: Findings,
        owning_: Owning,
        known: frozenset[str],
        balanced: bool,
        held: Mapping[RowPlace, HeldOut],
    ) -> ServiceRow:
        here = {(entry.address, entry.port): entry for entry in found.destinations} if found else {}
        then = {(entry.address, entry.port): entry.stats for entry in old.destinations} if old else {}
        fault = self._fault(group, found, here, owning_, findings, balanced) or findings.proved.of_service(*group.name)
        self._service_changed(group, fault)
        vip, label = group.vip.address, group.service.label
        children = []
        active = inactive = 0
        for slot in group.slots:
            destination = here.get(slot.endpoint)
            timed, missed = heard.probes.get(slot.place), heard.missed.get(slot.place)
            judgement = self._judge(
                slot, group, at, balanced, destination, timed[1] if timed else None, heard, findings, owning_, fault,
                held.get(slot.place),
            )  # fmt: skip
            name = slot.server.name
            if destination is None:
                weight, rate, total = None, NO_RATES, _NO_TOTALS
            else:
                weight = destination.state.weight
                rate = rates(then.get(slot.endpoint), destination.stats, seconds)
                if destination.stats != slot.stats:
                    slot.stats, slot.totals = destination.stats, totals(destination.stats)
                total = slot.totals
                active += destination.active
                inactive += destination.inactive
            arp: Literal["silent", "leaks", "unknown"] = "unknown"  # an answer could be its own
            if owning_.asked:
                heard_of = name in owning_.leaks or name in owning_.mismatches
                arp = "leaks" if heard_of else "silent" if name in known else "unknown"
            children.append(
                DestinationRow(
                    server=name, address=slot.rip, vip=vip, service=label, wanted_weight=slot.server.weight,
                    weight=weight, active=destination.active if destination else 0,
                    inactive=destination.inactive if destination else 0, rates=rate, totals=total,
                    state=judgement.state, since=slot.since + self._ahead, cause=judgement.cause,
                    message=judgement.message, fix=judgement.fix,
                    found_age=at - judgement.found if judgement.found else None,
                    probe=timed[1] if timed else None, probe_age=at - timed[0] if timed else None,
                    missed=missed[1].signature if missed else "",
                    missed_at=missed[0] + self._ahead if missed else 0.0,
                    latency=heard.latency.get(name, _NO_LATENCY), arp=arp,
                )
            )  # fmt: skip
        return ServiceRow(
            vip=vip, service=label, scheduler=found.state.scheduler if found else group.service.scheduler,
            persistence=found.state.persistence if found else group.service.persistence,
            present=found is not None if balanced else None, active=active, inactive=inactive,
            rates=rates(old.stats if old else None, found.stats, seconds) if found else NO_RATES,
            totals=totals(found.stats) if found else _NO_TOTALS,
            owner=self._owner(group, owning_, heard, findings, balanced),
            cause=fault.cause if fault else "", message=fault.message if fault else "", fix=fault.fix if fault else "",
            rows=tuple(children),
        )  # fmt: skip

    def _judge(
        self,
        slot: _Slot,
        group: _Group,
        at: float,
        balanced: bool,
        destination: Destination | None,
        probe: Probed | None,
        heard: Heard,
        findings: Findings,
        owning_: Owning,
        fault: Finding | None,
        held: HeldOut | None,
    ) -> Judged:
        name = slot.server.name
        claim = owning_.claims.get(name)
        mine = findings.of(slot.place)
        if claim is not None and _refuted(name, claim[1], mine, findings):
            claim = None
        leak = owning_.leaks.get(name, "")
        mismatch = owning_.mismatches.get(name, ("", ""))
        gone, consent = slot.rip in heard.gone, slot.place in findings.consent
        proved = findings.proved
        doubt = proved.doubts.get(slot.place, "") if proved.doubts and proved.at >= slot.changed else ""
        basis = (
            probe, balanced, destination.state if destination else None, gone, leak, claim[0] if claim else "",
            mismatch, consent, mine, fault, doubt, held is not None,
        )  # fmt: skip
        if basis == slot.basis:
            return slot.judgement
        slot.basis = basis
        seen = SeenOfServer(
            balanced=balanced, destination=destination, probe=probe, gone=gone, leak=leak,
            claim=claim[0] if claim else "", mismatch=mismatch, consent=consent, findings=mine, changed=slot.changed,
            service_fault=fault, doubt=doubt, held=held,
        )  # fmt: skip
        word = wire_word(seen)
        if word != slot.word:
            if slot.word:  # the first look is no change: what facts say of it stands
                slot.changed = at
                seen = msgspec.structs.replace(seen, changed=at)
            if slot.word or "good" not in word:
                self.unsettled.add(name)
            slot.word = word
        result = judged(slot.server, group.service, slot.place[0], seen)
        previous = slot.judgement
        if not slot.seen_before or result.state != previous.state:
            slot.since = self._since(slot, result.state, at)
        if not slot.seen_before or (result.state, result.cause) != (previous.state, previous.cause):
            self.changes.append(StateChange(slot.place, previous.state if slot.seen_before else "", result))
        slot.judgement, slot.seen_before = result, True
        return result

    def _since(self, slot: _Slot, state: State, at: float) -> float:
        if not self._past or at > self._remembers_until:
            return at
        known, since = self._past.get(slot.place, ("", at))
        return min(since, at) if known == state else at

    def _owner(self, group: _Group, owning_: Owning, heard: Heard, findings: Findings, balanced: bool) -> str:
        """Nobody else answers, and the director is this machine, which does not hear itself: it is the owner, unless
        several have the VIP by turns and this one does not."""
        if not owning_.asked:
            return ""
        if owning_.directors:
            return owning_.directors[0]
        mac = owning_.first or next(iter(owning_.strangers), "")
        if not mac:
            here = not self._by_turns or group.vip.address in findings.held
            return "director" if balanced and here else ""
        if self._external and balanced and [*owning_.strangers] == [mac]:
            return "director"  # the appliance that was asked
        return heard.macs.get(mac, mac)

    def _fault(
        self,
        group: _Group,
        found: VirtualService | None,
        here: Mapping[tuple[str, int], Destination],
        owning_: Owning,
        findings: Findings,
        balanced: bool,
    ) -> Finding | None:
        """What is wrong with the service as a whole by what was seen just now: the worst of it."""
        vip, label, wanted = group.vip.address, group.service.label, group.service
        rightful = 1 if self._external else 0
        if owning_.asked and len(owning_.strangers) > rightful:
            macs = ", ".join(owning_.strangers)
            return Finding(
                cause="duplicate-vip", message=f"A host outside the deployment also has {vip}: {macs}.",
                fix=f"Find the host with that MAC (switch table, DHCP leases) and remove {vip} from it.",
            )  # fmt: skip
        if "" in owning_.mismatches:
            named, by = owning_.mismatches[""]
            return Finding(
                cause="arp-mismatch",
                message=sentences.arp_mismatch("", vip, f"a real server's MAC ({named}); the frame came from {by}"),
                fix=sentences.silence_sender("", vip, by),
            )  # fmt: skip
        if vip in findings.held and owning_.directors:
            return Finding(
                cause="split-brain", message=sentences.split_brain(vip, ("this director", *owning_.directors)),
                fix="Allow VRRP (IP protocol 112) between the directors; on both: systemctl status keepalived",
            )  # fmt: skip
        if vip in findings.vips and not (owning_.directors and findings.vips[vip].cause == "director-vip"):
            return findings.vips[vip]
        if self._external and owning_.asked and not owning_.strangers:
            message, fix = sentences.no_owner(self._engine, vip)
            return Finding(cause="director-vip", message=message, fix=fix)
        if not balanced:
            return None
        apply = "Re-apply the deployment."
        if found is None:
            return Finding(cause="ipvs-missing", message=f"{self._balancer} has no service {vip} {label}.", fix=apply)
        differing = []
        if found.state.scheduler != wanted.scheduler:
            differing.append(f"scheduler {found.state.scheduler} instead of {wanted.scheduler}")
        if found.state.persistence != wanted.persistence:
            differing.append(f"persistence {found.state.persistence} s instead of {wanted.persistence} s")
        if differing:
            words = " and ".join(differing)
            return Finding(cause="ipvs-differs", message=f"{self._balancer} has {vip} {label} with {words}.", fix=apply)
        foreign = sorted(
            endpoint for endpoint, one in here.items() if endpoint not in group.endpoints and one.state.weight > 0
        )
        if foreign:
            places = ", ".join(f"{address} port {port}" for address, port in foreign)
            where = "the load balancer" if self._external else "IPVS"
            return Finding(
                cause="ipvs-differs",
                message=f"{self._balancer} also sends {vip} {label} to {places}, not in the deployment.",
                fix=f"Remove it from {where}, or add it to the deployment.",
            )
        return None

    def _service_changed(self, group: _Group, fault: Finding | None) -> None:
        if fault is not None and fault.elsewhere:
            fault = None  # a verification found it, and has its own line
        before, group.fault = group.fault, fault
        if (before.cause if before else "") == (fault.cause if fault else ""):
            return
        place = (group.vip.address, group.service.label, "")
        result = Judged(state="up", message="It matches the deployment.")
        if fault is not None:
            result = Judged(state="drifted", cause=fault.cause, message=fault.message, fix=fault.fix)
        self.changes.append(StateChange(place, "drifted" if before else "up", result))

    def next_history(self, history: History, rows: Sequence[ServiceRow]) -> History:
        """The history with these rows' rates added."""
        every = [rate for row in rows for rate in (row.rates, *(child.rates for child in row.rows))]
        columns: dict[Metric, array[float]] = {
            "connections": array("f", [NOTHING if r.connections is None else r.connections for r in every]),
            "packets": array("f", [NOTHING if r.in_packets is None else r.in_packets for r in every]),
            "bytes": array("f", [NOTHING if r.in_bytes is None else r.in_bytes for r in every]),
        }
        return history.with_column(self._index, columns)


def _refuted(server: str, claimed: float, mine: Iterable[Finding], findings: Findings) -> bool:
    """Whether facts newer than a claim say that the server would not make it now."""
    if findings.looked.get(server, 0.0) <= claimed:
        return False
    return not any(one.cause in ("arp-announce", "arp-leak") for one in mine)
