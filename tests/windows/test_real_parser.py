"""PowerShell's own parser over every script file: what it cannot read, no host can."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(path for package in ("dsrwizard", "backends") for path in (ROOT / package).rglob("*.ps1"))
PWSH = os.environ.get("DSRWIZARD_PWSH") or shutil.which("pwsh")
PARSE = r"""
foreach ($path in $args) {
    $tokens = $null
    $problems = $null
    $tree = [System.Management.Automation.Language.Parser]::ParseFile($path, [ref]$tokens, [ref]$problems)
    foreach ($problem in $problems) {
        '{0}:{1}: {2}' -f $path, $problem.Extent.StartLineNumber, $problem.Message
    }
    'read ' + $path + ' ' + $tree.Extent.Text.Length
}
"""
pytestmark = pytest.mark.skipif(
    PWSH is None, reason="no PowerShell here: put pwsh on PATH or name it in DSRWIZARD_PWSH"
)


def read(folder: Path, *paths: Path) -> list[str]:
    """What the parser says of these files, one line for each problem and one for each file."""
    (folder / "parse.ps1").write_text(PARSE)
    command = [str(PWSH), "-NoProfile", "-NonInteractive", "-File", str(folder / "parse.ps1"), *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_every_script_is_read_without_a_problem(tmp_path: Path) -> None:
    assert len(SCRIPTS) > 10
    assert read(tmp_path, *SCRIPTS) == [f"read {path} {len(path.read_text())}" for path in SCRIPTS]


@pytest.mark.parametrize(
    ("old", "new"), [("'@NONCE@'", "@NONCE@"), ("param($document)", "param($document"), ("'Stop'", "'Stop")]
)
def test_the_parser_sees_what_is_broken(tmp_path: Path, old: str, new: str) -> None:
    text = (ROOT / "dsrwizard/core/dialects/windows/scripts/frames.ps1").read_text()
    assert old in text
    broken = tmp_path / "broken.ps1"
    broken.write_text(text.replace(old, new, 1))
    assert any(line.startswith(f"{broken}:") for line in read(tmp_path, broken))
