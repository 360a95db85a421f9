"""Large requests from the client host: a path that carries less than the hosts believe is named by comparison."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.diagnosis import diagnose
from dsrwizard.core.dialects.client import parse, script
from dsrwizard.core.model.checks import Report
from dsrwizard.engine.client_looks import look
from dsrwizard.engine.verify import gather
from tests.unit.diagnosed import find, only
from tests.unit.test_client_rounds import Seen
from tests.unit.test_diagnose_client_host import NONCE, VIP, Here, deployment


@pytest.fixture
def seen() -> Seen:
    return Seen()


def from_outside(seen: Seen) -> Report:
    """What the client host alone shows: the director's own large packets pass."""
    view = look(seen.farm.deployment, seen.host, seen.farm.world.director(), counting=0.0)
    for state in seen.farm.world.servers.values():
        state.carries = 1500
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
    assert f"'{VIP} 80 5 big'" in script(deployment(), NONCE, plan, large=True)
    text = f"{NONCE} big {VIP} 80 open 1.2 203.0.113.10 5001 2.4 3100 890 - -\n{NONCE} end"
    (one,) = parse(deployment(), NONCE, text)[0].large
    assert (one.client_port, one.first_byte, one.sent) == (5001, 2.4, 3100)
    assert parse(deployment(), NONCE, text)[0].tries == ()
    service = msgspec.structs.replace(seen.farm.deployment.vips[0].services[0], port=22)
    vip = msgspec.structs.replace(seen.farm.deployment.vips[0], services=(service,))
    there = msgspec.structs.replace(seen.farm.deployment, vips=(vip,))
    look(there, seen.host, seen.farm.world.director(), counting=0.0)
    assert not [run for run in seen.host.runs if " big'" in run]
