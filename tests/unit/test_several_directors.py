"""Two directors that hold the VIPs by turns: who holds them, by this machine's addresses and by the wire."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from dsrwizard.cli import printing
from dsrwizard.core.model.changes import FileChange, FileState
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Bgp, Deployment, PeerDirector
from dsrwizard.core.model.facts import Interface, Observed, ServerFacts
from dsrwizard.core.model.guarding import GuardState
from dsrwizard.core.model.keepalived import ENABLED_LINK, KeepalivedFacts, TableEntry, TableService
from dsrwizard.core.model.linux_facts import LinuxFacts
from dsrwizard.core.model.packet_filter import FilterChain
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.core.model.snapshot import Snapshot
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.guard_unit import GuardPlace, as_seen_from, guard_steps
from dsrwizard.core.plan.keepalived import keepalived_settings
from dsrwizard.core.plan.mend import mending
from dsrwizard.core.tell.metrics import exposition
from screens.live.header import Looking, Tally, header_lines
from tests.fakes.engine import engine_of
from tests.fakes.filters import chains, input_drops
from tests.fakes.operator import Nobody
from tests.unit.diagnosed import VIP, Farm, arp_leak

OTHER = "02:00:0a:00:00:03"
ADDRESS = "10.0.0.3"


def two(deployment: Deployment) -> Deployment:
    """The same with another director beside this one."""
    peer = PeerDirector(name="lb2", address=ADDRESS)
    return msgspec.structs.replace(deployment, director=msgspec.structs.replace(deployment.director, peers=(peer,)))


class Pair(Farm):
    """This director holds the VIP; lb2 is there."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.deployment = two(self.deployment)
        self.world.strangers[ADDRESS] = [OTHER]

    def lets_go(self) -> None:
        self.world.machine.links["eth0"].addresses.pop(VIP)

    def lb2_holds(self) -> None:
        self.world.strangers[VIP] = [OTHER]

    def role(self) -> Check:
        (check,) = [one for one in self.verify().checks if one.check == "director.role"]
        return check

    def failed(self) -> list[tuple[str, str]]:
        return [(one.cause, one.host) for one in self.verify().failures]

    def status(self) -> Snapshot:
        engine = engine_of(self.world, Nobody(), self.folder)
        return engine.watch(self.deployment, recorded=False).once()


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    monkeypatch.setattr("dsrwizard.engine.engine.refuse_unbuilt", lambda deployment: None)
    return Pair(tmp_path)


def test_the_active_one_says_so(pair: Pair) -> None:
    assert (pair.role().outcome, pair.role().message) == ("pass", f"This director is the active one for {VIP}.")
    assert pair.failed() == []


def test_a_backup_is_no_fault(pair: Pair) -> None:
    pair.lets_go()
    pair.lb2_holds()
    assert pair.role().message == f"lb2 is the active director for {VIP}; this one is its backup."
    assert pair.failed() == []


def test_two_at_once_are_split_and_told_once(pair: Pair) -> None:
    pair.lb2_holds()
    check = pair.role()
    assert check.message == f"Two directors hold {VIP} at once: this director and lb2."
    assert "IP protocol 112" in check.fix
    assert ADDRESS in check.fix
    assert pair.failed() == [("split-brain", "director")]


def test_nobody_is_named_once(pair: Pair) -> None:
    pair.lets_go()
    assert pair.role().message == f"No director holds {VIP}, so no client can reach it."
    assert pair.failed() == [("director-vip", "director")]


def test_a_stranger_is_still_a_stranger_and_a_leak_a_leak(pair: Pair) -> None:
    pair.world.strangers[VIP] = ["02:00:00:00:be:ef"]
    assert pair.failed() == [("duplicate-vip", "director")]
    pair.world.strangers.pop(VIP)
    arp_leak(pair, "web2")
    assert pair.failed() == [("arp-leak", "web2")]


