"""The check `director.guard`: whether the guard that the deployment asks for is at work, sees, and is started again."""

from __future__ import annotations

from typing import NamedTuple

from dsrwizard.core.diagnosis.director_boot import AS_ROOT
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import DirectorFacts, ServerFacts
from dsrwizard.core.model.guarding import GuardState, guard_unit
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.guard_unit import RUN_IT, GuardPlace, UnitDiffers, guard_place, unit_differs
from dsrwizard.core.plan.keepalived import director_hosts, of_director, side_of
from dsrwizard.core.plan.spread import as_there
from dsrwizard.core.plan.standing import as_director

_APPLY = "dsrwizard apply sets it up and starts it."


class _Watched(NamedTuple):
    """A director whose guard is looked for. `deployment` is as that guard is to read it; `on` begins a fix."""

    deployment: Deployment
    facts: DirectorFacts | ServerFacts
    place: GuardPlace | None
    state: GuardState | None

    @property
    def name(self) -> str:
        return self.place.host if self.place is not None else DIRECTOR

    @property
    def here(self) -> bool:
        return self.name == DIRECTOR

    @property
    def on(self) -> str:
        return "On the director" if self.here else f"On {self.name}"

    @property
    def there(self) -> str:
        return "" if self.here else f" on {self.name}"

    @property
    def fault(self) -> Fault:
        return Fault(host=self.name, cause="guard-off", aside=True)

    @property
    def differs(self) -> UnitDiffers:
        return unit_differs(self.deployment, self.place) if self.place is not None else "missing"


def guarding(evidence: Evidence, faults: Found) -> list[Check]:
    """A check for each director with a guard of its own that was looked at, where the file asks for one."""
    deployment = evidence.deployment
    if not deployment.director.guard or not deployment.director.in_kernel:
        return []
    return [_guard(evidence, faults, watched) for watched in _watched(evidence)]


def _watched(evidence: Evidence) -> list[_Watched]:
    deployment, facts = evidence.deployment, evidence.observed.director
    found = [] if facts is None else [_Watched(deployment, facts, guard_place(DIRECTOR, facts), facts.guard)]
    for peer in deployment.director.peers if deployment.director.spread else ():
        other = as_director(evidence.observed.servers.get(peer.name))
        if isinstance(other, DirectorFacts):
            found.append(_Watched(as_there(deployment, peer), other, guard_place(peer.name, other), other.guard))
    if deployment.director.engine != "keepalived":
        return found
    for host in director_hosts(deployment, evidence.observed):
        seen = host.facts.keepalived if host.facts is not None else None
        if host.name == DIRECTOR or host.facts is None or seen is None:
            continue  # the check `director.keepalived` says that it was not looked at
        side = side_of(deployment, host, evidence.observed)
        theirs = deployment if isinstance(side, str) else of_director(deployment, host.name, side)
        found.append(_Watched(theirs, host.facts, guard_place(host.name, host.facts), seen.guard))
    return found


def _guard(evidence: Evidence, faults: Found, watched: _Watched) -> Check:
    where, state = Where(check="director.guard", host=watched.name), watched.state
    if not evidence.deployed and state is None and watched.differs == "missing":
        what = "this director" if watched.here else watched.name
        return where.skipped(f"The deployment is not set up on {what}.")
    if state is None and not watched.facts.privileged:
        return where.unknown(
            f"Could not check whether the guard{watched.there} is at work.", "Only root may see it.", AS_ROOT
        )
    if state is None or watched.place is None or not watched.place.runs:
        return _idle(where, faults, watched)
    if state.blind:
        return _blind(where, faults, watched, state)
    lapse = _lapse(watched, state)
    if lapse is not None:
        return faults.fail(where, watched.fault, *lapse)
    return where.passed(f"The guard{watched.there} is at work: it {state.words}.", _seen(state))


def _idle(where: Where, faults: Found, watched: _Watched) -> Check:
    state, place = watched.state, watched.place
    if state is None:
        seen = "It has written nothing since the last boot."
    elif state.ended:
        seen = "Its last round said that it was stopped."
    else:
        seen = "Its last round is too long ago: it was killed, or it hangs."
    held = dict.fromkeys(one.place.server for one in state.held) if state is not None else ()
    kept = f" {', '.join(held)} stay out as it left them." if held else ""
    if place is None or not place.systemd:
        fix = f"{RUN_IT}." if watched.here else f"{watched.on}, have this run all the time: dsrwizard guard FILE"
    elif not place.program:
        fix = f"Install dsrwizard on {watched.name}, then: dsrwizard apply FILE"
    elif watched.differs:
        fix = _APPLY
    else:
        fix = f"{watched.on}: systemctl restart {guard_unit(watched.deployment.name)}"
    who = "nobody takes dead servers out" if watched.here else "nobody proves there what clients would get"
    return faults.fail(
        where, watched.fault,
        f"No guard is at work{watched.there}, and the deployment asks for one: {who}.{kept}", seen, fix,
    )  # fmt: skip


def _blind(where: Where, faults: Found, watched: _Watched, state: GuardState) -> Check:
    """Where something else is wrong, that is why it sees nothing."""
    known = next((fault for fault in faults.every if not fault.aside), None)
    words = f"The guard{watched.there} changes nothing. {state.blind}"
    if known is not None:
        return where.follows(known, words, _seen(state))
    whose = "this director's" if watched.here else f"{watched.name}'s"
    return faults.fail(
        where, watched.fault, words, _seen(state), f"Look at {whose} own way to the real servers first: ip -br link"
    )


def _lapse(watched: _Watched, state: GuardState) -> tuple[str, str, str] | None:
    """What will end it for good, though it is at work: message, evidence, fix."""
    if watched.place is None or not watched.place.systemd:
        return None
    unit = guard_unit(watched.deployment.name)
    if watched.differs:
        what = {
            "missing": f"It was started by hand: there is no unit {unit}.",
            "disabled": f"{unit} is not enabled.",
            "other": f"{unit} is not as dsrwizard writes it.",
            "reads-other": "It reads another deployment than this file.",
        }[watched.differs]
        words = f"The guard{watched.there} is at work, and not as it should be. {what}"
        return words, _seen(state), _APPLY if watched.place.program else f"Install dsrwizard on {watched.name}."
    if not state.watchdog:
        words = f"The guard{watched.there} is at work without a watchdog: nobody starts it again when it hangs."
        return words, f"systemd has given it no WatchdogSec; pid {state.pid}", f"{watched.on}: systemctl cat {unit}"
    return None


def _seen(state: GuardState) -> str:
    watched = f"watchdog {state.watchdog:g} s" if state.watchdog else "no watchdog"
    return f"pid {state.pid}, {state.rounds} rounds, the last took {state.round_seconds:.2f} s; {watched}"
