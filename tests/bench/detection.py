"""How long a fault takes to show in the watch, and its cure to clear it, per cause, in the lab.

    python -m tests.bench.detection [--times N] [CAUSE@HOST …]

`dsrwizard watch --json` runs on the lab's director; each fault is made and mended there by the lab's own scripts. The
clock (the guest's) runs from just before the fault's script, and from just after the mending one, to the line that
tells that a server is not well; below zero: it was told before the script had ended. When its cause was named and how
long mending took is told beside it. The limit of two seconds is that of the default interval; what only facts can show
waits for the next look from within, and so does the cause of a silence or a refusal. The
lab is one process on one processor, so this machine's load is told as well.
The exit status is 1 when a cause with a limit took longer in the median, or never showed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from statistics import median

from backends.lab import guest
from tests.lab.harness import DEPLOYMENT_FILE, Lab, Process

LIMITED = ("vip-missing@web1", "arp-leak@web2", "service-down@web3")
OTHERS = (
    "unreachable@web1", "firewall@web2", "rip-only-listener@web3", "arp-announce@web1", "rp-filter@web2",
    "gateway@web3", "not-persistent@web1", "ipvs-missing@web2", "ipvs-differs@web3", "drained@web1",
    "duplicate-vip@stranger", "director-vip@director",
)  # fmt: skip
LIMIT = 2.0
LONGEST = 45.0
SCRIPT = (
    "import sys, time; from backends.lab.inside.mending import _Faulty; from backends.lab.naming import parse; "
    "lab = _Faulty(); made = parse(sys.argv[2]); began = time.time(); "
    "lab.make([made]) if sys.argv[1] == 'fault' else lab.mend([made]); print(began, time.time())"
)


class Watched:
    """A watch in the lab, and what it has told."""

    def __init__(self, lab: Lab, process: Process) -> None:
        self._lab = lab
        self._process = process

    def lines(self) -> list[dict[str, object]]:
        whole = self._process.stdout.rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines()]

    def do(self, verb: str, name: str) -> tuple[float, float]:
        """Makes or mends a fault; when that began and ended, by the guest's clock."""
        done = self._lab.run("director", [sys.executable, "-c", SCRIPT, verb, name]).ok()
        began, ended = done.stdout.split()[-2:]
        return float(began), float(ended)

    def shown(self, cause: str, since: float) -> tuple[float | None, float | None]:
        """When some server was told not to be well, and when the cause was named; None: not in time."""
        ill = self._until(lambda rows: any(state != "up" for state, _ in rows), since)
        return ill, self._until(lambda rows: any(named == cause for _, named in rows), since)

    def cleared(self, since: float) -> float | None:
        """When every server was told to be well again; None: not in time."""
        return self._until(lambda rows: all(state == "up" for state, _ in rows), since)

    def _until(self, so: Callable[[Collection[tuple[object, object]]], bool], since: float) -> float | None:
        deadline = time.monotonic() + LONGEST
        while time.monotonic() < deadline:
            rows: dict[tuple[object, object, object], tuple[object, object]] = {}
            for line in self.lines():
                if line["type"] == "snapshot":
                    for service in line["services"]:  # type: ignore[attr-defined]
                        for row in service["servers"]:
                            rows[service["vip"], service["service"], row["host"]] = row["state"], row["cause"]
                elif line["type"] == "change":
                    rows[line["vip"], line["service"], line["host"]] = line["state"], line["cause"]
                    if float(str(line["at"])) >= since and so(rows.values()):
                        return float(str(line["at"]))
            time.sleep(0.05)
        return None


def measure(watched: Watched, names: Sequence[str], times: int) -> bool:
    columns = " ".join(f"{what:>19}" for what in ("shows after s", "named after s", "clears after s", "mending took s"))
    print(f"{'fault':24} {columns}   limit  load")
    fine = True
    for name in names:
        cause = name.partition("@")[0]
        shows: list[float] = []
        names_it: list[float] = []
        clears: list[float] = []
        scripts: list[float] = []
        for _ in range(times):
            began, _ = watched.do("fault", name)
            seen, named = watched.shown(cause, began)
            mending, mended = watched.do("mend", name)
            gone = watched.cleared(mending)
            scripts.append(mended - mending)
            shows.append(seen - began if seen else LONGEST)
            names_it.append(named - began if named else LONGEST)
            clears.append(gone - mended if gone else LONGEST)
            time.sleep(1.3)
        limited = name in LIMITED
        if limited and (median(shows) > LIMIT or median(clears) > LIMIT):
            fine = False
        figures = " ".join(f"{_spread(values):>19}" for values in (shows, names_it, clears, scripts))
        print(f"{name:24} {figures}   {LIMIT if limited else '-':<5} {os.getloadavg()[0]:5.1f}", flush=True)
    return fine


def _spread(values: Sequence[float]) -> str:
    if max(values) >= LONGEST:
        return "not within 45 s"
    return f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*LIMITED, *OTHERS])
    parser.add_argument("--times", type=int, default=3)
    wanted = parser.parse_args()
    with Lab() as lab:
        lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
        with lab.spawn("director", guest.wizard_command("watch", DEPLOYMENT_FILE, "--json")) as process:
            process.expect('"type":', 60)
            time.sleep(5)
            return 0 if measure(Watched(lab, process), wanted.names, wanted.times) else 1


if __name__ == "__main__":
    sys.exit(main())
