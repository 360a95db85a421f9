"""SSH to Linux hosts: `open_ssh` connects as the operator's own `ssh` would and runs scripts as root.

paramiko is imported when the first connection is opened, not before.
"""

from __future__ import annotations

from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.ports import Asker, Connector


def open_ssh(host: str, target: RealServer | Client, asker: Asker) -> Connector:
    """Connects and logs in at once; `host` is the name in messages (`web1`, `client`).

    Safe from many threads, one per host. Answers of `asker` are kept in memory for as long as that asker lives (or
    until `forget`): a key's passphrase once for all hosts, login and sudo passwords per host and user.

    Raises NameUnknown, ConnectionRefused, ConnectTimeout, HostKeyUnknown, HostKeyChanged, LoginRefused, and HostError
    for what is wrong with `~/.ssh/config`, a key file, a jump host or the algorithms.
    """
    from backends.ssh.connector import open_connector

    return open_connector(host, target, asker)


def forget(asker: Asker) -> None:
    """Drops every secret, decrypted key and idle jump-host connection kept for this asker."""
    from backends.memory import forget as forget_all

    forget_all(asker)
