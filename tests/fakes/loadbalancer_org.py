"""A Loadbalancer.org appliance, or a pair: its API v2 over TLS on loopback, with state, refusals and where its packets
would go.

Requests, answers and statuses are those of LB_API_Library and of the PHP that runs on the appliance. What nobody could
verify without one is a switch (`LbManners`), and the driver has to do well whichever way it stands.
"""

from __future__ import annotations

import copy
import json
import re
import threading
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.https_box import FakeBox, HttpsNodes, Line, Place, Reply

ORG_USER, ORG_PASSWORD, ORG_KEY = "loadbalancer", "pa:ss\\wort/of org", "0123456789abcdefKEYKEYKEYKEYKEYK"
_WORD = re.compile(r"[A-Za-z0-9._:-]+", re.ASCII)
_OPTIONS = {
    "add-vip": {"layer", "vip", "ip", "ports", "forwarding", "protocol", "slave_ip"},
    "edit-vip": {"vip", "ip", "ports", "protocol", "forwarding", "granularity", "persistent", "persist_time",
                 "scheduler", "check_type", "check_port", "check_service"},
    "delete-vip": {"vip"},
    "add-rip": {"vip", "rip", "ip", "weight", "port", "minconns", "maxconns"},
    "edit-rip": {"vip", "rip", "ip", "weight", "port", "minconns", "maxconns"},
    "delete-rip": {"vip", "rip"},
    "halt": {"vip", "rip"}, "drain": {"vip", "rip"}, "online": {"vip", "rip"},
    "add-floating-ip": {"ip"}, "delete-floating-ip": {"ip"},
    "reload-ldirectord": set(), "reload-heartbeat": set(), "nodestatus": set(), "list": {"function"},
}  # fmt: skip
"""What an action takes (`lbcli --help`), without `services`, which nobody may send."""


@dataclass
class LbManners:
    """Behaviour that is not verified."""

    at_once: bool = False
    """Changes are in force without a reload."""
    goes_on: bool = True
    """An action that failed does not stop those behind it."""
    halts_show: bool = False
    """A halt or a drain makes the weight 0 in the configuration, and `online` gives back what it was."""
    takes_zero: bool = True
    """A weight may be 0."""
    vip_brings_address: bool = True
    """A virtual service brings its floating IP, and takes it with it."""
    plain: bool = False
    """Statuses are lines of text."""
    nested: bool = True
    """Answers are nested as in the maker's library; otherwise as in another client."""
    actions_told: bool = True
    """An answer repeats the action."""
    quoted: bool = False
    """The dump is JSON within a text."""
    numbers: bool = False
    words: tuple[str, str] = ("on", "off")
    addresses_told: bool = True
    """The list of floating IPs has addresses in it that can be found."""


class LbRefusal(Exception):
    def __init__(self, status: str, message: str = "") -> None:
        super().__init__(message)
        self.status = status


@dataclass
class LbState:
    """`virtuals`: as dumped, with `real`; `held`: (label, label) → halt or drain; `floating`: its addresses."""

    virtuals: dict[str, dict[str, Any]] = field(default_factory=dict)
    reals: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    layer7: dict[str, dict[str, Any]] = field(default_factory=dict)
    held: dict[tuple[str, str], str] = field(default_factory=dict)
    floating: set[str] = field(default_factory=set)


