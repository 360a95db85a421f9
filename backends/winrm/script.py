"""How a script travels: as text in environment variables of its shell, taken out of there by a short command line.

A command line holds 8191 characters through cmd.exe, which stands between from Windows Server 2012 R2 on whatever is
asked for; standard input hangs PowerShell 2.0. So the script goes with the request that creates the shell, and the
command line is the same few readable statements always. They remove the variables before they run anything: a script's
own programs do not inherit them, and Add-Type, which takes 65,535 bytes of environment on .NET Framework, does not see
them.

Nothing is packed or encoded: security software and the host's PowerShell log see what `dsrwizard plan --scripts` shows.
A script is one line of ASCII on its way, with .NET's own escapes (Regex.Unescape): what a parser of XML makes of ends
of lines, of blanks at the end of a value, or of other alphabets, does not matter then.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from xml.sax.saxutils import escape

from backends.winrm.bounds import KEPT_ERRORS, LARGEST_OUTPUT, MOST_LINES, OutOfBounds
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.foreign import lines as harmless_lines
from dsrwizard.core.ports import OnLine

POWERSHELL = r"%SystemRoot%\System32\WindowsPowerShell\v1.0\powershell.exe"
"""By cmd.exe, which knows where Windows is. WINRS_SKIP_CMD_SHELL does nothing from Windows Server 2012 R2 on."""
PART = 8000
"""Characters per variable: below every limit there is, cmd.exe's among them."""
LARGEST = 140_000
"""Bytes of all parts as XML; an envelope of WinRM 2.0 holds 150 kB."""
WOW64 = "32-bit"
"""What the bootstrap says after its marker in a 32-bit PowerShell on a 64-bit Windows, before it ends."""
_KEPT_NOISE = 4_096
"""Characters of what was printed before the script began."""
_BOOTSTRAP = " ".join(
    line for line in body(__package__, "bootstrap.ps1").splitlines() if line and not line.startswith("#")
)
_ESCAPES = {"\\": r"\\", "\n": r"\n", "\t": r"\t"}
_BLANK = r"\x20"
_TITLE = re.compile(r"# (dsrwizard[\w .,:@-]{0,200})\n", re.ASCII)


@dataclass(frozen=True, slots=True)
class Packed:
    """`environment` of the shell and `arguments` of powershell.exe. `bootstrap` is the last of the arguments."""

    environment: Mapping[str, str]
    arguments: tuple[str, ...]
    bootstrap: str


def pack(script: str, marker: str) -> Packed:
    """Raises ValueError for a script that is too long. `marker` is the line printed before it runs. A first line
    `# dsrwizard …` stands in the process list, too."""
    text = "".join(_escaped(one) for one in script)
    size = len(escape(text))
    if size > LARGEST:
        raise ValueError(f"{size:,} characters, of {LARGEST:,} that can be sent")
    environment = {f"DSRWIZARD{number}": part for number, part in enumerate(_parts(text))}
    title = _TITLE.match(script)
    bootstrap = filled(
        _BOOTSTRAP,
        {
            "@TITLE@": title[1] if title else "dsrwizard",
            "@MARKER@": marker,
            "'@PARTS@'": " + ".join(f"$env:{name}" for name in environment) or "''",
            "'@NAMES@'": ", ".join(f"'{name}'" for name in environment) or "@()",
        },
    )
    options = ("-NoProfile", "-NonInteractive", "-ExecutionPolicy", "Unrestricted")
    return Packed(environment, (*options, "-Command", bootstrap), bootstrap)


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if " " <= one <= "~":
        return one
    pair = one.encode("utf-16-be")
    return "".join(f"\\u{pair[at]:02x}{pair[at + 1]:02x}" for at in range(0, len(pair), 2))


def _parts(text: str) -> list[str]:
    """The text in parts. A blank at the end of one is escaped: a reader of XML may take it away."""
    step = PART - 2 * len(_BLANK)
    parts = [text[begin : begin + step] for begin in range(0, len(text), step)]
    parts = [part.removesuffix(" ") + _BLANK if part.endswith(" ") else part for part in parts]
    return [_BLANK + part.removeprefix(" ") if part.startswith(" ") else part for part in parts]


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

    def tell(self, text: str) -> None:
        """For whoever follows the script: what is no output of it."""
        if self._on_line is not None:
            self._on_line(text)

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
