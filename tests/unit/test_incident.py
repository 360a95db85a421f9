"""The incident as text: everything a ticket needs, nothing a terminal would act on."""

from __future__ import annotations

import re
from datetime import timedelta, timezone
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard import __version__
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.foreign import harmless
from dsrwizard.core.model.snapshot import DestinationRow, Happening, Latency, Snapshot, Totals
from dsrwizard.core.record.timeline import remembered
from dsrwizard.core.tell.incident import LAST_EVENTS, incident, span, time_with_zone
from dsrwizard.session import incident_path, incident_text, save_incident, state_dir
from tests.fakes.pictures import AT, destination, picture, service

DEAD = msgspec.structs.replace(
    destination("web2", state="vip-dead"),
    cause="vip-missing",
    message="The VIP is not on web2.",
    fix="ip addr add 10.0.0.10/32 dev lo",
    since=AT - 754,
    latency=Latency(minimum=0.4, median=0.6, maximum=1.1, sent=60, lost=13),
)


def snapshot(*rows: DestinationRow, **others: object) -> Snapshot:
    made = service("10.0.0.10", rows or (destination("web1"), DEAD))
    made = msgspec.structs.replace(made, totals=Totals(connections=81_000, in_packets=486_000, in_bytes=38_880_000))
    values = {"happenings": (), "unseen": ()} | others
    return msgspec.structs.replace(picture((made,)), **values)


def test_it_says_what_since_when_where_why_and_what_to_do() -> None:
    text = incident(snapshot())
    for expected in (
        "deployment shop", "1 of 2 real servers: vip-dead", "(12 min)", "Hosts: web2", "web2 (10.0.0.101): vip-dead",
        "Services: 10.0.0.10 tcp/80", "Cause:    vip-missing: The VIP is not on web2.", "silence",
        "13 of 60 without a good answer", "Fix:      ip addr add 10.0.0.10/32 dev lo",
        "connections 81000, packets in 486000, bytes in 38880000", "VIP owner: director", f"dsrwizard {__version__}",
    ):  # fmt: skip
        assert expected in text, text
    assert "Hosts: web1" not in text


def test_nothing_wrong_is_said_to_be_so() -> None:
    text = incident(snapshot(destination("web1"), destination("web2", state="draining", weight=0)))
    assert "No fault was seen." in text
    assert "Since:" not in text
    assert "draining: web2" in text


def test_what_was_not_seen_and_old_numbers_are_said() -> None:
    text = incident(snapshot(problem="No permission to read IPVS.", unseen=("web3: no login.",)))
    assert "may be old. No permission to read IPVS." in text
    assert "Not checked\n  web3: no login." in text


def test_a_stolen_vip_and_a_missing_service_are_the_incident() -> None:
    made = picture().services[0]
    stolen = msgspec.structs.replace(made, owner="02:00:0a:00:00:99", rows=(destination("web1"),))
    missing = msgspec.structs.replace(made, vip="10.0.0.11", present=False, rows=(destination("web1"),))
    text = incident(picture((stolen, missing)))
    assert "10.0.0.10 is answered by 02:00:0a:00:00:99, not by the director." in text
    assert "Not in IPVS: 10.0.0.11 tcp/80." in text


def test_a_verification_adds_its_evidence_without_mere_consequences() -> None:
    def check(**others: str) -> Check:
        values = {"check": "vip.probe", "outcome": "fail", "host": "web2", "message": "No answer."} | others
        return Check(**values)  # type: ignore[arg-type]

    report = Report(
        deployment="shop",
        verdict="fail",
        checks=(
            check(cause="vip-missing", evidence="ip addr shows no 10.0.0.10", fix="add it"),
            check(host="client", message="Only two servers answered.", consequence_of="vip-missing"),
            check(check="arp.audit", outcome="pass", message="Silent."),
        ),
    )
    text = incident(snapshot(), report)
    assert "Evidence: ip addr shows no 10.0.0.10" in text
    assert "Verification: fail" in text
    assert "Only two servers" not in text
    assert "Silent." not in text
    alone = incident(snapshot(destination("web1")), report)
    assert "The verification failed: vip-missing." in alone


