"""A host key, judged by the SSHFP records of its host's name (RFC 4255, RFC 6594, RFC 7479, RFC 8709). Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from dsrwizard.core.intake.known_keys import SSHFP_ALGORITHMS, key_kind
from dsrwizard.core.model.in_dns import DnsSays

_SHA1, _SHA256 = 1, 2
_LENGTHS = {_SHA1: 20, _SHA256: 32}


class Sshfp(NamedTuple):
    """One record as it stands in DNS: two numbers and the bytes of the fingerprint, of any length."""

    algorithm: int
    digest_type: int
    digest: bytes


def judged(records: Iterable[Sshfp], key_type: str, blob: bytes, *, authenticated: bool) -> DnsSays:
    """What the records of a name say of the key that its host shows.

    `key_type` and `blob` as SSH sends them. `authenticated`: a resolver that is believed has checked the signatures.
    As in OpenSSH (dns.c, sshconnect.c), every record of the key's algorithm has to match, and a name that has records
    of other algorithms alone has another key. What is malformed or of an unknown kind counts as not there.
    """
    usable = [
        record
        for record in records
        if str(record.algorithm) in SSHFP_ALGORITHMS and len(record.digest) == _LENGTHS.get(record.digest_type)
    ]
    if not usable:
        return "none"
    mine = [record for record in usable if SSHFP_ALGORITHMS[str(record.algorithm)] == key_kind(key_type)]
    digests = {
        _SHA1: hashlib.sha1(blob, usedforsecurity=False).digest(),
        _SHA256: hashlib.sha256(blob).digest(),
    }
    if not mine or any(record.digest != digests[record.digest_type] for record in mine):
        return "differs"
    if all(record.digest_type == _SHA1 for record in mine):
        return "weak"
    return "signed" if authenticated else "unsigned"
