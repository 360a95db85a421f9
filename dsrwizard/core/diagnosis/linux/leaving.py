"""The packet filter that drops a Linux real server's own replies from the VIP, and the command that lets them out.

Read only where replies are known to be made and lost: the rule convicts because both are seen.
"""

from __future__ import annotations

import re
import shlex

from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.diagnosis.linux.rule_match import FirstPacket, reach
from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import PacketFilter

_SWAPS = {
    "-s": "-d", "-d": "-s", "saddr": "daddr", "daddr": "saddr", "--sport": "--dport", "--sports": "--dports",
    "sport": "dport", "dport": "sport", "-o": "-i", "oif": "iif", "oifname": "iifname",
}  # fmt: skip
_STATE = re.compile(r"-m (?:conntrack --ctstate|state --state) (\S+)|\bct state (\{[^}]*\}|\S+)")
_ASKS_MORE = re.compile(
    r"--dports?\b|\bdport\b|--tcp-flags|--syn\b|\btcp flags\b"
    r"|-m (?!conntrack|state|tcp|udp|multiport|comment)\S+"
    r"|\b(?:skuid|skgid|limit|mark|length|cgroup|numgen|quota)\b|@"
)
"""Conditions that some replies do not meet: a client's port, flags, a user, a mark, a set, a length, a rate."""


def stopped(view: ServerView, faults: Found, vip: Vip, service: Service, where: Where, seen: str) -> Check | None:
    """The fault of a server whose own filter drops its replies from the VIP; None: no rule of it surely does."""
    found = _dropping(view, vip, service)
    if found is None:
        return None
    one, rule = found
    return faults.fail(
        where, Fault(host=view.name, cause="firewall", vip=vip.address, service=service.label),
        f"A firewall on {view.name} drops its own replies from {vip.address} {service.label}.",
        f"{seen}; {one.tool} {one.chain}: {rule}", f"On {view.name}: {_command(one, view, vip, service)}", shared=True,
    )  # fmt: skip


def _dropping(view: ServerView, vip: Vip, service: Service) -> tuple[PacketFilter, str] | None:
    for one in view.facts.leaving if view.facts else ():
        if one.family in (0, vip.ip.version):
            for rule in one.rules:
                if drops_replies(rule, vip.address, service.protocol, service.port, view.nic.name if view.nic else ""):
                    return one, rule
    return None


def drops_replies(rule: str, vip: str, protocol: str, port: int, interface: str = "") -> bool:
    """Whether a dropping rule, as its program lists it, stops every reply from a VIP's service that leaves by an
    interface (empty: by any). False where that is not sure; a policy is not, because rules before it let packets out.
    """
    if rule.startswith("policy "):
        return False
    for state in _STATE.finditer(rule):
        if "ESTABLISHED" not in (state[1] or state[2]).upper():
            return False
    words = _STATE.sub("", rule)
    if "! --ctstate" in rule or _ASKS_MORE.search(words):
        return False
    mirrored = " ".join(_SWAPS.get(word, word) for word in words.split())
    asked = FirstPacket(source="", vip=vip, protocol=protocol, port=port, interface=interface)
    return reach(mirrored, asked) == "all"


def _command(one: PacketFilter, view: ServerView, vip: Vip, service: Service) -> str:
    six, protocol, port = vip.ip.version == 6, service.protocol, service.port
    place = " ".join(map(shlex.quote, one.chain.split()))
    match one.tool:
        case "firewalld":
            rule = f"ipv{6 if six else 4} filter OUTPUT 0 -s {vip.address} -p {protocol} --sport {port} -j ACCEPT"
            return f"firewall-cmd --direct --add-rule {rule} (undo: --remove-rule; with --permanent as well it stays)"
        case "ufw":
            rule = f"allow out proto {protocol} from {vip.address} port {port}"
            return f"ufw prepend {rule} (undo: ufw delete {rule})"
        case "nft":
            return (
                f"nft insert rule {place} {'ip6' if six else 'ip'} saddr {vip.address} {protocol} sport {port} accept "
                f"(undo: nft -a list chain {place} shows its handle for nft delete rule {place} handle …)"
            )
        case tool:
            *_, table, chain = place.split()
            where = "" if table == "filter" else f"-t {table} "
            return (
                f"{tool.replace('iptables', 'ip6tables' if six else 'iptables')} {where}-I {chain} -s {vip.address} "
                f"-p {protocol} --sport {port} -j ACCEPT (undo: the same with -D)"
            )
