"""One WinRM connection to one host: a shell per script, opened with the script in it and always closed again."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import TypeVar

from winrm.exceptions import AuthenticationError, WinRMOperationTimeoutError

from backends.memory import Memory, memory_of
from backends.winrm.bounds import OutOfBounds
from backends.winrm.kerberos import TicketLogin, by_ticket
from backends.winrm.login import WrongPassword, log_in
from backends.winrm.place import WinrmListener, listener_of
from backends.winrm.problems import (
    BROKEN,
    fault_code,
    is_gone,
    is_silence,
    not_offered,
    of_the_network,
    said,
    session_is_gone,
    translated,
    unreached,
    unreadable,
)
from backends.winrm.reach import CONNECT_SECONDS, shown_certificate, wait_until_open
from backends.winrm.script import POWERSHELL, Lines, Packed, pack
from backends.winrm.transport import OPERATION_SECONDS, WinrmChannel
from backends.winrm.trust import Trust, check_certificate
from dsrwizard.core.dialects.windows.blocked import blocked
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, ConnectionLost, HostError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Answer, Asker, OnLine

AWAY_SECONDS = 20.0
"""How long a host may refuse or cut connections while a script runs: changing its network does so for a moment. One
that says nothing is asked again until the deadline."""
_HURRY_SECONDS = 5.0
"""How long a host has to answer that its script is to end."""
_PACE = 0.05
"""Seconds between two questions to a host that answers at once and has nothing to say."""
_IDLE = "PT180S"
"""After this a shell that could not be closed ends by itself. WinRM 2.0 takes three minutes at most and has them as its
default, later ones two hours."""
_UTF_8 = 65001
_LOOK_AGAIN = "Check the host again before you change anything else on it."
T = TypeVar("T")


def open_connector(host: str, server: RealServer, asker: Asker) -> WinrmConnector:
    """See `backends.winrm.open_winrm`."""
    place = listener_of(host, server)
    if not place.tls:
        wait_until_open(place)
        return WinrmConnector(place, Trust(), asker, memory_of(asker))
    return WinrmConnector(place, check_certificate(place, shown_certificate(place), asker), asker, memory_of(asker))


class _Clock:
    """Seconds that are left; time the operator takes to type does not count."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        return self._end - time.monotonic()

    @contextmanager
    def stopped(self) -> Iterator[None]:
        stop = time.monotonic()
        try:
            yield
        finally:
            self._end += time.monotonic() - stop


class _Senseless(AnswerUnreadable):
    """The host's messages are no WinRM: it is not spoken to any further."""


