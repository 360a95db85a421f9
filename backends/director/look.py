"""The look at the director's own path: its packet filters, settings, ways and neighbours. Changes and loads nothing."""

from __future__ import annotations

import secrets
import socket
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backends.netlink.ipvs import Ipvs, loaded, privileged
from backends.netlink.ways import Ways
from dsrwizard.core.dialects.linux.observe import sections
from dsrwizard.core.dialects.linux.packet_filter import parse_chains, whole_script
from dsrwizard.core.model.answers import Arrival
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.director_facts import (
    ComingIn,
    DirectorLook,
    KernelRule,
    KernelWay,
    NeighbourEntry,
    OtherService,
)
from dsrwizard.core.model.doc_addresses import SOMEWHERE
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Interface
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.values import canonical

SCRIPT_SECONDS = 60.0
"""A loaded director lists its rules in its own time; whoever waits for a lock longer than this never gets it."""
MOST = 16
"""Packets that came in of which the kernel is asked."""
_CONF = ("rp_filter", "arp_ignore", "arp_filter", "accept_local", "promote_secondaries")
_COUNTERS = (
    ("net/netstat", ("TcpExtIPReversePathFilter", "IpExtInNoRoutes")),
    ("net/snmp", ("IpInAddrErrors", "IpInDiscards", "IpInHdrErrors", "IpOutNoRoutes", "IpOutDiscards")),
)  # fmt: skip


