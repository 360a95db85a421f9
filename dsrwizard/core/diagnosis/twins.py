"""The fault of a real server's address that another machine has, too: packets go to whichever answered last.

Several MACs may answer rightly: the ports of one machine, a virtual MAC of VRRP or HSRP, a proxy that answers for many.
So it is a second machine where the server's own facts do not have the MAC, or where the VIP is answered by one of the
MACs and not by the other.
"""

from __future__ import annotations

from dsrwizard.core.diagnosis.evidence import Evidence, mac
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.values import canonical

VIRTUAL = ("00:00:5e:00:01:", "00:00:5e:00:02:", "00:00:0c:07:ac:", "00:00:0c:9f:f", "00:05:73:a0:0", "00:07:b4:")
"""How the MACs of VRRP (RFC 9568), HSRP and GLBP begin: addresses that move from one router to another."""


def twin(view: ServerView, faults: Found, rip: str) -> Check | None:
    """`server.link`, failed, where another machine has this RIP as well; None: nothing says so."""
    evidence = view.evidence
    owners = evidence.owner(rip)
    if owners.problem or len(owners.macs) < 2:
        return None
    found = [one for one in dict.fromkeys(map(mac, owners.macs)) if not one.startswith(VIRTUAL)]
    foreign = [one for one in found if one not in view.macs and not _proxies(evidence, one, rip)]
    served = {one: evidence.serves(rip, one) for one in found}
    if view.nics:
        sure = bool(foreign) and not all(served[one] for one in foreign)
    else:
        sure = len(foreign) > 1 and True in served.values() and False in served.values()
    if not sure:
        return None
    here = [one for one in found if one not in foreign] or [one for one in found if served[one]]
    others = [one for one in foreign if one not in here]
    named = ", ".join(f"{one}{_owner(view, one)}" for one in others)
    own = ", ".join(here) or "unknown"
    return faults.fail(
        Where(check="server.link", host=view.name), Fault(host=view.name, cause="duplicate-rip"),
        f"Another machine also has {rip}, the address of {view.name}: packets for {view.name} go to either of the two.",
        f"who-has {rip} is answered by {', '.join(found)}; that of {view.name}: {own}",
        f"Find the machine with the MAC {named} (switch table, DHCP leases, a cloned VM) and give it another address. "
        f"Change nothing on {view.name} until then.",
    )  # fmt: skip


def _proxies(evidence: Evidence, one: str, rip: str) -> bool:
    """Whether a MAC answers for other real servers' addresses as well, as a proxy does."""
    others = {canonical(found.address) for found in evidence.owners.values() if one in map(mac, found.macs)}
    rips = {canonical(server.address) for server in evidence.deployment.servers}
    rips |= {canonical(server.address6) for server in evidence.deployment.servers if server.address6}
    return len((others & rips) - {canonical(rip)}) > 0 and one not in evidence.nics


def _owner(view: ServerView, one: str) -> str:
    names = sorted(view.evidence.nics.get(one, frozenset()) - {view.name})
    return f" ({', '.join(names)})" if names else ""
