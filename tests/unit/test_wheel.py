"""What is installed: the three packages with all they need at run time, man page and completions, none of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("dsrwizard", "screens", "backends")
SHARED = (
    "man/man1/dsrwizard.1",
    "bash-completion/completions/dsrwizard",
    "zsh/site-functions/_dsrwizard",
    "fish/vendor_completions.d/dsrwizard.fish",
)
"""Where man(1) and the shells look, below share/ of the prefix."""


def test_the_wheel_holds_the_product_whole_and_no_tests(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
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