def look(
    deployment: Deployment, interfaces: Sequence[Interface], lost: Sequence[Arrival], ipvs: Ipvs, root: Path
) -> DirectorLook:
    """One look. `lost`: packets that came in and of which it is asked what becomes of them; none: a client's elsewhere.
    Nothing raises: what could not be read is told in the result."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="director-filter") as pool:
        listed = pool.submit(_chains)
        others, sync = _table(ipvs)
        asked = _asked(deployment, interfaces)
        clients = [canonical(one.client) for one in lost[:MOST]]
        if deployment.client is not None and _is_address(deployment.client.address):
            clients.append(canonical(deployment.client.address))
        vips = [canonical(vip.address) for vip in deployment.vips]
        ways: dict[str, KernelWay] = {}
        entries: dict[str, KernelWay] = {}
        problem = ""
        stops: tuple[KernelRule, ...] = ()
        coming: list[ComingIn] = []
        neighbours: tuple[NeighbourEntry, ...] = ()
        try:
            with Ways() as kernel:
                neighbours = kernel.neighbours(asked)
                for address in dict.fromkeys([*asked, *vips, *clients]):
                    ways[address], entries[address] = kernel.to(address)
                coming = list(_coming(kernel, deployment, asked, lost))
                if any(way.kind not in ("unicast", "local") for way in entries.values()) or any(
                    one.kind != "local" for one in coming
                ):
                    stops = kernel.stops(list(dict.fromkeys([*asked, *vips, *clients])))
        except (OSError, DsrError) as error:
            problem = f"The kernel says: {error}."
        chains, chains_problem = listed.result()
    return DirectorLook(
        chains=chains, chains_problem=chains_problem, ways=ways, entries=entries, stops=stops, coming=tuple(coming),
        neighbours=neighbours, problem=problem, others=others, sync=sync, mtus=mtus(root), counters=counters(root),
        settings=settings(deployment.director.interface, sorted({one.interface for one in lost}), root),
    )  # fmt: skip


def _asked(deployment: Deployment, interfaces: Sequence[Interface]) -> list[str]:
    """The RIPs that VIPs need, where the director speaks their family."""
    families = {6 if ":" in entry.address else 4 for link in interfaces for entry in link.addresses}
    found = {
        canonical(rip)
        for server in deployment.servers
        for vip in deployment.vips_of(server)
        if (rip := server.rip_for(vip)) is not None
    } or {canonical(server.address) for server in deployment.servers if _is_address(server.address)}
    return sorted(rip for rip in found if (6 if ":" in rip else 4) in families)


def _is_address(text: str) -> bool:
    try:
        canonical(text)
    except ValueError:
        return False
    return True


def _coming(kernel: Ways, deployment: Deployment, rips: Sequence[str], lost: Sequence[Arrival]) -> Iterator[ComingIn]:
    """What the kernel does with what came in; or with a client's elsewhere, by the deployment's interface and by the
    one that leads there, where the reverse path is always right."""
    if lost:
        for one in lost[:MOST]:
            yield kernel.coming(canonical(one.vip), canonical(one.client), one.interface, one.port)
        return
    client_host = deployment.client.address if deployment.client is not None else ""
    for vip in deployment.vips:
        version = vip.ip.version
        if _is_address(client_host) and (":" in client_host) == (version == 6):
            yield kernel.coming(
                canonical(vip.address), canonical(client_host), deployment.director.interface,
                vip.services[0].port if vip.services else 0,
            )  # fmt: skip
        port = vip.services[0].port if vip.services else 0
        # An address of nowhere may be filtered on purpose; then the machines on the link are let in all the same.
        near = next((rip for rip in rips if (":" in rip) == (version == 6)), "")
        for client in filter(None, (SOMEWHERE[version], near)):
            way, _ = kernel.to(client)
            if way.kind == "unicast":
                for interface in dict.fromkeys(filter(None, (deployment.director.interface, way.interface))):
                    yield kernel.coming(canonical(vip.address), client, interface, port)


def _table(ipvs: Ipvs) -> tuple[tuple[OtherService, ...], tuple[str, ...] | None]:
    if not loaded():
        return (), None
    try:
        return ipvs.others(), ipvs.sync()
    except DsrError:
        return (), None


def _chains() -> tuple[tuple[FilterChain, ...] | None, str]:
    if not privileged():
        return None, "Only root may read the rules of the packet filter."
    nonce = secrets.token_hex(8)
    try:
        said = subprocess.run(
            ["/bin/sh", "-s"], input=whole_script(nonce).encode(), capture_output=True, timeout=SCRIPT_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return None, "Listing the rules of the packet filter took too long."
    except OSError as error:
        return None, f"Listing the rules of the packet filter failed: {error.strerror}."
    found = sections(nonce, said.stdout.decode("utf-8", "replace"))
    if "end" not in found:
        return None, "The list of the packet filter's rules ended early."
    return parse_chains(found)


def settings(interface: str, more: Sequence[str], root: Path) -> dict[str, str]:
    """IPVS' settings, and those of the network on these interfaces, by their keys as sysctl(8) writes them."""
    found: dict[str, str] = {}
    folder = root / "proc/sys/net/ipv4"
    try:
        names = sorted(path.name for path in (folder / "vs").iterdir())
    except OSError:
        names = []
    places = [(f"net.ipv4.vs.{name}", folder / "vs" / name) for name in names]
    for link in dict.fromkeys(["all", interface, *more]):
        key = link.replace(".", "/")
        places += [(f"net.ipv4.conf.{key}.{name}", folder / "conf" / link / name) for name in _CONF]
    places.append(("net.ipv4.ip_forward", folder / "ip_forward"))
    for key, path in places:
        try:
            found[key] = " ".join(path.read_text("utf-8", "replace").split())
        except OSError:
            continue
    return found


def mtus(root: Path) -> dict[str, int]:
    """The largest packet of each interface."""
    found = {}
    for _, name in socket.if_nameindex():
        try:
            found[name] = int((root / "sys/class/net" / name / "mtu").read_text("ascii", "replace"))
        except (OSError, ValueError):
            continue
    return found


def counters(root: Path) -> dict[str, int]:
    """The kernel's counters of packets that it threw away, by nstat's names."""
    found: dict[str, int] = {}
    for file, wanted in _COUNTERS:
        try:
            lines = (root / "proc" / file).read_text("ascii", "replace").splitlines()
        except OSError:
            continue
        for names, values in zip(lines[::2], lines[1::2], strict=False):
            prefix = names.partition(":")[0]
            for name, value in zip(names.split()[1:], values.split()[1:], strict=False):
                if f"{prefix}{name}" in wanted and value.isdecimal():
                    found[f"{prefix}{name}"] = int(value)
    return found
