"""Hostile deployment files, read, checked and planned: refused in words or planned, and nothing else happens."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.cli import main as cli
from dsrwizard.cli import wiring
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.deployment import Client, Deployment, RealServer, Service, Vip
from dsrwizard.session import state_dir
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.hostile.conftest import Tally
from tests.hostile.inputs import CANARY, Maker, doings, raw

SECONDS = 30.0
"""A case takes some hundredths on an idle machine."""
MESSAGE = 4_000
"""Characters of what is said about a file that is refused."""


def rich(deployment: Deployment) -> Deployment:
    """With every key that a file may have."""
    vips = (
        Vip(address="10.0.0.10", services=(
            Service(port=80), Service(protocol="udp", port=53), Service(protocol="udp", port=7, payload="hello"),
            Service(port=443, scheduler="rr", persistence=300),
        )),
        Vip(address="10.0.0.11", services=(Service(port=8080),)),
    )  # fmt: skip
    servers = (
        *(msgspec.structs.replace(one, identity_file="~/.ssh/id_ed25519", port=2222) for one in deployment.servers),
        RealServer(name="win1", address="10.0.0.120", connect="winrm", user="Administrator", vips=("10.0.0.11",)),
        RealServer(name="old1", address="10.0.0.130", connect="manual", system="windows-2003", weight=0),
    )
    client = Client(address="203.0.113.10", user="root")
    return msgspec.structs.replace(deployment, vips=vips, servers=servers, client=client)


class Plans:
    """The command `plan` over a farm in memory."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]) -> None:
        self.file = folder / "hostile.toml"
        self.capture = capture
        self.world = World.lab()
        self.texts = [dumps(self.world.deployment()), dumps(rich(self.world.deployment()))]
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.chdir(folder)
        self.reached = 0
        monkeypatch.setattr(wiring, "build_engine", lambda asker: self.engine())

    def engine(self) -> object:
        self.reached += 1
        return engine_of(self.world, Nobody(), state_dir() / "journal", state_dir() / "events")

    def run(self, *options: str) -> tuple[int, str, str]:
        code = cli.run(["plan", str(self.file), *options])
        return code, *self.capture.readouterr()


def check(code: int, out: str, err: str, options: tuple[str, ...]) -> None:
    """What holds for every file."""
    assert code in (0, 1, 2, 3), code
    assert "Traceback" not in out + err
    assert "dsrwizard itself failed" not in out + err, err
    assert not raw(out), raw(out)
    assert not raw(err), raw(err)
    assert CANARY not in out + err, "a secret was shown"
    if code == 2:
        what, *rest = err.splitlines()
        assert what
        assert rest, "nothing says what to do"
        assert len(err) < MESSAGE
        if options:
            told(out, err)
        else:
            assert out == ""
    elif options:
        json.loads(out)


def told(out: str, err: str) -> None:
    """The refusal as JSON: one document with the words of standard error, and nothing beside it."""
    document = json.loads(out)
    assert set(document) == {"error", "exit_code"}
    assert document["exit_code"] == 2
    error = document["error"]
    assert set(error) == {"kind", "what", "why", "next"}
    assert error["kind"] == "usage"
    assert error["what"]
    assert error["next"], "nothing says what to do"
    for said in (error["what"], error["why"], error["next"]):
        assert not raw(said), raw(said)
        assert said in err, "not what standard error says"
    assert len(out) < MESSAGE


def test_hostile_files_are_refused_in_words_or_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    scale: Callable[[int, int], int], tally: Callable[[str], Tally],
) -> None:  # fmt: skip
    plans, files = Plans(tmp_path, monkeypatch, capsys), tally("deployment files")
    codes: set[int] = set()
    in_json = 0
    for seed in range(scale(300, 10_000)):
        plans.file.write_bytes(Maker(seed).spoiled(plans.texts[seed % 2]))
        options = ("--json",) if seed % 5 == 0 else ()
        with files.case(f"seed {seed}"):
            began = time.monotonic()
            with doings() as done:
                code, out, err = plans.run(*options)
            codes.add(code)
            assert done == [], done
            assert time.monotonic() - began < SECONDS
            check(code, out, err, options)
            in_json += bool(options) and code == 2
    assert not list(tmp_path.glob("**/PWNED"))
    files.settle()
    assert codes >= {0, 2} or codes >= {1, 2}
    assert in_json, "no refusal was read as JSON"
    assert plans.reached > files.tried // 20, "too few files came as far as a plan"


def test_a_good_file_comes_through_unharmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The texts that the hostile ones are made from are good, or nothing of what was tried would mean anything."""
    plans = Plans(tmp_path, monkeypatch, capsys)
    for text in plans.texts:
        plans.file.write_text(text)
        code, out, err = plans.run()
        assert code in (0, 1), err
        assert "10.0.0.10" in out
        check(code, out, err, ())


def test_what_is_watched_is_seen() -> None:
    """A command that is started does not go unseen."""
    import subprocess

    with doings() as done:
        subprocess.run(["true"], check=True)
    assert any("subprocess.Popen" in one for one in done)
