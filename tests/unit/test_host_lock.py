"""The lock on a real server's own machine: the script that holds it, in this machine's shells, and runs that meet over
a server though their own machines' locks are apart."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.core.dialects.linux.lock import LockAnswer, lock_script
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import ConnectionLost, HostBusy, Locked, SessionRefused
from dsrwizard.core.ports import Answer, OnLine, StandingScript
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.leases import Leases
from dsrwizard.engine.locks import Locks
from dsrwizard.engine.servers.linux import LinuxServer
from dsrwizard.engine.servers.sent import NONCE, RUN, scripts_of
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.server import FakeServer
from tests.fakes.world import World

SHELLS = [
    [path, *more] for name, *more in (["dash"], ["bash"], ["busybox", "sh"]) if (path := shutil.which(name)) is not None
]
MINE, THEIRS = '{"verb":"apply","pid":1}', '{"verb":"teardown","host":"it\'s another"}'


class Standing:
    """The script in a shell, as a connection runs it: on standard input, which stays open."""

    def __init__(
        self, shell: list[str], place: Path, holder: str, seconds: int = 60, path: str = os.environ["PATH"]
    ) -> None:
        self.said = LockAnswer("n0")
        script = lock_script("n0", holder, [str(place)], seconds)
        self.process = subprocess.Popen(
            [*shell, "-s"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": path, "LC_ALL": "C"}
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{{ :\n{script}\n}}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            self.said.feed(line.removesuffix("\n"))
            if self.said.word == "held":
                break

    def sign(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(".")
        self.process.stdin.flush()

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(20)


@pytest.fixture(params=SHELLS, ids=lambda shell: Path(shell[0]).name)
def stand(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Standing]]:
    standing: list[Standing] = []

    def make(holder: str, **more: Any) -> Standing:
        standing.append(Standing(request.param, tmp_path, holder, **more))
        return standing[-1]

    yield make
    for one in standing:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout):
            if pipe is not None:
                pipe.close()


def test_the_second_is_told_the_firsts_own_words_and_nothing_is_left_at_the_end(
    stand: Callable[..., Standing], tmp_path: Path
) -> None:
    first = stand(THEIRS)
    assert first.said.word == "held"
    second = stand(MINE)
    assert (second.said.word, second.said.holder) == ("busy", THEIRS)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    first.end()
    assert list(tmp_path.iterdir()) == []
    assert stand(MINE).said.word == "held"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_lock_whose_script_was_killed_is_free_at_once(stand: Callable[..., Standing], how: int) -> None:
    first = stand(THEIRS)
    first.process.send_signal(how)
    first.process.wait(20)
    assert stand(MINE).said.word == "held"


def test_a_run_that_gives_no_sign_of_life_has_it_no_longer(stand: Callable[..., Standing]) -> None:
    first = stand(THEIRS, seconds=6)
    for _ in range(14):
        time.sleep(0.5)
        first.sign()
    assert stand(MINE).said.word == "busy", "it has given signs"
    first.process.wait(20)
    assert stand(MINE).said.word == "held"


def test_a_run_that_has_lost_its_connection_takes_its_own_lock_again(stand: Callable[..., Standing]) -> None:
    first, again = stand(MINE), stand(MINE)
    assert again.said.word == "held"
    first.process.wait(20)
    assert stand(THEIRS).said.word == "busy"


def test_a_lock_that_is_let_go_in_a_moment_refuses_nobody(stand: Callable[..., Standing]) -> None:
    first = stand(THEIRS)
    let_go = threading.Timer(0.1, first.end)
    let_go.start()
    assert stand(MINE).said.word == "held"
    let_go.join()


def test_a_host_without_flock_has_no_lock(stand: Callable[..., Standing], tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("cut", "sleep", "rm", "dd", "timeout"):
        (programs / name).symlink_to(shutil.which(name) or "")
    first = stand(MINE, path=str(programs))
    if Path(str(first.process.args[0])).name == "busybox":  # type: ignore[index]
        assert first.said.word == "held", "it has a flock of its own"
    else:
        assert first.said.word == "none"


def test_a_host_without_a_place_for_it_has_no_lock(stand: Callable[..., Standing], tmp_path: Path) -> None:
    shutil.rmtree(tmp_path)
    assert stand(MINE).said.word == "none"


# --- one server over a connection ------------------------------------------------------------------------------------


class Session:
    """A script that stands on a host in memory."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def sign(self) -> bool:
        return True

    def end(self, patience: float) -> None:
        self.host.holder, self.host.room = "", self.host.room + 1


