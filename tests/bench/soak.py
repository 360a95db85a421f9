"""What a watch that runs for long uses: memory and its slope, threads, descriptors; 3 and 50 servers.

    sudo python -m tests.bench.soak [--seconds S] [--servers N …]     real sshds in network namespaces, 3 and 50 of them
    python -m tests.bench.soak --lab [--seconds S]                    the lab: IPVS, three servers, nothing beside it

`dsrwizard watch --json` runs as a process of its own. Every few seconds a server loses its VIP or gets it back, so that
there is something to tell, to look at from within and to verify. The slope is that of the least squares through all
samples after the warm-up, a fifth of the time and two minutes at most. The exit status is 1 where it is above a limit:
a sawtooth of garbage goes up and down, a leak goes up alone.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.farm import PREFIX, Farm

VIP = f"{PREFIX}.5"
FLAP_SECONDS = 10.0
LIMIT = 1.0
"""MB a minute."""
READ = "cat /proc/{pid}/status; echo Fds: $(ls /proc/{pid}/fd | wc -l)"


@dataclass(frozen=True)
class Sample:
    """`memory` in MB: what the process holds for itself (RssAnon of proc_pid_status(5)). The pages of files count in
    VmRSS too, and come and go with the memory of the whole machine."""

    at: float
    memory: float
    threads: int
    descriptors: int


def sample(status: str, at: float) -> Sample:
    """From `/proc/PID/status` and a line `Fds:`."""
    words = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return Sample(at, int(words["RssAnon"].split()[0]) / 1024, int(words["Threads"]), int(words["Fds"]))


def slope(samples: Sequence[Sample]) -> float:
    """MB a minute."""
    middle = sum(one.at for one in samples) / len(samples)
    mean = sum(one.memory for one in samples) / len(samples)
    above = sum((one.at - middle) * (one.memory - mean) for one in samples)
    below = sum((one.at - middle) ** 2 for one in samples)
    return 60 * above / below if below else 0.0


def report(name: str, samples: Sequence[Sample], lines: int) -> bool:
    """Prints a row. Whether the slope is within the limit."""
    began, end = samples[0].at, samples[-1].at
    warm = [one for one in samples if one.at >= began + min(120.0, (end - began) / 5)]
    steep = slope(warm)
    half = [warm[: len(warm) // 2], warm[len(warm) // 2 :]]
    low, high = min(one.memory for one in warm), max(one.memory for one in warm)
    print(
        f"{name:16} {end - began:6.0f} s  {samples[0].memory:6.1f} to {samples[-1].memory:6.1f} MB, "
        f"{low:.1f} to {high:.1f} after the warm-up  slope {steep:+.2f} MB/min "
        f"(halves {', '.join(f'{slope(part):+.2f}' for part in half)})  "
        f"threads {min(one.threads for one in warm)} to {max(one.threads for one in warm)}  "
        f"descriptors {min(one.descriptors for one in warm)} to {max(one.descriptors for one in warm)}  "
        f"{lines} lines told  load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return steep <= LIMIT


def watched(seconds: float, read: Callable[[], str], flap: Callable[[int], None]) -> list[Sample]:
    """A sample each second or so."""
    samples: list[Sample] = []
    began = last = time.monotonic()
    flaps = 0
    while (now := time.monotonic()) - began < seconds:
        samples.append(sample(read(), now))
        if now - last >= FLAP_SECONDS:
            flap(flaps)
            last, flaps = now, flaps + 1
        time.sleep(1.0)
    return samples


def over_ssh(count: int, seconds: float, repository: Path) -> bool:
    """A farm of real sshds; another product balances, so that no IPVS is needed here."""
    with Farm(Path(tempfile.gettempdir()) / f"dsr-soak-{os.getpid()}", count) as farm:
        home = farm.where / "operator"
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        shutil.copy(farm.known_hosts, home / ".ssh" / "known_hosts")
        file = home / "farm.toml"
        file.write_text(_deployment(farm))
        environment = os.environ | {"HOME": str(home), "PYTHONPATH": str(repository), "XDG_STATE_HOME": f"{home}/state"}
        program = [sys.executable, "-m", "dsrwizard"]
        done = farm.run([*program, "apply", str(file), "--yes"], **environment)
        if done.returncode:
            raise SystemExit(f"apply failed: {done.stdout[-800:]}{done.stderr[-800:]}")
        inside = ["nsenter", f"--net=/proc/{farm._pid}/ns/net", *program, "watch", str(file), "--json"]
        with (home / "told").open("wb") as told:
            process = subprocess.Popen(inside, stdout=told, env=environment, cwd=repository)
        try:
            _until(lambda: b"\n" in (home / "told").read_bytes(), process)

            def flap(number: int) -> None:
                word = "del" if number % 2 == 0 else "add"
                farm.on(number // 2 % count, f"ip addr {word} {VIP}/32 dev lo")

            def read() -> str:
                descriptors = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
                return Path(f"/proc/{process.pid}/status").read_text() + f"Fds: {descriptors}\n"

            samples = watched(seconds, read, flap)
        finally:
            process.terminate()
            process.wait(30)
        lines = (home / "told").read_bytes().count(b"\n")
        return report(f"{count} over SSH", samples, lines)


def _until(so: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 180
    while not so():
        if process.poll() is not None or time.monotonic() > end:
            raise SystemExit("The watch does not begin.")
        time.sleep(0.2)


def _deployment(farm: Farm) -> str:
    lines = ['name = "farm"', "[director]", 'interface = "br0"', 'engine = "external"', "[[vips]]"]
    lines += [f'address = "{VIP}"', "[[vips.services]]", "port = 22"]  # what answers there is sshd itself
    for number, address in enumerate(farm.addresses):
        lines += ["[[servers]]", f'name = "web{number}"', f'address = "{address}"', 'user = "root"']
        lines += [f'identity_file = "{farm.key}"']
    return "\n".join(lines) + "\n"


def in_lab(seconds: float) -> bool:
    """IPVS, TCP and UDP, three servers over SSH, in the lab."""
    from backends.lab import guest
    from tests.lab.harness import DEPLOYMENT_FILE, Lab
    from tests.lab.harness import VIP as LAB_VIP

    with Lab() as lab:
        lab.dsrwizard("apply", DEPLOYMENT_FILE, "--yes").ok()
        with lab.spawn("director", guest.wizard_command("watch", DEPLOYMENT_FILE, "--json")) as process:
            process.expect('"type":', 120)
            pid = lab.run("director", "pgrep -f 'watch.*--json' | head -n 1").ok().stdout.strip()
            where = lab.run("web1", f"ip -o addr show to {LAB_VIP}").ok().stdout.split()[1]

            def flap(number: int) -> None:
                lab.run("web1", f"ip addr {'del' if number % 2 == 0 else 'add'} {LAB_VIP}/32 dev {where}")

            samples = watched(seconds, lambda: lab.run("director", READ.format(pid=pid)).ok().stdout, flap)
            lines = [json.loads(line) for line in process.stdout.rpartition("\n")[0].splitlines()]
    return report("the lab", samples, len(lines))


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--servers", type=int, nargs="*", default=[3, 50])
    parser.add_argument("--lab", action="store_true")
    parser.add_argument("--repository", type=Path, default=Path(__file__).parents[2], help="another checkout's watch")
    wanted = parser.parse_args()
    if wanted.lab:
        return 0 if in_lab(wanted.seconds) else 1
    fine = [over_ssh(count, wanted.seconds, wanted.repository) for count in wanted.servers]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the farm is taken down, too
    sys.exit(main())
