"""The README promises nothing that is not there: its commands, its make targets, its file, its pictures."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from dsrwizard.cli.main import commands
from dsrwizard.core.intake.deployment_file import loads

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\bmake ([a-z-]+)", README))))
def test_make_target(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    "command", sorted(set(re.findall(r"dsrwizard ([a-z]+)(?= (?:FILE|\$DSRWIZARD_LAB|--))", README)))
)
def test_command(command: str) -> None:
    assert command in commands.commands


def test_every_command_is_told() -> None:
    for name in commands.commands:
        assert f"dsrwizard {name} " in README


@pytest.mark.parametrize("option", ["--json", "--yes"])
def test_options(option: str) -> None:
    taking = {
        name
        for name, command in commands.commands.items()
        if any(option in parameter.opts for parameter in command.params if isinstance(parameter, click.Option))
    }
    asking = {"apply", "forget", "mend", "rehearse", "teardown"}
    assert taking == (
        asking if option == "--yes" else asking | {"adopt", "balancer", "plan", "verify", "status", "watch", "events"}
    )


def test_the_deployment_file_is_one() -> None:
    (text,) = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    deployment = loads(text)
    assert [server.name for server in deployment.servers] == ["web1", "web2"]
    assert deployment.client is not None


@pytest.mark.parametrize("picture", re.findall(r"\]\((tests/pictures/[^)]+)\)", README))
def test_picture(picture: str) -> None:
    assert (ROOT / picture).is_file()


def test_what_is_installed_by_hand_is_tried_by_a_make_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for tool in re.findall(r"^    (uv tool|pipx) install \.$", README, re.MULTILINE):
        assert f"{tool} install" in makefile
    by_lock = re.findall(r"^    /opt/dsrwizard/bin/pip install (.+)$", README, re.MULTILINE)
    assert len(by_lock) == 2
    for words in by_lock:
        assert re.search(rf'/locked/bin/pip" install -q --disable-pip-version-check {re.escape(words)} && ', makefile)


def test_it_is_short_says_what_it_does_first_and_then_the_two_commands_and_what_it_does_not_do() -> None:
    assert len(README.splitlines()) <= 150
    title, about, *_ = README.split("\n\n")
    assert title == "# dsrwizard"
    assert about.startswith("dsrwizard sets up ")
    begin = README.partition("\n## ")[0]
    assert begin.index("    make demo ") < begin.index("    make test ") < begin.index("**What it does not do.**")
    said = " ".join(begin.split())
    assert "Nobody takes a dead server out of the table unless `dsrwizard guard` runs" in said
