"""The PowerShell that is sent to Windows hosts, by generation: the files in `scripts`, and what every script needs.

The generation "2008" (Windows Server 2008 and 2008 R2) is PowerShell 2.0 with WMI, COM, registry and P/Invoke. Nothing
of it may use what came later: ConvertTo-Json, the Net cmdlets, Get-CimInstance, `[pscustomobject]`.
"""

from __future__ import annotations

from dataclasses import dataclass

from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.dialects.windows.commands import PSEUDO, UNBINDABLE, quoted
from dsrwizard.core.model.windows_facts import Dialect


def array(texts: tuple[str, ...]) -> str:
    """Texts as an array of PowerShell."""
    return "@(" + ", ".join(quoted(text) for text in texts) + ")"


def add_type(source: str) -> str:
    """The statement that compiles C# and brings its class into a script."""
    return f"Add-Type -TypeDefinition @'\n{source.strip()}\n'@\n"


def _within(section: str, statement: str) -> str:
    """The statement as a section of the look: where it fails, the look goes on."""
    return f"try {{\n{statement}}}\ncatch {{\n    Add-Unread -section {quoted(section)} -adapter 0 -record $_\n}}\n"


def file(name: str) -> str:
    """The script of this name; its holes are still open."""
    return body(__package__, name)


@dataclass(frozen=True, slots=True)
class Generation:
    """What one generation of Windows does in its own way: `ConvertTo-Text` for JSON, looking at facts, and reading and
    writing settings."""

    json: str
    facts: str
    settings: str


DEVICES = file("devices.ps1")
LOOPBACK = file("loopback.cs")
INTERFACE = file("interface.cs")

_PSEUDO = {"'@PSEUDO@'": quoted(PSEUDO)}
_LITERAL = file("literal.ps1")
_UNBOUND = file("unbound.ps1")

GENERATIONS: dict[Dialect, Generation] = {
    "2008": Generation(
        json=file("json_2008.ps1"),
        facts=_UNBOUND + _within("interfaces", add_type(INTERFACE)) + filled(file("facts_2008.ps1"), _PSEUDO),
        settings=_UNBOUND + add_type(INTERFACE) + file("settings_2008.ps1"),
    ),
    "2012": Generation(
        json=file("json_2012.ps1"),
        facts=_LITERAL + _UNBOUND + filled(file("facts_2012.ps1"), _PSEUDO),
        settings=_LITERAL + _UNBOUND + filled(file("settings_2012.ps1"), {"'@UNBINDABLE@'": array(UNBINDABLE)}),
    ),
}

_FRAMES = file("frames.ps1")


def prelude(nonce: str) -> str:
    """What every script begins with: errors stop it, and `Send-Frame` sends a document. `ConvertTo-Text` is the
    generation's."""
    return filled(_FRAMES, {"'@NONCE@'": quoted(nonce)})
