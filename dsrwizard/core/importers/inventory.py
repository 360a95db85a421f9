"""An Ansible inventory in memory: groups with hosts, children and variables, and what holds for one host."""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_HOSTS = 10_000


@dataclass
class Group:
    """Hosts and children in order of appearance."""

    hosts: dict[str, None] = field(default_factory=dict)
    children: dict[str, None] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)


class Inventory:
    """Every host is in `all`. Groups may contain each other in circles: nothing here follows one twice."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {"all": Group()}
        self._own: dict[str, dict[str, str]] = {}
        self._depths: dict[str, int] | None = None
        self._groups_of: dict[str, list[str]] | None = None

    def group(self, name: str) -> Group:
        """The group of that name, made if it is new."""
        self._depths = self._groups_of = None
        return self.groups.setdefault(name, Group())

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
        for name in self._below(group):
            hosts.update(self.groups[name].hosts)
        return list(hosts)

    def variables(self, host: str) -> dict[str, str]:
        """What holds for a host: `all` first, then its groups from the outermost to the innermost, then its own."""
        merged = dict(self.groups["all"].variables)
        for name in self._of(host):
            merged.update(self.groups[name].variables)
        merged.update(self._own.get(host, {}))
        return merged

    def _below(self, group: str) -> list[str]:
        seen: dict[str, None] = {}
        waiting = [group]
        while waiting:
            name = waiting.pop(0)
            if name in seen or name not in self.groups:
                continue
            seen[name] = None
            waiting.extend(self.groups[name].children)
        return list(seen)

    def _of(self, host: str) -> list[str]:
        """The groups a host is in, also by their children, the outermost first; without `all`."""
        if self._groups_of is None:
            self._groups_of = {}
            for name in self.groups:
                for each in self.hosts(name) if name != "all" else ():
                    self._groups_of.setdefault(each, []).append(name)
        depths = self._depth()
        return sorted(self._groups_of.get(host, []), key=lambda name: (depths[name], name))

    def _depth(self) -> dict[str, int]:
        """How deep each group lies below the outermost that contains it."""
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
        return self._depths
