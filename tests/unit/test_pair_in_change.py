"""Two directors while something changes: who takes the VIPs back and when, whether they tell each other of connections,
and whom a client still sends to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.dialects.linux.keepalived import parse_look
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Client
from dsrwizard.core.model.keepalived import SyncDaemon
from dsrwizard.core.model.steps import DIRECTOR
from tests.unit.diagnosed import VIP, find
from tests.unit.test_diagnose_client import DIRECTOR_MAC, view
from tests.unit.test_keepalived_look import LOOK
from tests.unit.test_several_directors import OTHER, Keeping, kept

GONE = "02:00:0a:00:00:77"


@pytest.fixture
def keeping(tmp_path: Path) -> Keeping:
    return Keeping(tmp_path)


# -- who takes the VIPs back


def stands_by(keeping: Keeping) -> None:
    keeping.lets_go()
    keeping.lb2_holds()


def test_a_preferred_director_that_has_just_come_up_says_when_it_takes_the_vips(keeping: Keeping) -> None:
    stands_by(keeping)
    kept(keeping, age=18)
    assert keeping.role().evidence.endswith("preempt in progress, in about 42 s, for it was started 18 s ago")
    keeping.world.keepalived_seen = keeping.seen[DIRECTOR]
    (row, _) = keeping.status().directors
    assert row.words == "backup, preempt in progress: has the VIPs in about 42 s"


@pytest.mark.parametrize("changes", [{"age": 61}, {"age": None}, {"age": 3, "running": False}])
def test_what_is_not_known_of_it_is_not_said(keeping: Keeping, changes: dict[str, object]) -> None:
    stands_by(keeping)
    kept(keeping, DIRECTOR, **changes)
    keeping.world.keepalived_seen = keeping.seen[DIRECTOR]
    assert "in about" not in keeping.role().evidence
    assert keeping.status().directors[0].words == "backup"


def test_who_holds_them_takes_nothing_back(keeping: Keeping) -> None:
    kept(keeping, age=3)
    keeping.world.keepalived_seen = keeping.seen[DIRECTOR]
    assert "in about" not in keeping.role().evidence
    assert keeping.status().directors[0].words == "active"


# -- a handover while verify looks


class Meanwhile:
    """The farm's wire; something happens while it is asked who has the VIPs, so often."""

    def __init__(self, keeping: Keeping, happens: Callable[[int], None]) -> None:
        self._wire, self._happens, self.asked = keeping.world.wire(), happens, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._wire, name)

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        if VIP not in addresses:
            return self._wire.owners(interface, addresses, deadline)
        self.asked += 1
        heard = self._wire.owners(interface, addresses, deadline)
        self._happens(self.asked)
        return heard


def directors_in(keeping: Keeping, happens: Callable[[int], None]) -> tuple[list[tuple[str, str]], Check]:
    """What is named of the directors, and the role."""
    wire = Meanwhile(keeping, happens)
    report = keeping.verify(wire=wire)  # type: ignore[arg-type]
    (role,) = [one for one in report.checks if one.check == "director.role"]
    return [(one.cause, one.host) for one in report.failures if one.cause != "guard-off"], role


def test_vips_that_come_here_between_the_looks_are_held_by_somebody(keeping: Keeping) -> None:
    keeping.lets_go()
    named, role = directors_in(keeping, lambda times: keeping.world.machine.links["eth0"].addresses.update({VIP: 32}))
    assert named == []
    assert role.message == f"This director is the active one for {VIP}."
    keeping.lets_go()
    wire = Meanwhile(keeping, lambda times: keeping.world.machine.links["eth0"].addresses.update({VIP: 32}))
    (held,) = [one for one in keeping.verify(wire=wire).checks if one.check == "director.vip"]  # type: ignore[arg-type]
    assert (held.outcome, held.message) == ("pass", f"The director holds {VIP}.")


def test_vips_that_go_while_the_wire_is_asked_are_not_held_twice(keeping: Keeping) -> None:
    synchronising(keeping, (daemon("master"),), (daemon("backup"),))
    keeping.lb2_holds()  # it has answered already; this director was looked at before

    def happens(times: int) -> None:
        if times == 1:
            keeping.lets_go()

    named, role = directors_in(keeping, happens)
    assert named == [], "nor is a daemon in a wrong state, for it was looked at before"
    assert role.message == f"lb2 is the active director for {VIP}; this one is its backup."


def test_a_keepalived_that_is_down_explains_the_empty_table_of_its_director(keeping: Keeping) -> None:
    """The table goes with it, and whoever makes it by hand has keepalived refuse to start over it."""
    keeping.lets_go()
    keeping.lb2_holds()
    keeping.world.ipvs.table.clear()
    kept(keeping, running=False, table=())
    assert keeping.named() == [("no-standby", DIRECTOR)]
    (check,) = [one for one in keeping.verify().checks if one.check == "director.ipvs"]
    assert check.consequence_of == "no-standby"


def test_vips_that_nobody_takes_are_named_after_three_looks(keeping: Keeping) -> None:
    keeping.lets_go()
    wire = Meanwhile(keeping, lambda times: None)
    report = keeping.verify(wire=wire)  # type: ignore[arg-type]
    assert wire.asked == 3
    assert ("director-vip", DIRECTOR) in [(one.cause, one.host) for one in report.failures]


# -- whether they tell each other of connections


def daemon(state: str, interface: str = "eth0", number: int = 51) -> SyncDaemon:
    return SyncDaemon(state=state, interface=interface, id=number)


def synchronising(keeping: Keeping, here: tuple[SyncDaemon, ...] | None, there: tuple[SyncDaemon, ...] | None) -> None:
    """Both with these daemons; the scheduler of the farm counts connections, so that they are needed."""
    kept(keeping, sync=here, active=True)
    kept(keeping, "lb2", sync=there, active=True)


