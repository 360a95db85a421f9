"""What SSHFP records say of a host key: keys and records are made by ssh-keygen, the judgement is OpenSSH's."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.intake.sshfp import Sshfp, judged

KINDS = ("rsa", "ecdsa", "ed25519")


class Key:
    """A key pair, and the records that `ssh-keygen -r` prints for it: SHA-1 and SHA-256."""

    def __init__(self, folder: Path, kind: str) -> None:
        file = folder / kind
        subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(file)], check=True)
        self.type, blob, *_ = Path(f"{file}.pub").read_text().split()
        self.blob = base64.b64decode(blob)
        printed = subprocess.run(
            ["ssh-keygen", "-r", "web1.example", "-f", f"{file}.pub"], check=True, capture_output=True, text=True
        )
        self.records = [record(line.split()[3:]) for line in printed.stdout.splitlines()]

    def of(self, digest_type: int) -> list[Sshfp]:
        return [one for one in self.records if one.digest_type == digest_type]


def record(words: list[str]) -> Sshfp:
    return Sshfp(int(words[0]), int(words[1]), bytes.fromhex(words[2]))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    return {kind: Key(tmp_path_factory.mktemp("keys"), kind) for kind in KINDS}


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Key]:
    return {kind: Key(tmp_path_factory.mktemp("others"), kind) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_what_ssh_keygen_prints_matches_its_key_and_no_other(
    keys: dict[str, Key], others: dict[str, Key], kind: str
) -> None:
    key, other = keys[kind], others[kind]
    assert {one.digest_type for one in key.records} == {1, 2}
    assert judged(key.records, key.type, key.blob, authenticated=True) == "signed"
    assert judged(key.records, key.type, key.blob, authenticated=False) == "unsigned"
    for authenticated in (True, False):
        assert judged(key.records, other.type, other.blob, authenticated=authenticated) == "differs"


@pytest.mark.parametrize("kind", KINDS)
def test_sha_1_alone_is_never_enough(keys: dict[str, Key], others: dict[str, Key], kind: str) -> None:
    key, other = keys[kind], others[kind]
    assert judged(key.of(1), key.type, key.blob, authenticated=True) == "weak"
    assert judged(key.of(2), key.type, key.blob, authenticated=True) == "signed"
    assert judged(key.of(1), other.type, other.blob, authenticated=True) == "differs"
    forged = [*key.of(2), *other.of(1)]
    assert judged(forged, other.type, other.blob, authenticated=True) == "differs", "no way down to SHA-1"


def test_records_of_all_keys_of_a_host_do_not_disturb_each_other(keys: dict[str, Key], others: dict[str, Key]) -> None:
    published = [one for key in keys.values() for one in key.records]
    for kind in KINDS:
        assert judged(published, keys[kind].type, keys[kind].blob, authenticated=True) == "signed"
        assert judged(published, others[kind].type, others[kind].blob, authenticated=True) == "differs"


def test_a_key_of_a_kind_that_dns_has_not_differs(keys: dict[str, Key], others: dict[str, Key]) -> None:
    impostor = others["ecdsa"]
    assert judged(keys["ed25519"].records, impostor.type, impostor.blob, authenticated=True) == "differs"


def test_one_record_that_does_not_match_outweighs_those_that_do(keys: dict[str, Key], others: dict[str, Key]) -> None:
    key = keys["ed25519"]
    both = [*key.records, *others["ed25519"].records]
    assert judged(both, key.type, key.blob, authenticated=True) == "differs"


def test_malformed_and_unknown_records_count_as_not_there(keys: dict[str, Key]) -> None:
    key = keys["ed25519"]
    good = key.of(2)[0]
    foreign = [
        Sshfp(4, 2, b""), Sshfp(4, 2, good.digest[:-1]), Sshfp(4, 2, good.digest + b"\0"), Sshfp(4, 2, b"\x1b" * 60000),
        Sshfp(4, 1, good.digest), Sshfp(4, 0, good.digest), Sshfp(4, 3, good.digest), Sshfp(0, 2, good.digest),
        Sshfp(5, 2, good.digest), Sshfp(255, 2, good.digest),
    ]  # fmt: skip
    assert judged([], key.type, key.blob, authenticated=True) == "none"
    assert judged(foreign, key.type, key.blob, authenticated=True) == "none"
    assert judged([*foreign, good], key.type, key.blob, authenticated=True) == "signed"


def test_ed448_has_the_number_that_rfc_8709_gives_it() -> None:
    blob = b"\0\0\0\x09ssh-ed448"
    digest = bytes.fromhex(
        subprocess.run(["sha256sum"], input=blob, capture_output=True, check=True).stdout[:64].decode()
    )
    assert judged([Sshfp(6, 2, digest)], "ssh-ed448", blob, authenticated=True) == "signed"
