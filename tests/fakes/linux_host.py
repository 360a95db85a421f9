"""A Linux real server of the world as its connection shows it: the product's scripts go in, what a shell prints comes
out.

Nothing of the scripts is executed: what they ask for is read off them and told from the machine's state, in the words
of iproute2, ss and the kernel's files. `spoil` may change each answer before it is handed over, as a hostile or broken
host would.
"""

from __future__ import annotations

import base64
import json
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from typing import Any

from dsrwizard.core.dialects.linux.half_open import COUNTERS
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.facts import Listener, ServerFacts
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Answer, Asker, OnLine, ServerPort
from dsrwizard.engine.servers.linux import LinuxServer
from tests.fakes.close_look import close_look
from tests.fakes.close_look import route as route_json
from tests.fakes.host import Link
from tests.fakes.server import FakeServer
from tests.fakes.server_state import ServerState
from tests.fakes.world import World

Spoil = Callable[[str], str]
FILTER = """\
nft
table inet filter {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 23 counter packets 0 bytes 0 drop comment "no telnet"
		jump others
	}
	chain others {
		ip saddr 192.0.2.77 drop
	}
}"""


class FakeLinuxHost:
    """A Connector to one server. `steps` are those of the script that is carried out next."""

    def __init__(self, world: World, state: ServerState, spoil: Spoil) -> None:
        self._world, self._state, self._spoil = world, state, spoil
        self._inner = FakeServer(world, lambda: state)
        self.steps: Sequence[Step] = ()

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        self._inner._alive(self._state)
        nonce = re.search(r"^m='==dsr:(\w+)'$", script, re.MULTILINE)
        if nonce is None:
            return Answer(status=0, stdout="", stderr="")
        said: list[str] = []

        def say(lines: Iterator[str]) -> None:
            text = self._spoil("\n".join(lines).replace("@N@", nonce[1]) + "\n")
            said.append(text)
            for line in text.split("\n"):
                if on_line is not None:
                    on_line(line)

        if "counters before" in script:
            say(self._before())
            say(self._after(script))
        elif "word=kept" in script:
            say(self._kept())
        elif ":start:" in script:
            say(self._carried_out(script))
        elif ":busy:" in script:
            self._state.reverted = 0  # what an earlier run left is over
        else:
            say(self._observed(script))
        return Answer(status=0, stdout="".join(said), stderr="")

    def close(self) -> None:
        pass

    # --- the observing script

    def _observed(self, script: str) -> Iterator[str]:
        machine = self._state.machine
        with self._world.lock:
            yield from _section("begin")
            yield from _section("undo", *self._undo())
            yield from _section("texts", *self._texts())
            yield from _section("root", "yes" if self._state.privileged else "no")
            yield from _section("systemd", "yes" if machine.persistence == "systemd" else "no")
            yield from _section("addr", _json([_link(*pair) for pair in enumerate(machine.links.items(), 1)]))
            if "s route4" in script:
                for family in (4, 6):
                    routes = [route_json(route) for route in machine.routes if route.family == family]
                    yield from _section(f"route{family}", _json([{"dst": "default"} | route for route in routes]))
                named = " -u -n -p" in script
                yield from _section("listeners", "ss", *(_socket(one, named) for one in machine.listeners))
            if "\ns nft\n" in script:
                yield from _section("programs", "nft")
                yield from _section("nft", FILTER)
            if "\ns balancer\n" in script:
                asked = re.findall(r"^way -\d (\S+) (\S+) \w+ \d+$", script, re.MULTILINE)
                vips, clients = (list(dict.fromkeys(words)) for words in zip(*asked, strict=True))
                for name, lines in close_look(machine, vips, clients).items():
                    yield from _section(name, *lines)
            folders = shlex.split(re.findall(r"^s folders; for f in (.*); do if ", script, re.MULTILINE)[-1])
            missing = machine.no_folders
            yield from _section("folders", *(f"{'no' if path in missing else 'yes'} {path}" for path in folders))
            yield from self._files(script)
            yield from _section("end")

    def _undo(self) -> Iterator[str]:
        if self._state.armed:
            yield f"armed {4711 + round(self._state.armed)} 4711"
        if self._state.reverted:
            yield f"reverted {self._state.reverted}"

    def _texts(self) -> Iterator[str]:
        machine = self._state.machine
        yield f"/proc/sys/kernel/hostname:{machine.name}"
        yield f"/proc/sys/kernel/osrelease:{machine.kernel}"
        yield f"/proc/sys/kernel/random/boot_id:{machine.boot_id}"
        if machine.machine_id:
            yield f"/etc/machine-id:{machine.machine_id}"
        yield f'/etc/os-release:PRETTY_NAME="{machine.os}"'
        yield "/etc/network/interfaces:source /etc/network/interfaces.d/*"
        for key, value in machine.sysctls.items():
            if re.fullmatch(r"net\.ipv4\.(conf\..*\.(arp_ignore|arp_announce|rp_filter)|ip_forward)", key):
                yield f"/proc/sys/{key.translate(str.maketrans('./', '/.'))}:{value}"

    def _files(self, script: str) -> Iterator[str]:
        paths = shlex.split(re.findall(r"^for f in (.*); do$", script, re.MULTILINE)[-1])
        there = {path: self._state.machine.files.get(path) for path in paths if path}
        plain = {path: file for path, file in there.items() if file is not None and file.target is None}
        yield from _section("modes", *(f"{file.mode:o} {path}" for path, file in plain.items()))
        for path, file in there.items():
            if file is None:
                yield from _section(f"file:{path}", "none")
            elif file.target is not None:
                yield from _section(f"file:{path}", f"link {file.target}")
            else:
                yield from _section(f"file:{path}", "file", base64.encodebytes(file.content.encode()).decode())

    def _kept(self) -> Iterator[str]:
        state = self._state
        word = "back" if state.reverted else "kept" if state.armed else "none"
        state.armed, state.begun = 0.0, []
        yield f"\n==dsr:@N@:{word}=="

    # --- the script that carries steps out

    def _carried_out(self, script: str) -> Iterator[str]:
        armed = re.search(r":armed:(\d+)==", script)
        self._state.armed, self._state.begun = float(armed[1]) if armed else 0.0, []
        self._state.reverted = 0
        if armed:
            yield f"\n==dsr:@N@:armed:{armed[1]}=="
        for number, step in enumerate(self.steps, 1):
            yield f"\n==dsr:@N@:start:{number}=="
            self._world.pass_gate(self._state.name)
            said: list[str] = []
            refused = self._inner._step(self._state, step, said.append)
            yield from said
            yield f"\n==dsr:@N@:{'failed' if refused else 'done'}:{number}=="
            if refused:
                return
        yield from self._observed(script)

    # --- the look at half-open connections

    def _before(self) -> Iterator[str]:
        yield from _section("before", *self._counters())
        yield from _section("ready")

    def _after(self, script: str) -> Iterator[str]:
        sources = set(re.findall(r"-e ' ([0-9.]+):'", script)) | set(re.findall(r"-e '\[([0-9a-f:]+)\]:'", script))
        with self._world.lock:
            half = [(one, f"0 0 {_end(one.vip, one.port)} {_end(one.client, one.client_port)}")
                    for one in self._state.half_open]  # fmt: skip
            yield from _section("seen", *(line for one, line in half if one.client in sources))
            yield from _section("after", *self._counters())
            yield from _section("order", " 0001")
            yield from _section("waiting", *(line for _, line in half))
            yield from _section("end")

    def _counters(self) -> Iterator[str]:
        with self._world.lock:
            counters = dict(self._state.counters)
        for table in ("TcpExt", "Icmp"):
            names = [name for name in COUNTERS if name.startswith(table) and not name.startswith("Icmp6")]
            yield f"{table}: " + " ".join(name.removeprefix(table) for name in names)
            yield f"{table}: " + " ".join(str(counters[name]) for name in names)
        yield f"Icmp6InDestUnreachs             \t{counters['Icmp6InDestUnreachs']}"