class FakeLoadbalancerOrg(FakeBox):
    """`log` has every action of every request, `changed` those that changed something, each as its JSON."""

    def __init__(
        self, certificate: Path, key: Path, *, nodes: int = 1, manners: LbManners | None = None,
        place: Place | None = None,
    ) -> None:  # fmt: skip
        self.manners = manners or LbManners()
        self.config, self.running = LbState(), LbState()
        self.log: list[dict[str, Any]] = []
        self.changed: list[dict[str, Any]] = []
        self.requests = 0
        self.refused = 0
        """Requests without the right user, password and key."""
        self.on_change: Callable[[str, str, Any], None] = lambda method, path, body: None
        """Called before a request that changes something, and again (with the method in lower case) once it took
        effect; `path` has its actions."""
        self.faults: list[tuple[Callable[[dict[str, Any]], bool], str]] = []
        """The next request with an action that fits: see `Reply`; `busy`; `failed`: that action alone; `idle`: it says
        success and does nothing; `torn`: that action is the last one that is carried out, and the connection ends."""
        self.deaf = False
        """It reloads nothing, and says success."""
        self.errors: list[str] = []
        self._lock = threading.RLock()
        self._before: dict[tuple[str, str], Any] = {}
        page = b"<html><body>Loadbalancer.org: log in</body></html>"
        self._nodes = HttpsNodes(certificate, key, nodes, self._reply, page, place)
        self.port = self._nodes.port
        self.addresses = self._nodes.addresses

    def close(self) -> None:
        self._nodes.close()

    # --- what a test does to it

    def reboot(self) -> None:
        """What is configured is in force; nothing is lost."""
        self.running = copy.deepcopy(self.config)

    def snapshot(self) -> tuple[LbState, LbState]:
        return copy.deepcopy((self.config, self.running))

    def restore(self, taken: tuple[LbState, LbState]) -> None:
        self.config, self.running = copy.deepcopy(taken)

    def holds(self) -> set[str]:
        return set(self.running.floating)

    def lines(self) -> list[Line]:
        now, found = self.running, []
        for label, one in now.virtuals.items():
            behind = [
                (str(real["server"]), int(real["port"] or one["ports"]),
                 0 if (label, name) in now.held else int(real["weight"]))
                for name, real in now.reals[label].items() if now.held.get((label, name)) != "halt"
            ]  # fmt: skip
            keeps = int(one["persist_time"]) if one["persistent"] == "on" else 0
            how = str(one["forwardingmethod"])
            for protocol in ("tcp", "udp") if one["protocol"] == "tcpudp" else (str(one["protocol"]),):
                found.append(Line(protocol, str(one["server"]), int(one["ports"]), str(one["scheduler"]), keeps, how,
                                  tuple(behind)))  # fmt: skip
        return found

    # --- requests

    def _reply(self, node: int, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        with self._lock:
            self.requests += 1
            if (method, path) != ("POST", "/api/v2/"):
                self.errors.append(f"{method} {path}")
                return Reply(404, b"")
            if not self._known(headers):
                self.refused += 1
                return Reply(401, b"Unauthorized", headers={"WWW-Authenticate": 'Basic realm="lbapi"'})
            actions = json.loads(raw)["lbcli"]
            self.log += actions
            fault, at = "", -1
            for place, (fits, kind) in enumerate(self.faults):
                at = next((number for number, action in enumerate(actions) if fits(action)), -1)
                if at >= 0:
                    fault = kind
                    del self.faults[place]
                    break
            if fault in ("refuse", "busy", "page"):
                return Reply(503 if fault == "busy" else 200, b"{}", fault)
            changes = any(action["action"] not in ("list", "nodestatus") for action in actions)
            names = " ".join(action["action"] for action in actions)
            if changes:
                self.on_change("POST", names, actions)
            if fault == "torn":
                actions, fault = actions[: at + 1], "drop"
            told = self._carried_out(actions, at if fault in ("failed", "idle") else -1, fault)
            if changes:
                self.on_change("post", names, actions)
            return Reply(200, self._told(actions, told), fault)

    def _known(self, headers: Mapping[str, str]) -> bool:
        """The key comes by a header with dashes: newer servers drop a name with underscores."""
        kind, _, login = headers.get("Authorization", "").partition(" ")
        key = next((value for name, value in headers.items() if name.upper() == "X-LB-APIKEY"), "")
        try:
            return kind == "Basic" and (b64decode(login).decode(), b64decode(key).decode()) == (
                f"{ORG_USER}:{ORG_PASSWORD}", ORG_KEY
            )  # fmt: skip
        except ValueError:
            return False

    def _carried_out(self, actions: list[dict[str, Any]], at: int, fault: str) -> list[tuple[str, Any]]:
        told: list[tuple[str, Any]] = []
        for number, action in enumerate(actions):
            self._look_at(action)
            try:
                if number == at:
                    if fault == "failed":
                        raise LbRefusal("failed", "as ordered")
                    told.append(("success", None))
                    continue
                payload = self._done(dict(action))
            except LbRefusal as refusal:
                told.append((refusal.status, str(refusal)))
                if refusal.status in ("failed", "fatal", "missing") and not self.manners.goes_on:
                    break
            else:
                told.append(("success", payload))
        return told

    def _look_at(self, action: dict[str, Any]) -> None:
        """What must never reach the shell there."""
        name = action.get("action", "")
        if name not in _OPTIONS or action.keys() - _OPTIONS[name] - {"action"}:
            self.errors.append(f"not to be sent: {action}")
        for value in action.values():
            if not isinstance(value, str) or not _WORD.fullmatch(value):
                self.errors.append(f"given to a shell: {action}")

    def _done(self, action: dict[str, Any]) -> Any:
        name = action.pop("action")
        if name == "list":
            return self._dump() if action["function"] == "dumpconfig" else self._listed()
        getattr(self, "_" + name.replace("-", "_"))(action)
        self.changed.append({"action": name, **action})
        if self.manners.at_once:
            self.running = copy.deepcopy(self.config)
        return None

    def _told(self, actions: list[dict[str, Any]], told: list[tuple[str, Any]]) -> bytes:
        reading = all(action["action"] == "list" for action in actions)
        if self.manners.plain and not reading:
            lines = [f"{action.get('vip', '')}  {status}" for action, (status, _) in zip(actions, told, strict=False)]
            return "\n".join(lines).encode()
        items = []
        for action, (status, payload) in zip(actions, told, strict=False):
            item: dict[str, Any] = {"action": action["action"]} if self.manners.actions_told else {}
            item["status"] = status
            if isinstance(payload, dict):
                item |= {"config": json.dumps(payload)} if self.manners.quoted else payload
            elif payload is not None and status == "success":
                item["output"] = payload
            elif payload:
                item["message"] = payload
            items.append(item)
        if self.manners.nested:
            return json.dumps({"lbapi": [{"itteration": [{"lbcli": [item]}]} for item in items]}).encode()
        return json.dumps({"lbapi": [[{"lbcli": items if len(items) > 1 else items[0]}]]}).encode()

    # --- reading

    def _several(self, found: list[Any]) -> Any:
        return found[0] if len(found) == 1 else found

    def _dump(self) -> dict[str, Any]:
        virtuals = []
        for label, one in self.config.virtuals.items():
            reals = [{"label": name, **real} for name, real in self.config.reals[label].items()]
            check = {"type": one.get("check", "connect"), "port": one["ports"], "request": [], "command": []}
            shown = {key: self._value(value) for key, value in one.items() if key != "check"}
            shown["persistent"] = self.manners.words[0 if one["persistent"] == "on" else 1]
            virtuals.append(
                {"label": label, **shown, "fallback": {"ip": "127.0.0.1", "port": "9081"}, "masq": [],
                 "service": {"check": check},
                 "real": self._several([{key: self._value(value) for key, value in one.items()} for one in reals])}
            )  # fmt: skip
        seventh = [{"label": label, **one} for label, one in self.config.layer7.items()]
        return {
            "ldirectord": {"virtual": self._several(virtuals)} if virtuals else [],
            "haproxy": {"virtual": self._several(seventh)} if seventh else [],
        }

    def _value(self, value: Any) -> Any:
        number = self.manners.numbers and isinstance(value, str) and value.isdigit()
        return int(value) if number else [] if value == "" else value

    def _listed(self) -> Any:
        if not self.manners.addresses_told:
            return "see the web interface"
        return [{"ip": one} for one in sorted(self.config.floating)]

    # --- changes

    def _virtual(self, action: dict[str, Any]) -> str:
        label = str(action["vip"])
        if label not in self.config.virtuals:
            raise LbRefusal("missing", f"{label} is missing")
        return label

    def _real(self, action: dict[str, Any]) -> tuple[str, str]:
        label, name = self._virtual(action), str(action["rip"])
        if name not in self.config.reals[label]:
            raise LbRefusal("missing", f"{name} is missing")
        return label, name

    def _add_vip(self, action: dict[str, Any]) -> None:
        label = action["vip"]
        if label in self.config.virtuals or label in self.config.layer7:
            raise LbRefusal("exists", f"{label}  exists")
        if action["layer"] != "4" or action["protocol"] not in ("tcp", "udp", "tcpudp", "ops", "fwm"):
            raise LbRefusal("failed", "bad option")
        self.config.virtuals[label] = {
            "server": action["ip"], "ports": action["ports"], "protocol": action["protocol"],
            "forwardingmethod": action["forwarding"], "scheduler": "wlc", "persistent": "on", "persist_time": "300",
            "granularity": "255.255.255.255",
        }  # fmt: skip
        self.config.reals[label] = {}
        if self.manners.vip_brings_address:
            self.config.floating.add(action["ip"])

    def _edit_vip(self, action: dict[str, Any]) -> None:
        one = self.config.virtuals[self._virtual(action)]
        if action.get("scheduler", "wlc") not in ("wlc", "wrr", "dh"):
            raise LbRefusal("failed", "no such scheduler")
        if action.get("check_type", "connect") not in ("negotiate", "connect", "ping", "external", "off", "on"):
            raise LbRefusal("failed", "no such check")
        names = {"forwarding": "forwardingmethod", "check_type": "check"}
        one.update({names.get(key, key): value for key, value in action.items() if key not in ("vip", "check_port")})

    def _delete_vip(self, action: dict[str, Any]) -> None:
        label = self._virtual(action)
        address = self.config.virtuals.pop(label)["server"]
        del self.config.reals[label]
        self.config.held = {key: how for key, how in self.config.held.items() if key[0] != label}
        others = (*self.config.virtuals.values(), *self.config.layer7.values())
        if self.manners.vip_brings_address and not any(one["server"] == address for one in others):
            self.config.floating.discard(address)

    def _weight(self, action: dict[str, Any]) -> str:
        weight = str(action["weight"])
        if not weight.isdigit() or int(weight) > 65_535 or (weight == "0" and not self.manners.takes_zero):
            raise LbRefusal("failed", f"no weight: {weight}")
        return weight

    def _add_rip(self, action: dict[str, Any]) -> None:
        label, name = self._virtual(action), action["rip"]
        behind = self.config.reals[label]
        if name in behind or any(one["server"] == action["ip"] for one in behind.values()):
            raise LbRefusal("exists", f"{name}  exists")
        behind[name] = {"server": action["ip"], "port": "", "weight": self._weight(action), "minconns": "0",
                        "maxconns": "0"}  # fmt: skip

    def _edit_rip(self, action: dict[str, Any]) -> None:
        label, name = self._real(action)
        self.config.reals[label][name]["weight"] = self._weight(action)

    def _delete_rip(self, action: dict[str, Any]) -> None:
        label, name = self._real(action)
        del self.config.reals[label][name]
        self.config.held.pop((label, name), None)

    def _hold(self, action: dict[str, Any], how: str) -> None:
        key = self._real(action)
        self.config.held[key] = how
        if self.manners.halts_show:
            real = self.config.reals[key[0]][key[1]]
            self._before.setdefault(key, real["weight"])
            real["weight"] = "0"

    def _halt(self, action: dict[str, Any]) -> None:
        self._hold(action, "halt")

    def _drain(self, action: dict[str, Any]) -> None:
        self._hold(action, "drain")

    def _online(self, action: dict[str, Any]) -> None:
        key = self._real(action)
        self.config.held.pop(key, None)
        if key in self._before:
            self.config.reals[key[0]][key[1]]["weight"] = self._before.pop(key)

    def _add_floating_ip(self, action: dict[str, Any]) -> None:
        if action["ip"] in self.config.floating:
            raise LbRefusal("exists", f"{action['ip']}  exists")
        self.config.floating.add(action["ip"])

    def _delete_floating_ip(self, action: dict[str, Any]) -> None:
        if action["ip"] not in self.config.floating:
            raise LbRefusal("missing")
        self.config.floating.discard(action["ip"])

    def _reload_ldirectord(self, action: dict[str, Any]) -> None:
        if self.deaf:
            return
        floating = self.running.floating
        self.running = copy.deepcopy(self.config)
        if not self.manners.vip_brings_address:
            self.running.floating = floating

    def _reload_heartbeat(self, action: dict[str, Any]) -> None:
        if not self.deaf:
            self.running.floating = set(self.config.floating)