def test_a_director_that_does_not_answer_at_its_own_address_is_said(pair: Pair) -> None:
    pair.world.strangers.pop(ADDRESS)
    assert "lb2 does not answer at its own address" in pair.role().evidence


def test_where_the_wire_cannot_be_asked_nothing_is_said(pair: Pair) -> None:
    pair.world.privileged = False
    assert pair.role().outcome == "unknown"


def test_with_bgp_all_hold_it_and_with_one_director_there_is_no_such_question(pair: Pair) -> None:
    pair.lb2_holds()
    bgp = Bgp(neighbour="10.0.0.1", local_as=65010, neighbour_as=65000)
    pair.deployment = msgspec.structs.replace(
        pair.deployment, director=msgspec.structs.replace(pair.deployment.director, bgp=bgp)
    )
    assert pair.failed() == []
    assert [one for one in pair.verify().checks if one.check == "director.role"] == []


@pytest.mark.parametrize(
    ("here", "there", "words", "owner"),
    [
        (True, False, "director active, lb2 backup", "director"),
        (False, True, "director backup, lb2 active", "lb2"),
        (False, False, "director backup, lb2 backup", ""),
        (True, True, "director active, lb2 active", "lb2"),
    ],
)
def test_status_the_live_view_and_metrics_say_who_holds_it(
    pair: Pair, here: bool, there: bool, words: str, owner: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if not here:
        pair.lets_go()
    if there:
        pair.lb2_holds()
    seen = pair.status()
    assert seen.services[0].owner == owner
    printing.snapshot(seen, as_json=False)
    assert f"Directors: {words}.\n" in capsys.readouterr().out
    printing.snapshot(seen, as_json=True)
    rows = json.loads(capsys.readouterr().out)["directors"]
    assert [(row["name"], bool(row["holds"])) for row in rows] == [("director", here), ("lb2", there)]
    text = exposition(seen, seen.at)
    assert f'dsrwizard_director_holds_vip{{director="lb2",vip="{VIP}"}} {int(there)}\n' in text
    assert f'dsrwizard_director_holds_vip{{director="director",vip="{VIP}"}} {int(here)}\n' in text
    lines = header_lines(pair.deployment, seen, Tally.of(seen), Looking(), 80)
    assert words.replace(", ", " · ") in [line.plain for line in lines]
    causes = {service.cause for service in seen.services}
    assert causes == {"split-brain" if here and there else "" if here or there else "director-vip"}


def test_one_director_alone_has_no_line(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    director = msgspec.structs.replace(pair.deployment.director, peers=())
    pair.deployment = msgspec.structs.replace(pair.deployment, director=director)
    seen = pair.status()
    assert seen.directors == ()
    printing.snapshot(seen, as_json=False)
    assert "Directors:" not in capsys.readouterr().out


# -- keepalived on both, as it was looked at


def kept(pair: Keeping, host: str = DIRECTOR, **other: object) -> None:
    """What was seen of keepalived on a director; the rest is as it should be."""
    services = tuple(
        TableService(
            protocol="tcp", address=VIP, port=80, scheduler=pair.deployment.vips[0].services[0].scheduler,
            entries=tuple(
                TableEntry(address=server.address, port=80, method="dr", weight=1, active=2)
                for server in pair.deployment.servers
            ),
        )
        for _ in range(1)
    )  # fmt: skip
    settings = {key: value for key, (value, *_) in keepalived_settings(pair.deployment, "eth0").items()}
    seen = KeepalivedFacts(
        version="2.2.7", systemd=True, running=True, program="/usr/bin/dsrwizard", sysctls=settings,
        table=services,
        files={ENABLED_LINK: FileState(target="/lib/systemd/system/keepalived.service")},
    )  # fmt: skip
    pair.seen[host] = msgspec.structs.replace(seen, **other)


class Keeping(Pair):
    """The same with keepalived as the engine. `seen`: what a look at each director says of it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.deployment = msgspec.structs.replace(
            self.deployment, director=msgspec.structs.replace(self.deployment.director, engine="keepalived", guard=True)
        )
        self.seen: dict[str, KeepalivedFacts] = {}
        self.linux: LinuxFacts | None = None
        kept(self)
        kept(self, "lb2")

    def observed(self) -> Observed:
        found = super().observed()
        if not hasattr(self, "seen") or found.director is None:
            return found
        director = msgspec.structs.replace(found.director, keepalived=self.seen[DIRECTOR])
        other = Interface(name="eth0", mac=OTHER, up=True)
        servers = dict(found.servers)
        if "lb2" in self.seen:
            servers["lb2"] = ServerFacts(
                host="lb2", privileged=True, interfaces=(other,), keepalived=self.seen["lb2"], linux=self.linux
            )
        return msgspec.structs.replace(found, director=director, servers=servers)

    def named(self) -> list[tuple[str, str]]:
        """Causes that are of the directors."""
        return [(cause, host) for cause, host in self.failed() if cause != "guard-off"]

    def of(self, host: str, check: str = "director.keepalived") -> Check:
        (found,) = [one for one in self.verify().checks if (one.check, one.host) == (check, host)]
        return found


@pytest.fixture
def keeping(tmp_path: Path) -> Keeping:
    return Keeping(tmp_path)


def test_both_directors_ready_is_said_of_each(keeping: Keeping) -> None:
    assert keeping.named() == []
    assert keeping.of(DIRECTOR).message == "This director is ready to hold the VIPs."
    assert keeping.of("lb2").message == "lb2 is ready to hold the VIPs."
    assert "6 open connections" in keeping.of("lb2").evidence


def test_with_keepalived_nothing_of_dsrwizards_own_has_to_come_back_at_boot(keeping: Keeping) -> None:
    keeping.world.boot = DirectorBoot(systemd=True, program=("/opt/dsrwizard/bin/dsrwizard",))
    assert [one for one in keeping.verify().checks if one.check == "director.persistent"] == []


@pytest.mark.parametrize("host", [DIRECTOR, "lb2"])
def test_a_vip_that_a_killed_keepalived_left_is_an_orphan_and_explains_the_second_owner(
    keeping: Keeping, host: str
) -> None:
    keeping.lb2_holds()
    kept(keeping, host, running=False)
    assert keeping.named() == [("orphan-vip", host)]
    check = keeping.of(host)
    assert "another director has taken it too" in check.message
    assert f"ip addr del {VIP}/32 dev eth0; systemctl start keepalived" in check.fix
    assert keeping.role().consequence_of == "orphan-vip"


def test_an_orphan_that_nobody_else_holds_keeps_its_vip(keeping: Keeping) -> None:
    kept(keeping, running=False)
    assert keeping.named() == [("orphan-vip", DIRECTOR)]
    assert keeping.of(DIRECTOR).fix == "On the director: systemctl start keepalived"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"running": False}, "keepalived does not run there"),
        ({"version": ""}, "keepalived is not installed there"),
        ({"masked": True}, "its unit is masked"),
        ({"files": {ENABLED_LINK: None}}, "its unit is not enabled"),
        ({"other_config": "/etc/other.conf"}, "it reads /etc/other.conf"),
        ({"sysctls": {"net.ipv4.conf.all.send_redirects": "1"}}, "net.ipv4.conf.all.send_redirects is 1 there, not 0"),
        ({"table": ()}, f"its IPVS has no service {VIP} tcp/80"),
        ({"table": None}, f"its IPVS has no service {VIP} tcp/80"),
    ],
)
def test_a_director_that_could_not_take_over_is_named(keeping: Keeping, other: dict[str, object], words: str) -> None:
    kept(keeping, "lb2", **other)
    assert keeping.named() == [("no-standby", "lb2")]
    assert words in keeping.of("lb2").message
    assert keeping.of("lb2").fix


def test_one_director_alone_whose_keepalived_is_down_is_told_once(keeping: Keeping) -> None:
    director = msgspec.structs.replace(keeping.deployment.director, peers=())
    keeping.deployment = msgspec.structs.replace(keeping.deployment, director=director)
    keeping.lets_go()
    kept(keeping, running=False)
    assert keeping.named() == [("director-vip", DIRECTOR)]
    (check,) = [one for one in keeping.verify().failures if one.cause == "director-vip"]
    assert check.fix == "On the director: systemctl status keepalived; journalctl -u keepalived -n 30"


def test_a_table_that_differs_from_the_file_is_named_and_weights_are_not(keeping: Keeping) -> None:
    (service,) = keeping.seen["lb2"].table or ()
    held = tuple(msgspec.structs.replace(one, weight=0) for one in service.entries)
    kept(keeping, "lb2", table=(msgspec.structs.replace(service, entries=held),))
    assert keeping.named() == []
    for changed, words in (
        (msgspec.structs.replace(service, scheduler="wrr"), "with the scheduler wrr"),
        (msgspec.structs.replace(service, entries=service.entries[1:]), "has no web1 in"),
        (
            msgspec.structs.replace(
                service, entries=(msgspec.structs.replace(held[0], method="nat"), *service.entries[1:])
            ),
            "by nat, not directly",
        ),
    ):
        kept(keeping, "lb2", table=(changed,))
        assert words in keeping.of("lb2").message


def test_one_that_could_not_be_looked_at_is_unknown_and_no_pass(keeping: Keeping) -> None:
    del keeping.seen["lb2"]
    assert keeping.of("lb2").outcome == "unknown"
    assert "ssh root@10.0.0.3" in keeping.of("lb2").fix


def guards(keeping: Keeping, **other: object) -> Check:
    """What is said of lb2's guard, which is as apply sets it up; `other` of what was seen there is otherwise."""
    plain = keeping.seen["lb2"]
    theirs = as_seen_from(keeping.deployment, keeping.deployment.director.peers[0], "10.0.0.2")
    place = GuardPlace("lb2", systemd=True, writable=True, program=(plain.program,), files={}, runs=False)
    (step,) = guard_steps(theirs, place)
    files = {change.path: change.new for change in step.changes if isinstance(change, FileChange)}
    state = GuardState(deployment="shop", pid=7, since=1.0, at=1.0, every=0.5, floor=50, rounds=9, watchdog=15.0)
    seen = msgspec.structs.replace(plain, files={**plain.files, **files}, guard=state, guarded=True)
    keeping.seen["lb2"] = msgspec.structs.replace(seen, **other)
    try:
        return keeping.of("lb2", "director.guard")
    finally:
        keeping.seen["lb2"] = plain


def test_the_guard_of_the_other_director_is_told_of(keeping: Keeping) -> None:
    check = guards(keeping)
    assert (check.outcome, check.message) == ("pass", "The guard on lb2 is at work: it holds nothing out.")


ENDED = GuardState(deployment="shop", pid=7, since=1.0, at=1.0, every=0.5, floor=50, ended=True)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"guarded": False}, "On lb2: systemctl restart dsrwizard-guard-shop.service"),
        ({"guarded": False, "guard": ENDED}, "On lb2: systemctl restart dsrwizard-guard-shop.service"),
        ({"guarded": False, "guard": None, "program": ""}, "Install dsrwizard on lb2, then: dsrwizard apply FILE"),
        ({"guarded": False, "files": {}}, "dsrwizard apply sets it up and starts it."),
        ({"files": {}}, "dsrwizard apply sets it up and starts it."),
        ({"guarded": False, "systemd": False}, "On lb2, have this run all the time: dsrwizard guard FILE"),
    ],
)
def test_a_guard_of_the_other_director_that_is_not_at_work_is_its_own_fault(
    keeping: Keeping, changes: dict[str, object], fix: str
) -> None:
    check = guards(keeping, **changes)
    assert (check.outcome, check.cause, check.host, check.fix) == ("fail", "guard-off", "lb2", fix)


