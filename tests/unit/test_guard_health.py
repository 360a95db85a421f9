"""A guard beside keepalived: what it writes into real health files, and how it gets on with what others leave there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.guard.evidence import leaks
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.deployment import PeerDirector, Service
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.guarding import FOLDER, DestinationPlace, GuardState, health_path
from dsrwizard.core.record.owed import owed
from dsrwizard.engine import guard_file
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.guard import Guard
from dsrwizard.engine.journal import Journals
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World

VIP = "10.0.0.10"


class Kept:
    """Three real servers behind a table that keepalived keeps, and a guard that is asked for round after round."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.run = folder, folder / "run"
        self.world = World.lab(3)
        plain = self.world.deployment(services=(Service(port=80),))
        engine = self.engine()
        assert engine.apply(plain, engine.plan(plain, engine.observe(plain)), lambda event: None).ok  # as keepalived
        self.deployment = msgspec.structs.replace(
            plain, director=msgspec.structs.replace(plain.director, engine="keepalived", guard=True)
        )
        self.now = 1_790_000_000.0
        self.told: list[str] = []
        self.guard = self.fresh()

    def engine(self) -> Engine:
        return engine_of(self.world, Nobody(), self.folder / "journal")

    def fresh(self) -> Guard:
        def hold() -> object:
            raise Locked("Another run has it.", "", "")

        return Guard(
            self.deployment, director=self.world.director(), wire=self.world.wire(),
            journal=Journals(self.folder / "journal").of("shop"), hold=hold,  # type: ignore[arg-type]
            folder=self.run, tell=self.told.append, clock=lambda: self.now,
        )  # fmt: skip

    def rounds(self, count: int = 2) -> GuardState:
        for _ in range(count):
            self.now += 0.5
            self.guard.round()
        written = guard_file.read("shop", self.run)
        assert written is not None
        return written

    def path(self, server: str) -> Path:
        place = DestinationPlace(VIP, "tcp/80", server)
        return self.run / health_path("shop", place).relative_to(FOLDER)

    @property
    def health(self) -> dict[str, str]:
        folder = self.path("web1").parent
        return {path.name.partition("-")[0]: path.read_text() for path in sorted(folder.glob("*"))}

    def events(self) -> list[str]:
        return [line.message for line in self.engine().events(self.deployment) if line.message.startswith("guard: ")]

    def no_vip(self, server: str = "web2") -> None:
        self.world.servers[server].machine.links["lo"].addresses.pop(VIP)

    def vip(self, server: str = "web2") -> None:
        self.world.servers[server].machine.links["lo"].addresses[VIP] = 32


