"""`dsrwizard plan --scripts`: what it shows is what a server gets, and so what its PowerShell log has."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dsrwizard.cli.main import commands
from tests.windows.conftest import Farm
from tests.windows.host import WindowsHost

ZEROS = "0" * 16


@pytest.fixture
def shown(farm: Callable[..., Farm], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[Farm, str]]:
    """Runs the command against one modelled server."""

    def run(version: str, *options: str) -> tuple[Farm, str]:
        one = farm(WindowsHost(version))
        monkeypatch.setattr("dsrwizard.cli.main._load", lambda file: one.deployment)
        monkeypatch.setattr("dsrwizard.cli.main._engine", one.fresh)
        result = CliRunner().invoke(commands, ["plan", str(Path(__file__)), *options])
        assert result.exit_code == 0, result.output
        return one, result.output

    return run


@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_the_scripts_shown_are_those_that_are_sent(shown: Callable[..., tuple[Farm, str]], version: str) -> None:
    one, printed = shown(version, "--scripts", "--json")
    (host,) = [host for host in json.loads(printed)["hosts"] if host["host"] == "win1"]
    one.connector.scripts.clear()
    assert one.apply().ok
    sent = [re.sub(r"(?<=\$nonce = ')\w{16}(?=')", ZEROS, script) for script in one.connector.scripts[:2]]
    assert [script["what"] for script in host["scripts"]] == ["look", "change"]
    assert [script["text"] for script in host["scripts"]] == sent


def test_a_person_reads_them_below_the_steps(shown: Callable[..., tuple[Farm, str]]) -> None:
    _, printed = shown("2022", "--scripts")
    assert "The script that looks" in printed
    assert "      | function Add-Adapter {\n" in printed
    _, printed = shown("2022")
    assert "function Add-Adapter" not in printed
