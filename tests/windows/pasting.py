"""Lines that the product prints for a Windows, pasted as they stand into the shell for which they are meant.

In PowerShell they run in the real one, with the commands of that Windows. For cmd.exe a line is taken apart as it does:
`%NAME%`, `^`, quotes, `&`, `&&`, `||` and `|`; words are split as the C runtime splits them (Microsoft, "cmd" and
"Parsing C command-line arguments").
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from tests.windows.host import WindowsHost

_PROGRAM = re.compile(r"(netsh|arp|ipconfig|netstat|findstr|reg|winrm|.*\\appcmd(\.exe)?)", re.IGNORECASE)
"""What a prompt of cmd.exe finds."""
_WITHOUT_WORD = " skipassource=true"
"""What an unpatched Server 2008 refuses, so that the same without it is printed after it."""


def said_to_type(fix: str) -> str:
    """The line in what a fix says: after the host's name, without what stands in parentheses after it."""
    line = re.sub(r"^On [\w.-]+: ", "", fix)
    return re.sub(r" \((?:[^()]|\([^()]*\))*\)$", "", line)


def undo_in(fix: str) -> str:
    """The undo that a fix names in parentheses; empty: none."""
    found = re.search(r" \(undo: (.*)\)$", fix)
    return found.group(1) if found else ""


def in_powershell(host: WindowsHost, *lines: str, may_fail: Sequence[str] = ()) -> list[str]:
    """Pastes them into one PowerShell. Its errors, and the programs that failed."""
    before = len(host.programs)
    _, _, errors = host.run("\n".join(lines))
    return [*errors, *_failed(host, before, may_fail)]


def in_cmd(host: WindowsHost, *lines: str, may_fail: Sequence[str] = ()) -> list[str]:
    """Types them at a prompt of cmd.exe. What failed."""
    before, found = len(host.programs), []
    for line in lines:
        if not line.startswith("rem "):
            found += _typed(host, line)
    return [*found, *_failed(host, before, may_fail)]


def _failed(host: WindowsHost, before: int, may_fail: Sequence[str]) -> list[str]:
    ran = [(" ".join((name, *words)), status) for name, words, status in host.programs[before:]]
    worked = {line for line, status in ran if status == 0}
    return [
        f"{line}: {status}"
        for line, status in ran
        if status
        and not any(one in line for one in may_fail)
        and not (_WITHOUT_WORD in line and line.replace(_WITHOUT_WORD, "") in worked)
    ]


def _typed(host: WindowsHost, line: str) -> list[str]:
    status, operator, found = 0, "&", []
    for following, part in _commands(_expanded(host, line)):
        if operator == "&" or (operator == "&&") == (status == 0) or operator == "|":
            name, *words = split(part)
            if not re.fullmatch(
                r"(netsh|arp|ipconfig|netstat|findstr|reg|winrm|.*\\appcmd(\.exe)?)", name, re.IGNORECASE
            ):
                found.append(f"'{name}' is not recognized as an internal or external command")
                status = 1
            else:
                status, _ = host.native(name, words)
        operator = following
    return found


def _expanded(host: WindowsHost, line: str) -> str:
    """`%NAME%` is put in even between quotes; what is not set stays at a prompt."""
    known = {name.lower(): value for name, value in host.variables().items()}
    return re.sub(r"%([^%]+)%", lambda found: known.get(found.group(1).lower(), found.group()), line)


def _commands(line: str) -> list[tuple[str, str]]:
    """The commands of a line, each with the operator after it."""
    parts, text, inside, at = [], "", False, 0
    while at < len(line):
        sign = line[at]
        if sign == '"':
            inside = not inside
        if not inside and sign == "^":
            at += 1
            text += line[at : at + 1]
        elif not inside and sign in "&|":
            operator = sign * 2 if line[at + 1 : at + 2] == sign else sign
            parts.append((operator, text))
            text, at = "", at + len(operator) - 1
        elif not inside and sign in "<>":
            raise ValueError(f"cmd would take {sign} for a redirection: {line}")
        else:
            text += sign
        at += 1
    return [*parts, ("&", text)]


def split(line: str) -> list[str]:
    """Words as the C runtime splits them."""
    words, word, inside, began, at = [], "", False, False, 0
    while at < len(line):
        slashes = len(line[at:]) - len(line[at:].lstrip("\\"))
        at += slashes
        sign = line[at : at + 1]
        if sign == '"':
            word += "\\" * (slashes // 2) + ('"' if slashes % 2 else "")
            inside ^= slashes % 2 == 0
            began = True
        else:
            word += "\\" * slashes
            if sign.isspace() and not inside:
                words += [word] if began or word else []
                word, began = "", False
            else:
                word += sign
        at += 1
    return [*words, *([word] if began or word else [])]
