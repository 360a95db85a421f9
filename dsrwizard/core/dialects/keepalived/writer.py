"""keepalived's files for a deployment, as texts. Pure.

Keywords: keepalived.conf(5) of 2.2.7. What can be said of an instance is said there and not as a global, so that the
operator's own globals stay as they are; `OWN_GLOBALS` is what can only be said once.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from ipaddress import ip_address
from typing import NamedTuple

from dsrwizard.core.model.deployment import (
    PEER_BELOW,
    STARTUP_SECONDS,
    Deployment,
    RealServer,
    Service,
    Vip,
    Vrrp,
)
from dsrwizard.core.model.guarding import DestinationPlace, health_path
from dsrwizard.core.model.keepalived import INCLUDE_LINE, health_folder, services_of, sloppy, synchronised

OURS = "# dsrwizard wrote this for the deployment {name}. Change the deployment file and apply it, not this file.\n"
CHECK_LOG = "/var/log/keepalived-config-check.log"
GARP_REFRESH = 1
"""Seconds between two announcements of the VIPs' holder: after a split a router that kept the other MAC learns anew."""


class Side(NamedTuple):
    """One director as VRRP sees it: its own address and interface, the other's address (None: alone), and whether it is
    the one that serves while both are well."""

    address: str
    interface: str
    other: str | None = None
    preferred: bool = True


class Leaving(NamedTuple):
    """A destination that is still in force and no longer wanted: it gets no new clients until it is gone."""

    vip: str
    protocol: str
    port: int
    rip: str
    scheduler: str
    persistence: int


def own_globals(deployment: Deployment, side: Side) -> list[tuple[str, str, str]]:
    """What has to be in `global_defs` for this deployment: keyword, line, and what goes wrong without it. A director
    alone has nobody to listen to, and its clients would wait so long at each start."""
    found = [
        (
            "reload_check_config", f"reload_check_config {CHECK_LOG}",
            "a mistake in any file of keepalived is put in force at the next reload",
        )
    ]  # fmt: skip
    if side.other:
        found.append(
            (
                "vrrp_startup_delay", f"vrrp_startup_delay {STARTUP_SECONDS}",
                "a director that comes back takes the VIPs before it has heard of the other, and connections are lost",
            )
        )  # fmt: skip
    if synchronised(deployment):
        vrrp = deployment.director.vrrp or Vrrp()
        found.append(
            (
                "lvs_sync_daemon",
                f"lvs_sync_daemon {side.interface} {instance(deployment.name)} id {vrrp.router_id}",
                "the other director does not know the connections, and loses them when it takes over",
            )
        )
    return found


def instance(deployment: str) -> str:
    """The name of a deployment's VRRP instance."""
    return f"dsrwizard-{deployment}"


def main_text(deployment: Deployment, side: Side) -> str:
    """keepalived.conf where there is none yet. Without a `router_id` keepalived asks DNS for this machine's name as it
    starts, and a director that boots while DNS does not answer comes back 10 s later (seen with 2.2.7)."""
    lines = [OURS.format(name=deployment.name).rstrip(), "global_defs {"]
    lines += [f"    router_id {instance(deployment.name)}", "    enable_script_security", "    script_user nobody"]
    lines += [f"    {line}" for _, line, _ in own_globals(deployment, side)]
    return "\n".join((*lines, "}", INCLUDE_LINE, ""))


def with_include(text: str) -> str:
    """The operator's keepalived.conf with our line at its end."""
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{INCLUDE_LINE}\n"


def without_include(text: str) -> str:
    """The same without our line."""
    return "".join(line for line in text.splitlines(keepends=True) if line.strip() != INCLUDE_LINE)


def vrrp_text(deployment: Deployment, side: Side) -> str:
    """Who holds the VIPs: one instance for all of them, so that no two directors share a deployment between them. VIPs
    of the other address family go with it as addresses that its packets do not name."""
    vrrp = deployment.director.vrrp or Vrrp()
    family = ip_address(side.address).version
    named = [vip for vip in deployment.vips if vip.ip.version == family]
    others = [vip for vip in deployment.vips if vip.ip.version != family]
    lines = [
        OURS.format(name=deployment.name).rstrip(),
        f"vrrp_instance {instance(deployment.name)} {{",
        "    state BACKUP",
        "    version 3",
        f"    interface {side.interface}",
        f"    virtual_router_id {vrrp.router_id}",
        f"    priority {vrrp.priority - (0 if side.preferred else PEER_BELOW)}",
        f"    advert_int {vrrp.advert_seconds:g}",
    ]
    if side.preferred and side.other:
        lines.append(f"    preempt_delay {vrrp.waits}")
    lines += [f"    garp_master_refresh {GARP_REFRESH}", "    garp_lower_prio_repeat 1"]
    if side.other:
        lines += [f"    unicast_src_ip {side.address}", "    unicast_peer {", f"        {side.other}", "    }"]
    lines += ["    virtual_ipaddress {", *(_vip(vip, side) for vip in named), "    }"]
    if others:
        lines += ["    virtual_ipaddress_excluded {", *(_vip(vip, side) for vip in others), "    }"]
    return "\n".join((*lines, "}", ""))


def _vip(vip: Vip, side: Side) -> str:
    return f"        {vip.ip}/{vip.prefix} dev {side.interface}"


