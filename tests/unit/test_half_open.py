"""The look for half-open connections: what hosts print, read; made-up text; and the script itself, run by a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsrwizard.core.dialects.linux.half_open import counters, is_ready, parse, script, sockets
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import HalfOpen

NONCE = "a1b2c3"
SOURCE, SOURCE6 = "192.0.2.7", "2001:db8::7"
OURS = HalfOpen(vip="10.0.0.10", port=80, client=SOURCE, client_port=40000)
OURS6 = HalfOpen(vip="fd00:10::10", port=443, client=SOURCE6, client_port=40001)
NETSTAT = [
    "TcpExt: SyncookiesSent SyncookiesRecv ListenDrops TCPLossFailures IPReversePathFilter",
    "TcpExt: 1 2 17 3 4294967297",
    "Icmp: InMsgs InErrors InDestUnreachs OutMsgs",
    "Icmp: 9 0 5 8",
    "Icmp6InDestUnreachs             \t6",
]


def section(name: str, *lines: str) -> str:
    return "\n".join(["", f"==dsr:{NONCE}:{name}==", *lines, ""])


def test_counters_are_named_as_nstat_names_them() -> None:
    assert dict(counters(NETSTAT)) == {
        "TcpExtSyncookiesSent": 1,
        "TcpExtListenDrops": 17,
        "TcpExtIPReversePathFilter": 4294967297,
        "IcmpInDestUnreachs": 5,
        "Icmp6InDestUnreachs": 6,
    }


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0      0      10.0.0.10:80 192.0.2.7:40000", OURS),
        ("0 0 10.0.0.10%lo:80 192.0.2.7:40000", OURS),
        ("0 0 [::ffff:10.0.0.10]:80 [::ffff:192.0.2.7]:40000", OURS),
        ("0 0 [fd00:10::10]:443 [2001:db8::7]:40001", OURS6),
        ("0 0 [fd00:10::10]%eth0:443 [2001:db8:0::7]:40001", OURS6),
        ("0 0 0A00000A:0050 070200C0:9C40", OURS),
        (
            "0 0 0000000000000000FFFF00000A00000A:0050 0000000000000000FFFF0000070200C0:9C40",
            OURS,
        ),
        ("0 0 100000FD000000000000000010000000:01BB B80D0120000000000000000007000000:9C41", OURS6),
    ],
)
def test_a_line_of_ss_or_of_proc_is_a_half_open_connection(line: str, found: HalfOpen) -> None:
    assert list(sockets([line], big=False)) == [found]


def test_a_machine_with_the_other_byte_order_writes_its_words_the_other_way_round() -> None:
    assert list(sockets(["0 0 0A00000A:0050 C0000207:9C40"], big=True)) == [OURS]


@given(st.lists(st.text(), max_size=4))
@example(["0 0 10.0.0.10:٨٠ 192.0.2.7:1", "0 0 10.0.0.10:80 192.0.2.7:70000", "0 0 zz:1 []:1", "a b c"])
@example(["TcpExt: A", "TcpExt: -1", "Icmp6InDestUnreachs 9" * 3, "Icmp6InDestUnreachs " + "9" * 99, ":"])
def test_no_text_misleads_the_parsers(lines: list[str]) -> None:
    for found in sockets(lines):
        assert 0 < found.port < 65536
        assert 0 < found.client_port < 65536
    for name, value in counters(lines):
        assert name.startswith(("TcpExt", "Icmp"))
        assert value >= 0


@given(st.text())
def test_what_a_host_prints_without_the_nonce_is_no_answer(text: str) -> None:
    with pytest.raises(AnswerUnreadable):
        parse("web1", NONCE, text.replace(NONCE, ""))


def test_a_look_holds_what_was_seen_and_what_the_counters_did() -> None:
    text = (
        section("before", *NETSTAT)
        + section("ready")
        + section("seen", "0 0 10.0.0.10:80 192.0.2.7:40000", "0 0 10.0.0.10:80 192.0.2.7:40000")
        + section("after", *(line.replace("4294967297", "4294967299") for line in NETSTAT))
        + section("order", " 0001")
        + section("waiting", "0 0 10.0.0.10:80 203.0.113.10:5000")
        + section("end")
    )
    look = parse("web1", NONCE, text)
    assert look.seen == (OURS,)
    assert look.waiting == (HalfOpen(vip="10.0.0.10", port=80, client="203.0.113.10", client_port=5000),)
    assert look.risen("TcpExtIPReversePathFilter") == 2
    assert look.risen("TcpExtListenDrops") == 0
    assert look.risen("TcpExtNone") is None
    assert [is_ready(NONCE, line) for line in text.splitlines()].count(True) == 1


def shells() -> list[str]:
    return [shell for shell in ("dash", "bash", "busybox") if shutil.which(shell)]


class Host:
    """A shell whose `ss` shows the lines of a file: connections come in when the script says that it is ready."""

    def __init__(self, root: Path, shell: str) -> None:
        self.shown = root / "half-open"
        self.shown.write_text("")
        bin_ = root / "bin"
        bin_.mkdir()
        (bin_ / "ss").write_text(f"#!/bin/sh\ncat {self.shown}\n")
        (bin_ / "ss").chmod(0o755)
        self._words = ["busybox", "sh"] if shell == "busybox" else [shell]
        self._path = f"{bin_}:{os.environ['PATH']}"

    def look(self, text: str, arriving: str) -> str:
        """Runs the script; the lines arrive when it is ready."""
        with subprocess.Popen(
            self._words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={"PATH": self._path}
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(text)
            process.stdin.close()
            said = []
            for line in process.stdout:
                said.append(line)
                if is_ready(NONCE, line):
                    self.shown.write_text(self.shown.read_text() + arriving)
            return "".join(said)


@pytest.mark.parametrize("shell", shells())
def test_the_script_sees_what_arrives_after_it_said_that_it_was_ready(tmp_path: Path, shell: str) -> None:
    host = Host(tmp_path, shell)
    host.shown.write_text("0 0 10.0.0.10:80 203.0.113.10:5000\n0 0 10.0.0.10:80 192.0.2.7:39999\n")
    arriving = "0 0 10.0.0.10:80 192.0.2.7:40000\n0 0 [fd00:10::10]:443 [2001:db8::7]:40001\n"
    look = parse("web1", NONCE, host.look(script(NONCE, [SOURCE, SOURCE6], 2), arriving))
    assert {OURS, OURS6} < set(look.seen)
    assert {one.client for one in look.seen} == {SOURCE, SOURCE6}
    assert len(look.waiting) == 4
    assert set(look.before) >= {"TcpExtIPReversePathFilter", "TcpExtListenDrops", "IcmpInDestUnreachs"}
    assert look.before.keys() == look.after.keys()


@pytest.mark.parametrize("shell", shells())
def test_the_script_ends_though_nothing_arrives_and_needs_no_sources(tmp_path: Path, shell: str) -> None:
    host = Host(tmp_path, shell)
    assert parse("web1", NONCE, host.look(script(NONCE, [SOURCE], 1), "")).seen == ()
    waiting = parse("web1", NONCE, host.look(script(NONCE, [], 0), "0 0 10.0.0.10:80 192.0.2.7:40000\n")).waiting
    assert waiting == (OURS,)
