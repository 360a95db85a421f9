"""An application that takes connections and says nothing, and large packets that get lost: named by comparison."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from dsrwizard.core.model.answers import Talked
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.facts import Listener
from dsrwizard.core.ports import ProbeTarget
from tests.fakes.filters import input_drops
from tests.unit.diagnosed import VIP, Altered, Farm, faults, find, firewall, only

WEB2 = "10.0.0.102"


def test_applications_that_answer_pass_with_what_they_were_asked() -> None:
    report = Farm().verify()
    assert report.verdict == "pass"
    check = find(report, "vip.answer", "web2")
    assert (check.outcome, "asked in HTTP" in check.evidence) == ("pass", True)
    assert find(report, "vip.size", "web2").outcome == "pass"


def test_an_application_that_only_shakes_hands_while_others_answer_is_named() -> None:
    farm = Farm()
    farm.server("web2").hung = True
    report = farm.verify()
    check = only(report)
    assert (check.check, check.cause, check.host, check.service) == ("vip.answer", "service-hung", "web2", "tcp/80")
    assert "2 times" in check.evidence
    assert "restart it" in check.fix
    assert find(report, "vip.probe", "web2").outcome == "pass"


def test_one_that_answers_when_asked_again_with_patience_is_only_slow() -> None:
    farm = Farm()

    def slow(talked: Talked) -> Talked:
        if talked.rip != WEB2 or talked.waited > 1:
            return talked
        return msgspec.structs.replace(talked, result="hung", milliseconds=None)

    report = farm.verify(wire=Altered(farm, talked=slow))
    assert (report.verdict, find(report, "vip.answer", "web2").outcome) == ("pass", "pass")


def test_where_nobody_answers_in_a_known_protocol_nobody_is_convicted_and_it_is_no_pass() -> None:
    farm = Farm()
    for state in farm.world.servers.values():
        state.hung = True
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "vip.answer", "web2").outcome == "unknown"


def test_where_nobody_speaks_first_on_a_port_of_no_known_protocol_it_is_told_and_no_doubt() -> None:
    farm = Farm(services=(Service(port=4711),))
    for state in farm.world.servers.values():
        state.machine.listeners = [msgspec.structs.replace(one, port=4711) for one in state.machine.listeners]
        state.hung = True
    report = farm.verify()
    assert (report.verdict, report.failures) == ("pass", ())
    assert find(report, "vip.answer", "web2").outcome == "skipped"


@pytest.mark.parametrize("result", ["closed", "reset"])
def test_one_that_ends_the_directors_connection_is_told_and_not_convicted(result: str) -> None:
    """It may let only some addresses in."""
    farm = Farm()

    def ended(talked: Talked) -> Talked:
        return msgspec.structs.replace(talked, result=result) if talked.rip == WEB2 else talked

    report = farm.verify(wire=Altered(farm, talked=ended))
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "vip.answer", "web2").outcome == "unknown"


def test_applications_that_all_close_what_the_director_opens_are_there_and_no_doubt() -> None:
    """A web server may end every request for a name it does not serve."""
    farm = Farm()

    def closed(talked: Talked) -> Talked:
        return msgspec.structs.replace(talked, result="closed", milliseconds=None)

    report = farm.verify(wire=Altered(farm, talked=closed))
    assert (report.verdict, report.failures) == ("pass", ())
    assert find(report, "vip.answer", "web2").outcome == "skipped"


@pytest.mark.parametrize(("waiting", "named"), [(129, True), (128, True), (127, False)])
def test_a_server_where_no_more_connections_may_wait_is_named_by_its_queue(waiting: int, named: bool) -> None:
    """Its kernel drops SYNs (tcp_conn_request: sk_acceptq_is_full), which looks like a filter from outside."""
    farm = Farm()
    state = farm.server("web2")
    state.dropped.add(("tcp", 80))
    state.filters = ()
    state.machine.listeners = [
        msgspec.structs.replace(one, waiting=waiting, room=128) if one.port == 80 else one
        for one in state.machine.listeners
    ]
    state.machine.listeners.append(Listener(protocol="tcp", address="::", port=80, room=128))  # IPv6's own queue
    report = farm.verify()
    assert faults(report) == ([("service-hung", "web2")] if named else [])
    if named:
        check = only(report)
        assert f"{waiting} wait for it" in check.message
    else:
        assert report.verdict == "unknown"


def test_two_vips_with_one_hung_application_are_one_fault() -> None:
    farm = Farm(addresses=(VIP, "10.0.0.11"))
    farm.server("web3").hung = True
    assert faults(farm.verify()) == [("service-hung", "web3")]


def test_nobody_is_talked_to_whose_probe_failed_or_whose_vip_the_director_lacks() -> None:
    farm = Farm()
    firewall(farm, "web2")
    asked: list[str] = []

    class Counted(Altered):
        def talk(self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 2.0) -> Sequence[Talked]:
            asked.extend(target.rip for target in targets)
            return super().talk(interface, targets, deadline)

    farm.verify(wire=Counted(farm))
    assert asked == ["10.0.0.101", "10.0.0.103"]
    asked.clear()
    del farm.world.machine.links["eth0"].addresses[VIP]
    farm.verify(wire=Counted(farm))
    assert asked == []


def test_large_packets_that_one_server_does_not_get_are_its_path() -> None:
    farm = Farm()
    farm.server("web3").carries = 1300
    check = only(farm.verify())
    assert (check.check, check.cause, check.host) == ("vip.size", "path-mtu", "web3")
    assert "6 packets of 1500 bytes" in check.evidence
    assert "MTU" in check.fix


def test_a_login_that_large_packets_of_never_arrive_follows_from_that() -> None:
    farm = Farm()
    farm.server("web3").carries = 1300
    farm.server("web3").ssh = False
    report = farm.verify()
    assert faults(report) == [("path-mtu", "web3")]
    assert find(report, "server.access", "web3").consequence_of == "path-mtu"


def test_large_packets_that_one_server_sends_and_nobody_gets_are_its_path() -> None:
    farm = Farm()
    farm.server("web3").returns = 1300
    report = farm.verify()
    check = only(report)
    assert (check.check, check.cause, check.host) == ("server.size", "path-mtu", "web3")
    assert "that web3 sends are lost" in check.message
    assert "2 echoes of 1500 bytes to 10.0.0.103 without an answer" in check.evidence
    assert find(report, "vip.size", "web3").outcome == "pass"


@pytest.mark.parametrize("hidden", [True, False])
def test_large_echoes_that_a_filter_may_drop_are_told_and_no_fault(hidden: bool) -> None:
    farm = Farm()
    farm.server("web3").returns = 1300
    farm.server("web3").filters = input_drops("-p icmp -m length --length 200:65535 -j DROP")
    farm.server("web3").filters_hidden = hidden
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "server.size", "web3").outcome == "unknown"


def test_large_echoes_that_nobody_answers_are_no_doubt() -> None:
    """A switch or a policy may drop them all."""
    farm = Farm()
    for state in farm.world.servers.values():
        state.returns = 1300
    report = farm.verify()
    assert (report.verdict, report.failures) == ("pass", ())


def test_large_packets_that_no_server_gets_convict_nobody_and_are_no_pass() -> None:
    farm = Farm()
    for state in farm.world.servers.values():
        state.carries = 1300
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "vip.size", "web1")
    assert (check.outcome, check.fix) == ("unknown", "From the director: ping -M do -s 1472 10.0.0.101")


def test_a_single_large_frame_that_got_lost_is_no_fault() -> None:
    farm = Farm()

    def lost(talked: Talked) -> Talked:
        return msgspec.structs.replace(talked, large=False) if talked.rip == WEB2 and talked.waited <= 1 else talked

    assert farm.verify(wire=Altered(farm, talked=lost)).verdict == "pass"
