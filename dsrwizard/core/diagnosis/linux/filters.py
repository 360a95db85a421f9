"""The packet filter that drops a VIP's packets on a Linux real server, and the command that allows them.

A filter has another program in charge of it on every host, and rules told to the wrong one do nothing or are gone when
the right one loads its own (field guide B5).
"""

from __future__ import annotations

import shlex

from dsrwizard.core.diagnosis.linux.rule_match import FirstPacket, reach
from dsrwizard.core.diagnosis.server_view import ServerView, Stopping
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import PacketFilter

_SHOWN = 2


def _known(view: ServerView) -> tuple[PacketFilter, ...] | None:
    return view.facts.filters if view.facts else None


def filtering(view: ServerView, vip: Vip) -> PacketFilter | None:
    """The filter that most likely drops packets to this VIP: one that names it, otherwise one whose policy drops,
    otherwise any; None where none is known."""
    found = [one for one in _known(view) or () if one.family in (0, vip.ip.version)]
    ranked = sorted(found, key=lambda one: (not _naming(one, vip), not one.rules[0].startswith("policy ")))
    return ranked[0] if ranked else None


def _naming(one: PacketFilter, vip: Vip) -> list[str]:
    """The rules that name the VIP."""
    return [rule for rule in one.rules if vip.address in {word.partition("/")[0] for word in rule.split()}]


def stopping(view: ServerView, vip: Vip, service: Service, source: str = "") -> Stopping:
    """Whether a rule there may have dropped a first packet from `source` (empty: of any client) to this service."""
    if _known(view) is None:
        return "unknown"
    asked = FirstPacket(
        source=source, vip=vip.address, protocol=service.protocol, port=service.port,
        interface=view.nic.name if view.nic else "",
    )  # fmt: skip
    family = [one for one in _known(view) or () if one.family in (0, vip.ip.version)]
    found = {reach(rule, asked) for one in family for rule in one.rules}
    return "stops" if "all" in found else "narrow" if "source" in found else "none"


def rules_seen(view: ServerView, vip: Vip) -> str:
    """The rules behind it, as that host's own program lists them; empty where nothing could be looked at."""
    if _known(view) is None:
        return ""
    one = filtering(view, vip)
    if one is None:
        return "no rule of nftables or iptables there drops anything"
    rules = _naming(one, vip) or list(one.rules)
    more = f" and {len(rules) - _SHOWN} more" if len(rules) > _SHOWN else ""
    return f"{one.tool} {one.chain}: {'; '.join(rules[:_SHOWN])}{more}"


def opening(view: ServerView, vip: Vip, service: Service) -> str:
    """What to do on the server so that packets to the VIP's service get in, and how that is undone."""
    name = view.name
    if _known(view) is None:
        return (
            f"On {name}: let {service.label} to {vip.address} in; as root, nft list ruleset or iptables-save shows "
            "what drops it."
        )
    one = filtering(view, vip)
    if one is None:
        return (
            f"On {name}: bpftool net shows filters that nftables and iptables do not; otherwise look between the "
            f"director and {name} (security group, switch ACL)."
        )
    return f"On {name}: {_command(one, view, vip, service)}"


def _command(one: PacketFilter, view: ServerView, vip: Vip, service: Service) -> str:
    six, protocol, port = vip.ip.version == 6, service.protocol, service.port
    place = " ".join(map(shlex.quote, one.chain.split()))
    match one.tool:
        case "firewalld":
            nic = shlex.quote(view.nic.name) if view.nic else "<interface>"
            rule = (
                f'\'rule family="ipv{6 if six else 4}" destination address="{vip.address}" '
                f'port port="{port}" protocol="{protocol}" accept\''
            )
            zone = f'--zone="$(firewall-cmd --get-zone-of-interface={nic} || firewall-cmd --get-default-zone)"'
            return (
                f"firewall-cmd {zone} --add-rich-rule={rule} (undo: --remove-rich-rule; with --permanent as well it "
                "stays)"
            )
        case "ufw":
            rule = f"allow proto {protocol} to {vip.address} port {port}"
            return f"ufw prepend {rule} (undo: ufw delete {rule})"
        case "nft":
            family = "ip6" if six else "ip"
            return (
                f"nft insert rule {place} {family} daddr {vip.address} {protocol} dport {port} accept "
                f"(undo: nft -a list chain {place} shows its handle for nft delete rule {place} handle …)"
            )
        case tool:
            *_, table, chain = place.split()
            program = tool.replace("iptables", "ip6tables" if six else "iptables")
            where = "" if table == "filter" else f"-t {table} "
            return (
                f"{program} {where}-I {chain} -d {vip.address} -p {protocol} --dport {port} -j ACCEPT "
                "(undo: the same with -D)"
            )
