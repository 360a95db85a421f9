"""Situations that people report in public: each is named right, on its host, with and without a client host.

Several are made together where none hides another. `make cases` runs all of this; the first group is in `make test`,
too.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backends.lab.making import Made
from backends.lab.variants import VARIANTS
from tests.lab.cases import BAD_STATES, CaseLab, expected, grouped
from tests.lab.harness import SERVERS

FAULTY = (
    # The first group is the small one.
    ("firewall:input@director",),
    ("ipvs-differs:extra@director", "not-persistent:later-file@web2", "gateway:rule@web3"),
    ("firewall:policy@director", "not-persistent:sysctl-conf@web3"),
    ("firewall:output@director",),
    ("firewall:raw@director",),
    ("director-setting@director", "not-persistent:tuned@web1"),
    ("director-setting:rp-filter@director",),
    ("ipvs-differs:fwmark@director",),
    ("ipvs-differs:threshold@web2", "firewall:lan-only@web3"),
    ("ipvs-differs:persistent@director", "not-persistent:snippet@web3"),
    ("not-on-link:route@web3", "service-hung@web2"),
    ("vip-as-source@director",),
    ("director-neighbour@web3", "firewall:mangle@web2"),
    ("duplicate-rip@web2",),
    ("second-director@web1",),
    ("arp-announce:arping@web2",),
    ("arp-leak:address@web2",),
    ("arp-leak:twice@web2", "rip-only-listener:published@web3"),
    ("gateway:blackhole@web2", "path-mtu@web3"),
    ("spoof-filter:stateful@router",),
    ("spoof-filter:replies@router",),
    ("ipvs-differs:masquerade@web2", "arp-leak:vlan@web3"),
    ("ipvs-differs:weight@web1", "gateway:vlan@web2", "not-persistent:source@web3"),
    ("director-setting:drift@director", "path-mtu:replies@web2"),
    ("director-setting:arp-ignore@director",),
    ("vip-as-source:route@director",),
    ("service-hung:queue@web2", "gateway:overlap@web3"),
    ("firewall:published@director",),
    ("firewall:rpfilter@web3", "unreachable:noarp@web1"),
    ("unreachable:arp-ignore@web2",),
)


@pytest.mark.parametrize("names", grouped(FAULTY))
def test_what_is_wrong_is_named_where_it_is_with_and_without_a_client_host(
    cases: CaseLab, names: tuple[str, ...]
) -> None:
    with cases.made(names) as made:
        felt = {one.fault.users for one in made}
        answered, _ = cases.users(6, patience=5 if "large" not in felt else 30)
        if "none" in felt:
            assert answered == 0, "the case is not what it says"
        if "large" in felt:
            assert cases.users(6, large=True, patience=10)[0] < answered
        seen = cases.verify()
        live = cases.status()
        blind = cases.verify(blind=True)
    wanted = expected(made)
    assert seen.named == wanted, seen.failed
    assert seen.verdict == "fail"
    assert all(check["fix"] for check in seen.failed), seen.failed
    assert live.status == 1, live.snapshot
    assert {cause for cause, _ in wanted} <= live.in_status, live.snapshot
    if all(host in ("director", "client") for _, host in wanted) and not _on_servers(made):
        told = [(row["server"], row["state"], row["cause"], row["message"]) for row in live.every_row]
        assert not BAD_STATES & set(live.rows.values()), told  # what is no server's fault is told once
    assert blind.named <= wanted, blind.failed
    seen_blind = expected(one for one in made if not one.fault.blind)
    assert blind.named >= seen_blind, blind.failed
    if seen_blind:
        assert blind.verdict == "fail"


def _on_servers(made: Sequence[Made]) -> bool:
    """Whether the director or the network treats one server unlike the others."""
    return any(one.host in SERVERS for one in made)


def test_every_variant_is_tried() -> None:
    tried = {name.partition("@")[0] for group in FAULTY for name in group}
    assert {one.kind for one in VARIANTS} <= tried
