"""The look at the director's own path: the kernel's answers about routes and rules, and what is read from files."""

from __future__ import annotations

import socket
from pathlib import Path
from struct import pack

import pytest

from backends.director.look import counters, settings
from backends.netlink import ways
from backends.netlink.attributes import attribute
from backends.netlink.decode import sync_state
from backends.netlink.ways import Ways

NIC = 7


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Ways:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(NIC, "eth0")])
    return Ways()


def route(target: str, length: int, kind: int = 1, table: int = 254, **more: bytes) -> bytes:
    """The body of an RTM_NEWROUTE message (rtnetlink(7))."""
    numbers = {"gateway": 5, "priority": 6, "prefsrc": 7, "metrics": 8, "oif": 4, "multipath": 9}
    body = pack("=BBBBBBBBI", socket.AF_INET, length, 0, 0, min(table, 255), 0, 0, kind, 0)
    if length:
        body += attribute(1, socket.inet_aton(target))
    for name, value in more.items():
        body += attribute(numbers[name], value)
    return body + attribute(15, pack("=I", table))


def test_a_route_is_told_as_ip_route_tells_it(kernel: Ways) -> None:
    with kernel:
        told = kernel._told(
            "10.0.0.103",
            route(
                "10.0.0.96", 28, table=77, gateway=socket.inet_aton("10.0.0.1"), oif=pack("=I", NIC),
                prefsrc=socket.inet_aton("10.0.0.2"), priority=pack("=I", 5), metrics=attribute(2, pack("=I", 1300)),
            ),
        )  # fmt: skip
        assert (told.kind, told.gateway, told.interface, told.source) == ("unicast", "10.0.0.1", "eth0", "10.0.0.2")
        assert (told.entry, told.table, told.metric, told.mtu) == ("10.0.0.96/28", "77", 5, 1300)
        assert kernel._told("", route("", 0, kind=6)).entry == "default"
        assert kernel._told("", route("10.0.0.10", 32, kind=2, table=255)).table == "local"


def test_of_several_next_hops_the_first_is_told(kernel: Ways) -> None:
    hop = attribute(5, socket.inet_aton("10.0.0.1"))
    with kernel:
        told = kernel._told("", route("", 0, multipath=pack("=HBBi", 8 + len(hop), 0, 0, NIC) + hop))
    assert (told.gateway, told.interface) == ("10.0.0.1", "eth0")


def rule(action: int, target: str = "", source: str = "", priority: int = 99) -> bytes:
    """The body of an RTM_NEWRULE message (linux/fib_rules.h)."""
    body = pack("=BBBBBBBBI", socket.AF_INET, 32 if target else 0, 32 if source else 0, 0, 0, 0, 0, action, 0)
    body += attribute(1, socket.inet_aton(target)) if target else b""
    body += attribute(2, socket.inet_aton(source)) if source else b""
    return body + attribute(6, pack("=I", priority))


def test_a_rule_that_throws_away_is_told_in_the_words_that_delete_it() -> None:
    told = ways._rule(rule(6, "10.0.0.10"), ["10.0.0.10", "10.0.0.101"], 4)
    assert told is not None
    assert (told.what, told.text, told.covers) == (
        "rule", "from all to 10.0.0.10 blackhole priority 99", ("10.0.0.10",),
    )  # fmt: skip
    assert ways._rule(rule(1, "10.0.0.10"), ["10.0.0.10"], 4) is None
    assert ways._rule(rule(8, "10.9.9.9"), ["10.0.0.10"], 4) is None
    assert ways._rule(rule(6, source="192.0.2.1"), ["10.0.0.10"], 4) is None, "bogons"
    other = ways._rule(rule(8, source="203.0.113.10"), ["203.0.113.10"], 4)
    assert other is not None
    assert other.text == "from 203.0.113.10 prohibit priority 99"


def test_the_kernel_of_this_machine_answers() -> None:
    with Ways() as kernel:
        way, _ = kernel.to("127.0.0.1")
        assert (way.kind, way.interface) == ("local", "lo")
        kernel.neighbours(["127.0.0.1", "::1"])


def test_settings_and_counters_are_read_by_their_names(tmp_path: Path) -> None:
    vs, nic = tmp_path / "proc/sys/net/ipv4/vs", tmp_path / "proc/sys/net/ipv4/conf/eth0.100"
    for folder in (vs, nic, tmp_path / "proc/net"):
        folder.mkdir(parents=True)
    (vs / "drop_packet").write_text("3\n")
    (vs / "sync_threshold").write_text("3\t50\n")
    (nic / "rp_filter").write_text("1\n")
    lines = ("TcpExt: SyncookiesSent IPReversePathFilter", "TcpExt: 1 42", "IpExt: X", "IpExt: 1")
    (tmp_path / "proc/net/netstat").write_text("\n".join(lines))
    assert settings("eth0.100", [], tmp_path) == {
        "net.ipv4.vs.drop_packet": "3", "net.ipv4.vs.sync_threshold": "3 50", "net.ipv4.conf.eth0/100.rp_filter": "1",
    }  # fmt: skip
    assert counters(tmp_path) == {"TcpExtIPReversePathFilter": 42}


def test_the_state_of_the_synchronisation_is_read_from_the_kernel_s_answer() -> None:
    """A daemon of a GET_DAEMON dump (linux/ip_vs.h): 1 is master, 2 backup."""
    inside = attribute(3 | 0x8000, attribute(1, pack("=I", 2)) + attribute(2, b"eth0\0"))
    message = pack("=IHHII", 20 + len(inside), 30, 0, 1, 0) + b"\0" * 4 + inside
    assert sync_state(message, 0, len(message)) == 2
    empty = pack("=IHHII", 20, 30, 0, 1, 0) + b"\0" * 4
    assert sync_state(empty, 0, len(empty)) == 0
