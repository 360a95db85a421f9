"""pywinrm's protocol with what it lacks: a pinned certificate, sealing that cannot be left out, no proxies, no netrc.

One object per host, used by one thread at a time: NTLM's state belongs to the connection, and pywinrm shares nothing.
"""

from __future__ import annotations

import logging
from typing import Any

import requests
from winrm.encryption import Encryption
from winrm.exceptions import (
    AuthenticationError,
    WinRMError,
    WinRMOperationTimeoutError,
    WinRMTransportError,
    WSManFaultError,
)
from winrm.protocol import Protocol
from winrm.transport import Transport

from backends.winrm.bounds import BoundedAdapter, OutOfBounds, envelope
from backends.winrm.kerberos import TicketLogin
from backends.winrm.place import WinrmListener
from backends.winrm.reach import CONNECT_SECONDS
from backends.winrm.trust import Trust
from dsrwizard.core.model.secret import Secret

OPERATION_SECONDS = 15
"""How long the host may hold back an answer at most, before it says that there is nothing new."""
_GRACE = 10
"""Seconds beyond that until the host counts as silent."""
_SCHEMES = {"ntlm": ("ntlm", "negotiate"), "kerberos": ("kerberos", "negotiate"), "basic": ("basic",)}


class NotSealed(WinRMError):
    """The message would have gone out readable; it was not sent."""


class _Adapter(BoundedAdapter):
    """Pins the certificate where there is a fingerprint, and notes what ways to log in the host offers."""

    def __init__(self, trust: Trust) -> None:
        self._print, self._name = trust.fingerprint, trust.name
        self.offered: set[str] = set()
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        if self._print:
            options["assert_fingerprint"] = self._print
        elif self._name:
            options["server_hostname"] = options["assert_hostname"] = self._name
        super().init_poolmanager(*arguments, **options)

    def send(self, *arguments: Any, **options: Any) -> requests.Response:
        response = super().send(*arguments, **options)
        if 300 <= response.status_code < 400:  # WinRM sends nobody elsewhere; a password is not carried there
            raise WinRMTransportError("http", response.status_code, "")
        if response.status_code == 401:
            for header in response.headers.get("WWW-Authenticate", "").split(","):
                self.offered.add(header.strip().partition(" ")[0].lower())
        return response


class _Transport(Transport):
    """Never sends over plain HTTP what is not sealed: pywinrm does after a failure while it sets up the sealing."""

    def __init__(self, place: WinrmListener, trust: Trust, password: Secret | None, ticket: TicketLogin | None) -> None:
        self._seals, self._ticket = not place.tls, ticket
        self.adapter = _Adapter(trust)
        pinned = bool(trust.fingerprint)
        super().__init__(
            endpoint=place.url,
            username=place.user,
            password=password.reveal() if password else "",
            ca_trust_path=trust.authorities,
            read_timeout_sec=OPERATION_SECONDS + _GRACE,
            server_cert_validation="ignore" if pinned else "validate",  # the adapter looks at the fingerprint
            # pywinrm's Kerberos stands on a package that nobody keeps; the login below takes the place of Basic,
            # which pywinrm only sets and never sends by itself.
            auth_method="basic" if ticket else place.auth,
            message_encryption="auto",
            proxy="",  # for None requests sets a variable of the whole process, and threads take it from each other
        )
        # requests takes both; pywinrm only hands it on
        self.read_timeout_sec = (CONNECT_SECONDS, OPERATION_SECONDS + _GRACE)  # type: ignore[assignment]

    def build_session(self) -> requests.Session:
        if self.session is not None:
            return self.session
        try:
            session = super().build_session()
        except BaseException:
            self.reset()
            raise
        self._prepare(session)
        if self._ticket is not None:
            try:
                self._log_in_by_ticket(session, self._ticket)
            except BaseException:
                self.reset()
                raise
        return session

    def _log_in_by_ticket(self, session: requests.Session, ticket: TicketLogin) -> None:
        """Before anything is sent. Over plain HTTP the login comes first, alone, and gives the key."""
        ticket.restart()
        session.auth = ticket
        if not self._seals:
            return
        empty = session.prepare_request(requests.Request("POST", self.endpoint))
        status = session.send(empty, timeout=self.read_timeout_sec).status_code
        if status == 401:
            raise AuthenticationError("no ticket was asked for")
        if status >= 400:
            raise WinRMTransportError("http", status, "")
        if not ticket.complete:
            raise NotSealed("nobody asked for a login")
        self.encryption = Encryption(session, "kerberos")

    def setup_encryption(self, session: requests.Session) -> None:
        self._prepare(session)  # it sends the first message
        super().setup_encryption(session)
        if self.auth_method == "ntlm" and getattr(session.auth, "session_security", None) is None:
            raise NotSealed("nobody asked for a login")

    def send_message(self, message: str | bytes) -> bytes:
        self.build_session()
        if self._seals and self.encryption is None:
            raise NotSealed("there is nothing to seal the message with")
        return super().send_message(message)

    def _get_message_response_text(self, response: requests.Response) -> bytes:
        """What is returned here is made into a tree."""
        text = super()._get_message_response_text(response)
        try:
            return envelope(text)
        except OutOfBounds:
            if response.ok:
                raise
            return b""  # another web server's page; the status says enough

    def reset(self) -> None:
        """Drops the connection and the keys that belong to it; the next message logs in again."""
        self.close_session()
        self.encryption = None

    def offers(self, auth: str) -> bool:
        """Whether the host offers this way to log in, as far as it was heard."""
        return not self.adapter.offered or bool(self.adapter.offered & set(_SCHEMES[auth]))

    def _prepare(self, session: requests.Session) -> None:
        session.proxies.clear()
        session.trust_env = False  # no netrc, no CA bundle and no proxy of the environment
        session.mount("http://", self.adapter)
        session.mount("https://", self.adapter)


class WinrmChannel(Protocol):
    """WS-Management with one host."""

    transport: _Transport

    def __init__(
        self, place: WinrmListener, trust: Trust, password: Secret | None, ticket: TicketLogin | None = None
    ) -> None:
        super().__init__(
            endpoint=place.url,
            transport="basic" if ticket else place.auth,
            username=place.user,
            password="",  # the transport below has it
            read_timeout_sec=OPERATION_SECONDS + _GRACE,
            operation_timeout_sec=OPERATION_SECONDS,
            proxy=None,
        )
        self.transport = _Transport(place, trust, password, ticket)
        self._unanswered: str | None = None
        self._repeats = False

    def repeat(self) -> None:
        """The next message is the last one again, with its MessageID, if that had no answer: Windows keeps answers by
        MessageID, so what the lost answer held is in this one (MS-WSMV; PowerShell's own remoting does the same)."""
        self._repeats = True

    def send_message(self, message: str) -> bytes:
        repeats, self._repeats = self._repeats, False
        if not repeats or self._unanswered is None:
            self._unanswered = message
        try:
            answer = super().send_message(self._unanswered)
        except (WSManFaultError, WinRMOperationTimeoutError):
            self._unanswered = None
            raise
        self._unanswered = None
        return answer

    def waits(self, seconds: int) -> None:
        """How long the host may hold back its next answers: then it says that there is nothing new."""
        self.operation_timeout_sec = seconds
        self.transport.read_timeout_sec = (CONNECT_SECONDS, seconds + _GRACE)  # type: ignore[assignment]


def _silence() -> None:
    """What these libraries log holds requests and tokens; what matters reaches the operator as a HostError."""
    for name in ("urllib3", "requests", "spnego", "requests_ntlm", "winrm"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
        logger.addHandler(logging.NullHandler())


_silence()
