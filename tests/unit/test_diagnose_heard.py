"""A verification listens while it looks: whoever names the VIP as its own is named, nobody for what another said."""

from __future__ import annotations

from typing import Literal

import pytest

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.checks import Report
from tests.unit.diagnosed import STRANGER, VIP, Altered, Farm, arp_announce, faults, find, only

WEB2_MAC = "02:00:0a:00:00:66"
DIRECTOR_MAC = "02:00:0a:00:00:02"
Kind = Literal["reply", "request", "gratuitous", "advertisement", "solicitation"]


def while_looking(farm: Farm, mac: str, kind: Kind = "gratuitous", by: str = "") -> Report:
    """A machine says so in the midst of a verification."""

    def says(probed: Probed) -> Probed:
        farm.world.claim(VIP, mac, kind, by)
        return probed

    return farm.verify(wire=Altered(farm, probe=says))


@pytest.mark.parametrize("kind", ["gratuitous", "request"])
def test_a_real_server_that_announces_the_vip_is_named(kind: Kind) -> None:
    check = only(while_looking(Farm(), WEB2_MAC, kind))
    assert (check.check, check.cause, check.host, check.vip) == ("arp.heard", "arp-announce", "web2", VIP)
    assert f"announces {VIP} as its own on the wire ({WEB2_MAC})" in check.message
    assert "3 times" in check.evidence
    assert "ARPUPDATE" in check.fix  # the guard is on: it is no setting of the kernel's


def test_behind_the_guard_that_is_off_it_is_that_one_fault() -> None:
    farm = Farm()
    arp_announce(farm, "web2")
    report = while_looking(farm, WEB2_MAC, "request")
    assert faults(report) == [("arp-announce", "web2")]
    assert find(report, "arp.heard", "web2").consequence_of == "arp-announce"


def test_a_stranger_that_announces_the_vip_has_it_too() -> None:
    check = only(while_looking(Farm(), STRANGER))
    assert (check.check, check.cause, check.host) == ("arp.heard", "duplicate-vip", "director")
    assert STRANGER in check.fix


def test_one_that_answers_who_has_as_well_is_one_fault() -> None:
    farm = Farm()
    farm.world.strangers[VIP] = [STRANGER]
    assert faults(while_looking(farm, STRANGER)) == [("duplicate-vip", "director")]


@pytest.mark.parametrize(
    ("mac", "kind", "by"),
    [(DIRECTOR_MAC, "gratuitous", ""), (WEB2_MAC, "reply", ""), (WEB2_MAC, "gratuitous", STRANGER)],
)
def test_what_is_right_what_the_audit_asked_and_what_another_said_is_no_announcement(
    mac: str, kind: Kind, by: str
) -> None:
    assert "arp-announce" not in {cause for cause, _ in faults(while_looking(Farm(), mac, kind, by))}


def test_nobody_listens_any_more_when_it_is_over() -> None:
    farm = Farm()
    farm.verify()
    assert farm.world.hearings == []
