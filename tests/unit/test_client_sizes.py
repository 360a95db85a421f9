"""Large requests from the client host: a path that carries less than the hosts believe is named by comparison."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.diagnosis.client_large import cut_off
from dsrwizard.core.dialects.client import parse, script
from dsrwizard.core.model.checks import Report
from dsrwizard.engine.client_looks import look
from dsrwizard.engine.verify import gather
from tests.unit.diagnosed import find, only
from tests.unit.test_client_rounds import LARGE, Seen
from tests.unit.test_diagnose_client_host import NONCE, VIP, Here, deployment


@pytest.fixture
def seen() -> Seen:
    return Seen()


def from_outside(seen: Seen) -> Report:
    """What the client host alone shows: the director's own large packets pass."""
    view = look(seen.farm.deployment, seen.host, seen.farm.world.director(), counting=0.0)
    for state in seen.farm.world.servers.values():
        state.carries = state.returns = 1500
    return diagnose(
        gather(seen.farm.deployment, seen.farm.observed(), seen.farm.world.wire(), view, seen.farm.inside())
    )


def test_large_requests_that_are_answered_pass_with_what_came_back(seen: Seen) -> None:
    check = find(seen.verify(), "client.size", "client")
    assert check.outcome == "pass"
    assert "requests of 3100 bytes; no reply was larger than" in check.evidence


def test_a_server_that_leaves_large_requests_alone_unanswered_is_named_with_its_way(seen: Seen) -> None:
    seen.farm.server("web3").carries = 1300
    check = only(from_outside(seen))
    assert (check.check, check.host, check.cause) == ("client.size", "web3", "path-mtu")
    assert "packets of full size do reach it from the director" in check.message
    assert "other servers answered theirs" in check.evidence


def test_what_the_director_sees_of_the_same_is_one_fault(seen: Seen) -> None:
    seen.farm.server("web3").carries = 1300
    report = seen.verify()
    check = only(report)
    assert (check.check, check.host, check.cause) == ("vip.size", "web3", "path-mtu")
    assert find(report, "client.size", "web3").consequence_of == "path-mtu"


def test_large_requests_that_nobody_answers_blame_nobody_and_are_no_pass(seen: Seen) -> None:
    for state in seen.farm.world.servers.values():
        state.carries = 1300
    report = from_outside(seen)
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "client.size", "client")
    assert "small ones are" in check.message
    assert "ping -M do" in check.fix


def with_page(seen: Seen, page: str) -> Seen:
    """The same farm whose deployment names a page."""
    service = msgspec.structs.replace(seen.farm.deployment.vips[0].services[0], page=page)
    vip = msgspec.structs.replace(seen.farm.deployment.vips[0], services=(service,))
    seen.farm.deployment = msgspec.structs.replace(seen.farm.deployment, vips=(vip,))
    return seen


def test_a_large_page_shows_that_replies_of_full_size_arrive_and_the_report_misses_nothing_of_it(seen: Seen) -> None:
    report = with_page(seen, "/large").verify()
    check = find(report, "client.size", "client")
    assert (check.outcome, "replies of up to 20000 bytes" in check.evidence) == ("pass", True)
    assert not [one for one in report.not_seen if "replies of full size" in one]


def test_without_a_large_page_the_report_says_that_large_replies_were_not_seen(seen: Seen) -> None:
    assert [one for one in seen.verify().not_seen if "replies of full size" in one]


def test_a_server_whose_large_replies_alone_are_cut_off_is_named(seen: Seen) -> None:
    seen.farm.server("web2").returns = 1300
    check = only(from_outside(with_page(seen, "/large")))
    assert (check.check, check.host, check.cause) == ("client.size", "web2", "path-mtu")
    assert "with no more than 280 bytes of their reply" in check.evidence
    assert "its replies are the likelier" in check.message


def test_a_page_that_is_small_on_one_server_is_no_lost_packet(seen: Seen) -> None:
    plain = f"{NONCE} big {VIP} 80 open 1.2 203.0.113.10 %d 2.4 3100 %d - - %d\n"
    text = plain % (5001, 20_000, 1) + plain % (5003, 300, 1) + plain % (5005, 300, 0) + f"{NONCE} end"
    whole, small, cut = parse(deployment(), NONCE, text)[0].large
    assert cut_off({"10.0.0.101": [whole], "10.0.0.102": [small], "10.0.0.103": [cut]}) == {"10.0.0.103"}
    assert cut_off({"10.0.0.102": [small], "10.0.0.103": [cut]}) == frozenset()


def test_connections_that_do_not_open_are_no_question_of_size(seen: Seen) -> None:
    seen.host.flaky.add("10.0.0.102")
    report = seen.verify()
    assert "path-mtu" not in {check.cause for check in report.failures}
    assert find(report, "client.size", "client").outcome == "pass"


@pytest.mark.parametrize(("tools", "counted"), [(("python3",), 2), (("bash", "timeout"), 0)])
def test_the_script_sends_large_requests_by_python_alone(tmp_path: Path, tools: tuple[str, ...], counted: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        there = deployment("127.0.0.1", port=port)
        text = script(there, NONCE, {("127.0.0.1", port): 2}, all_=False, large=True)
        (seen,) = parse(there, NONCE, Here(tmp_path, tools).run(text, deadline=60).stdout)
    assert (len(seen.large), seen.tries) == (counted, ())
    assert all(one.sent and one.sent > 2900 for one in seen.large)


def test_only_services_that_speak_http_are_sent_large_requests(seen: Seen) -> None:
    plan = {(VIP, 80): 5}
    assert f"'{VIP} 80 5 big /'" in script(deployment(), NONCE, plan, large=True)
    text = f"{NONCE} big {VIP} 80 open 1.2 203.0.113.10 5001 2.4 3100 890 - - 1\n{NONCE} end"
    (one,) = parse(deployment(), NONCE, text)[0].large
    assert (one.client_port, one.first_byte, one.sent, one.ended) == (5001, 2.4, 3100, True)
    assert parse(deployment(), NONCE, text)[0].tries == ()
    service = msgspec.structs.replace(seen.farm.deployment.vips[0].services[0], port=22)
    vip = msgspec.structs.replace(seen.farm.deployment.vips[0], services=(service,))
    there = msgspec.structs.replace(seen.farm.deployment, vips=(vip,))
    look(there, seen.host, seen.farm.world.director(), counting=0.0)
    assert not [run for run in seen.host.runs if LARGE.search(run)]
