"""A Windows real server in the lab: the model behind a real WinRM endpoint, and its state enforced on real packets.

Run on a lab's real server, whose network namespace and service on port 80 stand for the Windows host's:

    python -m tests.windows.lab_host --address 10.0.0.103

The namespace then holds an address only where Windows would take packets for it, answers ARP for it only where Windows
would, and lets clients in only as the model's firewall does. Lines on standard input make faults; each is answered by
one line of JSON: `fault NAME` (see `tests.windows.faults`), `cure`, `state`, `not-modelled`, `shells`.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from tests.windows.certificates import issue
from tests.windows.endpoint import Endpoint
from tests.windows.host import Address, WindowsHost
from tests.windows.host.runner import ModelRunner

NIC = "eth0"
CHAIN = "DSRWIN"
SERVICES = (("tcp", 80), ("tcp", 443), ("tcp", 8080), ("udp", 7), ("udp", 53))
"""What clients of the lab ask for. WinRM is left alone: it is not what is under test here."""
SYN_RECEIVED = "03"
_STATE = (
    "adapters", "pseudo", "profiles", "block_all", "policy_state", "rules", "sites", "listen", "certificates",
    "listeners", "events", "restriction", "elevated", "broken",
)  # fmt: skip


class LabHost(WindowsHost):
    """A modelled Windows host whose state is this namespace's."""

    def __init__(self, version: str, *, address: str, address6: str = "", mac: str = "") -> None:
        super().__init__(version, address=address, mac=mac or _mac(address))
        if address6:
            self.wire.addresses.append(Address(address6, 64))
        self._own = {ip_address(entry.address) for entry in self.wire.addresses}
        self._gateway = self.wire.gateways[0]
        self._rules: dict[int, str] = {}
        self._healthy: dict[str, Any] | None = None
        self._one = threading.RLock()
        self.changed = self.enforce

    def execute(
        self,
        script: str,
        out: Callable[[str], None],
        err: Callable[[str], None],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        with self._one:
            return super().execute(script, out, err, environment=environment)

    def sleep(self, milliseconds: int) -> None:
        """Really: packets arrive meanwhile."""
        time.sleep(milliseconds / 1000)
        super().sleep(milliseconds)

    @property
    def half_open(self) -> list[tuple[str, int, str, int]]:
        """The namespace's own, as Windows lists its own."""
        return [*_half_open("/proc/net/tcp"), *_half_open("/proc/net/tcp6")]

    @half_open.setter
    def half_open(self, _entries: list[tuple[str, int, str, int]]) -> None:
        """The model begins with none, which says nothing here."""

    # -- faults

    def fault(self, name: str) -> None:
        """Makes a fault of `tests.windows.faults` beside those that are there."""
        from tests.windows import faults

        with self._one:
            if self._healthy is None:
                self._healthy = self._copied()
            faults.FAULTS[name].make(self)
            self.enforce()

    def cure(self) -> None:
        """As before the first fault."""
        with self._one:
            if self._healthy is not None:
                vars(self).update(self._healthy)
                self._healthy = None
            self.enforce()

    def _copied(self) -> dict[str, Any]:
        return copy.deepcopy({name: getattr(self, name) for name in _STATE})

    # -- the namespace

    def enforce(self) -> None:
        """Makes the namespace answer as this host would. Does nothing where it does already."""
        with self._one:
            self._hold()
            self._lead_out()
            for family in (4, 6):
                self._filter(family)

    def _extra(self) -> Iterator[IPv4Address | IPv6Address]:
        """Every address beside the host's own, whichever adapter it is on."""
        seen = set()
        for adapter in [*self.adapters, self.pseudo]:
            for entry in adapter.addresses:
                address = ip_address(entry.address)
                if not (address.is_link_local or address.is_loopback or address in self._own or address in seen):
                    seen.add(address)
                    yield address

    def _hold(self) -> None:
        wanted: dict[IPv4Address | IPv6Address, str] = {}
        for address in self._extra():
            if self.leaks(str(address)):
                wanted[address] = NIC
            elif self.accepts(str(address)):
                wanted[address] = "lo"
            # else it is nowhere: a packet for it is dropped without a word, as the strong-host model drops it
        there: dict[IPv4Address | IPv6Address, str] = {}
        for link in json.loads(_run("ip", "-j", "addr")):
            for entry in link["addr_info"]:
                address = ip_address(entry["local"])
                if not (address.is_link_local or address.is_loopback or address in self._own):
                    there[address] = link["ifname"]
        lines = [f"addr del {_full(one)} dev {where}" for one, where in there.items() if wanted.get(one) != where]
        lines += [
            f"addr add {_full(one)} dev {where}{' nodad' if one.version == 6 else ''}"
            for one, where in wanted.items()
            if there.get(one) != where
        ]
        if lines:
            _run("ip", "-batch", "-", said="".join(f"{line}\n" for line in lines))

    def _lead_out(self) -> None:
        """Where answers to other networks go."""
        gateway = next((one for one in self.wire.gateways if ip_address(one).version == 4), "")
        if gateway != self._gateway:
            _run("ip", "route", "replace" if gateway else "del", "default", *(("via", gateway) if gateway else ()))
            self._gateway = gateway

    def _filter(self, family: int) -> None:
        """What the firewall does not admit, and what nobody listens for.

        With the firewall on Windows hides that nobody listens ("stealth mode"); with it off the client is refused.
        """
        rules = []
        for address in [*self._own, *self._extra()]:
            if address.version != family:
                continue
            for protocol, port in SERVICES:
                admitted = self.admits(str(address), protocol, port)
                if admitted and self.serves(str(address), protocol, port):
                    continue
                match = f"-A {CHAIN} -d {address} -p {protocol} --dport {port} -j"
                if not admitted or self.profiles[4]:
                    rules.append(f"{match} DROP")
                elif protocol == "tcp":
                    rules.append(f"{match} REJECT --reject-with tcp-reset")
                else:
                    rules.append(f"{match} REJECT")
        text = "\n".join(["*filter", f":{CHAIN} - [0:0]", *rules, "COMMIT", ""])
        if self._rules.get(family) == text:
            return
        tool = "iptables-legacy" if family == 4 else "ip6tables-legacy"
        _run(f"{tool}-restore", "--noflush", said=text)
        if family not in self._rules:
            _run(tool, "-I", "INPUT", "-j", CHAIN)
        self._rules[family] = text


def _mac(address: str) -> str:
    """As the lab makes them."""
    return "02:00:" + ip_address(address).packed.hex(":")


def _full(address: IPv4Address | IPv6Address) -> str:
    return f"{address}/{address.max_prefixlen}"


def _run(*words: str, said: str = "") -> str:
    done = subprocess.run(words, input=said, text=True, capture_output=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()}\n{said}")
    return done.stdout


def _half_open(path: str) -> Iterator[tuple[str, int, str, int]]:
    for line in Path(path).read_text().splitlines()[1:]:
        _, local, remote, state, *_ = line.split()
        if state == SYN_RECEIVED:
            yield *_endpoint(local), *_endpoint(remote)


def _endpoint(text: str) -> tuple[str, int]:
    """`0A0A000A:0050`: the address as 32-bit words of this machine, the port as a number."""
    words, _, port = text.partition(":")
    raw = b"".join(struct.pack("=I", int(words[at : at + 8], 16)) for at in range(0, len(words), 8))
    return str(ip_address(raw)), int(port, 16)


def serve(host: LabHost, endpoint: Endpoint, lines: Iterable[str]) -> None:
    """Does what the lines say, and answers each; returns at their end."""
    for line in lines:
        word, _, rest = line.strip().partition(" ")
        answer: Any = None
        try:
            match word:
                case "fault":
                    host.fault(rest)
                case "cure":
                    host.cure()
                case "state":
                    answer = host.state()
                case "not-modelled":
                    answer = host.not_modelled
                case "shells":
                    answer = len(endpoint.shells)
                case _:
                    answer = f"no such command: {word}"
        except Exception as error:  # noqa: BLE001 - told to whoever gave the command
            answer = f"{type(error).__name__}: {error}"
        print(json.dumps({word: answer}), flush=True)


def main() -> None:
    """The first line of standard input is the password: it stands in no list of processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="2022")
    parser.add_argument("--address", required=True)
    parser.add_argument("--address6", default="")
    parser.add_argument("--user", default="Administrator")
    given = parser.parse_args()
    password = sys.stdin.readline().strip()
    for setting in ("arp_ignore=1", "arp_announce=2"):
        name, _, value = setting.partition("=")
        Path(f"/proc/sys/net/ipv4/conf/all/{name}").write_text(value)
    host = LabHost(given.version, address=given.address, address6=given.address6)
    host.enforce()
    certificate = issue(Path(tempfile.mkdtemp()) / "win1.pem", "WIN1", addresses=(given.address,))
    endpoint = Endpoint(
        ModelRunner(host),
        users={given.user: password},
        tls=certificate.context(),
        certificate=certificate.der,
        generation="2012" if host.modern else "2008 R2",
        address=given.address,
        port=5986,
    ).start()
    print(json.dumps({"ready": hashlib.sha256(certificate.der).hexdigest().upper()}), flush=True)
    serve(host, endpoint, sys.stdin)
    endpoint.stop()


if __name__ == "__main__":
    main()
