"""A watch and a single look know what verify knows: what only a client, or a whole verification, can find."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.live.findings import Doubt, Finding, Findings, without
from dsrwizard.core.live.judge import SeenOfServer, judged
from dsrwizard.core.live.log_lines import fault_lines
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.changes import DestinationState
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Client, RealServer, Service
from dsrwizard.core.model.errors import LoginRefused, LookError
from dsrwizard.core.model.facts import Destination
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.snapshot import Snapshot
from dsrwizard.core.ports import SecretQuestion
from dsrwizard.core.record.timeline import in_order_of_time, remembered
from dsrwizard.core.tell.incident import incident
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.core.tell.stream import WatchLines
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.watch.proof import REFUSED_SECONDS, QuietClient
from dsrwizard.engine.watches import STANDS_SECONDS, boottime
from tests.fakes.client_host import FakeClientHost
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.unit.test_teardown import Farm

VIP, DEAD = "10.0.0.10", "02:00:5e:00:53:01"
PLACE = (VIP, "tcp/80", "web1")


class Watched:
    """A farm in force with a client host, and its engine."""

    def __init__(self, folder: Path, connect: Any = None, asker: Any = None) -> None:
        self.farm = Farm(folder)
        assert self.farm.apply().ok
        self.deployment = msgspec.structs.replace(self.farm.deployment, client=Client(address="203.0.113.10"))
        self.world = self.farm.world
        self.host = FakeClientHost(self.world)
        self.engine = engine_of(
            self.world, asker or Nobody(), folder, folder / "events", connect=connect or self._connect
        )
        self.watcher = self.engine.watch(self.deployment)

    def _connect(self, host: str, target: object, asker: object) -> Any:
        return self.host

    def once(self) -> Snapshot:
        return self.watcher.once()


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    made = Watched(tmp_path)
    snapshot = made.once()
    assert (snapshot.verdict, snapshot.faults, snapshot.wrong) == ("pass", (), False)
    assert states(snapshot) == {"up"}
    yield made
    made.engine.close()


def states(snapshot: Snapshot) -> set[str]:
    return {row.state for service in snapshot.services for row in service.rows}


def stale(watched: Watched) -> None:
    """The client host, which is in the servers' network, still has another MAC for the VIP."""
    watched.host.on_link = True
    watched.host.entries[VIP] = DEAD


def test_what_only_a_client_feels_is_told_once_comes_and_goes(watched: Watched) -> None:
    stale(watched)
    snapshot = watched.once()
    assert [(fault.host, fault.cause) for fault in snapshot.faults] == [("client", "stale-arp")]
    assert snapshot.faults[0].message
    assert snapshot.faults[0].fix
    assert snapshot.wrong
    assert states(snapshot) == {"up"}, "it is no server's fault"
    assert snapshot.services[0].cause == "stale-arp"
    watched.host.entries.clear()
    after = watched.once()
    assert (after.faults, after.wrong, after.services[0].cause) == ((), False, "")
    told = [(line.host, line.cause, line.before, line.state) for line in after.happenings if line.cause == "stale-arp"]
    assert told == [("client", "stale-arp", "up", "drifted"), ("client", "stale-arp", "drifted", "up")]
    kept = watched.engine.events(watched.deployment)
    assert [line.state for line in kept if line.cause == "stale-arp"] == ["drifted", "up"]


def test_a_server_that_fails_clients_alone_is_not_up(watched: Watched) -> None:
    watched.host.flaky.add("10.0.0.101")
    rows = {row.server: row for service in watched.once().services for row in service.rows if row.service == "tcp/80"}
    assert rows["web1"].state != "up"
    assert rows["web1"].message
    assert rows["web1"].found_age is not None
    assert rows["web2"].state == "up"
    watched.host.flaky.clear()
    assert states(watched.once()) == {"up"}


def test_what_a_verification_found_is_in_ticket_metrics_and_stream(watched: Watched) -> None:
    lines = WatchLines()
    lines.lines(watched.once())
    stale(watched)
    snapshot = watched.once()
    text = incident(snapshot)
    assert "stale-arp" in text.split("Seen:")[1].splitlines()[1], text
    metrics = exposition(snapshot, snapshot.at)
    assert f'dsrwizard_fault{{host="client",vip="{VIP}",service="' in metrics
    assert 'cause="stale-arp"} 1' in metrics
    assert 'dsrwizard_verify_verdict{verdict="fail"} 1' in metrics
    assert "dsrwizard_verify_timestamp_seconds" in metrics
    came = [line for line in lines.lines(snapshot) if line["type"] == "fault"]
    assert [(line["cause"], line["state"]) for line in came] == [("stale-arp", "there")]
    watched.host.entries.clear()
    went = [line for line in lines.lines(watched.once()) if line["type"] == "fault"]
    assert [(line["cause"], line["state"]) for line in went] == [("stale-arp", "gone")]


def test_what_the_operator_verified_stands_for_the_watch(watched: Watched) -> None:
    stale(watched)
    watched.engine.verify(watched.deployment)
    assert [fault.cause for fault in watched.watcher.snapshot().faults] == ["stale-arp"]  # type: ignore[attr-defined]


