"""The data model of an Ansible inventory: groups with hosts, children and variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dsrwizard.core.intake.importers.common import LONGEST_VALUE, Collector
from dsrwizard.core.intake.problems import shown

MAX_HOSTS = 10_000
MAX_GROUPS = 1_000
VARIABLES = {
    "address": ("ansible_host", "ansible_ssh_host"),
    "user": ("ansible_user", "ansible_ssh_user", "ansible_winrm_user", "ansible_psrp_user"),
    "port": ("ansible_port", "ansible_ssh_port", "ansible_winrm_port", "ansible_psrp_port"),
    "identity_file": ("ansible_ssh_private_key_file", "ansible_private_key_file"),
    "dns_name": ("ansible_winrm_kerberos_hostname_override", "ansible_psrp_negotiate_hostname_override"),
    "winrm": ("ansible_winrm_scheme", "ansible_psrp_protocol"),
    "auth": ("ansible_winrm_transport", "ansible_psrp_auth"),
    "kerberos_service": ("ansible_winrm_service", "ansible_psrp_negotiate_service"),
    "ca_file": ("ansible_winrm_ca_trust_path",),
    "jump": ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args"),
    "validation": ("ansible_winrm_server_cert_validation", "ansible_psrp_cert_validation"),
    "become": ("ansible_become_method",),
    "become_user": ("ansible_become_user",),
}
"""Field → its variables, the strongest first."""
CONNECTION = "ansible_connection"
SECRET = "secret"  # noqa: S105 - a name
"""Replaces every variable that looks like a secret; only its presence is kept."""
_SECRET_WORDS = ("pass", "secret", "token")
_WANTED = frozenset({CONNECTION, *(name for names in VARIABLES.values() for name in names)})


def kept(variables: Mapping[str, str], found: Collector) -> dict[str, str]:
    """The connection variables of a host; of secrets, only their presence."""
    mine: dict[str, str] = {}
    for name, value in variables.items():
        if any(word in name.lower() for word in _SECRET_WORDS):
            mine[SECRET] = ""
        elif name in _WANTED and len(value) > LONGEST_VALUE:
            found.note(f"The value of {shown(name)} was left out: it is longer than {LONGEST_VALUE} characters.")
        elif name in _WANTED:
            mine[name] = value
        else:
            found.unused(name)
    return mine


@dataclass
class HostGroup:
    """A group: hosts and children in order of appearance."""

    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


class Inventory:
    """The inventory. Every host is in `all`. Groups may contain each other in cycles; each is followed only once."""

    def __init__(self) -> None:
        self.groups: dict[str, HostGroup] = {"all": HostGroup()}
        self.odd = 0
        """Lines that no inventory has."""
        self._own: dict[str, dict[str, str]] = {}
        self._crowded = False
        self._depths: dict[str, int] | None = None
        self._groups_of: dict[str, list[str]] = {}
        self._inherited: dict[tuple[str, ...], dict[str, str]] = {}

    def group(self, name: str) -> HostGroup:
        """The group of that name, created if it is new. If there are too many, a group outside the inventory."""
        self._depths = None
        if name not in self.groups and len(self.groups) >= MAX_GROUPS:
            self._crowded = True
            return HostGroup()
        return self.groups.setdefault(name, HostGroup())

    def tell(self, found: Collector) -> None:
        """Notes that something exceeded a limit."""
        if self._crowded:
            found.note(f"The inventory has too many groups: only the first {MAX_GROUPS} were read.")

    def add_host(self, group: str, host: str, variables: dict[str, str]) -> bool:
        """Adds a host to a group. False: the inventory is full."""
        if host not in self._own and len(self._own) >= MAX_HOSTS:
            return False
        self._own.setdefault(host, {}).update(variables)
        self.group(group).hosts[host] = None
        self.groups["all"].hosts[host] = None
        return True

    def hosts(self, group: str) -> list[str]:
        """The hosts of a group and of all groups below it."""
        hosts: dict[str, None] = {}
        for name in self._reached(group, {name: one.children for name, one in self.groups.items()}):
            hosts.update(self.groups[name].hosts)
        return list(hosts)

    def variables(self, host: str) -> dict[str, str]:
        """A host's variables: `all` first, then its groups from the outermost to the innermost, then its own."""
        depths = self._depth()
        mine = tuple(self._groups_of.get(host, ()))
        if mine not in self._inherited:
            above = dict.fromkeys(each for name in mine for each in self._reached(name, self._parents))
            merged = dict(self.groups["all"].variables)
            for name in sorted(above, key=lambda name: (depths[name], name)):
                if name != "all":
                    merged.update(self.groups[name].variables)
            self._inherited[mine] = merged
        return self._inherited[mine] | self._own.get(host, {})

    def _reached(self, group: str, ways: Mapping[str, Mapping[str, None]]) -> list[str]:
        """A group and all groups that can be reached from it."""
        seen: dict[str, None] = {}
        waiting = [group]
        for name in waiting:  # which grows meanwhile
            if name not in seen and name in self.groups:
                seen[name] = None
                waiting.extend(ways.get(name, ()))
        return list(seen)

    def _depth(self) -> dict[str, int]:
        """How deep each group lies below the outermost that contains it; with it the way from a host upwards."""
        if self._depths is None:
            inner = {child for group in self.groups.values() for child in group.children}
            level = [name for name in self.groups if name not in inner or name == "all"]
            self._depths = dict.fromkeys(self.groups, 0)
            for depth in range(len(self.groups)):
                for name in level:
                    self._depths[name] = depth
                level = list({c: None for name in level for c in self.groups[name].children if c in self.groups})
                if not level:
                    break
            self._inherited, self._groups_of, self._parents = {}, {}, dict[str, dict[str, None]]()
            for name, group in self.groups.items():
                for child in group.children:
                    self._parents.setdefault(child, {})[name] = None
                for host in group.hosts if name != "all" else ():
                    self._groups_of.setdefault(host, []).append(name)
        return self._depths
