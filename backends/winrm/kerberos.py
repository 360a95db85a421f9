"""Login by Kerberos: the ticket at hand, for WSMAN or HTTP of the host's name, and what its refusal means."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, TypeVar

import requests
from cryptography import x509
from requests.auth import AuthBase
from winrm.exceptions import WinRMTransportError

from backends.winrm.gssapi import ClientContext, GssError, Ticket
from backends.winrm.place import WinrmListener
from dsrwizard.core.model.errors import HostError, LoginRefused
from dsrwizard.core.model.foreign import one_line

# krb5.h: KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN, KRB5KRB_AP_ERR_TKT_EXPIRED, KRB5KRB_AP_ERR_SKEW, and KRB5_REALM_UNKNOWN,
# KRB5_KDC_UNREACH, KRB5_REALM_CANT_RESOLVE
_SERVICE_UNKNOWN, _EXPIRED, _SKEW = -1765328377, -1765328352, -1765328347
_NO_KDC = (-1765328230, -1765328228, -1765328164)
_SAID = 200
_NEGOTIATE = re.compile(r"(?:^|,)\s*Negotiate(?:\s+([A-Za-z0-9+/=]+))?\s*(?=,|$)", re.I)
T = TypeVar("T")


class TicketRefused(LoginRefused):
    """The domain has no such service, or the host did not take the ticket: another service may do."""


def by_ticket(place: WinrmListener, attempt: Callable[[TicketLogin], T]) -> T:
    """What `attempt` returns with the first service whose ticket is taken. No password is in this, so that nothing can
    be locked by it. Raises LoginRefused and HostError, and whatever else `attempt` raises."""
    refused: list[tuple[str, LoginRefused]] = []
    for service in place.services:
        try:
            login = TicketLogin(place, service)
            if refused:
                login.instead = refused[-1][1].why
            return attempt(login)
        except TicketRefused as error:
            refused.append((service, error))
    first = refused[0][1]
    if len(refused) == 1:
        raise first
    both = " ".join(f"{service}: {error.why}" for service, error in refused)
    raise LoginRefused(first.what, both, refused[-1][1].next) from first


class TicketLogin(AuthBase):
    """One login after the other, each with a security context of its own: Windows keeps one for each connection.

    Raises HostError where there is no name for the host, LoginRefused where there is no ticket to log in with.
    """

    def __init__(self, place: WinrmListener, service: str) -> None:
        self.place, self.service = place, service
        self.name = place.name or _looked_up(place)
        self._ticket = ticket_for(place)
        self._context: ClientContext | None = None
        self.instead = ""
        """Why it is not the service that was tried first."""

    @property
    def told(self) -> str:
        """Who is logged in, and by what, in a sentence."""
        instead = f" {self.instead}" if self.instead else ""
        return f"Kerberos, as {self._ticket.principal}, by a ticket for {self.service}/{self.name}.{instead}"

    @property
    def complete(self) -> bool:
        """Whether host and ticket have proved themselves to each other."""
        return self._context is not None and self._context.complete

    def restart(self) -> None:
        """For a new connection."""
        self._context = None

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.register_hook("response", self._answered)
        return request

    def _answered(self, response: requests.Response, **options: Any) -> requests.Response:
        found = _NEGOTIATE.search(response.headers.get("WWW-Authenticate", ""))
        if response.status_code != 401 or found is None:
            return response
        request = response.request
        if "multipart/encrypted" in str(request.headers.get("Content-Type", "")):
            # The connection that it was sealed for is gone, and the host did not read it: as it says to NTLM.
            raise WinRMTransportError("http", 400, "")
        binding = _binding(response)
        _ = response.content  # read, so that the connection can be used again
        response.raw.release_conn()
        context = ClientContext(self._ticket, f"{self.service}/{self.name}@", binding)
        token = self._step(context, b"")
        again = request.copy()
        again.headers["Authorization"] = f"Negotiate {base64.b64encode(token).decode()}"
        answer: requests.Response = response.connection.send(again, **options)
        answer.history.append(response)
        answer.request = again
        self._prove(context, answer)
        self._context = context
        return answer

    def _prove(self, context: ClientContext, answer: requests.Response) -> None:
        """The host's own proof, without which nothing it says counts."""
        if answer.status_code == 401:
            raise self._not_taken()
        found = _NEGOTIATE.search(answer.headers.get("WWW-Authenticate", ""))
        if found is not None and found[1] and not context.complete:
            try:
                self._step(context, base64.b64decode(found[1]))
            except ValueError:
                raise self._no_proof() from None
        if not context.complete:
            raise self._no_proof()

    def _step(self, context: ClientContext, token: bytes) -> bytes:
        try:
            return context.step(token)
        except GssError as error:
            raise self._told(error, proving=bool(token)) from error

    # pywinrm's names for sealing

    def wrap_winrm(self, host: str, message: bytes) -> tuple[bytes, bytes]:
        return self._keys().wrap(message)

    def unwrap_winrm(self, host: str, message: bytes, header: bytes) -> bytes:
        return self._keys().unwrap(message, header)

    def _keys(self) -> ClientContext:
        assert self._context is not None  # noqa: S101 - sealing is set up by a login
        return self._context

    # what went wrong

    @property
    def _what(self) -> str:
        return f"{self.place.host}: login by Kerberos at {self.place.at} as {self._ticket.principal} failed."

    def _told(self, error: GssError, *, proving: bool) -> LoginRefused:
        what, principal, target = self._what, self._ticket.principal, f"{self.service}/{self.name}"
        code, told = _krb5(error), one_line(str(error), _SAID)
        if error.expired or code == _EXPIRED:
            return LoginRefused(what, "The ticket has expired.", f"Get a new one: {kinit(principal)}")
        if code == _SKEW:
            return LoginRefused(
                what,
                "The clock of this machine and the domain's are more than five minutes apart.",
                "Set this machine's clock (timedatectl), and compare it with the domain controller's.",
            )
        if code == _SERVICE_UNKNOWN:
            return TicketRefused(
                what,
                f"The domain knows no {target}.",
                f"Correct dns_name (now {self.name}): the full name of the host in the domain. There, setspn -L"
                f" {self.name.partition('.')[0]} lists what it is known as.",
            )
        if code in _NO_KDC:
            return LoginRefused(
                what,
                f"No domain controller could be asked for {target}. Kerberos says: {told}",
                "Check DNS, and the realms in /etc/krb5.conf: [domain_realm] says which one the host's name is in.",
            )
        if proving:
            return self._no_proof()
        return TicketRefused(
            what,
            f"There is no ticket for {target}. Kerberos says: {told}",
            f"Check dns_name (now {self.name}) and the ticket: klist, {kinit(principal)}",
        )

    def _not_taken(self) -> TicketRefused:
        return TicketRefused(
            self._what,
            f"The host did not take the ticket for {self.service}/{self.name}: that name may belong to another host, or"
            f" to another account (an IIS pool's, with HTTP), its clock may be five minutes off, or"
            f" {self._ticket.principal} may be denied access to it from the network.",
            f"Check dns_name, the clock there, and on a domain controller: setspn -Q {self.service}/{self.name}",
        )

    def _no_proof(self) -> LoginRefused:
        return LoginRefused(
            f"{self.place.host}: {self.place.at} did not prove to be {self.name}.",
            "Its answer to the Kerberos login was not made with that host's key.",
            "Another host may have this address: compare address and dns_name.",
        )


