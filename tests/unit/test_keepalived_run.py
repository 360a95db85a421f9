"""The run over two directors with keepalived: who is touched when, what stops it, what is written for the unproved."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import msgspec

from dsrwizard.core.dialects.keepalived.reading import weights_in
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.changes import FileChange, FileState, KeepalivedChange
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import CommandFailed
from dsrwizard.core.model.facts import DirectorFacts, Failure, Observed, ServerFacts, VirtualService
from dsrwizard.core.model.keepalived import KEEPALIVED_CONF, KeepalivedFacts, TableEntry, TableService, services_file
from dsrwizard.core.model.outcome import Outcome, RunResult
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step
from dsrwizard.core.plan.keepalived import plan_keepalived
from dsrwizard.core.plan.teardown import teardown_plan
from dsrwizard.core.ports import DirectorPort, ProbeTarget, ServerPort, WirePort
from dsrwizard.core.record.owed import Intent, owed
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.keepalived_run import KeepalivedApplier
from tests.unit.test_keepalived_plan import ABLE, SHOP, bare, links, put, settled


def as_its_files_say(seen: KeepalivedFacts) -> KeepalivedFacts:
    """The same with the table that keepalived makes of its services file."""
    state = seen.files.get(services_file("shop"))
    entries = tuple(
        TableEntry(address=rip, port=80, method="dr", weight=weight)
        for (_, rip), weight in weights_in(state.content if state is not None else "").items()
    )
    service = TableService(protocol="tcp", address="10.0.0.10", port=80, scheduler="mh", entries=entries)
    return msgspec.structs.replace(seen, table=(service,) if entries else ())


class Machine:
    """A director that does what its steps say: DirectorPort and ServerPort at once, as far as a run asks."""

    def __init__(self, pair: Pair, name: str, address: str, seen: KeepalivedFacts, *, holds: bool) -> None:
        self.pair, self.name, self.address, self.seen, self.holds = pair, name, address, seen, holds
        self.refuses = False
        self.ends_up_with: KeepalivedFacts | None = None
        """What keepalived makes of its files, where it is not what they say."""

    def observe(self, _deployment: Deployment, **_how: object) -> DirectorFacts | ServerFacts:
        interfaces = links(self.address, *(["10.0.0.10"] if self.holds else []))
        if self.name == DIRECTOR:
            return DirectorFacts(privileged=True, interfaces=interfaces, keepalived=self.seen)
        seen = self.seen
        return ServerFacts(
            host=self.name, privileged=True, interfaces=interfaces, keepalived=seen, files=seen.files,
            folders=seen.folders,
        )  # fmt: skip

    def apply(self, steps: Step | Sequence[Step], watch: StepWatch | None = None, _revert: float = 0.0) -> None:
        for step in [steps] if isinstance(steps, Step) else steps:
            self.pair.touched.append((self.name, step))
            if watch is not None:
                watch.started(step)
            if self.refuses:
                raise CommandFailed(f"{self.name}: keepalived does not take the new files.")
            self.seen = self.ends_up_with or as_its_files_say(put(self.seen, [step]))
            if watch is not None:
                watch.finished(step, True, "")
        if self.seen.running and not any(one.holds for one in self.pair.machines.values()):
            self.holds = True

    def services(self) -> Sequence[VirtualService]:
        return []

    def save(self, _deployment: Deployment) -> None:
        pass

    def keep(self) -> None:
        pass

    def close(self) -> None:
        pass


class Pair:
    """Two directors before a run, and two real servers of which some do not answer for the VIP."""

    def __init__(self, observed: Observed | None = None, mute: Sequence[str] = ()) -> None:
        self.touched: list[tuple[str, Step]] = []
        here, there = bare(), bare()
        holds = False
        if observed is not None:
            assert observed.director is not None
            here = observed.director.keepalived or here
            there = observed.servers["lb2"].keepalived or there
            holds = True
        self.machines = {
            DIRECTOR: Machine(self, DIRECTOR, "10.0.0.2", here, holds=holds),
            "lb2": Machine(self, "lb2", "10.0.0.3", there, holds=False),
        }
        self.mute = mute
        self.dead = ""
        """The director that nobody can ask."""

    def observed(self) -> Observed:
        here, there = (machine.observe(SHOP) for machine in self.machines.values())
        assert isinstance(here, DirectorFacts)
        assert isinstance(there, ServerFacts)
        if self.dead:
            failed = {"lb2": Failure(kind="timeout", what="lb2 does not answer.")}
            return Observed(director=here, failed=failed)
        return Observed(director=here, servers={"lb2": there})

    def probe(self, _interface: str, targets: Sequence[ProbeTarget], *_more: object) -> list[Probed]:
        return [
            Probed(
                vip=one.vip, port=one.port, protocol=one.protocol, rip=one.rip, mac="02:00:00:00:00:01",
                signature="silence" if one.rip in self.mute else "syn-ack",
                answered_by="" if one.rip in self.mute else "02:00:00:00:00:01",
            )
            for one in targets
        ]  # fmt: skip

    def _applier(self, folder: Path, deployment: Deployment) -> KeepalivedApplier:
        def port(server: RealServer) -> ServerPort:
            return cast("ServerPort", self.machines[server.name])

        return KeepalivedApplier(
            deployment,
            hosts=Hosts(lambda: cast("DirectorPort", self.machines[DIRECTOR]), port),
            wire=cast("WirePort", self),
            run=Journals(folder).of("shop").begin("apply", deployment),
            watch=lambda _event: None,
        )

    def apply(self, folder: Path, deployment: Deployment = SHOP) -> RunResult:
        hosts = plan_keepalived(deployment, self.observed(), ABLE)
        servers = [HostPlan(host=server.name) for server in deployment.servers]
        return self._applier(folder, deployment).apply(Plan(deployment="shop", hosts=(*hosts, *servers)))

    def withdraw(self, folder: Path) -> RunResult:
        plan = teardown_plan("shop", owed(Journals(folder).of("shop").entries()), self.observed())
        return self._applier(folder, SHOP).withdraw(plan)


HEAVIER = msgspec.structs.replace(SHOP, servers=(msgspec.structs.replace(SHOP.servers[0], weight=5), *SHOP.servers[1:]))


def reads(machine: Machine) -> str:
    state = machine.seen.files[services_file("shop")]
    assert state is not None
    return state.content


def test_a_bare_pair_is_set_up_and_the_second_run_touches_nobody(tmp_path: Path) -> None:
    pair = Pair()
    assert pair.apply(tmp_path).ok
    assert [name for name, _ in pair.touched] == [DIRECTOR, "lb2"]
    pair.touched.clear()
    assert pair.apply(tmp_path).ok
    assert pair.touched == []


def test_the_director_that_serves_is_left_alone_when_the_other_one_fails(tmp_path: Path) -> None:
    pair = Pair(settled())
    pair.machines["lb2"].refuses = True
    before = reads(pair.machines[DIRECTOR])
    result = pair.apply(tmp_path, HEAVIER)
    assert not result.ok
    assert [name for name, _ in pair.touched] == ["lb2"]
    assert reads(pair.machines[DIRECTOR]) == before
    outcomes = {host.host: [step.outcome for step in host.steps] for host in result.hosts}
    assert outcomes[DIRECTOR] == [Outcome.NOT_ATTEMPTED]


def test_a_dead_director_keeps_nobody_from_changing_the_one_that_serves(tmp_path: Path) -> None:
    pair = Pair(settled())
    pair.dead = "lb2"
    result = pair.apply(tmp_path, HEAVIER)
    assert [name for name, _ in pair.touched] == [DIRECTOR]
    assert "weight 5" in reads(pair.machines[DIRECTOR])
    assert not result.ok, "the other one has the old files"
    pair.touched.clear()
    fewer = msgspec.structs.replace(HEAVIER, servers=HEAVIER.servers[:1])
    pair.apply(tmp_path, fewer)
    assert "real_server 10.0.0.102 80 {\n        weight 0\n" in reads(pair.machines[DIRECTOR]), (
        "the other may send to it"
    )


def test_a_table_that_is_not_what_the_files_say_stops_the_run_before_the_serving_director(tmp_path: Path) -> None:
    """keepalived refuses a reload without telling anybody but its log."""
    from dsrwizard.engine import keepalived_run

    pair = Pair(settled())
    pair.machines["lb2"].ends_up_with = pair.machines["lb2"].seen
    seconds, keepalived_run.LOOK_SECONDS = keepalived_run.LOOK_SECONDS, 0.1
    try:
        result = pair.apply(tmp_path, HEAVIER)
    finally:
        keepalived_run.LOOK_SECONDS = seconds
    assert not result.ok
    assert [name for name, _ in pair.touched] == ["lb2"]
    told = next(host for host in result.hosts if host.host == "lb2")
    assert "web1 behind 10.0.0.10 tcp/80 has the weight 1" in str(told)


def test_a_server_that_does_not_answer_for_the_vip_gets_no_clients(tmp_path: Path) -> None:
    pair = Pair(mute=["10.0.0.102"])
    result = pair.apply(tmp_path)
    assert not result.ok
    for machine in pair.machines.values():
        assert "real_server 10.0.0.101 80 {\n        weight 1\n" in reads(machine)
        assert "real_server 10.0.0.102 80 {\n        weight 0\n" in reads(machine)
    assert "web2 stays at weight 0" in str(next(host for host in result.hosts if host.host == "web2"))


def test_with_no_server_proved_the_directors_are_left_as_they_are(tmp_path: Path) -> None:
    """keepalived refuses a service whose servers all have weight 0."""
    pair = Pair(mute=["10.0.0.101", "10.0.0.102"])
    result = pair.apply(tmp_path)
    assert pair.touched == []
    assert "no real server of 10.0.0.10 tcp/80 is proved" in str(result.hosts)


def test_a_teardown_takes_the_serving_director_last(tmp_path: Path) -> None:
    pair = Pair()
    assert pair.apply(tmp_path).ok
    pair.touched.clear()
    assert pair.withdraw(tmp_path).ok
    assert [name for name, _ in pair.touched] == ["lb2", DIRECTOR]
    for machine in pair.machines.values():
        bare_again = bare()
        assert (machine.seen.files, machine.seen.folders) == (bare_again.files, bare_again.folders)
        assert not machine.seen.running
    assert owed(Journals(tmp_path).of("shop").entries()) == []


def test_every_file_is_in_the_journal_before_it_is_written(tmp_path: Path) -> None:
    pair = Pair()
    pair.machines["lb2"].refuses = True
    pair.apply(tmp_path)
    paths = {
        item.change.path
        for item in owed(Journals(tmp_path).of("shop").entries())
        if isinstance(item.change, FileChange)
    }
    assert services_file("shop") in paths


def test_what_keepalived_was_given_to_check_is_not_in_the_journal(tmp_path: Path) -> None:
    theirs = "vrrp_instance A {\n    authentication {\n        auth_pass geheim77\n    }\n}\n"
    operators = {KEEPALIVED_CONF: FileState(content=theirs, mode=0o640)}
    pair = Pair()
    for machine in pair.machines.values():
        machine.seen = msgspec.structs.replace(
            machine.seen, files={**machine.seen.files, **operators}, texts={KEEPALIVED_CONF: theirs}
        )
    assert pair.apply(tmp_path).ok
    intents = [one for one in Journals(tmp_path).of("shop").entries() if isinstance(one, Intent)]
    changes = [change for one in intents for change in one.step.changes]
    assert [change.files for change in changes if isinstance(change, KeepalivedChange) and change.files] == []
    kept = [change for change in changes if "geheim77" in str(change)]
    assert {change.path for change in kept if isinstance(change, FileChange)} == {KEEPALIVED_CONF}
    assert all(isinstance(change, FileChange) for change in kept), "only what puts the file back"
    assert pair.withdraw(tmp_path).ok
    assert {machine.seen.files[KEEPALIVED_CONF] for machine in pair.machines.values()} == {operators[KEEPALIVED_CONF]}
