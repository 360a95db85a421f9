"""HAProxy ALOHA by hand: the text of the LB Layer4 tab."""

from __future__ import annotations

from dsrwizard.core.dialects.aloha.writer import aloha_text, director_name, head_line, quicker, section, server_line
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.tell.runbook.balancer import common
from dsrwizard.core.tell.runbook.step import COMPARED, RunbookStep

BEFORE = (
    "Menus are those of the ALOHA documentation 12 to 15.5, or similar. The box is managed at https://ADDRESS:4444.",
    "Keep a copy of the present text of the LB Layer4 tab: pasting it again is the undo of everything here.",
)


def setup(deployment: Deployment) -> list[RunbookStep]:
    """Until servers get clients."""
    steps = [
        RunbookStep(
            title=f"{vip.address} on the ALOHA",
            why="The VIP is an address of the box, and of the pair where there are two. Two nodes must not have it at "
            "once.",
            hand=(
                f"Network: add {vip.address} as a shared (VRRP) address of the interface in the real servers' "
                "network; on "
                "a single box as an address of that interface.",
            ),
            see=(f"dsrwizard verify finds one owner of {vip.address} in ARP: the ALOHA.",),
            back=(f"Remove {vip.address} from that interface.",),
            proves="arp.audit",
            vip=vip.address,
        )
        for vip in deployment.vips
    ]
    named = ", ".join(director_name(deployment, vip, service) for vip, service in common.each(deployment))
    steps.append(
        RunbookStep(
            title="The text of the LB Layer4 tab",
            why="One director for each service. `mode gateway` is direct server return; without it the box may take "
            "NAT. "
            "The port of a server is always the VIP's: direct routing cannot change ports.",
            hand=("No server stands in it yet: each gets its line in its own step below, once it is proved.",),
            commands=tuple(section(deployment, vip, service).rstrip("\n") for vip, service in common.each(deployment)),
            see=("The tab accepts the text and shows it again as it stands here.",),
            back=(f"Delete the sections {named}, or paste the copy of before.",),
        )
    )
    udp = next((service for _, service in common.each(deployment) if service.protocol == "udp"), None)
    first = udp or next(service for _, service in common.each(deployment))
    steps.append(
        RunbookStep(
            title="Checks that are quicker than 10 seconds, if you want them",
            why="Without arguments a server is asked every 10 seconds. Where the arguments stand differs by version. "
            "Checks ask the server's own address"
            + (", for UDP only whether it answers ARP." if udp is not None else "."),
            commands=tuple(f"# {version}:\n{line}" for version, line in quicker(first)),
            see=("A server whose application is stopped leaves within the time of two or three checks.",),
            back=("Take the arguments out again.",),
        )
    )
    return steps


def admit(deployment: Deployment, server: RealServer) -> RunbookStep:
    """A server gets clients."""
    lines = [
        line
        for vip in deployment.vips_of(server)
        for service in vip.services
        for line in (head_line(deployment, vip, service), server_line(vip, service, server))
    ]
    return RunbookStep(
        title=f"{server.name} {'gets clients' if server.weight else 'has no line: its weight is 0'}",
        why="Its line in each director lets clients in.",
        commands=tuple(lines) if server.weight else (),
        hand=() if server.weight else ("Nothing is to be done.",),
        see=(
            f"What the box shows of its Layer 4 servers, or similar: {server.name} is up. It speaks of the server's "
            "own address.",
            common.BYPASSES,
        ),
        back=("Take the line out and apply: that holds the server.",),
        proves="client.bypass",
        server=server.name,
    )  # fmt: skip


def finish(deployment: Deployment) -> list[RunbookStep]:
    """After the last server."""
    return [
        RunbookStep(
            title="The whole text of the tab",
            why="With every server that was proved. A server of weight 0 has no line: that holds it.",
            commands=tuple(aloha_text(deployment).rstrip("\n").split("\n\n")),
            see=("Copy the whole tab into a file and compare it: dsrwizard runbook with --compare and that file.",),
            back=("Paste the copy of before.",),
            proves=COMPARED,
        ),
        RunbookStep(
            title="Save the configuration",
            why="What is applied and not saved is lost when the box reboots.",
            hand=("Save the configuration of the box after the last change.",),
            see=("After its next reboot the tab has the same text: compare it as above.",),
            back=("Save again after the undo.",),
        ),
        RunbookStep(
            title="The other node of a pair",
            why="The configuration is never synchronised by itself: each service is pushed by hand.",
            hand=(
                "Push the service ipvsd (LB Layer4) to the peer, and save there, too.",
                "`service vrrp` of both nodes has `track_svc haproxy ipvsd`: otherwise the pair does not fail over "
                "when layer 4 stops.",
                "Fail over once and run dsrwizard verify again: the VIP's MAC is then that of the other node.",
            ),
            see=("dsrwizard verify passes on either node.",),
            back=("Push again after the undo.",),
        ),
    ]
