"""A password the operator enters is nowhere afterwards: not in books, sessions, reports, files or errors."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import msgspec
import pytest

from dsrwizard.cli import main as cli
from dsrwizard.cli import wiring
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.engine.engine import Engine
from dsrwizard.session import state_dir
from tests.fakes.engine import engine_of
from tests.fakes.world import World

CANARY = "canary-3f5a9"
WRONG = "canary-wrong-77"


class Typist:
    """An operator who knows the passwords, and types each wrong once."""

    def __init__(self) -> None:
        self.asked = 0

    def secret(self, question: SecretQuestion) -> Secret | None:
        self.asked += 1
        return Secret(CANARY if question.refused else WRONG)

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return True


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A farm whose first two servers want a password; the second one's is another, so its login fails."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    world = World.lab()
    world.servers["web1"].password = CANARY
    world.servers["web2"].password = "never typed"
    return world


def everything_under(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_it_is_in_no_file_and_in_no_output(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dsrwizard.core.intake.deployment_file import dumps

    typist = Typist()
    monkeypatch.setattr(wiring, "build_engine", lambda asker: engine_of(world, typist, state_dir() / "journal"))
    file = tmp_path / "shop.toml"
    file.write_text(dumps(world.deployment()))
    codes = [
        cli.run([verb, str(file), *options])
        for verb, options in (
            ("plan", ["--json"]),
            ("apply", ["--yes"]),
            ("verify", []),
            ("status", []),
            ("teardown", ["--yes", "--json"]),
        )
    ]
    assert codes[1] == 1, "web2 refuses every password"
    assert world.servers["web1"].machine.name == "web1"
    assert typist.asked > 2
    out, err = capsys.readouterr()
    assert "No password was accepted" in out + err
    assert CANARY not in out + err
    assert WRONG not in out + err
    kept = everything_under(tmp_path)
    assert b'"web1"' in kept  # the journal is there
    assert b"canary" not in kept


def test_a_crash_while_it_is_in_use_does_not_write_it_down(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dsrwizard.core.intake.deployment_file import dumps

    def broken(asker: object) -> Engine:
        secret = Secret(CANARY)
        password = secret.reveal()
        assert password
        raise RuntimeError(f"could not send {secret} {secret!r} {secret:>20} {[secret]}")

    monkeypatch.setattr(wiring, "build_engine", broken)
    file = tmp_path / "shop.toml"
    file.write_text(dumps(world.deployment()))
    assert cli.run(["apply", str(file), "--yes"]) == 3
    out, err = capsys.readouterr()
    crash = (state_dir() / "crash.txt").read_text()
    assert "could not send" in crash
    assert CANARY not in crash + out + err


def test_a_secret_cannot_be_written_by_accident() -> None:
    secret = Secret(CANARY)
    texts = [str(secret), repr(secret), f"{secret}", f"{secret!r}", "%s" % secret, "{}".format(secret)]  # noqa: UP031, UP032
    assert CANARY not in "".join(texts)
    for write in (msgspec.json.encode, msgspec.msgpack.encode, json.dumps, pickle.dumps):
        with pytest.raises(TypeError):
            write(secret)
    printed = io.StringIO()
    print(secret, file=printed)
    assert CANARY not in printed.getvalue()
    assert not hasattr(secret, "__dict__")