class Host:
    """A connection to a host with room for so many sessions at once."""

    def __init__(self, room: int = 10) -> None:
        self.room, self.holder, self.lost, self.asked = room, "", False, 0

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        if self.lost:
            self.lost = False
            raise ConnectionLost("web1: the connection broke.")
        if not self.room:
            raise SessionRefused("web1: its SSH server does not open a session.")
        return Answer(status=0, stdout="", stderr="")

    def stand(
        self, script: str, *, deadline: float, on_line: OnLine, until: Callable[[], bool]
    ) -> StandingScript | None:
        self.asked += 1
        opening = script.partition("m='")[2].partition("'")[0]
        if self.holder:
            for line in (f"{opening}:busy==", self.holder, f"{opening}:end=="):
                on_line(line)
            return None
        self.room -= 1
        on_line(f"{opening}:held==")
        return Session(self)

    def close(self) -> None: ...


def test_a_host_with_room_for_one_session_goes_without_the_lock() -> None:
    host = Host(room=1)
    port = LinuxServer(RealServer(name="web1", address="10.0.0.101"), lambda: host)
    assert port.hold(MINE) is None
    port.keep()
    port._run("exit", deadline=1)
    port._run("exit", deadline=1)
    assert host.asked == 1, "it is not tried again and again"
    port.let_go(MINE)
    assert port.hold(MINE) is None


def test_a_connection_that_is_opened_again_takes_its_lock_again_or_changes_nothing() -> None:
    hosts = [Host(), Host(), Host()]
    left = iter(hosts)
    port = LinuxServer(RealServer(name="web1", address="10.0.0.101"), lambda: next(left))
    assert port.hold(MINE) is None
    hosts[0].lost = True
    with pytest.raises(ConnectionLost):
        port._run("exit", deadline=1)
    port._run("exit", deadline=1)
    assert hosts[1].asked == 1
    hosts[1].lost, hosts[2].holder = True, THEIRS
    with pytest.raises(ConnectionLost):
        port._run("exit", deadline=1)
    with pytest.raises(HostBusy, match="another run of dsrwizard is changing it"):
        port._run("exit", deadline=1)


def test_a_look_of_whoever_has_no_lease_takes_no_lock() -> None:
    host = Host()
    port = LinuxServer(RealServer(name="web1", address="10.0.0.101"), lambda: host)
    port._run("exit", deadline=1)
    assert host.asked == 0


# --- two engines, each on a machine of its own -----------------------------------------------------------------------


class Machines:
    """Two operators' machines: the same servers, and nothing else in common."""

    def __init__(self, folder: Path) -> None:
        self.world = World.lab()
        self.shop = self.world.deployment(engine="external")
        self.mail = self.world.deployment(name="mail", vip="10.0.0.11", engine="external")
        self.one, self.two = self._engine(folder / "one"), self._engine(folder / "two")

    def _engine(self, folder: Path) -> Engine:
        folder.mkdir()
        engine = engine_of(self.world, Nobody(), folder / "journal")
        engine._leases = Leases(Locks(folder / "journal", folder))
        return engine


@pytest.fixture
def machines(tmp_path: Path) -> Machines:
    return Machines(tmp_path)


def test_a_run_from_another_machine_is_told_who_changes_the_server(machines: Machines) -> None:
    with machines.one.lease("shop", "apply"):
        machines.one.observe(machines.shop)
        with pytest.raises(Locked) as told, machines.two.lease("mail", "teardown"):
            machines.two.observe(machines.mail)
        minutes = {time.strftime("%H:%M", time.localtime(time.time() - ago)) for ago in range(0, 600, 30)}
        assert any(f"apply of shop has been running since {minute}" in told.value.what for minute in minutes)
        assert f"pid {os.getpid()}" in told.value.what
        assert f"on {os.uname().nodename}" in told.value.what
        assert told.value.why.startswith("It changes web1, too.")
        assert "--wait" in told.value.next
        assert told.value.exit_code == 3
    with machines.two.lease("mail", "apply"):
        assert machines.two.observe(machines.mail).failed == {}


def test_a_lock_is_given_back_with_the_lease_and_with_what_goes_wrong_in_it(machines: Machines) -> None:
    def failing() -> None:
        with machines.one.lease("shop", "apply"):
            machines.one.observe(machines.shop)
            raise KeyError("shop")

    with pytest.raises(KeyError, match="shop"):
        failing()
    assert {state.holder for state in machines.world.servers.values()} == {""}


