"""keepalived on a director: its files, ours among them, and what a look there finds."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.deployment import Deployment, PeerDirector, RealServer, Service, Vip
from dsrwizard.core.model.guarding import FOLDER, GuardState, guard_files
from dsrwizard.core.model.shown import Shown

KEEPALIVED_FOLDER = "/etc/keepalived"
KEEPALIVED_CONF = f"{KEEPALIVED_FOLDER}/keepalived.conf"
"""What keepalived reads where nobody tells it otherwise (keepalived(8)). It is the operator's."""
OWN_FOLDER = f"{KEEPALIVED_FOLDER}/dsrwizard.d"
INCLUDE_LINE = f"includea {OWN_FOLDER}/*.conf"
"""The one line of ours in the operator's file: with `includea` a missing match is an error (keepalived.conf(5))."""
KEEPALIVED_UNIT = "keepalived.service"
_DROP_INS = f"/etc/systemd/system/{KEEPALIVED_UNIT}.d"
ENABLED_LINK = f"/etc/systemd/system/multi-user.target.wants/{KEEPALIVED_UNIT}"

BY_CLIENT = ("mh", "sh")
"""Schedulers that choose a server by the client alone: every director chooses the same one."""


def vrrp_file(deployment: str) -> str:
    """Who holds the VIPs."""
    return f"{OWN_FOLDER}/10-{deployment}-vrrp.conf"


def services_file(deployment: str) -> str:
    """The IPVS services and the checks of their real servers."""
    return f"{OWN_FOLDER}/20-{deployment}-services.conf"


def is_services_file(path: str) -> bool:
    """Whether it is one of those, of whichever deployment."""
    return path.startswith(f"{OWN_FOLDER}/20-") and path.endswith("-services.conf")


def keepalived_drop_in(deployment: str) -> str:
    """What systemd does around keepalived for this deployment: one file each, for each has its own VIPs."""
    return f"{_DROP_INS}/dsrwizard-{deployment}.conf"


def keepalived_files(deployment: str) -> tuple[str, ...]:
    """Every file that a step may write on a director with this engine."""
    return (
        KEEPALIVED_CONF, vrrp_file(deployment), services_file(deployment), keepalived_drop_in(deployment), ENABLED_LINK,
    )  # fmt: skip


def files_looked_at(deployment: str) -> tuple[str, ...]:
    """Those, and the guard's own."""
    return (*keepalived_files(deployment), *guard_files(deployment))


def keepalived_folders() -> tuple[str, ...]:
    """Every folder that a step may make there, outer ones first."""
    return KEEPALIVED_FOLDER, OWN_FOLDER, _DROP_INS


def health_folder(deployment: str) -> str:
    """Where the guard writes what it thinks of each destination."""
    return f"{FOLDER}/health/{deployment}"


def as_server(peer: PeerDirector) -> RealServer:
    """A peer as what is reached over SSH. It is no real server: nothing is balanced to it."""
    return RealServer(
        name=peer.name, address=peer.address, user=peer.user, port=peer.port, identity_file=peer.identity_file
    )


def peers_of(deployment: Deployment) -> tuple[RealServer, ...]:
    """The other directors, as what is reached over SSH."""
    return tuple(as_server(peer) for peer in deployment.director.peers)


def hosts_of(deployment: Deployment) -> tuple[RealServer, ...]:
    """Every host that is reached by a connection of its own beside the client: real servers and other directors."""
    return (*deployment.servers, *peers_of(deployment))


def synchronised(deployment: Deployment) -> bool:
    """Whether two directors have to tell each other of their connections: a scheduler that counts them, or persistence,
    chooses differently on each."""
    return bool(deployment.director.peers) and not all(
        service.scheduler in BY_CLIENT and not service.persistence for _, service in services_of(deployment)
    )


def services_of(deployment: Deployment) -> tuple[tuple[Vip, Service], ...]:
    """Every service with its VIP, in the order of the file."""
    return tuple((vip, service) for vip in deployment.vips for service in vip.services)


def sloppy(deployment: Deployment) -> bool:
    """Whether a director takes connections over without having seen their beginning (net.ipv4.vs.sloppy_tcp)."""
    return bool(deployment.director.peers) and any(
        service.scheduler in BY_CLIENT for _, service in services_of(deployment)
    )


class TableEntry(Shown, frozen=True, kw_only=True):
    """A destination of the IPVS table as /proc/net/ip_vs tells it."""

    address: str
    port: int
    method: str
    weight: int
    active: int = 0


class TableService(Shown, frozen=True, kw_only=True):
    """A service of the IPVS table as /proc/net/ip_vs tells it."""

    protocol: str
    address: str
    port: int
    scheduler: str
    persistence: int = 0
    entries: tuple[TableEntry, ...] = ()


class SyncDaemon(Shown, frozen=True, kw_only=True):
    """A daemon of the kernel that tells another director of connections (`master`), or hears of them (`backup`)."""

    state: str
    interface: str
    id: int

    def __str__(self) -> str:
        return f"{self.state} on {self.interface}, id {self.id}"


class KeepalivedFacts(Shown, frozen=True, kw_only=True):
    """A look at keepalived and what it needs on a director.

    `version` empty: there is none. `texts`: the files below its folder, path → text; `missing`: paths that they name
    and that are not there. `files`, `folders`: what a step may write or make. `table` None: there is no IPVS.
    """

    version: str = ""
    systemd: bool = False
    masked: bool = False
    running: bool = False
    other_config: str = ""
    """The file that the running keepalived reads, where it is not the usual one."""
    program: str = ""
    """Where dsrwizard is installed there; empty: it was not found."""
    guard: GuardState | None = None
    """What the deployment's guard wrote last there."""
    guarded: bool = False
    """That guard is at work, by the clock there."""
    age: int | None = None
    """Seconds since its oldest process was started; None: it does not run, or that is not known."""
    sync: tuple[SyncDaemon, ...] | None = None
    """None: nobody there could tell (it takes ipvsadm)."""
    active: bool = False
    """It runs as its systemd unit."""
    unit: str = ""
    """Path of the package's unit."""
    files: dict[str, FileState | None] = {}
    folders: dict[str, bool] = {}
    texts: dict[str, str] = {}
    missing: tuple[str, ...] = ()
    sysctls: dict[str, str] = {}
    table: tuple[TableService, ...] | None = None

    @property
    def by(self) -> Literal["unit", "itself"]:
        """Who is told to start it, to stop it and to have it read its files."""
        return "unit" if self.systemd and (self.active or not self.running) else "itself"
