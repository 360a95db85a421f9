"""Changes single places of planning, diagnosis, record and dialects, one at a time, and tells which the tests notice.

    python -m tests.mutants --seed 1 --count 30

Each mutant lives in a copy of the repository; the checkout is not touched. The tests of the unit suite that name the
changed module run first, then all of them; for the dialect of Windows its own tests as well. The exit status is 0
whatever survives: a survivor is a question to a reader, not a fault by itself.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tests.mutants.places import Place, mutated, places
from tests.windows.pwsh.found import pwsh

ROOT = Path(__file__).parents[2]
MUTATED = ("plan", "diagnosis", "record", "dialects")
"""Folders of dsrwizard/core. `dsrwizard/engine/journal.py` is mutated as well."""
SECONDS = 900.0
"""A run of the tests that takes longer is caught in an endless loop."""
NOTHING_COLLECTED = 5
"""pytest's exit status where every test of the files was left out."""
ABOUT_FILES = ("tests/unit/test_architecture.py",)
"""These look at how a file is written, not at what it does."""


def sample(seed: int, count: int) -> list[Place]:
    files = [path for name in MUTATED for path in sorted((ROOT / "dsrwizard/core" / name).rglob("*.py"))]
    files.append(ROOT / "dsrwizard/engine/journal.py")
    every = [place for path in files for place in places(str(path.relative_to(ROOT)), path.read_text())]
    print(f"{len(every)} places in {len(files)} files; seed {seed}, {min(count, len(every))} of them", flush=True)
    return random.Random(seed).sample(every, min(count, len(every)))


class Copy:
    """A copy of the repository's files, in which tests run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for name in listed.stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, folder / name)
        (folder / ".venv").mkdir()

    def judged(self, place: Place, passed_over: Sequence[str]) -> tuple[str, float]:
        """`survived`, what noticed it, or `unsure` where that test fails without the change too; and the seconds."""
        began = time.monotonic()
        path = self._folder / place.path
        source = path.read_text()
        path.write_text(mutated(source, place))
        try:
            near = _naming(place.path)
            noticed = self.tested(near, passed_over) if near else ""
            noticed = noticed or self.tested(_suite(place.path), passed_over)
        finally:
            path.write_text(source)
        if "::" in noticed and self.tested([name.split("[")[0] for name in noticed.splitlines()], ()):
            noticed = f"unsure: without the change, too: {noticed}"
        return noticed or "survived", time.monotonic() - began

    def tested(self, files: Sequence[str], passed_over: Sequence[str], *, first: bool = True) -> str:
        """What failed first, or all of it; empty: nothing. Names of tests end with a line break."""
        words = [sys.executable, "-m", "pytest", "-q", "-n0" if first else "-n2", "-m", "not (exhaustive or long)"]
        words += ["--tb=no", *(["-x"] if first else []), *files]
        words += [f"--deselect={name}" for name in passed_over] + [f"--ignore={name}" for name in ABOUT_FILES]
        environment = os.environ | {"PYTHONPATH": str(self._folder), "PYTHONDONTWRITEBYTECODE": "1"}
        environment["DSRWIZARD_PWSH"] = pwsh() or ""  # a copy elsewhere finds none beside it, and leaves tests out
        try:
            done = subprocess.run(
                words, cwd=self._folder, env=environment, capture_output=True, text=True, check=False, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return "no end"
        if done.returncode in (0, NOTHING_COLLECTED):
            return ""
        failed = re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.MULTILINE)
        if not failed:
            raise SystemExit(f"The tests did not run:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
        return "\n".join(failed)


def _naming(path: str) -> list[str]:
    """The test files that name the module of this file."""
    module = re.compile(rf"\b{re.escape(path.removesuffix('.py').replace('/', '.'))}\b")
    folders = ["unit", "fakes", *(["windows"] if "windows" in path else [])]
    tests = [test for folder in folders for test in sorted((ROOT / "tests" / folder).glob("test_*.py"))]
    return [str(test.relative_to(ROOT)) for test in tests if module.search(test.read_text())]


def _suite(path: str) -> list[str]:
    return ["tests/unit", "tests/fakes", *(["tests/windows"] if "windows" in path else [])]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    chosen = sample(given.seed, given.count)
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies: Queue[Copy] = Queue()
        for number in range(given.workers):
            copies.put(Copy(Path(folder, str(number))))
        one = copies.get()
        unsound = one.tested(_suite(""), (), first=False).splitlines()
        copies.put(one)
        if unsound:
            print("These fail without any change, and are left out:", *unsound, sep="\n  ", flush=True)

        def judge(place: Place) -> tuple[Place, str]:
            copy = copies.get()
            try:
                noticed, seconds = copy.judged(place, unsound)
            finally:
                copies.put(copy)
            where = f"{place.path}:{place.line}"
            word = noticed if noticed == "survived" else "unsure" if noticed.startswith("unsure") else "killed"
            print(f"{word:8} {seconds:4.0f} s  {where}  {_short(place.old)} → {_short(place.new)}", flush=True)
            if word != "survived":
                print(f"         by {_short(noticed)}", flush=True)
            return place, noticed

        with ThreadPoolExecutor(given.workers) as pool:
            results = list(pool.map(judge, chosen))
    survivors = [place for place, noticed in results if noticed == "survived"]
    unsure = [place for place, noticed in results if noticed.startswith("unsure")]
    killed = len(results) - len(survivors) - len(unsure)
    print(f"\n{len(results)} mutants: {killed} killed, {len(survivors)} survived, {len(unsure)} unsure")
    for name in (*MUTATED, "journal"):
        of = [place for place, _ in results if f"/{name}" in place.path]
        print(f"  {name:10} {len([one for one in of if one not in survivors + unsure]):3} of {len(of):3} killed")
    for place in survivors:
        print(f"survived: {place.path}:{place.line}\n    {_short(place.old)}\n    {_short(place.new)}")


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 90 else line[:89] + "…"


if __name__ == "__main__":
    main()
