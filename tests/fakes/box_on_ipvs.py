"""A fake appliance on a machine with IPVS: whatever is in force on it is in force for packets, too.

    python -m tests.fakes.box_on_ipvs netscaler ADDRESS PORT PEM

Commands come on standard input as JSON, one per line: `{"do": "reboot"}`, `{"set": {"forwards_as_ip": true}}`,
`{"put": {...}}` (what others have there), `{}`. After each, and once at the start, a line of JSON has what it is
set to, what was changed since the last, and what went wrong.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.fakes.https_box import FakeBox, Line, Place
from tests.fakes.loadbalancer_org import FakeLoadbalancerOrg
from tests.fakes.netscaler import FakeNetScaler

LINK = "eth0"
HOW = {"gate": "-g", "masq": "-m", "ipip": "-i"}


class IpvsBox:
    """Has IPVS and the VIPs follow a box. Only what differs is changed: connections go on."""

    def __init__(self, box: FakeBox) -> None:
        self._box = box
        self._lines: dict[str, Line] = {}
        self._held: set[str] = set()
        self._lock = threading.Lock()
        self.problems: list[str] = []
        _run("ipvsadm", "-C")
        box.on_change = lambda method, path, body: self.follow() if method.islower() else None

    def follow(self) -> None:
        with self._lock:
            try:
                self._follow()
            except (subprocess.CalledProcessError, KeyError) as error:
                self.problems.append(f"{error}: {getattr(error, 'stderr', '')}")

    def _follow(self) -> None:
        wanted = {f"-{line.protocol[0]} {line.vip}:{line.port}": line for line in self._box.lines()}
        for where in self._lines.keys() - wanted.keys():
            _run("ipvsadm", "-D", *where.split())
            del self._lines[where]
        for where, line in wanted.items():
            before = self._lines.get(where)
            if before is None or before[:5] != line[:5]:
                keeps = ["-p", str(line.persistence)] if line.persistence else []
                _run("ipvsadm", "-A" if before is None else "-E", *where.split(), "-s", line.scheduler, *keeps)
            _servers(where, before, line)
            self._lines[where] = line
        holds = self._box.holds()
        for vip in holds - self._held:
            _run("ip", "address", "replace", f"{vip}/32", "dev", LINK)
        for vip in self._held - holds:
            _run("ip", "address", "delete", f"{vip}/32", "dev", LINK)
        self._held = set(holds)


def _servers(where: str, before: Line | None, line: Line) -> None:
    old = {rip: (port, weight) for rip, port, weight in before.behind} if before else {}
    new = {rip: (port, weight) for rip, port, weight in line.behind}
    for rip, (port, _) in old.items():
        if new.get(rip, (None, 0))[0] != port:
            _run("ipvsadm", "-d", *where.split(), "-r", f"{rip}:{port}")
            old[rip] = (-1, 0)
    for rip, (port, weight) in new.items():
        known = old.get(rip, (-1, 0))[0] == port
        if not known or before is None or (old[rip], before.how) != ((port, weight), line.how):
            told = ["-r", f"{rip}:{port}", HOW[line.how], "-w", str(weight)]
            _run("ipvsadm", "-e" if known else "-a", *where.split(), *told)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True)


def _put(box: FakeBox, what: dict[str, Any]) -> None:
    """What others have there, and what it is before anybody works on it."""
    config = _config(box)
    for name, value in what.items():
        if isinstance(value, dict):
            getattr(config, name).update(value)
        elif isinstance(there := getattr(config, name), set):
            there.update(value)
        else:
            there += [tuple(one) for one in value]
    if isinstance(box, FakeNetScaler):
        box.keep()
    else:
        box.reboot()


def _config(box: Any) -> Any:
    return box.running if isinstance(box, FakeNetScaler) else box.config


def _told(box: Any, ipvs: IpvsBox) -> str:
    state = _plain(dataclasses.asdict(_config(box)))
    changed, box.changed = box.changed, []
    report = {"state": state, "changed": changed, "problems": ipvs.problems + box.errors}
    return json.dumps(report, default=lambda value: sorted(map(str, value)))


def _plain(state: Any) -> Any:
    """With keys that JSON can have."""
    if isinstance(state, dict):
        return {key if isinstance(key, str) else "/".join(key): _plain(value) for key, value in state.items()}
    return state


def main(product: str, address: str, port: str, pem: str) -> None:
    made = {"netscaler": FakeNetScaler, "loadbalancer.org": FakeLoadbalancerOrg}[product]
    box: Any = made(Path(pem), Path(pem), place=Place((address,), int(port)))
    ipvs = IpvsBox(box)
    ipvs.follow()
    print(_told(box, ipvs), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        for name, value in order.get("set", {}).items():
            setattr(box, name, set(value) if isinstance(value, list) else value)
        if order.get("do") == "reboot":
            box.reboot()
        if "put" in order:
            _put(box, order["put"])
        ipvs.follow()
        print(_told(box, ipvs), flush=True)
    box.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
