"""known_hosts as sshd(8) describes it: plain, hashed and wildcard names, `[host]:port`, `@revoked`; reading and adding.

Host certificates (`@cert-authority`) are not understood: such a host's plain key counts as unknown.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import hmac
import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock

from backends.ssh.config import matches, stamp
from backends.ssh.expand import File
from dsrwizard import files
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.words import capital

ALGORITHMS = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256"),
}
"""Key types that can be verified here, with the signature algorithms each is negotiated by (RFC 8332 for RSA)."""


_LARGEST = 20_000_000
"""Bytes of a file that is read: some 200,000 hosts."""


@dataclass(frozen=True, slots=True)
class Known:
    """One line of a known_hosts file. `salt` and `digest` are those of a hashed name."""

    file: File
    line: int
    marker: str
    patterns: tuple[str, ...]
    salt: bytes
    digest: bytes
    key_type: str
    blob: bytes

    def names(self, name: str) -> bool:
        if self.salt:
            return hmac.digest(self.salt, name.encode(), "sha1") == self.digest
        return matches(self.patterns, [name])

    @property
    def place(self) -> str:
        return f"{self.file.text} line {self.line}"


@dataclass(frozen=True, slots=True)
class HostKeys:
    """What known_hosts says about one host."""

    names: tuple[str, ...]
    keys: tuple[Known, ...]
    fallback: tuple[Known, ...]
    """Under the name without port: enough to recognise the key, not to call it changed (as in ssh)."""
    revoked: tuple[Known, ...]

    def algorithms(self, default: Sequence[str]) -> tuple[str, ...]:
        """Signature algorithms for the negotiation, those of known keys first: a server with several keys then shows
        the one that is known."""
        known = [each for key in (*self.keys, *self.fallback) for each in ALGORITHMS.get(key.key_type, ())]
        return tuple(dict.fromkeys((*(each for each in known if each in default), *default)))

    def is_revoked(self, blob: bytes) -> Known | None:
        return next((key for key in self.revoked if key.blob == blob), None)

    def has(self, blob: bytes) -> bool:
        return any(key.blob == blob for key in (*self.keys, *self.fallback))

    def conflict(self, key_type: str) -> Known | None:
        """The known key that this host should have shown: of the same type, else of any type it could have shown."""
        same = [key for key in self.keys if key.key_type == key_type]
        return next(iter(same or [key for key in self.keys if key.key_type in ALGORITHMS]), None)


def fingerprint(blob: bytes) -> str:
    """As `ssh` and `ssh-keygen -l` print it: `SHA256:…` without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def removal(known: Known, names: Sequence[str]) -> str:
    """The exact command that takes a host's old keys out of the file."""
    name = next((each for each in names if known.names(each)), names[0])
    return f"ssh-keygen -f {known.file.argument} -R {shlex.quote(name)}"


def host_keys(files: Sequence[File], names: tuple[str, ...]) -> HostKeys:
    """Looks a host up in all files; unreadable files and lines count as empty, as in ssh."""
    lines = [line for file in files for line in _lines(file)]
    here = [line for line in lines if line.names(names[0])]
    there = [line for line in lines if any(line.names(name) for name in names[1:])]
    return HostKeys(
        names=names,
        keys=tuple(line for line in here if not line.marker),
        fallback=tuple(line for line in there if not line.marker),
        revoked=tuple(line for line in (*here, *there) if line.marker == "@revoked"),
    )


_cache: dict[File, tuple[tuple[int, int] | None, tuple[Known, ...]]] = {}
_cache_lock = Lock()


def _lines(file: File) -> tuple[Known, ...]:
    with _cache_lock:
        now = stamp(file.path)
        cached = _cache.get(file)
        if cached and cached[0] == now:
            return cached[1]
        try:
            text = files.read(file.path, _LARGEST, ours=True).decode("utf-8", "surrogateescape")
        except files.NotOurs as error:
            raise HostError(
                f"The known host keys in {file.text} are not used.", f"{capital(error.said)}.", "Then connect again."
            ) from error
        except OSError:
            text = ""
        parsed = (_parse(file, number, line) for number, line in enumerate(text.split("\n"), 1))
        lines = tuple(line for line in parsed if line)
        _cache[file] = (now, lines)
        return lines


def _parse(file: File, number: int, line: str) -> Known | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3:
        return None
    names, key_type, encoded = words[:3]
    salt = digest = b""
    try:
        blob = base64.b64decode(encoded)
        if names.startswith("|1|"):
            salt, digest = (base64.b64decode(part) for part in names[3:].split("|"))
    except (binascii.Error, ValueError):
        return None
    return Known(file, number, marker, tuple(names.split(",")), salt, digest, key_type, blob)


_add_lock = Lock()


def add(file: File, name: str, key_type: str, blob: bytes, *, hashed: bool) -> None:
    """Appends a key (file 0600, directory 0700 where they are made), once, also when many threads and other programs
    append at the same time. Raises OSError."""
    with _add_lock:
        if any(line.names(name) and line.blob == blob and not line.marker for line in _lines(file)):
            return
        written = _hashed(name) if hashed else name
        line = f"{written} {key_type} {base64.b64encode(blob).decode()}\n".encode()
        descriptor = files.opened(file.path, os.O_RDWR | os.O_APPEND, state=False)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            os.write(descriptor, line)
        finally:
            os.close(descriptor)


def _hashed(name: str) -> str:
    salt = os.urandom(20)
    digest = hmac.digest(salt, name.encode(), "sha1")
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"
