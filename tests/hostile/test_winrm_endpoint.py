"""A WinRM endpoint that means harm, on real sockets: whatever it answers, the host is unreadable with the reason, in
bounded time and memory, and nothing of it reaches the terminal raw."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.foreign import harmless
from tests.hostile import winrm_client
from tests.hostile.conftest import Tally
from tests.hostile.winrm_client import LONGEST, PASSWORD
from tests.hostile.winrm_modes import MESSAGES, PLAIN, Telling, pressed
from tests.hostile.winrm_server import Hostile, Messages, after_request
from tests.windows.certificates import Certificate, issue

Scale = Callable[[int, int], int]
Count = Callable[[str], Tally]
MEGABYTES = 64
"""What one host may cost, whatever it sends."""
TELLING = re.compile(r"in a frame|sites|objects|MB")
"""Modes of which the host may come out as one that was read: what they say is nonsense, but fits."""
KINDS = {"answer", "host", "timeout", "login", "lost", "privilege", "refused"}


class Client:
    """dsrwizard in a process of its own, whose memory is measured."""

    def __init__(self, state: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, winrm_client.__file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "XDG_STATE_HOME": str(state), "PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip

    def observe(self, host: Hostile, **options: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        server = {"name": "win1", "address": "127.0.0.1", "connect": "winrm", "port": host.port} | options
        self._process.stdin.write(json.dumps(server) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile-winrm")


@pytest.fixture(scope="module")
def client(folder: Path) -> Iterator[Client]:
    made = Client(folder / "state")
    yield made
    made.close()


@pytest.fixture(scope="module")
def certificate(folder: Path) -> Certificate:
    return issue(folder / "listener.pem", "WIN1")


def judged(found: Mapping[str, Any]) -> None:
    """What must hold of every observation."""
    assert not found["defect"], found["defect"]
    if "facts" not in found:
        assert found["kind"] in KINDS, found
        assert len(found["lines"]) == 3, found["lines"]
    said = [*found["lines"], found.get("facts", "")]
    assert all(harmless(line) for line in found["lines"]), found["lines"]
    assert all(len(line) < 1_000 for line in found["lines"]), found["lines"]
    assert found.get("raw", []) == []
    assert not any(PASSWORD in line for line in said)
    assert found["megabytes"] < MEGABYTES, f"{found['megabytes']:.0f} MB"
    assert found["seconds"] < LONGEST, f"{found['seconds']:.0f} s"


SHARE_PLAIN = ("header without end", "body of 10 GB", "body drips", "a challenge that is none", "half a body")
SHARE_MESSAGES = (
    "billion laughs", "a hundred thousand elements", "no shell's name", "a status of 5,000 digits",
    "a line without end", "flood before the marker", "flood of errors", "a fault of escapes", "settings in a frame",
)  # fmt: skip


REASONS = {
    "flood before the marker": "more than 8 MB",
    "flood of lines before the marker": "more than 50,000 lines",
    "flood behind the marker": "more than 50,000 lines",
    "a line without end": "more than 8 MB",
    "flood of errors": "more than 8 MB",
    "billion laughs": "declarations",
    "billion laughs in UTF-16": "declarations",
    "depth": "larger or deeper",
    "a hundred thousand elements": "larger or deeper",
    "header without end": "ended the connection",
    "body of 10 GB": "more than 600,000 bytes",
    "chunks without end": "more than 600,000 bytes",
    "continue without end": "more than 600,000 bytes",
    "headers drip": "so slowly",
    "body drips": "so slowly",
    "half a body": "ended the connection",
    "silence": "did not answer",
    "a status of 5,000 digits": "not WinRM",
    "settings in a frame": "more than the 2,000,000",
}
"""What the operator is told; for the others it is enough that it is told in words."""


def test_over_plain_http(client: Client, scale: Scale, tally: Count) -> None:
    counted = tally("WinRM: connections and HTTP")
    for name in sorted(PLAIN) if scale(0, 1) else SHARE_PLAIN:
        with counted.case(name):
            host = Hostile(PLAIN[name])
            try:
                found = client.observe(host, winrm="http")
            finally:
                host.close()
            judged(found)
            assert found["kind"]
            assert REASONS.get(name, "") in " ".join(found["lines"])
    counted.settle()


def test_over_tls_from_the_first_message_on(
    client: Client, certificate: Certificate, scale: Scale, tally: Count
) -> None:
    counted = tally("WinRM: messages and output")
    for name in sorted(MESSAGES) if scale(0, 1) else SHARE_MESSAGES:
        with counted.case(name):
            host = Hostile(MESSAGES[name], certificate.context())
            try:
                found = client.observe(host, winrm="https", auth="basic")
            finally:
                host.close()
            judged(found)
            assert host.errors == []
            assert found["kind"] or TELLING.search(name), found
            assert REASONS.get(name, "") in " ".join(found["lines"])
    counted.settle()


def test_compressed(client: Client, certificate: Certificate, scale: Scale, tally: Count) -> None:
    counted = tally("WinRM: compressed answers")
    for name, mode in list(pressed().items())[: scale(1, 99)]:
        with counted.case(name):
            host = Hostile(mode, certificate.context())
            try:
                found = client.observe(host, winrm="https", auth="basic")
            finally:
                host.close()
            judged(found)
            assert "compression" in " ".join(found["lines"])
    counted.settle()


SHARE_NO_TLS = ("flood before anything", "half a status line")


def test_where_tls_should_be(client: Client, scale: Scale, tally: Count) -> None:
    """The same without a handshake: nothing of it is taken for a certificate, and no password goes out."""
    counted = tally("WinRM: no TLS where TLS should be")
    for name in sorted(PLAIN) if scale(0, 1) else SHARE_NO_TLS:
        with counted.case(name):
            host = Hostile(PLAIN[name])
            try:
                found = client.observe(host, winrm="https", auth="basic")
            finally:
                host.close()
            judged(found)
            assert found["kind"]
            assert host.heard == []
    counted.settle()


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
def test_nobody_is_sent_elsewhere(client: Client, certificate: Certificate, status: str) -> None:
    """A password follows no redirection, nor does anything else."""
    other = Hostile(after_request(lambda talk: talk.answer(b"")))
    host = Hostile(
        after_request(lambda talk: talk.answer(b"", status, f"Location: http://127.0.0.1:{other.port}/wsman")),
        certificate.context(),
    )
    try:
        found = client.observe(host, winrm="https", auth="basic")
    finally:
        host.close()
        other.close()
    judged(found)
    assert "proxy or another web server" in " ".join(found["lines"])
    assert host.heard
    assert other.heard == []


def test_a_good_host_is_read_after_all_that(client: Client, certificate: Certificate) -> None:
    """The client that is measured would take a good answer."""
    host = Hostile(Telling('"version":"10.0.20348","product":"Windows"}'), certificate.context())
    try:
        found = client.observe(host, winrm="https", auth="basic")
    finally:
        host.close()
    judged(found)
    assert "10.0.20348" in found["facts"]


def test_a_silent_host_and_a_right_one_are_told_apart(client: Client, certificate: Certificate) -> None:
    host = Hostile(Messages(), certificate.context())
    try:
        found = client.observe(host, winrm="https", auth="basic")
    finally:
        host.close()
    judged(found)
    assert found["kind"] == "answer"
    assert "ended before it reported everything" in " ".join(found["lines"])
