"""The script for the client host runs in a plain POSIX shell, and what it prints is read without trust."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.dialects.client import parse, script
from dsrwizard.core.dialects.client.parse import MOST_LINES
from dsrwizard.core.dialects.client.shell import PATIENT, SECONDS
from dsrwizard.core.model.client_view import ClientView
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.ports import Answer, OnLine
from dsrwizard.engine.client_looks import look
from tests.ports import free_port

NONCE = "dsr0123456789abcdef"
VIP, VIP6 = "10.0.0.10", "fd00::10"
CLIENT = "203.0.113.10"


def deployment(*addresses: str, port: int = 80) -> Deployment:
    services = (Service(port=port), Service(protocol="udp", port=7))
    return Deployment(
        name="shop",
        director=Director(interface="eth0"),
        vips=tuple(Vip(address=address, services=services) for address in addresses or (VIP,)),
        servers=(RealServer(name="web1", address="10.0.0.101"),),
    )


RECORDED = f"""
{NONCE} tcp {VIP} 80 open 3

{NONCE} ping {VIP} answered 0.412

{NONCE} link {VIP} near

{NONCE} mac {VIP} 02:00:0A:00:00:02

{NONCE} end
"""


def test_a_recorded_answer_is_read() -> None:
    seen = parse(deployment(), NONCE, RECORDED)[0]
    assert (seen.ping, seen.milliseconds) == ("answered", 0.412)
    assert (seen.on_link, seen.neighbour) == (True, "02:00:0a:00:00:02")
    assert [(c.port, c.result, c.milliseconds) for c in seen.connects] == [(80, "open", 3.0)]


def test_each_vip_gets_its_own_lines() -> None:
    text = RECORDED.replace("end", f"ping {VIP6} silent -\n{NONCE} tcp {VIP6} 80 refused 1\n{NONCE} end")
    four, six = parse(deployment(VIP, VIP6), NONCE, text)
    assert (four.ping, four.connects[0].result) == ("answered", "open")
    assert (six.ping, six.connects[0].result, six.on_link) == ("silent", "refused", None)


def test_an_answer_that_is_cut_short_is_refused() -> None:
    with pytest.raises(AnswerUnreadable):
        parse(deployment(), NONCE, RECORDED.replace("end", "en"))


@pytest.mark.parametrize(
    "hostile",
    [
        f"tcp {VIP} 80 open 1",
        f"dsrffffffffffffffff tcp {VIP} 80 open 1",
        f"{NONCE} tcp {VIP} 80 wide-open 1",
        f"{NONCE} tcp {VIP} 99999999999999999999 open 1",
        f"{NONCE} tcp {VIP} ８0 open",
        f"{NONCE} tcp 10.0.0.11 80 open 1",
        f"{NONCE} ping {VIP} answered",
        f"{NONCE} ping {VIP} alive 1",
        f"{NONCE} link {VIP} nearby",
        f"{NONCE} mac {VIP} not:a:mac:at:all:!!",
        f"{NONCE} mac {VIP} 02:00:0a:00:00:02:ff",
        f"{NONCE} tcp {VIP} 80 open 1.2 {CLIENT} 5001 2.4 78",
        f"{NONCE} tcp",
        f"{NONCE} tap",
        f"{NONCE} frame {VIP} 80 5001 02:00:0a:00:00:02 63 1",
        f"{NONCE}",
    ],
)
def test_what_is_not_understood_counts_as_not_seen(hostile: str) -> None:
    seen = parse(deployment(), NONCE, f"{hostile}\n{NONCE} end\n")[0]
    assert (seen.ping, seen.on_link, seen.neighbour) == ("unknown", None, "")
    assert all(connected.result == "unknown" for connected in seen.connects)


TRIED = f"""
{NONCE} tcp {VIP} 80 open 1.21 {CLIENT} 5001 2.40 78 890 79 891
{NONCE} tcp {VIP} 80 silent - {CLIENT} 5003 - 0 0 0 0
{NONCE} frame {VIP} 80 5001 02:00:CB:00:71:01 63 4
{NONCE} tap on
{NONCE} end
"""


def test_every_connection_is_read_with_its_port_its_bytes_and_its_reply_frames() -> None:
    seen = parse(deployment(), NONCE, TRIED)[0]
    first, second = seen.tries
    assert (first.client, first.client_port, first.milliseconds, first.first_byte) == (CLIENT, 5001, 1.21, 2.4)
    assert (first.sent, first.received) == (78, 890)
    assert [(one.mac, one.ttl, one.frames) for one in first.replies] == [("02:00:cb:00:71:01", 63, 4)]
    assert (second.result, second.client_port, second.milliseconds, second.replies) == ("silent", 5003, None, ())
    assert [(one.port, one.result) for one in seen.connects] == [(80, "open")]
    assert seen.untapped == ""


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("02:00:CB:00:71:01", "02:00:cb"), (" 63 4", " 0 4"), (" 63 4", " 256 4"), (" 63 4", " 63 -4"),
        ("frame 10.0.0.10 80 5001", "frame 10.0.0.10 80 5009"), ("frame 10.0.0.10 80", "frame 10.0.0.10 81"),
    ],
)  # fmt: skip
def test_a_frame_that_makes_no_sense_or_belongs_to_nobody_is_no_reply(old: str, new: str) -> None:
    assert old in TRIED
    assert all(not one.replies for one in parse(deployment(), NONCE, TRIED.replace(old, new))[0].tries)


@pytest.mark.parametrize(
    ("old", "new"),
    [(CLIENT, "nobody"), (" 5001 2.40", " 0 2.40"), (" 5001 2.40", " 70000 2.40"), (" 5001 2.40", " -1 2.40")],
)
def test_a_connection_whose_own_end_makes_no_sense_is_not_told(old: str, new: str) -> None:
    first = parse(deployment(), NONCE, TRIED.replace(old, new))[0].tries[0]
    assert (first.result, first.client_port) == ("open", 0)


def test_what_follows_an_address_is_no_part_of_it() -> None:
    first = parse(deployment(), NONCE, TRIED.replace(CLIENT, "fe80::1%\x1b]0;x\x07"))[0].tries[0]
    assert first.client == "fe80::1"


def test_of_a_flood_of_results_no_more_is_taken_than_a_script_can_print() -> None:
    flood = f"{NONCE} tcp {VIP} 80 open 1.21 {CLIENT} 5001 2.40 78 890 79 891\n" * 20_000
    assert len(parse(deployment(), NONCE, flood + TRIED)[0].tries) == MOST_LINES


@pytest.mark.parametrize("count", ["-", "-5", "1e9", "99999999999999999999", "٣"])
def test_bytes_that_make_no_sense_are_not_counted(count: str) -> None:
    text = TRIED.replace("78 890 79 891", f"{count} {count} {count} {count}")
    first = parse(deployment(), NONCE, text)[0].tries[0]
    assert (first.sent, first.received) == (None, None)


def test_why_no_frames_were_captured_is_said_in_words() -> None:
    assert "CAP_NET_RAW" in parse(deployment(), NONCE, TRIED.replace("tap on", "tap privilege"))[0].untapped
    assert "python3" in parse(deployment(), NONCE, TRIED.replace("tap on", "tap python3"))[0].untapped
    assert parse(deployment(), NONCE, TRIED.replace("tap on", "tap whatever"))[0].untapped


@pytest.mark.parametrize("time", ["0", "-5", "1e9", "nan", "999999999999999", "..", "٣"])
def test_an_impossible_time_is_none(time: str) -> None:
    seen = parse(deployment(), NONCE, f"{NONCE} tcp {VIP} 80 open {time}\n{NONCE} end")[0]
    assert seen.connects[0].result == "open"
    assert seen.connects[0].milliseconds is None


def test_a_host_without_any_tool_says_so() -> None:
    seen = parse(deployment(), NONCE, f"{NONCE} tcp {VIP} 80 none 0\n{NONCE} end")[0]
    assert seen.connects[0].result == "unknown"
    assert "python3" in seen.connects[0].problem


@given(st.lists(st.one_of(st.text(), st.from_regex(rf"{NONCE} (ping|tcp|mac|link|frame|tap|end)( [ -~]*)?"))))
def test_no_answer_whatever_breaks_the_reader(lines: list[str]) -> None:
    try:
        view = parse(deployment(VIP, VIP6), NONCE, "\n".join(lines))
    except AnswerUnreadable:
        return
    assert [seen.vip for seen in view] == [VIP, VIP6]


# -- the script itself, run by this machine's shell


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def closed() -> int:
    return free_port()


class Here:
    """A connector to this machine, with the tools given and no others."""

    def __init__(self, bin_: Path, tools: tuple[str, ...]) -> None:
        self._path = bin_
        for wanted in (*tools, "date", "sh"):
            tool, _, name = wanted.partition(" as ")
            found = sys.executable if tool == "python3" else shutil.which(tool)
            if found:
                (bin_ / (name or tool)).symlink_to(Path(found).resolve())

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        done = subprocess.run(
            ["/bin/sh"], input=script, capture_output=True, text=True, timeout=deadline, check=False,
            env={"PATH": str(self._path)},
        )  # fmt: skip
        return Answer(status=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def close(self) -> None:
        pass


def seen_here(tmp_path: Path, port: int, *tools: str) -> ClientView:
    return look(deployment("127.0.0.1", port=port), Here(tmp_path, tools), deadline=60.0)


@pytest.mark.parametrize("tools", [("python3",), ("bash", "timeout"), ("false as python3", "bash", "timeout")])
def test_the_script_tells_open_from_refused(
    tmp_path: Path, listening: int, closed: int, tools: tuple[str, ...]
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert seen_here(one, listening, *tools).vips[0].connects[0].result == "open"
    assert seen_here(other, closed, *tools).vips[0].connects[0].result == "refused"


class Web:
    """A web server: it answers a HEAD with its head and closes."""

    HEAD = b"HTTP/1.0 200 OK\r\nServer: test\r\n\r\n"

    def __init__(self, port: int) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            with peer:
                self.asked.append(peer.recv(4096))
                peer.sendall(self.HEAD)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch, closed: int) -> Iterator[tuple[Web, int]]:
    monkeypatch.setattr("dsrwizard.core.model.first_words.HTTP_PORTS", frozenset({closed}))
    server = Web(closed)
    yield server, closed
    server.close()


@pytest.mark.parametrize("tool", ["python3", "curl"])
def test_a_web_server_is_sent_a_head_and_its_answer_is_timed_and_counted(
    tmp_path: Path, web: tuple[Web, int], tool: str
) -> None:
    server, port = web
    seen = seen_here(tmp_path, port, tool).vips[0]
    assert len(seen.tries) == 3
    for one in seen.tries:
        assert (one.result, one.client) == ("open", "127.0.0.1")
        assert one.client_port > 0
        assert one.first_byte is not None
        assert one.milliseconds is not None
        assert one.first_byte >= one.milliseconds
        assert one.received == len(Web.HEAD)
        assert one.sent in {len(asked) for asked in server.asked}
    assert len({one.client_port for one in seen.tries}) == len(seen.tries)
    assert all(asked.startswith(b"HEAD / HTTP/1.0\r\n") for asked in server.asked)


def test_a_protocol_in_which_the_client_speaks_first_is_spoken(
    tmp_path: Path, closed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsrwizard.core.model.first_words.TLS_PORTS", frozenset({closed}))
    server = Web(closed)
    seen = seen_here(tmp_path, closed, "python3").vips[0]
    server.close()
    assert all(one.first_byte is not None for one in seen.tries)
    assert {asked[:3] for asked in server.asked} == {b"\x16\x03\x01"}


def test_who_is_asked_patiently_gets_more_time() -> None:
    quick, patient = (script(deployment(), NONCE, {(VIP, 80): 5}, patient=more) for more in (False, True))
    assert f" {SECONDS} 20 1 </dev/null" in quick
    assert f" {SECONDS} 20 {PATIENT} </dev/null" in patient


def test_frames_of_replies_are_captured_by_who_may(tmp_path: Path, web: tuple[Web, int]) -> None:
    seen = seen_here(tmp_path, web[1], "python3").vips[0]
    captured = bool(seen.tries[0].replies)
    assert captured != bool(seen.untapped)
    assert captured == (os.geteuid() == 0)
    assert {reply.ttl for one in seen.tries for reply in one.replies} <= {64}


def test_a_service_that_speaks_first_is_heard(tmp_path: Path, listening: int) -> None:
    seen = seen_here(tmp_path, listening, "python3").vips[0]
    assert {(one.result, one.first_byte, one.received) for one in seen.tries} == {("open", None, 0)}


def test_the_script_pings_where_there_is_no_ping(tmp_path: Path, closed: int) -> None:
    seen = seen_here(tmp_path, closed, "python3").vips[0]
    # Raw sockets are root's, as who the script runs on a client host.
    assert seen.ping == ("answered" if os.geteuid() == 0 else "unknown")


def test_the_script_says_when_it_has_nothing_to_try_with(tmp_path: Path, listening: int) -> None:
    seen = seen_here(tmp_path, listening).vips[0]
    assert (seen.ping, seen.on_link, seen.connects[0].result) == ("unknown", None, "unknown")


def test_the_script_asks_only_for_what_is_planned() -> None:
    text = script(deployment(VIP, VIP6), NONCE, {(VIP, 80): 5, (VIP, 4711): 2, (VIP6, 80): 0})
    assert f"'{VIP} 80 5 http\n{VIP} 4711 2 other'" in text
    assert f"{VIP6} 80" not in text
    assert "reach " + VIP6 in text
    assert "@" not in text.replace("$@", "")


def test_a_later_round_only_connects() -> None:
    text = script(deployment(), NONCE, {(VIP, 80): 5}, all_=False)
    assert "reach " + VIP not in text
    assert "near " + VIP not in text
