"""What cmd.exe makes of the command line of a remote shell."""

from __future__ import annotations

import re

_LONGEST = 8191


def powershell(windows: str) -> str:
    """The full path in lower case; `windows` is where Windows is."""
    return rf"{windows}\System32\WindowsPowerShell\v1.0\powershell.exe".lower()


def by_cmd(written: str, windows: str) -> tuple[str, str]:
    """The line that it starts, or what it says instead."""
    if len(written) > _LONGEST:
        return "", "The command line is too long."
    line = re.sub("%systemroot%|%windir%", lambda _: windows, written, flags=re.IGNORECASE)
    if set(line) & set('"%&|<>^\n'):
        return "", "The syntax of the command is incorrect."
    if line.split(" ")[0].lower() != powershell(windows):
        return "", "The system cannot find the path specified."
    return line, ""
