"""What cannot be looked at is unknown and says what would make it visible: no fault passes for none, none is made up.

Every way of being half blind, on a healthy farm and with every fault in turn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.facts import Failure, Observed
from dsrwizard.engine.verify import verify
from tests.unit.diagnosed import Farm
from tests.unit.several import Made, on_director, on_server, rich, told

FAULTS = [*on_server("web2"), *on_director()]
NO_IP = Failure(kind="answer", what="web2: the interfaces could not be read.", next="Install iproute2 on that host.")
NO_LOOK = Failure(kind="could-not-look", what="The director could not be read.", next="Run it with sudo.")


def looking(farm: Farm, alter: Callable[[Observed], Observed] = lambda seen: seen, *, inside: bool = True) -> Report:
    observed = alter(farm.observed())
    return verify(farm.deployment, observed, farm.world.wire(), None, inside=farm.inside() if inside else None)


def without(**fields: Any) -> Callable[[Farm], Report]:
    """The servers' facts with something missing."""

    def alter(seen: Observed) -> Observed:
        servers = {name: msgspec.structs.replace(facts, **fields) for name, facts in seen.servers.items()}
        return msgspec.structs.replace(seen, servers=servers)

    return lambda farm: looking(farm, alter)


def no_raw_sockets(farm: Farm) -> Report:
    farm.world.privileged = False
    return looking(farm)


def no_ipvs(farm: Farm) -> Report:
    farm.world.ipvs_problem, farm.world.ipvs_next = "Reading IPVS needs CAP_NET_ADMIN.", "Run it with sudo."
    return looking(farm)


def no_root(farm: Farm) -> Report:
    farm.world.privileged = False
    return no_ipvs(farm)


def by_hand(farm: Farm) -> Report:
    servers = tuple(msgspec.structs.replace(server, connect="manual") for server in farm.deployment.servers)
    farm.deployment = msgspec.structs.replace(farm.deployment, servers=servers)
    return looking(farm)


def no_login(farm: Farm) -> Report:
    for state in farm.world.servers.values():
        state.ssh = False
    return looking(farm)


def no_ip(farm: Farm) -> Report:
    def alter(seen: Observed) -> Observed:
        return msgspec.structs.replace(seen, servers={}, failed=dict.fromkeys(seen.servers, NO_IP) | seen.failed)

    return looking(farm, alter)


def no_director(farm: Farm) -> Report:
    def alter(seen: Observed) -> Observed:
        return msgspec.structs.replace(seen, director=None, failed={"director": NO_LOOK} | seen.failed)

    return looking(farm, alter)


def both(first: Callable[[Farm], object], then: Callable[[Farm], Report]) -> Callable[[Farm], Report]:
    def look(farm: Farm) -> Report:
        first(farm)
        return then(farm)

    return look


BALANCING = ("ipvs-missing", "ipvs-differs", "drained")
WIRE = ("duplicate-vip", "firewall")
SETTINGS = ("vip-prefix", "arp-announce", "gateway", "not-persistent")
BLIND: dict[str, tuple[Callable[[Farm], Report], tuple[str, ...]]] = {
    "no root here": (no_root, (*WIRE, *BALANCING)),
    "no raw sockets": (no_raw_sockets, WIRE),
    "IPVS unreadable": (no_ipvs, BALANCING),
    # A gateway is wrong where it is the director's own address.
    "director unseen": (no_director, (*BALANCING, "director-vip", "gateway")),
    # What else than a filter keeps a server silent is not told from outside.
    "servers by hand": (by_hand, (*SETTINGS, "rp-filter", "firewall")),
    "no login": (no_login, (*SETTINGS, "rp-filter", "firewall")),
    "no ip on the servers": (no_ip, (*SETTINGS, "rp-filter", "firewall")),
    "no ss on the servers": (without(listeners=None), ()),
    # A leak shows on the wire. Without the sysctls no plan can be made, so nobody knows what a reboot would leave.
    "sysctls unreadable": (without(sysctls={}), ("arp-announce", "not-persistent", "rp-filter")),
    "no known way to persist": (without(persistence="none"), ("not-persistent",)),
    "no look at handshakes": (lambda farm: looking(farm, inside=False), ()),
    "by hand, no raw sockets": (
        both(no_raw_sockets, by_hand),
        (*WIRE, *SETTINGS, "rp-filter", "arp-leak", "vip-missing", "service-down", "rip-only-listener"),
    ),
    "no ss, no raw sockets": (
        both(no_raw_sockets, without(listeners=None)),
        (*WIRE, "service-down", "rip-only-listener"),
    ),
    "no sysctls, no raw sockets": (
        both(no_raw_sockets, without(sysctls={})),
        (*WIRE, "arp-leak", "arp-announce", "rp-filter", "not-persistent"),
    ),
}
"""How one looks, and the causes that may then stay open. All others are named all the same."""
ALIKE = {("rip-only-listener", "udp/7"): "service-down", ("firewall", "tcp/80"): "vip-missing"}
"""What looks the same from outside alone, and as what it is named: a refused datagram, silence of the only service."""


