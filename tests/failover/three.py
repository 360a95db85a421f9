"""Three directors, active at once: BIRD tells the lab's router of the VIP, as `dsrwizard apply` has it do."""

from __future__ import annotations

from backends.lab import network, recipe
from backends.lab.guest import wizard_command
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.bird import BIRD_CONF, sign_of
from tests.failover.world import put
from tests.lab.harness import DEPLOYMENT_FILE, VIP, Lab

COUNT = 3
DIRECTORS = network.directors(COUNT)
NEXT_HOPS = f"ip route show {VIP} | grep -c -e 'nexthop via' -e '{VIP} via'"
OF_THIS_HOST = "pkill --ns $$ --nslist net -x bird"


class Three:
    """The lab's three directors behind its router."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.deployment = loads(network.deployment(recipe.IDENTITY_FILE, COUNT))

    def set_up(self) -> None:
        """As an operator does: `apply` on each. The lab has no systemd, so that no guard runs there; what it does when
        it finds its director fit is done here: the interface comes up by which BIRD announces."""
        sign = sign_of(self.deployment.name)
        for host in DIRECTORS:
            put(self.lab, host.name, {BIRD_CONF: "log stderr all;\nprotocol device { }\n"})
            self.start(host)
            self.lab.run(host.name, wizard_command("apply", DEPLOYMENT_FILE, "--yes")).ok()
            self.lab.run(host.name, f"ip link add {sign} type dummy && ip link set {sign} up").ok()
        self.settled()

    def start(self, host: network.Host) -> None:
        self.lab.run(host.name, "mkdir -p /run/bird && bird").ok()

    def settled(self, count: int = COUNT) -> None:
        """Waits until the router spreads over so many."""
        self.lab.wait(network.ROUTER.name, f'[ "$({NEXT_HOPS})" = {count} ]')
