"""Importers: read what people already have. Lists, CSV, /etc/hosts, Ansible inventories and ssh configs give real
servers; keepalived.conf, ldirectord.cf, ipvsadm, NetScaler's ns.conf and ALOHA's LB Layer4 give VIPs and services, too.

All are pure: text in, what was found and notes out; no text makes one raise. Every thing that was read and not taken
over has a note. A text that is not recognised is refused (`Imported.refused`), never guessed at. A host without an IP
address keeps its name as address; the caller may resolve it.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.intake.importers import (
    aloha,
    ansible,
    ipvsadm,
    keepalived,
    ldirectord,
    netscaler,
    plain,
    ssh_config,
)
from dsrwizard.core.intake.importers.common import Collector, Imported, Opener, decoded, is_list
from dsrwizard.core.intake.importers.recognise import KIND_WORDS, ListKind, detect, unrecognised


def read(
    text: str,
    name: str = "",
    kind: ListKind | None = None,
    choice: str = "",
    *,
    opener: Opener | None = None,
    vips: Sequence[str] = (),
) -> Imported:
    """Imports what a text holds. Never raises.

    `name`: the file's path, for relative includes. `choice`: the Ansible group, or patterns of names; empty is all.
    `opener` gives the files of includes; without one they become notes. `vips`: addresses that are no real servers.
    """
    found = Collector()
    text = text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}")
    if not is_list(text, found):
        return found.imported()
    match kind or detect(text, name):
        case "ansible":
            result = ansible.parse(text, choice or "all")
        case "ssh_config":
            result = ssh_config.parse(text, choice or "*", name, opener)
        case "keepalived":
            result = keepalived.parse(text, name or "keepalived.conf", opener)
        case "ldirectord":
            result = ldirectord.parse(text)
        case "ipvsadm":
            result = ipvsadm.parse(text)
        case "netscaler":
            result = netscaler.parse(text)
        case "aloha":
            result = aloha.parse(text)
        case "plain":
            result = plain.parse(text, vips, choice)
        case _:
            result = found.refusal(unrecognised(text))
    if not result.servers and text.strip():
        result.refused = True
    return result


__all__ = [
    "KIND_WORDS",
    "Imported",
    "ListKind",
    "Opener",
    "ansible",
    "decoded",
    "detect",
    "plain",
    "read",
    "ssh_config",
]
