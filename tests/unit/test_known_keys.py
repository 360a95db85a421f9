"""Files of host keys, compared with what a server shows; the expectation is what ssh-keygen itself prints."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.intake.known_keys import compared, kept_keys


class Host:
    """A key pair made by ssh-keygen, and what it says of it."""

    def __init__(self, folder: Path, kind: str = "ed25519", comment: str = "root@web1") -> None:
        self.file = folder / f"{kind}-{comment}"
        run("-q", "-t", kind, "-N", "", "-C", comment, "-f", str(self.file))
        self.public = Path(f"{self.file}.pub")
        self.printed = run("-lf", str(self.public))
        self.fingerprint = self.printed.split()[1]
        self.type, self.blob, *_ = self.public.read_text().split()


def run(*arguments: str) -> str:
    done = subprocess.run(["ssh-keygen", *arguments], check=True, capture_output=True, text=True)
    return done.stdout


@pytest.fixture(scope="module")
def web1(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("web1"))


@pytest.fixture(scope="module")
def impostor(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("impostor"))


def texts(host: Host, folder: Path) -> dict[str, str]:
    hashed = folder / "hashed"
    hashed.write_text(f"web1 {host.type} {host.blob}\n")
    run("-q", "-H", "-f", str(hashed))
    return {
        "known_hosts": f"# ours\nweb1,10.0.0.101 {host.type} {host.blob} a comment\n",
        "with a port": f"[10.0.0.101]:2222 {host.type} {host.blob}\n",
        "hashed": hashed.read_text(),
        "ssh-keygen -l": host.printed,
        "SSHFP": run("-r", "web1.example.", "-f", str(host.public)),
    }


@pytest.mark.parametrize("form", ["known_hosts", "with a port", "hashed", "ssh-keygen -l", "SSHFP"])
def test_a_key_is_recognised_in_each_form_and_another_one_differs(
    web1: Host, impostor: Host, tmp_path: Path, form: str
) -> None:
    keys = kept_keys(texts(web1, tmp_path)[form])
    names = ("web1", "10.0.0.101")
    assert compared(keys, names, web1.type, web1.fingerprint) == "same"
    assert compared(keys, names, impostor.type, impostor.fingerprint) == "differs"
    assert compared(keys, ("web9", "10.0.0.109"), web1.type, web1.fingerprint) == "unknown"


def test_a_key_of_another_kind_says_nothing(web1: Host, tmp_path: Path) -> None:
    rsa = Host(tmp_path, "rsa")
    assert compared(kept_keys(rsa.printed), ("web1",), web1.type, web1.fingerprint) == "unknown"


@pytest.mark.parametrize("marker", ["@revoked", "@cert-authority"])
def test_a_marked_line_vouches_for_nobody(web1: Host, marker: str) -> None:
    assert kept_keys(f"{marker} web1 {web1.type} {web1.blob}\n") == []


@pytest.mark.parametrize("text", ["", "web1", "web1 ssh-ed25519 %%%", "|1|x|y ssh-ed25519 AAAA", "256 SHA256:x y (Z)"])
def test_nonsense_vouches_for_nobody(text: str) -> None:
    assert compared(kept_keys(text), ("web1",), "ssh-ed25519", "SHA256:x") == "unknown"
