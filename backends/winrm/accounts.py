"""What a refused login can mean, for each kind of account: Windows answers a right password with 401, too."""

from __future__ import annotations

from typing import Literal

from backends.winrm.place import WinrmListener

Kind = Literal["built-in", "local", "domain"]
BUILT_IN = r"(Get-WmiObject Win32_UserAccount -Filter 'LocalAccount=TRUE') | Where-Object { $_.SID -like '*-500' }"
"""PowerShell that shows the built-in Administrator, whatever its name."""
SHORT = "It may be right and refused for another reason; more tries might lock the account."

_WRONG = "the password or the name is wrong"
_GONE = "the account is locked, disabled or expired, or its password has expired or must be changed at the next logon"
_RIGHTS = "the account is not an administrator there"
_FILTERED = "Windows filters the rights of local administrators over the network, all but the built-in one's"
_NETWORK = "“Deny access to this computer from the network” covers it, as security baselines set for {whom}"
_NTLM = "a policy denies or restricts NTLM"
_PROTECTED = "it is in Protected Users, whose members log in by Kerberos only"


def kind_of(user: str) -> Kind:
    """What the name says: `DOMAIN\\name` and `name@domain` are of a domain, `.\\name` and a name alone are not."""
    bare = user.removeprefix(".\\")
    if "\\" in bare or "@" in bare:
        return "domain"
    return "built-in" if bare.lower() == "administrator" else "local"


def meanings(place: WinrmListener) -> str:
    """What it can be, the likeliest first, in one sentence."""
    first = [_WRONG]
    if not place.user_given:
        first.insert(
            0, f"the built-in account is not called {place.user} there (no user is set; the name differs by language)"
        )
    match kind_of(place.user):
        case "built-in":
            rest = [
                _GONE.replace("locked, disabled", "disabled, renamed"),
                _NETWORK.format(whom="local accounts"),
                _NTLM,
            ]
        case "local":
            rest = [_RIGHTS, _FILTERED, _NETWORK.format(whom="local accounts"), _GONE, _NTLM]
        case "domain":
            rest = [_GONE, _RIGHTS, _NETWORK.format(whom="Domain Admins"), _PROTECTED, _NTLM]
    listed = "; ".join(f"{number}. {one}" for number, one in enumerate([*first, *rest], 1))
    return f"Windows does not say why. In order of likelihood: {listed}."


def remedy(place: WinrmListener) -> str:
    """Where to look, and what to write."""
    look = "On that host the Security log has the reason: event 4625, Sub Status (docs/windows-prepare.md lists them)."
    match kind_of(place.user):
        case "built-in" if not place.user_given:
            return f"Set user for this server. In PowerShell there, this shows the built-in account: {BUILT_IN}. {look}"
        case "built-in":
            return f"{look} net user NAME shows the account, and this the built-in one: {BUILT_IN}"
        case "local":
            return f"{look} net user NAME shows the account. Better: a domain account, or the built-in Administrator."
    return f'{look} net user NAME /domain shows the account. Where NTLM is denied: auth = "kerberos".'
