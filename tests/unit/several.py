"""Every fault at every place of a rich farm, for tests that make several at once, and which of them hides which.

The farm: two IPv4 VIPs, an IPv6 VIP, two TCP services and one by UDP, three servers (`rich`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import msgspec

from dsrwizard.core.model.changes import DestinationState, ServiceKey, ServiceState
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment, Service, Vip
from dsrwizard.core.model.facts import Listener, Route
from tests.fakes.ipvs import Virtual
from tests.unit.diagnosed import (
    STRANGER,
    VIP,
    VIP6,
    Farm,
    arp_announce,
    arp_leak,
    guard_not_persistent,
    not_persistent,
    rp_filter,
    unreachable,
)

VIP2 = "10.0.0.11"
SERVED = {VIP: ("tcp/80", "udp/7"), VIP2: ("tcp/80", "tcp/8080"), VIP6: ("tcp/80",)}
SERVICES = ("tcp/80", "tcp/8080", "udp/7")
DIRECTOR = "director"
UNPROVED = ("unreachable", "service-down", "rip-only-listener", "vip-missing", "firewall")
"""Of a server whose VIP does not answer for one of these, it is right that IPVS sends it no clients."""


def rich() -> Farm:
    """A healthy farm with several VIPs and services."""

    def several(deployment: Deployment) -> Deployment:
        vips = tuple(
            Vip(address=address, services=tuple(_service(label) for label in labels))
            for address, labels in SERVED.items()
        )
        return msgspec.structs.replace(deployment, vips=vips)

    farm = Farm(addresses=tuple(SERVED), change=several)
    for state in farm.world.servers.values():
        state.machine.listeners.append(Listener(protocol="tcp", address="*", port=8080, process="java"))
    return farm


def _service(label: str) -> Service:
    protocol, port = label.split("/")
    return Service(protocol="udp" if protocol == "udp" else "tcp", port=int(port))


def _key(vip: str, label: str) -> ServiceKey:
    service = _service(label)
    return ServiceKey(vip, service.protocol, service.port)


@dataclass(frozen=True)
class Made:
    """One fault: `host` is where it is made, `blamed` the host of the failing check.

    `vip`, `service`, `server`: where it is, as far as it is not of the whole host; `server` is the real server that a
    fault of the director's table is about. `slot`: what it changes; two faults with one slot cannot be made together.
    """

    cause: str
    host: str
    slot: str
    make: Callable[[Farm], None] = field(compare=False)
    vip: str = ""
    service: str = ""
    server: str = ""
    how: str = ""

    @property
    def name(self) -> str:
        place = "/".join(filter(None, (self.host, self.server, self.vip, self.service)))
        return f"{self.cause}@{place}{f' ({self.how})' if self.how else ''}"

    def at(self, other: Made) -> bool:
        """Whether both can be felt at one VIP and service."""
        return _meets(self.vip, other.vip) and _meets(self.service, other.service)


def _meets(one: str, other: str) -> bool:
    return not one or not other or one == other


# -- the faults


def on_server(name: str) -> list[Made]:
    """Every fault of one real server, its own and those of its destinations in IPVS."""

    def simple(cause: str, slot: str, make: Callable[..., None], how: str = "") -> Made:
        return Made(cause, name, f"{name} {slot}", partial(make, name=name), how=how)

    found = [
        simple("unreachable", "cable", unreachable),
        simple("arp-leak", "arp_ignore", arp_leak),
        simple("arp-announce", "arp_announce", arp_announce),
        simple("rp-filter", "default", rp_filter),
        simple("gateway", "default", _route("10.0.0.2", 4), "director"),
        simple("gateway", "default", _no_route(4), "none"),
        simple("gateway", "default6", _route("fd00::2", 6), "director, IPv6"),
        simple("gateway", "default6", _no_route(6), "none, IPv6"),
        simple("not-persistent", "unit", not_persistent, "VIP"),
        simple("not-persistent", "file", guard_not_persistent, "guard"),
    ]
    for label in SERVICES:
        found.append(
            Made("service-down", name, f"{name} {label}", partial(_listen, name=name, label=label), service=label)
        )
    for vip, labels in SERVED.items():
        short = 30 if ":" not in vip else 126
        slot = f"{name} {vip}"
        found += [
            Made("vip-missing", name, slot, partial(_address, name=name, vip=vip, prefix=None), vip),
            Made("vip-prefix", name, slot, partial(_address, name=name, vip=vip, prefix=short), vip),
            Made("arp-leak", name, slot, partial(_on_nic, name=name, vip=vip), vip, how="on the NIC"),
        ]
        for label in labels:
            found += [_rip_only(name, vip, label), _firewall(name, vip, label), *_destination(name, vip, label)]
    return found


def on_director() -> list[Made]:
    """Every fault of the director that is not about one real server."""
    found = []
    for vip, labels in SERVED.items():
        found += [
            Made("director-vip", DIRECTOR, f"director {vip}", partial(_drop_vip, vip=vip), vip),
            Made("duplicate-vip", DIRECTOR, f"stranger {vip}", partial(_stranger, vip=vip), vip),
        ]
        for label in labels:
            key, slot = _key(vip, label), f"director {vip} {label}"
            found += [
                Made("ipvs-missing", DIRECTOR, slot, partial(_forget, key=key), vip, label),
                Made("ipvs-differs", DIRECTOR, slot, partial(_reschedule, key=key), vip, label),
            ]
    return found


def _listen(farm: Farm, name: str, label: str, addresses: Sequence[str] = ()) -> None:
    service, machine = _service(label), farm.server(name).machine
    machine.listeners = [
        one for one in machine.listeners if (one.protocol, one.port) != (service.protocol, service.port)
    ]
    machine.listeners += [
        Listener(protocol=service.protocol, address=address, port=service.port, process="app") for address in addresses
    ]


def _rip_only(name: str, vip: str, label: str) -> Made:
    def make(farm: Farm) -> None:
        _listen(farm, name, label, [*farm.server(name).rips, *(other for other in SERVED if other != vip)])

    return Made("rip-only-listener", name, f"{name} {label}", make, vip, label)


def _firewall(name: str, vip: str, label: str) -> Made:
    service = _service(label)
    rule = (vip, service.protocol, service.port)
    return Made(
        "firewall", name, f"{name} rule {vip} {label}", lambda farm: farm.server(name).dropped_at.add(rule), vip, label
    )


def _destination(name: str, vip: str, label: str) -> list[Made]:
    key, slot = _key(vip, label), f"destination {name} {vip} {label}"

    def change(state: DestinationState | None) -> Callable[[Farm], None]:
        def make(farm: Farm) -> None:
            virtual = farm.world.ipvs.table.get(key)
            if virtual is None:
                return
            entry = virtual.entry(farm.server(name).rips[":" in vip], key.port)
            assert entry is not None
            if state is None:
                virtual.entries.remove(entry)
            else:
                entry.state = state

        return make

    return [
        Made("ipvs-missing", DIRECTOR, slot, change(None), vip, label, name),
        Made("ipvs-differs", DIRECTOR, slot, change(DestinationState(1, "tun")), vip, label, name),
        Made("drained", DIRECTOR, slot, change(DestinationState(0)), vip, label, name),
    ]


def _address(farm: Farm, name: str, vip: str, prefix: int | None) -> None:
    addresses = farm.server(name).machine.links["lo"].addresses
    if prefix is None:
        del addresses[vip]
    else:
        addresses[vip] = prefix


def _on_nic(farm: Farm, name: str, vip: str) -> None:
    links = farm.server(name).machine.links
    links["eth0"].addresses[vip] = links["lo"].addresses.pop(vip)


def _route(gateway: str, family: Literal[4, 6]) -> Callable[[Farm, str], None]:
    def make(farm: Farm, name: str) -> None:
        _no_route(family)(farm, name)
        farm.server(name).machine.routes.append(Route(gateway=gateway, interface="eth0", family=family))

    return make


def _no_route(family: int) -> Callable[[Farm, str], None]:
    def make(farm: Farm, name: str) -> None:
        machine = farm.server(name).machine
        machine.routes = [route for route in machine.routes if route.family != family]

    return make


def _drop_vip(farm: Farm, vip: str) -> None:
    del farm.world.machine.links["eth0"].addresses[vip]


def _stranger(farm: Farm, vip: str) -> None:
    farm.world.strangers[vip] = [STRANGER]


def _forget(farm: Farm, key: ServiceKey) -> None:
    farm.world.ipvs.table.pop(key, None)


def _reschedule(farm: Farm, key: ServiceKey) -> None:
    virtual: Virtual = farm.world.ipvs.table[key]
    virtual.state = ServiceState("rr")


# -- what is to be reported


def coexist(made: Iterable[Made]) -> bool:
    """Whether they can be made together: no two change the same thing."""
    slots = [one.slot for one in made]
    return len(set(slots)) == len(slots)


def hides(one: Made, other: Made) -> bool:
    """Whether `one` keeps `other` from being seen: the table in the docstring of `dsrwizard.core.diagnosis`."""
    here = one.host == other.host
    behind = other.server == one.host  # a destination of this very server
    match one.cause, other.cause:
        case "unreachable", _:
            return here or (behind and other.cause in ("ipvs-missing", "drained"))
        case "vip-missing", "firewall":
            return here and one.vip == other.vip
        case "service-down", "firewall":
            return here and one.service == other.service == "udp/7"
        case "arp-leak", "not-persistent":
            return here and bool(one.vip)
        case "ipvs-missing", _ if not one.server:
            return bool(other.server) and one.vip == other.vip and one.service == other.service
        case _ if one.cause in UNPROVED and behind:
            return other.cause in ("ipvs-missing", "drained") and one.at(other)
        case _:
            return False


def told(report: Report) -> Counter[tuple[str, ...]]:
    """Cause, host and real server of every failing check, how often."""
    return Counter((check.cause, check.host, check.server) for check in report.failures)


def expected(made: Iterable[Made]) -> Counter[tuple[str, ...]]:
    """The same of what was made and nothing else made hides, those counted once that are one thing to mend."""
    every = list(made)
    seen = [
        one
        for one in every
        if not any(hides(other, one) for other in every if other is not one) and not _silent_everywhere(one, every)
    ]
    return Counter(key[:3] for key in {(one.cause, one.host, one.server, _thing(one)) for one in seen})


def _silent_everywhere(one: Made, every: Sequence[Made]) -> bool:
    """Whether it drops a UDP service that no server answers: the application may rightly ignore the test datagram."""
    if one.cause != "firewall" or one.service != "udp/7":
        return False
    stopped = {other.host for other in every if other.cause in UNPROVED and other.at(one)}
    return stopped >= {"web1", "web2", "web3"}


def _thing(one: Made) -> str:
    """What is to be mended: a rule set of one family stops any number of VIPs, files are written by one apply."""
    match one.cause:
        case "firewall":
            return "IPv6" if ":" in one.vip else "IPv4"
        case "not-persistent":
            return ""
        case _:
            return one.slot
