"""Two directors with keepalived and a guard, as `apply` on one of them sets them up, below real systemd: reboots, power
cuts, what systemd does with each of the units, and what a teardown leaves."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.reboots.farm import ADDRESS, BGP_NAME, BGP_VIP, PAIR, VIP, Farm, mac, name_of, outage
from tests.reboots.guests import Asker
from tests.reboots.table import Table, differs

PREFERRED, STANDBY = PAIR
ADDRESS_OF_VIP = VIP[PREFERRED]
GUARD = f"dsrwizard-guard-{name_of(PREFERRED)}.service"
KEEPALIVED = "keepalived.service"
UNITS = {KEEPALIVED: "notify", GUARD: "notify"}
"""What runs on both, and its Type=: one that says when it is ready."""
PATIENCE = 90.0
"""Seconds in which the preferred director has to be in service again: keepalived listens first, then it waits."""
NOISE = 5.0
"""Seconds without an answer while nothing should happen to clients, on a machine that boots others meanwhile."""
TAKE_OVER = 10.0
"""Seconds without an answer while a director goes: the other one has the VIP after 0.4 s, on a machine with time."""
GUARD_MAY = {"CapBnd:": f"{1 << 12 | 1 << 13 | 1 << 2:016x}", "NoNewPrivs:": "1"}
"""CAP_NET_ADMIN, CAP_NET_RAW and CAP_DAC_READ_SEARCH, and nothing by another program (capabilities(7))."""
WATCHDOG_SECONDS = 15 + 30
"""systemd ends a guard without a heartbeat after its WatchdogSec, and starts another."""
LISTENS = 5.0
"""Seconds for which a keepalived that starts says nothing (`vrrp_startup_delay`)."""
REQUESTS = 40
_RUNS = "systemctl show -p ActiveState -p SubState -p Type -p WatchdogUSec -p NRestarts -p MainPID -p StatusText "
_ROUTE = f"ip route show {BGP_VIP}"
_ROUTER = """log syslog all;
router id 10.0.0.1;
protocol device { scan time 1; }
protocol kernel { merge paths yes limit 16; ipv4 { import none; export all; }; }
protocol bfd { interface "vec0" { min rx interval 200 ms; min tx interval 200 ms; multiplier 5; }; }
protocol bgp director {
    local 10.0.0.1 as 65000; neighbor @DIRECTOR@ as 65010; direct; bfd on; error wait time 1, 2;
    connect retry time 2;
    ipv4 { import all; export none; };
}
"""
"""What the operator of the router would write (docs/ecmp.md)."""


def _shown(farm: Farm, director: str, unit: str) -> dict[str, str]:
    lines = farm.at[director].run(_RUNS + unit).splitlines()
    return dict(line.partition("=")[::2] for line in lines)


def until(look: Callable[[], str], seconds: float = PATIENCE) -> str:
    """What is wrong after so many seconds; empty as soon as nothing is."""
    end = time.monotonic() + seconds
    while (wrong := look()) and time.monotonic() < end:
        time.sleep(0.5)
    return wrong


def holds(farm: Farm, director: str) -> bool:
    return farm.at[director].run(f"ip -o addr show to {ADDRESS_OF_VIP} | wc -l").strip() != "0"


def owner(farm: Farm, wanted: str) -> str:
    """Empty where this director has the VIP and the other has not."""
    held = [name for name, there in farm.each(tuple(PAIR), lambda one: holds(farm, one)).items() if there]
    return "" if held == [wanted] else f"the VIP is on {' and '.join(held) or 'none'}"


def right(farm: Farm, director: str) -> str:
    """Empty where table, settings and units of a director are as the deployment asks for."""
    said = farm.at[director].run(
        "ipvsadm -Ln; sysctl net.ipv4.vs.sloppy_tcp net.ipv4.vs.expire_nodest_conn; systemctl --failed --no-legend"
    )
    wrong = [] if f"TCP  {ADDRESS_OF_VIP}:80 mh (mh-fallback,mh-port)" in said else ["no service"]
    wrong += [
        f"{one} has no weight" for one in farm.servers
        if f"-> {ADDRESS[one]}:80" not in said or f"{ADDRESS[one]}:80 Route 1 " not in " ".join(said.split()) + " "
    ]  # fmt: skip
    wrong += [line for line in ("sloppy_tcp = 1", "expire_nodest_conn = 1") if f"vs.{line}" not in said]
    wrong += [line.strip() for line in said.splitlines() if ".service" in line]
    for unit, kind in UNITS.items():
        shown = _shown(farm, director, unit)
        if (shown["ActiveState"], shown["SubState"], shown["Type"]) != ("active", "running", kind):
            wrong.append(f"{unit}: {shown}")
        if unit == GUARD:
            wrong += _held_short(farm, director, shown)
    return "; ".join(wrong)


def _held_short(farm: Farm, director: str, shown: dict[str, str]) -> list[str]:
    """What is wrong with a guard's watchdog, and with what the process may do in fact."""
    wrong = [] if shown["WatchdogUSec"] == "15s" else [f"the guard has no watchdog: {shown['WatchdogUSec']}"]
    status = farm.at[director].run(f"cat /proc/{shown['MainPID']}/status").split()
    may = {key: status[status.index(key) + 1] for key in ("CapBnd:", "NoNewPrivs:") if key in status}
    return wrong if may == GUARD_MAY else [*wrong, f"the guard's process has {may}"]


