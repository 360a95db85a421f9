"""The draft: a deployment while it is being entered, with every value as the operator typed it, valid or not.

A `Draft` is the state behind the wizard's panes; widgets only edit it. It can become a `Deployment` when
`validate.problems_of_draft(draft)` is empty: `validate.deployment_of(draft)` makes it.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from dsrwizard.core.model.deployment import (
    Balancer,
    Bgp,
    Client,
    Deployment,
    PeerDirector,
    RealServer,
    Service,
    Vip,
    Vrrp,
)
from dsrwizard.core.model.first_words import HTTP_PORTS
from dsrwizard.core.model.shown import Harmless


class DraftService(msgspec.Struct):
    protocol: str = "tcp"
    port: str = ""
    scheduler: str = "wlc"
    persistence: str = "0"
    probe: str = ""
    payload: str = ""
    page: str = ""


class DraftVip(Harmless, msgspec.Struct):
    address: str = ""
    services: list[DraftService] = msgspec.field(default_factory=lambda: [DraftService()])


class DraftServer(Harmless, msgspec.Struct):
    name: str = ""
    address: str = ""
    address6: str = ""
    weight: str = "1"
    connect: str = "ssh"
    user: str = ""
    port: str = ""
    identity_file: str = ""
    winrm: str = "https"
    auth: str = "ntlm"
    ca_file: str = ""
    dns_name: str = ""
    kerberos_service: str = ""
    look_seconds: str = "60"
    system: str = ""
    vip_interface: str = "lo"
    vips: list[str] | None = None


class DraftClient(Harmless, msgspec.Struct):
    address: str = ""
    user: str = ""
    port: str = ""
    identity_file: str = ""


class DraftPeer(Harmless, msgspec.Struct):
    name: str = ""
    address: str = ""
    interface: str = ""
    user: str = ""
    port: str = ""
    identity_file: str = ""


class DraftVrrp(Harmless, msgspec.Struct):
    router_id: str = "51"
    advert_seconds: str = "0.1"
    preempt_delay: str = "60"
    priority: str = "150"


class DraftBgp(Harmless, msgspec.Struct):
    neighbour: str = ""
    local_as: str = ""
    neighbour_as: str = ""
    bfd: bool = True


class DraftBalancer(Harmless, msgspec.Struct):
    addresses: list[str] = msgspec.field(default_factory=list)
    user: str = ""
    port: str = ""
    ca_file: str = ""
    save: bool = True
    method: str = ""


class Draft(Harmless, msgspec.Struct):
    name: str = "dsr"
    interface: str = ""
    engine: str = "netlink"
    guard: bool = False
    guard_floor: int = 50
    address: str = ""
    peers: list[DraftPeer] = msgspec.field(default_factory=list)
    vrrp: DraftVrrp | None = None
    bgp: DraftBgp | None = None
    vips: list[DraftVip] = msgspec.field(default_factory=lambda: [DraftVip()])
    servers: list[DraftServer] = msgspec.field(default_factory=list)
    client: DraftClient | None = None
    balancer: DraftBalancer | None = None

    def filled(self) -> dict[str, object]:
        """What was entered, as the keys and values of a deployment file; numbers must be numbers."""
        data: dict[str, object] = {
            "name": self.name.strip(),
            "director": self._director(),
            "vips": [_vip(vip) for vip in self.vips],
            "servers": [_server(server) for server in self.servers],
        }
        if self.client is not None:
            data["client"] = _given(self.client, numbers=("port",))
        if self.balancer is not None:
            addresses = [address.strip() for address in self.balancer.addresses if address.strip()]
            given = _given(self.balancer, numbers=("port",))
            data["balancer"] = given | {"addresses": addresses, "save": self.balancer.save}
        return data

    def _director(self) -> dict[str, object]:
        data: dict[str, object] = {
            "interface": self.interface.strip(),
            "engine": self.engine,
            "guard": self.guard,
            "guard_floor": self.guard_floor,
            "peers": [_given(peer, numbers=("port",)) for peer in self.peers],
        }
        if self.address.strip():
            data["address"] = self.address.strip()
        if self.vrrp is not None:
            numbers = ("router_id", "preempt_delay", "priority")
            data["vrrp"] = _given(self.vrrp, numbers) | {"advert_seconds": float(self.vrrp.advert_seconds)}
        if self.bgp is not None:
            data["bgp"] = _given(self.bgp, ("local_as", "neighbour_as")) | {"bfd": self.bgp.bfd}
        return data

    @classmethod
    def from_deployment(cls, deployment: Deployment) -> Draft:
        """A draft with the values of this deployment, to edit it."""
        director, client = deployment.director, deployment.client
        return cls(
            name=deployment.name,
            interface=director.interface,
            engine=director.engine,
            guard=director.guard,
            guard_floor=director.guard_floor,
            address=director.address or "",
            peers=[_draft_peer(peer) for peer in director.peers],
            vrrp=None if director.vrrp is None else _draft_vrrp(director.vrrp),
            bgp=None if director.bgp is None else _draft_bgp(director.bgp),
            vips=[_draft_vip(vip) for vip in deployment.vips],
            servers=[_draft_server(server) for server in deployment.servers],
            client=None if client is None else _draft_client(client),
            balancer=None if deployment.balancer is None else _draft_balancer(deployment.balancer),
        )


_Entered = DraftServer | DraftClient | DraftService | DraftPeer | DraftVrrp | DraftBgp | DraftBalancer


def _given(draft: _Entered, numbers: tuple[str, ...]) -> dict[str, object]:
    """The non-empty fields, with texts stripped and numbers as numbers."""
    data: dict[str, object] = {}
    for key, value in msgspec.structs.asdict(draft).items():
        text = value.strip() if isinstance(value, str) else ""
        if text:
            data[key] = int(text) if key in numbers else text
    return data


def _vip(vip: DraftVip) -> dict[str, object]:
    services = [_service(service) for service in vip.services]
    return {"address": vip.address.strip(), "services": services}


def _service(service: DraftService) -> dict[str, object]:
    data = _given(service, numbers=("port", "persistence"))
    if service.protocol == "tcp":  # kept in the draft, in case it becomes UDP again
        data.pop("probe", None)
        data.pop("payload", None)
    if service.protocol != "tcp" or service.port.strip() not in map(str, HTTP_PORTS):
        data.pop("page", None)
    return data


def _server(server: DraftServer) -> dict[str, object]:
    data = _given(server, numbers=("weight", "port", "look_seconds"))
    if server.vips is not None:
        data["vips"] = [vip.strip() for vip in server.vips]
    return data


def _draft_service(service: Service) -> DraftService:
    return DraftService(
        protocol=service.protocol,
        port=str(service.port),
        scheduler=service.scheduler,
        persistence=str(service.persistence),
        probe=service.probe or "",
        payload=service.payload or "",
        page=service.page or "",
    )


def _draft_vip(vip: Vip) -> DraftVip:
    return DraftVip(address=vip.address, services=[_draft_service(service) for service in vip.services])


def _draft_server(server: RealServer) -> DraftServer:
    return DraftServer(
        name=server.name,
        address=server.address,
        address6=server.address6 or "",
        weight=str(server.weight),
        connect=server.connect,
        user=server.user or "",
        port="" if server.port is None else str(server.port),
        identity_file=server.identity_file or "",
        winrm=server.winrm,
        auth=server.auth,
        ca_file=server.ca_file or "",
        dns_name=server.dns_name or "",
        kerberos_service=server.kerberos_service or "",
        look_seconds=str(server.look_seconds),
        system=server.system or "",
        vip_interface=server.vip_interface,
        vips=None if server.vips is None else list(server.vips),
    )


def _draft_client(client: Client) -> DraftClient:
    return DraftClient(
        address=client.address,
        user=client.user or "",
        port="" if client.port is None else str(client.port),
        identity_file=client.identity_file or "",
    )


def _draft_balancer(balancer: Balancer) -> DraftBalancer:
    return DraftBalancer(
        addresses=list(balancer.addresses),
        user=balancer.user or "",
        port="" if balancer.port is None else str(balancer.port),
        ca_file=balancer.ca_file or "",
        save=balancer.save,
        method=balancer.method or "",
    )


def _draft_peer(peer: PeerDirector) -> DraftPeer:
    return DraftPeer(
        name=peer.name,
        address=peer.address,
        interface=peer.interface or "",
        user=peer.user or "",
        port="" if peer.port is None else str(peer.port),
        identity_file=peer.identity_file or "",
    )


def _draft_vrrp(vrrp: Vrrp) -> DraftVrrp:
    return DraftVrrp(
        router_id=str(vrrp.router_id),
        advert_seconds=f"{vrrp.advert_seconds:g}",
        preempt_delay=str(vrrp.preempt_delay),
        priority=str(vrrp.priority),
    )


def _draft_bgp(bgp: Bgp) -> DraftBgp:
    return DraftBgp(
        neighbour=bgp.neighbour, local_as=str(bgp.local_as), neighbour_as=str(bgp.neighbour_as), bfd=bgp.bfd
    )


def add_vips(draft: Draft, vips: Sequence[DraftVip]) -> int:
    """Puts VIPs into a draft: new ones, and new services of those it has. An entry that is still blank makes room.

    Returns how many VIPs were added or got a service.
    """
    known = {vip.address.strip(): vip for vip in draft.vips if vip.address.strip()}
    changed = 0
    for vip in vips:
        mine = known.get(vip.address)
        if mine is None:
            known[vip.address] = vip
            draft.vips.append(vip)
            changed += 1
            continue
        there = {(service.protocol, service.port.strip()) for service in mine.services}
        new = [service for service in vip.services if (service.protocol, service.port) not in there]
        if new:
            mine.services = [service for service in mine.services if service.port.strip()] + new
            changed += 1
    if known:
        draft.vips = [vip for vip in draft.vips if vip.address.strip()]
    return changed