def services_text(
    deployment: Deployment,
    held: Collection[DestinationPlace] = (),
    leaving: Sequence[Leaving] = (),
    *,
    guarded: bool = False,
) -> str:
    """The services. `held`: destinations that are not proved, or drained: weight 0. `leaving`: what goes, at weight 0
    as long as it has connections. `guarded`: a guard's word counts; without one at work all would be dead for ever."""
    blocks = [OURS.format(name=deployment.name).rstrip()]
    for vip, service in services_of(deployment):
        behind = [(server, rip) for server in deployment.servers_of(vip) if (rip := server.rip_for(vip)) is not None]
        if guarded:
            blocks += [_health(deployment.name, vip, service, server) for server, _ in behind]
        key = (str(vip.ip), service.protocol, service.port)
        block = _service(*key, service.scheduler, service.persistence)
        for server, rip in behind:
            place = DestinationPlace(vip.address, service.label, server.name)
            weight = 0 if place in held else server.weight
            file = track(deployment.name, place) if guarded else ""
            block += _destination(rip, service.port, weight, service.protocol, file)
        for gone in (one for one in leaving if (one.vip, one.protocol, one.port) == key):
            block += _destination(gone.rip, gone.port, 0, "none", "")
        blocks.append("\n".join((*block, "}")))
    known = {(str(vip.ip), service.protocol, service.port) for vip, service in services_of(deployment)}
    for gone in dict.fromkeys(one._replace(rip="") for one in leaving):
        if (gone.vip, gone.protocol, gone.port) in known:
            continue
        block = _service(gone.vip, gone.protocol, gone.port, gone.scheduler, gone.persistence)
        for one in (each for each in leaving if each._replace(rip="") == gone):
            block += _destination(one.rip, one.port, 0, "none", "")
        blocks.append("\n".join((*block, "}")))
    return "\n".join((*blocks, ""))


def track(deployment: str, place: DestinationPlace) -> str:
    """The name by which keepalived's files call a health file."""
    return f"dsrwizard-{deployment}-{place.server}-{place.service.replace('/', '-')}-{place.vip}"


def _health(deployment: str, vip: Vip, service: Service, server: RealServer) -> str:
    """Dead until the guard says otherwise (`init_file 1`): a new server gets clients only once it is proved."""
    place = DestinationPlace(vip.address, service.label, server.name)
    return "\n".join(
        (
            f"track_file {track(deployment, place)} {{", f'    file "{health_path(deployment, place)}"', "    weight 0",
            "    init_file 1", "}",
        )
    )  # fmt: skip


def _service(vip: str, protocol: str, port: int, scheduler: str, persistence: int) -> list[str]:
    flags = {"mh": ["mh-port", "mh-fallback"], "sh": ["sh-port", "sh-fallback"]}.get(scheduler, [])
    lines = [f"virtual_server {vip} {port} {{", "    delay_loop 2", f"    lvs_sched {scheduler}"]
    lines += [f"    {flag}" for flag in flags]
    lines += ["    lvs_method DR"]
    lines += [f"    persistence_timeout {persistence}"] if persistence else []
    return [*lines, f"    protocol {protocol.upper()}"]


def _destination(rip: str, port: int, weight: int, protocol: str, file: str) -> list[str]:
    """A real server: `inhibit_on_failure` sets the weight of a dead one to 0 and keeps its connections; TCP is asked
    beside the guard's word, because a file that is missing counts as well."""
    lines = [f"    real_server {rip} {port} {{", f"        weight {weight}", "        inhibit_on_failure"]
    if protocol == "tcp":
        lines += [
            "        TCP_CHECK {", "            connect_timeout 1", "            retry 1",
            "            delay_before_retry 1", "        }",
        ]  # fmt: skip
    if file:
        lines += ["        FILE_CHECK {", f"            track_file {file}", "            weight 0", "        }"]
    return [*lines, "    }"]


def drop_in_text(deployment: Deployment, side: Side, settings: dict[str, str], *, guarded: bool = False) -> str:
    """systemd's part: the kernel's settings before keepalived starts, and what a keepalived that was killed leaves on
    the interface is taken off, because the other director has the VIPs by then (systemd.service(5), ExecStopPost=)."""
    lines = [
        OURS.format(name=deployment.name).rstrip(),
        "[Service]",
        "Restart=always",
        "RestartSec=1",
        "ExecStartPre=-/usr/bin/env modprobe -q ip_vs",
    ]
    lines += [f"ExecStartPre=-/usr/bin/env sysctl -qw {key}={value}" for key, value in settings.items()]
    if guarded:
        folder = health_folder(deployment.name)
        lines.append(f"ExecStartPre=/usr/bin/env sh -c 'umask 077 && mkdir -p {folder}'")
    lines += [
        f"ExecStopPost=-/usr/bin/env ip address del {vip.ip}/{vip.prefix} dev {side.interface}"
        for vip in deployment.vips
    ]
    return "\n".join((*lines, ""))


def settings_of(deployment: Deployment) -> dict[str, str]:
    """Kernel settings beyond those of every director: setting → value."""
    return {"net.ipv4.vs.sloppy_tcp": "1"} if sloppy(deployment) else {}
