"""Repairs: the steps of the plan that fix the cause of a failed check, or who must fix it by hand. Pure.

The steps are those of `plan`, in its order of safety; two are made here because a plan has no need of them: a loose
reverse-path filter, and the announcement of a VIP that is in its place already.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.dialects.linux.plan import files_of, loose_filter
from dsrwizard.core.model.causes import CAUSES, CURABLE, HELD_BACK, by_hand
from dsrwizard.core.model.changes import (
    AnnounceChange,
    DestinationChange,
    FileChange,
    FolderChange,
    ModeChange,
    ModuleChange,
    SysctlChange,
)
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import CLIENT, DIRECTOR, HostPlan, Plan, Purpose, Step
from dsrwizard.core.plan.plan import plan as planned
from dsrwizard.core.plan.waves import staked
from dsrwizard.core.record.owed import place_of


class Cure(Shown, frozen=True, kw_only=True):
    """What is done about one failed check. Without `steps`, `by_hand` says why and who has to do something; what to do
    is the check's own fix. `notes` are what the operator may not expect of the steps."""

    check: Check
    steps: tuple[Step, ...] = ()
    by_hand: str = ""
    notes: tuple[str, ...] = ()


class Mending(Shown, frozen=True, kw_only=True):
    """What is done about some failed checks: a cure each, and one plan with every step once."""

    cures: tuple[Cure, ...]
    plan: Plan


class Mended(Shown, frozen=True, kw_only=True):
    """A failed check and what became of it. `after` is the same question asked again; None: it was not asked again."""

    cure: Cure
    after: Check | None
    cured: bool


class MendResult(Shown, frozen=True, kw_only=True):
    """How a mending ended. `report` is the verification after it; None: it was stopped before."""

    run: RunResult
    mended: tuple[Mended, ...]
    report: Report | None

    @property
    def cured(self) -> bool:
        """Every cause is gone, and was seen to be."""
        return all(one.cured for one in self.mended)


def concerning(
    checks: Sequence[Check], *, host: str = "", vip: str = "", service: str = "", cause: str = ""
) -> tuple[Check, ...]:
    """The checks about a host, a VIP, a service and with a cause; what is not given does not matter. A check of the
    director's that is about one real server is about that server, too."""
    return tuple(
        check
        for check in checks
        if (not host or host in (check.host, check.server))
        and (not vip or check.vip in ("", vip))
        and (not service or check.service in ("", service))
        and (not cause or check.cause == cause)
    )


def felt_at(
    checks: Sequence[Check], *, server: str, vip: str = "", service: str = "", cause: str = ""
) -> tuple[Check, ...]:
    """The failed checks behind the state of one real server in one service: those with its cause, also on the director
    or the client's side where no server is named; otherwise whatever failed about the server."""
    failed = [check for check in concerning(checks, vip=vip, service=service) if check.outcome == "fail"]
    about = [check for check in failed if server in (check.host, check.server)]
    shared = [check for check in failed if check.host in (DIRECTOR, CLIENT) and not check.server]
    named = [check for check in (*about, *shared) if cause and check.cause == cause]
    return tuple(named or about)


def mending(
    deployment: Deployment, observed: Observed, checks: Sequence[Check], drained: frozenset[str] = frozenset()
) -> Mending:
    """What to do about these failed checks. `drained` are places of destinations (`owed.place_of`) that the operator
    drained on purpose: curing their server does not send them clients."""
    found = _Finder(deployment, observed, drained)
    cures = tuple(found.cure(check) for check in checks)
    return Mending(cures=cures, plan=staked(found.together(cures), deployment, observed))


def mended(made: Mending, run: RunResult, report: Report | None) -> MendResult:
    """What became of each check, by the verification after it."""
    after = tuple(
        Mended(
            cure=cure,
            after=_again(cure.check, report) if report else None,
            cured=report is not None and _cured(cure.check, report),
        )
        for cure in made.cures
    )
    return MendResult(run=run, mended=after, report=report)


def _again(check: Check, report: Report) -> Check | None:
    """The same question in another report. A server that no longer leaks has no audit of its own: the VIP's tells."""
    same = [
        one for one in report.checks if (one.check, one.vip, one.service) == (check.check, check.vip, check.service)
    ]
    own = [one for one in same if (one.host, one.server) == (check.host, check.server)]
    return next(iter((*own, *(one for one in same if one.host == DIRECTOR and not one.server))), None)


