"""After a boot of the director: settings, table, VIPs and their announcement, from the file alone, in this order.

A VIP without a table answers clients with RST, so the table is there first. What is there already stays as it is: a
service or a VIP of others is not touched. A VIP that another machine answers for is not taken from it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from backends.director.changes import DirectorChanges
from backends.netlink.ipvs import Ipvs, service_name
from dsrwizard import files
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.changes import AddressChange, AnnounceChange, ModuleChange, SysctlChange
from dsrwizard.core.model.errors import LookError, UsageError
from dsrwizard.core.model.facts import Interface
from dsrwizard.core.model.restoring import MAX_BYTES, SavedDirector, SavedService, SavedVip, read, saved_path
from dsrwizard.core.model.values import parsed

WAIT_SECONDS = 60.0
"""For the interface to be up with an address of its own: a network manager may wait for DHCP."""
ASK_SECONDS = 1.0
SETTLE_SECONDS = 1.0
"""In which a network manager that sets the interface up would take a VIP again."""
_ROUNDS = 3
_PAUSE = 0.1
_NOBODY_ASKS = "lo"
"""Where VIPs are that BIRD announces: no neighbour asks for them by ARP, and other directors have them, too."""
Say = Callable[[str], None]


def restore(name: str, say: Say, root: Path = Path("/")) -> bool:
    """Brings a deployment back on this machine; `say` gets a line for what was done and what was left. False: a VIP is
    held by another machine, and was left to it. Raises DsrError."""
    saved = load(name, root)
    ipvs = Ipvs()
    try:
        work = _Restoring(saved, ipvs, say, root)
        work.kernel()
        for service in saved.services:
            work.service(service)
        return work.vips()
    finally:
        ipvs.close()


def load(name: str, root: Path) -> SavedDirector:
    """The file. Raises UsageError."""
    path = root / saved_path(name).lstrip("/")
    try:
        return read(files.read(path, MAX_BYTES, ours=True), name)
    except FileNotFoundError:
        raise UsageError(
            f"{saved_path(name)} is missing.", "No deployment of this name was applied on this director.",
            "Run `dsrwizard apply` on this director first.",
        ) from None  # fmt: skip
    except OSError as error:
        raise UsageError(
            f"{saved_path(name)} cannot be read.", f"The system says: {error.strerror or error}.", "Run it as root."
        ) from None


class _Restoring:
    def __init__(self, saved: SavedDirector, ipvs: Ipvs, say: Say, root: Path) -> None:
        self._saved, self._ipvs, self._say = saved, ipvs, say
        self._changes = DirectorChanges(ipvs, root)

    def kernel(self) -> None:
        """The module before its settings, which do not exist without it."""
        if self._saved.services:
            self._changes.carry_out(ModuleChange(module="ip_vs"))
        for key, value in self._saved.settings.items():
            present = self._changes.sysctl(key)
            if present is not None and present != value:
                self._changes.carry_out(SysctlChange(key=key, old=present, new=value))
                self._say(f"{key} = {value}")

    def service(self, service: SavedService) -> None:
        """A service with its real servers. One that is there with other settings is somebody else's by now."""
        name = service_name(service.key)
        present = self._ipvs.service(service.key)
        if present is not None and present.state != service.state:
            self._say(f"The service {name} is there with other settings. It is left unchanged.")
            return
        if present is None:
            self._ipvs.add_service(service.key, service.state)
        added = 0
        for one in service.destinations:
            if present is None or present.destination(one.address, one.port) is None:
                self._ipvs.add_destination(service.key, one.address, one.port, one.state)
                added += 1
        if present is None or added:
            self._say(f"Service {name} with {len(service.destinations)} real servers, {added} of them added")

    def vips(self) -> bool:
        """The VIPs that are nowhere on this machine, once the interface is ready. A network manager that is still at
        work on the interface may take them again: they are looked for once more."""
        for _ in range(_ROUNDS):
            missing = [vip for vip in self._saved.vips if not _holder(_links(), vip)]
            if not missing:
                return True
            if not self._put(missing):
                return False
            time.sleep(SETTLE_SECONDS)
        taken = [vip.address for vip in self._saved.vips if not _holder(_links(), vip)]
        if taken:
            raise LookError(
                f"{', '.join(taken)} did not stay on {self._saved.interface}.",
                f"Another program took it away {_ROUNDS} times, probably the network manager.",
                "Look at what manages that interface; `dsrwizard apply` tells the usual ones to leave the VIP.",
            )
        return True

    def _put(self, missing: list[SavedVip]) -> bool:
        self._wait(missing)
        free = self._free(missing)
        for vip in free:
            if _holder(_links(), vip):
                continue
            interface = self._saved.interface
            self._changes.carry_out(
                AddressChange(interface=interface, address=vip.address, prefix=vip.prefix, old=False, new=True)
            )
            self._say(f"VIP {vip.address}/{vip.prefix} on {interface}")
            if interface != _NOBODY_ASKS:
                self._changes.carry_out(AnnounceChange(interface=interface, address=vip.address))
        return len(free) == len(missing)

    def _wait(self, missing: list[SavedVip]) -> None:
        """Until the interface is up and has an address of its own in each family that is needed."""
        families = {parsed(vip.address).version for vip in missing}
        vips = {parsed(vip.address) for vip in self._saved.vips}
        end = time.monotonic() + WAIT_SECONDS
        while True:
            link = next((one for one in _links() if one.name == self._saved.interface), None)
            own = {
                parsed(entry.address).version
                for entry in (link.addresses if link else ())
                if not entry.tentative and parsed(entry.address) not in vips
            }
            if link is not None and link.up and families <= own:
                return
            if time.monotonic() >= end:
                raise LookError(
                    f"The VIPs are not on {self._saved.interface} yet.",
                    f"The interface was not up with an address of its own within {WAIT_SECONDS:.0f} seconds.",
                    f"Bring {self._saved.interface} up, then run `dsrwizard restore {self._saved.deployment}`.",
                )
            time.sleep(_PAUSE)

    def _free(self, missing: list[SavedVip]) -> list[SavedVip]:
        """Those that no other machine answers for. A real server that answers for the VIP is no second director."""
        if self._saved.interface == _NOBODY_ASKS:
            return missing
        from backends.packets.owners import owners

        asked = [vip.address for vip in missing]
        found = owners(self._saved.interface, [*asked, *self._saved.rips], ASK_SECONDS)
        servers = {mac for rip in self._saved.rips for mac in found[rip].macs}
        free = []
        for vip in missing:
            others = self._others(found[vip.address], servers)
            if not others:
                free.append(vip)
        return free

    def _others(self, found: Owners, servers: set[str]) -> tuple[str, ...]:
        if found.problem:
            raise LookError(
                f"Whether another machine has {found.address} could not be asked.", found.problem,
                f"Run `dsrwizard restore {self._saved.deployment}` as root when the interface is up.",
            )  # fmt: skip
        others = tuple(mac for mac in found.where if mac not in servers)
        if others:
            self._say(
                f"Another machine answers for {found.address} ({', '.join(others[:4])}), perhaps a second director. "
                "The VIP stays with it. When that machine has released it, run: "
                f"dsrwizard restore {self._saved.deployment}"
            )
        leaking = [mac for mac in found.where if mac in servers]
        if leaking:
            self._say(f"{found.address} is also answered for by a real server ({', '.join(leaking[:4])}); see verify.")
        return others


def _links() -> tuple[Interface, ...]:
    from backends.netlink import links

    return links.interfaces()


def _holder(links: tuple[Interface, ...], vip: SavedVip) -> bool:
    return any(link.has(vip.address) for link in links)
