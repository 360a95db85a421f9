"""The state of a real server and service, judged from four sources: counters, probe, ARP audit, drift. Pure.

The wire is the quickest and so goes first; facts, where they are newer than its last change, say which of several
causes it is. What is wrong with the whole service is told of the service and not of every server behind it, unless the
servers are not in IPVS for it.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from dsrwizard.core.diagnosis import sentences
from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.dialects.choice import runs_windows
from dsrwizard.core.dialects.linux.advice import SILENCE, put_vip
from dsrwizard.core.live.findings import Doubt, Finding
from dsrwizard.core.live.last_seen import Spoken
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.causes import DEADLY, MUTE, ON_THE_WIRE, STOPS
from dsrwizard.core.model.deployment import RealServer, Service
from dsrwizard.core.model.facts import Destination
from dsrwizard.core.model.guarding import HeldOut
from dsrwizard.core.model.snapshot import State


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """`shared`: it is the service's fault, not this server's. `found`: when the look began that found the cause,
    seconds since the epoch; 0: it is of this moment."""

    state: State
    cause: str = ""
    message: str = ""
    fix: str = ""
    shared: bool = False
    found: float = 0.0


class SeenOfServer(msgspec.Struct, frozen=True, kw_only=True):
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
    mismatch: Spoken = ("", "")
    """The MAC, not its own, that it says the VIP is at, and the one it says so by."""
    consent: bool = False
    """Facts say that a UDP service which keeps silent is there."""
    findings: tuple[Finding, ...] = ()
    changed: float = 0.0
    service_fault: Finding | None = None
    held: HeldOut | None = None
    """A guard holds it out."""
    doubt: Doubt = ""
    """What a verification, newer than what the wire says, makes of a bad probe without a cause."""


UP = Judged(state="up")
AWAY = ("unreachable", "not-on-link", "duplicate-rip")
"""Causes for which nobody, or somebody else, answers for the RIP."""


def judged(server: RealServer, service: Service, vip: str, seen: SeenOfServer) -> Judged:
    """The state, its cause where one is known, and both in words; with what a guard does about it."""
    found = _judged(server, service, vip, seen)
    held = seen.held
    if held is None or seen.destination is None or seen.destination.state.weight:
        return found
    if found.cause == "drained":  # by no operator
        words = "Weight 0: a guard holds it out. It answers again, and is let in if it keeps answering."
        return msgspec.structs.replace(found, cause="", message=words)
    return msgspec.structs.replace(found, message=f"{found.message} A guard holds it out: it gets no new clients.")


def _judged(server: RealServer, service: Service, vip: str, seen: SeenOfServer) -> Judged:
    probe = seen.probe
    found = [one for one in seen.findings if one.cause not in ON_THE_WIRE or one.at >= seen.changed]
    if seen.gone or (probe is not None and probe.signature == "no-mac"):
        return _unreachable(server, probe, found)
    if seen.leak:
        return _leaking(server, vip, found, "arp-leak", seen.leak)
    if seen.claim:
        return _leaking(server, vip, found, "arp-announce", seen.claim)
    if seen.mismatch[0]:
        named, by = seen.mismatch
        return Judged(
            state="leaking", cause="arp-mismatch",
            message=sentences.arp_mismatch(server.name, vip, f"{named}, which is not its own MAC ({by})"),
            fix=sentences.silence_sender(server.name, vip, by),
        )  # fmt: skip
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
            state="drifted", cause="ipvs-missing", message="It is not in IPVS; apply adds it again.",
            fix="Re-apply the deployment.",
        )  # fmt: skip
    if state is not None and state.method != "dr":
        return Judged(
            state="drifted", cause="ipvs-differs",
            message=f"IPVS forwards to it with {state.method}, not direct routing.", fix="Re-apply the deployment.",
        )  # fmt: skip
    drift = next((one for one in found if one.cause != "drained" and not one.elsewhere), None)
    if drift is not None and drift.cause in MUTE:
        return _because("vip-dead", drift)
    if state is not None and state.weight == 0:
        words = "Weight 0: no new clients." if server.weight else "Weight 0, as the deployment says."
        if drift is not None:
            return _because("draining", drift, f"{words} Also: ")
        return Judged(state="draining", cause="drained" if server.weight else "", message=words)
    if probe is None:
        return Judged(state="unknown", message="Not probed yet.")
    if probe.signature == "unknown":
        return Judged(state="unknown", message=f"Cannot probe: {probe.problem}")
    if drift is not None:
        return _because("drifted", drift)
    if state is not None and state.weight != server.weight:
        return Judged(
            state="drifted", cause="ipvs-differs",
            message=f"Its weight is {state.weight}, the deployment says {server.weight}.",
            fix=f"Restore it, or write weight = {state.weight} into the deployment.",
        )  # fmt: skip
    if _mute(probe) and not seen.consent:
        return Judged(
            state="unknown", message="The UDP service does not answer the probe, so it is not proven to work.",
            fix=f"Send {vip} a request that {service.label} answers, from a client.",
        )  # fmt: skip
    return UP


def _explains(found: list[Finding], causes: Collection[str]) -> Finding | None:
    """Which finding explains what the wire shows: one of the server's own, else one from elsewhere."""
    own = next((one for one in found if one.cause in causes and not one.elsewhere), None)
    return own or next((one for one in found if one.elsewhere), None)


