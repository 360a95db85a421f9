"""Private keys: which to offer in which order, from files and from the agent; key files with or without passphrase.

The order is that of ssh(1): the key named for this host, keys the agent holds, key files, and key files that need a
passphrase last, so that nobody is asked while another key would do. PROTOCOL.key of OpenSSH describes its file format.
"""

from __future__ import annotations

import base64
import binascii
import io
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import paramiko
from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from backends.ssh.algorithms import PUBLIC_KEYS
from backends.ssh.config import stamp
from backends.ssh.expand import File
from backends.ssh.route import SshRoute
from dsrwizard.core.model.foreign import one_line

_MAGIC = b"openssh-key-v1\0"
_BEGIN = b"BEGIN OPENSSH PRIVATE KEY"
_PUBLIC = ("ssh-", "ecdsa-", "sk-")
_AGENT_SECONDS = 3.0
_LARGEST = 1_000_000
"""Bytes of a key file: more than any key has."""


class KeyProblem(Exception):
    """A key file cannot be used; the text says why in plain words, without the file's name."""


class WrongPassphrase(Exception):
    """The passphrase does not open the key file."""


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A key file before it is opened. `blob` is its public part where that can be had without the passphrase."""

    file: File
    data: bytes
    blob: bytes | None
    encrypted: bool

    @property
    def label(self) -> str:
        return f"key {self.file.text}"

    @property
    def path(self) -> Path:
        return self.file.path


@dataclass(frozen=True, slots=True)
class KeyOffer:
    """A key to be offered: `key` from the agent, or `file` to be opened."""

    label: str
    key: paramiko.PKey | None = None
    file: KeyFile | None = None


def read(file: File) -> KeyFile:
    """Raises KeyProblem; FileNotFoundError is one, too, since its text is the same."""
    try:
        data = _content(file.path)
    except FileNotFoundError as error:
        raise KeyProblem("there is no such file") from error
    except OSError as error:
        raise KeyProblem(f"it cannot be read: {error.strerror}") from error
    blob, encrypted = _public_part(data)
    return KeyFile(file, data, blob or _public_file(file.path), encrypted)


def _content(path: Path) -> bytes:
    """A key file is short and a file: a pipe or a device may never end. /dev/null is how operators write: no key."""
    if path == Path(os.devnull):
        return b""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as opened:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise KeyProblem("it is not an ordinary file")
        data = opened.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise KeyProblem("it is too large to be a key")
    return data


def open_key(file: KeyFile, passphrase: str | None) -> paramiko.PKey:
    """The key itself. Raises WrongPassphrase and KeyProblem."""
    if file.data.startswith(tuple(prefix.encode() for prefix in _PUBLIC)):
        raise KeyProblem("it is a public key, and the agent does not hold its private part")
    password = passphrase.encode() if passphrase is not None and file.encrypted else None
    try:
        try:
            loaded: object = serialization.load_ssh_private_key(file.data, password)
        except ValueError:
            if _BEGIN in file.data:
                raise
            loaded = serialization.load_pem_private_key(file.data, password)
    except (ValueError, TypeError, InvalidTag) as error:
        if file.encrypted:
            raise WrongPassphrase from error
        raise KeyProblem("it is not a readable private key") from error
    except (UnsupportedAlgorithm, binascii.Error) as error:
        raise KeyProblem("its kind of key or encryption is not supported") from error
    key = _as_paramiko(loaded)
    certificate = file.path.with_name(file.path.name + "-cert.pub")
    if certificate.exists():
        try:
            key.load_certificate(str(certificate))
        except (paramiko.SSHException, ValueError, OSError) as error:
            raise KeyProblem("its certificate beside it cannot be read") from error
    return key


def _as_paramiko(loaded: object) -> paramiko.PKey:
    if isinstance(loaded, rsa.RSAPrivateKey):
        return paramiko.RSAKey(key=loaded)
    if isinstance(loaded, ec.EllipticCurvePrivateKey):
        return paramiko.ECDSAKey(vals=(loaded, loaded.public_key()))
    if isinstance(loaded, ed25519.Ed25519PrivateKey):
        plain = loaded.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
        )
        return paramiko.Ed25519Key(file_obj=io.StringIO(plain.decode()))
    raise KeyProblem("its kind of key is not supported; use ed25519, ecdsa or rsa")


def _public_part(data: bytes) -> tuple[bytes | None, bool]:
    """Public blob and whether a passphrase is needed; the OpenSSH format has both in the clear."""
    text = data.decode("ascii", "replace")
    if text.startswith(_PUBLIC):
        return _decoded(text), False
    if _BEGIN.decode() not in text:
        return None, "ENCRYPTED" in text
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    try:
        raw = base64.b64decode(body)
        if not raw.startswith(_MAGIC):
            return None, False
        fields, at = [], len(_MAGIC)
        for number in range(4):
            if number == 3:
                at += 4  # the number of keys, always one
            length = int.from_bytes(raw[at : at + 4], "big")
            fields.append(raw[at + 4 : at + 4 + length])
            at += 4 + length
    except binascii.Error:
        return None, False
    return fields[3], fields[0] not in (b"none", b"")


def _public_file(path: Path) -> bytes | None:
    try:
        return _decoded(_content(path.with_name(path.name + ".pub")).decode())
    except (OSError, ValueError, KeyProblem):
        return None


def _decoded(public: str) -> bytes | None:
    """The blob of a line `type base64 comment`."""
    try:
        return base64.b64decode(public.split()[1])
    except (ValueError, IndexError):
        return None


class Ring:
    """The keys for one login, in the order in which they are to be offered, and what was wrong with others.

    `problems` are whole phrases for the message of a refused login. Close it to let go of the agent.
    """

    def __init__(self, route: SshRoute, *, required: KeyFile | None) -> None:
        self.problems: list[str] = []
        self._agent: paramiko.Agent | None = None
        files = [required] if required else []
        for named in route.key_files:
            if required and named.path == required.path:
                continue
            try:
                files.append(read(named))
            except KeyProblem as problem:
                if stamp(named.path):
                    self.problems.append(f"{named.text}: {problem}")
        held = [key for key in self._agent_keys() if route.algorithms.takes(key.get_name())]
        by_blob = {key.asbytes(): key for key in held}
        files = [file for file in files if self._may_be_offered(route, file)]
        told, left = [], []
        for file in files:
            key = by_blob.pop(file.blob, None) if file.blob else None
            if key:
                told.append(KeyOffer(f"agent key {file.file.text}", key=key))
            else:
                left.append(KeyOffer(file.label, file=file))
        loose = [KeyOffer(f"agent key {_comment(key)}", key=key) for key in by_blob.values()]
        first = [each for each in left if required and each.file is required]
        plain = [each for each in left if each not in first and each.file and not each.file.encrypted]
        locked = [each for each in left if each not in first and each.file and each.file.encrypted]
        self.offers = first + told + ([] if route.identities_only else loose) + plain + locked

    def _may_be_offered(self, route: SshRoute, file: KeyFile) -> bool:
        """Whether a key of this type may be used. Where the file does not tell the type, it is looked at when open."""
        kind = key_type(file.blob) if file.blob else ""
        if not kind or route.algorithms.takes(kind):
            return True
        self.not_allowed(file, kind)
        return False

    def not_allowed(self, file: KeyFile, kind: str) -> None:
        self.problems.append(f"{file.file.text}: {PUBLIC_KEYS.keyword} does not allow {one_line(kind, 64)}")

    def _agent_keys(self) -> tuple[paramiko.PKey, ...]:
        if not os.environ.get("SSH_AUTH_SOCK"):
            return ()
        found: list[paramiko.Agent] = []

        def connect() -> None:
            try:
                found.append(paramiko.Agent())
            except (paramiko.SSHException, OSError, ValueError, IndexError) as error:
                self.problems.append(f"ssh-agent: {error}")

        # An agent forwarded through a dead connection never answers; a thread of its own is the only deadline it has.
        thread = Thread(target=connect, name="ssh-agent", daemon=True)
        thread.start()
        thread.join(_AGENT_SECONDS)
        if thread.is_alive():
            self.problems.append("ssh-agent: it does not answer")
        if not found:
            return ()
        self._agent = found[0]
        return tuple(self._agent.get_keys())

    def close(self) -> None:
        if self._agent:
            self._agent.close()


def key_type(blob: bytes) -> str:
    """The type that a public key's own first field names."""
    return blob[4 : 4 + int.from_bytes(blob[:4], "big")].decode("ascii", "replace")


def _comment(key: paramiko.PKey) -> str:
    return one_line(str(getattr(key, "comment", "") or key.get_name()), 200)
