"""The check `director.persistent`: whether the director's table and VIPs come back by themselves after its reboot."""

from __future__ import annotations

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.restoring import saved_path
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.director_boot import PLACES, command, missing, unit_file

AS_ROOT = "Run it with sudo."


def persistent(evidence: Evidence, faults: Found) -> list[Check]:
    """One check, where this machine is the director and the deployment is set up. keepalived brings table and VIPs back
    by itself; `director.keepalived` says whether it starts at boot."""
    deployment, facts = evidence.deployment, evidence.observed.director
    boot = facts.boot if facts is not None else None
    if deployment.director.engine != "netlink" or boot is None or facts is None:
        return []
    where = Where(check="director.persistent", host=DIRECTOR)
    if not evidence.deployed and boot.files.get(unit_file(deployment.name)) is None:
        return [where.skipped("The deployment is not set up on this director.")]
    if not (boot.systemd or boot.init or boot.by_hand):
        line = f"To bring the table and the VIPs back at boot, have it run: {command(deployment.name, boot)}"
        return [where.skipped("This machine runs no init system that dsrwizard knows.", line)]
    lost = missing(deployment, boot)
    if not lost and boot.saved == "unknown":
        path = saved_path(deployment.name)
        return [where.unknown("Could not check what the next boot restores.", f"Only root may read {path}.", AS_ROOT)]
    if not lost:
        unit = unit_file(deployment.name) if boot.systemd else ", ".join(boot.by_hand)
        seen = f"{unit}, {saved_path(deployment.name)}"
        return [where.passed("The director comes back by itself after a reboot.", seen)]
    return [
        faults.fail(
            where, Fault(host=DIRECTOR, cause="not-persistent", aside=True),
            f"The director does not come back as it is now after its next reboot: {lost}.", lost,
            ("dsrwizard apply writes what is missing." if boot.writable else "Run dsrwizard apply once with sudo.")
            if boot.systemd or boot.by_hand
            else f"On the director: put this line into {PLACES}, then apply again: {command(deployment.name, boot)}",
        )
    ]  # fmt: skip
