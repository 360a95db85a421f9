"""Fingerprints of SSH host keys from a file that somebody keeps: known_hosts and ssh-keyscan (sshd(8)), ssh-keygen -l,
SSHFP records (RFC 4255, RFC 6594). Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from typing import Literal, NamedTuple

_TYPES = {"ssh-ed25519": "ed25519", "ssh-ed448": "ed448", "ssh-rsa": "rsa", "ssh-dss": "dsa"}
SSHFP_ALGORITHMS = {"1": "rsa", "2": "dsa", "3": "ecdsa", "4": "ed25519", "6": "ed448"}
"""RFC 4255, RFC 6594, RFC 7479, RFC 8709."""
_SSHFP = re.compile(r"(\S+)\s+(?:\d+\s+)?(?:IN\s+)?SSHFP\s+([1-46])\s+2\s+([0-9A-Fa-f\s]{64,})", re.IGNORECASE)
_PRINTED = re.compile(r"\d+ (SHA256:[A-Za-z0-9+/]{43})=? (.*?) ?\((\w+)\)$")
_MOST = 200_000
"""Lines that are read."""


class KeptKey(NamedTuple):
    """A fingerprint as `ssh` prints it, the hosts that it is for, and the kind of key."""

    hosts: tuple[str, ...]
    kind: str
    fingerprint: str


def kept_keys(text: str) -> list[KeptKey]:
    """Every key of the text. What is not understood is left out, and so are revoked keys and authorities."""
    found = (_key(line.strip()) for line in text.splitlines()[:_MOST])
    return [key for key in found if key is not None]


def compared(
    keys: Iterable[KeptKey], names: Iterable[str], key_type: str, fingerprint: str
) -> Literal["same", "differs", "unknown"]:
    """What the file says of a host that shows this key. `names`: its name and address."""
    wanted = [name.lower() for name in names if name]
    kind = key_kind(key_type)
    about = [key for key in keys if key.kind == kind and any(_is(host, name) for host in key.hosts for name in wanted)]
    if any(key.fingerprint == fingerprint for key in about):
        return "same"
    return "differs" if about else "unknown"


def _key(line: str) -> KeptKey | None:
    if not line or line.startswith(("#", ";", "@")):
        return None
    if record := _SSHFP.match(line):
        owner, algorithm, digits = record.groups()
        try:
            digest = bytes.fromhex("".join(digits.split()))
        except ValueError:
            return None
        owner = owner.rstrip(".").lower()
        return KeptKey((owner, owner.partition(".")[0]), SSHFP_ALGORITHMS[algorithm], _printed(digest))
    if printed := _PRINTED.match(line):
        comment = printed[2].lower()
        return KeptKey((comment, comment.rpartition("@")[2]), printed[3].lower(), printed[1])
    hosts, _, rest = line.partition(" ")
    words = rest.split()
    if len(words) < 2:
        return None
    try:
        blob = base64.b64decode(words[1], validate=True)
    except (binascii.Error, ValueError):
        return None
    return KeptKey(tuple(hosts.split(",")), key_kind(words[0]), _printed(hashlib.sha256(blob).digest()))


def key_kind(key_type: str) -> str:
    """`rsa`, `ecdsa` and so on, from the name that SSH has for a key's type."""
    return _TYPES.get(key_type, "ecdsa" if key_type.startswith("ecdsa-") else key_type)


def _printed(digest: bytes) -> str:
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def _is(host: str, name: str) -> bool:
    """Whether an entry's host is this one: plain, hashed, or with a port."""
    if host.startswith("|1|"):
        _, _, salt, digest = [*host.split("|"), "", ""][:4]
        try:
            made = hmac.digest(base64.b64decode(salt), name.encode(), "sha1")
            return hmac.compare_digest(made, base64.b64decode(digest))
        except (binascii.Error, ValueError):
            return False
    bare = host.lower()
    return name in (bare, bare.partition("]")[0].removeprefix("[") if bare.startswith("[") else bare)