def _because(state: State, of: Finding, before: str = "") -> Judged:
    return Judged(state=state, cause=of.cause, message=before + of.message, fix=of.fix, found=of.at)


def wire_word(seen: SeenOfServer) -> str:
    """What the wire says of a place, in one word: when it becomes another, older facts may be wrong."""
    if seen.gone or (seen.probe is not None and seen.probe.signature == "no-mac"):
        return "gone"
    guard = "leak" if seen.leak else "claim" if seen.claim else "mismatch" if seen.mismatch[0] else ""
    if seen.probe is None or seen.probe.signature == "unknown":
        return guard
    return guard + ("good" if seen.probe.good else seen.probe.signature)


def _unreachable(server: RealServer, probe: Probed | None, found: list[Finding]) -> Judged:
    blinded = next((one for one in found if one.elsewhere and one.cause == "vip-as-source"), None)
    if blinded is not None:
        return _because("unknown", blinded)  # nobody can answer a director that asks as the VIP
    cause = _explains(found, AWAY)
    if cause is not None:
        return _because("unreachable", cause)
    message, fix = sentences.unreachable(server.name, probe.rip if probe is not None else server.address)
    return Judged(state="unreachable", cause="unreachable", message=message, fix=fix)


def _leaking(server: RealServer, vip: str, found: list[Finding], cause: str, mac: str) -> Judged:
    known = next((one for one in found if one.cause == cause), None)
    if cause == "arp-leak":
        message = f"{sentences.arp_leak(server.name, vip)} Its answer came from {mac}."
        fix = f"On {server.name}: {SILENCE}"
    else:
        message = sentences.announces(server.name, vip, mac)
        guard = f"On {server.name}: sysctl -w net.ipv4.conf.all.arp_announce=2"
        fix = f"{guard}. If it is set: {sentences.stop_announcing(server.name, vip)}"
    if ":" in vip:
        fix = f"On {server.name}: remove {vip} from its network interface; it belongs on {server.vip_interface}."
    if runs_windows(server):
        fix = f"On {server.name}: remove {vip} from the network adapter; it belongs on a loopback adapter."
    return Judged(state="leaking", cause=cause, message=message, fix=known.fix if known and known.fix else fix)


def _dead(server: RealServer, service: Service, vip: str, seen: SeenOfServer, found: list[Finding]) -> Judged | None:
    """The VIP does not answer through this server; None: it does, or nobody can tell."""
    probe = seen.probe
    cause = _explains(found, DEADLY) or _explains(found, STOPS)
    if probe is None or probe.signature == "unknown" or probe.good:
        return None
    if cause is not None:
        return _because("vip-dead", cause)
    if _mute(probe) or not (reason := judge(probe)):
        return None
    named, message, fix = _evident(server, service, vip, probe)
    if named:
        return Judged(state="vip-dead", cause=named, message=message, fix=fix)
    if seen.doubt == "served":
        return None  # clients are answered: the answer to the director goes another way
    nameless = next((one for one in found if not one.cause and not one.elsewhere), None)
    if nameless is not None and nameless.at >= seen.changed:
        return _because("vip-dead", nameless)  # a client was left unanswered, too
    if seen.doubt == "unknown":
        return Judged(state="unknown", message=f"Probe through {server.name}: {reason}")
    # The wire alone does not tell which of several causes it is; the look from within, which follows at once, does.
    return Judged(
        state="vip-dead", message=f"Probe through {server.name}: {reason}",
        fix=f"Run verify: it logs in to {server.name} to find the cause.",
    )  # fmt: skip


def _evident(server: RealServer, service: Service, vip: str, probe: Probed) -> tuple[str, str, str]:
    """What an answer proves by itself, as verify says it: cause, message and fix; all empty where it proves nothing."""
    match probe.signature:
        case "redirect":
            fix = f"On {server.name}: {put_vip(server, vip)}"
            if runs_windows(server):
                fix = f"On {server.name}: ipconfig shows where {vip} is; apply sets it again."
            return "vip-missing", sentences.sent_back(server.name, vip), fix
        case "wrong-source":
            return "rip-only-listener", *sentences.answers_from_elsewhere(server.name, vip, service, probe.source)
        case "wrong-reply":
            message, fix = sentences.not_the_service(server.name, service)
            return "service-down", f"{message[:-1]}: {probe.detail}.", fix
        case _:
            return "", "", ""


def _mute(probe: Probed) -> bool:
    return probe.protocol == "udp" and probe.signature == "silence"
