"""What a refused login can mean, for each kind of account: Windows answers a right password with 401, too."""

from __future__ import annotations

from typing import Literal

from backends.winrm.place import WinrmListener

Kind = Literal["built-in", "local", "domain"]
BUILT_IN = r"(Get-WmiObject Win32_UserAccount -Filter 'LocalAccount=TRUE') | Where-Object { $_.SID -like '*-500' }"
"""PowerShell that shows the built-in Administrator, whatever its name."""
SHORT = "It may be right and refused for another reason; more tries might lock the account."

_WRONG = "wrong password or name"
_GONE = "account locked, disabled or expired, or its password has to be changed"
_RIGHTS = "not an administrator there"
_FILTERED = "a local administrator, whose rights Windows filters over the network (not the built-in one's)"
_NETWORK = "“Deny access to this computer from the network”, as security baselines set it for {whom}"
_NTLM = "a policy denies NTLM"
_PROTECTED = "a member of Protected Users, who log in by Kerberos only"


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
        first.insert(0, f"no user is set, and the built-in account is not called {place.user} on this server")
    match kind_of(place.user):
        case "built-in":
            rest = [
                _GONE.replace("locked, disabled", "renamed, disabled"),
                _NETWORK.format(whom="local accounts"),
                _NTLM,
            ]
        case "local":
            rest = [_RIGHTS, _FILTERED, _NETWORK.format(whom="local accounts"), _GONE, _NTLM]
        case "domain":
            rest = [_GONE, _RIGHTS, _NETWORK.format(whom="Domain Admins"), _PROTECTED, _NTLM]
    listed = "; ".join(f"{number}. {one}" for number, one in enumerate([*first, *rest], 1))
    return f"Windows does not say why. The likeliest first: {listed}."


def remedy(place: WinrmListener) -> str:
    """Where to look, and what to write."""
    look = (
        "That host's Security log says it, event 4625, Sub Status: 0xC000006A wrong password, 0xC0000234 locked,"
        " 0xC0000224 password to be changed, 0xC000015B denied from the network."
    )
    match kind_of(place.user):
        case "built-in" if not place.user_given:
            return f"Set user for this server. In PowerShell there, this shows the built-in account: {BUILT_IN}. {look}"
        case "built-in":
            return f"{look} net user NAME shows the account, and this the built-in one: {BUILT_IN}"
        case "local":
            return f"{look} net user NAME shows the account. Better: a domain account, or the built-in Administrator."
    return f'{look} net user NAME /domain shows the account. Where NTLM is denied: auth = "kerberos".'
