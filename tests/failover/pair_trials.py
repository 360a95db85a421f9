"""What happens to two directors, each event under load: what it is, how it is made, and what must hold."""

from __future__ import annotations

from backends.lab import network
from dsrwizard.core.model.keepalived import services_file
from tests.failover.figures import moved
from tests.failover.pair import FIRST, HOLDS, OF_THIS_HOST, RELOAD, SECOND, Pair
from tests.failover.table import ByHand, Table, judged
from tests.failover.world import AT_THE_SWITCH, Watched, cable, uncut
from tests.lab.harness import Lab

ON = FIRST.name
BOTH = (FIRST.name, SECOND.name)
REBORN = "reborn"
LATE = 20.0
"""Seconds: keepalived starts, and listens for 5 s, which is as long as it waits; 26 to 28 s where it listens longer."""
IN_REBORN = ["nsenter", f"--net=/proc/1/root/run/netns/{REBORN}"]


def power_cut(pair: Pair, table: Table) -> None:
    """The preferred director's frames go nowhere, and it does not notice: as with its power, or a switch in between.
    It stays master all the time, so that this is a split, too; then it heals."""
    with Watched(pair.lab, BOTH) as watched:
        watched.event(ON, cable(ON, "nomaster"), 6)
        watched.event(ON, uncut(ON), 8)
        records, (cut, healed) = watched.records()
        taken = moved(records, SECOND.name, watched.marks[0])
    table.row("power cut", cut, ByHand("0.33", "0/18", "20 of 20"), judged(cut))
    table.row("split heals", healed, ByHand("0 to 1.07", "0/0", "20 of 20"), judged(healed))
    table.say("power cut", f"the other director had the VIP after {_told(taken)}")


def synchronised(pair: Pair, table: Table) -> None:
    """A scheduler that counts connections: the other director knows them by IPVS's daemons alone."""
    pair.scheduled("wlc")
    pair.lab.wait(SECOND.name, "ipvsadm -l --daemon | grep -q ^backup")
    with Watched(pair.lab, BOTH, settle=6.0) as watched:
        watched.event(ON, cable(ON, "nomaster"), 6)
        _, (cut,) = watched.records()
    pair.lab.run(ON, uncut(ON)).ok()
    pair.scheduled("mh")
    table.row("power cut, wlc and sync daemons", cut, ByHand("0.30", "0/16", "20 of 20"), judged(cut))


def split_again(pair: Pair, table: Table) -> None:
    """Twice more: without announcements after it, half of such splits left the router with the wrong MAC for ever."""
    with Watched(pair.lab, BOTH) as watched:
        for _ in range(2):
            watched.event(ON, cable(ON, "nomaster"), 3)
            watched.event(ON, uncut(ON), 6)
        _, (_, second, _, third) = watched.records()
    table.row("split heals, second time", second, ByHand("0 to 1.07", "0/0", "20 of 20"), judged(second))
    table.row("split heals, third time", third, ByHand("0 to 1.07", "0/0", "20 of 20"), judged(third))


def carrier_loss(pair: Pair, table: Table) -> None:
    """The preferred director's link goes down; it comes back, and the VIP with it after preempt_delay."""
    with Watched(pair.lab, BOTH) as watched:
        watched.event(ON, cable(ON, "down"), 5)
        watched.event(ON, cable(ON, "up"), 9)
        _, (down, up) = watched.records()
    table.row("carrier loss", down, ByHand("0.33", "0/17", "20 of 20", "0"), judged(down, two=1.0))
    table.row("carrier comes back", up, ByHand(), judged(up, two=1.0))


def kill_all(pair: Pair, table: Table) -> None:
    """All of keepalived's processes at once, so that none of them takes the VIP off. The unit's lines have to."""
    with Watched(pair.lab, BOTH) as watched:
        watched.event(ON, f"{OF_THIS_HOST} -9", 5)
        watched.event(ON, "true", 9)
        records, (killed, back) = watched.records()
        off = moved(records, ON, watched.marks[0], came=False)
    table.row(
        "kill -9 of all of keepalived", killed, ByHand("0", "0/0", "20 of 20", "4.7 of 4.7"), judged(killed, two=3.0)
    )
    table.row("  it is started again", back, ByHand("-", "-", "0 of 25"), judged(back, two=1.0))
    table.say("kill -9", f"the VIP that was left behind was off after {_told(off)}")


