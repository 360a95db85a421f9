"""The check `director.guard`: whether the guard that the deployment asks for is at work, sees, and is started again."""

from __future__ import annotations

from dsrwizard.core.diagnosis.director_boot import AS_ROOT
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.guard_unit import RUN_IT, UnitDiffers, guard_unit, unit_differs

_FAULT = Fault(host=DIRECTOR, cause="guard-off", aside=True)
_APPLY = "dsrwizard apply sets it up and starts it."


def guarding(evidence: Evidence, faults: Found) -> list[Check]:
    """One check, where the file asks for a guard and this machine is the director."""
    deployment, facts = evidence.deployment, evidence.observed.director
    if not deployment.director.guard or not deployment.director.in_kernel or facts is None:
        return []
    where = Where(check="director.guard", host=DIRECTOR)
    boot, state = facts.boot, facts.guard
    differs = unit_differs(deployment, boot) if boot is not None else "missing"
    if not evidence.deployed and state is None and differs == "missing":
        return [where.skipped("The deployment is not set up on this director.")]
    if state is None and not facts.privileged:
        return [where.unknown("Could not check whether the guard is at work.", "Only root may see it.", AS_ROOT)]
    if state is None or not facts.guarded:
        return [_idle(where, faults, deployment.name, facts, differs)]
    if state.blind:
        return [_blind(where, faults, state)]
    lapse = _lapse(deployment.name, boot, state, differs)
    if lapse is not None:
        return [faults.fail(where, _FAULT, *lapse)]
    return [where.passed(f"The guard is at work: it {state.words}.", _seen(state))]


def _idle(where: Where, faults: Found, name: str, facts: DirectorFacts, differs: UnitDiffers) -> Check:
    boot = facts.boot
    if facts.guard is None:
        seen = "It has written nothing since the last boot."
    elif facts.guard.ended:
        seen = "Its last round said that it was stopped."
    else:
        seen = "Its last round is too long ago: it was killed, or it hangs."
    held = dict.fromkeys(one.place.server for one in facts.guard.held) if facts.guard is not None else ()
    kept = f" {', '.join(held)} stay out as it left them." if held else ""
    if boot is None or not boot.systemd:
        fix = f"{RUN_IT}."
    elif differs:
        fix = _APPLY
    else:
        fix = f"On the director: systemctl restart {guard_unit(name)}"
    return faults.fail(
        where, _FAULT, f"No guard is at work, and the deployment asks for one: nobody takes dead servers out.{kept}",
        seen, fix,
    )  # fmt: skip


def _blind(where: Where, faults: Found, state: GuardState) -> Check:
    """Where something else is wrong, that is why it sees nothing."""
    known = next((fault for fault in faults.every if not fault.aside), None)
    words = f"The guard changes nothing. {state.blind}"
    if known is not None:
        return where.follows(known, words, _seen(state))
    return faults.fail(
        where, _FAULT, words, _seen(state), "Look at this director's own way to the real servers first: ip -br link"
    )


def _lapse(
    name: str, boot: DirectorBoot | None, state: GuardState, differs: UnitDiffers
) -> tuple[str, str, str] | None:
    """What will end it for good, though it is at work: message, evidence, fix."""
    if boot is None or not boot.systemd:
        return None
    unit = guard_unit(name)
    if differs:
        what = {
            "missing": f"It was started by hand: there is no unit {unit}.",
            "disabled": f"{unit} is not enabled.",
            "other": f"{unit} is not as dsrwizard writes it.",
            "reads-other": "It reads another deployment than this file.",
        }[differs]
        return f"The guard is at work, and not as it should be. {what}", _seen(state), _APPLY
    if not state.watchdog:
        words = "The guard is at work without a watchdog: nobody starts it again when it hangs."
        return words, f"systemd has given it no WatchdogSec; pid {state.pid}", f"On the director: systemctl cat {unit}"
    return None


def _seen(state: GuardState) -> str:
    watched = f"watchdog {state.watchdog:g} s" if state.watchdog else "no watchdog"
    return f"pid {state.pid}, {state.rounds} rounds, the last took {state.round_seconds:.2f} s; {watched}"
