"""Three directors, active at once: BIRD tells the lab's router of the VIP, with the files that dsrwizard writes."""

from __future__ import annotations

from backends.lab import network, recipe
from dsrwizard.core.dialects.bird import writer
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.bird import BIRD_CONF, bird_file, sign_of
from tests.failover.world import put
from tests.lab.harness import SERVERS, VIP, Lab

COUNT = 3
DIRECTORS = network.directors(COUNT)
NEXT_HOPS = f"ip route show {VIP} | grep -c -e 'nexthop via' -e '{VIP} via'"
OF_THIS_HOST = "pkill --ns $$ --nslist net -x bird"
SILENT = (
    f"sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2 && ip addr replace {VIP}/32 dev lo"
)


class Three:
    """The lab's three directors behind its router."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.deployment = loads(network.deployment(recipe.IDENTITY_FILE, COUNT))

    def set_up(self) -> None:
        """The same table on each: where they differ, a connection that moves to another director is lost."""
        bgp = self.deployment.director.bgp
        assert bgp is not None
        for server in SERVERS:
            self.lab.run(server, SILENT).ok()
        table = [f"ipvsadm -A -t {VIP}:80 -s mh -b mh-port,mh-fallback"]
        table += [f"ipvsadm -a -t {VIP}:80 -r {server.address} -g" for server in network.SERVERS]
        sign = sign_of(self.deployment.name)
        lines = [
            "modprobe ip_vs", "sysctl -qw net.ipv4.vs.sloppy_tcp=1", SILENT, *table,
            f"ip link add {sign} type dummy && ip link set {sign} up",
        ]  # fmt: skip
        for host in DIRECTORS:
            own = writer.OwnAddresses(host.address, host.address6)
            text = writer.bird_text(self.deployment, bgp, own)
            main = writer.with_include(f"router id {host.address};\nprotocol device {{ }}\n")
            put(self.lab, host.name, {BIRD_CONF: main, bird_file(self.deployment.name): text})
            self.lab.run(host.name, " && ".join(lines)).ok()
            self.start(host)
        self.settled()

    def start(self, host: network.Host) -> None:
        self.lab.run(host.name, "mkdir -p /run/bird && bird").ok()

    def settled(self, count: int = COUNT) -> None:
        """Waits until the router spreads over so many."""
        self.lab.wait(network.ROUTER.name, f'[ "$({NEXT_HOPS})" = {count} ]')
