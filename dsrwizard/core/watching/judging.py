"""One state per real server and service, out of four sources: counters, probe, ARP audit, drift. Pure.

The wire is the quickest and so goes first; facts, where they are newer than its last change, say which of several
causes it is. What is wrong with the whole service only colours servers that are well themselves.
"""

from __future__ import annotations

import msgspec

from dsrwizard.core.causes import DEADLY, ON_THE_WIRE
from dsrwizard.core.facts import Destination
from dsrwizard.core.model import RealServer, Service
from dsrwizard.core.proof import judge
from dsrwizard.core.snapshot import State
from dsrwizard.core.watching.drift import Finding
from dsrwizard.core.wire import Probed

_AT_ONCE = {
    "silence": "vip-missing",
    "redirect": "vip-missing",
    "rst": "service-down",
    "port-unreachable": "service-down",
    "wrong-source": "rip-only-listener",
    "wrong-reply": "service-down",
    "unreachable": "firewall",
}


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """`shared`: it is the service's fault, not this server's."""

    state: State
    cause: str = ""
    message: str = ""
    fix: str = ""
    shared: bool = False


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one place. `balanced`: IPVS was read; `changed`: when the wire last said something new."""

    balanced: bool = False
    destination: Destination | None = None
    probe: Probed | None = None
    gone: bool = False
    """Nobody answers for the RIP."""
    leak: str = ""
    """The MAC by which the server answers ARP for the VIP."""
    claim: str = ""
    """The MAC by which it claims the VIP unasked."""
    consent: bool = False
    """Facts say that a UDP service which keeps silent is there."""
    findings: tuple[Finding, ...] = ()
    changed: float = 0.0
    service_fault: Finding | None = None


UP = Judged(state="up")


def judged(server: RealServer, service: Service, vip: str, seen: Seen) -> Judged:
    """The state, its cause where one is known, and both in words."""
    probe = seen.probe
    found = [one for one in seen.findings if one.cause not in ON_THE_WIRE or one.at >= seen.changed]
    if seen.gone or (probe is not None and probe.signature == "no-mac"):
        return _unreachable(server, probe, found)
    if seen.leak:
        return _leaking(server, vip, found, "arp-leak", seen.leak)
    if seen.claim:
        return _leaking(server, vip, found, "arp-announce", seen.claim)
    dead = _dead(server, service, vip, seen, found)
    if dead is not None:
        return dead
    state = seen.destination.state if seen.destination else None
    missing = seen.service_fault if seen.service_fault and seen.service_fault.cause == "ipvs-missing" else None
    if seen.balanced and state is None and missing is not None:
        return Judged(
            state="drifted", cause=missing.cause, message=missing.message, fix=missing.fix, shared=True
        )  # fmt: skip
    if seen.balanced and state is None:
        return Judged(
            state="drifted", cause="ipvs-missing", message="It is not in IPVS: apply puts it back.",
            fix="Re-apply the deployment.",
        )  # fmt: skip
    if state is not None and state.method != "dr":
        return Judged(
            state="drifted", cause="ipvs-differs",
            message=f"IPVS forwards to it by {state.method}, not by direct routing.", fix="Re-apply the deployment.",
        )  # fmt: skip
    drift = next((one for one in found if one.cause != "drained"), None)
    if state is not None and state.weight == 0:
        words = "Weight 0: no new clients." if server.weight else "Weight 0, as the deployment says."
        if drift is not None:
            return Judged(
                state="draining", cause=drift.cause, message=f"{words} Besides: {drift.message}", fix=drift.fix
            )
        return Judged(state="draining", cause="drained" if server.weight else "", message=words)
    if probe is None:
        return Judged(state="unknown", message="Not probed yet.")
    if probe.signature == "unknown":
        return Judged(state="unknown", message=f"Cannot probe: {probe.problem}")
    if drift is not None:
        return Judged(state="drifted", cause=drift.cause, message=drift.message, fix=drift.fix)
    if state is not None and state.weight != server.weight:
        return Judged(
            state="drifted", cause="ipvs-differs",
            message=f"Its weight is {state.weight}, the deployment says {server.weight}.",
            fix=f"Restore it, or write weight = {state.weight} into the deployment.",
        )  # fmt: skip
    if _mute(probe) and not seen.consent:
        return Judged(
            state="unknown", message="The UDP service does not answer the probe, so it is not proved.",
            fix=f"Send {vip} a request that {service.label} answers, from a client.",
        )  # fmt: skip
    if seen.service_fault is not None:
        fault = seen.service_fault
        return Judged(state="drifted", cause=fault.cause, message=fault.message, fix=fault.fix, shared=True)
    return UP


def wire_word(seen: Seen) -> str:
    """What the wire says of a place, in one word: when it becomes another, older facts may be wrong."""
    if seen.gone or (seen.probe is not None and seen.probe.signature == "no-mac"):
        return "gone"
    guard = "leak" if seen.leak else "claim" if seen.claim else ""
    if seen.probe is None or seen.probe.signature == "unknown":
        return guard
    return guard + ("good" if seen.probe.good else seen.probe.signature)


def _unreachable(server: RealServer, probe: Probed | None, found: list[Finding]) -> Judged:
    cause = next((one for one in found if one.cause in ("unreachable", "not-on-link")), None)
    if cause is not None:
        return Judged(state="unreachable", cause=cause.cause, message=cause.message, fix=cause.fix)
    rip = probe.rip if probe is not None else server.address
    return Judged(
        state="unreachable", cause="unreachable", message=f"{rip} does not answer on the director's network.",
        fix=f"Check that {server.name} is switched on and cabled, and that {rip} is its address.",
    )  # fmt: skip


def _leaking(server: RealServer, vip: str, found: list[Finding], cause: str, mac: str) -> Judged:
    known = next((one for one in found if one.cause == cause), None)
    if cause == "arp-leak":
        message = f"It answers ARP for the VIP ({mac}): clients may go straight to it. Its guard is off."
        fix = f"On {server.name}: sysctl -w net.ipv4.conf.all.arp_ignore=1"
        if _windows(server):
            message = f"It answers ARP for the VIP ({mac}): clients may go straight to it. The VIP is on its network."
        if ":" in vip:
            message = f"It answers neighbour solicitations for the VIP ({mac}): clients may go straight to it."
            fix = f"On {server.name}: take {vip} off its network interface; it belongs on {server.vip_interface}."
    else:
        message = f"It names the VIP as its own on the wire ({mac}), and neighbours then send to it."
        fix = f"On {server.name}: sysctl -w net.ipv4.conf.all.arp_announce=2"
        if ":" in vip:
            fix = f"On {server.name}: take {vip} off its network interface; it belongs on {server.vip_interface}."
    if _windows(server):
        fix = f"On {server.name}: take {vip} off the network's adapter; it belongs on a loopback adapter."
    return Judged(state="leaking", cause=cause, message=message, fix=known.fix if known and known.fix else fix)


def _windows(server: RealServer) -> bool:
    """Whether it runs Windows, as far as the deployment says."""
    return server.connect == "winrm" or (server.system or "").startswith("windows")


def _dead(server: RealServer, service: Service, vip: str, seen: Seen, found: list[Finding]) -> Judged | None:
    """The VIP does not answer through this server; None: it does, or nobody can tell."""
    probe = seen.probe
    cause = next((one for one in found if one.cause in DEADLY), None)
    if probe is None or probe.signature == "unknown" or probe.good:
        return None
    if cause is not None:
        return Judged(state="vip-dead", cause=cause.cause, message=cause.message, fix=cause.fix)
    if _mute(probe) or not (reason := judge(probe)):
        return None
    named = _AT_ONCE.get(probe.signature, "")
    show = "ipconfig" if _windows(server) else f"ip addr show to {vip}"
    fixes = {
        "vip-missing": f"On {server.name}: {show}; apply puts it back.",
        "service-down": f"Start the service on {server.name}, listening on port {service.port} of all addresses.",
        "rip-only-listener": f"Make the application on {server.name} listen on {vip} too, or on all addresses.",
        "firewall": f"Let {service.label} to {vip} pass the firewall of {server.name}.",
    }
    return Judged(
        state="vip-dead", cause=named, message=f"Through this server {reason}",
        fix=fixes.get(named, f"Verify: it looks at {server.name} from within."),
    )  # fmt: skip


def _mute(probe: Probed) -> bool:
    return probe.protocol == "udp" and probe.signature == "silence"