def served(farm: Farm, vip: str = ADDRESS_OF_VIP) -> str:
    """Empty where every request is answered and every server had its share."""
    got = farm.at["client"].run(f"python3 /lab/get.py {vip} {REQUESTS}", 120).split()
    return "" if len(got) == REQUESTS and set(got) == set(farm.servers) else f"the client got {' '.join(got)}"


def as_it_should(farm: Farm, table: Table, when: str, *, reboot: bool = False) -> None:
    """The VIP is on the preferred director alone, both are whole, and a client is served."""
    table.note(f"{when}: the VIP is here alone", PREFERRED, until(lambda: owner(farm, PREFERRED)), reboot=reboot)
    for name, wrong in farm.each(tuple(PAIR), lambda one: until(lambda: right(farm, one))).items():
        table.note(f"{when}: table, settings and units", name, wrong)
    table.note(f"{when}: the client is served", PREFERRED, served(farm))


def goes(farm: Farm, table: Table, when: str, away: Callable[[], None], most: float) -> None:
    """Something happens to directors while a client asks all the time."""
    seen = farm.asking(PREFERRED, 60)
    away()
    until(lambda: owner(farm, PREFERRED))
    lines = seen()
    longest, refused = outage(lines)
    late = f"{longest:.1f} s without an answer: {' '.join(lines[-6:])}" if longest > most else ""
    table.note(f"{when}: a client that asks all the time", PREFERRED, late)
    table.say(f"two directors: {when}: longest time without an answer {longest:.1f} s, refused {refused}")


def reboots(farm: Farm, table: Table) -> None:
    """Each director, and both at once."""
    with Asker(farm, ADDRESS_OF_VIP) as asker:
        goes(farm, table, "reboot of the standby", lambda: farm.reboot(STANDBY), NOISE)
        loud = asker.heard(mac(STANDBY))
    said = f"ARP about the VIP: {', '.join(loud[:3])}" if loud else ""
    table.note("reboot of the standby: no ARP word about the VIP", STANDBY, said)
    as_it_should(farm, table, "reboot of the standby", reboot=True)
    goes(farm, table, "reboot of the preferred", lambda: back(farm, table), TAKE_OVER)
    as_it_should(farm, table, "reboot of the preferred", reboot=True)
    farm.cut(*PAIR)
    as_it_should(farm, table, "power cut of both", reboot=True)


