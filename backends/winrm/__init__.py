"""WinRM to Windows hosts: `open_winrm` reaches a host, sees to its certificate, and runs PowerShell as administrator;
`find_winrm` says which ports answer.

pywinrm is imported when the first connection is opened, not before.
"""

from __future__ import annotations

from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.ports import Asker, Connector


def open_winrm(host: str, server: RealServer, asker: Asker) -> Connector:
    """Connects at once; logs in with the first script. `host` is the name in messages (`win1`).

    Safe from many threads, one per host. Passwords are kept in memory for as long as the asker lives (or until
    `backends.memory.forget`). A script is PowerShell text; the lines of its standard output are the answer.

    Raises NameUnknown, ConnectionRefused, ConnectTimeout, HostKeyUnknown and HostKeyChanged (the TLS certificate), and
    HostError for what is too weak, for what has no TLS, and for a `ca_file` that cannot be used.
    """
    from backends.winrm.connector import open_connector

    return open_connector(host, server, asker)


def find_winrm(server: RealServer) -> Contact:
    """What answers at the ports of WinRM, and at the deployment's, if that is another. Sends no login; never raises."""
    from pathlib import Path

    from backends.winrm.contact import look_around

    ports = dict.fromkeys([*([server.port] if server.port else []), 5986, 5985])
    ca_file = str(Path(server.ca_file).expanduser()) if server.ca_file else ""
    return look_around(server.address, tuple(ports), name=server.dns_name or "", ca_file=ca_file)
