"""Host keys of a real sshd: unknown, changed, revoked, of several types, under several names."""

from __future__ import annotations

import shlex
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.ssh import open_ssh
from dsrwizard.core.model.errors import HostKeyChanged, HostKeyUnknown
from tests.ssh.sshd import Operator, Sshd, fingerprint, keygen, public

MakeSshd = Callable[..., Sshd]


@pytest.fixture
def known(home: Path) -> Path:
    return home / ".ssh" / "known_hosts"


def connects(server: Sshd, key: Path, operator: Operator) -> None:
    open_ssh("web1", server.server(key), operator).close()


def test_an_unknown_key_is_shown_accepted_and_written(
    sshd: Sshd, key: Path, operator: Operator, known: Path, home: Path
) -> None:
    (home / ".ssh").rmdir()
    connects(sshd, key, operator)
    connects(sshd, key, operator)
    [question] = operator.keys
    assert (question.host, question.key_type) == ("web1", "ssh-ed25519")
    assert question.fingerprint == fingerprint(sshd.host_keys["ed25519"])
    assert str(sshd.port) in question.address
    assert known.read_text() == sshd.known_line()
    assert stat.S_IMODE(known.stat().st_mode) == 0o600
    assert stat.S_IMODE(known.parent.stat().st_mode) == 0o700


def test_what_is_written_is_what_ssh_reads(sshd: Sshd, key: Path, operator: Operator, known: Path, home: Path) -> None:
    (home / ".ssh" / "config").write_text("HashKnownHosts yes\n")
    known.write_text("# no newline at the end")
    connects(sshd, key, operator)
    assert "127.0.0.1" not in known.read_text()
    found = subprocess.run(
        ["ssh-keygen", "-f", str(known), "-F", f"[127.0.0.1]:{sshd.port}"], capture_output=True, text=True, check=True
    )
    assert public(sshd.host_keys["ed25519"]) in found.stdout
    connects(sshd, key, operator)
    assert len(operator.keys) == 1


def test_a_refused_key_is_not_written(sshd: Sshd, key: Path, known: Path) -> None:
    with pytest.raises(HostKeyUnknown) as caught:
        connects(sshd, key, Operator(accepts=False))
    assert fingerprint(sshd.host_keys["ed25519"]) in caught.value.why
    assert not known.exists()


def test_a_changed_key_is_never_offered(sshd: Sshd, key: Path, operator: Operator, known: Path, home: Path) -> None:
    other = keygen(home / "other")
    known.write_text(f"# a comment\n[127.0.0.1]:{sshd.port} {public(other)}\n")
    with pytest.raises(HostKeyChanged) as caught:
        connects(sshd, key, operator)
    assert operator.keys == []
    assert fingerprint(other) in caught.value.why
    assert fingerprint(sshd.host_keys["ed25519"]) in caught.value.why
    assert "~/.ssh/known_hosts line 2" in caught.value.why
    command = caught.value.next.partition("ssh-keygen")[2]
    subprocess.run(["ssh-keygen", *shlex.split(command)], check=True, capture_output=True)
    connects(sshd, key, operator)
    assert len(operator.keys) == 1


def test_the_known_key_is_asked_for_when_the_server_has_several(
    make_sshd: MakeSshd, key: Path, operator: Operator, known: Path
) -> None:
    server = make_sshd(host_keys=("ed25519", "ecdsa", "rsa"))
    server.allow(key)
    for kind in ("rsa", "ecdsa", "ed25519"):
        known.write_text(server.known_line(kind))
        connects(server, key, operator)
    assert operator.keys == []


def test_a_known_key_of_another_type_that_is_gone_is_a_change(
    sshd: Sshd, key: Path, operator: Operator, known: Path, home: Path
) -> None:
    known.write_text(f"[127.0.0.1]:{sshd.port} {public(keygen(home / 'old', 'ecdsa'))}\n")
    with pytest.raises(HostKeyChanged):
        connects(sshd, key, operator)


def test_a_revoked_key_is_refused_though_it_is_known(sshd: Sshd, key: Path, operator: Operator, known: Path) -> None:
    known.write_text(f"{sshd.known_line()}@revoked * {public(sshd.host_keys['ed25519'])}\n")
    with pytest.raises(HostKeyChanged) as caught:
        connects(sshd, key, operator)
    assert "revoked" in caught.value.what
    assert operator.keys == []


@pytest.mark.parametrize("names", ["127.0.0.1", "[127.0.0.*]:{port}", "web9,[127.0.0.1]:{port}"])
def test_other_ways_of_being_known(sshd: Sshd, key: Path, operator: Operator, known: Path, names: str) -> None:
    known.write_text(f"{names.format(port=sshd.port)} {public(sshd.host_keys['ed25519'])} comment\n")
    connects(sshd, key, operator)
    assert operator.keys == []


def test_the_systems_file_and_an_alias(sshd: Sshd, key: Path, operator: Operator, tmp_path: Path, home: Path) -> None:
    (home / ".ssh" / "config").write_text("Host 127.*\n  HostKeyAlias farm\n")
    (tmp_path / "ssh_known_hosts").write_text(f"farm {public(sshd.host_keys['ed25519'])}\n")
    connects(sshd, key, operator)
    assert operator.keys == []


def test_a_key_of_nobody_is_unknown_again_elsewhere(
    make_sshd: MakeSshd, key: Path, operator: Operator, known: Path
) -> None:
    one, two = make_sshd(), make_sshd()
    for server in (one, two):
        server.allow(key)
        connects(server, key, operator)
    assert [question.fingerprint for question in operator.keys] == [
        fingerprint(one.host_keys["ed25519"]),
        fingerprint(two.host_keys["ed25519"]),
    ]
    assert len(known.read_text().splitlines()) == 2
