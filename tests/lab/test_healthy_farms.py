"""Farms of other people under which every client is served: nothing is called wrong in any of them.

Many settings are made together, on different hosts. `make cases` runs all of this; the first group is in `make test`,
too.
"""

from __future__ import annotations

import pytest

from backends.lab.healthy import HEALTHY_SETTINGS
from tests.lab.cases import BAD_STATES, CaseLab, Said, grouped

pytestmark = pytest.mark.long

HEALTHY = (
    # The first group is the small one: what a verification once convicted farms of.
    ("healthy:bogon-input@web1", "healthy:bogon-blackhole@web2", "healthy:redirect@web3", "healthy:rc-local@web2",
     "healthy:other-services@director", "healthy:director-invalid@director"),
    ("healthy:bogon-raw@web1", "healthy:bogon-raw@web2", "healthy:bogon-input@web3", "healthy:ttl@web3",
     "healthy:arp-ignore-2@web1", "healthy:guard-on-eth0@web2", "healthy:any-ip@web3",
     "healthy:other-marks@director", "healthy:director-default-drop@director"),
    ("healthy:bogon-port@director", "healthy:arp-ignore-3@web1", "healthy:dummy@web2", "healthy:label@web3",
     "healthy:default-drop@web1", "healthy:default-drop-multiport@web2", "healthy:rate-limit@web3",
     "healthy:director-strict-rp-filter@director", "healthy:static-gateway@web1"),
    ("healthy:scope-host@web1", "healthy:redirect-port@web2", "healthy:container@web3", "healthy:sysctl-conf@web1",
     "healthy:other-sysctls@web2", "healthy:docker@web1", "healthy:director-docker@director",
     "healthy:director-forward-drop@director", "healthy:second-nic@web2", "healthy:second-nic@director"),
    ("healthy:guard-on-all@web1", "healthy:arp-filter@web2", "healthy:connlimit@web1", "healthy:invalid@web3",
     "healthy:second-router@web3", "healthy:own-table@web1", "healthy:strict-rp-filter@web2",
     "healthy:forwarding@web3", "healthy:no-redirects@web1", "healthy:static-rip@web2"),
    ("healthy:mtu@router", "healthy:loose-rp-filter@web1",
        "healthy:tuned@web3", "healthy:mute-ping@web2", "healthy:other-vip@web3",
     "healthy:slow@web1", "healthy:port-zero@director"),
    ("healthy:drained@web3", "healthy:vlan@web1", "healthy:vip-on-vlan@web2"),
    ("healthy:unequal-weights@director", "healthy:bogon-input@web1"),
    ("healthy:persistence@director", "healthy:static-gateway@web2"),
    ("healthy:ipv6@director", "healthy:default-drop@web3", "healthy:dummy@web2", "healthy:director-invalid@director"),
)  # fmt: skip


@pytest.mark.parametrize("names", grouped(HEALTHY))
def test_nothing_is_called_wrong_while_every_client_is_served(cases: CaseLab, names: tuple[str, ...]) -> None:
    with cases.made(names) as made:
        served, by = cases.users(6)
        seen = cases.verify()
        live = cases.status()
        blind = cases.verify(blind=True)
    assert (served, by) == (6, min(one.fault.serving for one in made)), "the case is not what it says"
    assert _failures(seen) == []
    assert _failures(blind) == []
    assert live.snapshot["faults"] == []
    assert not BAD_STATES & set(live.rows.values()), live.snapshot["services"]
    assert [one["message"] for one in live.snapshot["services"] if one["cause"]] == []
    assert seen.verdict != "fail"


def _failures(said: Said) -> list[tuple[str, str, str, str]]:
    return [(check["check"], check["cause"], check["host"], check["message"]) for check in said.failed]


def test_every_odd_setting_is_tried() -> None:
    assert {one.kind for one in HEALTHY_SETTINGS} == {name.partition("@")[0] for group in HEALTHY for name in group}
    assert len(HEALTHY_SETTINGS) >= 30