@pytest.fixture
def farm(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_every_destination_is_dead_until_it_is_proved(farm: Kept) -> None:
    farm.no_vip()
    state = farm.rounds(1)
    assert farm.health == dict.fromkeys(("web1", "web2", "web3"), "1\n")
    assert {one.why for one in state.held} == {"It has not been proved yet."}
    state = farm.rounds(1)
    assert farm.health == {"web1": "0\n", "web2": "1\n", "web3": "0\n"}
    assert {one.place.server for one in state.held} == {"web2"}


def test_a_dead_one_is_told_to_keepalived_and_a_cured_one_too_with_the_evidence_in_the_timeline(farm: Kept) -> None:
    farm.rounds(3)
    farm.no_vip()
    (held,) = farm.rounds(1).held
    assert farm.health == {"web1": "0\n", "web2": "1\n", "web3": "0\n"}
    assert farm.events()[-1] == f"guard: web2 in {VIP} tcp/80 is dead for keepalived. {held.why}"
    assert f"web2 in {VIP} tcp/80 is dead for keepalived. {held.why}" in farm.told
    farm.vip()
    farm.rounds()
    assert farm.health["web2"] == "0\n"
    assert farm.events()[-1] == f"guard: web2 in {VIP} tcp/80 is well for keepalived. It answers again."
    weights = {one.state.weight for service in farm.world.ipvs.services() for one in service.destinations}
    assert weights == {1}, "the table is keepalived's"
    entries = Journals(farm.folder / "journal").of("shop").entries()
    assert "keepalived" not in str(owed(entries)), "nothing of it is to be taken back"


def test_files_are_moved_into_place_and_root_alone_reads_them(farm: Kept) -> None:
    farm.rounds(3)
    before = farm.path("web2").stat()
    farm.no_vip()
    farm.rounds(1)
    after = farm.path("web2").stat()
    assert after.st_ino != before.st_ino
    assert after.st_mode & 0o777 == 0o600
    assert len(list(farm.path("web2").parent.iterdir())) == 3, "nothing is left beside them"


@pytest.mark.parametrize("cut", ["down", "gone"])
def test_a_blind_guard_leaves_the_files_as_they_are(farm: Kept, cut: str) -> None:
    farm.rounds(3)
    farm.no_vip()
    farm.rounds(1)
    before = {server: farm.path(server).stat().st_ino for server in farm.health}
    for server in farm.world.servers.values():
        server.reachable = cut != "gone"
    farm.world.machine.links["eth0"].up = cut != "down"
    assert farm.rounds(20).blind
    assert {server: farm.path(server).stat().st_ino for server in farm.health} == before
    assert farm.health == {"web1": "0\n", "web2": "1\n", "web3": "0\n"}


def test_one_that_is_blind_from_the_first_round_on_leaves_it_to_keepalived_which_begins_with_dead(farm: Kept) -> None:
    farm.world.machine.links["eth0"].up = False
    farm.rounds(4)
    assert farm.health == {}
    farm.world.machine.links["eth0"].up = True
    farm.rounds(3)
    assert set(farm.health.values()) == {"0\n"}


def test_the_next_process_keeps_what_the_files_say_until_it_is_proved_otherwise(farm: Kept) -> None:
    farm.rounds(3)
    farm.no_vip()
    before = farm.rounds(1).held[0]
    farm.guard = farm.fresh()
    state = farm.rounds(1)
    assert (state.held[0].why, state.held[0].since) == (before.why, before.since)
    assert farm.health == {"web1": "0\n", "web2": "1\n", "web3": "0\n"}
    (farm.run / "guard-shop.json").unlink()
    farm.guard = farm.fresh()
    assert [one.place.server for one in farm.rounds(4).held] == ["web2"]
    farm.vip()
    farm.rounds(2)
    assert farm.health["web2"] == "0\n"


@pytest.mark.parametrize("garbage", [None, b"", b"dead\n", b"\xff" * 100])
@pytest.mark.parametrize("server", ["web1", "web2"])
def test_a_file_that_is_taken_away_or_damaged_is_written_again(farm: Kept, garbage: bytes | None, server: str) -> None:
    farm.rounds(3)
    farm.no_vip()
    farm.rounds(1)
    before = farm.health[server]
    if garbage is None:
        farm.path(server).unlink()
    else:
        farm.path(server).write_bytes(garbage)
    for one in farm.world.servers.values():
        one.reachable = False  # blind or not
    farm.rounds(1)
    assert farm.health[server] == before
    assert any("which keepalived takes for well: restored" in line for line in farm.told)


def test_the_floor_stays_in(farm: Kept) -> None:
    farm.rounds(3)
    farm.no_vip("web1")
    farm.no_vip("web2")
    state = farm.rounds(4)
    assert sorted(farm.health.values()) == ["0\n", "0\n", "1\n"]
    assert any("50 % of its 3 servers stay in" in alarm for alarm in state.alarms)


def test_what_keepalived_s_own_configuration_drains_does_not_count_as_serving(farm: Kept) -> None:
    farm.rounds(3)
    key = farm.world.ipvs.services()[0].key
    farm.world.ipvs.set_weight(key, "10.0.0.103", 80, 0)
    farm.no_vip("web1")
    assert farm.rounds(4).held[0].place.server == "web1"
    farm.no_vip("web2")
    farm.rounds(4)
    assert farm.health == {"web1": "1\n", "web2": "0\n", "web3": "0\n"}, "it is the last that serves"


def test_a_table_without_the_service_and_one_that_cannot_be_read_are_alarms_and_no_end(farm: Kept) -> None:
    farm.rounds(3)
    farm.world.ipvs_problem = "The kernel said no."
    farm.no_vip()
    state = farm.rounds(1)
    assert farm.health["web2"] == "1\n"
    assert any("The kernel said no." in alarm for alarm in state.alarms)
    farm.world.ipvs_problem = ""
    farm.vip()
    assert farm.rounds(1).alarms == ()


def test_a_folder_that_cannot_be_written_is_an_alarm(farm: Kept) -> None:
    (farm.run / "health").parent.mkdir(parents=True, exist_ok=True)
    (farm.run / "health").write_text("in the way")
    assert any("cannot be written" in alarm for alarm in farm.rounds(1).alarms)


def test_another_run_s_lock_holds_up_no_word_to_keepalived(farm: Kept) -> None:
    farm.rounds(3)
    assert set(farm.health.values()) == {"0\n"}, "the lock is somebody else's all the time here"


def test_the_other_director_answers_for_a_vip_by_right() -> None:
    plain = World.lab(2).deployment()
    peer = PeerDirector(name="lb2", address="10.0.0.3")
    two = msgspec.structs.replace(
        plain, director=msgspec.structs.replace(plain.director, engine="keepalived", peers=(peer,))
    )
    owners = {VIP: Owners(address=VIP, macs=("02:00:00:00:00:03",)), "10.0.0.3": Owners(address="10.0.0.3")}
    assert len(leaks(two, owners, {})) == 1, "nobody knows yet who that is"
    owners["10.0.0.3"] = Owners(address="10.0.0.3", macs=("02:00:00:00:00:03",))
    assert leaks(two, owners, {}) == []
