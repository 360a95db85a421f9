"""The lock holds what pyproject.toml asks for: every package at one version, by hash, from no particular index."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BUILD = PROJECT["build-system"]["requires"] + PROJECT["dependency-groups"]["build"]
RUN = PROJECT["project"]["dependencies"] + BUILD
ASKED = {"run": RUN, "dev": RUN + PROJECT["project"]["optional-dependencies"]["dev"]}
PYTHONS = ("3.11", "3.12", "3.13")


def locked(lock: str) -> list[tuple[Requirement, list[str]]]:
    """Each package of a lock with its hashes. Whatever line is neither a package, a hash nor a comment fails."""
    found: list[tuple[Requirement, list[str]]] = []
    for line in (ROOT / f"requirements/{lock}.txt").read_text().splitlines():
        text = line.removesuffix("\\").strip()
        if hash_ := re.fullmatch(r"--hash=sha256:([0-9a-f]{64})", text):
            found[-1][1].append(hash_[1])
        elif text and not text.startswith("#"):
            assert not text.startswith("-"), f"an option in the lock: {text}"
            found.append((Requirement(text), []))
    return found


def versions(lock: str, python: str, machine: str = "x86_64") -> dict[str, str]:
    """Name and version of all that pip installs on such a Linux machine."""
    where = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "platform_machine": machine,
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    held: dict[str, str] = {}
    for requirement, _ in locked(lock):
        if requirement.marker is None or requirement.marker.evaluate(where):
            name = canonicalize_name(requirement.name)
            assert name not in held, f"{name} twice for Python {python}"
            held[name] = str(requirement.specifier).removeprefix("==")
    return held


@pytest.mark.parametrize("lock", ASKED)
def test_every_package_has_one_version_and_hashes(lock: str) -> None:
    packages = locked(lock)
    assert len(packages) > 20
    for requirement, hashes in packages:
        assert re.fullmatch(r"==[0-9][\w.!+]*", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert requirement.url is None


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("lock", ASKED)
def test_what_pyproject_asks_for_is_locked_within_its_range(lock: str, python: str) -> None:
    held = versions(lock, python)
    for text in ASKED[lock]:
        wanted = Requirement(text)
        version = held.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name} is not in requirements/{lock}.txt: run `make lock`"
        assert wanted.specifier.contains(Version(version)), f"{wanted}, but {version} is locked: run `make lock`"


@pytest.mark.parametrize("python", PYTHONS)
def test_developers_run_what_operators_run(python: str) -> None:
    assert versions("run", python).items() <= versions("dev", python).items()
    assert versions("dev", python) == versions("dev", python, "aarch64")


@pytest.mark.parametrize("path", ["requirements/run.txt", "requirements/dev.txt", "pyproject.toml", "Makefile"])
def test_no_index_is_named(path: str) -> None:
    """Which index packages come from is the machine's own setting; the hashes hold wherever that is."""
    text = (ROOT / path).read_text()
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host|://", text)


def test_make_installs_by_the_lock_alone() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^LOCKED := .*--require-hashes --only-binary :all:$", makefile, re.MULTILINE)
    assert re.search(r"^OURSELVES := .*--no-deps --no-build-isolation$", makefile, re.MULTILINE)
    for stamp, lock in ((".ready", "run"), (".ready-dev", "dev")):
        rule = re.search(rf"^\$\(VENV\)/{re.escape(stamp)}: (.*)\n((?:\t.*\n)+)", makefile, re.MULTILINE)
        assert rule, stamp
        assert f"requirements/{lock}.txt" in rule[1].split()
        installs = [line.strip() for line in rule[2].splitlines() if "install" in line or "$(PIP)" in line]
        assert installs == [f"$(PIP) $(LOCKED) -r requirements/{lock}.txt", "$(PIP) $(OURSELVES) -e ."]
