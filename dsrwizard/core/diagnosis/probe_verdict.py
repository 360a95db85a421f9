"""The verdict on one probe: whether the VIP answers through this real server, or one sentence that says why not."""

from __future__ import annotations

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.facts import ServerFacts


def judge(answer: Probed, facts: ServerFacts | None = None) -> str:
    """Empty: proved. `facts` help with UDP, where a service may rightly keep silent at a packet it does not
    understand: with the VIP on the server and a socket that covers it, silence is taken for consent."""
    if answer.good:
        return ""
    match answer.signature:
        case "syn-ack" | "reply":
            return f"another machine answered ({answer.answered_by}, not {answer.mac})."
        case "rst" | "port-unreachable":
            return f"the VIP is there, but nothing listens on port {answer.port} of it."
        case "silence" if answer.protocol == "udp" and facts is not None and _listens(answer, facts):
            return ""
        case "silence":
            return "no answer. The VIP is missing there, or a firewall drops packets to it."
        case "redirect":
            return "the server sends the packet on, because the VIP is missing there."
        case "wrong-source":
            return f"the reply comes from {answer.source} instead of the VIP; clients will drop it."
        case "wrong-reply":
            return f"what answers on port {answer.port} of the VIP is not the service: {answer.detail}."
        case "no-mac":
            return f"{answer.rip} does not answer ARP on the director's interface."
        case "unreachable":
            return "an ICMP error came back instead of an answer."
        case _:
            return f"it could not be probed: {answer.problem}"


def _listens(answer: Probed, facts: ServerFacts) -> bool:
    listening = any(
        entry.protocol == "udp" and entry.port == answer.port and entry.covers(answer.vip)
        for entry in facts.listeners or ()
    )
    return listening and bool(facts.carrying(answer.vip))