def first_picture(watched: Watched) -> Snapshot:
    """What a watch that begins now shows before it has looked."""
    picture: Snapshot = watched.engine.watch(watched.deployment).snapshot()  # type: ignore[attr-defined]
    return picture


def test_what_was_verified_just_before_stands_from_the_first_picture_of_a_watch(watched: Watched) -> None:
    assert first_picture(watched).verdict == ""
    watched.engine.verify(watched.deployment)
    assert first_picture(watched).verdict == "pass"
    stale(watched)
    watched.engine.verify(watched.deployment)
    picture = first_picture(watched)
    assert (picture.verdict, [fault.cause for fault in picture.faults]) == ("fail", ["stale-arp"])


def test_what_was_verified_long_ago_or_of_another_file_or_before_a_run_is_not_handed_over(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.engine.verify(watched.deployment)
    later = boottime() + STANDS_SECONDS + 1
    with monkeypatch.context() as patch:
        patch.setattr("time.clock_gettime", lambda _: later)
        assert first_picture(watched).verdict == ""
    before, watched.deployment = watched.deployment, msgspec.structs.replace(watched.deployment, client=None)
    assert first_picture(watched).verdict == ""
    watched.deployment = before
    assert first_picture(watched).verdict == "pass"
    observed = watched.engine.observe(before)
    watched.engine.apply(before, watched.engine.plan(before, observed), lambda *_: None)
    assert first_picture(watched).verdict == ""


def test_a_single_look_knows_from_the_timeline_since_when_a_fault_is_there(watched: Watched) -> None:
    stale(watched)
    first = watched.once().faults[0].since
    single = watched.engine.watch(watched.deployment, recorded=False).once()
    assert remembered(single, watched.engine.events(watched.deployment)).faults[0].since == pytest.approx(
        first, abs=1.0
    )


def test_two_faults_of_the_director_in_one_moment_are_two_lines() -> None:
    findings = Findings()
    checks = tuple(
        Check(check="director.settings", outcome="fail", host="director", cause=cause, message=cause)
        for cause in ("director-setting", "vip-as-source")
    )
    report = Report(deployment="shop", verdict="fail", checks=checks)
    now = findings.with_proof(report, World.lab(2).deployment(), 5.0).proved.faults
    assert len(in_order_of_time(fault_lines({}, now, 5.0))) == 2


# --- nobody waits, and nobody is asked -------------------------------------------------------------------------------


class Asked(Nobody):
    """Counts what it is asked."""

    def __init__(self) -> None:
        self.questions: list[SecretQuestion] = []

    def secret(self, question: SecretQuestion) -> Secret | None:
        self.questions.append(question)
        return None


def test_a_client_host_that_wants_a_password_is_left_alone_and_the_rest_is_seen(tmp_path: Path) -> None:
    asker = Asked()
    logins: list[str] = []

    def connect(host: str, target: Client, quiet: Any) -> Any:
        logins.append(host)
        if quiet.secret(SecretQuestion(host=host, user="root", kind="password")) is None:
            raise LoginRefused(f"{host} refused the login.")

    watched = Watched(tmp_path, connect, asker)
    try:
        snapshot = watched.once()
        assert states(snapshot) == {"up"}
        assert snapshot.verdict == "unknown"
        assert not snapshot.wrong
        assert any("client" in line for line in snapshot.unseen), snapshot.unseen
        watched.once()
        assert asker.questions == []
        assert logins == ["client"], "it is not tried again until the operator has logged in there"
    finally:
        watched.engine.close()


def test_a_client_host_that_refused_a_login_is_tried_again_much_later() -> None:
    now, tries = [0.0], []

    def look() -> Any:
        tries.append(now[0])
        raise LoginRefused("client refused the login.")

    client = QuietClient(look, Quiet(Nobody()), lambda: now[0])
    for now[0] in (0.0, 1.0, REFUSED_SECONDS - 1, REFUSED_SECONDS + 1):
        assert "refused" in client().what  # type: ignore[union-attr]
    assert tries == [0.0, REFUSED_SECONDS + 1]
    client.reached()
    client()
    assert len(tries) == 3


def test_a_client_host_that_hangs_holds_up_neither_the_quick_part_nor_the_end(tmp_path: Path) -> None:
    hangs, entered = threading.Event(), threading.Event()

    class Hanging(FakeClientHost):
        def run(self, *words: Any, **named: Any) -> Any:
            entered.set()
            hangs.wait()
            raise LookError("It was closed.")

        def close(self) -> None:
            hangs.set()

    watched = Watched(tmp_path)
    watched.host = Hanging(watched.world)
    shown: list[Snapshot] = []
    fresh = threading.Event()

    def show(snapshot: Snapshot) -> None:
        shown.append(snapshot)
        fresh.set()

    watched.watcher.start(show)
    assert entered.wait(30)
    del watched.world.servers["web1"].machine.links["lo"].addresses[VIP]
    while "vip-dead" not in states(shown[-1]):
        fresh.clear()
        assert fresh.wait(30)
    assert not hangs.is_set()
    watched.engine.close()
    assert hangs.is_set()


def test_after_the_end_nothing_is_opened_anew(watched: Watched) -> None:
    watched.engine.close()
    with pytest.raises(LookError):
        watched.engine._client.use(Client(address="203.0.113.99"), lambda one: None)
    watched.host.runs.clear()


# --- what stands, and until when -------------------------------------------------------------------------------------


def report(*checks: tuple[str, str]) -> Report:
    made = tuple(
        Check(check="x", outcome="fail", host=host, vip=VIP, service="tcp/80", cause=cause, message=f"{cause}.")
        for host, cause in checks
    )
    return Report(deployment="shop", verdict="fail" if made else "pass", checks=made)


def causes(findings: Findings) -> list[str]:
    return [one.cause for one in findings.of(PLACE)]


def test_a_finding_of_both_goes_with_the_quicker_look_and_one_of_the_slow_look_stays() -> None:
    deployment = World.lab(2).deployment()

    def looked(before: Findings, at: float, *checks: tuple[str, str]) -> Findings:
        return before.with_look(["web1"], report(*checks), deployment, at).beside(before.proved)

    proved = looked(Findings(), 1.0).with_proof(report(("web1", "path-mtu"), ("web1", "gateway")), deployment, 2.0)
    assert set(causes(proved)) == {"path-mtu", "gateway"}
    both = looked(proved, 3.0, ("web1", "gateway"))
    assert set(causes(both)) == {"path-mtu", "gateway"}
    mended = looked(both, 4.0)
    assert causes(mended) == ["path-mtu"], "no look from within can tell whether it is over"
    assert causes(looked(mended, 5.0)) == ["path-mtu"]
    assert causes(mended.with_proof(report(), deployment, 6.0)) == []


def test_a_look_that_began_before_a_verification_takes_nothing_of_it_back() -> None:
    deployment = World.lab(2).deployment()
    before = Findings().with_look(["web1"], report(("web1", "gateway")), deployment, 1.0)
    proved = before.with_proof(report(("web1", "gateway")), deployment, 3.0)
    late = before.with_look(["web1"], report(), deployment, 2.0).beside(proved.proved)
    assert causes(late) == ["gateway"]


def test_an_answer_by_another_way_is_no_dead_vip_where_verify_convicts_nobody() -> None:
    """A policy route sends the VIP's replies by the router: the director's probe is answered from the router's MAC."""
    deployment = World.lab(2).deployment()
    probe = Check(
        check="vip.probe", outcome="unknown", host="web1", vip=VIP, service="tcp/80", message="By another way."
    )
    served = Check(check="client.servers", outcome="pass", host="client", vip=VIP, service="tcp/80", message="All.")
    for checks, doubt in (((probe,), "unknown"), ((served, probe), "served")):
        said = Report(deployment="shop", verdict="unknown", checks=checks)
        assert Findings().with_proof(said, deployment, 2.0).proved.doubts == {PLACE: doubt}
    wire = Probed(
        vip=VIP, port=80, protocol="tcp", rip="10.0.0.101", mac=DEAD, signature="syn-ack", answered_by="02:1:1"
    )
    there = Destination(address="10.0.0.101", port=80, state=DestinationState(weight=1))
    server = RealServer(name="web1", address="10.0.0.101")

    def state(doubt: Doubt) -> str:
        return judged(
            server, Service(port=80), VIP, SeenOfServer(balanced=True, destination=there, probe=wire, doubt=doubt)
        ).state

    doubts: tuple[Doubt, ...] = ("", "unknown", "served")
    assert [state(doubt) for doubt in doubts] == ["vip-dead", "unknown", "up"]


def test_a_dead_vip_has_the_cause_that_stops_its_replies() -> None:
    """The probe's answer is lost as a client's is: a policy route sends it to nobody."""
    wire = Probed(vip=VIP, port=80, protocol="tcp", rip="10.0.0.101", mac=DEAD, signature="silence")
    known = Finding(cause="gateway", message="Replies go nowhere.", fix="ip rule del", at=2.0)
    found = judged(
        RealServer(name="web1", address="10.0.0.101"), Service(port=80), VIP,
        SeenOfServer(balanced=True, probe=wire, findings=(known,)),
    )  # fmt: skip
    assert (found.state, found.cause, found.fix) == ("vip-dead", "gateway", "ip rule del")


def test_what_was_seen_of_a_server_in_different_moments_blames_it_for_nothing() -> None:
    gateway = Check(check="server.return", outcome="fail", host="web2", cause="gateway", message="No gateway answers.")
    probe = Check(check="vip.probe", outcome="fail", host="director", server="web2", cause="vip-missing", message="No.")
    other = Check(check="vip.probe", outcome="fail", host="web1", cause="service-down", message="Refused.")
    report = Report(deployment="shop", verdict="fail", checks=(gateway, probe, other))
    assert without(report, set()) == without(report, {"web3"}) == report
    calm = without(report, {"web2"})
    assert [(one.outcome, one.cause) for one in calm.checks] == [
        ("unknown", ""),
        ("unknown", ""),
        ("fail", "service-down"),
    ]
    assert (calm.verdict, without(report, {"web1", "web2"}).verdict) == ("fail", "unknown")