def test_a_guard_of_the_other_director_is_mended_there(keeping: Keeping) -> None:
    check = guards(keeping, guarded=False, guard=ENDED)
    ((cure,), plan) = (made := mending(keeping.deployment, keeping.observed(), [check], frozenset())).cures, made.plan
    assert cure.by_hand == ""
    assert [(step.host, step.purpose) for step in cure.steps] == [("lb2", "guard-service")]
    assert [host.host for host in plan.hosts] == ["lb2"]


def test_a_blind_one_there_is_named(keeping: Keeping) -> None:
    blind = msgspec.structs.replace(ENDED, ended=False, blind="No destination answers.")
    assert guards(keeping, guard=blind).message == "The guard on lb2 changes nothing. No destination answers."


def test_a_backup_says_that_it_will_take_the_vips_back(keeping: Keeping) -> None:
    keeping.lets_go()
    keeping.lb2_holds()
    assert keeping.named() == []
    assert "takes the VIPs back 60 s after it has heard the other" in keeping.role().evidence


def test_a_table_of_this_director_that_was_not_read_says_nothing(keeping: Keeping) -> None:
    keeping.world.ipvs_problem = "The kernel said no."
    assert ("no-standby", DIRECTOR) not in keeping.named()


def filtering(keeping: Keeping, here: tuple[FilterChain, ...], there: tuple[FilterChain, ...]) -> None:
    """Packet filters of this director and of the other one, as they are looked at."""
    keeping.world.looked = lambda seen, lost: msgspec.structs.replace(seen, chains=here)
    keeping.linux = LinuxFacts(chains=there)


