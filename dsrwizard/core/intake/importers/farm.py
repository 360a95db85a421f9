"""What a balancer's own configuration says, turned into VIPs and real servers of a deployment.

Every format of a balancer (keepalived, ldirectord, ipvsadm, NetScaler, and the kernel's own table) is read as
`Balanced` services. Whether a deployment can say the same is decided here, once: direct routing, TCP or UDP, one port
for service and servers, one set of real servers for each VIP. Everything else becomes a note with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftServer, DraftService, DraftVip
from dsrwizard.core.intake.importers.common import MAX_SERVERS, Collector, Imported, name_for, not_taken
from dsrwizard.core.intake.problems import shown
from dsrwizard.core.model.deployment import SCHEDULERS, Address

DIRECT = "dr"
METHODS = {
    "dr": "direct routing",
    "nat": "NAT (masquerading)",
    "tun": "a tunnel (IPIP)",
    "local": "local delivery",
    "": "a forwarding method that is not given",
}
MOST_SERVICES = 2_000
DEFAULT_SCHEDULER = "wlc"


@dataclass(frozen=True, kw_only=True)
class Behind:
    """One destination of a service: an address as written, its port (None: the service's own), its weight and `method`
    (a key of METHODS, or the word that was written). `name`: what the configuration calls the server."""

    address: str
    port: int | None = None
    weight: int = 1
    method: str = DIRECT
    name: str = ""
    thresholds: bool = False


@dataclass(frozen=True, kw_only=True)
class Balanced:
    """One service of a balancer. `mark`: a firewall mark instead of VIP and port. `place`: where it is written."""

    vip: str = ""
    protocol: str = "tcp"
    port: int = 0
    mark: str = ""
    scheduler: str = ""
    persistence: int = 0
    behind: Sequence[Behind] = ()
    place: str = ""
    extras: Sequence[str] = field(default=())
    """What else it has that a deployment cannot say: flags, netmask, persistence engine."""

    @property
    def label(self) -> str:
        """`tcp/80 at 10.0.0.10 (line 4)`."""
        what = (
            f"the service of firewall mark {self.mark}" if self.mark else f"{self.protocol}/{self.port} at {self.vip}"
        )
        return shown(what)[1:-1] + (f" ({self.place})" if self.place else "")


@dataclass
class _Kept:
    """A service that a deployment can say, with its destinations by address."""

    vip: Address
    service: DraftService
    told: Balanced
    weights: dict[Address, int]


def taken(
    services: Sequence[Balanced],
    found: Collector,
    names: Mapping[str, str] | None = None,
    own: Collection[str] = (),
) -> Imported:
    """The services as VIPs and servers, with a note for everything that is not imported.

    `own`: addresses of the director, which are no real servers. `names`: address → a name for that server, from
    /etc/hosts for example; others are named as the configuration names them, or `web1`, `web2`, … in order. Refused if
    nothing can be imported.
    """
    mine = {ip for text in own if (ip := fields.parsed(text)) is not None}
    kept = _kept(services[:MOST_SERVICES], mine, found)
    if len(services) > MOST_SERVICES:
        found.note(f"Only the first {MOST_SERVICES} services were read.")
    vips: dict[Address, list[_Kept]] = {}
    for one in kept:
        vips.setdefault(one.vip, []).append(one)
    draft: list[DraftVip] = []
    behind: dict[Address, dict[Address, int]] = {}
    labels = _Names(kept, names or {})
    for vip, there in vips.items():
        chosen = _one_set(there, labels, found)
        draft.append(DraftVip(address=str(vip), services=[one.service for one in chosen]))
        for one in chosen:
            for address, weight in one.weights.items():
                behind.setdefault(address, {}).setdefault(vip, weight)
    for server in _servers(behind, list(vips), labels, found):
        found.add(server)
    result = found.imported()
    if not draft:
        return found.refusal("Nothing in it can be imported: it has no service by direct routing with real servers.")
    result.vips = draft
    return result


def _kept(services: Sequence[Balanced], own: Collection[Address], found: Collector) -> list[_Kept]:
    kept: list[_Kept] = []
    seen: set[tuple[Address, str, int]] = set()
    for told in services:
        vip = fields.parsed(told.vip)
        why = _why_not(told, vip)
        if vip is not None and not why and (vip, told.protocol, told.port) in seen:
            why = "the same service stands further up"
        if vip is None or why:
            found.note(not_taken(told.label, why))
            continue
        weights = _destinations(told, vip, own, found)
        if not weights:
            continue
        seen.add((vip, told.protocol, told.port))
        for extra in told.extras:
            found.note(not_taken(f"{extra} of {told.label}", "a deployment has no word for it"))
        kept.append(_Kept(vip, _service(told, found), told, weights))
    return kept


def _why_not(told: Balanced, vip: Address | None) -> str:
    """Why a deployment cannot say this service, as a clause; empty: it can."""
    if told.mark:
        return "a deployment names a VIP and a port, and a firewall mark is neither"
    if vip is None:
        return f"{shown(told.vip)} is not an IP address"
    if fields.vip(told.vip) is not None:
        return f"{vip} cannot be reached from other hosts"
    if told.protocol not in ("tcp", "udp"):
        return "dsrwizard balances TCP and UDP"
    if not told.port:
        return "it is for every port, and a deployment names each port"
    if not 0 < told.port < 65_536:
        return f"{told.port} is not a valid port"
    return ""


def _destinations(told: Balanced, vip: Address, own: Collection[Address], found: Collector) -> dict[Address, int]:
    """The destinations that direct routing reaches, with their weights; a note for each of the others."""
    weights: dict[Address, int] = {}
    methods = Counter(one.method for one in told.behind)
    if told.behind and DIRECT not in methods:
        words = " and ".join(METHODS.get(method, shown(method)) for method in methods)
        found.note(not_taken(told.label, f"it forwards by {words}, not by direct routing"))
        return {}
    for one in told.behind:
        ip = fields.parsed(one.address)
        what = f"the real server {shown(one.name or one.address)[1:-1]} of {told.label}"
        if ip is None:
            found.note(not_taken(what, f"{shown(one.address)} is not an IP address"))
        elif ip == vip or ip in own or ip.is_loopback:
            found.note(not_taken(what, "it is the director itself"))
        elif fields.address(one.address) is not None:
            found.note(not_taken(what, "it cannot be the address of a host in the network"))
        elif one.method != DIRECT:
            words = METHODS.get(one.method, shown(one.method))
            found.note(not_taken(what, f"it is reached by {words}, not by direct routing"))
        elif one.port not in (None, told.port):
            found.note(not_taken(what, f"its port is {one.port}, and direct routing cannot change ports"))
        elif ip.version != vip.version:
            found.note(not_taken(what, f"{ip} and {vip} are not of the same family"))
        elif ip in weights:
            found.note(not_taken(what, "it stands there twice"))
        else:
            weights[ip] = _weight(one.weight, what, found)
            if one.thresholds:
                found.note(not_taken(f"the thresholds of {what}", "a deployment has none"))
    if not weights:
        found.note(not_taken(told.label, "it has no real server that direct routing reaches"))
    return weights


def _weight(weight: int, what: str, found: Collector) -> int:
    if 0 <= weight <= fields.MAX_WEIGHT:
        return weight
    found.note(not_taken(f"the weight {weight} of {what}", f"it is not between 0 and {fields.MAX_WEIGHT}; 1 was set"))
    return 1


def _service(told: Balanced, found: Collector) -> DraftService:
    scheduler = told.scheduler.lower()
    if scheduler not in SCHEDULERS:
        given = f"{shown(told.scheduler)} is none that IPVS has" if scheduler else "none is given"
        found.note(f"The scheduler of {told.label}: {given}; {DEFAULT_SCHEDULER} was set.")
        scheduler = DEFAULT_SCHEDULER
    persistence = told.persistence
    if not 0 <= persistence <= fields.MAX_PERSISTENCE:
        found.note(not_taken(f"the persistence of {told.label}", f"it is longer than {fields.MAX_PERSISTENCE} seconds"))
        persistence = 0
    return DraftService(protocol=told.protocol, port=str(told.port), scheduler=scheduler, persistence=str(persistence))


def _one_set(mine: list[_Kept], labels: _Names, found: Collector) -> list[_Kept]:
    """The services of a VIP that share their real servers: the set most of them have, the first one if several."""
    sets = Counter(frozenset(one.weights) for one in mine)
    common = max(sets, key=lambda each: sets[each])
    chosen = [one for one in mine if frozenset(one.weights) == common]
    first = chosen[0]
    for one in mine:
        if frozenset(one.weights) != common:
            theirs, ours = labels.listed(one.weights), labels.listed(first.weights)
            why = f"its real servers ({theirs}) are not those of {first.service.protocol}/{first.service.port} ({ours})"
            found.note(not_taken(one.told.label, f"{why}, and a deployment has one set for each VIP"))
        elif one.weights != first.weights:
            found.note(
                not_taken(
                    f"the weights of {one.told.label}",
                    f"a server has one weight, and {first.told.label} gives others",
                )
            )
    return chosen


def _servers(
    behind: Mapping[Address, Mapping[Address, int]], vips: list[Address], labels: _Names, found: Collector
) -> list[DraftServer]:
    """The servers, those with an address of each family under one name put together."""
    servers: dict[str, DraftServer] = {}
    for address, mine in behind.items():
        if len(servers) >= MAX_SERVERS:
            found.note(f"Only the first {MAX_SERVERS} servers were imported.")
            break
        name = labels.of(address)
        weights = list(mine.values())
        if len(set(weights)) > 1:
            found.note(f"{shown(name)} has another weight at each VIP: {weights[0]} was set for all of them.")
        served = [str(vip) for vip in vips if vip in mine]
        known = servers.get(name)
        if known is None:
            servers[name] = DraftServer(name=name, address=str(address), weight=str(weights[0]), vips=served)
            continue
        known.vips = [str(vip) for vip in vips if str(vip) in {*(known.vips or ()), *served}]
        if address.version == 6:
            known.address6 = str(address)
        else:
            known.address, known.address6 = str(address), known.address
    for server in servers.values():
        if server.vips is not None and len(server.vips) == len(vips):
            server.vips = None
    return list(servers.values())


class _Names:
    """A name for each address: given ones first, then `web1`, … in the order of the services."""

    def __init__(self, kept: list[_Kept], names: Mapping[str, str]) -> None:
        given = {ip: name for text, name in names.items() if (ip := fields.parsed(text)) is not None}
        told = {
            ip: one.name for each in kept for one in each.told.behind if (ip := fields.parsed(one.address)) and one.name
        }
        self._names: dict[Address, str] = {}
        used: set[tuple[str, int]] = set()
        waiting: list[Address] = []
        for address in dict.fromkeys(chain.from_iterable(one.weights for one in kept)):
            name = name_for(given.get(address) or told.get(address, ""))
            if fields.server_name(name) is None and (name.lower(), address.version) not in used:
                self._names[address] = name
                used.add((name.lower(), address.version))
            else:
                waiting.append(address)
        taken_names = {name for name, _ in used}
        numbers = count(1)
        for address in waiting:
            name = next(made for number in numbers if (made := f"web{number}") not in taken_names)
            self._names[address] = name

    def of(self, address: Address) -> str:
        return self._names[address]

    def listed(self, addresses: Mapping[Address, int]) -> str:
        """Some of the names, for a message."""
        names = [self._names[address] for address in addresses]
        return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
