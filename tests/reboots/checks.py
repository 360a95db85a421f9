"""What is tried, and the table of it: flavour of network manager by check."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.reboots import pair, reverts
from tests.reboots.farm import ADDRESS, FIRST, VIP, VIP6, Farm, name_of, outage
from tests.reboots.guests import Asker, GuestFailed
from tests.reboots.table import Table, differs, silent

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


SIDE_BY_SIDE = 2
"""Directors that are rebooted and told things at the same time: as many as two processors carry."""


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
    lost = False
    for name, state in farm.each(farm.servers, lambda one: farm.state(one, vips)).items():
        table.note("power cut as soon as apply is done, boot", name, wrong or state, reboot=True)
        lost = lost or bool(state)
    if lost:
        farm.apply(FIRST)
    with Asker(farm, VIP[FIRST]) as asker:
        farm.reboot(*farm.servers)
    for name, state in farm.each(farm.servers, lambda one: farm.state(one, vips)).items():
        table.note("reboot: VIPs, guard, no failed unit", name, state, reboot=True)
        table.note("reboot: no ARP word about the VIP at any moment", name, silent(asker, name))
    proved(farm, table, FIRST, "after the servers' reboots")
    with Asker(farm, VIP[FIRST]) as asker:  # one for all: each question wakes every machine
        farm.each(farm.servers, lambda name: commands(farm, table, asker, name))
    proved(farm, table, FIRST, "after the network managers' commands")


def commands(farm: Farm, table: Table, asker: Asker, name: str) -> None:
    for command in (*COMMANDS[name], *EVERYWHERE):
        began = time.time()
        farm.at[name].run(command)
        wrong = settled(lambda: farm.state(name, (VIP[FIRST], VIP6)))
        time.sleep(0.2)
        table.note(command, name, "; ".join(filter(None, (wrong, silent(asker, name, began)))))
    if name == farm.servers[0]:
        hears(farm, table, asker, name)
    if name == "nm":
        lo_profile(farm, table, asker, name)


def hears(farm: Farm, table: Table, asker: Asker, name: str) -> None:
    """The control: with the guard off, the asker hears the server. Without it, silence would prove nothing."""
    began = time.time()
    guard = "sysctl -qw net.ipv4.conf.all.arp_ignore="
    farm.at[name].run(f"{guard}0; sleep 1; {guard}1")
    heard = silent(asker, name, began)
    table.note("control: a guard that is off is heard", name, "" if heard else "nothing was heard")


def lo_profile(farm: Farm, table: Table, asker: Asker, name: str) -> None:
    """NetworkManager with a profile for lo, which takes what the profile does not name."""
    began = time.time()
    farm.at[name].run(LO_PROFILE)
    wrong = settled(lambda: farm.state(name, (VIP[FIRST],)))
    table.note("a profile for lo", name, wrong or silent(asker, name, began))
    farm.reboot(name)
    wrong = settled(lambda: farm.state(name, (VIP[FIRST],)))
    table.note("a profile for lo, reboot", name, wrong or silent(asker, name, began), reboot=True)
    farm.at[name].run("nmcli con del lo; nmcli con up vec0")
    settled(lambda: farm.state(name, (VIP[FIRST], VIP6)))


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
    farm.at[name].run(f"ipvsadm -e -t {VIP[name]}:80 -r {ADDRESS[farm.servers[0]]} -g -w 3")
    farm.at[name].run(f"ipvsadm -e -t {VIP[name]}:80 -r {ADDRESS[farm.servers[0]]} -g -w 1")
    had = table_of(farm, name)
    seen = farm.asking(name, 120)
    farm.reboot(name)
    lines = seen()
    longest, refused = outage(lines)
    back = "" if lines and lines[-2].split()[1] == "ok" else f"no answer at the end: {' '.join(lines[-4:])}"
    table.note("reboot: the client is served again by itself", name, back, reboot=True)
    table.note("reboot: no connection refused", name, f"{refused} refused" if refused and not back else "")
    now = table_of(farm, name)
    table.note("reboot: the table is as it was", name, "" if now == had else now[:300])
    table.say(f"{name}: reboot, longest time without an answer {longest:.1f} s, refused {refused}")
    if back:
        farm.apply(name)
    for command in COMMANDS[name.removeprefix("director-")]:
        seen = farm.asking(name, 30)
        farm.at[name].run(command)
        time.sleep(3)
        lines = seen()
        longest, refused = outage(lines)
        wrong = "" if lines[-2].split()[1] == "ok" and longest <= OUTAGE else f"{longest:.1f} s without an answer"
        table.note(command, name, wrong or (f"{refused} refused" if refused else ""))
        table.say(f"{name}: {command}: longest time without an answer {longest:.1f} s")
        if wrong:
            farm.apply(name)


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


def leaves(farm: Farm, table: Table, machines: Sequence[str], before: dict[str, list[str]]) -> None:
    """Reboot after a teardown, and what differs from before the first apply."""
    farm.reboot(*machines)
    for one, after in farm.each(machines, farm.manifest).items():
        table.note("teardown, reboot: nothing is left", one, differs(before[one], after), reboot=True)


def teardown(farm: Farm, table: Table, name: str) -> None:
    code, said = farm.dsrwizard(name, "teardown --yes --drain 0 2>&1")  # draining is not tried here
    table.note("teardown", name, "" if code == 0 else f"{code}: {said[-300:]}")


class Turns:
    """What directors do one after the other (they have the real servers in common), and what two do at a time."""

    def __init__(self) -> None:
        self.changing = threading.Lock()
        self.busy = threading.Semaphore(SIDE_BY_SIDE)


def one_director(farm: Farm, table: Table, name: str, turns: Turns) -> None:
    """Everything about one director, beside the others."""
    mine = {} if name == FIRST else {name: farm.manifest(name)}
    if mine:
        with turns.changing:
            table.note("apply", name, farm.apply(name))
    with turns.busy:
        director(farm, table, name)
    with turns.changing:
        proved(farm, table, name, "after its reboot and commands")
    if not mine:
        with turns.busy:
            taken(farm, table, name)
        return
    with turns.changing:
        teardown(farm, table, name)
    with turns.busy:
        leaves(farm, table, (name,), mine)
    farm.at[name].cut()


def everything(farm: Farm, table: Table, managers: Sequence[str], directors: Sequence[str]) -> None:
    """The whole table, or what of it these servers and directors give."""
    others = [one for one in directors if one != FIRST]
    farm.boot("client", FIRST, *managers)
    table.say(f"client, director and {len(managers)} real servers are up")
    before = farm.each([FIRST, *managers], farm.manifest)
    with ThreadPoolExecutor(1) as meanwhile:
        booting = meanwhile.submit(lambda: farm.boot(*others))
        reverts.cut_off(farm, table, before)
        booting.result()
    servers(farm, table)
    turns = Turns()

    def changing(work: Callable[[], None]) -> None:
        with turns.changing:
            work()

    def one(name: str) -> None:
        try:
            if name in directors:
                one_director(farm, table, name, turns)
                return
            with turns.busy:
                pair.pair(farm, table, changing)
        except GuestFailed as problem:
            table.note("the run", name, str(problem))

    farm.each((pair.PREFERRED, *directors), one)
    teardown(farm, table, FIRST)
    reverts.rebooted(farm, table)
    proved(farm, table, FIRST, "after that apply")
    teardown(farm, table, FIRST)
    leaves(farm, table, (FIRST, *managers), before)
