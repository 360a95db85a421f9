"""A server's lock over a real sshd: it stands beside the scripts that run, and goes with its connection."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.ssh import open_ssh
from dsrwizard.core.dialects.linux.lock import LockAnswer, lock_script
from dsrwizard.core.ports import Connector, StandingConnector, StandingScript
from dsrwizard.engine.servers import lock
from dsrwizard.engine.servers.linux import LinuxServer
from tests.ssh.sshd import Operator, Sshd

MakeSshd = Callable[..., Sshd]
MINE, THEIRS = '{"verb":"apply","deployment":"shop"}', '{"verb":"teardown","deployment":"mail"}'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the locks of the hosts are, instead of this machine's own."""
    where = tmp_path / "run"
    where.mkdir(mode=0o777)
    where.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == tmp_path.stat().st_uid and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o011)
    monkeypatch.setattr(lock, "lock_script", functools.partial(lock_script, places=[str(where)]))
    return where


def taken(connector: Connector, place: Path, holder: str) -> tuple[LockAnswer, StandingScript | None]:
    assert isinstance(connector, StandingConnector)
    said = LockAnswer("n0")
    script = lock_script("n0", holder, [str(place)])
    return said, connector.stand(script, deadline=60, on_line=said.feed, until=lambda: said.word == "held")


def server(sshd: Sshd, key: Path, operator: Operator) -> LinuxServer:
    one = sshd.server(key)
    return LinuxServer(one, lambda: open_ssh(one.name, one, operator))


def test_scripts_run_beside_a_lock_that_ends_with_its_connection(
    sshd: Sshd, key: Path, operator: Operator, place: Path
) -> None:
    first, second = (open_ssh("web1", sshd.server(key), operator) for _ in range(2))
    said, standing = taken(first, place, THEIRS)
    assert said.word == "held"
    assert standing is not None
    assert standing.sign()
    assert first.run("echo beside", deadline=60).stdout == "beside\n"
    other, none = taken(second, place, MINE)
    assert (other.word, other.holder, none) == ("busy", THEIRS, None)
    first.close()
    again, standing = taken(second, place, MINE)
    assert again.word == "held"
    assert standing is not None
    standing.end(10)
    assert not standing.sign()
    assert list(place.iterdir()) == []
    second.close()


def test_a_server_tells_the_next_run_who_has_it(sshd: Sshd, key: Path, operator: Operator, place: Path) -> None:
    one, two = server(sshd, key, operator), server(sshd, key, operator)
    assert one.hold(MINE) is None
    assert two.hold(THEIRS) == MINE
    two.let_go(THEIRS)
    one.let_go(MINE)
    assert two.hold(THEIRS) is None
    for port in (one, two):
        port.close()


def test_a_server_with_room_for_one_session_is_worked_on_without_a_lock(
    make_sshd: MakeSshd, key: Path, operator: Operator, place: Path
) -> None:
    """MaxSessions 1 (sshd_config(5))."""
    sshd = make_sshd(options=("MaxSessions 1",))
    sshd.allow(key)
    port = server(sshd, key, operator)
    assert port.hold(MINE) is None
    assert port._run("echo fine", deadline=60).stdout == "fine\n"
    assert port._run("echo fine", deadline=60).stdout == "fine\n"
    port.close()


def test_one_sudo_password_is_enough_for_a_lock_and_what_runs_beside_it(
    make_sshd: MakeSshd, key: Path, operator: Operator, place: Path
) -> None:
    sshd = make_sshd(sudo="asks", account=True)
    sshd.word = "sudo-word"
    sshd.allow(key)
    operator.answers = ["sudo-word"]
    port = server(sshd, key, operator)
    assert port.hold(MINE) is None
    assert port._run("echo fine", deadline=60).stdout == "fine\n"
    assert len(operator.secrets) == 1
    assert [one.name for one in place.iterdir()] == ["dsrwizard.lock"], "it was held"
    port.close()