class TextServer(LinuxServer):
    """The product's own port of a Linux server, over a host that answers in text."""

    def __init__(self, server: RealServer, world: World, asker: Asker, spoil: Spoil) -> None:
        self._host: FakeLinuxHost | None = None

        def connect() -> FakeLinuxHost:
            self._host = FakeLinuxHost(world, world._login(server.name, server, asker), spoil)
            self._host.steps = self._next
            return self._host

        super().__init__(server, connect)
        self._next: Sequence[Step] = ()

    def apply(self, steps: Sequence[Step], watch: StepWatch, revert_after: float = 0.0) -> ServerFacts | None:
        self._next = steps
        if self._host is not None:
            self._host.steps = steps
        return super().apply(steps, watch, revert_after)


def text_server(world: World, server: RealServer, asker: Asker, spoil: Spoil = lambda text: text) -> ServerPort:
    """A real server of the world, read and changed through the product's scripts and parsers."""
    return TextServer(server, world, asker, spoil)


def _section(name: str, *lines: str) -> Iterator[str]:
    yield ""
    yield f"==dsr:@N@:{name}=="
    yield from lines


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _link(number: int, pair: tuple[str, Link]) -> dict[str, Any]:
    name, link = pair
    loopback = name == "lo"
    return {
        "ifindex": number,
        "ifname": name,
        "flags": ["LOOPBACK" if loopback else "BROADCAST", *(["UP", "LOWER_UP"] if link.up else [])],
        "mtu": 65536 if loopback else 1500,
        "operstate": "UNKNOWN" if loopback else "UP" if link.up else "DOWN",
        "link_type": "loopback" if loopback else "ether",
        "address": link.mac or "00:00:00:00:00:00",
        **({"linkinfo": {"info_kind": link.kind}} if link.kind else {}),
        "addr_info": [
            {
                "family": "inet6" if ":" in address else "inet",
                "local": address,
                "prefixlen": prefix,
                "scope": "host" if ip_address(address).is_loopback else "global",
                "label": name,
                "valid_life_time": 4294967295,
            }
            for address, prefix in link.addresses.items()
        ],
    }


def _socket(one: Listener, named: bool) -> str:
    state = f"LISTEN {one.waiting}      {one.room}   " if one.protocol == "tcp" else "UNCONN 0      0     "
    users = f' users:(("{one.process}",pid=612,fd=6))' if named and one.process else ""
    return f"{one.protocol}   {state} {_end(one.address, one.port)}  {_end('*', 0)} {users}"


def _end(address: str, port: int) -> str:
    return f"{f'[{address}]' if ':' in address else address}:{port or '*'}"
