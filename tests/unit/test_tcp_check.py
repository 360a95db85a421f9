"""keepalived asks each real server at its own address: one whose application listens on the VIP alone is out for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsrwizard.core.model.changes import ServiceKey
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.facts import Listener
from tests.unit.diagnosed import VIP
from tests.unit.test_keepalived_plan import planned, seen, settled
from tests.unit.test_several_directors import Keeping


@pytest.fixture
def keeping(tmp_path: Path) -> Keeping:
    return Keeping(tmp_path)


def out(keeping: Keeping, address: str) -> Check:
    """What is said of web1, whose application listens on this address and which has weight 0."""
    keeping.server("web1").machine.listeners = [Listener(protocol="tcp", address=address, port=80, process="nginx")]
    keeping.world.ipvs.set_weight(ServiceKey(VIP, "tcp", 80), "10.0.0.101", 80, 0)
    (check,) = [one for one in keeping.verify().checks if (one.check, one.server) == ("director.destination", "web1")]
    return check


def test_a_server_that_is_out_for_it_is_named_with_what_to_do(keeping: Keeping) -> None:
    check = out(keeping, VIP)
    assert (check.outcome, check.cause, check.server) == ("fail", "drained", "web1")
    assert "keepalived asks it at 10.0.0.101:80, where it takes no connection" in check.message
    assert check.fix.startswith("On web1: have the application listen on 10.0.0.101 port 80, too")


def test_one_that_listens_there_is_out_for_something_else(keeping: Keeping) -> None:
    check = out(keeping, "*")
    assert (check.cause, "keepalived asks it" in check.message) == ("drained", False)


def test_the_plan_says_it_before_the_first_apply_and_not_again() -> None:
    assert [note for note in planned(seen())["lb2"].notes if "TCP_CHECK" in note]
    assert not [note for note in planned(settled())["lb2"].notes if "TCP_CHECK" in note]
