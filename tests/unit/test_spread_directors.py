"""Directors that announce the VIPs by BGP, set up from one of them: one plan, one table, one after the other.

What is asked of the others goes through the script that is sent and the code that answers it there; in between nothing
but SSH is missing.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard import __version__
from dsrwizard.cli import main
from dsrwizard.core.dialects.other_director.asking import DirectorOrder, parse_answer, read_order
from dsrwizard.core.model.bird import BIRD_CONF, bird_file
from dsrwizard.core.model.changes import DestinationState, FileState
from dsrwizard.core.model.errors import AnswerUnreadable, CommandFailed, ConnectTimeout, UsageError
from dsrwizard.core.model.events import Draining, Event
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.guarding import DestinationPlace, HeldOut, guard_files
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.spread import as_there
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.engine.locks import Locks
from tests.fakes.engine import engine_of
from tests.fakes.ipvs import Entry
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.unit.spread_farm import DIRECTORS, HTTP, AllThree
from tests.unit.test_bgp import VIP


@pytest.fixture
def three(tmp_path: Path) -> AllThree:
    return AllThree(tmp_path)


def test_one_apply_makes_all_tables_alike_and_the_others_come_first(three: AllThree) -> None:
    hosts = [host.host for host in three.plan().hosts if host.steps]
    assert hosts == ["lb2", "lb3", DIRECTOR, "web1", "web2"]
    assert three.apply().ok
    tables = three.tables()
    assert tables[DIRECTOR] == tables["lb2"] == tables["lb3"]
    assert [state.weight for state in tables["lb2"].values()] == [1, 1]
    for there in (three.world, *three.worlds.values()):
        (service,) = there.ipvs.services()
        assert (service.state.scheduler, service.state.flags & 0x18) == ("mh", 0x18)
        assert there.machine.links["lo"].addresses[VIP] == 32
        assert "protocol bgp" in there.machine.files[bird_file("shop")].content
        assert "dsrwizard-guard-shop.service" in there.running
    assert [line.split()[0] for line in three.log] == ["lb2", "lb3"]
    assert three.plan().empty


def test_each_has_addresses_and_a_file_of_its_own(three: AllThree) -> None:
    assert three.apply().ok
    for name, address in (("lb2", "10.0.0.3"), ("lb3", "10.0.0.4")):
        files = three.worlds[name].machine.files
        assert f"router id {address}" in files[bird_file("shop")].content or address in files[bird_file("shop")].content
        theirs = files[guard_files("shop")[0]].content
        assert f'address = "{address}"' in theirs
        assert "peers" not in theirs


def test_a_director_whose_table_does_not_take_is_the_last_that_is_touched(three: AllThree) -> None:
    there = three.worlds["lb2"]
    real = there.ipvs.services
    there.ipvs.services = lambda: ()  # type: ignore[method-assign]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dsrwizard.engine.spread_run.LOOK_SECONDS", 0.0)
        result = three.apply()
    there.ipvs.services = real  # type: ignore[method-assign]
    assert not result.ok
    assert [line.split()[0] for line in three.log] == ["lb2"]
    assert three.tables()["lb3"] == three.tables()[DIRECTOR] == {}
    (failed,) = [host for host in result.hosts if host.host == "lb2"]
    assert failed.failure is not None
    assert "Service 10.0.0.10 tcp/80" in failed.failure.what


def test_a_step_that_fails_there_is_told_in_its_words_and_undone(three: AllThree) -> None:
    three.worlds["lb2"].machine.files[BIRD_CONF] = FileState(content="!" * 10)

    def refuses(step: object) -> None:
        raise UsageError("BIRD does not take its files.", "bird -p says: line 1.", "Mend it.")

    with pytest.MonkeyPatch.context() as patch:
        from tests.fakes.director import FakeDirector

        plain = FakeDirector.apply

        def apply(self: FakeDirector, step: object) -> None:
            if getattr(step, "id", "") == "bgp" and self._world is three.worlds["lb2"]:
                refuses(step)
            plain(self, step)  # type: ignore[arg-type]

        patch.setattr(FakeDirector, "apply", apply)
        result = three.apply()
    outcomes = {step.step: step.outcome for host in result.hosts if host.host == "lb2" for step in host.steps}
    assert outcomes["bgp"] is Outcome.FAILED
    assert outcomes["guard-service"] is Outcome.NOT_ATTEMPTED
    (failed,) = [host.failure for host in result.hosts if host.host == "lb2"]
    assert failed is not None
    assert "bird -p says: line 1." in failed.why
    assert three.tables()[DIRECTOR] == {}
    # What was done there is in the books here, and a teardown takes it back.
    assert three.teardown().ok
    assert three.tables()["lb2"] == {}
    assert VIP not in three.worlds["lb2"].machine.links["lo"].addresses


def test_a_server_that_is_not_proved_gets_weight_0_on_all(three: AllThree) -> None:
    three.world.servers["web2"].machine.listeners = []
    three.world.servers["web2"].machine.links["eth0"].up = False
    result = three.apply()
    assert not result.ok
    weights = {name: [state.weight for state in table.values()] for name, table in three.tables().items()}
    assert len({tuple(one) for one in weights.values()}) == 1, weights
    assert sum(weights["lb2"]) <= 1


def test_a_teardown_leaves_nothing_on_any(three: AllThree) -> None:
    before = {name: dict(there.machine.files) for name, there in three.worlds.items()}
    settings = {name: dict(there.machine.sysctls) for name, there in three.worlds.items()}
    assert three.apply().ok
    assert three.teardown().ok
    assert three.tables() == {DIRECTOR: {}, "lb2": {}, "lb3": {}}
    for name, there in three.worlds.items():
        assert dict(there.machine.files) == before[name]
        assert dict(there.machine.sysctls) == settings[name]
        assert VIP not in there.machine.links["lo"].addresses
    assert three.engine().teardown_plan(three.deployment).empty


def test_without_the_journal_all_of_them_are_recognised(three: AllThree) -> None:
    before = {name: dict(there.machine.files) for name, there in three.worlds.items()}
    assert three.apply().ok
    shutil.rmtree(three.folder / "journal")
    assert three.teardown().ok
    assert three.tables() == {DIRECTOR: {}, "lb2": {}, "lb3": {}}
    for name, there in three.worlds.items():
        assert dict(there.machine.files) == before[name]
        assert VIP not in there.machine.links["lo"].addresses


def test_one_that_was_set_up_from_itself_goes_with_the_others(three: AllThree) -> None:
    """Its journal is there. It would go on announcing VIPs that no real server has any more."""
    lb2 = three.worlds["lb2"]
    theirs = as_there(three.deployment, three.deployment.director.peers[0])
    own = engine_of(lb2, Nobody(), three.folder / "there")
    assert own.apply(theirs, own.plan(theirs, own.observe(theirs)), lambda event: None).ok
    assert "lb2" not in [host.host for host in three.plan().hosts if host.steps]
    assert three.apply().ok
    assert [line.split()[0] for line in three.log] == ["lb3"]
    assert three.teardown().ok
    assert three.tables() == {DIRECTOR: {}, "lb2": {}, "lb3": {}}
    assert VIP not in lb2.machine.links["lo"].addresses
    assert bird_file("shop") not in lb2.machine.files


def test_a_server_that_leaves_goes_from_all(three: AllThree) -> None:
    assert three.apply().ok
    three.deployment = msgspec.structs.replace(three.deployment, servers=three.deployment.servers[:1])
    assert three.apply().ok
    assert {name: list(table) for name, table in three.tables().items()} == {
        name: ["10.0.0.101"] for name in (DIRECTOR, *DIRECTORS)
    }
    assert three.plan().empty


def test_a_director_that_leaves_the_file_is_asked_for_first(three: AllThree) -> None:
    assert three.apply().ok
    director = msgspec.structs.replace(three.deployment.director, peers=three.deployment.director.peers[:1])
    three.deployment = msgspec.structs.replace(three.deployment, director=director)
    with pytest.raises(UsageError, match=r"The director lb3 .* has shop in force") as refused:
        three.plan()
    assert "Name it in" in refused.value.next


def test_all_well_is_said_of_each(three: AllThree) -> None:
    assert three.apply().ok
    three.announces()
    for name in DIRECTORS:
        (check,) = three.beside(name)
        assert (check.outcome, check.message) == ("pass", f"{name} balances as this director does.")
        assert "BGP Established" in check.evidence


def cleared(there: World) -> None:
    there.ipvs.table.pop(HTTP)


def drained(there: World) -> None:
    there.ipvs.set_weight(HTTP, "10.0.0.102", 80, 0)


def scheduled(there: World) -> None:
    there.ipvs.table[HTTP].state = msgspec.structs.replace(there.ipvs.table[HTTP].state, scheduler="rr")


def without_vip(there: World) -> None:
    there.machine.links["lo"].addresses.pop(VIP)


def without_session(there: World) -> None:
    assert there.bird is not None
    there.bird = msgspec.structs.replace(there.bird, state="Active")


def unfit(there: World) -> None:
    there.guards["shop"] = msgspec.structs.replace(there.guards["shop"], announces=False)


@pytest.mark.parametrize(
    ("happens", "cause", "words"),
    [
        (cleared, "ipvs-missing", "Service 10.0.0.10 tcp/80 is missing"),
        (drained, "ipvs-differs", "web2 has weight 0 in 10.0.0.10 tcp/80"),
        (scheduled, "ipvs-differs", "Service 10.0.0.10 tcp/80 is otherwise"),
        (without_vip, "director-vip", "it does not have 10.0.0.10"),
        (without_session, "director-setting", "BIRD on lb3 has no session with 10.0.0.1"),
        (unfit, "director-setting", "Lb3 does not announce the VIPs"),
    ],
)
def test_one_that_differs_or_does_not_announce_is_named(
    three: AllThree, happens: Callable[[World], None], cause: str, words: str
) -> None:
    assert three.apply().ok
    three.announces()
    happens(three.worlds["lb3"])
    (check,) = three.beside("lb3")
    assert (check.outcome, check.cause) == ("fail", cause)
    assert words in check.message
    assert [one.outcome for one in three.beside("lb2")] == ["pass"]
    assert {(one.cause, one.host) for one in three.verify().failures} == {(cause, "lb3")}


def test_a_guard_that_is_off_there_is_named(three: AllThree) -> None:
    assert three.apply().ok
    three.announces()
    three.worlds["lb2"].guarded = False
    assert {(one.cause, one.host) for one in three.verify().failures} == {("guard-off", "lb2")}


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("installed", False, "lb2: dsrwizard is not installed there."),
        ("version", "0.0.1", f"lb2: dsrwizard 0.0.1 is installed there, and {__version__} here."),
    ],
)
def test_where_dsrwizard_is_missing_or_another_nothing_is_planned_there(
    three: AllThree, field: str, value: object, words: str
) -> None:
    setattr(three.doors["lb2"], field, value)
    (host,) = [one for one in three.plan().hosts if one.host == "lb2"]
    assert words in host.problem
    assert host.steps == ()


def test_another_run_there_is_waited_out(three: AllThree) -> None:
    three.doors["lb2"].locked = True
    result = three.apply()
    (host,) = [one for one in result.hosts if one.host == "lb2"]
    assert host.failure is not None
    assert "another run of dsrwizard is changing it" in host.failure.what
    assert three.tables()["lb2"] == {}


@pytest.mark.parametrize("said", [b"", b"{}", b"\xff\xfe", b'{"version": 1}', b"[" * 5_000])
def test_what_is_no_question_is_refused(said: bytes) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_order(said)


@pytest.mark.parametrize(
    "facts", ["", "null", "[]", '{"services": 7}', "{" * 9_000, '{"interfaces": [{"name": "eth0", "addresses": "x"}]}']
)
def test_nonsense_from_another_director_is_no_facts(facts: str) -> None:
    answer = f"==dsr:n:begin==\n==dsr:n:facts==\n{facts}\n==dsr:n:end==\n"
    with pytest.raises(AnswerUnreadable, match="lb2: what dsrwizard there says cannot be read") as refused:
        parse_answer("lb2", "n", answer, "Traceback\x1b[2J\nError: no", __version__)
    assert "\x1b" not in str(refused.value)


def test_an_answer_that_is_cut_short_is_no_facts(three: AllThree) -> None:
    text = msgspec.json.encode(three.worlds["lb2"].director().observe(three.deployment)).decode()
    with pytest.raises(AnswerUnreadable):
        parse_answer("lb2", "n", f"==dsr:n:begin==\n==dsr:n:facts==\n{text}\n", "", __version__)


def test_an_order_and_facts_come_through_as_they_were(three: AllThree) -> None:
    steps = tuple(step for host in three.plan().hosts if host.host == "lb2" for step in host.steps)
    order = DirectorOrder(version="1", nonce="n", deployment=three.deployment, steps=steps)
    assert read_order(msgspec.json.encode(order)) == order
    facts = three.worlds["lb2"].director().observe(three.deployment)
    assert msgspec.json.decode(msgspec.json.encode(facts), type=DirectorFacts) == facts


def test_one_that_is_dead_keeps_nobody_from_changing_the_others(three: AllThree) -> None:
    def dead(script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        raise ConnectTimeout("lb2 does not answer at 10.0.0.3 port 22.", "No answer within 8 seconds.")

    run, three.doors["lb2"].run = three.doors["lb2"].run, dead  # type: ignore[method-assign]
    result = three.apply()
    assert not result.ok
    (host,) = [one for one in result.hosts if one.host == "lb2"]
    assert host.failure is not None
    assert host.failure.what == "lb2 does not answer at 10.0.0.3 port 22."
    assert three.tables()["lb3"] == three.tables()[DIRECTOR] != {}
    three.doors["lb2"].run = run  # type: ignore[method-assign]
    assert three.apply().ok
    assert three.tables()["lb2"] == three.tables()[DIRECTOR]

    three.doors["lb2"].run = dead  # type: ignore[method-assign]
    assert not three.teardown().ok
    for one in three.deployment.servers:
        machine = three.world.servers[one.name].machine
        assert VIP in machine.links["lo"].addresses, "as long as one director may send to it, it keeps the VIP"


def test_what_differs_there_is_mended_from_here(three: AllThree) -> None:
    assert three.apply().ok
    three.announces()
    cleared(three.worlds["lb3"])
    (check,) = three.beside("lb3")
    engine = three.engine()
    mending = engine.mend_plan(three.deployment, check)
    assert [host.host for host in mending.plan.hosts if host.steps] == ["lb3"]
    assert engine.mend(three.deployment, mending, lambda event: None).run.ok
    assert three.tables()["lb3"] == three.tables()[DIRECTOR]


def asked(monkeypatch: pytest.MonkeyPatch, three: AllThree, what: str, text: bytes) -> int:
    """The command on lb2, with this on its standard input; its exit code."""
    monkeypatch.setattr("dsrwizard.cli.answering.director_here", three.worlds["lb2"].director)
    monkeypatch.setattr("dsrwizard.cli.answering.locks_here", lambda: Locks(three.folder))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text)))
    return main.run(["answer", what])


def test_the_command_does_what_is_asked_and_nothing_else(
    three: AllThree, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = tuple(step for host in three.plan().hosts if host.host == "lb2" for step in host.steps)
    theirs = as_there(three.deployment, three.deployment.director.peers[0])
    order = DirectorOrder(version=__version__, nonce="n", deployment=theirs, steps=steps)
    assert asked(monkeypatch, three, "look", msgspec.json.encode(order)) == 0
    facts, _ = parse_answer("lb2", "n", capsys.readouterr().out, "", __version__)
    assert facts.services == ()
    assert asked(monkeypatch, three, "steps", msgspec.json.encode(order)) == 0
    said = capsys.readouterr().out
    assert said.index("==dsr:n:start:1==") < said.index(f"==dsr:n:done:{len(steps)}==") < said.index("==dsr:n:begin==")
    facts, unsaved = parse_answer("lb2", "n", said, "", __version__)
    assert [to.address for one in facts.services or () for to in one.destinations] == ["10.0.0.101", "10.0.0.102"]
    assert unsaved == ""
    assert asked(monkeypatch, three, "steps", b"what?") == 2
    assert "another director" in capsys.readouterr().err
    other = msgspec.structs.replace(order, version="0.0.1")
    before = three.tables()
    assert asked(monkeypatch, three, "steps", msgspec.json.encode(other)) == 0
    assert ":start:" not in capsys.readouterr().out
    assert three.tables() == before


def test_a_vip_that_nobody_serves_goes_up_on_none(three: AllThree) -> None:
    for server in ("web1", "web2"):
        three.world.servers[server].machine.listeners = []
    result = three.apply()
    assert not result.ok
    for there in (three.world, *three.worlds.values()):
        assert VIP not in there.machine.links["lo"].addresses
    held = {step.outcome for host in result.hosts if host.host == "lb2" for step in host.steps if "weight" in step.step}
    assert held == {Outcome.HELD}


def test_a_server_that_leaves_is_drained_by_each_director_s_own_connections(three: AllThree) -> None:
    assert three.apply().ok
    busy = three.worlds["lb2"].ipvs.table[HTTP].entries[1]
    busy.active = 3
    three.deployment = msgspec.structs.replace(three.deployment, servers=three.deployment.servers[:1])
    left: list[int] = []

    def watch(event: Event) -> None:
        if isinstance(event, Draining):
            left.append(event.left)
            assert busy in three.worlds["lb2"].ipvs.table[HTTP].entries, "removed while it has connections"
            busy.active -= 1

    engine = three.engine()
    engine.patience.seconds = 3600.0
    assert engine.apply(three.deployment, three.plan(), watch).ok
    assert left == [3, 2, 1]
    assert list(three.tables()["lb2"]) == ["10.0.0.101"]


def test_what_a_guard_holds_out_there_is_no_difference_and_one_more_destination_is(three: AllThree) -> None:
    assert three.apply().ok
    three.announces()
    there = three.worlds["lb3"]
    drained(there)
    out = HeldOut(place=DestinationPlace(VIP, "tcp/80", "web2"), weight=1, why="It did not answer.", since=1.0)
    there.guards["shop"] = msgspec.structs.replace(there.guards["shop"], held=(out,))
    assert [one.outcome for one in three.beside("lb3")] == ["pass"]
    there.ipvs.table[HTTP].entries.append(Entry("10.0.0.150", 80, DestinationState(weight=1)))
    (check,) = three.beside("lb3")
    assert (check.cause, "10.0.0.150 is in 10.0.0.10 tcp/80, and not here" in check.message) == ("ipvs-differs", True)


def test_its_next_boot_brings_back_what_the_run_left(three: AllThree) -> None:
    assert three.apply().ok
    assert three.worlds["lb2"].saved["shop"] == three.worlds["lb2"].ipvs.services()

    def no(self: object, deployment: object) -> None:
        raise CommandFailed("/var/lib/dsrwizard/shop.json could not be written.", "No space left on device.")

    three.deployment = msgspec.structs.replace(three.deployment, servers=three.deployment.servers[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.fakes.director.FakeDirector.save", no)
        result = three.apply()
    (failed,) = [host.failure for host in result.hosts if host.host == "lb2"]
    assert failed is not None
    assert failed.what == "lb2: what its next boot brings back could not be written."
    assert "No space left on device." in failed.why
