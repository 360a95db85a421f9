"""The one command that lets a VIP's packets through a packet filter that drops them, and how it is taken back. Pure.

A filter has another program in charge of it on every host, and rules told to the wrong one do nothing or are gone when
the right one loads its own (field guide B5).
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from dsrwizard.core.diagnosis.filter_match import NUMBERS, ClientPacket
from dsrwizard.core.diagnosis.filter_walk import Hit
from dsrwizard.core.model.values import canonical

_COUNTER = re.compile(r"^\[\d+:\d+\] ")
_HARMLESS = re.compile(r"[A-Za-z0-9 ./:,!=+_-]*")
"""A rule that means to a shell what it means to iptables; what others wrote into a comment may not."""
_SHOWS = re.compile(r"[A-Za-z0-9_./-]+")


def removing(hit: Hit, packet: ClientPacket) -> str:
    """The command that takes out a rule of iptables which names the VIP alone; empty: it is another rule."""
    rule = _COUNTER.sub("", hit.rule)
    bits = 128 if packet.family == 6 else 32
    if not hit.base.legacy or f" -d {canonical(packet.vip)}/{bits} " not in f"{rule} ":
        return ""
    return f"{_program(hit, packet)} {rule.replace('-A ', '-D ', 1)}" if _HARMLESS.fullmatch(rule) else ""


def admitting(hit: Hit, packet: ClientPacket, nic: str = "") -> str:
    """The command that lets in packets to this destination and port, and changes nothing else. `nic`: the interface
    whose zone of firewalld is meant; empty: the default zone."""
    base, six, port, protocol = hit.base, packet.family == 6, packet.port, packet.protocol
    if _firewalld(hit):
        rule = (
            f'\'rule family="ipv{6 if six else 4}" destination address="{packet.vip}" '
            f'port port="{port}" protocol="{protocol}" accept\''
        )
        zone = ""
        if nic:
            one = shlex.quote(nic)
            zone = f'--zone="$(firewall-cmd --get-zone-of-interface={one} || firewall-cmd --get-default-zone)" '
        return f"firewall-cmd {zone}--add-rich-rule={rule}"
    if _ufw(hit) and base.hook == "input":
        return f"ufw prepend allow proto {protocol} to {packet.vip} port {port}"
    if not base.legacy:
        return (
            f"nft insert rule {_place(hit)} {'ip6' if six else 'ip'} daddr {packet.vip} {protocol} dport {port} accept"
        )
    return f"{_program(hit, packet)} -I {base.name} -d {packet.vip} -p {protocol} --dport {port} -j ACCEPT"


def admitting_protocol(hit: Hit, packet: ClientPacket) -> str:
    """The command that lets in a protocol without ports from one sender, and changes nothing else."""
    base, six = hit.base, packet.family == 6
    number = NUMBERS[packet.protocol]
    if _firewalld(hit):
        source = f'family="ipv{6 if six else 4}" source address="{packet.client}"'
        return f"firewall-cmd --add-rich-rule='rule {source} protocol value=\"{packet.protocol}\" accept'"
    if not base.legacy:
        sender = f"{'ip6' if six else 'ip'} saddr {packet.client}"
        return f"nft insert rule {_place(hit)} {sender} meta l4proto {number} accept"
    return f"{_program(hit, packet)} -I {base.name} -s {packet.client} -p {number} -j ACCEPT"


def releasing(hit: Hit, packet: ClientPacket) -> str:
    """The command that lets the replies from this VIP's port out, and changes nothing else."""
    base, six, port, protocol = hit.base, packet.family == 6, packet.port, packet.protocol
    if _firewalld(hit):
        rule = f"ipv{6 if six else 4} filter OUTPUT 0 -s {packet.vip} -p {protocol} --sport {port} -j ACCEPT"
        return f"firewall-cmd --direct --add-rule {rule}"
    if _ufw(hit) and base.hook == "output":
        return f"ufw prepend allow out proto {protocol} from {packet.vip} port {port}"
    if not base.legacy:
        return (
            f"nft insert rule {_place(hit)} {'ip6' if six else 'ip'} saddr {packet.vip} {protocol} sport {port} accept"
        )
    return f"{_program(hit, packet)} -I {base.name} -s {packet.vip} -p {protocol} --sport {port} -j ACCEPT"


def undo(fixes: Sequence[str]) -> str:
    """How commands that let packets through are taken back; empty where they take a rule out."""
    if all(" -I " in one and one.endswith(" -j ACCEPT") for one in fixes):
        return " (undo: the same with -D)"
    if len(fixes) > 1:
        return ""
    if fixes[0].startswith("ufw prepend "):
        return f" (undo: {fixes[0].replace('prepend', 'delete', 1)})"
    if fixes[0].startswith("firewall-cmd --direct "):
        return " (undo: --remove-rule; with --permanent as well it stays)"
    if fixes[0].startswith("firewall-cmd "):
        return " (undo: --remove-rich-rule; with --permanent as well it stays)"
    if fixes[0].startswith("nft insert rule "):
        place = " ".join(shlex.split(fixes[0])[3:6])
        if all(_SHOWS.fullmatch(word) for word in place.split()):
            return f" (undo: nft -a list chain {place} shows its handle for nft delete rule {place} handle …)"
    return ""


def _firewalld(hit: Hit) -> bool:
    return hit.base.table.endswith(" firewalld") or "INPUT_ZONES" in hit.chains


def _ufw(hit: Hit) -> bool:
    return bool({"ufw-user-input", "ufw6-user-input"} & hit.chains)


def _place(hit: Hit) -> str:
    return " ".join(map(shlex.quote, (*hit.base.table.split(), hit.base.name)))


def _program(hit: Hit, packet: ClientPacket) -> str:
    """The program, with the table that is not its usual one."""
    base = hit.base
    program = base.tool
    if packet.family == 6 and not program.startswith("ip6"):
        program = program.replace("iptables", "ip6tables")
    return program if base.table == "filter" else f"{program} -t {base.table}"
