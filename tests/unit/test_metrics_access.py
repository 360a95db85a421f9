"""Who is answered by the metrics, and for how long anybody is listened to."""

from __future__ import annotations

import contextlib
import http.client
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends import metrics
from backends.metrics import Access, MetricsServer
from dsrwizard.cli.streaming import FROM_ENVIRONMENT, metrics_token
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.secret import Secret
from tests.unit.test_cli import Shell, shell

__all__ = ["shell"]
TOKEN = "0123456789abcdef0123456789abcdef"


@contextlib.contextmanager
def served(address: str = "127.0.0.1", *names: str, token: str = "") -> Iterator[MetricsServer]:
    access = Access(frozenset(names), Secret(token) if token else None)
    server = MetricsServer(address, 0, lambda: "x 1\n", access)
    try:
        yield server
    finally:
        server.close()


def status(server: MetricsServer, *lines: str, version: str = "1.1", address: str = "127.0.0.1") -> int:
    """The status of a request with these header lines and no others; 0: the connection was closed without an answer."""
    with socket.create_connection((address, server.port), timeout=20) as client:
        request = "\r\n".join((f"GET /metrics HTTP/{version}", *lines, "", ""))
        client.sendall(request.encode())
        answer = client.makefile("rb").readline()
    return int(answer.split()[1]) if answer else 0


# -- the host asked for


@pytest.mark.parametrize(
    ("host", "answer"),
    [
        ("127.0.0.1", 200), ("127.0.0.1:9749", 200), ("localhost", 200), ("LOCALHOST.:80", 200), ("[::1]:9749", 200),
        ("evil.example", 403), ("evil.example:9749", 403), ("localhost.evil.example", 403), ("127.0.0.1.evil", 403),
        ("10.0.0.2", 403), ("[fd00::1]", 403), ("", 403), ("localhost@evil", 403), ("localhost:x", 403),
        ("localhost, evil.example", 403), ("evil\texample", 403), ("[127.0.0.1", 403), ("localhost/", 403),
    ],
)  # fmt: skip
def test_only_the_host_it_is_bound_to_is_answered(host: str, answer: int) -> None:
    with served() as server:
        assert status(server, f"Host: {host}") == answer


def test_two_hosts_or_none_are_no_request_of_ours_and_old_clients_have_none() -> None:
    with served() as server:
        assert status(server, "Host: localhost", "Host: evil.example") == 403
        assert status(server) == 400
        assert status(server, version="1.0") == 200
        assert status(server, "Host: evil.example", version="1.0") == 403


def test_a_name_is_let_through_when_it_is_allowed() -> None:
    with served("127.0.0.1", "Director.example.") as server:
        assert status(server, "Host: director.EXAMPLE:9749") == 200
        assert status(server, "Host: other.example") == 403


def test_on_every_address_the_one_that_was_connected_to_counts_and_the_machines_own_name() -> None:
    with served("0.0.0.0") as server:
        assert status(server, "Host: 127.0.0.1") == 200
        assert status(server, f"Host: {socket.gethostname()}") == 200
        assert status(server, "Host: 192.0.2.7") == 403
        assert status(server, "Host: evil.example") == 403


def test_an_ipv4_client_of_an_ipv6_socket_is_told_by_its_ipv4_address() -> None:
    with served("::") as server:
        assert status(server, "Host: 127.0.0.1") == 200
        assert status(server, "Host: [::1]", address="::1") == 200
        assert status(server, "Host: evil.example") == 403


# -- the token


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        (f"Authorization: Bearer {TOKEN}", 200), (f"Authorization: bearer  {TOKEN} ", 200), ("X: y", 401),
        (f"Authorization: Bearer {TOKEN[:-1]}", 401), (f"Authorization: Bearer {TOKEN}0", 401),
        (f"Authorization: Basic {TOKEN}", 401), ("Authorization: Bearer", 401), ("Authorization: Bearer \xff", 401),
        (f"Authorization: {TOKEN}", 401),
    ],
)  # fmt: skip
def test_with_a_token_only_who_sends_it_is_answered(line: str, answer: int) -> None:
    with served(token=TOKEN) as server:
        assert status(server, "Host: localhost", line) == answer


def test_a_foreign_page_learns_not_even_that_there_is_a_token() -> None:
    with served(token=TOKEN) as server:
        assert status(server, "Host: evil.example", f"Authorization: Bearer {TOKEN}") == 403


