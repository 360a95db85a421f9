"""How long a dead server stays in the table with a guard, how soon a cured one is back, and what the guard costs.

    python -m tests.bench.guard_times [--times N] [CAUSE@HOST …]

`dsrwizard guard` runs on the lab's director over the rich deployment (nine destinations and more), with clients of it.
Each fault is made and mended by the lab's own scripts; the clock, the guest's, runs from the end of the script to the
moment at which the table has the new weight. The guard's share of the processor is its own time over that of the wall,
while nothing is wrong. The lab is one process on one processor, so this machine's load is told as well.
"""

from __future__ import annotations

import argparse
import os
import sys
from statistics import median

from backends.lab import guest, network
from tests.bench.detection import SCRIPT
from tests.lab.harness import RICH_FILE, Lab, Process

CAUSES = (
    "service-down@web2", "unreachable@web3", "vip-missing@web1", "rip-only-listener@web2", "firewall@web3",
)  # fmt: skip
QUIET_SECONDS = 20
WATCH = """
import socket, sys, time
vip, rip, wanted = sys.argv[1:4]
name = lambda address: socket.inet_aton(address).hex().upper() + ":0050"
while True:
    ours, found = False, ""
    for line in open("/proc/net/ip_vs"):
        words = line.split()
        if words[0] in ("TCP", "UDP"):
            ours = words[:2] == ["TCP", name(vip)]
        elif ours and words[0] == "->" and words[1] == name(rip):
            found = words[3]
    if found == wanted:
        print(time.time()); break
    time.sleep(0.02)
"""
WHO = "import glob, json; print(json.load(open(glob.glob('/run/dsrwizard/guard-*.json')[0]))['pid'])"
COST = """
import pathlib, sys, time
def used():
    words = pathlib.Path(f"/proc/{sys.argv[1]}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100
before, began = used(), time.time()
time.sleep(float(sys.argv[2]))
print(100 * (used() - before) / (time.time() - began))
"""


def act(lab: Lab, verb: str, name: str) -> float:
    """Makes or mends a fault; when that ended, by the guest's clock."""
    done = lab.run("director", [sys.executable, "-c", SCRIPT, verb, name]).ok()
    return float(done.stdout.split()[-1])


def seen(watch: Process) -> float:
    """When the table had the weight that was waited for."""
    return float(watch.wait().stdout.split()[-1])


def tried(lab: Lab, name: str, times: int) -> tuple[list[float], list[float]]:
    """Seconds until it was out, and until it was back."""
    rip = f"10.0.0.10{name[-1]}"
    out: list[float] = []
    back: list[float] = []
    for _ in range(times):
        with guarding(lab):
            for verb, wanted, found in (("fault", "0", out), ("mend", "1", back)):
                with lab.spawn("director", [sys.executable, "-c", WATCH, network.VIP, rip, wanted]) as watch:
                    ended = act(lab, verb, name)
                    found.append(seen(watch) - ended)
            lab.run("director", ["sleep", "2"])  # the other services of the server come back, too
    return out, back


def guarding(lab: Lab) -> Process:
    """A guard at work that knows of no earlier fault: whoever went out before would wait longer."""
    lab.run("director", "rm -f /run/dsrwizard/guard-*.json").ok()
    guard = lab.spawn("director", guest.wizard_command("guard", RICH_FILE))
    lab.wait("director", "ls /run/dsrwizard/guard-*.json")
    return guard


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", default=CAUSES)
    parser.add_argument("--times", type=int, default=3)
    chosen = parser.parse_args()
    with Lab() as lab:
        lab.know_hosts()
        lab.dsrwizard("apply", RICH_FILE, "--yes").ok()
        with guarding(lab):
            pid = lab.run("director", [sys.executable, "-c", WHO]).ok().stdout.strip()
            cost = lab.run("director", [sys.executable, "-c", COST, pid, str(QUIET_SECONDS)]).ok().stdout
            print(f"guard on a quiet farm: {float(cost):.1f} % of the guest's processor; load {os.getloadavg()[0]:.1f}")
        print(f"{'fault':26} {'out, s':>18} {'back, s':>18}   median (worst)")
        for name in chosen.names:
            out, back = tried(lab, name, chosen.times)
            told = f"{median(out):8.2f} ({max(out):5.2f})   {median(back):8.2f} ({max(back):5.2f})"
            print(f"{name:26} {told}", flush=True)


if __name__ == "__main__":
    main()
