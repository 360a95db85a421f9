"""The host key: known, revoked, changed, or new and then the operator's decision."""

from __future__ import annotations

import paramiko

from backends.ssh.known import HostKeys, add, fingerprint, removal
from backends.ssh.route import SshRoute
from backends.ssh.sshfp import key_in_dns
from dsrwizard.core.model.errors import HostError, HostKeyChanged, HostKeyUnknown
from dsrwizard.core.ports import Asker, HostKeyQuestion

_SMALLEST = 1024
"""Bits of an RSA key, as in OpenSSH (RequiredRSASize)."""


def check_key(route: SshRoute, known: HostKeys, key: paramiko.PKey, asker: Asker) -> None:
    """Returns when the key is known or has just been accepted, and then written to known_hosts.

    Raises HostKeyChanged, also for a revoked key and for a known key of another type that is not shown any more, and
    HostKeyUnknown. A changed key is never offered for acceptance.
    """
    blob, kind = key.asbytes(), key.get_name()
    if kind == "ssh-rsa" and key.get_bits() < _SMALLEST:
        raise HostError(
            f"{route.host}: the host key of {route.at} is too short to be trusted.",
            f"It is an RSA key of {key.get_bits()} bits; one below {_SMALLEST} can be forged.",
            "Make a new one there: ssh-keygen -A makes an ed25519 key, too.",
        )
    if revoked := known.is_revoked(blob):
        raise HostKeyChanged(
            f"{route.host}: the host key of {route.at} is revoked.",
            f"{fingerprint(blob)} ({kind}) is marked @revoked in {revoked.place}: this host may be an impostor.",
            "Do not connect. Ask the person who revoked the key.",
        )
    if known.has(blob):
        return
    if old := known.conflict(kind):
        raise HostKeyChanged(
            f"{route.host}: the host key of {route.at} has CHANGED.",
            f"It shows {fingerprint(blob)} ({kind}); {old.place} has {fingerprint(old.blob)} ({old.key_type})."
            " Either the host was reinstalled, or someone is intercepting the connection.",
            f"Ask the host's owner for its fingerprint. Only if it matches, run: {removal(old, known.names)}",
        )
    question = HostKeyQuestion(
        host=route.host,
        address=route.at,
        key_type=kind,
        fingerprint=fingerprint(blob),
        in_dns=key_in_dns(route.address, kind, blob) if route.asks_dns else None,
    )
    if not asker.accept_key(question):
        raise HostKeyUnknown(
            f"{route.host}: the host key of {route.at} is not known and was not accepted.",
            f"It shows {fingerprint(blob)} ({kind}).",
            "Compare it with what this prints on that host: ssh-keygen -lf"
            f" /etc/ssh/ssh_host_{kind.removeprefix('ssh-').split('-')[0]}_key.pub. Then accept it.",
        )
    if not route.user_known:
        return
    file = route.user_known[0]
    try:
        add(file, known.names[0], kind, blob, hashed=route.hash_names)
    except OSError as error:
        raise HostKeyUnknown(
            f"{route.host}: its accepted host key cannot be written to {file.text}.",
            f"The system says: {error.strerror or error}.",
            "Make that file writable.",
        ) from error
