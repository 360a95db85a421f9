"""What the walk makes of a rule set is what a kernel does with the packets: rule sets made at random, on a real server.

Each is put into the kernel of web1, read back by the look that verify takes, and tried by connections from another
network and from the director. The same rules in the words of nft, as iptables-translate writes them, are followed too.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dsrwizard.core.diagnosis.server_view import ServerView
from dsrwizard.core.dialects.linux.observe import observe_script, parse
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.packet_filter import FilterChain
from tests.fakes.filters import chains
from tests.fakes.rule_sets import DESTINATION, rule_set
from tests.lab.harness import Lab, Process
from tests.unit.filtered import behind, walked

pytestmark = pytest.mark.long

SEEDS = range(60)
PORTS = (80, 8080)
SENDERS = {"client": "203.0.113.10", "director": "10.0.0.2"}
PUT = """
import subprocess, sys
for line in sys.stdin:
    number, _, text = line.partition(" ")
    done = subprocess.run(["iptables-legacy-restore"], input=eval(text), capture_output=True, text=True)
    print(number, "put" if done.returncode == 0 else "refused " + repr(done.stderr), flush=True)
"""
TRY = """
import errno, json, select, socket, sys
for line in sys.stdin:
    number, address, *ports = line.split()
    tried = {}
    for port in ports:
        one = socket.socket()
        one.setblocking(False)
        one.connect_ex((address, int(port)))
        tried[port] = one
    said = {}
    waiting = {one: port for port, one in tried.items()}
    while waiting:
        _, ready, _ = select.select([], list(waiting), [], 1.5)
        if not ready:
            break
        for one in ready:
            said[waiting.pop(one)] = errno.errorcode.get(one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "open")
    for one in tried.values():
        one.close()
    print(number, json.dumps({port: said.get(port, "silent") for port in ports}), flush=True)
"""


@dataclass
class Ground:
    """A kernel to put rule sets into, and senders that try it."""

    lab: Lab
    putting: Process
    senders: dict[str, Process]

    def put(self, number: int, text: str) -> None:
        self.putting.send(f"{number} {text!r}\n")
        assert self.putting.wait_for(lambda: f"{number} put" in self.putting.stdout.splitlines()
                                     or f"{number} refused" in self.putting.stdout)  # fmt: skip
        assert f"{number} put" in self.putting.stdout.splitlines(), self.putting.stdout.splitlines()[-1]

    def tried(self, number: int) -> dict[tuple[str, int], bool]:
        """Whether (sender, port) was answered, be it with a refusal of the kernel's."""
        for process in self.senders.values():
            process.send(f"{number} {DESTINATION} {' '.join(map(str, PORTS))}\n")
        found: dict[tuple[str, int], bool] = {}
        for name, process in self.senders.items():
            process.expect(f"\n{number} {{")
            line = next(one for one in process.stdout.splitlines() if one.startswith(f"{number} {{"))
            said = json.loads(line.partition(" ")[2])
            found |= {(name, int(port)): words in ("open", "ECONNREFUSED") for port, words in said.items()}
        return found


@pytest.fixture(scope="module")
def ground(lab: Lab) -> Iterator[Ground]:
    for table in ("raw", "mangle", "nat", "filter"):
        lab.run("web1", f"iptables-legacy -t {table} -S").ok()
    with lab.spawn("web1", [sys.executable, "-u", "-c", PUT]) as putting:
        senders = {name: lab.spawn(name, [sys.executable, "-u", "-c", "print()" + TRY]) for name in SENDERS}
        yield Ground(lab, putting, senders)
        for process in senders.values():
            process.kill()


def expected(view: ServerView, sender: str, port: int) -> bool | None:
    """Whether a connection is answered, by the walk; None: not decided."""
    return {"open": True, "drops": False, "undecided": None}[walked(view, port, SENDERS[sender], DESTINATION)]


def translated(text: str) -> tuple[FilterChain, ...] | None:
    """The rules in the words of nft; None where one has no translation."""
    done = subprocess.run(
        ["iptables-restore-translate", "-f", "/dev/stdin"], input=text, capture_output=True, text=True, check=True
    )
    tables: dict[str, dict[str, list[str]]] = {}
    for line in done.stdout.splitlines():
        words = line.split()
        if words[:2] == ["add", "chain"]:
            head = line.partition("{ ")[2].removesuffix(" }")
            tables.setdefault(words[3], {})[words[4]] = [head] if head else []
        elif words[:2] == ["add", "rule"]:
            tables[words[3]][words[4]].append(" ".join(words[5:]))
        elif line.startswith("# -"):
            return None
    listed = "nft\n"
    for table, found in tables.items():
        listed += f"table ip {table} {{\n"
        for name, rules in found.items():
            listed += "\n".join([f"\tchain {name} {{", *(f"\t\t{rule}" for rule in rules), "\t}", ""])
        listed += "}\n"
    return chains(nft=listed)


def test_rule_sets_are_followed_as_the_kernel_follows_them(ground: Ground) -> None:
    wrong, undecided, answered, dropped, spoken = [], 0, 0, 0, 0
    for number in SEEDS:
        text = rule_set(number)
        ground.put(number, text)
        script = observe_script("n0", [], closely=True, vips=[Vip(address=DESTINATION, services=())])
        if number % 20 == 0:  # what the look reads back is what was put; a look takes a second here
            looked = parse("web1", "n0", ground.lab.run("web1", ["sh"], stdin=script).ok().stdout)
            assert looked.linux is not None
            assert looked.linux.chains is not None, looked.linux.chains_problem
            read = behind(looked.linux.chains)
            assert [expected(read, *one) for one in ((name, port) for name in SENDERS for port in PORTS)] == [
                expected(behind(chains(["iptables-legacy", *text.splitlines()])), name, port)
                for name in SENDERS
                for port in PORTS
            ]
        forms = {"iptables": chains(["iptables-legacy", *text.splitlines()]), "nft": translated(text)}
        seen = ground.tried(number)
        for form, found in forms.items():
            if found is None:
                continue
            view = behind(found)
            for (sender, port), answer in seen.items():
                walked = expected(view, sender, port)
                undecided += walked is None
                spoken += form == "nft"
                answered += answer
                dropped += not answer
                if walked is not None and walked != answer:
                    wrong.append(f"{form} {number}: {sender} to {port}: walked {walked}, the kernel {answer}\n{text}")
    print(f"{answered} answered, {dropped} dropped, {undecided} not decided, {spoken} in the words of nft")
    assert [one.partition("\n")[0] for one in wrong] == [], wrong[0]
    assert undecided < (answered + dropped) // 10
    assert min(answered, dropped) > (answered + dropped) // 5
