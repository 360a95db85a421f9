"""Citrix NetScaler by hand: the commands of its own command line, in the safe order.

Sources: "How to configure DSR" (CTX110501), CTX138969, and the NITRO reference, whose names of arguments are those of
the command line.
"""

from __future__ import annotations

from dsrwizard.core.model.deployment import WEIGHTED_METHODS, Deployment, RealServer, Service, Vip
from dsrwizard.core.model.products import NETSCALER
from dsrwizard.core.tell.runbook.balancer import common
from dsrwizard.core.tell.runbook.step import RunbookStep

IDLE_SECONDS = 120
"""Both idle timeouts: the box never sees a server close, so only they end a connection (CTX110501)."""
DRAIN_SECONDS = 600
BEFORE = (
    "Type the commands over SSH on the primary of a pair: `show ha node` says which it is. Never on a secondary.",
    "Save only in the last step: `save ns config` keeps what others have not saved yet, too. Ask them. Until then a "
    "reboot of the box undoes everything.",
    "Where a `server` for one of these addresses exists already (`show server`), use it under its own name, and never "
    "delete or rename it.",
)


def method_of(deployment: Deployment, service: Service) -> str:
    """By what the box balances."""
    given = deployment.balancer.method if deployment.balancer is not None else None
    return given or NETSCALER.methods[service.scheduler]


def _joined(vip: Vip) -> list[Service]:
    """One service for each port: tcp and udp are one service of type ANY."""
    found: dict[int, Service] = {}
    for service in vip.services:
        found.setdefault(service.port, service)
    return list(found.values())


def _vserver(deployment: Deployment, vip: Vip, service: Service) -> str:
    return f"dsr_{deployment.name}_{vip.address}_{service.port}"


def _member(deployment: Deployment, vip: Vip, service: Service, server: RealServer) -> str:
    return f"{_vserver(deployment, vip, service)}_{server.name}"


def _monitor(vip: Vip, service: Service) -> str:
    """The check; a UDP service alone is pinged."""
    tcp = any(one.protocol == "tcp" for one in vip.services if one.port == service.port)
    return f"dsr_tcp_{service.port}" if tcp else "ping"


def setup(deployment: Deployment) -> list[RunbookStep]:
    """Until servers get clients."""
    comment = f'-comment "dsrwizard {deployment.name}"'
    steps = [
        RunbookStep(
            title="Load balancing, and MAC-based forwarding",
            why="Without LB no virtual server is up. Without MBF a virtual server in MAC mode forwards nothing. MBF is "
            "global: it changes the return path of all traffic of the box.",
            commands=("enable ns feature LB", "enable ns mode MBF"),
            check=("show ns feature", "show ns mode"),
            undo=("# only if it was off before, and no other virtual server uses -m MAC:", "disable ns mode MBF"),
            see=("A SNIP lies in the subnet of the real servers (`show ns ip`): the monitors leave from it.",),
        )
    ]
    servers: dict[str, tuple[str, str]] = {}
    for vip in deployment.vips:
        for server, rip in common.rips(deployment, vip):
            six = "_6" if rip == server.address6 else ""
            servers[rip] = (f"dsr_{deployment.name}_{server.name}{six}", rip)
    monitors = dict.fromkeys(
        (name, service.port)
        for vip in deployment.vips
        for service in _joined(vip)
        if (name := _monitor(vip, service)) != "ping"
    )
    steps.append(
        RunbookStep(
            title="Servers and monitors",
            why="The box learns a server's MAC from its monitor. USER, FTP, LDAP and other scripted monitors do not "
            "teach it: all traffic then loops back to the box (CTX138969). These monitors ask the server's "
            "own address.",
            commands=(
                *(f"add server {name} {rip} {comment}" for name, rip in servers.values()),
                *(
                    f"add lb monitor {name} TCP -destPort {port} -interval 5 -resptimeout 2 -retries 3"
                    for name, port in monitors
                ),
            ),
            check=tuple(f"show server {name}" for name, _ in servers.values()),
            undo=(
                *(f"rm lb monitor {name} TCP" for name, _ in monitors),
                *(f"rm server {name}" for name, _ in servers.values()),
            ),
        )
    )
    for vip in deployment.vips:
        steps += [_virtual(deployment, vip, service, servers, comment) for service in _joined(vip)]
    return steps