def back(farm: Farm, table: Table) -> None:
    """The preferred director reboots, and takes the VIP as soon as it has listened."""
    farm.reboot(PREFERRED)
    until(lambda: owner(farm, PREFERRED))
    journal = farm.at[PREFERRED].run("journalctl -q -b -o short-monotonic -u keepalived | grep -v discarding")
    (farm.dir / "keepalived-after-reboot.log").write_text(journal, encoding="utf-8")
    at = {
        word: float(line.split("[", 1)[1].split("]")[0])
        for word in ("Starting Keepalived v", "MASTER STATE") for line in journal.splitlines() if word in line
    }  # fmt: skip
    took = at.get("MASTER STATE", 1e3) - at.get("Starting Keepalived v", 0.0)
    late = f"{took:.1f} s after keepalived's start" if not LISTENS <= took <= LISTENS + 7 else ""
    table.note("reboot of the preferred: it has the VIP once it has listened", PREFERRED, late)
    table.say(f"two directors: reboot of the preferred: it had the VIP {took:.1f} s after keepalived's start")


def ends(farm: Farm, table: Table, director: str, unit: str, signal: str, seconds: float) -> None:
    """Systemd starts a unit anew whose process is killed, or hangs."""
    before = _shown(farm, director, unit)
    farm.at[director].run(f"kill -{signal} {before['MainPID']}")

    def again() -> str:
        now = _shown(farm, director, unit)
        anew = now["MainPID"] not in ("0", before["MainPID"]) and int(now["NRestarts"]) > int(before["NRestarts"])
        return "" if anew and now["SubState"] == "running" else f"{now}"

    table.note(f"{unit.partition('-shop')[0]}, {signal}: systemd starts it anew", director, until(again, seconds))


def killed(farm: Farm, table: Table) -> None:
    """The guard and keepalived end, and hang: systemd does what their units say."""
    goes(farm, table, "guard killed", lambda: ends(farm, table, PREFERRED, GUARD, "KILL", 60), NOISE)
    goes(farm, table, "guard hangs", lambda: ends(farm, table, PREFERRED, GUARD, "STOP", WATCHDOG_SECONDS), NOISE)
    as_it_should(farm, table, "guard killed and hung")
    goes(farm, table, "keepalived killed", lambda: orphan(farm, table), TAKE_OVER)
    as_it_should(farm, table, "keepalived killed")


def orphan(farm: Farm, table: Table) -> None:
    """All of keepalived's processes at once: what the unit's ExecStopPost= is for. The next keepalived would take the
    VIP off as well, so it has to be off before that one starts."""
    script = (
        f"pkill -KILL -x keepalived; for i in $(seq 100); do ip -o addr show to {ADDRESS_OF_VIP} | grep -q . || break; "
        f"sleep .05; done; systemctl show -p SubState keepalived; ip -o addr show to {ADDRESS_OF_VIP}"
    )
    state, *left = farm.at[PREFERRED].run(script).splitlines()
    begun = state.partition("=")[2] in ("start-pre", "start", "start-post", "running")
    late = f"only by the next keepalived, which is in {state}" if begun else ""
    table.note("keepalived killed: its unit takes the VIP off", PREFERRED, " ".join(left) or late)


def pair(farm: Farm, table: Table, changing: Callable[[Callable[[], None]], None]) -> None:
    """Everything about two directors. `changing`: does something while nobody else changes the real servers."""
    both = tuple(PAIR)
    farm.boot(*both)
    before = farm.each(both, farm.manifest)

    def applied() -> None:
        table.note("apply on one sets up both", PREFERRED, farm.apply(PREFERRED))
        as_it_should(farm, table, "after apply")
        verified(farm, table, "after apply")

    changing(applied)
    reboots(farm, table)
    killed(farm, table)
    changing(lambda: verified(farm, table, "after all of it"))
    changing(lambda: torn_down(farm, table))
    farm.reboot(*both)
    for one, after in farm.each(both, farm.manifest).items():
        table.note("teardown, reboot: nothing is left", one, differs(before[one], after), reboot=True)
    farm.at[STANDBY].cut()
    announcing(farm, table, changing)
    farm.at[PREFERRED].cut()


