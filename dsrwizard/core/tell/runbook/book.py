"""The data model of a runbook, and the choice of a server's runbook by its system."""

from __future__ import annotations

from dsrwizard.core.model.deployment import Deployment, RealServer, System
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.plan.waves import names, nominal, stop_lines, wave_of
from dsrwizard.core.tell.runbook import linux, windows
from dsrwizard.core.tell.runbook.step import RunbookStep

NAMES: dict[System, str] = {
    "linux": "Linux",
    "windows-2003": "Windows Server 2003",
    "windows-2008": "Windows Server 2008 and 2008 R2",
    "windows-2012": "Windows Server 2012 to 2025",
}


class HandBook(Shown, frozen=True, kw_only=True):
    """Manual steps. `before`: what to know or have at hand. `outside`: what dsrwizard sees of it without logging in."""

    title: str
    before: tuple[str, ...] = ()
    steps: tuple[RunbookStep, ...] = ()
    outside: tuple[str, ...] = ()


class Runbook(HandBook, frozen=True, kw_only=True):
    """The manual steps for one real server."""

    server: str
    system: System


def declared_system(server: RealServer) -> System:
    """What the server runs, as far as the deployment says; Linux where it says nothing."""
    if server.system is not None:
        return server.system
    return "windows-2012" if server.connect == "winrm" else "linux"


def _turn(deployment: Deployment, server: RealServer) -> tuple[str, ...]:
    """When it is this server's turn among the others, and where to stop."""
    plan = nominal(deployment)
    number, total = wave_of(plan, server.name), len(plan.waves)
    lines: list[str] = []
    if number:
        earlier = [name for wave in plan.waves[: number - 1] for name in wave.servers]
        begin = (
            f" Begin when {names(earlier)} {'is' if len(earlier) == 1 else 'are'} proved. If one of them fails, stop: "
            f"{server.name} stays as it is."
        )
        lines.append(f"Wave {number} of {total}: {names(plan.waves[number - 1].servers)}.{begin if earlier else ''}")
        lines += stop_lines(plan)[number - 1 : number]
    by_hand = [one.name for one in deployment.servers if one.connect == "manual"]
    if server.name in by_hand and len(by_hand) > 1:
        lines.append(
            f"Set up by hand: {names(by_hand)}. Do one of them first. Go on with the next when dsrwizard verify finds "
            "nothing wrong with it, and stop at the first that fails."
        )
    return tuple(lines)


def runbook(deployment: Deployment, server: RealServer, system: System | None = None) -> Runbook:
    """The runbook for one real server; `system` where it is not what the deployment says."""
    chosen = system or declared_system(server)
    build = linux.steps if chosen == "linux" else windows.STEPS[chosen]
    before, steps = build(deployment, server)
    vips = deployment.vips_of(server)
    listed = ", ".join(vip.address for vip in vips)
    return Runbook(
        title=f"{server.name} ({server.address}) as a real server of {deployment.name}: {NAMES[chosen]}",
        server=server.name,
        system=chosen,
        before=(
            f"VIP{'s' if len(vips) > 1 else ''}: {listed}. Server's own address: {server.address}.",
            *_turn(deployment, server),
            *before,
        ),
        steps=steps,
        outside=(
            "dsrwizard verify sends a SYN to the VIP, addressed to this server's MAC. An answer proves that the "
            "server has the VIP, that an application listens on it, and that no firewall blocks it (vip.probe).",
            "It asks on the network who has the VIP and collects every answer. This server must not answer "
            "(arp.audit).",
            "It cannot see everything from outside, for example whether the settings survive a reboot. Check that "
            "on the server.",
        ),
    )