@pytest.mark.parametrize("blind", BLIND)
def test_a_healthy_farm_half_seen_has_no_fault_and_every_gap_says_how_to_close_it(blind: str) -> None:
    report = BLIND[blind][0](rich())
    unknown = [check for check in report.checks if check.outcome == "unknown"]
    assert report.failures == ()
    assert unknown or blind == "no ss on the servers"  # the probes have seen what listens
    assert all(check.fix and check.message.endswith(".") for check in unknown)


@pytest.mark.exhaustive
@pytest.mark.parametrize("blind", BLIND)
def test_no_fault_is_painted_green_or_blamed_on_another(blind: str) -> None:
    look, hidden = BLIND[blind]
    wrong = []
    for made in FAULTS:
        farm = rich()
        made.make(farm)
        report = look(farm)
        if not _named(made, report) and not (made.cause in hidden and _open(made, report)):
            wrong.append(f"{made.name}: {report.verdict} {dict(told(report))}")
    assert not wrong, "\n".join(wrong)


def _named(made: Made, report: Report) -> bool:
    found = told(report)
    alike = ALIKE.get((made.cause, made.service))
    return found == Counter([(made.cause, made.host, made.server)]) or (
        alike is not None and found == Counter([(alike, made.host, made.server)])
    )


SHOWS = {
    "duplicate-vip": ("arp.audit",), "director-vip": ("director.vip",), "arp-leak": ("server.guard", "arp.audit"),
    "ipvs-missing": ("director.ipvs", "director.destination"), "drained": ("director.destination",),
    "ipvs-differs": ("director.ipvs", "director.destination"), "firewall": ("vip.probe",),
    "gateway": ("server.gateway",), "vip-missing": ("server.vip", "vip.probe"), "vip-prefix": ("server.persistent",),
    "rp-filter": ("server.rp_filter",), "arp-announce": ("server.announce",),
    "service-down": ("server.listener", "vip.probe"), "rip-only-listener": ("server.listener", "vip.probe"),
    "not-persistent": ("server.persistent",),
}  # fmt: skip
"""The checks that must be unknown where they could not show their cause. A prefix has none of its own: a VIP that
answers is there, whatever its prefix."""


def _open(made: Made, report: Report) -> bool:
    """Nothing is blamed, and every check that would show this fault is unknown there."""
    showing = [
        check
        for check in report.checks
        if check.check in SHOWS[made.cause]
        and check.host in (made.host, "director")
        and (check.check != "director.destination" or made.server in ("", check.server))
        and all(
            not mine or not its or mine == its for mine, its in ((made.vip, check.vip), (made.service, check.service))
        )
    ]
    return not report.failures and {check.outcome for check in showing} <= {"unknown", "skipped"} and bool(showing)


def test_a_refused_datagram_says_no_more_than_was_seen_without_a_login() -> None:
    farm = rich()
    next(one for one in FAULTS if one.cause == "rip-only-listener" and one.service == "udp/7").make(farm)
    (check,) = by_hand(farm).failures
    assert check.message == "Nothing listens on udp/7 of web2, at least not on 10.0.0.10."