def hang(pair: Pair, table: Table) -> None:
    """SIGSTOP: keepalived lives and does nothing, the kernel goes on with the VIP and the table; then SIGCONT."""
    with Watched(pair.lab, BOTH) as watched:
        watched.event(ON, f"{OF_THIS_HOST} -STOP", 5)
        watched.event(ON, f"{OF_THIS_HOST} -CONT", 7)
        _, (stopped, going) = watched.records()
    table.row("SIGSTOP", stopped, ByHand("0", "0/0", "20 of 20", "all the time"), judged(stopped))
    table.row("SIGCONT", going, ByHand("-", "-", "20 of 25", "-"), judged(going, two=2.0))


def graceful_move(pair: Pair, table: Table) -> None:
    """`systemctl stop keepalived` on the preferred director, as before its maintenance; then it is started again."""
    with Watched(pair.lab, BOTH) as watched:
        watched.event(ON, "true", 0)
        pair.stop(FIRST)
        watched.look_on(5)
        watched.event(ON, "true", 0)
        pair.start(FIRST)
        watched.look_on(14)
        _, (moving, back) = watched.records()
    table.row("graceful move", moving, ByHand("0.06", "0/3", "20 of 20", "0"), judged(moving, two=1.0))
    table.row("  and back", back, ByHand("-", "0/0", "25 of 25"), judged(back, two=1.0))


def typo(pair: Pair, table: Table) -> None:
    """A wrong word in a file, and a reload: with reload_check_config the old configuration stays in force."""
    path = services_file(pair.deployment.name)
    with Watched(pair.lab, BOTH) as watched:
        watched.event(ON, f"sed -i s/lvs_method/lvs_methd/ {path} && {RELOAD}", 5)
        table_now = pair.lab.read(ON, "/proc/net/ip_vs")
        watched.event(ON, f"sed -i s/lvs_methd/lvs_method/ {path} && {RELOAD}", 3)
        _, (wrong, right) = watched.records()
    by_nat = ["the wrong word took effect: the method is not direct routing"] if "Masq" in table_now else []
    table.row("typo in a file, reload", wrong, ByHand("0", "0 of 150"), [*judged(wrong, lost=0, two=1.0), *by_nat])
    table.row("  mended, reload", right, ByHand("0", "0"), judged(right, lost=0))


def reboot(pair: Pair, table: Table) -> None:
    """The preferred director goes and comes back as a machine that knows nothing: another network namespace, with no
    connection, neighbour or table. It has to wait until it has heard of the other one. No trial comes after it."""
    with Watched(pair.lab, (SECOND.name,)) as watched:
        watched.event(ON, cable(ON, "nomaster"), 0)
        pair.forget(FIRST)
        _new_network(pair.lab)
        watched.look_on(4)
        watched.event(ON, uncut(ON), 0)
        pair.start(FIRST, IN_REBORN)
        holds = pair.lab.run(ON, [*IN_REBORN, "sh", "-c", f"until {HOLDS}; do sleep 0.1; done; cat /proc/uptime"]).ok()
        watched.look_on(5)
        _, (gone, back) = watched.records()
    taken = float(holds.stdout.split()[0]) - watched.marks[1]
    table.row("reboot of the preferred: it goes", gone, ByHand("0.30", "0/16", "20 of 20"), judged(gone))
    table.row("  it comes back", back, ByHand("-", "1", "20 of 20"), judged(back, two=1.0))
    table.keep("reboot", pair.said(FIRST))
    wrong = [f"it took the VIP after {taken:.1f} s, before it could have heard of the other one"] if taken < 3 else []
    wrong += [f"it took the VIP only after {taken:.1f} s"] if taken > LATE else []
    table.say("reboot of the preferred", f"it had the VIP {taken:.1f} s after it could speak", wrong)


def _new_network(lab: Lab) -> None:
    batch = network.addresses(FIRST)
    base = AT_THE_SWITCH.replace("--net", "--net --mount")
    made = (
        f"ip link del v{ON}; ip netns add {REBORN} && ip link add v{ON} type veth peer name eth0 address {FIRST.mac} "
        f"netns {REBORN} && ip -n {REBORN} -batch - && ip link set v{ON} up"
    )
    lab.run(ON, [*base.split(), "sh", "-c", made], stdin=batch).ok()


def _told(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"


TRIALS = {
    "power-cut": power_cut,
    "sync": synchronised,
    "split": split_again,
    "carrier": carrier_loss,
    "kill": kill_all,
    "hang": hang,
    "move": graceful_move,
    "typo": typo,
    "reboot": reboot,
}
"""In this order: each begins with the preferred director in service, and the last leaves another network behind."""
