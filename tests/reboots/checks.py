"""What is tried, and the table of it: flavour of network manager by check."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Sequence

from tests.reboots.farm import ADDRESS, MANAGERS, VIP, VIP6, Farm, mac, name_of, outage, since
from tests.reboots.guests import Asker

FIRST = "director-networkd"
COMMANDS = {
    "networkd": ("networkctl reload", "networkctl reconfigure vec0", "systemctl restart systemd-networkd"),
    "ifupdown": (
        "systemctl restart networking", "ifdown --force vec0; ifup --force vec0", "ifdown --force lo; ifup --force lo",
    ),
    "nm": (
        "nmcli con reload", "nmcli con up vec0", "systemctl restart NetworkManager",
        "nmcli networking off; sleep 1; nmcli networking on",
    ),
    "netplan": ("netplan apply", "netplan generate; networkctl reload"),
}  # fmt: skip
"""What an operator types on a host with this network manager."""
EVERYWHERE = (
    "sysctl -q --system", "systemctl restart systemd-sysctl", "systemctl daemon-reload",
    "ip link set lo down; ip link set lo up",
)  # fmt: skip
LO_PROFILE = (
    "nmcli con add type loopback con-name lo ifname lo ipv4.method manual ipv4.addresses 127.0.0.1/8; nmcli con up lo"
)
SETTLE = 15.0
"""Seconds in which what a command took has to be back."""
OUTAGE = 15.0
"""Seconds that a client may go without an answer while a director's network manager does what it was told."""


class Table:
    """Results: (check, machine) → empty where it is so, otherwise what was seen."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], str] = {}
        self.figures: list[str] = []
        self.reboots = self.survived = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def note(self, check: str, machine: str, wrong: str, *, reboot: bool = False) -> None:
        with self._lock:
            self.cells[check, machine] = wrong
            self.reboots += reboot
            self.survived += reboot and not wrong
            mark = "ok " if not wrong else "BAD"
            print(f"{since(self._began)} {mark} {machine:18} {check}{': ' + wrong if wrong else ''}", flush=True)

    def say(self, text: str) -> None:
        with self._lock:
            self.figures.append(text)
            print(f"{since(self._began)} {text}", flush=True)

    def printed(self) -> bool:
        """Prints the table and the sums; whether all is as it should be."""
        for title, machines in (("real server", MANAGERS), ("director", tuple(VIP))):
            rows = [check for check, machine in self.cells if machine in machines]
            print(f"\n{title:58}" + "".join(f"{one.removeprefix('director-'):>10}" for one in machines))
            for check in dict.fromkeys(rows):
                marks = [self.cells.get((check, one)) for one in machines]
                print(
                    f"{check[:57]:58}"
                    + "".join(f"{'-' if one is None else 'no' if one else 'yes':>10}" for one in marks)
                )
        wrong = [f"{machine}: {check}: {said}" for (check, machine), said in self.cells.items() if said]
        print("", *self.figures, *wrong, sep="\n")
        print(
            f"\nreboots tried {self.reboots}, survived {self.survived}; checks {len(self.cells)}, not so {len(wrong)}"
        )
        return not wrong


def silent(asker: Asker, name: str) -> str:
    """Empty where a machine said no word about the VIP."""
    said = asker.heard(mac(name))
    return f"ARP about the VIP: {', '.join(said[:3])} ({len(said)} in all, asked {asker.asked} times)" if said else ""


def settled(look: Callable[[], str]) -> str:
    """What is wrong once things had time to settle; empty as soon as nothing is."""
    end = time.monotonic() + SETTLE
    while (wrong := look()) and time.monotonic() < end:
        time.sleep(0.5)
    return wrong


# --- real servers


def servers(farm: Farm, table: Table) -> None:
    """Power cut right after apply, reboot, and the network managers' own commands, on all servers at once."""
    vips = (VIP[FIRST], VIP6)
    wrong = farm.apply(FIRST)
    farm.cut(*farm.servers)  # as soon as it says that all is done
    for name, state in farm.each(farm.servers, lambda one: farm.state(one, vips)).items():
        table.note("power cut as soon as apply is done, boot", name, wrong or state, reboot=True)
    farm.apply(FIRST)
    with Asker(farm, VIP[FIRST]) as asker:
        farm.reboot(*farm.servers)
    for name, state in farm.each(farm.servers, lambda one: farm.state(one, vips)).items():
        table.note("reboot: VIPs, guard, no failed unit", name, state, reboot=True)
        table.note("reboot: no ARP word about the VIP at any moment", name, silent(asker, name))
    proved(farm, table, FIRST, "after the servers' reboots")
    farm.each(farm.servers, lambda name: commands(farm, table, name))
    hears(farm, table)
    lo_profile(farm, table)
    proved(farm, table, FIRST, "after the network managers' commands")


def commands(farm: Farm, table: Table, name: str) -> None:
    for command in (*COMMANDS[name], *EVERYWHERE):
        with Asker(farm, VIP[FIRST]) as asker:
            farm.at[name].run(command)
            wrong = settled(lambda: farm.state(name, (VIP[FIRST], VIP6)))
        table.note(command, name, "; ".join(filter(None, (wrong, silent(asker, name)))))


def hears(farm: Farm, table: Table) -> None:
    """The control: with the guard off, the asker hears the server. Without it, silence would prove nothing."""
    name = farm.servers[0]
    guard = "sysctl -qw net.ipv4.conf.all.arp_ignore="
    with Asker(farm, VIP[FIRST]) as asker:
        farm.at[name].run(f"{guard}0; sleep 1; {guard}1")
    table.note("control: a guard that is off is heard", name, "" if silent(asker, name) else "nothing was heard")


