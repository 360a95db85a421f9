"""The data model of a runbook, and the choice of a server's runbook by its system."""

from __future__ import annotations

from dsrwizard.core.model.deployment import Deployment, RealServer, System
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.tell.runbook import linux, windows
from dsrwizard.core.tell.runbook.step import RunbookStep

NAMES: dict[System, str] = {
    "linux": "Linux",
    "windows-2003": "Windows Server 2003",
    "windows-2008": "Windows Server 2008 and 2008 R2",
    "windows-2012": "Windows Server 2012 to 2025",
}


class Runbook(Shown, frozen=True, kw_only=True):
    """`before`: what to know or have at hand. `outside`: what dsrwizard sees of it without logging in."""

    title: str
    server: str
    system: System
    before: tuple[str, ...] = ()
    steps: tuple[RunbookStep, ...] = ()
    outside: tuple[str, ...] = ()


def declared_system(server: RealServer) -> System:
    """What the server runs, as far as the deployment says; Linux where it says nothing."""
    if server.system is not None:
        return server.system
    return "windows-2012" if server.connect == "winrm" else "linux"


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
        before=(f"VIP{'s' if len(vips) > 1 else ''}: {listed}. Server's own address: {server.address}.", *before),
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
