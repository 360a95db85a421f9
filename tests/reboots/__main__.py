"""`make reboots`: builds the image where it is missing, becomes an ordinary user where root started it, runs every
check and prints the table. Exit status 0 where all is as it should be."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.reboots.checks import everything
from tests.reboots.farm import DIRECTORS, MANAGERS, Farm
from tests.reboots.guests import GuestFailed
from tests.reboots.image import NOBODY, code, image, opened, ordinary
from tests.reboots.table import Table


def main() -> int:
    if len(sys.argv) == 4 and sys.argv[1] == "run":
        return run(Path(sys.argv[2]), Path(sys.argv[3]))
    began = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="dsrwizard-reboots-", dir="/var/tmp"))
    try:
        words = ordinary()
        copied = code(work)
        opened(work)
        built = image(work, words)
        farm = work / "farm"
        farm.mkdir()
        if words:
            os.chown(farm, NOBODY, NOBODY)
        python = Path("/usr/bin/python3") if words else Path(sys.executable)
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(copied), "LC_ALL": "C.UTF-8", "HOME": str(farm)}
        with subprocess.Popen(
            [*words, python, "-m", "tests.reboots", "run", farm, built], cwd=copied, env=environment
        ) as run_:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: run_.terminate())  # it ends its guests, and then itself
            run_.wait()
        print(f"{time.monotonic() - began:.0f} s in all")
        return run_.returncode
    finally:
        if os.environ.get("REBOOTS_KEEP"):
            print(f"Kept: {work}")
        else:
            shutil.rmtree(work, ignore_errors=True)


def run(folder: Path, built: Path) -> int:
    """The guests and the checks, as the ordinary user."""
    table = Table()
    try:
        with Farm(folder, built, Path.cwd()) as farm:

            def stop(*_: object) -> None:
                farm.power_off()  # so that nothing waits for a guest any more
                sys.exit(1)

            signal.signal(signal.SIGTERM, stop)
            signal.signal(signal.SIGINT, stop)
            everything(farm, table, MANAGERS, DIRECTORS)
    except GuestFailed as problem:
        table.note("the run", "-", str(problem))
    return 0 if table.printed() else 1


if __name__ == "__main__":
    sys.exit(main())
