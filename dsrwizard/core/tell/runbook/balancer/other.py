"""Any other load balancer by hand: the same skeleton, with the words of products that are known. Sources: F5,
"Configuring nPath Routing"; A10, `no-dest-nat` of a virtual port; Kemp, "Configuring DSR"."""

from __future__ import annotations

from dsrwizard.core.model.deployment import SCHEDULERS, Deployment, RealServer
from dsrwizard.core.tell.runbook.balancer import common
from dsrwizard.core.tell.runbook.step import RunbookStep

BEFORE = (
    "Where a step has words of a product, they are from its maker's documents; your version may word them differently.",
    "Keep a backup of the box's configuration: it is the undo of everything here.",
)
WORDS: dict[str, tuple[tuple[str, str], ...]] = {
    "return": (
        ("F5", "nPath: a FastL4 profile with loose initiation and loose close; address translation off, port "
         "translation off, no SNAT"),
        ("A10", "no-dest-nat on the virtual port (aXAPI: no-dest-nat 1)"),
        ("Kemp", "Force L4 on the virtual service; forwarding method Direct return on each real server; one-arm only"),
        ("Avi, NSX ALB", "a DSR profile, L2"),
        ("Another", "direct routing, direct server return, MAC mode, gateway mode, one-arm DSR, nPath"),
    ),
    "check": (
        ("F5", "a transparent monitor with the VIP as alias address: it asks the VIP through each server"),
        ("A10", "the health monitor of the service-group; it asks the server's own address"),
        ("Kemp", "the check of the virtual service; it asks the server's own address"),
        ("Another", "what is asked: the server's own address, or the VIP at the server's MAC"),
    ),
    "persistence": (
        ("Kemp", "source IP alone"),
        ("Another", "by the client's address. Cookies and TLS sessions need a box that sees replies"),
    ),
}  # fmt: skip
"""What is set → each product's word for it."""


def _words(what: str) -> tuple[str, ...]:
    return tuple(f"{product}: {word}." for product, word in WORDS[what])


def setup(deployment: Deployment) -> list[RunbookStep]:
    """Until servers get clients."""
    steps: list[RunbookStep] = []
    for vip, service in common.each(deployment):
        rips = ", ".join(f"{server.name} {rip} weight {server.weight}" for server, rip in common.rips(deployment, vip))
        kept = f"{service.persistence} seconds" if service.persistence else "none"
        steps.append(
            RunbookStep(
                title=f"Virtual service {service.label} of {vip.address}",
                why="Layer 4, and nothing that rewrites, proxies or decrypts: the box sees one direction only.",
                hand=(
                    f"A layer 4 virtual service: {vip.address}, {service.protocol.upper()}, port {service.port}.",
                    f"Members, disabled at first: {rips}. Their port is {service.port}: direct routing cannot change "
                    "ports.",
                    f"Scheduler: {service.scheduler} ({SCHEDULERS[service.scheduler]}). Persistence: {kept}.",
                ),
                see=(f"dsrwizard verify: one foreign MAC answers for {vip.address}.",),
                back=("Delete the virtual service.",),
                proves="arp.audit",
                vip=vip.address,
            )
        )
    steps += [
        RunbookStep(
            title="Direct server return",
            why="The box must change nothing but the MAC address. With NAT or a proxy the replies would have to pass "
            "it.",
            hand=_words("return"),
            see=("The steps below prove it for each server.",),
            back=("It goes with the virtual service.",),
        ),
        RunbookStep(
            title="The box's own check",
            why="A check of the server's own address proves that the server lives. It proves nothing of the VIP.",
            hand=_words("check"),
            see=("A server whose application is stopped leaves.",),
            back=("It goes with the virtual service.",),
        ),
    ]
    if any(service.persistence for _, service in common.each(deployment)):
        steps.append(
            RunbookStep(
                title="Persistence",
                why="In one direction the box can keep a client by its address alone.",
                hand=_words("persistence"),
                see=("Connections of one client go to one server.",),
                back=("It goes with the virtual service.",),
            )
        )
    return steps


def admit(deployment: Deployment, server: RealServer) -> RunbookStep:
    """A server gets clients."""
    del deployment
    return RunbookStep(
        title=f"{server.name} gets clients" if server.weight else f"{server.name} stays disabled: its weight is 0",
        why="One server after the other, each once it is proved.",
        hand=(f"{'Enable' if server.weight else 'Do not enable'} the member {server.name}.",),
        see=(
            "The box's counter of bytes from the server to the client, where it has one, stays 0.",
            common.BYPASSES,
        ),
        back=("Disable the member; its connections end by their idle timeout.",),
        proves="client.bypass",
        server=server.name,
    )  # fmt: skip


def finish(deployment: Deployment) -> list[RunbookStep]:
    """After the last server."""
    return [
        RunbookStep(
            title="Keep it: save, and the other box of a pair",
            why="What is not saved is lost at a reboot, and what the other box does not have is lost at a failover.",
            hand=("Save the configuration. Fail over once in a quiet hour, and run dsrwizard verify again.",),
            see=(common.passes_with(deployment, "the MAC of the other box"),),
            back=("Save again after the undo.",),
        )
    ]
