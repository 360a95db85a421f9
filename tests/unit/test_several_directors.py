"""Two directors that hold the VIPs by turns: who holds them, by this machine's addresses and by the wire."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from dsrwizard.cli import printing
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Bgp, Deployment, PeerDirector
from dsrwizard.core.model.snapshot import Snapshot
from dsrwizard.core.tell.metrics import exposition
from screens.live.header import Looking, Tally, header_lines
from tests.fakes.engine import engine_of
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
