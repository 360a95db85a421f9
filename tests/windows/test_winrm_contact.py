"""First contact: which of WinRM's ports answers and how, and what is said where the one that was set does not."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.winrm import contact, find_winrm, open_winrm, reach
from dsrwizard.core.model.contact import Contact, Door
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import ConnectionRefused, ConnectTimeout
from tests.ports import free_port
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving
from tests.windows.certificates import Certificate, issue
from tests.windows.endpoint import Endpoint

Listen = Callable[..., Endpoint]


@pytest.fixture
def ports(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The usual ports, on a machine where others may have them: free ones stand for them."""
    return {"https": free_port(), "http": free_port()}


@pytest.fixture
def mute() -> Iterator[int]:
    """A port that behaves as one that a firewall drops packets for: a full queue takes no further connection."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(full.getsockname())
            fillers.append(one)
        yield int(full.getsockname()[1])
        for one in fillers:
            one.close()


def around(*ports: int, **options: str) -> Contact:
    return contact.look_around("127.0.0.1", ports, **options)


def test_both_listeners_are_told_apart_with_what_they_take(
    listen: Listen, tmp_path: Path, self_signed: Certificate
) -> None:
    http, https = listen(Behaving()), listen(Behaving(), certificate=self_signed)
    https.basic = True
    found = around(https.port, http.port)
    assert found.doors == (
        Door(port=https.port, state="open", tls=True, winrm=True, schemes=("negotiate", "basic"), names=("WIN1",)),
        Door(port=http.port, state="open", tls=False, winrm=True, schemes=("negotiate",)),
    )
    assert found.settings == ("https", https.port, "ntlm")
    assert around(http.port, https.port).settings == ("https", https.port, "ntlm"), "TLS comes first in any order"
    assert "to be compared by fingerprint" in found.sentences[0]
    assert "over HTTP; takes NTLM and Kerberos" in found.sentences[1]
    assert http.logins == https.logins == [], "nobody logged in"


def test_a_certificate_that_is_trusted_by_name(listen: Listen, tmp_path: Path) -> None:
    authority = issue(tmp_path / "authority.pem", "Example CA", authority=True)
    signed = issue(tmp_path / "signed.pem", "win1.corp.example", by=authority)
    endpoint = listen(Behaving(), certificate=signed)
    (door,) = around(endpoint.port, name="win1.corp.example", ca_file=str(authority.file)).doors
    assert door.verified
    assert door.names == ("win1.corp.example",)
    (door,) = around(endpoint.port, name="win2.corp.example", ca_file=str(authority.file)).doors
    assert not door.verified


def test_only_http_answers_and_is_offered(listen: Listen) -> None:
    http = listen(Behaving())
    found = around(free_port(), http.port)
    assert [door.state for door in found.doors] == ["refused", "open"]
    assert found.settings == ("http", http.port, "ntlm")


def test_basic_over_http_is_not_offered(listen: Listen) -> None:
    endpoint = listen(Behaving())
    endpoint.negotiate, endpoint.basic = False, True
    assert around(endpoint.port).settings is None


def test_a_silent_port_is_told_in_time(mute: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "SECONDS", 0.5)
    (door,) = around(mute).doors
    assert door.state == "silent"
    assert "a firewall drops the packets, or nobody listens" in door.words


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\0" * 400]
)
def test_what_is_no_winrm_is_not_taken_for_it(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "SECONDS", 2.0)
    with socket.create_server(("127.0.0.1", 0)) as other:

        def serve() -> None:
            while True:
                try:
                    sock, _ = other.accept()
                except OSError:
                    return
                with sock:
                    sock.sendall(said)
                    sock.settimeout(1)
                    with contextlib.suppress(OSError):
                        sock.recv(4096)

        threading.Thread(target=serve, daemon=True).start()
        found = around(int(other.getsockname()[1]))
        other.shutdown(socket.SHUT_RDWR)
    assert found.settings is None
    assert "not as WinRM does" in found.sentences[0]


def test_a_host_that_never_comes_to_an_end_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact, "LONGEST", 1.0)
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as other:

        def drip() -> None:
            sock, _ = other.accept()
            with sock, contextlib.suppress(OSError):
                sock.sendall(b"HTTP/1.1 401 Unauthorized\r\n")
                while not over.wait(0.05):
                    sock.sendall(b"X: y\r\n")

        threading.Thread(target=drip, daemon=True).start()
        port = int(other.getsockname()[1])
        monkeypatch.setattr(contact, "HTTP", port)
        begin = time.monotonic()
        found = around(port)
        over.set()
    assert time.monotonic() - begin < 30
    assert found.settings is None


def usual(monkeypatch: pytest.MonkeyPatch, https: int, http: int) -> None:
    """WinRM's two ports are these."""
    for module in (reach, contact):
        monkeypatch.setattr(module, "HTTP", http)
    monkeypatch.setattr(reach, "HTTPS", https)


@pytest.mark.parametrize("silent", [False, True])
def test_the_usual_windows_where_https_was_set_and_only_http_is_there(
    listen: Listen, monkeypatch: pytest.MonkeyPatch, silent: bool, mute: int
) -> None:
    """Windows' firewall is silent about ports without a listener, so that nothing is refused."""
    http = listen(Behaving())
    https = mute if silent else free_port()
    usual(monkeypatch, https, http.port)
    monkeypatch.setattr(reach, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(contact, "SECONDS", 2.0)
    server = RealServer(name="win1", address="127.0.0.1", connect="winrm", port=https)
    with pytest.raises(ConnectTimeout if silent else ConnectionRefused) as caught:
        open_winrm("win1", server, Operator())
    assert f"Port {http.port} answers as WinRM over HTTP" in caught.value.why
    assert 'Write winrm = "http"' in caught.value.next
    assert "dsrwizard prepare" in caught.value.next


def test_neither_port_answers(monkeypatch: pytest.MonkeyPatch, mute: int) -> None:
    """As Windows Server 2008 R2, which has no listener until somebody makes one."""
    usual(monkeypatch, mute, mute)
    monkeypatch.setattr(reach, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(contact, "SECONDS", 0.5)
    server = RealServer(name="win1", address="127.0.0.1", connect="winrm", port=free_port())
    with pytest.raises(ConnectionRefused) as caught:
        open_winrm("win1", server, Operator())
    assert f"Port {mute} does not answer" in caught.value.why
    assert "Write winrm" not in caught.value.next
    assert "paste into PowerShell on it what this prints: dsrwizard prepare" in caught.value.next


def test_the_ports_that_are_tried_are_winrms_and_the_deployments_own(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[int, ...]] = []

    def noted(address: str, ports: tuple[int, ...], **options: str) -> Contact:
        tried.append(tuple(ports))
        return Contact(address=address, doors=())

    monkeypatch.setattr(contact, "look_around", noted)
    for port in (None, 5985, 15985):
        find_winrm(RealServer(name="win1", address="127.0.0.1", connect="winrm", port=port))
    assert tried == [(5986, 5985), (5985, 5986), (15985, 5986, 5985)]
