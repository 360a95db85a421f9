"""A farm in memory: director, real servers and the wire between them, at the level of `dsrwizard.core.ports`.

All ports read and change one `World`, so that what is applied is what is seen, probed and counted afterwards. Tests
bring about a fault by setting the state that would cause it in a real network.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from typing import Literal

from dsrwizard.core.model.answers import Arrival, Claim, Told
from dsrwizard.core.model.bird import BirdFacts
from dsrwizard.core.model.changes import Change, FileChange, ServiceKey, torn
from dsrwizard.core.model.deployment import Client, Deployment, Director, EngineName, RealServer, Service, Vip
from dsrwizard.core.model.director_facts import DirectorLook
from dsrwizard.core.model.errors import (
    ConnectTimeout,
    HostKeyChanged,
    HostKeyUnknown,
    LoginRefused,
)
from dsrwizard.core.model.facts import (
    Listener,
    Route,
    VirtualService,
)
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.keepalived import KeepalivedFacts
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.ports import Asker, HostKeyQuestion, SecretQuestion
from tests.fakes.director import FakeDirector
from tests.fakes.host import Link, Machine, Refused, linux_sysctls
from tests.fakes.ipvs import FakeIpvs
from tests.fakes.server import FakeServer
from tests.fakes.server_state import ServerState
from tests.fakes.wire import FakeHearing, FakeWire

FINGERPRINT = "SHA256:yPFrs8SPbv0TT0nBqVxZ0J7Zg6XKDGUzAfEcyZ0hH0s"


class World:
    """The state everything reads. `lock` guards it: ports are called from many threads."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.servers: dict[str, ServerState] = {}
        self.machine = Machine("director", "02:00:0a:00:00:02", {})
        self.ipvs = FakeIpvs()
        self.ipvs_problem = ""
        self.ipvs_next = ""
        self.privileged = True
        self.strangers: dict[str, list[str]] = {}
        """Address → MACs of hosts outside the deployment that answer for it."""
        self.box: Callable[[str, int], list[str]] | None = None
        """VIP and port → the RIPs that the stranger which has the VIP sends a packet on to, unchanged."""
        self.routers: dict[str, str] = {"10.0.0.1": "02:00:0a:00:00:01", "fd00::1": "02:00:0a:00:00:01"}
        """Gateway → its MAC: they answer who-has."""
        self.told: dict[str, list[Told]] = {}
        """Address → what other MACs than the one named say of it."""
        self.boot: DirectorBoot | None = None
        """What a look at what a boot of the director brings back shows; None: it is not looked at."""
        self.saved: dict[str, tuple[VirtualService, ...]] = {}
        """Deployment → the table in the file that a boot reads."""
        self.guards: dict[str, GuardState] = {}
        self.bird: BirdFacts | None = None
        self.signs: set[str] = set()
        """By which BIRD announces."""
        """Deployment → what its guard wrote last."""
        self.guarded = False
        self.keepalived_runs: bool | None = True
        self.keepalived_seen: KeepalivedFacts | None = None
        """A guard is at work."""
        self.running: list[str] = []
        """Units of the director that were started, in order."""
        self.done: list[tuple[str, Change]] = []
        """Every change carried out, as (host, change): a run that touches nothing adds nothing."""
        self.dumps = 0
        self.ready = False
        """Somebody asked the director to have what changes need."""
        self.foreign_sources_lost = False
        """The director's port on the switch lets out no frames with somebody else's address as sender."""
        self.source_port = 40_000
        self.arrived: list[Arrival] = []
        """First packets of connections that came in at the director."""
        self.looked: Callable[[DirectorLook, Sequence[Arrival]], DirectorLook] = lambda seen, lost: seen
        """What a look at the director's own path shows, of a healthy one."""
        self.hearings: list[FakeHearing] = []
        """Listeners that are open."""
        self._gates: dict[str, threading.Event] = {}
        self._waiting: dict[str, threading.Event] = {}

    @classmethod
    def lab(cls, servers: int = 3, *, ipv6: bool = False) -> World:
        """The network of the lab: director 10.0.0.2 on eth0, web1… from 10.0.0.101, each listening on *:80, the
        router 10.0.0.1. With `ipv6` everyone also has fd00::<last number>."""
        world = cls()
        prefix = 24 if servers < 150 else 16
        world.machine = Machine(
            name="director",
            mac="02:00:0a:00:00:02",
            links={
                "lo": Link("", addresses={"127.0.0.1": 8, "::1": 128}),
                "eth0": Link("02:00:0a:00:00:02", addresses={"10.0.0.2": prefix} | ({"fd00::2": 64} if ipv6 else {})),
            },
            sysctls=linux_sysctls("lo", "eth0"),
            routes=[Route(gateway="10.0.0.1", interface="eth0")],
        )
        world.load_ipvs()
        for number in range(1, servers + 1):
            high, low = divmod(100 + number, 250)
            rip, mac = f"10.0.{high}.{low}", f"02:00:0a:00:{high:02x}:{low:02x}"
            rip6 = f"fd00::{100 + number}"
            world.add_server(f"web{number}", rip, mac, rip6 if ipv6 else None, prefix)
        return world

    def add_server(self, name: str, rip: str, mac: str, rip6: str | None = None, prefix: int = 24) -> ServerState:
        """A healthy Linux machine in the director's network, with a web server and a UDP echo on every address."""
        state = ServerState(
            machine=Machine(
                name=name,
                mac=mac,
                links={
                    "lo": Link("", addresses={"127.0.0.1": 8, "::1": 128}),
                    "eth0": Link(mac, addresses={rip: prefix} | ({rip6: 64} if rip6 else {})),
                },
                sysctls=linux_sysctls("lo", "eth0"),
                listeners=[
                    Listener(protocol="tcp", address="*", port=80, process="python3"),
                    Listener(protocol="udp", address="*", port=7, process="python3"),
                    Listener(protocol="tcp", address="*", port=22, process="sshd"),
                ],
                routes=[Route(gateway="10.0.0.1", interface="eth0")],
            ),
            rips=(rip, rip6) if rip6 else (rip,),
        )
        self.servers[name] = state
        return state

    def deployment(
        self,
        *,
        vip: str = "10.0.0.10",
        services: tuple[Service, ...] | None = None,
        name: str = "shop",
        engine: EngineName = "netlink",
    ) -> Deployment:
        """A deployment of all servers of this world behind one VIP."""
        return Deployment(
            name=name,
            director=Director(interface="eth0", engine=engine),
            vips=(Vip(address=vip, services=services or (Service(protocol="tcp", port=80),)),),
            servers=tuple(
                RealServer(
                    name=state.name,
                    address=state.rips[0],
                    address6=state.rips[1] if len(state.rips) > 1 else None,
                    user="root",
                )
                for state in self.servers.values()
            ),
        )

    # -- doors to the outside, as the engine wants them

    def open_server(self, server: RealServer, asker: Asker) -> FakeServer:
        """A real server's port. It connects when first used, and again after the connection was lost."""
        return FakeServer(self, lambda: self._login(server.name, server, asker))

    def director(self) -> FakeDirector:
        return FakeDirector(self)

    def wire(self) -> FakeWire:
        return FakeWire(self)

    # -- what a test does to the world

    def requests(
        self, count: int, vip: str = "10.0.0.10", port: int = 80, protocol: Literal["tcp", "udp"] = "tcp"
    ) -> list[str]:
        """Clients' requests to a VIP: who answered each, empty where nobody did."""
        with self.lock:
            return [self._request(ServiceKey(vip, protocol, port)) for _ in range(count)]

    def claim(
        self,
        address: str,
        mac: str,
        kind: Literal["reply", "request", "gratuitous", "advertisement", "solicitation"] = "gratuitous",
        by: str = "",
    ) -> None:
        """A machine with this MAC names the address as its own, or another (`by`) does so in its name; whoever listens
        hears it before this returns."""
        with self.lock:
            hearings = list(self.hearings)
        for hearing in hearings:
            hearing.take(Claim(at=time.time(), address=address, mac=mac, by=by, kind=kind))

    def asks(self, server: str, vip: str = "10.0.0.10") -> None:
        """A real server answers a client from the VIP and has to ask for its router first: without the guard
        (ip-sysctl, arp_announce below 2) the question names the VIP as sender."""
        machine = self.servers[server].machine
        names = (f"net.ipv4.conf.{where}.arp_announce" for where in ("all", machine.ingress))
        if machine.holds(vip) is not None and max(int(machine.sysctls.get(name, "0")) for name in names) < 2:
            self.claim(vip, machine.mac, "request")

    def silence(self, host: str) -> bool:
        """So much time passes that a server takes back what nobody proved; whether it had anything armed."""
        state = self.servers[host]
        with self.lock:
            if not state.armed:
                return False
            for change in reversed(state.begun):
                if isinstance(change, FileChange) and torn(state.machine.files.get(change.path), change.new):
                    del state.machine.files[change.path]
                    continue
                with contextlib.suppress(Refused):  # it had begun and was not carried out
                    state.machine.change(change.inverse())
            state.armed, state.begun, state.reverted = 0.0, [], int(time.time())
            return True

    def hold(self, host: str) -> None:
        """The next step on this host waits, as a slow machine does, until `release`. `dump` holds the reading of IPVS
        counters."""
        self._gates[host] = threading.Event()
        self._waiting[host] = threading.Event()

    def held(self, host: str, timeout: float = 60.0) -> bool:
        """Waits until the host has come to the step that is held."""
        return self._waiting[host].wait(timeout)

    def release(self, host: str) -> None:
        gate = self._gates.pop(host, None)
        if gate is not None:
            gate.set()

    def load_ipvs(self) -> None:
        """The kernel module is loaded: the tables can be read and the settings are there."""
        self.machine.modules.add("ip_vs")
        self.ipvs_problem = self.ipvs_next = ""
        self.machine.sysctls |= {
            f"net.ipv4.vs.{key}": "0"
            for key in ("conntrack", "sloppy_tcp", "expire_nodest_conn", "expire_quiescent_template")
        }

    def unload_ipvs(self) -> None:
        """The kernel has IPVS as a module that is not loaded."""
        self.machine.modules.discard("ip_vs")
        self.ipvs_problem, self.ipvs_next = "The kernel module ip_vs is not loaded.", "Load it: sudo modprobe ip_vs"
        for key in [key for key in self.machine.sysctls if key.startswith("net.ipv4.vs.")]:
            del self.machine.sysctls[key]

    # -- inside

    def pass_gate(self, host: str) -> None:
        gate = self._gates.get(host)
        if gate is not None:
            self._waiting[host].set()
            end = time.monotonic() + 120  # a test that forgets to release ends all the same
            while not gate.wait(0.2):  # short: a signal that comes just before a sleep is heeded when that ends
                if time.monotonic() > end:
                    return

    def at(self, address: str) -> ServerState | None:
        """The reachable server that has this address of its own."""
        return next((s for s in self.servers.values() if s.reachable and address in s.rips), None)

    def _login(self, name: str, target: RealServer | Client, asker: Asker) -> ServerState:
        state = next((state for state in self.servers.values() if target.address in state.rips), None)
        if state is None or not (state.reachable and state.ssh):
            raise ConnectTimeout(
                f"{name} does not answer at {target.address} port {target.port or 22}.",
                "No answer within 8 seconds.",
                "Check that the machine is up and that its address is right, then retry.",
            )
        if state.key == "changed":
            raise HostKeyChanged(
                f"{name} shows another host key than the one known.",
                "The machine was reinstalled, or another machine intercepts the connection.",
                f"If it was reinstalled: ssh-keygen -R {target.address}",
            )
        if state.key == "unknown":
            question = HostKeyQuestion(
                host=name, address=target.address, key_type="ssh-ed25519", fingerprint=FINGERPRINT
            )
            if not asker.accept_key(question):
                raise HostKeyUnknown(
                    f"The host key of {name} is not known and was not accepted.", "", "Compare it, then retry."
                )
            state.key = "known"
        self._password(name, state, target, asker)
        state.sessions += 1
        return state

    def _password(self, name: str, state: ServerState, target: RealServer | Client, asker: Asker) -> None:
        if state.password is None:
            return
        for attempt in range(3):
            question = SecretQuestion(kind="password", host=name, user=target.user or "root", refused=attempt > 0)
            secret = asker.secret(question)
            if secret is None:
                break
            if secret.reveal() == state.password:
                return
        raise LoginRefused(
            f"{name} refused the login of {target.user or 'root'}.", "No password was accepted.", "Retry."
        )

    def _request(self, key: ServiceKey) -> str:
        virtual = self.ipvs.table.get(key)
        if virtual is None or self.machine.holds(key.address) is None:
            return ""
        entry = virtual.next()
        if entry is None:
            return ""
        for counters in (virtual.counters, entry.counters):
            counters.request(packets=6, size=480)
        entry.inactive += 1
        answered = self._answers(entry.address, key)
        self.ipvs.connected(key, entry, answered=bool(answered))
        return answered

    def _answers(self, rip: str, key: ServiceKey) -> str:
        state = self.at(rip)
        if (
            state is None
            or state.machine.holds(key.address) is None
            or state.drops(key.address, key.protocol, key.port)
        ):
            return ""
        return state.name if state.machine.listens(key.address, key.protocol, key.port) else ""
