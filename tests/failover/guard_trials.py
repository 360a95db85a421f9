"""What happens to the clients of two directors when the guard beside keepalived dies, or is blind."""

from __future__ import annotations

from backends.lab import network
from dsrwizard.core.model.keepalived import health_folder
from tests.failover.pair import FIRST, Pair
from tests.failover.table import ByHand, Table, judged
from tests.failover.world import AT_THE_SWITCH, Watched
from tests.lab.harness import SERVERS, VIP

ON = FIRST.name
DYING = network.SERVERS[1]
OUT = f"grep -q '{int.from_bytes(bytes(map(int, DYING.address.split('.')))):08X}:0050 *Route *0 ' /proc/net/ip_vs"
CHECK_SECONDS = 15
"""keepalived's own check alone: each 2 s, a second try after 1 s (by hand 2.5 s), and a noisy machine."""


def blind_guard(pair: Pair, table: Table) -> None:
    """No server answers the guard's probes any more, at the same time, and every one answers clients: it is the guard
    that sees nothing. Whatever it held in has to stay in."""
    unheard = f"-s {FIRST.address} -d {VIP} -j DROP"
    each = "for server in {}; do ip netns exec $server iptables-legacy {} INPUT {}; done"
    base = AT_THE_SWITCH.replace("--net", "--net --mount")
    assert pair.guard is not None
    with Watched(pair.lab, ()) as watched:
        watched.event(ON, f"{base} sh -c '{each.format(' '.join(SERVERS), '-I', unheard)}'", 6)
        pair.guard.expect("No destination answers")
        files = pair.lab.run(ON, f"cat {health_folder(pair.deployment.name)}/* | sort | uniq -c").ok().stdout.split()
        watched.event(ON, f"{base} sh -c '{each.format(' '.join(SERVERS), '-D', unheard)}'", 4)
        _, (blind, sees) = watched.records()
    wrong = [] if files == [str(len(SERVERS)), "0"] else [f"it changed health files: {' '.join(files)}"]
    table.row("guard is blind", blind, ByHand(), [*judged(blind, lost=0), *wrong])
    table.row("  it sees again", sees, ByHand(), judged(sees, lost=0))


def dead_guard(pair: Pair, table: Table) -> None:
    """The guard is killed, and nothing starts it again: its last word stays. Then a server dies, which keepalived's own
    check has to notice. The transfers on that server end, and so do new connections to it until it is out."""
    assert pair.guard is not None
    with Watched(pair.lab, ()) as watched:
        watched.event(ON, "true", 0)
        pair.guard.kill()
        watched.look_on(4)
        watched.event(DYING.name, "lab-service stop", 0)
        pair.lab.wait(ON, OUT)
        out = watched.now() - watched.marks[1]
        watched.look_on(3)
        watched.event(DYING.name, "lab-service start", 5)
        _, (killed, dying, cured) = watched.records()
    late = [f"a dead server was out only after {out:.1f} s"] if out > CHECK_SECONDS else []
    table.row("guard is killed", killed, ByHand(), judged(killed, lost=0))
    table.row("  then a server dies", dying, ByHand("2.5"), judged(dying, outage=CHECK_SECONDS, lost=500, broken=20))
    table.row("  and is cured", cured, ByHand(), judged(cured))
    table.say("guard is killed", f"the server that died then was out after {out:.1f} s (by hand 2.5 s)", late)


TRIALS = {"guard-blind": blind_guard, "guard-dead": dead_guard}
"""In this order: the guard is at work before, and not after."""
