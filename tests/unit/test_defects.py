"""A defect met while dsrwizard deals with one host is that host's failure; the others come out as if it were away."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.core.diagnosis.handshakes import ClientLike
from dsrwizard.core.diagnosis.probe_verdict import judge
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import Failure, Observed, ServerFacts
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import CLIENT, DIRECTOR, Plan
from dsrwizard.core.ports import Answer
from dsrwizard.engine.defects import LOG, MOST_HOSTS, Defect, apart, guarded
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.verify import among
from dsrwizard.files import state_dir
from tests.fakes.operator import Nobody
from tests.fakes.server import FakeServer
from tests.fakes.world import World

Break = Callable[[Any], Any]
"""What is done to the facts of web2, or None: it cannot be logged in to."""


def no_interfaces(facts: Any) -> Any:
    return msgspec.structs.replace(facts, interfaces=7)


def no_files(facts: Any) -> Any:
    return msgspec.structs.replace(facts, files=[], sysctls=7)


def raising(facts: Any) -> Any:
    raise ValueError("secret \x1b[31m words of the host")


class Odd(FakeServer):
    """A port of a host about which dsrwizard has a defect."""

    spoil: Break = staticmethod(lambda facts: facts)

    def observe(self, *args: Any, **named: Any) -> ServerFacts:
        facts: ServerFacts = self.spoil(super().observe(*args, **named))
        return facts

    def half_open(self, *args: Any, **named: Any) -> Any:
        if self.spoil is raising:
            raise ValueError("half open")
        return super().half_open(*args, **named)


class Farm:
    """Three servers behind a VIP, of which web2 is odd from a moment on."""

    def __init__(self, folder: Path, *, external: bool = False) -> None:
        self.world = World.lab()
        self.deployment = self.world.deployment(engine="external" if external else "netlink")
        self.odd: list[Odd] = []
        self.engine = Engine(
            director=lambda interface: self.world.director(),
            wire=self.world.wire(),
            connect=lambda host, target, asker: self.connected,
            asker=Nobody(),
            journals=Journals(folder),
            open_server=self._open,
        )
        self.connected: Any = None

    def _open(self, server: RealServer) -> Any:
        if server.name != "web2":
            return self.world.open_server(server, Nobody())
        port = Odd(self.world, lambda: self.world._login(server.name, server, Nobody()))
        self.odd.append(port)
        return port

    def plan(self) -> Plan:
        return self.engine.plan(self.deployment, self.engine.observe(self.deployment))

    def apply(self) -> Any:
        return self.engine.apply(self.deployment, self.plan(), lambda event: None)

    def spoil(self, how: Break | None) -> None:
        """From now on web2 is odd in this way; None: its login is gone."""
        self.engine.observe(self.deployment)
        for port in self.odd:
            port.spoil = how or port.spoil
        self.world.servers["web2"].ssh = how is not None


@pytest.fixture(autouse=True)
def own_log(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("dsrwizard.engine.defects._told", set())


def farms(tmp_path: Path, how: Break, *, applied: bool = True) -> tuple[Farm, Farm]:
    """One with a defect about web2, and one that cannot log in there."""
    both = Farm(tmp_path / "odd"), Farm(tmp_path / "away")
    for farm, way in zip(both, (how, None), strict=True):
        if applied:
            assert farm.apply().ok
            farm.world.servers["web3"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
        farm.spoil(way)
    return both


def others(report: Report) -> list[Any]:
    return [
        (one.check, one.host, one.vip, one.service, one.outcome, one.cause, one.message, one.fix)
        for one in report.checks
        if "web2" not in (one.host, one.server)
    ]


def said(failure: Failure | None) -> None:
    """It names the host and the place, tells what to send, and quotes nothing."""
    assert failure is not None
    assert failure.kind == "defect"
    assert failure.what.startswith("web2 could not be ")
    assert "dsrwizard itself failed" in failure.what
    assert "Error at " in failure.why
    assert str(state_dir() / LOG) in failure.next
    assert "secret" not in failure.text


HOW = pytest.mark.parametrize("how", [no_interfaces, no_files, raising])


@HOW
def test_the_others_are_planned_and_applied(tmp_path: Path, how: Break) -> None:
    odd, away = farms(tmp_path, how, applied=False)
    plan, reference = odd.plan(), away.plan()
    for name in (DIRECTOR, "web1", "web3"):
        assert [host for host in plan.hosts if host.host == name] == [
            host for host in reference.hosts if host.host == name
        ]
    (mine,) = (host for host in plan.hosts if host.host == "web2")
    assert not mine.steps
    said(mine.failure)
    result = odd.engine.apply(odd.deployment, plan, lambda event: None)
    outcomes = {host.host: host.outcome for host in result.hosts}
    assert (outcomes["web1"], outcomes["web3"]) == (Outcome.CHANGED, Outcome.CHANGED)
    assert outcomes["web2"] is Outcome.FAILED
    assert not result.ok


@HOW
def test_the_others_are_diagnosed_and_nothing_passes_for_it(tmp_path: Path, how: Break) -> None:
    odd, away = farms(tmp_path, how)
    report = odd.engine.verify(odd.deployment)
    assert others(report) == others(away.engine.verify(away.deployment))
    (access,) = (one for one in report.checks if (one.host, one.check) == ("web2", "server.access"))
    assert access.outcome == "unknown"
    assert "dsrwizard itself failed" in access.message
    odd.world.servers["web3"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "1"
    assert odd.engine.verify(odd.deployment).verdict == "unknown"  # all that was seen is well


@HOW
def test_the_others_are_watched(tmp_path: Path, how: Break) -> None:
    odd, away = farms(tmp_path, how)
    with_defect, reference = odd.engine.watch(odd.deployment).once(), away.engine.watch(away.deployment).once()
    shots = (with_defect, reference)
    rows = [[row for one in shot.services for row in one.rows if row.server != "web2"] for shot in shots]
    assert [(row.server, row.state, row.cause, row.message) for row in rows[0]] == [
        (row.server, row.state, row.cause, row.message) for row in rows[1]
    ]
    assert {row.server: row.cause for row in rows[0]} == {"web1": "", "web3": "arp-leak"}
    assert not with_defect.problem
    assert any("web2" in line and "itself failed" in line for line in with_defect.unseen)


@HOW
def test_the_others_are_mended_and_torn_down(tmp_path: Path, how: Break) -> None:
    odd, _ = farms(tmp_path, how)
    wrong = [one for one in odd.engine.verify(odd.deployment).failures if one.host == "web3"]
    made = odd.engine.mend_plan(odd.deployment, *wrong)
    assert odd.engine.mend(odd.deployment, made, lambda event: None).cured
    result = odd.engine.teardown(odd.deployment, odd.engine.teardown_plan(odd.deployment), lambda event: None)
    failures = {host.host: host.failure for host in result.hosts}
    assert failures["web1"] is failures["web3"] is failures[DIRECTOR] is None
    said(failures["web2"])
    assert odd.world.servers["web1"].machine.holds("10.0.0.10") is None
    assert odd.world.servers["web2"].machine.holds("10.0.0.10") is not None


def test_a_test_of_the_server_tells_it(tmp_path: Path) -> None:
    odd, _ = farms(tmp_path, raising, applied=False)
    tested = odd.engine.test_server(odd.deployment, odd.deployment.server("web2"))
    said(tested.failure)
    assert tested.ping is not None


def test_steps_that_were_sent_are_uncertain_and_the_others_go_on(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    plan = farm.plan()

    def apply(*args: Any) -> None:
        raise ValueError("secret")

    farm.odd[0].apply = apply  # type: ignore[method-assign, assignment]
    result = farm.engine.apply(farm.deployment, plan, lambda event: None)
    hosts = {host.host: host for host in result.hosts}
    assert {step.outcome for step in hosts["web2"].steps} == {Outcome.UNKNOWN}
    assert hosts["web2"].outcome is Outcome.UNKNOWN
    said(hosts["web2"].failure)
    assert hosts["web1"].outcome is hosts["web3"].outcome is Outcome.CHANGED
    left = {one.step.split()[-1] for one in hosts[DIRECTOR].steps if one.outcome is Outcome.NOT_ATTEMPTED}
    assert left == {"web2"}


def test_facts_after_the_steps_that_cannot_be_judged_are_a_failure(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    plan = farm.plan()
    genuine = farm.odd[0].apply
    farm.odd[0].apply = lambda *args: no_interfaces(genuine(*args))  # type: ignore[method-assign]
    result = farm.engine.apply(farm.deployment, plan, lambda event: None)
    hosts = {host.host: host for host in result.hosts}
    assert hosts["web1"].outcome is hosts["web3"].outcome is Outcome.CHANGED
    said(hosts["web2"].failure)
    assert not result.ok


def test_a_proof_that_cannot_be_judged_leaves_that_server_without_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of_web2(answer: Probed, facts: ServerFacts | None = None) -> str:
        if facts is not None and facts.host == "web2":
            raise ValueError("secret")
        return judge(answer, facts)

    farm = Farm(tmp_path)
    monkeypatch.setattr("dsrwizard.engine.director_side.judge", of_web2)
    hosts = {host.host: host for host in farm.apply().hosts}
    said(hosts["web2"].failure)
    assert hosts["web1"].outcome is hosts["web3"].outcome is Outcome.CHANGED
    left = [one.step for one in hosts[DIRECTOR].steps if one.outcome is Outcome.NOT_ATTEMPTED]
    assert left == ["weight 10.0.0.10 tcp/80 web2"]


def test_what_a_server_without_facts_answered_is_left_out_too(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    look = {name: ClientLike(problem="x") for name in ("web1", "web2")}
    evidence = Evidence(deployment=farm.deployment, observed=seen("web1", "web2"), client_like=look)
    left = among(evidence, Observed(servers=seen("web1").servers, failed={"web2": Failure(kind="defect", what="x")}))
    assert list(left.client_like) == list(left.observed.servers) == ["web1"]


def test_a_client_host_alone_is_unknown(tmp_path: Path) -> None:
    class Crash:
        def run(self, *args: Any, **named: Any) -> Answer:
            raise IndexError("secret")

        def close(self) -> None: ...

    odd, away = Farm(tmp_path / "odd"), Farm(tmp_path / "away")
    assert odd.apply().ok
    assert away.apply().ok
    odd.connected = Crash()
    report = odd.engine.verify(msgspec.structs.replace(odd.deployment, client=Client(address="203.0.113.10")))
    mine = [one for one in report.checks if one.host == CLIENT]
    assert {one.outcome for one in mine} == {"unknown"}
    assert all("client could not be looked at: dsrwizard itself failed." in one.evidence for one in mine)
    rest = [one for one in others(report) if one[1] != CLIENT]
    assert rest == [one for one in others(away.engine.verify(away.deployment)) if one[1] != CLIENT]
    assert report.verdict == "unknown"
    failure = odd.engine.test_client(Client(address="203.0.113.10"))
    assert failure is not None
    assert failure.kind == "defect"


# --- the two functions -----------------------------------------------------------------------------------------------


def seen(*names: str) -> Observed:
    return Observed(servers={name: ServerFacts(host=name) for name in names})


@pytest.mark.parametrize("bad", [[], ["a"], ["d"], ["b", "c"], ["a", "b", "c", "d"]])
def test_every_guilty_host_is_told_and_no_other(bad: list[str]) -> None:
    def work(observed: Observed) -> Observed:
        if set(bad) & set(observed.servers):
            raise KeyError("x")
        return observed

    left = apart(seen("a", "b", "c", "d"), work, "planned")
    assert set(left.failed) == set(bad)
    assert set(left.servers) == {"a", "b", "c", "d"} - set(bad)


def test_of_two_that_only_fail_together_the_first_stays() -> None:
    def work(observed: Observed) -> Observed:
        if {"a", "c"} <= set(observed.servers):
            raise KeyError("x")
        return observed

    assert set(apart(seen("a", "b", "c"), work, "planned").failed) == {"c"}


def test_very_many_are_told_without_a_trial_of_each() -> None:
    calls = 0

    def work(observed: Observed) -> Observed:
        nonlocal calls
        calls += 1
        if observed.servers:
            raise KeyError("x")
        return observed

    left = apart(seen(*(f"web{number}" for number in range(1000))), work, "planned")
    assert len(left.failed) == 1000
    assert left.failed["web999"].what == "web999 could not be planned: dsrwizard itself failed."
    assert calls < MOST_HOSTS * 15


def test_a_defect_that_is_no_hosts_stays_visible() -> None:
    def work(observed: Observed) -> Observed:
        raise KeyError("everybody's")

    with pytest.raises(KeyError, match="everybody's"):
        apart(seen("a", "b"), work, "planned")
    with pytest.raises(KeyError, match="everybody's"):
        apart(Observed(), work, "planned")


def test_an_error_in_words_and_an_interrupt_pass() -> None:
    def refuse(observed: Observed) -> Observed:
        raise LookError("No.")

    def interrupt(observed: Observed) -> Observed:
        raise KeyboardInterrupt

    with pytest.raises(LookError):
        apart(seen("a"), refuse, "planned")
    with pytest.raises(KeyboardInterrupt):
        apart(seen("a"), interrupt, "planned")

    class Port:
        name = "x"

        def observe(self) -> None:
            raise LookError("No.")

        def apply(self) -> None:
            raise KeyboardInterrupt

        def half_open(self) -> None:
            raise ValueError("secret")

    port = guarded(Port(), "web1")
    assert port.name == "x"
    with pytest.raises(LookError):
        port.observe()
    with pytest.raises(KeyboardInterrupt):
        port.apply()
    with pytest.raises(Defect, match="web1 could not be looked at: dsrwizard itself failed"):
        port.half_open()


def test_a_defect_of_the_diagnosis_itself_is_no_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(evidence: Evidence) -> Report:
        raise KeyError("everybody's")

    farm = Farm(tmp_path)
    monkeypatch.setattr("dsrwizard.engine.verify.diagnose", broken)
    with pytest.raises(KeyError, match="everybody's"):
        farm.engine.verify(farm.deployment)
    assert diagnose is not broken


# --- the log ---------------------------------------------------------------------------------------------------------


def fail(word: str = "se" + "cret") -> Defect:
    try:
        raise ValueError(f"a {word} \x1b[31m")
    except ValueError as error:
        return Defect.of(error, "web2", "planned")


def test_the_log_has_the_places_once_and_no_words(tmp_path: Path) -> None:
    path = state_dir() / LOG
    first = fail()
    size = path.stat().st_size
    assert fail().lines() == first.lines()
    assert path.stat().st_size == size
    text = path.read_text()
    assert "test_defects.py" in text
    assert "secret" not in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_log_does_not_grow_for_ever_and_follows_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = state_dir() / LOG
    path.parent.mkdir(parents=True)
    path.write_text("x" * 2_000_000)
    fail()
    assert path.stat().st_size < 20_000
    path.unlink()
    victim = tmp_path / "victim"
    victim.write_text("mine")
    path.symlink_to(victim)
    monkeypatch.setattr("dsrwizard.engine.defects._told", set())
    assert fail().next == "Please report it."
    assert victim.read_text() == "mine"


def test_many_threads_write_one_trace_once() -> None:
    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    text = (state_dir() / LOG).read_text()
    assert text.count("ValueError at test_defects.py") == 1
