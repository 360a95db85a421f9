"""The director's connection table, read as the kernel prints it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.director import connections as reading
from backends.director.connections import connections, parse
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import Connection

HEAD = "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData"
IPV4 = "TCP CB00710A C350 0A00000A 0050 0A000065 0050 SYN_RECV         59"
UDP = "UDP CB00710A 9C40 0A00000A 0007 0A000067 0007 UDP             300"
IPV6 = (
    "TCP fd00:0203:0000:0000:0000:0000:0000:0010 C350 fd00:0010:0000:0000:0000:0000:0000:0010 01BB "
    "fd00:0010:0000:0000:0000:0000:0000:0101 01BB ESTABLISHED     899"
)
TEMPLATE = "TCP CB00710A 0000 0A00000A 0050 0A000065 0050 ASSURED         300"


def test_a_line_is_a_connection_with_its_two_ends_and_its_real_server() -> None:
    assert list(parse([HEAD, IPV4, UDP, IPV6])) == [
        Connection(
            protocol="tcp", client="203.0.113.10", client_port=50000, vip="10.0.0.10", port=80,
            address="10.0.0.101", dest_port=80, state="SYN_RECV", expires=59,
        ),
        Connection(
            protocol="udp", client="203.0.113.10", client_port=40000, vip="10.0.0.10", port=7,
            address="10.0.0.103", dest_port=7, state="UDP", expires=300,
        ),
        Connection(
            protocol="tcp", client="fd00:203::10", client_port=50000, vip="fd00:10::10", port=443,
            address="fd00:10::101", dest_port=443, state="ESTABLISHED", expires=899,
        ),
    ]  # fmt: skip


def test_templates_other_protocols_and_names_of_engines_are_no_trouble() -> None:
    sctp = IPV4.replace("TCP", "SCTP")
    assert list(parse([TEMPLATE, sctp, "", "TCP"])) == []
    (found,) = parse([f"{IPV4} sip 1-23@10.0.0.1"])
    assert (found.state, found.expires) == ("SYN_RECV", 59)


@given(st.text())
@example("TCP 0A00000A +050 0A00000A 0050 0A000065 0050 X 1")
@example("TCP 0A00000A 0050 0A00000A 0050 0A000065 0050 X ١")
@example("TCP 0A_0000A 0050 0A00000A 0050 ::1%eth0 0050 X -1")
def test_no_line_misleads_the_parser(line: str) -> None:
    for found in parse([line]):
        assert 0 < found.client_port < 65536
        assert found.expires >= 0
        assert found.protocol in ("tcp", "udp")


def test_the_table_is_read_whole_and_a_huge_one_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "ip_vs_conn"
    table.write_text("\n".join([HEAD, *[IPV4] * 5000]) + "\n")
    assert len(connections(table)) == 5000
    monkeypatch.setattr(reading, "MOST", 1000)
    assert len(connections(table)) == 999  # the heading is a line, too


def test_a_table_that_cannot_be_read_is_an_error_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LookError) as raised:
        connections(tmp_path / "none")
    assert "modprobe ip_vs" in raised.value.next
    (tmp_path / "dir").mkdir()
    with pytest.raises(LookError, match="could not be read") as raised:
        connections(tmp_path / "dir")
    assert raised.value.why