def ticket_for(place: WinrmListener) -> Ticket:
    """The ticket of the account that the deployment names, or the one at hand. Raises LoginRefused."""
    wanted = place.user if place.user_given else ""
    try:
        ticket: Ticket | None = Ticket()
    except GssError as error:
        if not wanted or error.expired:
            raise _no_ticket(place, wanted, error) from error
        ticket = None
    if not wanted or (ticket is not None and is_same(wanted, ticket.principal)):
        assert ticket is not None  # noqa: S101
        return ticket
    name, at, realm = wanted.rpartition("@")
    if at:
        try:
            return Ticket(f"{name}@{realm.upper()}")
        except GssError as error:
            raise _no_ticket(place, wanted, error, ticket) from error
    has = f"The ticket at hand is for {ticket.principal}." if ticket else "There is no ticket at hand."
    raise LoginRefused(
        f"{place.host}: there is no ticket for {wanted}.",
        f"{has} Kerberos does not know the short name of a domain.",
        'Write user = "name@REALM" for this server, with the realm as klist shows it, or leave user out for the'
        " ticket at hand.",
    )


def is_same(user: str, principal: str) -> bool:
    """Whether `user`, as Windows writes it, is this principal: `name@realm` and the name alone in any case, and
    `DOM\\name` where DOM begins the realm's name."""
    name, _, realm = principal.lower().rpartition("@")
    user = user.lower()
    if "\\" in user:
        domain, _, user = user.partition("\\")
        return user == name and domain in (realm, realm.partition(".")[0])
    return user in (f"{name}@{realm}", name)


