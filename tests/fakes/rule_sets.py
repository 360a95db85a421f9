"""Rule sets made at random, as iptables-restore takes them, for comparing what is made of them with what a kernel does.

Their conditions are about the sender, the destination, ports, flags, states, marks, interfaces and lengths; what they
do is let through, drop, refuse, jump, come back, mark and redirect.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

DESTINATION = "10.0.0.101"
_CONDITIONS = (
    "-s {sender}", "! -s {sender}", "-d {receiver}", "! -d {receiver}", "-i {link}", "! -i {link}", "-p tcp", "-p udp",
    "! -p tcp", "-p tcp -m tcp --dport {port}", "-p tcp -m tcp ! --dport {port}", "-p tcp -m tcp --syn",
    "-p tcp -m tcp ! --syn", "-p tcp -m multiport --dports {ports}", "-p tcp -m multiport ! --dports {ports}",
    "-p tcp -m tcp --sport 1024:65535", "-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN",
    "-p tcp -m tcp ! --tcp-flags SYN,ACK SYN", "-p tcp -m tcp --tcp-flags ALL NONE",
    "-m conntrack --ctstate {state}", "-m conntrack ! --ctstate {state}", "-m mark --mark {mark}",
    "-m mark ! --mark {mark}", "-m iprange --src-range {range}", "-m iprange ! --src-range {range}",
    "-m addrtype --dst-type LOCAL", "-m addrtype ! --dst-type LOCAL", "-m length --length {length}",
    "-m length ! --length {length}", "-m pkttype --pkt-type {kind}",
)  # fmt: skip
_WORDS = {
    "sender": ("10.0.0.0/24", "203.0.113.0/24", "203.0.113.10/32", "10.0.0.2/32", "192.0.2.0/24", "0.0.0.0/1"),
    "receiver": ("10.0.0.101/32", "10.0.0.0/24", "10.0.0.102/32"),
    "link": ("eth0", "eth+", "lo", "eth1"),
    "port": ("80", "8080", "1:100", "443", "1000:9000"),
    "ports": ("80,443", "22,8080", "79:81,443", "1,2,3"),
    "state": ("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,UNTRACKED", "UNTRACKED", "DNAT"),
    "mark": ("0x1/0x1", "0x0/0xff", "0x4", "0x2/0x3"),
    "range": ("10.0.0.1-10.0.0.9", "203.0.113.1-203.0.113.9", "10.0.0.0-203.0.113.255"),
    "length": ("40:100", "0:39", "100:65535", "1301:65535"),
    "kind": ("unicast", "broadcast", "multicast"),
}
_REPLIES = (
    "-s 10.0.0.101/32", "! -s 10.0.0.101/32", "-d {sender}", "! -d {sender}", "-o {link}", "! -o {link}",
    "-p tcp -m tcp --sport {port}", "-p tcp -m multiport --sports {ports}", "-p tcp -m tcp --dport 1024:65535",
    "-p tcp -m tcp --tcp-flags SYN,ACK SYN", "-p tcp -m tcp --tcp-flags ACK ACK", "-p udp",
    "-m conntrack --ctstate {state}", "-m conntrack ! --ctstate {state}", "-m conntrack --ctdir REPLY",
    "-m addrtype --src-type LOCAL",
)  # fmt: skip
_CHAINS = ("A", "B", "C")
_REFUSES = "REJECT --reject-with icmp-admin-prohibited"


def rule_set(seed: int) -> str:
    """The tables of one rule set, the same for the same number."""
    return _RuleSet(random.Random(seed)).text()


class _RuleSet:
    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def text(self) -> str:
        """All its tables; some have no rules."""
        early = self._table("raw", {"PREROUTING": self._some(2, ("DROP", "ACCEPT", "CT --notrack", *_CHAINS))}, 2)
        marking = ("MARK --set-xmark 0x1/0xffffffff", "MARK --set-xmark 0x4/0x4", "MARK --set-xmark 0x3/0x1")
        mangle = self._table("mangle", {
            "PREROUTING": self._some(3, (*marking, *marking, "RETURN", "DROP")), "INPUT": self._some(1, ("DROP",)),
        }, 0)  # fmt: skip
        redirect = "REDIRECT --to-ports 80"
        nat = self._table("nat", {"PREROUTING": [
            f"-p tcp -m tcp --dport 8080 {self._condition(('-s {sender}', '! -s {sender}', '-i {link}'))} -j {redirect}"
            for _ in range(self._chance.randint(0, 1))
        ]}, 0)  # fmt: skip
        policies = {"INPUT": self._chance.choice(("ACCEPT", "DROP"))}
        if self._chance.random() < 0.15:
            policies["OUTPUT"] = "DROP"
        ends = ("ACCEPT", "ACCEPT", "DROP", _REFUSES, *_CHAINS, *_CHAINS)
        rules = {"INPUT": self._some(5, ends), "OUTPUT": self._some(3, ("ACCEPT", "DROP"), _REPLIES)}
        return early + mangle + nat + self._table("filter", rules, 3, policies)

    def _table(
        self, name: str, rules: dict[str, list[str]], chains: int, policies: dict[str, str] | None = None
    ) -> str:
        lines = [f"*{name}", *(f":{chain} {(policies or {}).get(chain, 'ACCEPT')} [0:0]" for chain in rules)]
        lines += [f":{chain} - [0:0]" for chain in _CHAINS]
        lines += [f"-A {chain} {rule}" for chain, found in rules.items() for rule in found]
        for at, chain in enumerate(_CHAINS[:chains]):  # a chain jumps to later ones alone: the kernel refuses circles
            ends = ("ACCEPT", "DROP", "RETURN", "RETURN", *_CHAINS[at + 1 :])
            lines += [f"-A {chain} {rule}" for rule in self._some(3, ends)]
        return "\n".join([*lines, "COMMIT", ""])

    def _some(self, most: int, ends: Sequence[str], conditions: Sequence[str] = _CONDITIONS) -> list[str]:
        found = []
        for _ in range(self._chance.randint(0, most)):
            end = self._chance.choice(ends)
            few = (0, 1, 1, 1, 2) if end in (*_CHAINS, "ACCEPT", "RETURN") else (1, 1, 2, 2)
            asked = " ".join(self._condition(conditions) for _ in range(self._chance.choice(few)))
            goes = "-g" if end in _CHAINS and self._chance.random() < 0.3 else "-j"
            if end == _REFUSES and "-p udp" in asked:
                end = "DROP"
            found.append(f"{asked} {goes} {end}".strip())
        return [one for one in found if one.count("-p ") < 2 and _once(one)]

    def _condition(self, conditions: Sequence[str] = _CONDITIONS) -> str:
        text = self._chance.choice(conditions)
        return text.format(**{word: self._chance.choice(choices) for word, choices in _WORDS.items()})


def _once(rule: str) -> bool:
    """iptables takes an option once."""
    options = [word for word in rule.split() if word.startswith("-") and word not in ("-m",)]
    return len(options) == len(set(options))
