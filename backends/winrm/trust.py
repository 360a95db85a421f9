"""The TLS certificate: signed by a trusted authority, known, changed, or new and then the operator's decision.

Accepted certificates are remembered in `<state>/known_certificates`, one per line: address, port, SHA-256 in hex. That
very certificate is then asked for, whatever its name and age: nothing is left unchecked.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Protocol

from cryptography import x509

from backends.winrm.certificate import common_name, day, is_for, names_of
from backends.winrm.reach import ShownCertificate
from dsrwizard import files
from dsrwizard.core.model.errors import HostError, HostKeyChanged, HostKeyUnknown
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.words import capital
from dsrwizard.core.ports import SHOW_CERTIFICATES, Asker, CertificateOf, HostKeyQuestion
from dsrwizard.files import state_dir

# What cryptography thinks of an odd certificate is no news for an operator's terminal.
warnings.filterwarnings("ignore", module=__name__.replace(".", r"\."))

_SELF_SIGNED, _UNKNOWN_ISSUER = (18,), (2, 19, 20, 21)
_EXPIRED, _NOT_YET = (10,), (9,)
_NAME = 40
"""Characters of a name that a certificate gives itself: fewer than a fingerprint has, so that none is taken for one."""


class CertifiedPlace(Protocol):
    """Where a certificate is shown: a WinRM listener, the management of an appliance. `host` is its name in messages;
    `listener` the command that shows there what listens, `certificate_of` which one prints the fingerprint; `by_name`
    the key of the deployment file for the name to verify, empty: there is none."""

    @property
    def host(self) -> str: ...
    @property
    def address(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def at(self) -> str: ...
    @property
    def ca_file(self) -> Path | None: ...
    @property
    def authorities(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def listener(self) -> str: ...
    @property
    def certificate_of(self) -> CertificateOf: ...
    @property
    def by_name(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Trust:
    """How the certificate is checked at every connection: by authorities and name, or by its SHA-256 alone."""

    authorities: str = ""
    fingerprint: str = ""
    name: str = ""
    """The name to verify, where it is not the address."""


def known_file() -> Path:
    """Where accepted certificates are remembered."""
    return state_dir() / "known_certificates"


def fingerprint(der: bytes) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(der).hexdigest().upper()


def check_certificate(place: CertifiedPlace, shown: ShownCertificate, asker: Asker) -> Trust:
    """Returns when the certificate is trusted, known, or has just been accepted, and then written down.

    Raises HostKeyChanged, and HostKeyUnknown: also, without a question, where `ca_file` names an authority that has
    not signed it. A changed certificate is never offered for acceptance. Raises HostError for what is no certificate.
    """
    try:
        found = x509.load_der_x509_certificate(shown.der)
    except Exception as error:  # whatever a parser makes of foreign bytes
        raise HostError(
            f"{place.host}: the certificate of {place.at} cannot be read.",
            f"{type(error).__name__} while it was read; the handshake accepted it.",
            f"Give the listener another certificate. On that host: {place.listener}",
        ) from error
    if shown.verified and place.name and is_for(found, place.name):
        return Trust(authorities=place.authorities, name=place.name)
    if shown.verified and is_for(found, place.address):
        return Trust(authorities=place.authorities)
    print_ = fingerprint(shown.der)
    why = _why(place, found, shown)
    if place.ca_file is not None and shown.code in (*_SELF_SIGNED, *_UNKNOWN_ISSUER):
        raise HostKeyUnknown(
            f"{place.host}: the certificate of {place.at} was not signed by {place.ca_file}.",
            f"{why} Its SHA-256 is {print_}.",
            "Name in ca_file the authority that signed it; or leave ca_file out to decide by the fingerprint.",
        )
    file = known_file()
    known = recall(file, place.address, place.port)
    if known == print_:
        return Trust(fingerprint=print_)
    if known:
        raise HostKeyChanged(
            f"{place.host}: the certificate of {place.at} has CHANGED.",
            f"It shows SHA-256 {print_}; {file} has {known}."
            " Either the host got a new one, or someone is intercepting the connection.",
            f"Ask the host's owner what this prints there: {SHOW_CERTIFICATES[place.certificate_of]}."
            f" Only if it matches, run: {removal(file, place)}"
            + (
                f" With {place.by_name} = {_called(names_of(found))} it is verified instead."
                if shown.verified and place.by_name
                else ""
            ),
        )
    question = HostKeyQuestion(
        host=place.host,
        address=place.at,
        key_type=_described(found),
        fingerprint=f"SHA256:{print_}",
        untrusted=why,
        certificate_of=place.certificate_of,
    )
    if not asker.accept_key(question):
        raise HostKeyUnknown(
            f"{place.host}: the certificate of {place.at} is not trusted and was not accepted.",
            f"{why} It shows SHA-256 {print_}.",
            f"Compare it with what this prints on that host: {SHOW_CERTIFICATES[place.certificate_of]}."
            f" Then accept it; or {_other_way(place, shown, found)}.",
        )
    try:
        remember(file, place.address, place.port, print_)
    except OSError as error:
        raise HostKeyUnknown(
            f"{place.host}: its accepted certificate cannot be written to {file}.",
            f"The system says: {error.strerror or error}.",
            "Make that file writable.",
        ) from error
    return Trust(fingerprint=print_)


def _why(place: CertifiedPlace, found: x509.Certificate, shown: ShownCertificate) -> str:
    """Why it is not trusted, in one sentence."""
    if shown.verified:
        wanted = f"{place.name} or {place.address}" if place.name else place.address
        return f"A trusted authority signed it, but for {_called(names_of(found))}, not for {wanted}."
    if shown.code in _SELF_SIGNED:
        return "It is self-signed: no authority vouches for it."
    if shown.code in _UNKNOWN_ISSUER:
        return f"Its issuer, {_called(common_name(found, 'issuer'))}, is not trusted here."
    if shown.code in _EXPIRED:
        return f"It expired on {day(found, 'not_valid_after_utc')}; today is {datetime.now(UTC):%Y-%m-%d}."
    if shown.code in _NOT_YET:
        return f"It is valid from {day(found, 'not_valid_before_utc')} only; today is {datetime.now(UTC):%Y-%m-%d}."
    return f"It could not be verified: {shown.problem}."


def _other_way(place: CertifiedPlace, shown: ShownCertificate, found: x509.Certificate) -> str:
    """What makes the question needless."""
    if shown.verified and place.by_name and names_of(found):
        return f"set {place.by_name} to the name it is for, {_called(names_of(found))}"
    return "set ca_file to the authority that signed it"


def _described(found: x509.Certificate) -> str:
    return f"certificate for {_called(names_of(found))}, valid until {day(found, 'not_valid_after_utc')}"


def _called(names: list[str]) -> str:
    """The names as a certificate gives them, which anybody may have written: the first in quotes, made harmless and
    short, the others counted."""
    if not names:
        return "nobody"
    first = one_line(names[0].replace('"', "'"), _NAME)
    return f'"{first}" and {len(names) - 1} more' if names[1:] else f'"{first}"'


_lock = Lock()
_LARGEST = 20_000_000
"""Bytes of the file that are read: some 200,000 hosts."""


def recall(file: Path, address: str, port: int) -> str:
    """The remembered SHA-256, or empty; the last line counts. An unreadable file counts as empty. Raises HostError for
    one that another user could have written."""
    try:
        lines = files.read(file, _LARGEST, ours=True).decode("ascii", "replace").splitlines()
    except files.NotOurs as error:
        raise HostError(
            f"The known certificates in {file} are not used.", f"{capital(error.said)}.", "Then connect again."
        ) from error
    except OSError:
        return ""
    found = [line.split() for line in lines]
    return next((words[2].upper() for words in reversed(found) if words[:2] == [address, str(port)] and words[2:]), "")


def remember(file: Path, address: str, port: int, print_: str) -> None:
    """Appends a line (file 0600, directory 0700 where they are made). Raises OSError."""
    with _lock:
        descriptor = files.opened(file, os.O_WRONLY | os.O_APPEND)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            os.write(descriptor, f"{address} {port} {print_}\n".encode())
        finally:
            os.close(descriptor)


def removal(file: Path, place: CertifiedPlace) -> str:
    """The exact command that takes a host's old certificate out of the file."""
    pattern = f"/^{place.address.replace('.', '[.]')} {place.port} /d"
    return f"sed -i {shlex.quote(pattern)} {shlex.quote(str(file))}"
