"""What stops PowerShell on a Windows host, recognised in what it said, with what to do about it. Pure.

Texts of Windows are translated; ids of errors (FullyQualifiedErrorId), types of exceptions and HRESULTs are not, and go
first. English texts are for what says nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BlockedBy = Literal[
    "antivirus", "attack-surface-reduction", "application-control", "constrained-language", "execution-policy",
    "memory", "quota", "denied",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Blocked:
    """`why` and `next` are sentences for the operator; `marks` stand in what the host said, blanks left out."""

    kind: BlockedBy
    why: str
    next: str
    marks: re.Pattern[str]


def _marks(*parts: str) -> re.Pattern[str]:
    return re.compile("|".join(part.replace(" ", "") for part in parts), re.I)


KNOWN = (
    Blocked(
        "attack-surface-reduction",
        "An attack surface reduction rule of Microsoft Defender blocked it.",
        "On that host, event 1121 of Microsoft-Windows-Windows Defender/Operational names the rule. Have its owner "
        "exclude powershell.exe of WinRM from that rule, or set the rule to audit.",
        _marks("5BEB7EFE-FD9A-4556-801D-275E5FFC04CC", "D1E49AAC-8F56-4280-B9BA-993A6D77406C", "attack surface reduct"),
    ),
    Blocked(
        "antivirus",
        "Security software there classified the script as malicious and blocked it (AMSI).",
        "Look at the log of the antivirus on that host (Defender: event 1116 of Microsoft-Windows-Windows Defender/"
        "Operational). Have its owner allow the script; dsrwizard plan FILE --scripts prints it.",
        _marks(
            "ScriptContainedMaliciousContent",
            "800700E1",
            "malicious content",
            "blocked by your antivirus",
            "contains a virus or potentially unwanted",
        ),
    ),
    Blocked(
        "constrained-language",
        "PowerShell there runs in constrained language mode, in which a script may not use .NET.",
        "AppLocker or App Control (WDAC) sets it. On that host, $ExecutionContext.SessionState.LanguageMode has to say "
        "FullLanguage for this login: have its owner add a rule for it.",
        _marks(
            "ConstrainedLanguage",
            "ConversionSupportedOnlyToCoreTypes",
            "CannotDefineNewType",
            "only on core types in this language mode",
            "in this language mode",
        ),
    ),
    Blocked(
        "application-control",
        "Application control there (AppLocker, software restriction or WDAC) blocked a program or library.",
        "Look on that host at the logs Microsoft-Windows-AppLocker and Microsoft-Windows-CodeIntegrity/Operational. "
        "Have its owner add a rule for what they name.",
        _marks(
            "800704EC",
            "800711C7",
            "blocked by group policy",
            "Application Control policy has blocked",
            "Device Guard to block",
        ),
    ),
    Blocked(
        "execution-policy",
        "The execution policy there does not let PowerShell load modules that are scripts.",
        "On that host, Get-ExecutionPolicy -List shows which scope sets it. A group policy (MachinePolicy, UserPolicy) "
        "has to be changed in the domain: RemoteSigned is enough.",
        _marks("PSSecurityException", "about_Execution_Policies"),
    ),
    Blocked(
        "memory",
        "PowerShell there ran out of memory.",
        "A remote shell has 150 MB by default on WinRM 2.0, and on Windows Server 2012 and WMF 3.0 until hotfix "
        "KB2842230 is installed, whatever is set. Install it, then on that host: winrm set winrm/config/winrs "
        "'@{MaxMemoryPerShellMB=\"1024\"}' and Restart-Service WinRM",
        _marks("OutOfMemoryException", "InsufficientMemory", "8007000E", "80070008", "not enough memory"),
    ),
    Blocked(
        "quota",
        "A quota there is used up.",
        "Wait until other programs end, or on that host: Restart-Service WinRM. winrm get winrm/config shows the "
        "limits of remote shells, the WMI class __ProviderHostQuotaConfiguration those of WMI.",
        _marks("8004106C", "80070718", "Quota violation", "QuotaExceeded", "not enough quota"),
    ),
    Blocked(
        "denied",
        "Windows denies it to this login.",
        "Log in as the built-in Administrator or a domain administrator, or have the right added.",
        _marks("80070005", "80041003", "UnauthorizedAccessException", "PermissionDenied"),
    ),
)
"""In the order in which they are looked for."""


def blocked(said: str) -> Blocked | None:
    """What stopped it, None where nothing known is in what the host said. PowerShell breaks lines anywhere."""
    text = "".join(said.split())
    return next((one for one in KNOWN if one.marks.search(text)), None)


def explained(said: str, more: str = "") -> str:
    """What the host said, and what that means where it is known. `more`: ids that help to recognise it."""
    found = blocked(f"{said} {more}")
    return f"{said} {found.why} {found.next}" if found is not None else said