def _cured(check: Check, report: Report) -> bool:
    """The cause is no longer found there, and the question could be answered."""
    still = concerning(report.failures, host=check.host, vip=check.vip, service=check.service, cause=check.cause)
    if any(one.server == check.server for one in still):
        return False
    after = _again(check, report)
    return after is None or (after.outcome != "unknown" and not after.consequence_of)


class _Finder:
    """The plan as it would be now, and what of it cures a check."""

    def __init__(self, deployment: Deployment, observed: Observed, drained: frozenset[str]) -> None:
        self._deployment = deployment
        self._observed = observed
        self._drained = drained
        self._plans = {host.host: host for host in planned(deployment, observed).hosts}
        self._servers = {server.name: server for server in deployment.servers}

    def cure(self, check: Check) -> Cure:
        if check.host in self._servers:
            return self._on_server(check, self._servers[check.host])
        if check.check == "director.beside" and check.host in self._plans:
            return self._on_other_director(check)
        if check.cause in CURABLE and CAUSES[check.cause].place != "server":
            return self._on_director(check)
        if check.cause == "not-persistent" and check.host == DIRECTOR:
            return self._on_director(check)
        if check.cause in ("director-setting", "guard-off") and check.host == DIRECTOR:
            made = self._on_director(check)  # some settings are apply's own, and so is a guard where systemd runs it
            return made if made.steps else _by_hand(check)
        if check.cause == "guard-off" and check.host in self._plans:
            return self._on_other_director(check)
        return _by_hand(check)

    def together(self, cures: Sequence[Cure]) -> Plan:
        """Every step once, each host's in the plan's order and those of no plan after them."""
        chosen = {(step.host, step.id): step for cure in cures for step in cure.steps}
        names = [DIRECTOR, *(peer.name for peer in self._deployment.director.peers), *self._servers]
        involved = {step.host for step in chosen.values()} | {step.server for step in chosen.values()}
        hosts = []
        for name in names:
            if name not in involved:
                continue
            order = [step.id for step in self._plans[name].steps] if name in self._plans else []
            mine = [step for (host, _), step in chosen.items() if host == name]
            mine.sort(key=lambda step: order.index(step.id) if step.id in order else len(order))
            notes = dict.fromkeys(
                note for cure in cures if name in (cure.check.host, cure.check.server) for note in cure.notes
            )
            hosts.append(HostPlan(host=name, steps=tuple(mine), notes=tuple(notes)))
        return Plan(deployment=self._deployment.name, hosts=tuple(hosts))

    # --- a real server

    def _on_server(self, check: Check, server: RealServer) -> Cure:
        host = self._plans[server.name]
        reached = server.connect != "manual" and not host.problem
        steps, notes = self._of_server(check, server, host) if reached else ([], [])
        if not steps and check.cause not in CURABLE:
            return _by_hand(check)
        if server.connect == "manual":
            return Cure(check=check, by_hand=f"{server.name} is configured by hand: its operator has to fix this.")
        if host.problem:
            return Cure(check=check, by_hand=f"{server.name} cannot be changed from here. {host.problem}")
        if not steps:
            return _nothing(check)
        if check.cause in HELD_BACK and [step.purpose for step in steps] != [
            "hygiene"
        ]:  # of that no client feels anything
            lifted, more = self._to_weight(server, check.vip)
            steps, notes = [*steps, *lifted], [*notes, *more]
        if check.cause in ("arp-leak", "arp-announce"):
            steps = [*steps, *self._announcements(server)]
        return Cure(check=check, steps=tuple(steps), notes=tuple(notes))

    def _of_server(self, check: Check, server: RealServer, host: HostPlan) -> tuple[list[Step], list[str]]:
        guard = [step for step in host.steps if step.phase == "guard"]
        fresh = _for(host, "adapter")
        match check.cause:
            case "vip-missing" | "vip-prefix":
                vip = next(iter(_for(host, "vip", check.vip)), None)
                if vip is None:
                    return [], []
                wanted = [*fresh, *_in_force(guard), vip, *self._kept(server, host)]
                return [step for step in host.steps if step in wanted], []
            case "arp-leak":
                return _setting(guard, "arp_ignore"), []
            case "arp-announce":
                return _setting(guard, "arp_announce"), []
            case "unreachable":
                return _unmuting(host), []
            case "rp-filter":
                facts = self._observed.servers[server.name]
                note = f"After a reboot {server.name} has its old value again, unless a file in /etc/sysctl.d sets 2."
                return loose_filter(server, facts), [note]
            case "not-persistent":
                return [s for s in host.steps if any(isinstance(change, FileChange) for change in s.changes)], []
            case "weak-host":
                return _for(host, "weak-host"), []
            case "windows-adapter":
                # With the adapter everything on it is gone.
                return [*host.steps] if fresh else _for(host, "hygiene"), []
            case "firewall" | "site-binding":
                # Where Windows can do it with a rule or a binding of ours; on Linux no step has such a purpose.
                return _for(host, "firewall" if check.cause == "firewall" else "sites", check.vip), []
            case _:
                return [], []

    def _kept(self, server: RealServer, host: HostPlan) -> list[Step]:
        """Where nothing of the deployment was ever kept over a reboot, that is part of the missing VIP; where something
        was, its loss is a fault of its own."""
        facts = self._observed.servers[server.name]
        if any(facts.files.get(path) is not None for path in files_of(self._deployment.name)):
            return []
        return _for(host, "persistence")

    # --- the director

    def _on_director(self, check: Check) -> Cure:
        if not self._deployment.director.driven:
            return Cure(check=check, by_hand="Another product is the load balancer here: its operator has to fix this.")
        host = self._plans[DIRECTOR]
        if host.problem:
            return Cure(check=check, by_hand=f"The director cannot be changed from here. {host.problem}")
        server = self._plans.get(check.server)
        if server is not None and server.problem:
            return Cure(
                check=check,
                by_hand=f"{check.server} gets clients only when dsrwizard can check it. {server.problem}",
            )
        steps = self._of_director(check, host)
        if not steps:
            return _nothing(check)
        drained = check.cause == "drained" and any(place_of(change) in self._drained for change in _destinations(steps))
        notes = (f"{check.server} was drained on purpose in the live pane.",) if drained else ()
        return Cure(check=check, steps=tuple(steps), notes=notes)

    def _on_other_director(self, check: Check) -> Cure:
        host = self._plans[check.host]
        if host.problem:
            return Cure(check=check, by_hand=f"{check.host} cannot be changed from here. {host.problem}")
        alike = check.check == "director.beside"  # whatever differs there breaks clients' connections
        steps = host.steps if alike else _for(host, "guard-service")
        return Cure(check=check, steps=tuple(steps)) if steps else _by_hand(check)

    def _of_director(self, check: Check, host: HostPlan) -> list[Step]:
        match check.cause:
            case "director-vip":
                return _for(host, "vip", check.vip)
            case "not-persistent":
                return _for(host, "persistence")
            case "guard-off":
                return _for(host, "guard-service")
            case "director-setting":
                named = {word.partition("=")[0] for word in check.fix.split()}
                return [
                    step for step in _for(host, "setting")
                    if any(_names(change, named) for change in step.changes)
                ]  # fmt: skip
            case "stale-arp":
                return [step for step in [self._announcement(check.vip)] if step is not None]
            case _:
                pass
        if any(isinstance(change, ModuleChange) for step in host.steps for change in step.changes):
            return [step for step in host.steps if step.phase != "vip"]
        if check.server:
            return _behind(host, check.vip, check.service, check.server)
        steps = _for(host, "service", check.vip, check.service)
        if check.cause == "ipvs-missing":  # with the service all servers behind it are gone
            for name in self._servers:
                steps += _behind(host, check.vip, check.service, name)
        return steps

    def _to_weight(self, server: RealServer, vip: str) -> tuple[list[Step], list[str]]:
        """The director's steps that bring a cured server back to its weight, once proved: those that its failed probe
        had held back. What is wrong with its destination otherwise is a fault of its own."""
        host = self._plans.get(DIRECTOR)
        if host is None:
            return [], []
        if host.problem:
            return [], [f"Its weight on the director does not change. {host.problem}"]
        steps: list[Step] = []
        notes: list[str] = []
        about = [one for one in self._deployment.vips_of(server) if vip in ("", one.address)]
        places = [(one.address, service) for one in about for service in one.services]
        for address, service in places:
            mine = _behind(host, address, service.label, server.name)
            first = next((change for change in _destinations(mine)), None)
            if first is None or not self._held_back(first):
                continue
            if place_of(first) in self._drained:
                place = f"{address} {service.label}"
                notes.append(f"{server.name} stays at weight 0 in {place}: it was drained on purpose.")
            else:
                steps += mine
        return steps, notes

    def _held_back(self, change: DestinationChange) -> bool:
        """Whether the destination is as apply leaves one whose probe failed: at weight 0, or not there yet."""
        director = self._observed.director
        if director is None or director.service(change.service) is None:
            return False
        return change.old is None or (change.old.method == "dr" and change.old.weight == 0)

    def _announcements(self, server: RealServer) -> list[Step]:
        """Neighbours that learned a leaking server's MAC have to learn the director's anew."""
        vips = [vip for vip in self._deployment.vips_of(server) if vip.ip.version == 4]
        made = (self._announcement(vip.address, server.name) for vip in vips)
        return [step for step in made if step is not None]

    def _announcement(self, vip: str, server: str = "") -> Step | None:
        """Only what the director holds is announced: for anything else that would be theft."""
        facts, host = self._observed.director, self._plans.get(DIRECTOR)
        if facts is None or host is None or host.problem:
            return None
        interface = self._deployment.director.interface
        if not any(link.up and link.has(vip) for link in facts.interfaces):
            return None
        return Step(
            id=f"announce {vip} {server}".strip(),
            purpose="announce",
            vip=vip,
            host=DIRECTOR,
            phase="vip",
            title=f"Announce {vip} on {interface}",
            why="Neighbours that have another MAC for the VIP learn the director's at once.",
            changes=(AnnounceChange(interface=interface, address=vip),),
            server=server,
        )


