"""How a script travels: packed into environment variables of its shell, unpacked by a short bootstrap.

A command line holds 8191 characters, or 32,767 without cmd.exe; standard input hangs PowerShell 2.0. So the script goes
with the request that creates the shell, gzipped and in base64, and the command line is the same few lines always.
"""

from __future__ import annotations

import base64
import gzip
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass

from backends.winrm.bounds import KEPT_ERRORS, LARGEST_OUTPUT, MOST_LINES, OutOfBounds
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.foreign import lines as harmless_lines
from dsrwizard.core.ports import OnLine

POWERSHELL = r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
"""The full path: without cmd.exe Windows Server 2008 R2 does not find a bare name."""
POWERSHELL_BY_CMD = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
"""For a Windows that is not in C:\\Windows, by way of cmd.exe, which knows where it is."""
PART = 8000
"""Characters per variable: below every limit there is, cmd.exe's among them."""
LARGEST = 100_000
"""Characters of all parts; an envelope of WinRM 2.0 holds 150 kB."""
WOW64 = "32-bit"
"""What the bootstrap says after its marker in a 32-bit PowerShell on a 64-bit Windows, before it ends."""
_KEPT_NOISE = 4_096
"""Characters of what was printed before the script began."""
_BOOTSTRAP = body(__package__, "bootstrap.ps1").lstrip()


@dataclass(frozen=True, slots=True)
class Packed:
    """`environment` of the shell and `arguments` of powershell.exe. `bootstrap` is what the arguments encode."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    bootstrap: str


def pack(script: str, marker: str) -> Packed:
    """Raises ValueError for a script that is too long even when packed. `marker` is the line printed before it runs."""
    text = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
    if len(text) > LARGEST:
        raise ValueError(f"{len(text)} characters, of {LARGEST} that can be sent")
    parts = [text[begin : begin + PART] for begin in range(0, len(text), PART)]
    environment = {f"DSRWIZARD{number}": part for number, part in enumerate(parts)}
    joined = " + ".join(f"$env:{name}" for name in environment)
    bootstrap = filled(_BOOTSTRAP, {"@MARKER@": marker, "'@PARTS@'": joined})
    encoded = base64.b64encode(bootstrap.encode("utf-16-le")).decode()
    options = ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Unrestricted")
    return Packed(environment, (*options, "-EncodedCommand", encoded), bootstrap)


class Lines:
    """Standard output as lines: what comes before the marker line is kept apart, CR LF is one end of line. Standard
    error beside it, of which the beginning is kept. Both raise OutOfBounds for more than a script of ours prints."""

    def __init__(self, marker: str, on_line: OnLine | None) -> None:
        self._marker, self._on_line = marker, on_line
        self._rest: list[bytes] = []
        self._text: list[str] = []
        self._noise = ""
        self._count = 0
        self._size = 0
        self._errors = bytearray()
        self.begun = False
        self.wow64 = False

    def feed(self, data: bytes) -> None:
        self._weigh(data)
        first, *more = data.split(b"\n", MOST_LINES + 1)
        for line in more:
            self._take(b"".join((*self._rest, first)))
            self._rest, first = [], line
        if first:
            self._rest.append(first)

    def feed_errors(self, data: bytes) -> None:
        self._weigh(data)
        self._errors += data[: max(0, KEPT_ERRORS - len(self._errors))]

    def end(self) -> None:
        """What came last without a newline is a line, too."""
        if self._rest:
            self._take(b"".join(self._rest))
            self._rest = []

    def _weigh(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > LARGEST_OUTPUT:
            raise OutOfBounds(f"more than {LARGEST_OUTPUT >> 20} MB to one script")

    def _take(self, data: bytes) -> None:
        self._count += 1
        if self._count > MOST_LINES:
            raise OutOfBounds(f"more than {MOST_LINES:,} lines to one script")
        line = data.removesuffix(b"\r").decode("utf-8", "replace")
        if self.begun:
            self._text.append(line)
            if self._on_line is not None:
                self._on_line(line)
        elif line.removeprefix("\ufeff").strip() == self._marker:
            self.begun = True
        elif line.strip() == f"{self._marker} {WOW64}":
            self.wow64 = True
        elif len(self._noise) < _KEPT_NOISE:
            self._noise += f"{line[:_KEPT_NOISE]}\n"

    @property
    def text(self) -> str:
        return "".join(f"{line}\n" for line in self._text)

    @property
    def noise(self) -> str:
        return self._noise

    @property
    def errors(self) -> str:
        """Standard error as text."""
        return error_text(bytes(self._errors))


_CLIXML = "#< CLIXML"
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_STRING = re.compile(r'<S S="(?!progress)\w{1,20}">([^<]*)')


def error_text(errors: bytes) -> str:
    """Standard error as harmless text. PowerShell writes its own errors there as CLIXML, together with progress
    reports."""
    text = errors.decode("utf-8", "replace").removeprefix("\ufeff").replace("\r\n", "\n")
    head, mark, rest = text.partition(_CLIXML)
    if not mark:
        return harmless_lines(text.strip())
    found = [html.unescape(one) for one in _STRING.findall(rest)]  # by pattern: it may be cut off
    said = _ESCAPED.sub(lambda code: chr(int(code[1], 16)), "".join(found)).replace("\r\n", "\n")
    return harmless_lines(f"{head}{said}".strip())
