"""Errors of pywinrm, requests and Windows, with what to do about them on the host.

Codes of WSManFault are those of wsmerror.h; texts of faults are in the host's language and are only quoted.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import requests
from winrm.exceptions import (
    AuthenticationError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)

from backends.winrm.accounts import meanings, remedy
from backends.winrm.bounds import OutOfBounds
from backends.winrm.place import HTTPS, WinrmListener
from backends.winrm.reach import no_connection, no_tls
from backends.winrm.transport import NotSealed
from dsrwizard.core.model.errors import (
    AnswerUnreadable,
    ConnectTimeout,
    HostError,
    HostKeyChanged,
    LoginRefused,
    NoPrivilege,
)
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.tell.prepare import FILTER

BROKEN: tuple[type[Exception], ...] = (Exception,)
"""Everything that one exchange may raise, by the network's doing or the host's: pywinrm, requests and spnego take the
host's bytes apart and raise whatever comes of that."""
_SAID = 300
"""Characters of what a host says in a fault."""
NOT_FOUND = (2147942402, 2147942403)
_DENIED = (5, 2147942405)
_SHELLS = (2150859173, 2150859236, 2150859238)
_USERS = (2150859179, 2150859237)
"""ERROR_WSMAN_..._MAX_USERS: other people count, too, and not this user's shells."""
_OPERATIONS = (2150859174, 2150859239, 2150859240, 2150859241)
_QUOTAS = (*_SHELLS, *_USERS, *_OPERATIONS, 2150858815, 2150859175, 2150859176, 2150859242)
_POLICY = 2150859180
_GONE = 2150858843


def session_is_gone(error: Exception) -> bool:
    """Whether the host did not take the message because the connection it was sealed for is gone: it was not acted on.

    A body that does not unseal is answered with 400.
    """
    return isinstance(error, WinRMTransportError) and error.code == 400


def unreached(error: Exception) -> bool:
    """Whether no connection came about, so that nothing was sent."""
    return isinstance(error, requests.exceptions.ConnectTimeout) or any(
        type(each).__name__ in ("NewConnectionError", "NameResolutionError") for each in _causes(error)
    )


def of_the_network(error: Exception) -> bool:
    """Whether it is the way to the host that failed; otherwise the host's answer made no sense."""
    return isinstance(error, requests.RequestException | OSError | WinRMTransportError)


def is_silence(error: Exception) -> bool:
    """Whether the host said nothing at all, neither yes nor no."""
    return isinstance(error, requests.exceptions.Timeout)


def unreadable(place: WinrmListener, error: Exception, *, begun: bool = False) -> AnswerUnreadable:
    """An answer that is no answer. `begun`: the script may have run."""
    what = str(error) if isinstance(error, OutOfBounds) else f"something that is not WinRM ({type(error).__name__})"
    found = AnswerUnreadable(
        f"{place.host}: {place.at} gave an answer that was not accepted.",
        f"It answered {what}.",
        f"Check the port, and who has that address. On that host: {place.listener}",
    )
    found.begun = begun
    return found


def fault_code(error: Exception) -> int:
    """The code of a fault, by either generation's detail; 0 where there is none."""
    if not isinstance(error, WSManFaultError):
        return 0
    return int(error.wsman_fault_code or error.wmierror_code or 0)


def is_gone(error: Exception) -> bool:
    """Whether the host no longer knows the shell."""
    return fault_code(error) == _GONE


