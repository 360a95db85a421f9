"""What a fault elsewhere makes of a server's row: it is told as what it is, not as the server's own."""

from __future__ import annotations

from dsrwizard.core.live.findings import Finding
from dsrwizard.core.live.judge import SeenOfServer, judged
from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.deployment import RealServer, Service

VIP, WEB1, SERVICE = "10.0.0.10", RealServer(name="web1", address="10.0.0.101"), Service(port=80)
SOURCE = Finding(
    cause="vip-as-source", message="The director asks as the VIP.", fix="On the director: …", elsewhere=True
)
AWAY = Finding(cause="unreachable", message="web1 does not answer at its address 10.0.0.101.")


def test_a_director_that_asks_as_the_vip_makes_no_server_unreachable() -> None:
    row = judged(WEB1, SERVICE, VIP, SeenOfServer(gone=True, findings=(AWAY, SOURCE)))
    assert (row.state, row.cause, row.message) == ("unknown", "vip-as-source", SOURCE.message)


def test_a_server_that_is_gone_is_unreachable_whatever_else_is_wrong() -> None:
    other = Finding(cause="ipvs-differs", message="IPVS has another scheduler.", elsewhere=True)
    row = judged(WEB1, SERVICE, VIP, SeenOfServer(gone=True, findings=(AWAY, other)))
    assert (row.state, row.cause) == ("unreachable", "unreachable")


def test_an_answer_by_the_servers_own_router_is_good_where_verify_found_it_so() -> None:
    probe = Probed(
        vip=VIP, port=80, protocol="tcp", rip=WEB1.address, mac="02:00:0a:00:00:65", signature="syn-ack",
        answered_by="02:00:0a:00:00:01",
    )  # fmt: skip
    assert judged(WEB1, SERVICE, VIP, SeenOfServer(probe=probe)).state == "vip-dead"
    assert judged(WEB1, SERVICE, VIP, SeenOfServer(probe=probe, doubt="served")).state == "up"


def test_a_silent_probe_that_convicts_nobody_is_dead_where_a_client_was_left_unanswered_too() -> None:
    probe = Probed(
        vip=VIP, port=80, protocol="tcp", rip=WEB1.address, mac="02:00:0a:00:00:65", signature="silence"
    )  # fmt: skip
    assert judged(WEB1, SERVICE, VIP, SeenOfServer(probe=probe, doubt="unknown")).state == "unknown"
    unanswered = Finding(cause="", message="web1 was given 2 connections and left 2 unanswered.", at=5.0)
    seen = SeenOfServer(probe=probe, doubt="unknown", findings=(unanswered,), changed=4.0)
    row = judged(WEB1, SERVICE, VIP, seen)
    assert (row.state, row.cause, row.message) == ("vip-dead", "", unanswered.message)
    older = SeenOfServer(probe=probe, doubt="unknown", findings=(unanswered,), changed=6.0)
    assert judged(WEB1, SERVICE, VIP, older).state == "unknown"