def test_daemons_as_they_should_be_are_evidence_with_the_connections_of_both(keeping: Keeping) -> None:
    synchronising(keeping, (daemon("master"),), (daemon("backup"),))
    assert keeping.named() == []
    assert "synchronisation: master on eth0, id 51" in keeping.of(DIRECTOR).evidence
    assert "6 open connections (this director: " in keeping.of("lb2").evidence
    assert "synchronisation: backup on eth0, id 51" in keeping.of("lb2").evidence


@pytest.mark.parametrize(
    ("there", "words", "fix"),
    [
        (
            (),
            "no synchronisation daemon runs there, and its scheduler needs one",
            "On lb2: systemctl restart keepalived",
        ),
        ((daemon("backup", "eth1"),), "is backup on eth1, id 51, not on eth0 with id 51", "dsrwizard plan FILE"),
        ((daemon("backup", number=7),), "is backup on eth0, id 7, not on eth0 with id 51", "dsrwizard plan FILE"),
        ((daemon("master"),), "and it stands by, so it has to be backup", "On lb2: systemctl restart keepalived"),
        ((daemon("backup"), daemon("master")), "it sends though it stands by", "On lb2: systemctl restart keepalived"),
    ],
)
def test_one_that_is_in_a_wrong_state_is_named(
    keeping: Keeping, there: tuple[SyncDaemon, ...], words: str, fix: str
) -> None:
    synchronising(keeping, (daemon("master"),), there)
    assert keeping.named() == [("no-standby", "lb2")]
    assert words in keeping.of("lb2").message
    assert keeping.of("lb2").fix.startswith(fix)


def test_a_wrong_daemon_beside_a_right_file_was_started_by_somebody(keeping: Keeping) -> None:
    synchronising(keeping, (daemon("master"),), (daemon("backup", "lo"),))
    texts = {"/etc/keepalived/keepalived.conf": "global_defs {\n    lvs_sync_daemon eth0 dsrwizard-shop id 51\n}\n"}
    kept(keeping, "lb2", sync=(daemon("backup", "lo"),), active=True, texts=texts)
    assert keeping.of("lb2").fix == "On lb2: systemctl restart keepalived"


def test_the_one_that_serves_has_to_send(keeping: Keeping) -> None:
    synchronising(keeping, (daemon("backup"),), (daemon("backup"),))
    assert keeping.named() == [("no-standby", DIRECTOR)]
    assert "and it serves, so it has to be master" in keeping.of(DIRECTOR).message


def test_where_nobody_could_tell_or_nobody_needs_it_nothing_is_said(keeping: Keeping) -> None:
    synchronising(keeping, None, None)
    assert keeping.named() == []
    vips = tuple(
        msgspec.structs.replace(vip, services=tuple(msgspec.structs.replace(s, scheduler="mh") for s in vip.services))
        for vip in keeping.deployment.vips
    )
    keeping.deployment = msgspec.structs.replace(keeping.deployment, vips=vips)
    synchronising(keeping, (), ())
    assert ("no-standby", "lb2") not in [
        (one.cause, one.host) for one in keeping.verify().failures if "synchronisation" in one.message
    ]


def test_the_look_reads_age_and_daemons(keeping: Keeping) -> None:
    told = "master sync daemon (mcast=eth0, syncid=51, maxlen=1472, group=224.0.0.81, port=8848, ttl=1)"
    more = f"==dsr:N:age==\n18\n==dsr:N:sync==\n{told}\nasked\n==dsr:N:settings=="
    found = parse_look("lb2", "N", LOOK.replace("==dsr:N:settings==", more))
    assert (found.age, found.sync) == (18, (daemon("master"),))
    for odd in ("==dsr:N:age==\n-1", f"==dsr:N:age==\n{'9' * 5_000}", "==dsr:N:sync==\nmaster sync daemon (mcast=\x1b"):
        found = parse_look("lb2", "N", LOOK.replace("==dsr:N:settings==", f"{odd}\n==dsr:N:settings=="))
        assert (found.age, found.sync) == (None, None)


# -- whom a client still sends to


def client(keeping: Keeping, mac: str) -> Check:
    keeping.deployment = msgspec.structs.replace(keeping.deployment, client=Client(address="203.0.113.10"))
    return find(
        keeping.verify(client=view("silent" if mac == GONE else "open", on_link=True, mac=mac)), "client.arp", "client"
    )


def test_a_client_that_sends_to_the_one_that_holds_the_vip_is_told_with_its_name(keeping: Keeping) -> None:
    assert client(keeping, DIRECTOR_MAC).evidence == f"{DIRECTOR_MAC}, which is this director"
    stands_by(keeping)
    check = client(keeping, OTHER)
    assert (check.outcome, check.evidence) == ("pass", f"{OTHER}, which is lb2")


def test_a_client_that_sends_to_the_other_one_is_named_with_whom_it_sends_to(keeping: Keeping) -> None:
    check = client(keeping, OTHER)
    assert (check.outcome, check.cause) == ("fail", "stale-arp")
    assert check.message == f"The client host still sends {VIP} to {OTHER}, which is lb2 and does not hold it now."
    stands_by(keeping)
    check = client(keeping, DIRECTOR_MAC)
    assert (check.cause, check.fix) == ("stale-arp", f"On the client: ip neigh flush to {VIP}")
    assert "which is this director and does not hold it now" in check.message


def test_a_client_that_sends_to_a_dead_director_is_named(keeping: Keeping) -> None:
    check = client(keeping, GONE)
    assert check.message == f"The client host still sends {VIP} to {GONE}, which no director answers with now."