def translated(place: WinrmListener, error: Exception) -> HostError:
    """The error as the operator reads it."""
    if isinstance(error, HostError):
        return error  # the login's own
    if isinstance(error, WSManFaultError):
        return _fault(place, error)
    if isinstance(error, OutOfBounds):
        return unreadable(place, error)
    if isinstance(error, NotSealed):
        return HostError(
            f"{place.host}: nothing was sent to {place.at}, because the message could not be sealed.",
            f"There was no {place.auth} login to provide the key for it: another web server may be using the port.",
            f"Check the port; on that host: {place.listener}",
        )
    if isinstance(error, AuthenticationError | PermissionError):
        return login_refused(place, "")
    if isinstance(error, WinRMTransportError):
        return _status(place, int(error.code))
    if isinstance(error, requests.exceptions.SSLError):
        return _tls(place, error)
    if isinstance(error, requests.exceptions.Timeout | WinRMOperationTimeoutError):
        return ConnectTimeout(
            f"{place.host}: {place.at} accepted the request but did not answer.",
            "Its WinRM service hangs, or the host is under load.",
            "Look at the host's load; on that host: Restart-Service WinRM",
        )
    for cause in _causes(error):
        if isinstance(cause, OSError) and cause.errno and not isinstance(cause, ConnectionResetError | BrokenPipeError):
            return no_connection(place, cause)
    if isinstance(error, requests.exceptions.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return _cut(place)
    return unreadable(place, error)


def said(text: str) -> str:
    """What a host or a library said, on one line and harmless."""
    return one_line(" ".join(text.split()), _SAID)


def set_by_winrm(where: str, name: str, value: str) -> str:
    """The line for PowerShell that sets a value of WinRM, and what to do where Windows refuses it because one of its
    networks is Public, as that of a loopback adapter may be (0x80338169, "WinRM firewall exception will not work")."""
    line = f"""winrm set winrm/config/{where} '@{{{name}="{value}"}}'"""
    refused = "if that is refused with 0x80338169, a network there counts as Public"
    if where == "service":  # no policy has it
        return f"{line} ({refused}: make it private first)"
    key = r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WinRM\Service" + (r"\WinRS" if where == "winrs" else "")
    policy = f"Allow{name}" if where == "service/auth" else name
    number = "1" if value == "true" else value
    return f"{line} ({refused}; then: reg add {key} /v {policy} /t REG_DWORD /d {number} /f)"


def login_refused(place: WinrmListener, why: str) -> LoginRefused:
    """The login failed; `why` says what was tried. What it can mean follows."""
    told = f"{why} {meanings(place)}".strip()
    return LoginRefused(f"{place.host}: login as {place.user} at {place.at} was refused.", told, remedy(place))


def not_offered(place: WinrmListener, offered: set[str]) -> LoginRefused:
    """The host does not take this way to log in at all."""
    name = {"basic": "Basic", "kerberos": "Kerberos"}.get(place.auth, "Negotiate")
    takes = one_line(", ".join(sorted(offered - {""})), 100) or "nothing"
    return LoginRefused(
        f"{place.host}: {place.at} does not accept {place.auth} logins.",
        f"It takes: {takes}.",
        f"Correct auth here, or turn it on there, in PowerShell: {set_by_winrm('service/auth', name, 'true')}",
    )


def _fault(place: WinrmListener, error: WSManFaultError) -> HostError:
    code, reason = fault_code(error), said(str(error.reason))
    if code in _DENIED:
        return NoPrivilege(
            f"{place.host}: {place.user} is logged in but gets no shell: access is denied.",
            "The account is not an administrator there, or it is a local administrator other than the built-in one,"
            " to whom Windows gives filtered rights over the network.",
            "Use a domain account in its group Administrators, or the built-in Administrator. This lifts the filter"
            f" there instead: {FILTER} But it does so for every local administrator and every service: a password that"
            " is the same on many servers then opens them all.",
        )
    if code == _POLICY:
        return HostError(
            f"{place.host}: a policy there forbids remote shells.",
            "The policy “Allow Remote Shell Access” (Windows Remote Shell) is turned off.",
            "Turn it on, by group policy or in PowerShell with: "
            f"{set_by_winrm('winrs', 'AllowRemoteShellAccess', 'true')}",
        )
    if code in _USERS:
        return HostError(
            f"{place.host}: as many users have shells open there as WinRM allows at a time.",
            f"The host says: {reason}",
            "Other people's sessions and programs count. Wait, or in PowerShell on that host: Restart-Service WinRM,"
            f" which ends them all. To allow more: {set_by_winrm('winrs', 'MaxConcurrentUsers', '10')}",
        )
    if code in _QUOTAS or "QuotaLimit" in str(error.fault_subcode):
        what = "shells" if code in _SHELLS else "operations" if code in _OPERATIONS else "resources"
        key, many = ("MaxShellsPerUser", 30) if code in _SHELLS else ("MaxConcurrentOperationsPerUser", 1500)
        where = "winrs" if code in _SHELLS else "service"
        return HostError(
            f"{place.host}: {place.user} has as many {what} open there as WinRM allows one user.",
            f"The host says: {reason}",
            "Programs that ended without closing theirs leave them until they time out (two hours; three minutes on"
            " Windows Server 2008 R2): wait, or in PowerShell on that host:"
            f" Restart-Service WinRM. To allow more: {set_by_winrm(where, key, str(many))}",
        )
    if code in NOT_FOUND:
        return HostError(
            f"{place.host}: powershell.exe was not found there.",
            f"The host says: {reason}",
            "Install Windows PowerShell 2.0 or later there (KB968930 for Windows Server 2008).",
        )
    return HostError(
        f"{place.host}: WinRM there refused the request{f' (code {code})' if code else ''}.",
        f"The host says: {reason}",
        f"Look at the WinRM service of that host: winrm get winrm/config, {place.listener}",
    )


def _status(place: WinrmListener, status: int) -> HostError:
    what = f"{place.host}: {place.at} answered with HTTP status {status}."
    if status == 404:
        return HostError(
            what,
            "There is a web server, but no WinRM at /wsman.",
            f"Check the port, and on that host the URLPrefix in: {place.listener}",
        )
    if status == 503:
        return HostError(
            what, "The port is WinRM's, but the service does not run.", "On that host: Start-Service WinRM"
        )
    if status == 500:
        return HostError(
            what,
            "It refused the message without a reason: WinRM does that to messages that are not encrypted"
            " (AllowUnencrypted=false).",
            'Write winrm = "https" for this server. Do not turn on AllowUnencrypted.',
        )
    if status in (301, 302, 307, 308, 407, 502, 504):
        return HostError(
            what,
            "A proxy or another web server is in between; WinRM does not answer like this.",
            "Let this machine reach the host directly, or correct address and port.",
        )
    return HostError(
        what,
        "WinRM did not accept the message; another service may be using the port.",
        f"Check the port; on that host: {place.listener}",
    )


def _tls(place: WinrmListener, error: Exception) -> HostError:
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLError) and not isinstance(cause, ssl.SSLCertVerificationError):
            return no_tls(place, cause)
    return HostKeyChanged(
        f"{place.host}: the certificate of {place.at} is not the one that was shown before.",
        "It changed between two connections, or does not carry the host's name."
        " Someone may be intercepting the connection.",
        "Do not log in. Ask the host's owner which certificate its listener has.",
    )


def _cut(place: WinrmListener) -> HostError:
    if place.tls:
        return HostError(
            f"{place.host}: {place.at} ended the connection.",
            "The WinRM service was stopped or restarted, or something in between cuts connections.",
            "Try again; on that host: Get-Service WinRM",
        )
    return HostError(
        f"{place.host}: {place.at} ended the connection without an answer.",
        f"It may be an HTTPS listener (usually port {HTTPS}), or the WinRM service was stopped.",
        f'Write winrm = "https" for this server, or correct port; on that host: {place.listener}',
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is inside it: urllib3 wraps by arguments and by `reason`, Python by context."""
    seen: list[BaseException] = []
    todo: list[object] = [error]
    while todo:
        one = todo.pop(0)
        if isinstance(one, BaseException) and one not in seen:
            seen.append(one)
            yield one
            todo += [*one.args, getattr(one, "reason", None), one.__cause__, one.__context__]
