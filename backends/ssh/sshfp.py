"""SSHFP records of a host's name, asked of the resolver of /etc/resolv.conf.

Whether an answer was authenticated is what that resolver says (the AD bit, RFC 6840 5.8). It is believed where
resolv.conf has `options trust-ad` (resolv.conf(5)), and where the resolver is on this machine: on the way from another
one anybody could set that bit.
"""

from __future__ import annotations

import ipaddress
import socket
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from pathlib import Path
from threading import Lock, Thread
from typing import NamedTuple

from dsrwizard.core.intake.sshfp import Sshfp, judged
from dsrwizard.core.model.in_dns import LONGEST, DnsSays

RESOLV_CONF = Path("/etc/resolv.conf")
PORT = 53
_LARGEST = 64 * 1024
"""Characters of resolv.conf that are read."""
_MOST_SERVERS = 3
"""MAXNS of resolv.conf(5)."""
_TRY = 0.9
"""Seconds for one try with one resolver: what is lost is asked for again in time."""
_PAYLOAD = 1232
"""Bytes of an answer by UDP that no path fragments; a longer one comes by TCP."""


class SshfpQuestion:
    """Implements `core.ports.KeyInDns` for a key that a host shows. Asks in a thread of its own, once, when it is first
    asked itself."""

    def __init__(self, name: str, key_type: str, blob: bytes) -> None:
        self._name, self._key_type, self._blob = name, key_type, blob
        self._lock = Lock()
        self._answer: Future[DnsSays] | None = None

    def said(self, within: float = 0.0) -> DnsSays | None:
        with self._lock:
            if self._answer is None:
                self._answer = Future()
                Thread(target=self._ask, args=(self._answer,), name=f"sshfp {self._name}", daemon=True).start()
        try:
            return self._answer.result(max(within, 0.0))
        except NotYet:
            return None

    def _ask(self, answer: Future[DnsSays]) -> None:
        says: DnsSays = "silent"
        try:
            if (looked := look_up(self._name)) is not None:
                says = judged(looked.records, self._key_type, self._blob, authenticated=looked.authenticated)
        finally:
            answer.set_result(says)


def key_in_dns(address: str, key_type: str, blob: bytes) -> SshfpQuestion | None:
    """None for an address, which has no SSHFP records. `blob`: the key as SSH sends it."""
    try:
        socket.getaddrinfo(address, None, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return SshfpQuestion(address, key_type, blob)
    return None


class SshfpAnswer(NamedTuple):
    """What DNS has of a name; nothing of it is text. `authenticated`: a resolver that is believed says so."""

    records: tuple[Sshfp, ...]
    authenticated: bool


def look_up(name: str) -> SshfpAnswer | None:
    """Asks for at most `LONGEST` seconds, for this very name, without a search list, as ssh does. None: there was no
    answer that can be used. Raises nothing."""
    import dns.exception
    import dns.flags
    import dns.resolver

    servers, trusted = _configured()
    resolver = dns.resolver.Resolver(configure=False)
    resolver.timeout = _TRY
    resolver.flags = dns.flags.RD | dns.flags.AD
    resolver.use_edns(0, dns.flags.DO, _PAYLOAD)
    try:
        resolver.port = PORT
        resolver.nameservers = list(servers)
        answer = resolver.resolve(name, "SSHFP", raise_on_no_answer=False, lifetime=LONGEST, search=False)
    except dns.resolver.NXDOMAIN:
        return SshfpAnswer((), authenticated=False)
    except (dns.exception.DNSException, OSError, ValueError):
        return None
    records = tuple(Sshfp(one.algorithm, one.fp_type, one.fingerprint) for one in answer.rrset or ())
    said = bool(answer.response.flags & dns.flags.AD)
    return SshfpAnswer(records, authenticated=said and (trusted or _is_here(answer.nameserver or "")))


def _configured() -> tuple[tuple[str, ...], bool]:
    """The resolvers of resolv.conf, and whether it has `trust-ad`. Without any, it is the one on this machine."""
    try:
        with RESOLV_CONF.open(encoding="utf-8", errors="replace") as file:
            rows = [line.split() for line in file.read(_LARGEST).splitlines()]
    except OSError:
        rows = []
    servers = [row[1] for row in rows if len(row) > 1 and row[0] == "nameserver"]
    trusted = any("trust-ad" in row[1:] for row in rows if row and row[0] == "options")
    return tuple(servers[:_MOST_SERVERS]) or ("127.0.0.1",), trusted


def _is_here(server: str) -> bool:
    try:
        return ipaddress.ip_address(server).is_loopback
    except ValueError:
        return False
