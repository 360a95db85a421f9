"""The same situations on another VIP, an IPv6 one, another service: each is named right, where it is, and nothing else.

`make cases` runs all of this, on the lab's rich deployment.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.cases import CaseLab, difference, expected
from tests.lab.harness import RICH_FILE, Lab

pytestmark = pytest.mark.cases

FAULTY = (
    ("arp-leak:address@web2/fd00:10::10", "firewall:lan-only@web3/fd00:10::10/tcp/80",
     "ipvs-differs:extra@director/10.0.0.11/tcp/8080"),
    ("firewall:input@director/fd00:10::10", "firewall:mangle@web3/10.0.0.11/tcp/80"),
    ("firewall:raw@director/fd00:10::10/tcp/80", "ipvs-differs:masquerade@web1/10.0.0.11/tcp/80"),
    ("firewall:output@director/fd00:10::10/tcp/80", "ipvs-differs:weight@web2/fd00:10::10/tcp/80"),
    ("ipvs-differs:persistent@director/fd00:10::10/tcp/80", "arp-leak:address@web1/10.0.0.11"),
    ("ipvs-differs:extra@director/fd00:10::10/tcp/80", "ipvs-differs:masquerade@web3/fd00:10::10/tcp/80"),
    ("path-mtu@web3", "ipvs-differs:threshold@web1/10.0.0.10/udp/7"),
)  # fmt: skip


@pytest.fixture(scope="module")
def rich(lab: Lab) -> Iterator[CaseLab]:
    """The rich deployment in force; nothing of any case is left on any host at the end."""
    for host in ("director", "web1", "web2", "web3"):
        for table in ("filter", "raw", "mangle"):
            lab.run(host, f"ip6tables-legacy -t {table} -S").ok()  # loads the table, which then stays
    deployed = CaseLab.deployed(lab, RICH_FILE)
    before = deployed.settings()
    yield deployed
    assert difference(before, deployed.settings()) == []


@pytest.mark.parametrize("names", FAULTY, ids=" ".join)
def test_a_case_on_another_vip_or_service_is_named_where_it_is(rich: CaseLab, names: tuple[str, ...]) -> None:
    with rich.made(names) as made:
        seen = rich.verify()
        live = rich.status()
        blind = rich.verify(blind=True)
    wanted = expected(made)
    assert seen.named == wanted, seen.failed
    about = {(check["cause"], check["host"], check["vip"]) for check in seen.failed}
    for one in made:
        where = {one.vip, ""} if one.vip else {vip for _, _, vip in about}  # a whole host's fault is found at any VIP
        assert any((*one.reported, vip) in about for vip in where), (one.name, about)
    assert live.status == 1
    assert {cause for cause, _ in wanted} <= live.in_status, live.snapshot
    assert blind.named <= wanted, blind.failed
    assert blind.named >= expected(one for one in made if not one.fault.blind), blind.failed