def kinit(principal: str) -> str:
    """The command that gets a ticket where dsrwizard looks for it."""
    return f"kinit {principal}" if os.geteuid() else f"kinit {principal} (as root, which dsrwizard runs as here)"


def _no_ticket(place: WinrmListener, wanted: str, error: GssError, there: Ticket | None = None) -> LoginRefused:
    who = wanted or "user@REALM"
    name, at, realm = who.rpartition("@")
    who = f"{name}@{realm.upper()}" if at else who
    if error.expired or _krb5(error) == _EXPIRED:
        why = "The ticket at hand has expired."
    elif there is not None:
        why = f"The ticket at hand is for {there.principal}."
    else:
        cache = one_line(os.environ.get("KRB5CCNAME", ""), 100) or "the default cache, which klist shows"
        why = f"There is none in {cache}."
        if os.environ.get("SUDO_UID") and "KRB5CCNAME" not in os.environ:
            why += " With sudo, that is root's cache, not yours."
    return LoginRefused(
        f"{place.host}: there is no ticket to log in with{f' as {wanted}' if wanted else ''}.",
        f"{why} Kerberos says: {one_line(str(error), _SAID)}",
        f"Get one: {kinit(who)}",
    )


def _krb5(error: GssError) -> int:
    """Which of krb5.h's errors it is."""
    return error.code - (1 << 32)


def _looked_up(place: WinrmListener) -> str:
    """The host's name by reverse DNS: Kerberos knows hosts by name only."""
    try:
        ip_address(place.address)
    except ValueError:
        return place.address.rstrip(".").lower()
    try:
        return socket.gethostbyaddr(place.address)[0].lower()
    except OSError as error:
        raise HostError(
            f"{place.host}: Kerberos needs the host's name, and {place.address} has none.",
            "There is no dns_name in the deployment, and no reverse DNS record.",
            'Write dns_name = "web1.corp.example" (its full name in the domain) for this server, or auth = "ntlm".',
        ) from error


def _binding(response: requests.Response) -> bytes:
    """The channel binding of the TLS connection that an answer came by (RFC 5929, section 4.1); none without TLS."""
    sock = getattr(response.raw.connection, "sock", None)
    if not isinstance(sock, ssl.SSLSocket):
        return b""
    der = sock.getpeercert(binary_form=True) or b""
    algorithm = x509.load_der_x509_certificate(der).signature_hash_algorithm
    name = algorithm.name if algorithm is not None and algorithm.name not in ("md5", "sha1") else "sha256"
    return b"tls-server-end-point:" + hashlib.new(name, der).digest()