def _behind(host: HostPlan, vip: str, service: str, server: str) -> list[Step]:
    """The director's steps about one real server in one service."""
    return [
        step
        for step in (*_for(host, "destination", vip, service), *_for(host, "weight", vip, service))
        if step.server == server
    ]


def _for(host: HostPlan, purpose: Purpose, vip: str = "", service: str = "") -> list[Step]:
    """The steps with this purpose; those about another VIP or service than the one given, where one is, left out."""
    return [
        step
        for step in host.steps
        if step.purpose == purpose and vip in ("", step.vip) and service in ("", step.service)
    ]


def _destinations(steps: Sequence[Step]) -> list[DestinationChange]:
    return [change for step in steps for change in step.changes if isinstance(change, DestinationChange)]


def _in_force(guard: Sequence[Step]) -> list[Step]:
    """The guard, where it is not only its file that is missing."""
    return [step for step in guard if not all(isinstance(change, FileChange | FolderChange) for change in step.changes)]


def _setting(guard: Sequence[Step], name: str) -> list[Step]:
    """The guard, where it sets this."""
    return [
        step
        for step in guard
        if any(isinstance(change, SysctlChange) and change.key.endswith(f".{name}") for change in step.changes)
    ]


def _unmuting(host: HostPlan) -> list[Step]:
    """The guard, where the server answers for none of its addresses: arp_ignore 8 (ip-sysctl)."""
    return [
        step
        for step in host.steps
        if step.phase == "guard"
        and any(
            isinstance(change, SysctlChange) and change.key.endswith(".arp_ignore") and change.old.isdigit()
            and int(change.old) == 8
            for change in step.changes
        )
    ]  # fmt: skip


def _by_hand(check: Check) -> Cure:
    return Cure(check=check, by_hand=by_hand(check.cause, check.host))


def _nothing(check: Check) -> Cure:
    where = "the director" if check.host in (DIRECTOR, CLIENT) else check.host
    return Cure(
        check=check,
        by_hand=f"Everything dsrwizard sets up on {where} is in place, so no step fixes this. See the fix below.",
    )


def _names(change: object, named: set[str]) -> bool:
    """Whether a change is of a setting that a fix names, or turns on what an appliance needs."""
    return isinstance(change, ModeChange) or (isinstance(change, SysctlChange) and change.key in named)
