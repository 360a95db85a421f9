"""A line of ours in a file of others: the command shown is about that line, never about what else the file holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.dialects.commands import commands
from dsrwizard.core.model.changes import FileChange, FileState

LINE = "includea /etc/keepalived/dsrwizard.d/*.conf"
THEIRS = "vrrp_instance A {\n    authentication {\n        auth_pass geheim[1]\n    }\n}\n"


@pytest.mark.parametrize("theirs", [THEIRS, THEIRS.rstrip("\n")])
@pytest.mark.parametrize("after", ["", "# edited since\n"])
def test_it_comes_and_goes_alone_and_the_commands_do_it(tmp_path: Path, theirs: str, after: str) -> None:
    path = tmp_path / "keepalived.conf"
    path.write_text(theirs)
    glue = "" if theirs.endswith("\n") else "\n"
    with_line = f"{theirs}{glue}{LINE}\n"
    steps = [
        FileChange(path=str(path), old=FileState(theirs), new=FileState(with_line)),
        FileChange(path=str(path), old=FileState(with_line + after), new=FileState(theirs + glue + after)),
    ]
    for change in steps:
        assert change.old is not None
        assert change.new is not None
        path.write_text(change.old.content)
        shown = "\n".join(commands(change))
        assert "geheim" not in shown
        subprocess.run(["/bin/sh", "-s"], input=shown, text=True, check=True)
        assert path.read_text() == change.new.content