class WinrmConnector:
    """See `dsrwizard.core.ports.Connector`. Logs in with its first script; a dropped connection is taken up again."""

    def __init__(self, place: WinrmListener, trust: Trust, asker: Asker, memory: Memory) -> None:
        self._place, self._trust, self._asker, self._memory = place, trust, asker, memory
        self._winrm: WinrmChannel | None = None
        self._password: Secret | None = None
        self._shell = self._service = ""
        self.login = ""
        """How it is logged in, in a sentence, where there is more to say than the deployment does."""
        self._lock = Lock()
        self._closed = False

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        """Runs PowerShell text as the user, who is to be an administrator there.

        Standard output is the script's lines, standard error plain text. Raises LoginRefused, NoPrivilege,
        ConnectionLost (`begun` false: it did not run), AnswerUnreadable when PowerShell did not run it, and HostError.
        """
        marker = f"dsrwizard-{secrets.token_hex(8)}"
        try:
            packed = pack(script, marker)
        except ValueError as error:
            raise HostError(
                f"{self._place.host}: its script is too long to send.",
                f"It has {error}.",
                "Apply fewer changes at a time.",
            ) from None
        with self._lock:
            if self._closed:
                raise _not_begun(self._place.host, "the connection was closed")
            clock = _Clock(deadline)
            self._shell = shell = self._open_shell(packed, clock)
            if self._closed:
                self._shell = ""
                self._close_shell(shell)
                raise _not_begun(self._place.host, "the connection was closed")
            try:
                answer = self._in_shell(shell, packed, Lines(marker, on_line), clock, deadline)
            except (ConnectionLost, _Senseless):
                self._reset()
                raise
            finally:
                self._shell = ""
            self._close_shell(shell)
            return answer

    def close(self) -> None:
        """Ends the connection. A script that runs is let go, and its shell is closed: a user may open few on a host."""
        self._closed = True
        shell = self._shell
        # Where a shell is being opened, whoever opens it closes it again: that is waited for.
        if self._lock.acquire(timeout=0 if shell else _HURRY_SECONDS):
            try:
                self._reset()
            finally:
                self._lock.release()
        elif shell:
            closing = Thread(target=self._close_from_beside, args=(shell,), daemon=True)
            closing.start()
            closing.join(_HURRY_SECONDS)

    # -- shells

    def _close_from_beside(self, shell: str) -> None:
        """Closes a shell over a connection of its own, while the other one waits for what its script says next."""
        with contextlib.suppress(*BROKEN, HostError):
            winrm = WinrmChannel(self._place, self._trust, self._password, self._ticket())
            # Seconds to connect and to read: requests takes the pair, pywinrm only annotates one number.
            winrm.transport.read_timeout_sec = (_HURRY_SECONDS, _HURRY_SECONDS)  # type: ignore[assignment]
            winrm.close_shell(shell, close_session=False)
            winrm.transport.reset()

    def _open_shell(self, packed: Packed, clock: _Clock) -> str:
        """A shell with the script in its environment. Nothing runs in it yet, so it is tried again where that helps."""

        def opened(winrm: WinrmChannel) -> str:
            shell: str = winrm.open_shell(
                env_vars=dict(packed.environment), noprofile=True, codepage=_UTF_8, idle_timeout=_IDLE
            )
            return shell

        if self._winrm is None:
            return self._log_in(opened, clock)
        winrm = self._winrm
        try:
            return self._again_if_stale(winrm, lambda: opened(winrm))
        except AuthenticationError:  # the password has been changed meanwhile
            self._reset()
            self._winrm = None
            return self._log_in(opened, clock)
        except BROKEN as error:
            self._reset()
            if unreached(error):
                raise _not_begun(self._place.host, "the connection was lost and could not be reopened") from error
            raise translated(self._place, error) from error

    def _ticket(self) -> TicketLogin | None:
        return TicketLogin(self._place, self._service) if self._service else None

    def _log_in(self, opened: Callable[[WinrmChannel], T], clock: _Clock) -> T:
        def attempt(password: Secret | None, ticket: TicketLogin | None = None) -> T:
            winrm = WinrmChannel(self._place, self._trust, password, ticket)
            try:
                result = opened(winrm)
            except BROKEN as error:
                offered = winrm.transport.adapter.offered
                winrm.transport.reset()
                if not winrm.transport.offers(self._place.auth):
                    raise not_offered(self._place, offered) from None
                if isinstance(error, AuthenticationError) and password is not None:
                    raise WrongPassword from None
                if isinstance(error, HostError):
                    raise
                raise translated(self._place, error) from error
            self._winrm, self._password, self._service = winrm, password, ticket.service if ticket else ""
            self.login = ticket.told if ticket else ""
            return result

        if self._place.auth == "kerberos":
            return by_ticket(self._place, lambda ticket: attempt(None, ticket))
        with clock.stopped():
            return log_in(self._place, self._asker, self._memory, attempt)

    def _again_if_stale(self, winrm: WinrmChannel, ask: Callable[[], T]) -> T:
        """Once more over a new connection, where the old one was gone and so nothing was acted on."""
        try:
            return ask()
        except BROKEN as error:
            if not session_is_gone(error):
                raise
            winrm.transport.reset()
        return ask()

    def _close_shell(self, shell: str) -> None:
        winrm = self._winrm
        assert winrm is not None  # noqa: S101 - a shell is opened by it
        try:
            self._again_if_stale(winrm, lambda: winrm.close_shell(shell, close_session=False))
        except BROKEN:
            self._reset()

    def _reset(self) -> None:
        if self._winrm is not None:
            with contextlib.suppress(*BROKEN):
                self._winrm.transport.reset()

    # -- the script

    def _in_shell(self, shell: str, packed: Packed, lines: Lines, clock: _Clock, deadline: float) -> Answer:
        try:
            command = self._start(shell, packed)
        except (ConnectionLost, _Senseless):
            raise
        except BaseException:
            self._close_shell(shell)
            raise
        try:
            return self._received(shell, command, lines, clock, deadline)
        except (ConnectionLost, _Senseless):
            raise
        except BaseException:  # the listener's own, or the program ends: the script is not left to run on
            self._stop(shell, command)
            raise

    def _start(self, shell: str, packed: Packed) -> str:
        """Begins the script; what is raised but ConnectionLost means that it did not begin."""
        winrm = self._winrm
        assert winrm is not None  # noqa: S101

        def ask() -> str:
            command: str = winrm.run_command(shell, POWERSHELL, packed.arguments)
            return command

        try:
            return self._again_if_stale(winrm, ask)
        except BROKEN as error:
            if fault_code(error):
                raise translated(self._place, error) from error
            if unreached(error):
                raise _not_begun(self._place.host, "the connection broke") from error
            if not of_the_network(error):
                raise self._senseless(error) from error
            raise ConnectionLost(
                f"{self._place.host}: the connection broke while the script was being sent.",
                "It is not known if the script arrived and is running.",
                _LOOK_AGAIN,
            ) from error

    def _received(self, shell: str, command: str, lines: Lines, clock: _Clock, deadline: float) -> Answer:
        winrm = self._winrm
        assert winrm is not None  # noqa: S101
        heard = time.monotonic()
        broken: float | None = None  # since when
        silent = False
        while True:
            if clock.left <= 0 or self._closed:
                self._stop(shell, command)
                raise self._given_up(deadline, time.monotonic() - heard if silent else 0.0)
            winrm.waits(max(1, min(OPERATION_SECONDS, int(clock.left))))
            try:
                out, err, status, done = winrm.get_command_output_raw(shell, command)
            except WinRMOperationTimeoutError:
                heard, broken, silent = time.monotonic(), None, False  # nothing new, but it answers
                time.sleep(_PACE)
                continue
            except BROKEN as error:
                if is_gone(error):
                    raise self._broken("its shell is gone: the host or its WinRM service was restarted") from error
                if isinstance(error, HostError):  # the login over a new connection: a ticket that has expired meanwhile
                    raise self._broken(f"the connection broke and could not be taken up again ({error.why})") from error
                if not fault_code(error) and not of_the_network(error):
                    raise self._senseless(error) from error
                now = time.monotonic()
                broken = broken or now
                silent = is_silence(error)
                if fault_code(error) or (not silent and now - broken > AWAY_SECONDS):
                    raise self._broken("the connection broke") from error
                if silent:
                    lines.tell(f"{self._place.host} has not answered for {now - heard:.0f} s; it is asked again.")
                winrm.transport.reset()
                winrm.repeat()
                time.sleep(min(0.5, max(clock.left, 0.0)))
                continue
            finally:
                winrm.waits(OPERATION_SECONDS)
            broken, silent = None, False
            heard = time.monotonic()
            try:
                lines.feed_errors(err)
                lines.feed(out)
                if done:
                    lines.end()
            except OutOfBounds as error:
                raise unreadable(self._place, error, begun=True) from error
            if done:
                return self._answer(status, lines)
            if not out and not err:
                time.sleep(_PACE)

    def _stop(self, shell: str, command: str) -> None:
        """Ends a script that is no longer waited for."""
        winrm = self._winrm
        if winrm is not None:
            patience = winrm.transport.read_timeout_sec
            winrm.transport.read_timeout_sec = (CONNECT_SECONDS, _HURRY_SECONDS)  # type: ignore[assignment]
            with contextlib.suppress(*BROKEN):
                winrm.cleanup_command(shell, command)
            self._close_shell(shell)
            winrm.transport.read_timeout_sec = patience

    def _given_up(self, deadline: float, silence: float) -> ConnectionLost:
        """`silence`: seconds for which the host has not answered at all; 0: it answers."""
        host = self._place.host
        if self._closed:
            what = f"{host}: dsrwizard stopped waiting for the script."
        elif silence:
            what = f"{host}: it has not answered for {silence:.0f} s while the script ran; dsrwizard stopped waiting."
        else:
            what = f"{host}: the script did not finish within {deadline:g} s; dsrwizard stopped waiting."
        return ConnectionLost(
            what,
            "The host hangs, or its network is cut off; the script may still run there."
            if silence
            else "The host was asked to end it; what it has done is unknown.",
            _LOOK_AGAIN,
        )

    def _broken(self, what: str) -> ConnectionLost:
        return ConnectionLost(
            f"{self._place.host}: {what} while the script ran.",
            "What it had done by then is unknown.",
            _LOOK_AGAIN,
        )

    def _senseless(self, error: Exception) -> _Senseless:
        """What came makes no sense while the script may have run: nobody is asked to end it, the connection goes."""
        found = unreadable(self._place, error, begun=True)
        senseless = _Senseless(found.what, found.why, found.next)
        senseless.begun = True
        return senseless

    def _answer(self, status: int, lines: Lines) -> Answer:
        host, errors = self._place.host, lines.errors
        if lines.wow64:
            raise AnswerUnreadable(
                f"{host}: WinRM there runs a 32-bit PowerShell on a 64-bit Windows.",
                "A 32-bit PowerShell sees another registry and cannot install devices, so the script was not run.",
                "On that host look at: winrm enumerate winrm/config/plugin. The shell must be 64-bit.",
            )
        if not lines.begun:
            told = said(errors or lines.noise) or f"nothing (exit status {status})"
            known = blocked(f"{errors} {lines.noise}")
            if known is not None:
                raise AnswerUnreadable(
                    f"{host}: PowerShell there did not run the script.",
                    f"{known.why} The host says: {told}",
                    known.next,
                )
            raise AnswerUnreadable(
                f"{host}: PowerShell there did not run the script.",
                f"The host says: {told}",
                "A policy may restrict PowerShell (AppLocker, constrained language mode) for"
                f" {self._place.user}, or security software stopped it.",
            )
        return Answer(status=status, stdout=lines.text, stderr=errors)


def _not_begun(host: str, why: str) -> ConnectionLost:
    lost = ConnectionLost(f"{host}: {why}.", "The script was not started.", "Connect again.")
    lost.begun = False
    return lost