def lo_profile(farm: Farm, table: Table) -> None:
    """NetworkManager with a profile for lo, which takes what the profile does not name."""
    if "nm" not in farm.servers:
        return
    with Asker(farm, VIP[FIRST]) as asker:
        farm.at["nm"].run(LO_PROFILE)
        wrong = settled(lambda: farm.state("nm", (VIP[FIRST],)))
        table.note("a profile for lo", "nm", wrong or silent(asker, "nm"))
        farm.reboot("nm")
        wrong = settled(lambda: farm.state("nm", (VIP[FIRST],)))
    table.note("a profile for lo, reboot", "nm", wrong or silent(asker, "nm"), reboot=True)
    farm.at["nm"].run("nmcli con del lo; nmcli con up vec0")
    settled(lambda: farm.state("nm", (VIP[FIRST], VIP6)))


def proved(farm: Farm, table: Table, director: str, when: str) -> None:
    verdict, wrong = farm.verdict(director)
    table.note(f"verify passes {when}", director, "" if verdict == "pass" else "; ".join(wrong)[:300] or verdict)
    table.note(f"the client reaches every server {when}", director, farm.served(director))


# --- directors


def table_of(farm: Farm, director: str) -> str:
    """The IPVS table without the counters."""
    return farm.at[director].run("ipvsadm -Sn | sort")


def director(farm: Farm, table: Table, name: str) -> None:
    """A director with one network manager: its reboot and its manager's commands, with a client that asks all the
    time."""
    if name != FIRST:
        table.note("apply", name, farm.apply(name))
    farm.at[name].run(f"ipvsadm -e -t {VIP[name]}:80 -r {ADDRESS[farm.servers[0]]} -g -w 3")
    farm.at[name].run(f"ipvsadm -e -t {VIP[name]}:80 -r {ADDRESS[farm.servers[0]]} -g -w 1")
    had = table_of(farm, name)
    seen = farm.asking(name, 120)
    time.sleep(1)
    farm.reboot(name)
    lines = seen()
    longest, refused = outage(lines)
    back = "" if lines and lines[-2].split()[1] == "ok" else f"no answer at the end: {' '.join(lines[-4:])}"
    table.note("reboot: the client is served again by itself", name, back, reboot=True)
    table.note("reboot: no connection refused", name, f"{refused} refused" if refused and not back else "")
    table.note(
        "reboot: the table is as it was", name, "" if table_of(farm, name) == had else table_of(farm, name)[:300]
    )
    table.say(f"{name}: reboot, longest time without an answer {longest:.1f} s, refused {refused}")
    if back:
        farm.apply(name)
    for command in COMMANDS[name.removeprefix("director-")]:
        seen = farm.asking(name, 30)
        time.sleep(0.5)
        farm.at[name].run(command)
        time.sleep(3)
        lines = seen()
        longest, refused = outage(lines)
        wrong = "" if lines[-2].split()[1] == "ok" and longest <= OUTAGE else f"{longest:.1f} s without an answer"
        table.note(command, name, wrong or (f"{refused} refused" if refused else ""))
        table.say(f"{name}: {command}: longest time without an answer {longest:.1f} s")
        if wrong:
            farm.apply(name)
    proved(farm, table, name, "after its reboot and commands")


def taken(farm: Farm, table: Table, name: str) -> None:
    """While a director is down, another machine takes the VIP: it is not taken from that one, and comes back when it is
    free."""
    vip, unit = VIP[name], f"dsrwizard-restore-{name_of(name)}"
    held = f"ip -o addr show vec0 | grep -c ' {vip}/32 '"
    farm.at[name].run("sync")
    farm.at[name].cut()
    farm.at["client"].run(f"ip addr add {vip}/32 dev vec0")
    farm.cut(name)
    wrong = "it took the VIP" if farm.at[name].run(held).strip() != "0" else ""
    table.note("boot while another machine has the VIP: left to it", name, wrong, reboot=True)
    farm.at["client"].run(f"ip addr del {vip}/32 dev vec0")
    farm.at[name].run(f"systemctl restart {unit}")
    table.note("and back as soon as it is free", name, "" if farm.at[name].run(held).strip() == "1" else "no VIP")


def leaves(farm: Farm, table: Table, name: str, machines: Sequence[str], before: dict[str, list[str]]) -> None:
    """Teardown, reboot, and what differs from before the first apply."""
    code, said = farm.dsrwizard(name, "teardown --yes 2>&1")
    table.note("teardown", name, "" if code == 0 else f"{code}: {said[-300:]}")
    farm.reboot(*machines)
    for one, after in farm.each(machines, farm.manifest).items():
        differs = [
            line for line in difflib.unified_diff(before[one], after, n=0, lineterm="")
            if line[0] in "+-" and not line.startswith(("---", "+++"))
        ]  # fmt: skip
        table.note("teardown, reboot: nothing is left", one, " ".join(differs)[:300], reboot=True)


def everything(farm: Farm, table: Table, managers: Sequence[str], directors: Sequence[str]) -> None:
    """The whole table, or what of it these servers and directors give."""
    farm.boot("client", FIRST, *managers)
    table.say(f"client, director and {len(managers)} real servers are up")
    before = farm.each([FIRST, *managers], farm.manifest)
    servers(farm, table)
    if FIRST in directors:
        director(farm, table, FIRST)
        taken(farm, table, FIRST)
    for name in [one for one in directors if one != FIRST]:
        farm.boot(name)
        mine = {name: farm.manifest(name)}
        director(farm, table, name)
        leaves(farm, table, name, (name,), mine)
        farm.at[name].cut()
    leaves(farm, table, FIRST, (FIRST, *managers), before)
