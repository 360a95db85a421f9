"""Which cause `verify` reports for each fault of the lab, alone and in pairs, beside what the classic checks see.

    python -m tests.bench.fault_matrix [--pairs N] [--same-host N] [--healthy N] [--variants N] [--odd N] [--seed N]
        [--rich] [--blind] [--only CAUSE@HOST,CAUSE@HOST …] [--keepalived PROGRAM]

Every fault is made on the lab's hosts, `verify` looks, the fault is mended. The classic checks are those of load
balancers: ping to the real server's address, a TCP connection to its address and port, and keepalived's TCP_CHECK
where keepalived is installed. Clients are at work all the time. `--rich`: on the rich deployment, each fault at every
VIP and service it can be made on alone. Odd settings of healthy farms are tried like faults; `--variants` and `--odd`
take so many of the variants and of these settings, by the seed. `--blind`: verify without the client host, too. Each
trial is graded: named right, noticed, missed, or false. The exit status is 1 when one is not named right.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections import Counter
from dataclasses import dataclass

from backends.lab import network
from backends.lab.faults import FAULTS
from backends.lab.healthy import HEALTHY_SETTINGS
from backends.lab.making import HEALTHY, Made
from backends.lab.naming import ALL, parse
from backends.lab.variants import VARIANTS
from tests.lab.harness import DEPLOYMENT_FILE, RICH_FILE, SERVERS, Lab

Named = tuple[str, str]
"""A cause and the host it is reported on."""
KEEPALIVED = """global_defs {{
}}
virtual_server {vip} 81 {{
    delay_loop 1
    lvs_method DR
    protocol TCP
{servers}}}
"""
REAL_SERVER = """    real_server {address} {port} {{
        TCP_CHECK {{
            connect_timeout 1
            retry 0
        }}
    }}
"""


TRAFFIC = f"""while :; do
  exec 3<>/dev/tcp/{network.VIP}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && timeout 1 cat <&3
  exec 3>&-; sleep 0.1
done >/dev/null 2>&1"""
EXCLUSIVE = (
    {"vip-missing", "vip-prefix"}, {"service-down", "rip-only-listener"}, {"gateway", "rp-filter"},
    {"ipvs-missing", "ipvs-differs", "drained"},
)  # fmt: skip
"""Causes that cannot be made together on one server: they change the same thing."""
HIDING = {
    "vip-missing": {"firewall", "ipvs-missing", "drained"},
    "service-down": {"ipvs-missing", "drained"},
    "rip-only-listener": {"ipvs-missing", "drained"},
    "firewall": {"ipvs-missing", "drained"},
}
"""What a fault hides of the same server, as `dsrwizard.core.diagnosis` tells; unreachable hides all."""


GRADES = ("named right", "noticed", "missed", "false")
"""Every fault with its cause on its host and nothing else, or nothing wrong and none told; something is not green; the
verdict is pass; something is told that is not so."""


@dataclass(frozen=True)
class Trial:
    """What was made, and who said what."""

    made: tuple[Made, ...]
    reported: frozenset[Named]
    nameless: int
    """Failing checks that name no cause."""
    elsewhere: int
    """Failing checks about another VIP or service than the ones a fault was made on."""
    verdict: str
    blind: str
    """What verify comes to without the client host, in `GRADES`; empty: it was not asked."""
    seconds: float
    ping: str
    tcp: str
    keepalived: str

    @property
    def expected(self) -> frozenset[Named]:
        return frozenset(one.reported for one in self.made if one.fault.cause != HEALTHY)

    @property
    def right(self) -> bool:
        return self.grade == GRADES[0]

    @property
    def grade(self) -> str:
        """How good the diagnosis was, in `GRADES`."""
        if self.nameless or self.elsewhere or not self.expected:
            return graded(self.reported, self.expected, self.verdict, alarm=bool(self.nameless or self.elsewhere))
        return graded(self.reported, self.expected, self.verdict)


def graded(reported: frozenset[Named], wanted: frozenset[Named], verdict: str, *, alarm: bool = False) -> str:
    """`alarm`: something failed besides that names no cause, or is elsewhere."""
    if not wanted:
        return GRADES[3] if reported or alarm or verdict == "fail" else GRADES[0]
    if reported - wanted:
        return GRADES[3]
    if reported == wanted and verdict == "fail":
        return GRADES[1] if alarm else GRADES[0]
    return GRADES[2] if verdict == "pass" else GRADES[1]


def _at(made: Made, check: dict[str, str]) -> bool:
    """Whether a check is about what a fault was made on; of a whole host where either says no more."""
    return made.vip in ("", check["vip"] or made.vip) and made.service in ("", check["service"] or made.service)


def singles(variants: int, odd: int, seed: int) -> list[list[Made]]:
    """Every fault once, and so many variants and odd settings, the servers' by turns."""
    chance = random.Random(seed)
    some = {*chance.sample(VARIANTS, min(variants, len(VARIANTS)))}
    some |= {*chance.sample(HEALTHY_SETTINGS, min(odd, len(HEALTHY_SETTINGS)))}
    chosen = []
    for number, fault in enumerate(fault for fault in ALL if fault in FAULTS or fault in some):
        chosen.append([Made(fault, fault.hosts[number % len(fault.hosts)])])
    return chosen


