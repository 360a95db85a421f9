"""`make reboots` where it cannot begin: packages that cannot be fetched, and a user it has no keys for."""

import os

import pytest

from tests.reboots.image import known, not_built, ordinary

REFUSED = """\
Err:1 http://mirror.example/debian bookworm InRelease
  Could not connect to 127.0.0.1:9 (127.0.0.1). - connect (111: Connection refused)
E: apt-get update --error-on=any -oAPT::Status-Fd=<$fd> -oDpkg::Use-Pty=false failed
E: mmdebstrap failed to run
"""


@pytest.mark.parametrize(
    "said",
    [
        REFUSED,
        "Err:1 http://mirror.example/debian bookworm InRelease\n  Temporary failure resolving 'mirror.example'\n",
        "E: Failed to fetch http://mirror.example/x.deb  404  Not Found [IP: 192.0.2.1 80]\n",
        "E: Unable to fetch some archives, maybe run apt-get update or try with --fix-missing?\n",
    ],
)
def test_packages_that_cannot_be_fetched_are_named_as_the_reason(said: str) -> None:
    assert not_built(said).startswith("The guests' packages could not be fetched: ")


def test_the_reason_is_the_first_line_that_says_so() -> None:
    assert "could not be fetched: Could not connect to 127.0.0.1:9" in not_built(REFUSED)


def test_another_fault_of_the_build_is_not_called_one_of_the_network() -> None:
    said = "mkfs.ext4: Could not allocate block in ext2 filesystem while populating file system\n"
    assert not_built(said) == "The guests' image could not be built. The lines above say why."


def test_a_user_without_a_line_in_passwd_is_told_so_instead_of_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    assert known(os.getuid())
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    with pytest.raises(SystemExit) as ended:
        ordinary()
    assert str(ended.value).startswith("The user with the number 4000000 has no line in /etc/passwd")
    assert str(ended.value).endswith("Nothing was tried.")
