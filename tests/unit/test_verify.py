"""A verification asks everything side by side, each question once, and hands the checks on in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

import msgspec
import pytest

from dsrwizard.core.model.answers import Claim, Connected, Owners, Ping, Probed, Sent, Talked
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.client_view import ClientView, ClientVip, Passage
from dsrwizard.core.model.deployment import Client, Service
from dsrwizard.core.model.errors import ConnectTimeout
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.ports import Arriving, Hearing, ProbeTarget
from dsrwizard.engine.verify import connect_targets, gather, probe_targets, verify
from tests.unit.diagnosed import VIP, VIP6, Farm, find


class Together:
    """A wire whose every answer waits until all others have been asked for, too."""

    def __init__(self, farm: Farm, parties: int) -> None:
        self._wire = farm.world.wire()
        self._all = threading.Barrier(parties, timeout=60)
        self.asked: dict[str, object] = {}

    def meet(self) -> None:
        self._all.wait()

    def ping(self, addresses: Sequence[str], deadline: float = 1.0, size: int = 0) -> Mapping[str, Ping]:
        if not size:  # how large packets may be is known when the conversations are over
            self.asked["ping"] = list(addresses)
            self.meet()
        return self._wire.ping(addresses, deadline, size)

    def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
        self.meet()
        return self._wire.connect(targets, deadline)

    def owners(self, interface: str, addresses: Sequence[str], deadline: float = 1.0) -> Mapping[str, Owners]:
        self.asked["owners"] = (interface, list(addresses))
        self.meet()
        return self._wire.owners(interface, addresses, deadline)

    def probe(
        self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
    ) -> Sequence[Probed]:
        self.meet()
        return self._wire.probe(interface, targets, deadline, pace)

    def offlink(
        self, interface: str, targets: Sequence[ProbeTarget], sources: Mapping[int, str], deadline: float = 1.0
    ) -> Sequence[Sent]:
        self.meet()
        return self._wire.offlink(interface, targets, sources, deadline)

    def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
        return self._wire.talk(interface, targets, deadline)

    def hear(self, interface: str, addresses: Sequence[str], heard: Callable[[Claim], None]) -> Hearing:
        return self._wire.hear(interface, addresses, heard)

    def arrivals(self, interface: str, vips: Sequence[str]) -> Arriving:
        return self._wire.arrivals(interface, vips)


def test_everything_is_asked_at_the_same_time_and_once() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    wire = Together(farm, parties=5)

    def client() -> ClientView:
        wire.meet()
        return ClientView()

    evidence = gather(farm.deployment, farm.observed(), wire, client)
    rips = ["10.0.0.101", "10.0.0.102", "10.0.0.103"]
    assert wire.asked == {"ping": rips, "owners": ("eth0", [VIP, "10.0.0.11", *rips, "10.0.0.1", "fd00::1"])}
    assert evidence.client == ClientView()
    assert len(evidence.probes) == 6


def test_a_port_is_tried_once_though_two_vips_have_it() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"), services=(Service(port=80), Service(protocol="udp", port=7)))
    assert connect_targets(farm.deployment) == [("10.0.0.101", 80), ("10.0.0.102", 80), ("10.0.0.103", 80)]
    assert len(probe_targets(farm.deployment)) == 12


def test_each_vip_is_probed_through_the_address_of_its_family() -> None:
    farm = Farm(addresses=(VIP, VIP6), servers=1)
    assert [(t.vip, t.rip) for t in probe_targets(farm.deployment)] == [(VIP, "10.0.0.101"), (VIP6, "fd00::101")]


def test_a_server_is_probed_only_for_the_vips_it_serves() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    first = msgspec.structs.replace(farm.deployment.servers[0], vips=("10.0.0.11",))
    deployment = msgspec.structs.replace(farm.deployment, servers=(first,))
    assert [target.vip for target in probe_targets(deployment)] == ["10.0.0.11"]


def test_the_checks_are_handed_on_in_the_order_of_the_report() -> None:
    farm, seen = Farm(), list[Check]()
    report = verify(farm.deployment, farm.observed(), farm.world.wire(), seen=seen.append)
    assert tuple(seen) == report.checks


def test_a_client_host_that_fails_costs_only_its_own_checks() -> None:
    farm = Farm()
    deployment = msgspec.structs.replace(farm.deployment, client=Client(address="203.0.113.10"))

    def client() -> ClientView:
        raise ConnectTimeout("client does not answer.", "No answer within 8 seconds.", "Check that it is up.")

    report = verify(deployment, farm.observed(), farm.world.wire(), client, inside=farm.inside())
    assert {check.host for check in report.checks if check.outcome == "unknown"} == {"client"}
    assert find(report, "client.connect", "client").fix == "Check that it is up."


def test_a_failure_of_the_client_host_may_be_handed_in() -> None:
    farm = Farm()
    failure = Failure(kind="login", what="client refused the login.")
    assert verify(farm.deployment, farm.observed(), farm.world.wire(), failure).verdict == "unknown"


@pytest.mark.parametrize("spelling", ["fd00:0::10", "FD00::10"])
def test_the_spelling_of_an_address_does_not_matter(spelling: str) -> None:
    farm = Farm(addresses=(VIP6,))
    vip = msgspec.structs.replace(farm.deployment.vips[0], address=spelling)
    deployment = msgspec.structs.replace(farm.deployment, vips=(vip,))
    report = verify(deployment, farm.observed(), farm.world.wire())
    assert {check.check for check in report.failures} <= {"server.persistent"}


def test_without_a_client_host_the_report_says_what_was_not_seen() -> None:
    report = Farm().verify()
    assert report.verdict == "pass"
    assert any("No client host is named" in text for text in report.not_seen)
    farm = Farm()
    farm.server("web2").ssh = False
    assert any(text.startswith("web2 could not be looked at from within") for text in farm.verify().not_seen)


def test_what_was_not_tried_from_the_client_host_is_told_by_name() -> None:
    farm = Farm()
    view = ClientView(vips=(ClientVip(vip=VIP, passages={80: Passage(given={5001: "10.0.0.101"})}),))
    assert "The client host was not sent to web2, web3 for 10.0.0.10 tcp/80." in farm.verify(client=view).not_seen


def test_an_application_that_was_not_heard_is_told() -> None:
    farm = Farm()
    farm.server("web3").hung = True
    seen = farm.verify().not_seen
    assert "No answer of the application behind 10.0.0.10 tcp/80 was heard from web3." in seen


def test_the_report_is_the_json_of_the_contract() -> None:
    farm = Farm()
    del farm.server("web2").machine.links["lo"].addresses[VIP]
    text = msgspec.json.encode(farm.verify())
    document = msgspec.json.decode(text)
    assert (document["deployment"], document["verdict"]) == ("shop", "fail")
    assert document["not_seen"]
    failed = [check for check in document["checks"] if check["outcome"] == "fail"]
    assert [{k: check[k] for k in ("check", "host", "vip", "service", "cause")} for check in failed] == [
        {"check": "vip.probe", "host": "web2", "vip": VIP, "service": "tcp/80", "cause": "vip-missing"}
    ]
    assert all(failed[0][key] for key in ("message", "evidence", "fix"))
    assert msgspec.json.decode(text, type=Report).failures[0].cause == "vip-missing"