def narrowed() -> list[list[Made]]:
    """Every fault that can be made on one VIP or service, on each of the rich deployment, the servers by turns."""
    chosen = []
    for number, fault in enumerate(fault for fault in FAULTS if fault.narrow):
        for turn, (vip, services) in enumerate(network.SERVICES.items()):
            host = fault.hosts[(number + turn) % len(fault.hosts)]
            labels = [f"/{protocol}/{port}" for protocol, port in services] if fault.narrow == "service" else [""]
            chosen += [[parse(f"{fault.cause}@{host}/{vip}{label}")] for label in labels]
    return chosen


def pairs(count: int, seed: int, *, same_host: bool = False) -> list[list[Made]]:
    """Two different faults that do not hide each other, each on a host of its own or both on one server."""
    chance = random.Random(seed)
    everything = [Made(fault, host) for fault in FAULTS for host in fault.hosts]
    chosen: list[list[Made]] = []
    while len(chosen) < count:
        first, second = pair = chance.sample(everything, 2)
        fits = first.host == second.host in SERVERS if same_host else first.host != second.host
        if fits and first.fault.cause != second.fault.cause and _both_show(first, second) and pair not in chosen:
            chosen.append(pair)
    return chosen


def _both_show(first: Made, second: Made) -> bool:
    causes = {first.fault.cause, second.fault.cause}
    if any(one.name == "ipvs-missing@director" for one in (first, second)):
        return not causes & {"ipvs-differs", "drained"}
    if first.host != second.host:
        return True
    hidden = any(one in causes and causes & others for one, others in HIDING.items())
    return "unreachable" not in causes and not hidden and not any(causes <= group for group in EXCLUSIVE)


class Farm:
    """A lab with its deployment in force."""

    def __init__(self, lab: Lab, keepalived: str | None, file: str) -> None:
        self._lab, self._file = lab, file
        self._watched = keepalived is not None
        self.without_client = False
        lab.dsrwizard("apply", file, "--yes").ok()
        if keepalived:
            self._watch(keepalived)

    def _watch(self, keepalived: str) -> None:
        """Real health checks beside ours, for a service of their own on another port of the VIP."""
        servers = "".join(
            REAL_SERVER.format(address=host.address, port=network.SERVICE_PORT) for host in network.SERVERS
        )
        self._lab.put("/etc/keepalived.conf", KEEPALIVED.format(vip=network.VIP, servers=servers))
        self._lab.run("director", [keepalived, "--check", "--use-file=/etc/keepalived.conf"]).ok()
        self._lab.wait("director", f"ipvsadm -Ln -t {network.VIP}:81 | grep -q {network.SERVERS[-1].address}")

    def trial(self, made: list[Made]) -> Trial:
        """Makes the faults, looks, and mends them. `verify` takes longer than keepalived's interval and timeout."""
        names = [one.name for one in made]
        if names:
            self._lab.dsrwizard("lab", "fault", *names).ok()
        begun = time.monotonic()
        report = self._lab.dsrwizard("verify", self._file, "--json").json
        seconds = time.monotonic() - begun
        failed = [check for check in report["checks"] if check["outcome"] == "fail"]
        trial = Trial(
            made=tuple(made),
            reported=frozenset((check["cause"], check["host"]) for check in failed if check["cause"]),
            nameless=sum(not check["cause"] for check in failed),
            elsewhere=sum(not any(_at(one, check) for one in made) for check in failed),
            verdict=report["verdict"],
            blind=self._blind(made) if self.without_client else "",
            seconds=seconds,
            ping=self._each("ping -n -c1 -W1 {0} >/dev/null"),
            tcp=self._each("timeout 1 bash -c ': </dev/tcp/{0}/80' 2>/dev/null"),
            keepalived=self._keepalived(),
        )
        if names:
            self._lab.dsrwizard("lab", "mend").ok()
        return trial

    def _blind(self, made: list[Made]) -> str:
        file = "/tmp/blind.toml"
        self._lab.run("director", f"sed '/^\\[client\\]/,$d' {self._file} >{file}").ok()
        report = self._lab.dsrwizard("verify", file, "--json").json
        failed = frozenset((one["cause"], one["host"]) for one in report["checks"] if one["outcome"] == "fail")
        wanted = frozenset(one.reported for one in made if one.fault.cause != HEALTHY)
        if wanted and not failed and all(one.fault.blind for one in made):
            return "not seen"
        return graded(failed, wanted, report["verdict"])

    def _each(self, check: str) -> str:
        """What a check of every real server's own address says: green, or which is red."""
        script = "; ".join(f"{check.format(host.address)} || echo {host.name}" for host in network.SERVERS)
        return " ".join(self._lab.run("director", script).stdout.split()) or "green"

    def _keepalived(self) -> str:
        if not self._watched:
            return "-"
        table = self._lab.run("director", f"ipvsadm -Ln -t {network.VIP}:81").stdout
        return " ".join(host.name for host in network.SERVERS if f"{host.address}:" not in table) or "green"


