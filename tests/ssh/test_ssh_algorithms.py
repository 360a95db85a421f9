"""Old algorithms of a real sshd: refused with the reason and the line that allows them, and then allowed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import paramiko
import pytest

from backends.ssh import open_ssh
from backends.ssh.algorithms import CIPHERS, HOST_KEYS, KEX, MACS, PUBLIC_KEYS, assembled
from backends.ssh.transport import Transport
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import HostError, LoginRefused
from tests.hostile.ssh_server import Host, Served, Server, started
from tests.ssh.sshd import Operator, Sshd, keygen

MakeSshd = Callable[..., Sshd]
GOOD_MAC, GOOD_CIPHER = "MACs hmac-sha2-256", "Ciphers aes128-ctr"


def says_hello(server: Sshd, key: Path, operator: Operator) -> bool:
    connector = open_ssh("web1", server.server(key), operator)
    try:
        return connector.run("echo hello", deadline=60).stdout == "hello\n"
    finally:
        connector.close()


def refusal(server: Sshd, key: Path, operator: Operator) -> HostError:
    with pytest.raises(HostError) as caught:
        says_hello(server, key, operator)
    assert operator.secrets == []
    return caught.value


@pytest.mark.parametrize(
    ("options", "offered", "reason", "lines"),
    [
        (("Ciphers 3des-cbc", GOOD_MAC), ["3des-cbc"], "CBC", ["Ciphers +3des-cbc"]),
        (
            ("Ciphers 3des-cbc,aes128-cbc", GOOD_MAC),
            ["aes128-cbc", "3des-cbc"],
            "CVE-2008-5161",
            ["Ciphers +aes128-cbc"],
        ),
        ((GOOD_CIPHER, "MACs hmac-md5"), ["hmac-md5"], "MD5", ["MACs +hmac-md5"]),
        ((GOOD_CIPHER, "MACs hmac-sha1,hmac-md5"), ["hmac-sha1", "hmac-md5"], "SHA-1", ["MACs +hmac-sha1"]),
        ((GOOD_CIPHER, "MACs hmac-sha1-96"), ["hmac-sha1-96"], "-96", ["MACs +hmac-sha1-96"]),
        ((GOOD_CIPHER, "MACs hmac-md5-96"), ["hmac-md5-96"], "-96", ["MACs +hmac-md5-96"]),
        (
            ("Ciphers aes256-cbc", "MACs hmac-sha1"),
            ["aes256-cbc", "hmac-sha1"],
            "SHA-1",
            ["Ciphers +aes256-cbc", "MACs +hmac-sha1"],
        ),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_weak_ones_are_refused_until_they_are_allowed(
    make_sshd: MakeSshd,
    key: Path,
    operator: Operator,
    home: Path,
    options: tuple[str, ...],
    offered: list[str],
    reason: str,
    lines: list[str],
) -> None:
    server = make_sshd(options=options)
    server.allow(key)
    error = refusal(server, key, operator)
    assert "is allowed" in error.what
    assert all(name in error.why for name in offered)
    assert reason in error.why
    assert re.findall(r"“(\w+ \+[\w-]+)”", error.next) == lines
    assert "“Host 127.0.0.1”" in error.next
    (home / ".ssh" / "config").write_text("Host 127.0.0.1\n" + "".join(f"  {line}\n" for line in lines))
    assert says_hello(server, key, operator)


@pytest.mark.parametrize(
    ("options", "host_keys", "offered"),
    [
        (("KexAlgorithms diffie-hellman-group1-sha1",), ("ed25519",), "diffie-hellman-group1-sha1"),
        (("KexAlgorithms diffie-hellman-group14-sha1",), ("ed25519",), "diffie-hellman-group14-sha1"),
        (("KexAlgorithms diffie-hellman-group-exchange-sha1",), ("ed25519",), "group-exchange-sha1"),
        (("HostKeyAlgorithms ssh-rsa",), ("rsa",), "ssh-rsa"),
    ],
    ids=["group1", "group14-sha1", "group-exchange-sha1", "ssh-rsa"],
)
def test_what_cannot_be_allowed_is_refused_with_a_better_choice(
    make_sshd: MakeSshd,
    key: Path,
    operator: Operator,
    options: tuple[str, ...],
    host_keys: tuple[str, ...],
    offered: str,
) -> None:
    server = make_sshd(options=options, host_keys=host_keys)
    server.allow(key)
    error = refusal(server, key, operator)
    assert offered in error.why
    assert "SHA-1" in error.why
    assert "Update its SSH server" in error.next
    assert "+" not in error.next


def test_a_list_of_the_operators_own_is_named_as_the_cause(
    sshd: Sshd, key: Path, operator: Operator, home: Path, make_sshd: MakeSshd
) -> None:
    server = make_sshd(options=("Ciphers aes128-ctr",))
    server.allow(key)
    (home / ".ssh" / "config").write_text("\nCiphers aes256-gcm@openssh.com,no-such-cipher\n")
    error = refusal(server, key, operator)
    assert "config line 2" in error.why
    assert "change Ciphers in " in error.next
    assert says_hello(sshd, key, operator), "a name that does not exist here is passed over"


@pytest.mark.parametrize(
    ("line", "negotiated"),
    [
        ("Ciphers ^aes256-gcm@openssh.com", ("cipher", "aes256-gcm@openssh.com")),
        ("Ciphers aes256-*,-*", ("cipher", "aes256-ctr")),
        ("Ciphers -aes128-*,aes192-ctr", ("cipher", "aes256-ctr")),
        ("MACs hmac-sha2-512", ("mac", "hmac-sha2-512")),
        ("MACs ^*-etm@openssh.com", ("mac", "hmac-sha2-256-etm@openssh.com")),
        ("KexAlgorithms ecdh-sha2-nistp384", ("kex", "ecdh-sha2-nistp384")),
        ("HostKeyAlgorithms rsa-sha2-256", ("key", "rsa-sha2-256")),
        ("HostKeyAlgorithms ^ecdsa*", ("key", "ecdsa-sha2-nistp256")),
    ],
)
def test_the_lists_of_the_configuration_are_heeded(
    make_sshd: MakeSshd,
    key: Path,
    operator: Operator,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    line: str,
    negotiated: tuple[str, str],
) -> None:
    agreed: dict[str, str] = {}
    real = Transport.start_client

    def start(self: Transport, event: object = None, timeout: float | None = None) -> None:
        agreed["self"] = self  # type: ignore[assignment]
        real(self, event, timeout)  # type: ignore[arg-type]

    monkeypatch.setattr(Transport, "start_client", start)
    server = make_sshd(host_keys=("ed25519", "ecdsa", "rsa"), options=("LogLevel DEBUG1",))
    server.allow(key)
    (home / ".ssh" / "config").write_text(f"Host 127.0.0.1\n  {line}\n")
    connector = open_ssh("web1", server.server(key), operator)
    transport = agreed["self"]
    assert isinstance(transport, Transport)
    ours = {
        "cipher": transport.local_cipher,
        "mac": transport.local_mac,
        "key": transport.host_key_type,
        "kex": transport.preferred_kex[0],
    }
    connector.close()
    assert ours[negotiated[0]] == negotiated[1]


def test_what_is_good_but_does_not_exist_here_is_not_called_weak(
    make_sshd: MakeSshd, key: Path, operator: Operator
) -> None:
    server = make_sshd(options=("Ciphers chacha20-poly1305@openssh.com",))
    server.allow(key)
    error = refusal(server, key, operator)
    assert "chacha20-poly1305" in error.why
    assert "aes256-ctr" in error.why
    assert "CBC" not in error.why
    assert "aes128-ctr" in error.next


def test_a_key_that_is_not_to_be_used_is_not_offered(
    make_sshd: MakeSshd, operator: Operator, home: Path, key: Path
) -> None:
    server = make_sshd()
    rsa = keygen(home / ".ssh" / "id_rsa", "rsa")
    server.allow(key)
    (home / ".ssh" / "config").write_text("PubkeyAcceptedAlgorithms rsa-sha2-512\n")
    with pytest.raises(LoginRefused) as caught:
        says_hello(server, key, operator)
    assert "Tried: key ~/.ssh/id_rsa." in caught.value.why
    assert "~/work_key: PubkeyAcceptedAlgorithms does not allow" in caught.value.why
    server.allow(rsa)
    assert says_hello(server, rsa, operator)
    (home / ".ssh" / "config").write_text("PubkeyAcceptedKeyTypes -rsa*\n")
    with pytest.raises(LoginRefused):
        says_hello(server, rsa, operator)


def test_an_rsa_key_that_an_old_server_may_not_understand_is_told(operator: Operator, home: Path) -> None:
    rsa = keygen(home / "old", "rsa")

    def old(served: Served) -> None:
        started(Host(served, "publickey"), server_sig_algs=False).join(30)

    server = Server(old)
    target = RealServer(name="web1", address="127.0.0.1", port=server.port, user="root", identity_file=str(rsa))
    with pytest.raises(LoginRefused) as caught:
        open_ssh("web1", target, operator)
    server.close()
    assert "RSA keys, if its SSH server knows them with SHA-1 alone" in caught.value.why
    assert "ed25519" in caught.value.why


def test_a_list_of_which_nothing_is_left_names_its_line(sshd: Sshd, key: Path, operator: Operator, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Ciphers chacha20-poly1305@openssh.com\n")
    error = refusal(sshd, key, operator)
    assert "config line 1" in error.what
    assert "aes256-ctr" in error.why


def test_lists_are_made_whole_as_ssh_does() -> None:
    default, known = ("a1", "a2", "b1"), ("a1", "a2", "b1", "old1", "old2")
    assert assembled("+old2,old2,a1", default, known) == ("a1", "a2", "b1", "old2")
    assert assembled("+old*", default, known) == ("a1", "a2", "b1", "old1", "old2")
    assert assembled("-a*", default, known) == ("b1",)
    assert assembled("^b1,old1", default, known) == ("b1", "old1", "a1", "a2")
    assert assembled("b1,nothing,a?", default, known) == ("b1", "a1", "a2")
    assert assembled("nothing", default, known) == ()
    assert assembled("!a1", default, known) == ()


def test_what_is_said_to_exist_exists() -> None:
    """And all that this paramiko has was looked at: a new one is safe or weak, but not forgotten."""
    options = paramiko.Transport.__dict__
    for kind, table in ((CIPHERS, "_cipher_info"), (MACS, "_mac_info")):
        assert set(kind.safe) | set(kind.weak) == set(options[table])
    assert set(KEX.safe) == set(Transport.__dict__["_kex_info"])
    plain = {name for name in options["_key_info"] if "-cert-" not in name}
    assert set(HOST_KEYS.safe) == plain
    assert set(PUBLIC_KEYS.safe) >= plain
    safe = [name for kind in (CIPHERS, MACS, KEX, HOST_KEYS, PUBLIC_KEYS) for name in kind.safe]
    assert not [name for name in safe if re.search("cbc|3des|sha1|md5|-96|dss|ssh-rsa|group1-", name)]
