"""The plan for directors with keepalived: what is written, in which order, what is refused, how it is taken back."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.dialects.keepalived.putting import script
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.changes import (
    AddressChange,
    Change,
    DestinationState,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    ServiceKey,
    ServiceState,
)
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.facts import (
    Destination,
    DirectorFacts,
    Interface,
    InterfaceAddress,
    Observed,
    ServerFacts,
    VirtualService,
)
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.keepalived import (
    ENABLED_LINK,
    INCLUDE_LINE,
    KEEPALIVED_CONF,
    KeepalivedFacts,
    TableEntry,
    TableService,
    keepalived_drop_in,
    keepalived_files,
    keepalived_folders,
    services_file,
    vrrp_file,
)
from dsrwizard.core.model.outcome import HostResult, Outcome, RunResult, StepResult
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan, Step
from dsrwizard.core.plan.keepalived import keepalived_settings, plan_keepalived
from dsrwizard.core.plan.keepalived_back import handed_over, refuse_change_back
from dsrwizard.core.plan.keepalived_found import keepalived_found
from dsrwizard.core.plan.keepalived_proof import unfinished, without
from dsrwizard.core.plan.sending import kept_where_sent
from dsrwizard.core.plan.teardown import teardown_plan
from dsrwizard.core.record.owed import Intent, Owed, Result
from dsrwizard.core.record.owed import owed as standing_by

FILE = """
name = "shop"
[director]
interface = "eth0"
engine = "keepalived"
[[director.peers]]
name = "lb2"
address = "10.0.0.3"
[[vips]]
address = "10.0.0.10"
[[vips.services]]
port = 80
[[servers]]
name = "web1"
address = "10.0.0.101"
[[servers]]
name = "web2"
address = "10.0.0.102"
"""
SHOP = loads(FILE)
ABLE = frozenset({"web1", "web2"})
SETTINGS = {key: wanted for key, (wanted, *_) in keepalived_settings(SHOP, "eth0").items()}
TABLE = (
    TableService(
        protocol="tcp", address="10.0.0.10", port=80, scheduler="mh",
        entries=tuple(TableEntry(address=f"10.0.0.10{n}", port=80, method="dr", weight=1) for n in (1, 2)),
    ),
)  # fmt: skip


def bare(**changes: object) -> KeepalivedFacts:
    """A director on which keepalived was installed and nothing more."""
    facts = KeepalivedFacts(
        version="2.2.7", systemd=True, unit="/lib/systemd/system/keepalived.service", table=(), sysctls=SETTINGS,
        files=dict.fromkeys(keepalived_files("shop")), folders=dict.fromkeys(keepalived_folders(), False),
    )  # fmt: skip
    return msgspec.structs.replace(facts, **changes)


def links(*addresses: str) -> tuple[Interface, ...]:
    entries = tuple(
        InterfaceAddress(address=one, prefix=32 if one == "10.0.0.10" else 24, scope="global") for one in addresses
    )
    return (Interface(name="lo"), Interface(name="eth0", addresses=entries))


def seen(here: KeepalivedFacts | None = None, there: KeepalivedFacts | None = None, *, holder: str = "") -> Observed:
    vip = ["10.0.0.10"]
    return Observed(
        director=DirectorFacts(
            privileged=True, interfaces=links("10.0.0.2", *(vip if holder == DIRECTOR else [])),
            keepalived=here or bare(),
        ),
        servers={
            "lb2": ServerFacts(
                host="lb2", privileged=True, interfaces=links("10.0.0.3", *(vip if holder == "lb2" else [])),
                keepalived=there or bare(),
            )
        },
    )  # fmt: skip


def planned(observed: Observed, deployment: Deployment = SHOP, able: frozenset[str] = ABLE) -> dict[str, HostPlan]:
    return {host.host: host for host in plan_keepalived(deployment, observed, able)}


def put(facts: KeepalivedFacts, steps: Sequence[Step]) -> KeepalivedFacts:
    """What stands after these steps."""
    files, folders, texts, running = dict(facts.files), dict(facts.folders), dict(facts.texts), facts.running
    for change in (change for step in steps for change in step.changes):
        match change:
            case FileChange(path=path, new=new):
                files[path] = new
                if path.startswith("/etc/keepalived/"):
                    texts.pop(path, None)
                    texts |= {path: new.content} if new is not None else {}
            case FolderChange(path=path, new=there):
                folders[path] = there
            case KeepalivedChange(of="daemon", new=new_state):
                running = new_state == "running"
    return msgspec.structs.replace(
        facts, files=files, folders=folders, texts=texts, running=running, active=running and facts.systemd, table=TABLE
    )


def settled(deployment: Deployment = SHOP, here: KeepalivedFacts | None = None) -> Observed:
    """Both directors as an apply leaves them."""
    here, there = here or bare(), bare()
    made = planned(seen(here, there), deployment)
    return seen(put(here, made[DIRECTOR].steps), put(there, made["lb2"].steps), holder=DIRECTOR)


def owed(steps: Sequence[Step]) -> list[Owed]:
    found: list[Owed] = []
    for step in steps:
        for change in step.changes:
            if isinstance(change, KeepalivedChange) and change.of == "files":
                continue
            if isinstance(change, FileChange | FolderChange | KeepalivedChange):
                found.append(
                    Owed(
                        host=step.host, address="10.0.0.3", server="", phase=step.phase, step=step.id,
                        title=step.title, change=change, order=len(found) + 1,
                    )
                )  # fmt: skip
    return found


def files(step: Step) -> dict[str, FileState | None]:
    return {change.path: change.new for change in step.changes if isinstance(change, FileChange)}


def test_a_bare_pair_gets_files_a_unit_and_a_start_and_the_second_plan_is_empty() -> None:
    made = planned(seen())
    for name in (DIRECTOR, "lb2"):
        (step,) = made[name].steps
        assert set(files(step)) == set(keepalived_files("shop"))
        assert isinstance(step.changes[0], KeepalivedChange)
        assert dict(step.changes[0].files).keys() == {KEEPALIVED_CONF, services_file("shop"), vrrp_file("shop")}
        assert commands(step.changes[-1]) == ("systemctl start keepalived",)
        assert files(step)[ENABLED_LINK] == FileState(target="/lib/systemd/system/keepalived.service")
    again = planned(settled())
    assert [host.steps for host in again.values()] == [(), ()]


def test_the_director_that_serves_is_changed_last() -> None:
    for holder, order in ((DIRECTOR, ["lb2", DIRECTOR]), ("lb2", [DIRECTOR, "lb2"])):
        observed = seen(bare(running=True), bare(running=True), holder=holder)
        assert [host.host for host in plan_keepalived(SHOP, observed, ABLE)] == order


def test_a_director_that_serves_without_keepalived_is_changed_first() -> None:
    """The other one would hear nobody, and take VIPs whose connections it does not know."""
    for holder, order in ((DIRECTOR, [DIRECTOR, "lb2"]), ("lb2", ["lb2", DIRECTOR])):
        observed = seen(holder=holder)
        assert [host.host for host in plan_keepalived(SHOP, observed, ABLE)] == order
        said = [step.interrupts for host in plan_keepalived(SHOP, observed, ABLE) for step in host.steps]
        assert [one for one in said if "for about 6 s" in one] == [one for one in said if one] != []
    alone = msgspec.structs.replace(SHOP, director=msgspec.structs.replace(SHOP.director, peers=()))
    (only,) = plan_keepalived(alone, seen(holder=DIRECTOR), ABLE)
    assert any("for about 1 s" in step.interrupts for step in only.steps)


def test_a_running_keepalived_reads_its_files_again_and_is_never_started_anew() -> None:
    heavier = msgspec.structs.replace(
        SHOP, servers=(msgspec.structs.replace(SHOP.servers[0], weight=5), *SHOP.servers[1:])
    )
    for host in planned(settled(), heavier).values():
        (step,) = host.steps
        assert list(files(step)) == [services_file("shop")]
        assert commands(step.changes[-1]) == ("systemctl reload keepalived",)
        assert not any("restart" in line for change in step.changes for line in commands(change))


@pytest.mark.parametrize(
    ("seen_there", "start", "reload", "stop"),
    [
        ({}, "systemctl start keepalived", "systemctl reload keepalived", "systemctl stop keepalived"),
        ({"systemd": False}, "keepalived", 'kill -HUP $(cat /run/keepalived.pid)',
         'kill $(cat /run/keepalived.pid)'),
    ],
)  # fmt: skip
def test_what_is_shown_is_what_is_run_with_systemd_and_without(
    seen_there: dict[str, object], start: str, reload: str, stop: str
) -> None:
    there = bare(**seen_there)
    fresh = planned(seen(there=there))["lb2"].steps[-1].changes[-1]
    left = put(there, planned(seen(there=there))["lb2"].steps)
    heavier = msgspec.structs.replace(
        SHOP, servers=(msgspec.structs.replace(SHOP.servers[0], weight=5), *SHOP.servers[1:])
    )
    again = planned(seen(there=left, holder=DIRECTOR), heavier)["lb2"].steps[-1].changes[-1]
    for change, wanted in ((fresh, start), (again, reload), (fresh.inverse(), stop)):
        assert isinstance(change, KeepalivedChange)
        assert commands(change) == (wanted,)
        by = "unit" if wanted.startswith("systemctl") else "itself"
        assert f"\nverb={by}-" in script(change)
        lines = script(change).partition(f"\n{by}-")[2].partition(";;")[0]
        assert ("unit" in lines) is (by == "unit") or change.new == "stopped"


def test_a_keepalived_that_runs_beside_its_unit_is_told_itself() -> None:
    left = msgspec.structs.replace(put(bare(), planned(seen())["lb2"].steps), active=False)
    heavier = msgspec.structs.replace(
        SHOP, servers=(msgspec.structs.replace(SHOP.servers[0], weight=5), *SHOP.servers[1:])
    )
    change = planned(seen(there=left, holder=DIRECTOR), heavier)["lb2"].steps[-1].changes[-1]
    assert commands(change) == ("kill -HUP $(cat /run/keepalived.pid)",)


OPERATORS = FileState(content="! ours\nglobal_defs {\n router_id lb1\n}\n", mode=0o640)


def test_an_operators_file_gets_one_line_and_its_globals_are_told_and_not_merged() -> None:
    text = {KEEPALIVED_CONF: OPERATORS.content}
    here = bare(files={**bare().files, KEEPALIVED_CONF: OPERATORS}, texts=text, running=True)
    host = planned(seen(here))[DIRECTOR]
    assert files(host.steps[0])[KEEPALIVED_CONF] == FileState(
        content=f"{OPERATORS.content}{INCLUDE_LINE}\n", mode=0o640
    )
    assert any("reload_check_config" in note and "Add it there" in note for note in host.notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": ""}, "apt install keepalived"),
        ({"masked": True}, "systemctl unmask"),
        ({"running": True, "other_config": "/srv/ka.conf"}, "reads /srv/ka.conf"),
        ({"texts": {KEEPALIVED_CONF: "global_defs {\n vrrp_strict\n}\n"},
          "files": {KEEPALIVED_CONF: FileState(content="global_defs {\n vrrp_strict\n}\n")}}, "vrrp_strict"),
    ],
)  # fmt: skip
def test_what_stands_in_the_way_is_said_and_nothing_is_planned(changes: dict[str, object], words: str) -> None:
    host = planned(seen(bare(**changes)))[DIRECTOR]
    assert words in host.problem
    assert not host.steps


def test_where_this_machine_could_not_be_looked_at_the_other_director_is_not_said_to_lack_anything() -> None:
    for host in planned(msgspec.structs.replace(seen(), director=None)).values():
        assert host.problem
        assert "no address" not in host.problem
        assert not host.steps


def test_a_director_that_is_a_real_server_is_refused_with_the_loop() -> None:
    observed = seen()
    assert observed.director is not None
    twin = msgspec.structs.replace(observed.director, interfaces=links("10.0.0.2", "10.0.0.101"))
    host = planned(msgspec.structs.replace(observed, director=twin))[DIRECTOR]
    assert "packets go round between the two" in host.problem


def test_a_server_that_leaves_gets_no_clients_first_and_goes_in_a_step_of_its_own() -> None:
    before = settled()
    fewer = msgspec.structs.replace(SHOP, servers=SHOP.servers[:1])
    for host in planned(before, fewer).values():
        drain, removal = host.steps
        drained, gone = files(drain)[services_file("shop")], files(removal)[services_file("shop")]
        assert drained is not None
        assert gone is not None
        assert "real_server 10.0.0.102 80 {\n        weight 0\n" in drained.content
        assert "10.0.0.102" not in gone.content
        assert removal.phase == "withdraw"


def test_a_server_that_is_not_proved_is_written_with_weight_0_unless_it_serves_already() -> None:
    place = DestinationPlace("10.0.0.10", "tcp/80", "web2")
    (step,) = planned(seen())["lb2"].steps
    held = without(step, SHOP, [place])
    for text in (files(held)[services_file("shop")], dict(_checked(held))[services_file("shop")]):
        assert "real_server 10.0.0.102 80 {\n        weight 0\n" in (text if isinstance(text, str) else _content(text))
    unable = planned(seen(), able=frozenset({"web1"}))["lb2"].steps[0]
    assert files(unable)[services_file("shop")] == files(held)[services_file("shop")]
    assert planned(settled(), able=frozenset({"web1"}))["lb2"].steps == ()


def _checked(step: Step) -> tuple[tuple[str, str], ...]:
    first = step.changes[0]
    assert isinstance(first, KeepalivedChange)
    return first.files


def _content(state: FileState | None) -> str:
    assert state is not None
    return state.content


def test_a_service_that_goes_as_a_whole_goes_at_once_with_its_connections() -> None:
    more = loads(FILE.replace("port = 80", "port = 80\n[[vips.services]]\nport = 443"))
    for host in planned(settled(more)).values():
        (step,) = host.steps
        text = _content(files(step)[services_file("shop")])
        assert "443" not in text
        assert "weight 0" not in text
        assert step.interrupts == "Connections to 10.0.0.10 tcp/443 are cut."


def test_a_service_with_nobody_to_send_to_is_refused() -> None:
    assert "No real server of 10.0.0.10 tcp/80 would have a weight" in planned(seen(), able=frozenset())["lb2"].problem


def test_the_look_at_a_table_finds_what_is_missing() -> None:
    whole = bare(running=True, table=TABLE)
    assert unfinished(SHOP, whole) == ""
    assert "does not run" in unfinished(SHOP, bare())
    assert "no service" in unfinished(SHOP, bare(running=True))
    nat = msgspec.structs.replace(TABLE[0].entries[0], method="nat")
    odd = msgspec.structs.replace(TABLE[0], entries=(nat, TABLE[0].entries[1]))
    assert "method nat" in unfinished(SHOP, bare(running=True, table=(odd,)))
    fewer = msgspec.structs.replace(TABLE[0], entries=TABLE[0].entries[:1])
    assert "web2 is not behind" in unfinished(SHOP, bare(running=True, table=(fewer,)))


def taken_back(observed: Observed, steps: Sequence[Step], host: str = "lb2") -> tuple[Change, ...]:
    (made,) = teardown_plan("shop", owed(steps), observed).hosts
    assert made.host == host
    (step,) = made.steps
    return step.changes


def test_what_was_set_up_from_nothing_is_stopped_and_taken_away_whole() -> None:
    there = bare()
    steps = planned(seen(there=there))["lb2"].steps
    after = put(there, steps)
    observed = seen(there=after)
    observed.servers["lb2"] = msgspec.structs.replace(observed.servers["lb2"], files=after.files, folders=after.folders)
    changes = taken_back(observed, steps)
    assert commands(changes[0]) == ("systemctl stop keepalived",)
    restored = put(after, [msgspec.structs.replace(steps[0], changes=changes)])
    assert (restored.files, restored.folders, restored.running) == (there.files, there.folders, False)


def test_an_operators_keepalived_goes_on_with_its_file_as_it_was_even_if_edited_since() -> None:
    here = bare(
        files={**bare().files, KEEPALIVED_CONF: OPERATORS}, texts={KEEPALIVED_CONF: OPERATORS.content}, running=True,
        active=True,
    )  # fmt: skip
    steps = planned(seen(here))[DIRECTOR].steps
    after = put(here, steps)
    changes = taken_back(seen(after), steps, DIRECTOR)
    assert commands(changes[-1] if not isinstance(changes[-1], FolderChange) else _last_act(changes)) == (
        "systemctl reload keepalived",
    )
    assert put(after, [msgspec.structs.replace(steps[0], changes=changes)]).files == here.files

    conf = after.files[KEEPALIVED_CONF]
    assert conf is not None
    edited = msgspec.structs.replace(conf, content=conf.content + "! more of ours\n")
    changed = msgspec.structs.replace(after, files={**after.files, KEEPALIVED_CONF: edited})
    left = put(changed, [msgspec.structs.replace(steps[0], changes=taken_back(seen(changed), steps, DIRECTOR))])
    assert left.files[KEEPALIVED_CONF] == FileState(content=OPERATORS.content + "! more of ours\n", mode=0o640)


def _last_act(changes: Sequence[Change]) -> Change:
    return next(change for change in reversed(changes) if isinstance(change, KeepalivedChange))


def test_a_line_at_the_end_of_the_operators_file_is_no_write_that_was_cut_off() -> None:
    """What stood before is the beginning of what stands now, and belongs to the operator."""
    change = FileChange(
        path=KEEPALIVED_CONF, old=OPERATORS, new=FileState(content=f"{OPERATORS.content}{INCLUDE_LINE}\n", mode=0o640)
    )
    step = Step(id="keepalived", host=DIRECTOR, phase="service", title="", why="", changes=(change,))
    intent = Intent(run="r", at=1.0, address="local", step=step)
    result = Result(run="r", at=2.0, host=DIRECTOR, step="keepalived", outcome=Outcome.CHANGED)
    (item,) = standing_by([intent, result])
    assert item.change == change


def test_what_the_directors_files_no_longer_have_is_sent_to_no_more() -> None:
    service = VirtualService(
        key=ServiceKey(address="10.0.0.10", protocol="tcp", port=80), state=ServiceState(scheduler="mh"),
        destinations=(Destination(address="10.0.0.102", port=80, state=DestinationState(weight=1)),),
    )  # fmt: skip
    before = settled()
    assert before.director is not None
    observed = msgspec.structs.replace(before, director=msgspec.structs.replace(before.director, services=(service,)))
    fewer = msgspec.structs.replace(SHOP, servers=SHOP.servers[:1])
    made = planned(observed, fewer)
    gone = HostPlan(
        host="web2",
        steps=(
            Step(
                id="undo vip", host="web2", phase="withdraw", title="", why="",
                changes=(AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=True, new=False),),
            ),
        ),
    )  # fmt: skip
    plan = Plan(deployment="shop", hosts=(*made.values(), gone))
    for before_steps, kept in ((made[DIRECTOR].steps, 1), ((), 0)):
        shown = kept_where_sent(plan, fewer, observed, SHOP.servers, before_steps)
        assert len(shown.hosts[-1].steps) == kept


@pytest.mark.parametrize("operators", [False, True])
def test_without_a_journal_it_is_found_by_its_files_and_the_operators_part_stays(operators: bool) -> None:
    here = bare()
    if operators:
        here = bare(
            files={**bare().files, KEEPALIVED_CONF: OPERATORS}, texts={KEEPALIVED_CONF: OPERATORS.content}, running=True
        )
    here = msgspec.structs.replace(here, systemd=False)
    after = put(here, planned(seen(here))[DIRECTOR].steps)
    found = keepalived_found(SHOP, seen(after))
    assert {item.host for item in found} == {DIRECTOR}
    (made,) = teardown_plan("shop", found, seen(after)).hosts
    restored = put(after, made.steps)
    assert restored.files == here.files
    assert restored.running is operators
    assert keepalived_found(SHOP, seen()) == []


def test_another_engine_is_refused_while_keepalived_has_the_table() -> None:
    mine = owed(planned(seen())[DIRECTOR].steps)
    alone = loads(FILE.replace('"keepalived"', '"netlink"').replace(
        '[[director.peers]]\nname = "lb2"\naddress = "10.0.0.3"\n', ""))  # fmt: skip
    with pytest.raises(UsageError, match="names another engine"):
        refuse_change_back(alone, mine)
    refuse_change_back(SHOP, mine)


def test_what_netlink_set_is_keepaliveds_once_it_has_taken_over_even_if_something_else_failed() -> None:
    vip = AddressChange(interface="eth0", address="10.0.0.10", prefix=32, old=False, new=True)
    mine = [
        Owed(host=DIRECTOR, address="local", server="", phase="vip", step="vip", title="", change=vip, order=1),
        Owed(host="web1", address="10.0.0.101", server="", phase="vip", step="vip", title="", change=vip, order=2),
    ]
    for outcome, gone in ((Outcome.CHANGED, mine[:1]), (Outcome.FAILED, [])):
        step = StepResult(host=DIRECTOR, step="keepalived", outcome=outcome)
        hosts = (
            HostResult(host=DIRECTOR, outcome=outcome, steps=(step,)), HostResult(host="web2", outcome=Outcome.FAILED),
        )  # fmt: skip
        assert handed_over(mine, RunResult(deployment="shop", hosts=hosts)) == gone


def test_the_other_director_cannot_just_leave_the_file() -> None:
    """It would hear no adverts any more, and take the VIPs beside the one that has them."""
    alone = loads(FILE.replace('[[director.peers]]\nname = "lb2"\naddress = "10.0.0.3"\n', ""))
    with pytest.raises(UsageError, match="both would hold the VIPs"):
        refuse_change_back(alone, owed(planned(seen())["lb2"].steps))
    refuse_change_back(SHOP, owed(planned(seen())["lb2"].steps))


def test_the_unit_of_each_deployment_takes_its_own_vips_off() -> None:
    (step,) = planned(seen())["lb2"].steps
    assert "ip address del 10.0.0.10/32 dev eth0" in _content(files(step)[keepalived_drop_in("shop")])