def show(trial: Trial) -> None:
    names = " + ".join(one.name for one in trial.made) or "healthy"
    causes = " ".join(sorted(f"{cause}@{host}" for cause, host in trial.reported)) or trial.verdict
    extra = f" (+{trial.nameless} without cause)" if trial.nameless else ""
    extra += f" ({trial.elsewhere} elsewhere)" if trial.elsewhere else ""
    sign = "ok   " if trial.right else "WRONG"
    extra += f"; without client: {trial.blind}" if trial.blind else ""
    classic = f"{trial.ping:10} {trial.tcp:10} {trial.keepalived}"
    print(f"{sign} {names:46} {causes + extra:52} {trial.seconds:4.1f}  {classic}", flush=True)


def table(trials: list[Trial]) -> None:
    """The confusion table, in words: rows of fault made, with how often each cause was reported for it alone."""
    rows: dict[str, Counter[str]] = {}
    for trial in trials:
        if len(trial.made) == 1:
            row = rows.setdefault(trial.made[0].fault.cause, Counter())
            row.update(cause for cause, _ in trial.reported)
            row["(none)"] += not trial.reported
    causes = sorted({cause for row in rows.values() for cause in row if row[cause]} | set(rows))
    print(f"\nfault made × cause reported\n{'':18} " + " ".join(f"{number:>2}" for number in range(1, len(causes) + 1)))
    for cause, row in sorted(rows.items()):
        print(f"{cause:18} " + " ".join(f"{row[each] or '.':>2}" for each in causes))
    print("columns: " + ", ".join(f"{number} {cause}" for number, cause in enumerate(causes, 1)))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--pairs", type=int, default=10)
    parser.add_argument("--same-host", type=int, default=5)
    parser.add_argument("--healthy", type=int, default=3)
    parser.add_argument("--variants", type=int, default=len(VARIANTS))
    parser.add_argument("--odd", type=int, default=len(HEALTHY_SETTINGS))
    parser.add_argument("--rich", action="store_true")
    parser.add_argument("--blind", action="store_true", help="verify without the client host, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="trials of these faults instead of all")
    found = shutil.which("keepalived", path="/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin")
    parser.add_argument("--keepalived", default=found, help="the program, where it is not installed")
    wanted = parser.parse_args()
    chosen = [[parse(name) for name in names.split(",")] for names in wanted.only]
    trials: list[Trial] = []
    with Lab() as lab:
        farm = Farm(lab, wanted.keepalived, RICH_FILE if wanted.rich else DEPLOYMENT_FILE)
        farm.without_client = wanted.blind
        lab.spawn("client", TRAFFIC)
        together = pairs(wanted.pairs, wanted.seed) + pairs(wanted.same_host, wanted.seed, same_host=True)
        alone = narrowed() if wanted.rich else singles(wanted.variants, wanted.odd, wanted.seed)
        plan = chosen or [*alone, *together]
        print(f"seed {wanted.seed}; {len(plan)} trials, {wanted.healthy} healthy runs; servers: {', '.join(SERVERS)}")
        print(f"      {'made':46} {'verify':52} {'s':>4}  {'ping RIP':10} {'TCP RIP:80':10} keepalived")
        for made in [*plan, *([[]] * wanted.healthy)]:
            trials.append(farm.trial(made))
            show(trials[-1])
    if any(len(trial.made) == 1 for trial in trials):
        table(trials)
    for what, grades in (("", [one.grade for one in trials]), ("without client: ", [one.blind for one in trials])):
        counted = Counter(grade for grade in grades if grade)
        if counted:
            print(what + ", ".join(f"{counted[each]} {each}" for each in (*GRADES, "not seen") if counted[each]))
    alarms = sum(trial.verdict != "pass" for trial in trials if not trial.made)
    print(f"{wanted.healthy} healthy runs: {alarms} false alarms")
    wrong = [trial for trial in trials if not trial.right]
    print(f"{len(trials) - len(wrong)} of {len(trials)} right")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
