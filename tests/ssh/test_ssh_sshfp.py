"""SSHFP records asked of a real name server on loopback, for the key that a real sshd shows."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dns.flags
import pytest

from backends.memory import Memory
from backends.ssh import sshfp
from backends.ssh.dial import dial
from backends.ssh.route import route_to
from backends.ssh.sshfp import key_in_dns, look_up
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.ports import HostKeyQuestion
from tests.fakes.name_server import Mood, NameServer
from tests.ssh.sshd import Operator, Sshd

HOST = "web1.example"
WAIT = 10.0
"""Seconds in which an answer comes on a loaded machine."""


@pytest.fixture
def dns_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[NameServer]:
    server = NameServer().used(monkeypatch, tmp_path)
    yield server
    server.close()


@pytest.fixture(autouse=True)
def resolved(monkeypatch: pytest.MonkeyPatch) -> None:
    """`HOST` is loopback for whoever connects."""
    real = socket.getaddrinfo

    def found(host: Any, *more: Any, **options: Any) -> Any:
        return real("127.0.0.1" if host == HOST and not options.get("flags") else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", found)


def published(file: Path) -> list[str]:
    """The records that ssh-keygen prints for a key."""
    done = subprocess.run(["ssh-keygen", "-r", "x", "-f", f"{file}.pub"], check=True, capture_output=True, text=True)
    return [line.partition("SSHFP ")[2] for line in done.stdout.splitlines()]


def asked(sshd: Sshd, key: Path, operator: Operator, settings: str = "") -> HostKeyQuestion:
    """The question about a server given by the name `HOST`, with these settings in the operator's configuration."""
    (Path.home() / ".ssh" / "config").write_text(f"Host {HOST}\n{settings}\n" if settings else "")
    server = RealServer(name="web1", address=HOST, user=sshd.user, port=sshd.port, identity_file=str(key))
    route = route_to("web1", server)
    dial(route, operator, Memory()).close()
    return operator.keys[-1]


def says(question: HostKeyQuestion) -> str | None:
    assert question.in_dns is not None
    return question.in_dns.said(WAIT)


def test_the_key_of_a_server_given_by_name_is_looked_up(
    sshd: Sshd, key: Path, operator: Operator, dns_server: NameServer
) -> None:
    dns_server.records[HOST] = published(sshd.host_keys["ed25519"])
    question = asked(sshd, key, operator)
    assert not dns_server.asked, "nobody wants to know it yet"
    assert says(question) == "unsigned"
    [query] = dns_server.asked
    assert query.question[0].to_text() == f"{HOST}. IN SSHFP"
    assert query.flags & dns.flags.AD
    assert query.ednsflags & dns.flags.DO
    assert says(question) == "unsigned"
    assert len(dns_server.asked) == 1, "once is enough"


def test_a_signed_answer_and_another_key(
    sshd: Sshd, key: Path, operator: Operator, dns_server: NameServer, home: Path
) -> None:
    dns_server.mood = "signed"
    dns_server.records[HOST] = published(sshd.host_keys["ed25519"])
    question = asked(sshd, key, operator)
    assert says(question) == "signed"
    dns_server.records[HOST] = published(key)
    (home / ".ssh" / "known_hosts").unlink()
    assert says(asked(sshd, key, operator)) == "differs"


def test_nobody_is_asked_for_an_address_or_against_the_operators_configuration(
    sshd: Sshd, key: Path, operator: Operator, dns_server: NameServer
) -> None:
    for address in ("127.0.0.1", "::1", "fd00::1", "10.1", "0x7f000001"):
        assert key_in_dns(address, "ssh-ed25519", b"") is None
    assert asked(sshd, key, operator, "VerifyHostKeyDNS no").in_dns is None
    assert not dns_server.asked


def test_the_hostname_of_an_alias_is_the_name_that_is_asked_for(dns_server: NameServer, home: Path) -> None:
    (home / ".ssh" / "config").write_text(f"Host web1\n  HostName {HOST}\n")
    assert route_to("web1", RealServer(name="web1", address="web1")).address == HOST