HERE = "On the director: iptables-legacy -I INPUT -s 10.0.0.3 -p 112 -j ACCEPT (undo: the same with -D)"
THERE = "On lb2: iptables-legacy -I INPUT -s 10.0.0.2 -p 112 -j ACCEPT (undo: the same with -D)"


@pytest.mark.parametrize(
    ("here", "there", "fix"),
    [
        ("-p vrrp -j DROP", "-p 112 -j DROP", f"{HERE}. {THERE}"),
        ("-p vrrp -j DROP", "-p tcp -j DROP", HERE),
        ("-s 10.0.0.9/32 -p vrrp -j DROP", "-s 10.0.0.2/32 -j DROP", THERE),
        ("-j ACCEPT", "-p udp -j DROP", "allow VRRP (IP protocol 112) between"),
    ],
)
def test_a_filter_that_keeps_the_directors_from_hearing_each_other_is_named_with_what_opens_it(
    keeping: Keeping, here: str, there: str, fix: str
) -> None:
    keeping.lb2_holds()
    filtering(keeping, input_drops(here), input_drops(there))
    assert keeping.named() == [("split-brain", DIRECTOR)]
    assert keeping.role().fix == fix if fix.startswith("On") else fix in keeping.role().fix
    assert ("adverts are dropped on" in keeping.role().evidence) is fix.startswith("On")


def test_nft_drops_it_by_its_policy(keeping: Keeping) -> None:
    keeping.lb2_holds()
    table = (
        "nft\ntable inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n"
        "\t\ttcp dport 80 accept\n\t}\n}\n"
    )
    filtering(keeping, chains(nft=table), ())
    assert keeping.role().fix.startswith(
        "On the director: nft insert rule inet filter input ip saddr 10.0.0.3 meta l4proto 112 accept"
    )


@pytest.mark.parametrize("host", [DIRECTOR, "lb2"])
def test_without_systemd_a_fix_names_what_starts_it_there(keeping: Keeping, host: str) -> None:
    where = "On the director" if host == DIRECTOR else "On lb2"
    kept(keeping, host, running=False, systemd=False)
    if host == "lb2":
        assert keeping.of(host).fix == "On lb2: keepalived"
    keeping.lb2_holds()
    assert keeping.of(host).fix == f"{where}: ip addr del {VIP}/32 dev eth0; keepalived"