def test_the_token_comes_from_a_file_that_not_everybody_reads(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    file.chmod(0o640)
    found = metrics_token(file)
    assert found is not None
    assert found.reveal() == TOKEN
    file.chmod(0o644)
    with pytest.raises(UsageError, match="by everyone") as refused:
        metrics_token(file)
    assert "chmod o-r" in refused.value.next


@pytest.mark.parametrize("content", [b"", b"\n", b"short", TOKEN.encode() + b"\nmore", b"\xff" * 40, b"x" * 5000])
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    file.chmod(0o600)
    with pytest.raises(UsageError) as refused:
        metrics_token(file)
    assert TOKEN not in str(refused.value.lines())
    assert "openssl rand" in refused.value.next


def test_a_pipe_or_a_missing_file_holds_no_token(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing"):
        with pytest.raises(UsageError, match="cannot be read"):
            metrics_token(tmp_path / name)


def test_the_token_of_the_environment_is_taken_out_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(FROM_ENVIRONMENT, TOKEN)
    found = metrics_token(None)
    assert found is not None
    assert found.reveal() == TOKEN
    assert FROM_ENVIRONMENT not in os.environ
    assert metrics_token(None) is None


def test_the_command_takes_both_and_says_nothing_of_the_token(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[object, ...]] = []

    def serve(*arguments: object) -> int:
        made.append(arguments)
        return 0

    monkeypatch.setattr("dsrwizard.cli.streaming.metrics", serve)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    options = ["--allow-host", "a.example", "--allow-host", "b.example", "--token-file", str(token)]
    assert shell("metrics", str(shell.file), *options) == 0
    _, _, names, found = made[0]
    assert names == ("a.example", "b.example")
    assert isinstance(found, Secret)
    assert found.reveal() == TOKEN
    assert TOKEN not in shell.out + shell.err
    assert TOKEN not in " ".join(sys.argv)
    assert shell("metrics", str(shell.file), "--token-file", str(tmp_path / "missing")) == 2


# -- slow clients and many


def hold(server: MetricsServer, number: int, said: bytes = b"GET /metrics HTTP/1.1\r\n") -> list[socket.socket]:
    """Connections of clients that never finish their request."""
    held = []
    for _ in range(number):
        client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        client.sendall(said)
        held.append(client)
    return held


@contextlib.contextmanager
def many_files(number: int) -> Iterator[None]:
    """The soft limit of open files at `number`, as far as the hard one lets it: both ends are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = number if hard == resource.RLIM_INFINITY else min(number, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_who_keeps_connections_open_takes_no_place_from_others() -> None:
    with many_files(2_000), served() as server, contextlib.ExitStack() as stack:
        for client in hold(server, 300):
            stack.enter_context(client)
        for _ in range(5):
            assert status(server, "Host: localhost") == 200
        assert threads() <= 2 * metrics.MOST


def test_who_says_a_little_at_a_time_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "REQUEST_SECONDS", 1.0)
    with served() as server:
        (client,) = hold(server, 1, b"GET /metrics HTTP/1.1\r\nX: ")
        began = time.monotonic()
        with client, contextlib.suppress(OSError):
            while time.monotonic() - began < 20:
                client.sendall(b"a")
                time.sleep(0.1)
        assert time.monotonic() - began < 15
        assert status(server, "Host: localhost") == 200


def test_who_does_not_take_the_answer_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "ANSWER_SECONDS", 1.0)
    server = MetricsServer("127.0.0.1", 0, lambda: "x" * 50_000_000)
    try:
        (client,) = hold(server, 1, b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with client:
            deadline = time.monotonic() + 20
            while threads() and time.monotonic() < deadline:
                time.sleep(0.05)
            assert threads() == 0
    finally:
        server.close()


@pytest.mark.parametrize(
    "said",
    [
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(5000)) + b"\r\n",
    ],
    ids=["line", "header", "headers"],
)
def test_a_request_longer_than_any_of_prometheus_is_refused(said: bytes) -> None:
    with served() as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            with contextlib.suppress(OSError):
                client.sendall(said)
            answer = b""
            with contextlib.suppress(OSError):
                answer = client.recv(100)
        assert answer == b"" or b" 431 " in answer
        assert b" 200 " not in answer
        assert status(server, "Host: localhost") == 200


def test_prometheus_itself_is_answered() -> None:
    """Its client keeps to HTTP/1.1, asks for gzip and OpenMetrics, and names the port."""
    with served(token=TOKEN) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        headers = {
            "Accept": "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5",
            "Accept-Encoding": "gzip", "Authorization": f"Bearer {TOKEN}", "User-Agent": "Prometheus/3.0",
            "X-Prometheus-Scrape-Timeout-Seconds": "10",
        }  # fmt: skip
        connection.request("GET", "/metrics", headers=headers)
        assert connection.getresponse().status == 200