def test_an_interrupt_gives_nothing_back_before_the_program_is_gone(machines: Machines) -> None:
    def interrupted() -> None:
        with machines.one.lease("shop", "apply"):
            machines.one.observe(machines.shop)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert all(state.holder for state in machines.world.servers.values())
    machines.one.close()
    assert not any(state.holder for state in machines.world.servers.values())


def test_who_is_refused_by_one_server_holds_none_of_the_others(machines: Machines) -> None:
    machines.world.servers["web3"].holder = "unreadable \x1b[31m"
    with pytest.raises(Locked, match="Another run of dsrwizard is changing web3"), machines.two.lease("mail", "apply"):
        machines.two.observe(machines.mail)
    assert machines.world.servers["web1"].holder == machines.world.servers["web2"].holder == ""


@pytest.mark.parametrize(
    "line",
    [
        "",
        "no JSON",
        "[" * 5000,
        '{"verb":"apply\x1b[31m","deployment":"\u202eshop","pid":1,"user":"\\n","host":"h","since":0}',
        '{"verb":"apply","deployment":"shop","pid":1,"user":"u","host":"h","since":1e300}',
        '{"verb":"apply","deployment":"shop","pid":-1,"user":"u","host":"%s","since":-1e18}' % ("x" * 9000),
    ],
)  # fmt: skip
def test_what_a_server_says_of_its_lock_is_shown_and_no_more(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setattr(FakeServer, "hold", lambda self, holder: line)
    with pytest.raises(Locked) as told, machines.two.lease("mail", "apply"):
        machines.two.observe(machines.mail)
    said = str(told.value)
    assert "web1" in said
    assert said.isprintable()
    assert len(said) < 2000


def test_who_waits_gets_the_servers_once_they_are_free(machines: Machines) -> None:
    told: list[Locked] = []
    with machines.one.lease("shop", "apply"):
        machines.one.observe(machines.shop)
        held = machines.world.servers["web1"].holder
    for name in ("web1", "web2"):
        machines.world.servers[name].holder = held.replace("shop", "depot")

    def waiting(problem: Locked) -> None:
        told.append(problem)
        for state in machines.world.servers.values():
            state.holder = ""

    with machines.two.lease("mail", "apply", wait=60, waiting=waiting):
        assert set(machines.two.observe(machines.mail).servers) == {"web1", "web2", "web3"}
    assert [problem.what.split(" has")[0] for problem in told] == ["apply of depot"]


def test_two_runs_that_begin_together_do_not_both_give_up(machines: Machines) -> None:
    """Each has a server that the other wants, too."""
    done: list[str] = []

    def run(engine: Engine, name: str) -> None:
        deployment = {"shop": machines.shop, "mail": machines.mail}[name]
        for _ in range(20):
            try:
                with engine.lease(name, "apply"):
                    engine.observe(deployment)
                    done.append(name)
                    time.sleep(0.05)
                return
            except Locked:
                continue

    threads = [threading.Thread(target=run, args=pair) for pair in ((machines.one, "shop"), (machines.two, "mail"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(done) == ["mail", "shop"]


def test_plan_verify_status_and_a_weight_take_no_lock(machines: Machines) -> None:
    shop = msgspec.structs.replace(machines.shop, director=machines.world.deployment().director)
    assert machines.two.apply(shop, machines.two.plan(shop, machines.two.observe(shop)), lambda event: None).ok
    with machines.one.lease("depot", "apply"):
        machines.one.observe(msgspec.structs.replace(machines.shop, name="depot"))
        held = {name: state.holder for name, state in machines.world.servers.items()}
        machines.two.plan(shop, machines.two.observe(shop))
        machines.two.verify(shop)
        watcher = machines.two.watch(shop, recorded=False)
        watcher.set_weight("web1", 0)
        watcher.close()
        assert {name: state.holder for name, state in machines.world.servers.items()} == held


def test_the_scripts_of_a_plan_have_the_lock_of_a_server_that_is_changed(tmp_path: Path) -> None:
    world = World.lab()
    shop = world.deployment()
    engine = engine_of(world, Nobody(), tmp_path)
    observed = engine.observe(shop)
    made = engine.plan(shop, observed)
    assert [one.what for one in scripts_of(shop, made, observed)["web1"]] == ["lock", "look", "change"]
    assert scripts_of(shop, made, observed)["web1"][0].text.strip() == lock_script(NONCE, RUN).strip()
    engine.apply(shop, made, lambda event: None)
    observed = engine.observe(shop)
    assert [one.what for one in scripts_of(shop, engine.plan(shop, observed), observed)["web1"]] == ["look"]
