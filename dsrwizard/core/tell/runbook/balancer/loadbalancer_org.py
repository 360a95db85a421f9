"""Loadbalancer.org by hand: `lbcli` on the appliance, as root. Source: `lbcli --help`, and the templates of its API."""

from __future__ import annotations

from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.products import LOADBALANCER_ORG
from dsrwizard.core.tell.runbook.balancer import common
from dsrwizard.core.tell.runbook.step import RunbookStep

RELOAD = "lbcli --action reload-ldirectord"
BEFORE = (
    "Type the commands as root on the active appliance of a pair. Where SSH is off (secure mode), the web interface "
    "has the same words.",
    "Every value is pasted into a shell on the appliance. The names here have letters, digits, `.`, `_`, `:` and `-` "
    "alone; keep to that in yours.",
    "There is no dry run. Keep the output of this for the undo: lbcli --action list --function dumpconfig",
)


def label_of(deployment: Deployment, vip: Vip, service: Service) -> str:
    """`shop_80`; a VIP that is not the first is in the name, and so is UDP."""
    address = "" if vip is deployment.vips[0] else f"_{vip.address}"
    return f"{deployment.name}{address}_{service.port}{'' if service.protocol == 'tcp' else '_udp'}"


def setup(deployment: Deployment) -> list[RunbookStep]:
    """Until servers get clients."""
    return [_virtual(deployment, vip, service) for vip, service in common.each(deployment)]


def _virtual(deployment: Deployment, vip: Vip, service: Service) -> RunbookStep:
    label = label_of(deployment, vip, service)
    kept = f"--persistent on --persist_time {service.persistence}" if service.persistence else "--persistent off"
    check = f"--check_type connect --check_port {service.port}" if service.protocol == "tcp" else "--check_type ping"
    lines = [
        f"lbcli --action add-vip --layer 4 --vip {label} --ip {vip.address} --ports {service.port} --forwarding gate "
        f"--protocol {service.protocol}",
        f"lbcli --action edit-vip --vip {label} --scheduler {LOADBALANCER_ORG.methods[service.scheduler]} {kept} "
        f"{check}",
    ]
    undo = []
    for server, rip in common.rips(deployment, vip):
        weight = max(1, common.weight_of(LOADBALANCER_ORG, service, server))
        lines += [
            f"lbcli --action add-rip --vip {label} --rip {server.name} --ip {rip} --weight {weight}",
            f"lbcli --action halt --vip {label} --rip {server.name}",
        ]
        undo.append(f"lbcli --action delete-rip --vip {label} --rip {server.name}")
    return RunbookStep(
        title=f"Virtual service {label}: {service.label} of {vip.address}",
        why="Forwarding gate is direct server return. A real server has no port in this mode: it is the VIP's. All are "
        "halted before the reload, until they are proved. The check asks their own addresses.",
        commands=(*lines, RELOAD),
        check=("lbcli --action list --function dumpconfig",),
        undo=(*undo, f"lbcli --action delete-vip --vip {label}", RELOAD),
        see=(
            f"dumpconfig has one virtual {label} with forwardingmethod gate, and each real server once.",
            f"dsrwizard verify: one foreign MAC answers for {vip.address}.",
        ),
        proves="arp.audit",
        vip=vip.address,
    )


def admit(deployment: Deployment, server: RealServer) -> RunbookStep:
    """A server gets clients."""
    labels = [label_of(deployment, vip, service) for vip in deployment.vips_of(server) for service in vip.services]
    lets_in = server.weight > 0
    return RunbookStep(
        title=f"{server.name} gets clients" if lets_in else f"{server.name} stays halted: its weight is 0",
        why="One virtual service after the other, by its name: `--services all` would touch servers of that name "
        "behind every other VIP of the appliance, too.",
        commands=tuple(f"lbcli --action online --vip {label} --rip {server.name}" for label in labels)
        if lets_in
        else (),
        check=("lbcli --action list --function dumpconfig",),
        undo=tuple(f"lbcli --action drain --vip {label} --rip {server.name}" for label in labels) if lets_in else (),
        see=(
            "System Overview, or similar, shows it as online. That is its own address, and not the VIP.",
            common.BYPASSES,
        ),
        proves="client.bypass",
        server=server.name,
    )  # fmt: skip


def finish(deployment: Deployment) -> list[RunbookStep]:
    """After the last server."""
    return [
        RunbookStep(
            title="The other appliance of a pair",
            why="A pair synchronises by itself once it is paired. LVS-DR is not possible in AWS.",
            hand=("Fail over once in a quiet hour, and run dsrwizard verify again.",),
            see=(common.passes_with(deployment, "the MAC of the other appliance"),),
            back=("Fail back.",),
        )
    ]
