"""The way to an appliance's management: TLS with a certificate that is verified or pinned, as with WinRM."""

from __future__ import annotations

import errno
import socket
import ssl
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from backends.winrm.place import system_bundle
from backends.winrm.reach import ShownCertificate, judged
from dsrwizard.core.model.deployment import Balancer
from dsrwizard.core.model.errors import ConnectionRefused, ConnectTimeout, HostError
from dsrwizard.core.ports import CertificateOf

CONNECT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class ManagementApi:
    """How one make is managed. `host` is its name in messages, `port` and `path` those of its API; `listener` the
    command that shows there what listens, `settings` what its HTTPS is set to."""

    host: str
    port: int
    path: str
    certificate_of: CertificateOf
    listener: str
    settings: str


@dataclass(frozen=True, slots=True)
class Management:
    """One management address. The fields as of `WinrmListener`."""

    api: ManagementApi
    address: str
    port: int
    user: str
    ca_file: Path | None
    authorities: str
    name: str = ""
    by_name: str = ""

    @property
    def host(self) -> str:
        return self.api.host

    @property
    def certificate_of(self) -> CertificateOf:
        return self.api.certificate_of

    @property
    def listener(self) -> str:
        return self.api.listener

    @property
    def url(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"https://{shown}:{self.port}{self.api.path}"

    @property
    def at(self) -> str:
        shown = f"[{self.address}]" if ":" in self.address else self.address
        return f"{shown} port {self.port}"


def management(api: ManagementApi, balancer: Balancer, address: str) -> Management:
    """Raises HostError for a ca_file that cannot be used."""
    ca_file = Path(balancer.ca_file).expanduser() if balancer.ca_file else None
    if ca_file is not None:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(str(ca_file))
        except OSError as error:  # ssl.SSLError is one
            raise HostError(
                f"The CA file {ca_file} cannot be used.",
                "It holds no certificate in PEM form." if isinstance(error, ssl.SSLError) else f"{error.strerror}.",
                "Correct ca_file under [balancer], or remove it to decide by the fingerprint.",
            ) from error
    return Management(
        api=api, address=address, port=balancer.port or api.port, user=balancer.user or "", ca_file=ca_file,
        authorities=str(ca_file) if ca_file else system_bundle(),
    )  # fmt: skip


def shown_certificate(place: Management) -> ShownCertificate:
    """The certificate as it is shown now, its chain judged apart from its name. Raises ConnectionRefused,
    ConnectTimeout, HostError."""
    return judged(partial(_shake_hands, place), place.authorities)


def _shake_hands(place: Management, context: ssl.SSLContext) -> bytes:
    try:
        raw = socket.create_connection((place.address, place.port), CONNECT_SECONDS)
    except OSError as error:
        raise no_connection(place, error) from error
    with raw:
        try:
            with context.wrap_socket(raw, server_hostname=place.address) as sock:
                return sock.getpeercert(binary_form=True) or b""
        except ssl.SSLCertVerificationError:
            raise
        except (ssl.SSLError, OSError) as error:
            raise HostError(
                f"{place.host}: {place.at} ended the connection in the TLS handshake.",
                "The port belongs to something else, or both have no version of TLS in common.",
                f"Write the port of its HTTPS management under [balancer]; on it: {place.api.settings}",
            ) from error


def no_connection(place: Management, error: OSError) -> HostError:
    if isinstance(error, ConnectionRefusedError):
        return ConnectionRefused(
            f"{place.host}: {place.at} refused the connection.", "Nothing listens there.",
            f"Write its management address and the port of HTTPS under [balancer]; on it: {place.listener}",
        )  # fmt: skip
    if isinstance(error, TimeoutError) or error.errno in (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH):
        return ConnectTimeout(
            f"{place.host}: {place.at} does not answer.", "It is down, or a firewall drops the packets.",
            "Check the address, and that this machine may reach the management network.",
        )  # fmt: skip
    return HostError(f"{place.host}: {place.at} cannot be reached.", f"The system says: {error.strerror or error}.")
