"""PowerShell's own parser over every script file: what it cannot read, no host can."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.windows.pwsh.process import errors_of

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for package in ("dsrwizard", "backends") for path in (ROOT / package).rglob("*.ps1"))


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) > 10


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_is_read_without_a_problem(path: Path) -> None:
    assert errors_of(path.read_text()) == []


@pytest.mark.parametrize(
    ("old", "new"), [("'@NONCE@'", "@NONCE@"), ("param($document)", "param($document"), ("'Stop'", "'Stop")]
)
def test_the_parser_sees_what_is_broken(old: str, new: str) -> None:
    text = (ROOT / "dsrwizard/core/dialects/windows/scripts/frames.ps1").read_text()
    assert old in text
    assert errors_of(text.replace(old, new, 1))
