"""This machine as the director: what is there, and the steps that change it (`core.ports.DirectorPort`)."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock

import msgspec

from backends.director.changes import SYSTEM_PATH, DirectorChanges
from backends.netlink.ipvs import Ipvs, loaded, may_load_modules, privileged, service_name
from backends.netlink.problems import LOAD, MAY_NOT_LOAD, NOT_LOADED
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.bird import BIRD_FOLDER
from dsrwizard.core.model.changes import Change, ServiceKey
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.director_facts import DirectorLook
from dsrwizard.core.model.errors import CommandFailed, DsrError, LookError
from dsrwizard.core.model.facts import Connection, DirectorFacts, Interface, Route, VirtualService
from dsrwizard.core.model.guarding import GuardState, Holdings
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.values import endpoint, machine_id, parsed
from dsrwizard.core.plan.director import settings_of

MODULE = "ip_vs"


class LocalDirector:
    """DirectorPort on this machine's kernel. Safe to use from several threads; steps are carried out one at a time.

    `settings` tells for a deployment which kernel settings are looked at.
    """

    def __init__(
        self,
        settings: Callable[[Deployment], Iterable[str]] = settings_of,
        ipvs: Ipvs | None = None,
        root: Path = Path("/"),
    ) -> None:
        self._settings = settings
        self._ipvs = ipvs or Ipvs()
        self._changes = DirectorChanges(self._ipvs, root)
        self._root = root
        self._applying = Lock()

    def close(self) -> None:
        self._ipvs.close()

    # --- looking

    def observe(self, deployment: Deployment) -> DirectorFacts:
        """What can be seen, also without privilege: then the services stay unknown. Raises LookError where not even
        the interfaces can be read. Changes nothing, and loads no module."""
        interfaces, routes = _network()
        found = {key: self._changes.sysctl(key) for key in tuple(self._settings(deployment))}
        facts = DirectorFacts(
            privileged=privileged(),
            hostname=socket.gethostname(),
            kernel=os.uname().release,
            machine=self._machine(),
            interfaces=interfaces,
            default_routes=routes,
            sysctls={key: value for key, value in found.items() if value is not None},
            module_loaded=loaded(),
        )
        facts = self._with_ipvs(facts)
        from backends.director import boot

        seen = boot.look(deployment, facts, tuple(self._settings(deployment)), self._root)
        guard = self.guard(deployment.name)
        alive = guard is not None and guard.alive(time.time())
        facts = msgspec.structs.replace(facts, boot=seen, guard=guard, guarded=alive)
        if deployment.director.engine == "keepalived":
            from backends.director.keepalived import with_keepalived

            facts = with_keepalived(deployment, facts)
        if deployment.director.bgp is None and not (self._root / BIRD_FOLDER.lstrip("/")).is_dir():
            return facts
        from backends.director import bird

        return msgspec.structs.replace(facts, bird=bird.look(deployment, self._root))

    def _machine(self) -> str:
        """What tells this installation from every other (machine-id(5)), or nothing."""
        try:
            with self._root.joinpath("etc/machine-id").open(encoding="ascii", errors="replace") as file:
                return machine_id(file.readline(64).strip())
        except OSError:
            return ""

    def _with_ipvs(self, facts: DirectorFacts) -> DirectorFacts:
        if not facts.module_loaded:
            available = module_available(MODULE)
            if available is False:
                problem, next_ = self._no_module(facts.kernel)
            elif may_load_modules():
                problem, next_ = NOT_LOADED, LOAD
            else:
                available, problem, next_ = False, MAY_NOT_LOAD, LOAD
            return msgspec.structs.replace(facts, module_available=available, ipvs_problem=problem, ipvs_next=next_)
        try:
            services, foreign = self._ipvs.read()
        except DsrError as error:
            return msgspec.structs.replace(facts, ipvs_problem=error.why or error.what, ipvs_next=error.next)
        others = self._ipvs.others() if foreign else ()
        return msgspec.structs.replace(facts, services=tuple(services), foreign_services=foreign, others=others)

    def _no_module(self, kernel: str) -> tuple[str, str]:
        if not self._root.joinpath("lib/modules", kernel).is_dir():
            return (
                f"The kernel has no IPVS, and the modules of the running kernel {kernel} are not on this machine.",
                f"After a kernel update: reboot. In a container: load it on the host with `modprobe {MODULE}`.",
            )
        package = _package(self._root / "etc/os-release", kernel)
        return (
            f"The running kernel {kernel} has no module {MODULE}.",
            f"Install it with `{package}`, then run `sudo modprobe {MODULE}`."
            if package
            else "Use a kernel built with CONFIG_IP_VS, then run `sudo modprobe ip_vs`.",
        )

    def look(self, deployment: Deployment, lost: Sequence[Arrival] = ()) -> DirectorLook:
        """What lies on the way of a client's packet to IPVS and on from there; see `DirectorPort.look`."""
        from backends.director.look import look

        return look(deployment, _network()[0], lost, self._ipvs, self._root)

    def services(self) -> Sequence[VirtualService]:
        """Every IPVS service that a deployment can name, with destinations and counters. Raises LookError."""
        try:
            return self._ipvs.services()
        except LookError as error:
            if loaded() or module_available(MODULE) is not False:
                raise
            raise LookError(error.what, *self._no_module(os.uname().release)) from None

    def connections(self) -> Sequence[Connection]:
        """The connections in IPVS' table. Raises LookError."""
        from backends.director.connections import connections

        return connections()

    # --- changing

    def apply(self, step: Step) -> None:
        """Carries the changes out in order. When one fails, those before it are taken back, last first, and its error
        is raised; what could not be taken back either is named in it."""
        with self._applying:
            made: list[Change] = []
            for change in step.changes:
                try:
                    self._changes.carry_out(change)
                except DsrError as error:
                    stuck = self._take_back(made)
                    if stuck:
                        error.why = f"{error.why} Not undone: {stuck}".strip()
                        error.halfway = True
                    raise
                made.append(change)

    def ready(self) -> None:
        import backends.netlink.messages  # noqa: F401 - loaded here and used later

    def _take_back(self, made: Sequence[Change]) -> str:
        """Undoes changes, last first; returns what went wrong with it."""
        stuck = []
        for change in reversed(made):
            try:
                self._changes.carry_out(change.inverse())
            except DsrError as error:
                stuck.append(f"{error.what} {error.why}".strip())
        return " ".join(stuck)

    def save(self, deployment: Deployment) -> None:
        """Brings the file that a boot reads up to date, where there is one. Raises CommandFailed, LookError."""
        from backends.director import boot
        from dsrwizard.core.plan.director_boot import saved_change

        if boot.is_there(deployment.name, self._root):
            settings = tuple(self._settings(deployment))
            with self._applying:
                self._changes.carry_out(saved_change(deployment, settings, there=True))

    def set_weight(self, service: ServiceKey, address: str, port: int, weight: int) -> None:
        """Sets the weight of one destination and nothing else of it. Raises CommandFailed, NoPrivilege, LookError."""
        with self._applying:
            found = self._ipvs.service(service)
            destination = found.destination(address, port) if found else None
            if destination is None:
                raise CommandFailed(
                    f"The weight of {endpoint(address, port)} could not be set.",
                    f"It is not in the IPVS service {service_name(service)} (any more).",
                    "Look again and make a new plan.",
                )
            if destination.state.weight != weight:
                state = msgspec.structs.replace(destination.state, weight=weight)
                self._ipvs.set_destination(service, address, port, state)

    def holdings(self, deployment: Deployment) -> Holdings:
        """See `DirectorPort.holdings`. Raises LookError."""
        from backends.director.keepalived import runs

        wanted = {vip.ip for vip in deployment.vips}
        return Holdings(
            vips=tuple(
                entry.address
                for link in _network()[0]
                if link.up
                for entry in link.addresses
                if not entry.tentative and parsed(entry.address) in wanted
            ),
            keepalived=runs(self._root),
        )

    def sign(self, name: str, *, up: bool) -> None:
        """See `DirectorPort.sign`. Raises NoPrivilege, CommandFailed."""
        from backends.netlink import links

        present = next((link for link in links.interfaces() if link.name == name), None)
        if present is not None and up and not present.up:
            links.bring_up(name)
        elif present is None and up:
            links.add_dummy(name)
        elif present is not None and not up:
            links.remove_link(name)

    def guard(self, deployment: str) -> GuardState | None:
        """What its guard wrote last; see `DirectorPort.guard`."""
        from backends.director import boot

        return boot.guard_of(deployment, self._root)


def _network() -> tuple[tuple[Interface, ...], tuple[Route, ...]]:
    from backends.netlink import links

    return links.interfaces(), links.default_routes()


def module_available(module: str) -> bool | None:
    """Whether `modprobe` would find the module; None where there is no modprobe to ask. Loads nothing."""
    program = shutil.which("modprobe", path=f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}")
    if program is None:
        return None
    try:
        asked = subprocess.run([program, "-n", "-q", "--", module], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.returncode == 0


def _package(os_release: Path, kernel: str) -> str:
    """The command that installs the package with ip_vs on this distribution, or nothing where it is not known."""
    try:
        lines = os_release.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    told = dict(line.split("=", 1) for line in lines if "=" in line)
    names = f"{told.get('ID', '')} {told.get('ID_LIKE', '')}".replace('"', "").split()
    for name in names:
        match name:
            case "ubuntu":
                return f"sudo apt install linux-modules-extra-{kernel}"
            case "debian":
                return "sudo apt install linux-image-$(dpkg --print-architecture)" if "cloud" in kernel else ""
            case "fedora" | "rhel":
                return f"sudo dnf install kernel-modules-{kernel}"
    return ""
