"""What is installed: the three packages, scripts included, the man page and completions; none of the tests."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("dsrwizard", "screens", "backends")
SHARED = (
    "man/man1/dsrwizard.1",
    "bash-completion/completions/dsrwizard",
    "zsh/site-functions/_dsrwizard",
    "fish/vendor_completions.d/dsrwizard.fish",
)
"""Where man(1) and the shells look, below share/ of the prefix."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, newly built."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


def test_the_wheel_holds_the_product_whole_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        entry = archive.read(next(name for name in held if name.endswith("entry_points.txt"))).decode()
    files = [path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()]
    ours = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    assert ours <= held
    shared = {name.partition(".data/data/share/")[2] for name in held if ".data/" in name}
    assert shared == set(SHARED)
    assert {name.split("/")[0] for name in held if ".dist-info" not in name and ".data/" not in name} == set(PACKAGES)
    assert "dsrwizard = dsrwizard.__main__:main" in entry


SENT = """
import hashlib, json, sys
import dsrwizard
from backends.winrm.script import pack
from dsrwizard.core.dialects.client import script
from dsrwizard.core.dialects.linux import apply, half_open, observe
from dsrwizard.core.dialects.windows import apply as windows_apply, half_open as windows_half_open
from dsrwizard.core.dialects.windows import observe as windows_observe
from dsrwizard.core.model.changes import LinkChange
from dsrwizard.core.model.deployment import Deployment, Director, Vip
from dsrwizard.core.model.steps import Step
link = LinkChange(interface="dsrwizard", old=False, new=True, system="windows-2012")
step = Step(id="link", host="win1", phase="vip", title="Link", why="", changes=(link,))
texts = [
    observe.observe_script("n", ["/etc/a"], closely=True, vips=[Vip(address="10.0.0.10", services=())]),
    apply.apply_script("n", [], ""),
    half_open.script("n", ["192.0.2.7"], 1),
    script(Deployment(name="shop", director=Director(interface="eth0"), vips=(), servers=()), "n", {}),
    windows_observe.observe_script("n"),
    *(windows_apply.apply_script("n", [step], reached="10.0.0.1", system=system, afterwards="")
      for system in ("windows-2008", "windows-2012")),
    *(windows_half_open.script("n", ["192.0.2.7"], 1, legacy=legacy) for legacy in (True, False)),
    pack("", "m").bootstrap,
]
print(json.dumps([dsrwizard.__file__, [hashlib.sha256(text.encode()).hexdigest() for text in texts]]))
"""
"""Every script that is sent to a host, from wherever the product lies."""


def sent(place: Path) -> list[str]:
    """Their hashes, from the product in this folder or archive."""
    ran = subprocess.run(
        [sys.executable, "-P", "-c", SENT], cwd="/",
        env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    where, hashes = json.loads(ran.stdout)
    assert where.startswith(f"{place}/"), "another copy was imported"
    return list(hashes)


def test_every_script_is_in_the_wheel_and_can_be_read_from_it(wheel: Path, tmp_path: Path) -> None:
    """Each file byte for byte, and each script put together from them: unpacked, as pip leaves it, and zipped."""
    scripts = [path for package in PACKAGES for path in (ROOT / package).rglob("scripts/*.*")]
    scripts += [path for package in PACKAGES for path in (ROOT / package).rglob("*.sh")]
    assert {path.suffix for path in scripts} == {".ps1", ".cs", ".sh", ".py"}
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    for path in scripts:
        unpacked = (tmp_path / path.relative_to(ROOT)).read_bytes()
        assert hashlib.sha256(unpacked).digest() == hashlib.sha256(path.read_bytes()).digest(), path
    here = sent(ROOT)
    assert len(set(here)) == len(here)
    assert sent(tmp_path) == here
    assert sent(wheel) == here
