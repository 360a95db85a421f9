"""`--json` when something goes wrong: standard output is still one JSON document, which says what, why and next."""

from __future__ import annotations

import json
from pathlib import Path
from signal import SIGINT, SIGTERM
from typing import Any

import click
import pytest

from dsrwizard.cli import wiring
from dsrwizard.cli.main import commands
from dsrwizard.core.model.errors import Locked
from tests.fakes.program import Program
from tests.unit.test_cli import Shell, shell

__all__ = ["shell"]
TAKING = sorted(
    name
    for name, command in commands.commands.items()
    if any("--json" in each.opts for each in command.params if isinstance(each, click.Option))
)
FURTHER = {"rehearse": ("web1",), "forget": ("web1",)}
"""Arguments that a command needs beside the file."""


def words(shell: Shell, command: str, file: str | Path | None = None) -> list[str]:
    file = str(file or shell.file)
    return [command, *(("--from", file) if command == "adopt" else (file,)), *FURTHER.get(command, ()), "--json"]


def error(shell: Shell, code: int) -> dict[str, str]:
    """The one document's error, which standard error has, too."""
    document = shell.document()
    assert document["exit_code"] == code
    found: dict[str, str] = document["error"]
    assert list(found) == ["kind", "what", "why", "next"]
    assert [line for line in shell.err.splitlines() if line] == [line for line in list(found.values())[1:] if line]
    return found


@pytest.mark.parametrize("command", TAKING)
def test_a_file_that_is_not_there_or_no_deployment_is_told_in_json(shell: Shell, command: str, tmp_path: Path) -> None:
    assert shell(*words(shell, command, tmp_path / "none.toml")) == 2
    assert "none.toml" in error(shell, 2)["what"]
    bad = tmp_path / "bad.toml"
    bad.write_text('name = "shop"\nname: oops\n')
    assert shell(*words(shell, command, bad)) == 2
    assert "bad.toml" in error(shell, 2)["what"]


@pytest.mark.parametrize("command", TAKING)
def test_what_was_typed_wrong_is_told_in_json(shell: Shell, command: str) -> None:
    assert shell(*words(shell, command), "--jsno") == 2
    found = error(shell, 2)
    assert found["kind"] == "usage"
    assert "--jsno" in found["what"]
    assert found["next"] == f"Try: dsrwizard {command} --help"


@pytest.mark.parametrize("typed", [["plann", "--json"], ["--json"], ["plan", "--json"], ["explain", "--json"]])
def test_a_command_that_is_none_or_takes_no_json_answers_in_json_all_the_same(shell: Shell, typed: list[str]) -> None:
    assert shell(*typed) == 2
    assert error(shell, 2)["kind"] == "usage"


def test_a_usage_error_without_json_leaves_standard_output_empty(shell: Shell) -> None:
    assert shell("plan") == 2
    assert shell.out == ""
    assert shell("lab", "fault", "--json") == 2, "what follows is for the command inside the lab"
    assert shell.out == ""


@pytest.mark.parametrize("command", ["plan", "apply", "verify", "status", "mend", "teardown", "events", "adopt"])
@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (KeyboardInterrupt(), "interrupted"), (RuntimeError("x"), "defect"), (Locked("Another run.", "", ""), "locked"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_stops_a_command_in_the_middle_is_told_in_json(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, command: str, raised: BaseException, kind: str
) -> None:
    def failing(asker: object) -> Any:
        raise raised

    monkeypatch.setattr(wiring, "build_engine", failing)
    file = shell.folder / "table.txt"
    file.write_text("-A -t 10.0.0.10:80 -s wlc\n-a -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 1\n")
    assert shell(*words(shell, command, file if command == "adopt" else None)) == 3
    assert error(shell, 3)["kind"] == kind


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_run_that_is_stopped_prints_its_result_and_nothing_after_it(tmp_path: Path, number: Any) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", "--json", held="director") as program:
        program.is_held()
        program.process.send_signal(number)
        program.expect("Stopping: running commands finish")
        program.go()
        assert program.status() == 3
        result = json.loads(program.out)
        assert result["ok"] is False
        assert "error" not in result
        assert "Stopped before everything was done" in program.said


@pytest.mark.parametrize("number", [SIGINT, SIGTERM])
def test_a_run_that_is_ended_at_once_prints_an_error(tmp_path: Path, number: Any) -> None:
    with Program(tmp_path, "apply", "FILE", "--yes", "--json", held="director") as program:
        program.is_held()
        program.process.send_signal(number)
        program.expect("Stopping: running commands finish")
        program.process.send_signal(number)
        assert program.status() == 3
        document = json.loads(program.out)
        assert document["error"]["kind"] == "interrupted"
        assert "teardown" in document["error"]["next"]


def test_a_watch_that_cannot_begin_says_so_in_one_line_of_its_kind(shell: Shell) -> None:
    assert shell("watch", "/none.toml", "--json") == 2
    (line,) = shell.out.splitlines()
    assert list(json.loads(line)) == ["type", "at", "error", "exit_code"]
    assert json.loads(line)["type"] == "error"


# --- the front page ---------------------------------------------------------------------------------------------------


def test_help_has_each_command_once_in_a_group_with_its_sentence_whole(shell: Shell) -> None:
    assert shell("--help") == 0
    assert "…" not in shell.out
    assert "..." not in shell.out.replace("[ARGS]...", "")
    told = [line.split()[0] for line in shell.out.splitlines() if line.startswith("  ") and line[2:3].isalpha()]
    assert [name for name in told if name in commands.commands] != []
    for name in commands.commands:
        assert told.count(name) == 1, name
    for title in ("Set up:", "Check and fix:", "Watch:", "Examples:", "Exit codes:"):
        assert f"\n{title}\n" in shell.out
    assert max(map(len, shell.out.splitlines())) <= 80


def test_every_example_of_the_help_is_a_command_line(shell: Shell) -> None:
    from dsrwizard.cli.front import EXAMPLES

    for _, lines in EXAMPLES:
        for line in lines:
            name, *arguments = line.partition(" |")[0].split()
            assert name == "dsrwizard"
            if arguments:
                commands.commands[arguments[0]].make_context(arguments[0], arguments[1:])