def _virtual(
    deployment: Deployment, vip: Vip, service: Service, servers: dict[str, tuple[str, str]], comment: str
) -> RunbookStep:
    name, method = _vserver(deployment, vip, service), method_of(deployment, service)
    hashed = "HASH" in method
    kept = (
        f"-persistenceType SOURCEIP -timeout {service.persistence // 60}"
        if service.persistence
        else "-persistenceType NONE"
    )
    lines, undo = [], [f"rm lb vserver {name}"]
    for server, rip in common.rips(deployment, vip):
        member = _member(deployment, vip, service, server)
        lines += [
            f"add service {member} {servers[rip][0]} ANY {service.port} -usip YES -state DISABLED -healthMonitor YES "
            f"-downStateFlush DISABLED -cltTimeout {IDLE_SECONDS} -svrTimeout {IDLE_SECONDS} {comment}",
            f"bind service {member} -monitorName {_monitor(vip, service)}",
        ]
        undo.append(f"rm service {member}")
    lines.append(
        f"add lb vserver {name} ANY {vip.address} {service.port} -m MAC -lbMethod {method} -sessionless "
        f"{'ENABLED' if hashed else 'DISABLED'} {kept} -cltTimeout {IDLE_SECONDS} {comment}"
    )
    for server, _ in common.rips(deployment, vip):
        weight = (
            max(1, server.weight) if method in WEIGHTED_METHODS and service.scheduler not in NETSCALER.unweighted else 1
        )
        lines.append(f"bind lb vserver {name} {_member(deployment, vip, service, server)} -weight {weight}")
    labels = " and ".join(f"{one.label}" for one in vip.services if one.port == service.port)
    remark = NETSCALER.remarks.get(service.scheduler, "") if method == NETSCALER.methods[service.scheduler] else ""
    return RunbookStep(
        title=f"Virtual server {name}: {labels} of {vip.address}",
        why="Type ANY, so that the box parses and proxies nothing; it takes tcp and udp alike. -m MAC is direct server "
        "return. "
        + (
            "-sessionless goes with a hash alone. "
            if hashed
            else "-sessionless would spread the packets of a connection. "
        )
        + "-usip is always written: without it the global mode counts. The services are disabled until they are "
        "proved. " + remark,
        commands=tuple(lines),
        check=(f"show lb vserver {name}",),
        undo=tuple(undo),
        see=(f"dsrwizard verify: one foreign MAC answers for {vip.address}.",),
        proves="arp.audit",
        vip=vip.address,
    )


def admit(deployment: Deployment, server: RealServer) -> RunbookStep:
    """A server gets clients."""
    mine = [
        (_vserver(deployment, vip, service), _member(deployment, vip, service, server))
        for vip in deployment.vips_of(server)
        for service in _joined(vip)
    ]
    lets_in = server.weight > 0
    return RunbookStep(
        title=f"{server.name} gets clients" if lets_in else f"{server.name} stays without clients: its weight is 0",
        why="Its services are enabled once it is proved. Response bytes of a virtual server that grow say the "
        "opposite of direct server return: replies come back through the box.",
        commands=tuple(f"enable service {member}" for _, member in mine) if lets_in else (),
        check=(
            *(f"show service {member}" for _, member in mine),
            *(f"stat lb vserver {name}" for name, _ in mine),
        ),
        undo=tuple(f"disable service {member} {DRAIN_SECONDS} -graceFul YES" for _, member in mine) if lets_in else (),
        see=(
            "`stat lb vserver`: total response bytes stay 0. With a hash and -sessionless, connections are 0, too.",
            common.BYPASSES,
        ),
        proves="client.bypass",
        server=server.name,
    )  # fmt: skip


def finish(deployment: Deployment) -> list[RunbookStep]:
    """After the last server."""
    return [
        RunbookStep(
            title="Save",
            why="Without it a reboot of the box loses everything. It also keeps what other people "
            "have changed and not saved.",
            commands=("save ns config",),
            check=("show ns config",),
            undo=("# after the undo of the steps above:", "save ns config"),
        ),
        RunbookStep(
            title="The other node of a pair",
            why="What is typed on the primary goes to the secondary. A pair that does not synchronise fails over "
            "without these virtual servers.",
            hand=("Fail over once in a quiet hour (`force ha failover`), and run dsrwizard verify again.",),
            check=("show ha node",),
            see=(
                "HA sync and propagation are ENABLED and without errors on both nodes.",
                common.passes_with(deployment, "the MAC of the other node"),
            ),
            back=("Fail back.",),
        ),
    ]