def test_the_last_events_of_disk_and_watch_stand_in_order_each_once() -> None:
    def event(at: float, message: str) -> Happening:
        return Happening(at=at, host="web2", message=message, state="vip-dead", before="up", vip=message)

    old = [event(AT - 1000 + number, f"event-{number:03}") for number in range(40)]
    text = incident(snapshot(happenings=tuple(old[-3:])), events=old)
    assert re.findall(r"event-\d+", text) == [f"event-{number:03}" for number in range(40 - LAST_EVENTS, 40)]
    assert "Last events\n  none" in incident(snapshot())


def test_a_hundred_dead_services_of_one_host_are_one_fault() -> None:
    rows = [msgspec.structs.replace(DEAD, vip=f"10.0.{number}.10") for number in range(100)]
    text = incident(picture(tuple(service(row.vip, (row,)) for row in rows)))
    assert text.count("Fix: ") == 1
    assert "and 80 more" in text
    assert len(text.splitlines()) < 150


def test_times_are_in_the_zone_asked_for() -> None:
    zone = timezone(timedelta(hours=2))
    assert time_with_zone(1_772_373_600.0, zone) == "2026-03-01 16:00:00 +0200"
    assert "+0200" in incident(snapshot(), zone=zone)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3600, "1 h"),
        (11_100, "3 h 5 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_a_duration_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


@given(st.text(max_size=60))
def test_words_of_a_host_stay_on_their_line_and_do_nothing_to_a_terminal(words: str) -> None:
    row = msgspec.structs.replace(DEAD, message=words, fix=words)
    plain = len(incident(snapshot(msgspec.structs.replace(DEAD, message="x", fix="x"))).splitlines())
    text = incident(snapshot(row, happenings=(Happening(at=AT, host="web2", message=words),)))
    assert all(harmless(line) for line in text.split("\n"))
    assert len(text.splitlines()) == plain


# --- since when, as the timeline knows it ----------------------------------------------------------------------------


def test_a_single_look_learns_from_the_timeline_since_when() -> None:
    def event(at: float, state: str, **others: str) -> Happening:
        place = {"host": "web2", "vip": "10.0.0.10", "service": "tcp/80"} | others
        return Happening(at=at, state=state, message="", **place)  # type: ignore[arg-type]

    fresh = snapshot(destination("web1"), msgspec.structs.replace(DEAD, since=AT))
    seen = remembered(fresh, [event(AT - 900, "up"), event(AT - 600, "vip-dead")])
    assert [row.since for row in seen.services[0].rows] == [fresh.services[0].rows[0].since, AT - 600]
    learnt = event(AT - 300, "vip-dead", before="vip-dead")  # only what its cause is
    assert remembered(fresh, [event(AT - 600, "vip-dead"), learnt]).services == seen.services
    other = remembered(fresh, [event(AT - 600, "vip-dead"), event(AT - 300, "up")])
    assert other.services[0].rows[1].since == AT, "it was up in between"
    whole_host = remembered(fresh, [event(AT - 500, "vip-dead", vip="", service="")])
    assert whole_host.services[0].rows[1].since == AT - 500
    assert whole_host.happenings == (event(AT - 500, "vip-dead", vip="", service=""),)


# --- saved -----------------------------------------------------------------------------------------------------------


def test_it_is_saved_for_its_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = incident_path("shop", AT)
    assert path.parent == state_dir() / "incidents"
    text = incident_text(snapshot())
    save_incident(path, text)
    assert path.read_text() == text
    assert path.stat().st_mode & 0o777 == 0o600
    assert "Linux" in text
    (tmp_path / "file").write_text("")
    with pytest.raises(DsrError, match="could not be saved"):
        save_incident(tmp_path / "file" / "x.txt", text)
