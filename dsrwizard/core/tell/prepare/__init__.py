"""How a Windows server is made reachable by WinRM: for each generation a block to paste into PowerShell there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

from dsrwizard.core.dialects.script_files import body

COMMAND = "dsrwizard prepare"
"""The command that prints the blocks."""


@dataclass(frozen=True)
class Preparation:
    """`system` as in a deployment file; `block` is PowerShell, `about` says what it does and `opens` what it opens."""

    system: str
    title: str
    about: str
    opens: str
    block: str


def _block(name: str) -> str:
    return body(__package__, name).strip() + "\n"


PASTE = (
    "Log in to the server, open PowerShell as administrator, paste the whole block, and press Enter (once more if the "
    "prompt shows >>). It can be pasted again: nothing is made twice."
)
PREPARATIONS: tuple[Preparation, ...] = (
    Preparation(
        system="windows-2012",
        title="Windows Server 2012 to 2025",
        about=(
            "Starts WinRM, makes an HTTPS listener on port 5986 with the certificate of your CA for the server's name, "
            "or with a new self-signed one, and prints the fingerprint to compare."
        ),
        opens="Port 5986 for hosts in the server's own subnet, where the director is. No other setting is changed.",
        block=_block("prepare_2012.ps1"),
    ),
    Preparation(
        system="windows-2008",
        title="Windows Server 2008 and 2008 R2",
        about=(
            "Starts WinRM and makes an HTTP listener on port 5985; these versions have none. NTLM and Kerberos seal "
            "every message there. HTTPS would be TLS 1.0, which today's systems refuse. Server 2008 needs KB968930 "
            "first."
        ),
        opens="Port 5985 for hosts in the server's own subnet, where the director is. No other setting is changed.",
        block=_block("prepare_2008.ps1"),
    ),
)
ACCOUNT = (
    "Log in as a domain account in the server's Administrators group, or as the built-in Administrator (the account "
    "whose SID ends in -500; its name differs on servers in other languages). To any other local administrator Windows "
    "gives filtered rights over the network."
)
FILTER = (
    r"reg add HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System"
    " /v LocalAccountTokenFilterPolicy /t REG_DWORD /d 1 /f"
)
"""Lifts the filter for every local administrator; cmd and PowerShell take it as it is."""
FILTER_OPENS = (
    "It gives every local administrator full rights over the network, by WinRM, file shares and WMI: a local password "
    "that is the same on many servers then opens all of them. Better is a domain account, or the built-in "
    "Administrator."
)
QUICKCONFIG = (
    "winrm quickconfig is not used: in a workgroup it lifts that filter as well, and it opens the port more widely."
)


def preparation(system: str) -> Preparation:
    """Raises KeyError for a system that has none."""
    for one in PREPARATIONS:
        if one.system == system:
            return one
    raise KeyError(system)


def text(chosen: tuple[Preparation, ...] = PREPARATIONS, width: int | None = 100) -> str:
    """The blocks with what has to be known. `width` of the prose in columns; None: whoever shows it wraps it."""

    def wrapped(words: str) -> str:
        return words if width is None else fill(words, width, break_long_words=False, break_on_hyphens=False)

    parts = [wrapped(PASTE)]
    for one in chosen:
        parts.append(f"{one.title}\n\n{wrapped(one.about)}\n{wrapped(f'Opens: {one.opens}')}\n\n{one.block.rstrip()}")
    lifted = f"{wrapped('This lifts the filter, in PowerShell or cmd:')}\n\n{FILTER}\n\n{wrapped(FILTER_OPENS)}"
    parts += [f"The account\n\n{wrapped(ACCOUNT)}", lifted, wrapped(QUICKCONFIG)]
    return "\n\n".join(parts) + "\n"