def verified(farm: Farm, table: Table, when: str) -> None:
    verdict, wrong = farm.verdict(PREFERRED)
    table.note(f"verify passes {when}", PREFERRED, "" if verdict == "pass" else "; ".join(wrong)[:600] or verdict)


def torn_down(farm: Farm, table: Table) -> None:
    run(farm, table, "teardown", "teardown --yes --drain 0")
    for one, unit in [(name, unit) for name in PAIR for unit in UNITS]:
        active = farm.at[one].run(f"systemctl is-active {unit}").strip()
        table.note(f"teardown: {unit.partition('-shop')[0]} has ended", one, "" if active != "active" else active)


def run(farm: Farm, table: Table, check: str, words: str, text: str = "") -> None:
    code, said = farm.dsrwizard(PREFERRED, f"{words} 2>&1", text=text)
    table.note(check, PREFERRED, "" if code == 0 else f"{code}: {said[-600:]}")


# --- a director that announces the VIP by BGP


def announcing(farm: Farm, table: Table, changing: Callable[[Callable[[], None]], None]) -> None:
    """One director with BIRD below its own unit: what is announced after a reboot, and what not without a guard."""
    guest, text = farm.at[PREFERRED], farm.announcing()
    router = _ROUTER.replace("@DIRECTOR@", ADDRESS[PREFERRED])
    farm.at["client"].run(f"cat >/etc/bird/bird.conf <<'X'\n{router}X\nsystemctl restart bird")
    guest.run("systemctl -q enable --now bird")
    before = farm.manifest(PREFERRED)
    changing(lambda: run(farm, table, "BGP: apply", "apply --yes", text))
    announced(farm, table, "apply")
    farm.reboot(PREFERRED)
    announced(farm, table, "reboot", reboot=True)
    guard = f"dsrwizard-guard-{BGP_NAME}.service"
    gone = farm.at["client"].send(f"timeout 60 sh -c 'while {_ROUTE} | grep -q .; do sleep .05; done'")
    guest.run(f"systemctl kill -s KILL {guard}; sleep 1")
    without = "" if not farm.at["client"].result(gone, 90)[0] else "the route stayed for a minute"
    table.note("BGP: a guard that is killed withdraws the VIP", PREFERRED, without)
    announced(farm, table, "the guard's death")
    ends(farm, table, PREFERRED, "bird.service", "KILL", 60)
    announced(farm, table, "the death of BIRD")
    changing(lambda: run(farm, table, "BGP: teardown", "teardown --yes --drain 0", text))
    farm.reboot(PREFERRED)
    left = differs(before, farm.manifest(PREFERRED))
    table.note("BGP: teardown, reboot: nothing is left", PREFERRED, left, reboot=True)
    table.note("BGP: no route after the teardown", PREFERRED, farm.at["client"].run(_ROUTE).strip())
    farm.at["client"].run("systemctl stop bird")


def announced(farm: Farm, table: Table, when: str, *, reboot: bool = False) -> None:
    """The router has the VIP from the director, every unit is well, and a client is served."""
    wanted = f"via {ADDRESS[PREFERRED]} "

    def routed() -> str:
        said = farm.at["client"].run(_ROUTE).strip()
        return "" if wanted in f"{said} " else said or "no route"

    table.note(f"BGP: {when}: the router has the VIP", PREFERRED, until(routed), reboot=reboot)
    wrong = []
    for unit, kind in ((f"dsrwizard-guard-{BGP_NAME}.service", "notify"), ("bird.service", "simple")):
        shown = _shown(farm, PREFERRED, unit)
        if (shown["ActiveState"], shown["SubState"], shown["Type"]) != ("active", "running", kind):
            wrong.append(f"{unit}: {shown}")
    table.note(f"BGP: {when}: units", PREFERRED, "; ".join(wrong))
    table.note(f"BGP: {when}: the client is served", PREFERRED, served(farm, BGP_VIP))
