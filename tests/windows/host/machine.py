"""A modelled Windows host as one thing: its state, the PowerShell that runs on it, and what the network sees of it."""

from __future__ import annotations

import copy
import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from ipaddress import ip_address, ip_network
from typing import Any
from uuid import uuid4

from tests.windows.host import winrm
from tests.windows.host.cmdlets import CMDLETS
from tests.windows.host.dotnet import static
from tests.windows.host.files import Files
from tests.windows.host.model import (
    BY_HAND,
    PREFERRED,
    VERSIONS,
    Adapter,
    Device,
    Event,
    Process,
    Rule,
    Site,
    fresh_loopback,
    nic,
    pseudo,
)
from tests.windows.host.native import native
from tests.windows.host.processes import KILLED, Processes, Script
from tests.windows.host.tasks import Schedule
from tests.windows.host.typed import by_index
from tests.windows.pwsh import NotModelled, PowerShellError, Static

ANY, CHANGING = "any", "changing"
BUSY = "The network was busy."


class WindowsHost(Processes):
    """`version` as in VERSIONS. Attributes are the host's state and may be changed by tests to break it."""

    def __init__(
        self,
        version: str = "2022",
        *,
        address: str = "10.0.0.101",
        gateway: str = "10.0.0.1",
        mac: str = "02:00:0a:00:00:65",
    ) -> None:
        self.version = version
        self.kernel, self.powershell = (VERSIONS | BY_HAND)[version]
        self.modern = self.powershell[0] >= 3
        self.adapters: list[Adapter] = [nic(address, gateway=gateway, mac=mac)]
        self.pseudo = pseudo()
        self.profiles = {1: True, 2: True, 4: True}
        self.network_profile = 1
        """The profile of the NIC's network: 1 domain, 2 private, 4 public."""
        self.block_all = False
        self.policy_state = 0
        self.firewall_service = True
        """Whether the service MpsSvc runs; without it nobody gets at the rules."""
        self.rules = [
            Rule("Windows Remote Management (HTTP-In)", ports="5985"),
            Rule("File and Printer Sharing (Echo Request - ICMPv4-In)", protocol=1),
        ]
        self.sites: list[Site] | None = None
        self.listen: list[str] = []
        self.certificates: dict[str, tuple[str, str, str]] = {}
        self.listeners: list[tuple[str, str, int]] = [("tcp", "0.0.0.0", 80), ("tcp", "0.0.0.0", 5985)]
        self.half_open: list[tuple[str, int, str, int]] = []
        self.events: list[Event] = []
        self.neighbours: dict[str, str] = {}
        """The ARP cache: address → MAC."""
        self.restriction = ""
        """A policy that forbids the loopback adapter, by its name."""
        self.public = False
        """Whether a network counts as Public, so that WinRM is not configured."""
        self.added: dict[str, int] = {}
        """Values that `reg add` wrote."""
        self.policies: dict[str, int] = {}
        """Switches for installing devices, and the entries of their lists."""
        self.policy_lists: dict[str, list[str]] = {}
        self.certificate_values: dict[str, dict[str, Any]] = {}
        """Other values of an entry of http.sys, by its key and then by name."""
        self.sni_certificates: dict[str, tuple[str, str, str]] = {}
        self.central_store: list[str] = []
        self.log_problem = ""
        """What reading the System log ends with."""
        self.rule_seconds = 0.0
        """How long it takes to read one firewall rule."""
        self.elevated = True
        self.wow64 = False
        self.skip_as_source = True
        self.now = datetime(2026, 1, 5, 12, 0, 0)
        self.boot = "20260105080000.000000+060"
        self.guid = str(uuid4())
        """MachineGuid; empty: the registry has none."""
        self.not_modelled: list[str] = []
        self.broken: dict[str, str] = {}
        """Cmdlet or native command in lower case → the error it ends with, as a host that fails there."""
        self.programs: list[tuple[str, list[str], int]] = []
        """Every program that ran, its words, and its exit status."""
        self.calls: Counter[str] = Counter()
        """How often each cmdlet, program or method was called, in lower case; `ANY` is all of them, `CHANGING` those
        that may change something."""
        self.breaks_at: set[tuple[str, int]] = set()
        """(a name as in `calls`, n): the n-th call of it fails and does nothing."""
        self.breaks_after: set[tuple[str, int]] = set()
        """As `breaks_at`, for cmdlets and programs: it fails though it did what it was told."""
        self.questions: list[str] = []
        """What the last script asked, in order."""
        self.fails_at = 0
        """The n-th thing that a script asks fails, whatever it is."""
        self.changed: Callable[[], None] = lambda: None
        self.winrm = winrm.fresh(self.modern)
        self.devices: list[Device] = []
        """Devices that a script registered, as the registry has them."""
        self.processes: list[Process] = []
        """Processes of powershell.exe that other people's scripts run in."""
        self.locked = ""
        """The mutex of dsrwizard: empty, `held`, `denied` (another account has it, and does not share it), or
        `abandoned` by somebody who was killed while another waited."""
        self.dies_at: set[tuple[str, int]] = set()
        """As `breaks_at`: the script is killed there, before it took effect. Nothing of it happens any more."""
        self.dies_after: set[tuple[str, int]] = set()
        """As `dies_at`, after it took effect."""
        self.killed = False
        """Whether the last script was."""
        self.files = Files()
        self.schedule = Schedule()
        self.uptime = 12_600.0
        """Seconds since the boot, which no clock change moves."""
        self._locker: tuple[Script, object] | None = None
        self._scripts: list[Script] = []
        self._started = 0
        self._index = 20
        self._classes: set[str] = set()

    # -- for tests

    def state(self) -> dict[str, Any]:
        """Everything that may be set, as a document to compare."""
        return {
            "adapters": [dataclasses.asdict(adapter) for adapter in self.adapters],
            "devices": [dataclasses.asdict(device) for device in self.devices],
            "pseudo": dataclasses.asdict(self.pseudo),
            "profiles": dict(self.profiles),
            "rules": [dataclasses.asdict(rule) for rule in self.rules],
            "sites": None if self.sites is None else [dataclasses.asdict(site) for site in self.sites],
            "listen": list(self.listen),
            "certificates": copy.deepcopy(self.certificates),
        }

    def asked(self, question: dict[str, Any]) -> None:
        """Hears of a question. What no Windows fails at is not counted."""
        words = [str(question[key]) for key in ("ask", "name", "type", "member") if key in question]
        if question["ask"] == "static" or words[0] == "set":
            return
        self.questions.append(" ".join(words))
        if len(self.questions) == self.fails_at:
            raise PowerShellError(BUSY)

    def called(self, name: str, *, changing: bool = True) -> None:
        """Counts a call. Raises PowerShellError where it is one of `breaks_at`."""
        if self._script is not None and self._script.dead:
            raise PowerShellError(KILLED)
        self.calls.update(_names(name, changing))
        self._killed(self.dies_at, name, changing)
        self._broken_off(self.breaks_at, name, changing)

    def done(self, name: str, *, changing: bool = True) -> None:
        """After a call took effect. Raises PowerShellError where it is one of `breaks_after`."""
        self._killed(self.dies_after, name, changing)
        self._broken_off(self.breaks_after, name, changing)

    def _killed(self, where: set[tuple[str, int]], name: str, changing: bool) -> None:
        if any((one, self.calls[one]) in where for one in _names(name, changing)):
            assert self._script is not None
            self._script.dead = True
            raise PowerShellError(KILLED)

    def _broken_off(self, where: set[tuple[str, int]], name: str, changing: bool) -> None:
        if any((one, self.calls[one]) in where for one in _names(name, changing)):
            raise PowerShellError(BUSY)

    def run(self, script: str, *, environment: Mapping[str, str] | None = None) -> tuple[int, list[str], list[str]]:
        """Exit status, lines of output, lines of error. What is not modelled is kept in `not_modelled` and raised."""
        out: list[str] = []
        err: list[str] = []
        status = self.execute(script, out.append, err.append, environment=environment)
        return status, out, err

    def execute(
        self,
        script: str,
        out: Callable[[str], None],
        err: Callable[[str], None],
        *,
        environment: Mapping[str, str] | None = None,
    ) -> int:
        """Runs a script; lines are handed over as they come. `environment`: variables of this process alone."""
        self.questions = []
        self.killed = False
        one = Script()
        try:
            return self._carried(script, one, out, err, environment)
        except NotModelled as missing:
            self.not_modelled.append(str(missing))
            err(f"not modelled: {missing}")
            raise
        finally:
            self.killed = one.dead
            for process in self.waiting():
                if process.task not in self.schedule.tasks:
                    process.go_on(1.0)  # it sees that nothing is left to do
            self.changed()

    # -- what a script reaches (Machine)

    def cmdlet(self, name: str, parameters: dict[str, Any], positional: list[Any]) -> list[Any]:
        known = CMDLETS.get(name.lower())
        if known is None:
            raise NotModelled(f"cmdlet {name}")
        if known.since > self.powershell[0]:
            raise PowerShellError(
                f"The term '{name}' is not recognized as the name of a cmdlet, function, script file."
            )
        parameters = by_index(self, name, parameters)
        unknown = set(parameters) - known.parameters
        if unknown:
            raise PowerShellError(f"{name}: A parameter cannot be found that matches parameter name '{min(unknown)}'.")
        if positional and not known.positional:
            raise NotModelled(f"{name} with positional arguments")
        if name.lower() in self.broken:
            raise PowerShellError(self.broken[name.lower()])
        self.called(name, changing=known.changes)
        if known.changes and not self.elevated:
            raise PowerShellError("Access is denied.")
        arguments = dict(parameters)
        if positional:
            arguments[known.positional] = positional[0]
        found = known.run(self, arguments)
        self.done(name, changing=known.changes)
        return found

    def native(self, name: str, arguments: list[str]) -> tuple[int, list[str]]:
        if name.lower() in self.broken:
            return 1, [self.broken[name.lower()]]
        changing = "list" not in arguments
        try:
            self.called(name, changing=changing)
            ended = native(self, name, arguments)
            self.done(name, changing=changing)
        except PowerShellError as error:
            return 1, [str(error)]
        self.programs.append((name, arguments, ended[0]))
        return ended

    def static(self, name: str) -> Static:
        return static(self, name)

    def cmdlets(self) -> frozenset[str]:
        return frozenset(CMDLETS)

    def variables(self) -> dict[str, str]:
        found = {
            "windir": r"C:\Windows",
            "COMPUTERNAME": "WIN1",
            "PROCESSOR_ARCHITECTURE": "x86" if self.wow64 else "AMD64",
        }
        return found | ({"PROCESSOR_ARCHITEW6432": "AMD64"} if self.wow64 else {})

    def add_type(self, source: str) -> list[str]:
        known = {"DsrLoopback", "DsrInterface"}
        found = {name for name in known if f"public static class {name}" in source}
        if not found:
            raise NotModelled("a class for Add-Type")
        self._classes |= found
        return sorted(found)

    def has_class(self, name: str) -> bool:
        return name in self._classes

    # -- devices

    def register(self, mark: str) -> str:
        """As `DsrLoopback.Register`: the new device's instance id. It has no driver, so it is no adapter yet."""
        if self.wow64:
            raise PowerShellError("DIF_REGISTERDEVICE failed with 0xE0000235")
        if not self.elevated:
            raise PowerShellError("DIF_REGISTERDEVICE failed with 0x00000005")
        assert re.fullmatch(r"[!-+\--~]{1,200}", mark), "a hardware id has no blank and no comma"
        self.called("register")
        taken = {adapter.pnp for adapter in self.adapters} | {device.id for device in self.devices}
        count = len([one for one in taken if one.startswith("ROOT\\NET\\")])
        while rf"ROOT\NET\{count:04d}" in taken:
            count += 1
        self.devices.append(Device(rf"ROOT\NET\{count:04d}", ["*MSLOOP", mark]))
        self.done("register")
        return self.devices[-1].id

    def bind(self, pnp: str) -> None:
        """As `DsrLoopback.Bind`: the device gets its driver and is an adapter from now on."""
        if self.restriction:
            raise PowerShellError("DiInstallDevice failed with 0xE0000248")
        if "install" in self.broken:
            raise PowerShellError(self.broken["install"])
        self.called("bind")
        if pnp not in [device.id for device in self.devices]:
            raise PowerShellError("SetupDiOpenDeviceInfo failed with 0xE000020B")
        self._index += 1
        adapter = fresh_loopback(self._index, self._index + 1, self.version, int(pnp[-4:]))
        self.adapters.append(adapter)
        self.done("bind")

    def remove(self, pnp: str) -> None:
        """As `DsrLoopback.Remove`."""
        if not self.elevated:
            raise PowerShellError("DIF_REMOVE failed with 0x00000005")
        self.called("remove")
        adapters = [adapter for adapter in self.adapters if adapter.pnp == pnp]
        devices = [device for device in self.devices if device.id == pnp]
        if not adapters and not devices:
            raise PowerShellError("SetupDiOpenDeviceInfo failed with 0xE000020B")
        self.adapters = [adapter for adapter in self.adapters if adapter not in adapters]
        self.devices = [device for device in self.devices if device not in devices]
        self.done("remove")

    def sleep(self, milliseconds: int) -> None:
        if self._script is not None and self._script.task is not None:
            self._script.task.sleep(milliseconds / 1000)
        self._pass(milliseconds / 1000)
        for adapter in self.adapters:
            for address in adapter.addresses:
                address.state = PREFERRED

    def by_index(self, index: int) -> Adapter:
        for adapter in [*self.adapters, self.pseudo]:
            if adapter.index == index:
                return adapter
        raise PowerShellError(f"No matching objects found with property 'InterfaceIndex' equal to '{index}'.")

    # -- what the network sees

    @property
    def wire(self) -> Adapter:
        """The adapter the director's frames come in by."""
        return self.adapters[0]

    def holds(self, vip: str) -> list[Adapter]:
        found = []
        for adapter in [*self.adapters, self.pseudo]:
            entry = adapter.holding(vip)
            if entry is not None and entry.state == PREFERRED and adapter.up:
                found.append(adapter)
        return found

    def accepts(self, vip: str) -> bool:
        """Whether a packet for the VIP that comes in by the network is taken: the VIP is there, and the weak-host model
        is on where the packet passes."""
        family = ip_address(vip).version
        for adapter in self.holds(vip):
            if adapter is self.wire:
                return True
            row, own = self.wire.rows[family], adapter.rows[family]
            if row.weak_receive and own.weak_receive and own.weak_send:
                return True
        return False

    def leaks(self, vip: str) -> bool:
        """Whether it answers ARP for the VIP: only for addresses of the adapter that was asked."""
        return self.wire in self.holds(vip)

    @property
    def profile_types(self) -> int:
        """The profiles in force, added up: one for each network; on 2008 (not R2) one for all of them, the strictest. A
        network without a gateway is not identified, and so public."""
        unidentified = any(
            not adapter.gateways and any("." in one.address for one in adapter.addresses)
            for adapter in self.adapters
            if adapter.up and not adapter.disabled
        )
        if not unidentified:
            return self.network_profile
        return 4 if self.version == "2008" else self.network_profile | 4

    def lets_in(self, address: str, port: int) -> bool:
        """Whether the firewall lets in a TCP connection to an address of the NIC."""
        profile = 4 if self.version == "2008" and self.profile_types == 4 else self.network_profile
        return not self.profiles[profile] or any(
            rule.enabled
            and (rule.direction, rule.action) == (1, 1)
            and rule.profiles & profile
            and rule.protocol in (6, 256)
            and _port(rule.ports, port)
            and (rule.addresses == "*" or ip_address(address) in ip_network(rule.addresses, strict=False))
            for rule in self.rules
        )

    def admits(self, vip: str, protocol: str, port: int) -> bool:
        """Whether the firewall lets a client in on the public profile."""
        if not self.profiles[4]:
            return True
        if self.block_all or self.policy_state == 1:
            return False
        number = {"tcp": 6, "udp": 17}[protocol]
        for rule in self.rules:
            if rule.direction != 1 or rule.action != 1 or not rule.enabled or not rule.profiles & 4:
                continue
            if rule.protocol not in (number, 256) or not _port(rule.ports, port):
                continue
            if rule.service or rule.interfaces or rule.types != "All" or rule.secure or rule.remote != "*":
                continue  # for others than our clients
            if rule.application not in (None, "System"):
                continue
            if rule.addresses == "*" or any(
                ip_address(vip) in ip_network(part, strict=False) for part in rule.addresses.split(",")
            ):
                return True
        return False

    def listening(self) -> list[tuple[str, str, int]]:
        """Every listening socket: those of http.sys by sites and listen list, and the others."""
        found = list(self.listeners)
        for site in self.sites or ():
            for binding in site.bindings if site.started else ():
                head, _, _ = binding.information.rpartition(":")
                address, _, port = head.rpartition(":")
                address = address.strip("[]")
                everywhere = address in ("*", "0.0.0.0", "::")
                addresses = (self.listen or ["0.0.0.0", "::"]) if everywhere else [address]
                anywhere = "::" if ":" in address else "0.0.0.0"
                if not everywhere and self.listen and not {address, anywhere} & set(self.listen):
                    addresses = []
                found += [("tcp", one, int(port)) for one in addresses]
        return list(dict.fromkeys(found))

    def serves(self, vip: str, protocol: str, port: int) -> bool:
        """Whether something listens for the VIP."""
        wanted = ip_address(vip)
        anywhere = "0.0.0.0" if wanted.version == 4 else "::"
        return any(
            kind == protocol and number == port and (address == anywhere or ip_address(address) == wanted)
            for kind, address, number in self.listening()
        )


def _names(name: str, changing: bool) -> list[str]:
    return [name.lower(), ANY, *([CHANGING] if changing else [])]


def _port(ports: str, wanted: int) -> bool:
    return ports == "*" or str(wanted) in ports.split(",")
