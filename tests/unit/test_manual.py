"""The man page and the completions: they are those of the commands as they are now, and they work."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import click
import pytest

from dsrwizard.app import LAB
from dsrwizard.cli import streaming
from dsrwizard.cli.main import commands
from dsrwizard.core.model.causes import CAUSES
from tests import manual

PAGE = (manual.SHARE / manual.MAN_PAGE).read_text()
BASH = manual.SHARE / manual.COMPLETIONS["bash"]


@pytest.mark.parametrize("path", list(manual.made()))
def test_what_is_kept_is_what_the_commands_give_now(path: str) -> None:
    assert (manual.SHARE / path).read_text() == manual.made()[path], "run: make manual"


def test_nothing_else_is_installed_with_it() -> None:
    held = {str(path.relative_to(manual.SHARE)) for path in manual.SHARE.rglob("*") if path.is_file()}
    assert held == set(manual.made())


def shown() -> str:
    """The man page as its reader sees it, 200 columns wide, so that no sentence is broken."""
    command = [
        "groff",
        "-man",
        "-ww",
        "-Tascii",
        "-rLL=200n",
        "-P-c",
        "-P-b",
        "-P-u",
        str(manual.SHARE / manual.MAN_PAGE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert not done.stderr
    return " ".join(done.stdout.split())


def test_groff_has_no_complaint_and_every_command_option_and_help_is_told_whole() -> None:
    text = shown()
    for name, command in commands.commands.items():
        assert f" {name} dsrwizard {name} " in text
        assert " ".join((command.help or "").replace("`", "").split()) in text
        for option in command.params:
            if isinstance(option, click.Option):
                assert all(spelling in text for spelling in option.opts), option.opts
                assert " ".join((option.help or "").split()) in text


def test_every_exit_code_and_variable_of_the_page_is_one_of_the_program() -> None:
    assert re.findall(r"^\.TP\n\\fB(\d)\\fR", PAGE, re.MULTILINE) == ["0", "1", "2", "3"]
    told = {name for names, _ in manual.ENVIRONMENT for name in names.split(", ")}
    assert {streaming.FROM_ENVIRONMENT, LAB} <= told


def completed(typed: str, ends: str) -> str:
    """The line of an interactive bash with the shipped file after `typed` and TAB, once `ends` stands there."""
    bash = shutil.which("bash")
    assert bash
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": os.environ.get("HOME", "/"), "TERM": "dumb", "INPUTRC": "/dev/null", "PS1": "ready> ", "LC_ALL": "C",
    }  # fmt: skip
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(bash, ["bash", "--norc", "--noprofile", "-i"], environment)
    seen = ""

    def read_until(found: str) -> None:
        nonlocal seen
        deadline = time.monotonic() + 60
        while not re.search(found, seen):
            assert time.monotonic() < deadline, repr(seen)
            if select.select([terminal], [], [], 0.5)[0]:
                seen += os.read(terminal, 4096).decode()

    try:
        read_until("ready> ")
        os.write(terminal, f"PS1='now> '; source '{BASH}'\r".encode())
        read_until(r"\nnow> ")
        seen = ""
        os.write(terminal, f"{typed}\t".encode())
        read_until(re.escape(ends))
        return seen
    finally:
        os.close(terminal)  # a hangup ends the shell
        os.waitpid(pid, 0)


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("dsrwizard ver", "dsrwizard verify "),
        ("dsrwizard apply shop.toml --js", "dsrwizard apply shop.toml --json "),
        ("dsrwizard mend shop.toml --cause vip-m", "dsrwizard mend shop.toml --cause vip-missing "),
        ("dsrwizard explain weak", "dsrwizard explain weak-host "),
        ("dsrwizard runbook shop.toml --format h", "dsrwizard runbook shop.toml --format html "),
    ],
)
def test_bash_completes_with_the_shipped_file(typed: str, whole: str) -> None:
    assert completed(typed, whole) == whole


def test_zsh_and_fish_are_offered_each_cause_with_its_words() -> None:
    for shell, current, form in (("zsh", "2", "plain\n{}\n{}\n"), ("fish", "vip-", "plain,{}\t{}\n")):
        asked = {
            "COMP_WORDS": "dsrwizard explain vip-",
            "COMP_CWORD": current,
            "_DSRWIZARD_COMPLETE": f"{shell}_complete",
        }
        done = subprocess.run(
            [sys.executable, "-m", "dsrwizard"],
            env=os.environ | asked, capture_output=True, text=True, check=False,
        )  # fmt: skip
        rows = [row for row in CAUSES.values() if row.id.startswith("vip-")]
        assert done.stdout == "".join(form.format(row.id, row.words) for row in rows)