@pytest.mark.parametrize(
    ("conf", "believed"),
    [
        ("nameserver 127.0.0.1\n", True),
        ("options trust-ad\nnameserver {here}\n", True),
        ("options edns0 trust-ad timeout:1\nnameserver {here}\n", True),
        ("options edns0\nnameserver {here}\n", False),
        ("# options trust-ad\nnameserver {here}\n", False),
        ("search trust-ad\nnameserver {here}\n", False),
        ("", True),
    ],
)
def test_the_ad_bit_is_believed_from_this_machine_or_by_trust_ad(
    dns_server: NameServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, conf: str, believed: bool
) -> None:
    """A resolver elsewhere is one for which `_is_here` says so: a test has one machine only."""
    monkeypatch.setattr(sshfp, "_is_here", lambda server: server == "127.0.0.1" and "{here}" not in conf)
    dns_server.used(monkeypatch, tmp_path, conf.format(here="127.0.0.1"))
    dns_server.mood = "signed"
    dns_server.records[HOST] = ["4 2 " + "ab" * 32]
    looked = look_up(HOST)
    assert looked is not None
    assert looked.authenticated is believed
    dns_server.mood = "answers"
    looked = look_up(HOST)
    assert looked is not None
    assert not looked.authenticated


@pytest.mark.parametrize(
    ("server", "here"), [("127.0.0.53", True), ("::1", True), ("10.0.0.1", False), ("fe80::1%eth0", False), ("", False)]
)
def test_which_resolver_is_on_this_machine(server: str, here: bool) -> None:
    assert sshfp._is_here(server) is here


def test_an_answer_too_long_for_udp_comes_by_tcp(dns_server: NameServer) -> None:
    dns_server.mood = "truncated"
    dns_server.records[HOST] = [f"4 2 {number:064x}" for number in range(1200)]
    looked = look_up(HOST)
    assert looked is not None
    assert len(looked.records) == 1200
    assert looked.authenticated
    assert dns_server.by_tcp == 1


def test_a_silent_name_server_costs_the_time_limit_and_no_more(dns_server: NameServer) -> None:
    dns_server.mood = "silent"
    asked = [key_in_dns(f"web{number}.example", "ssh-ed25519", b"") for number in range(50)]
    began = time.monotonic()
    assert [one.said() for one in asked if one] == [None] * 50, "nobody waits for the first look"
    assert time.monotonic() - began < 1.5
    assert [one.said(WAIT) for one in asked if one] == ["silent"] * 50
    assert time.monotonic() - began < 6, "all at the same time"


@pytest.mark.parametrize("mood", ["cut", "noise", "fails"])
def test_an_answer_that_is_none_is_silence(dns_server: NameServer, mood: Mood) -> None:
    dns_server.mood = mood
    dns_server.records[HOST] = ["4 2 " + "ab" * 32]
    one = key_in_dns(HOST, "ssh-ed25519", b"")
    assert one is not None
    assert one.said(WAIT) == "silent"


@pytest.mark.parametrize("raw", [b"\x04", b"\x04\x02", b"\x04\x02\x1b[2J", b"\x04\x02" + b"x" * 40000])
def test_records_of_any_length_harm_nothing(dns_server: NameServer, raw: bytes) -> None:
    dns_server.records[HOST] = ["4 2 " + "ab" * 32]
    dns_server.raw, dns_server.mood = raw, "truncated"
    one = key_in_dns(HOST, "ssh-ed25519", b"")
    assert one is not None
    assert one.said(WAIT) in ("differs", "silent")


def test_a_name_without_records_and_names_that_dns_cannot_have(dns_server: NameServer) -> None:
    dns_server.records["bare.example"] = []
    for name, expected in (
        ("bare.example", "none"),
        ("nowhere.example", "none"),
        ("x" * 64, "silent"),
        ("a..b", "silent"),
    ):
        one = key_in_dns(name, "ssh-ed25519", b"")
        assert one is not None
        assert one.said(WAIT) == expected


def test_no_resolv_conf_means_the_resolver_of_this_machine(
    dns_server: NameServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sshfp, "RESOLV_CONF", tmp_path / "none")
    dns_server.records[HOST] = []
    assert look_up(HOST) == ((), False)
    monkeypatch.setattr(sshfp, "RESOLV_CONF", tmp_path / "bad")
    (tmp_path / "bad").write_bytes(b"nameserver \xff\x1b[2J\nnameserver\n\0\n")
    assert look_up(HOST) is None
