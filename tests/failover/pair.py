"""Two directors that share the VIP by keepalived, as `dsrwizard apply` sets them up."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from backends.lab import network, recipe
from backends.lab.guest import wizard_command
from dsrwizard.core.dialects.keepalived import writer
from dsrwizard.core.intake.deployment_file import dumps, loads
from dsrwizard.core.model.deployment import Vrrp
from dsrwizard.core.model.guarding import DestinationPlace, health_path
from dsrwizard.core.model.keepalived import (
    health_folder,
    keepalived_drop_in,
    services_file,
)
from dsrwizard.core.plan.keepalived import keepalived_settings
from tests.failover.world import INSIDE, put
from tests.lab.harness import SERVERS, VIP, Lab, Process

FIRST, SECOND = network.directors(network.PAIR)
OF_THIS_HOST = "pkill --ns $$ --nslist net -x keepalived"
"""All hosts of the lab share one table of processes: this takes only those in the network of the host it runs on."""
HOLDS = f"ip -o addr show to {VIP} | grep -q ."
IN_SERVICE = f"[ $(grep -c Route.*[1-9] /proc/net/ip_vs) = {len(SERVERS)} ]"
FILE, GUARD_FILE = "/lab/pair.toml", "/lab/guarded.toml"
RELOAD = "kill -HUP $(cat /run/keepalived.pid)"


class Pair:
    """The lab's two directors. `preempt_delay`: seconds until the preferred one takes the VIP back."""

    def __init__(self, lab: Lab, preempt_delay: int = 5) -> None:
        self.lab = lab
        found = loads(network.deployment(recipe.IDENTITY_FILE, network.PAIR))
        director = msgspec.structs.replace(found.director, vrrp=Vrrp(preempt_delay=preempt_delay))
        self.deployment = msgspec.structs.replace(found, director=director)
        self._units: dict[str, Process] = {}
        self.guard: Process | None = None

    def set_up(self) -> None:
        """As an operator does: `apply` sets up both directors and the real servers. The lab has no systemd, so that
        keepalived is then started again below a stand-in that does what our drop-in says."""
        put(self.lab, FIRST.name, {FILE: dumps(self.deployment)})
        self.lab.dsrwizard("apply", FILE, "--yes").ok()
        for host in (SECOND, FIRST):
            put(self.lab, host.name, self.drop_in(host))
            self.lab.run(host.name, f"{OF_THIS_HOST} -TERM; while {OF_THIS_HOST} -0; do sleep 0.1; done").ok()
            self.start(host)
        self.settled()

    def side(self, host: network.Host) -> writer.Side:
        """A director as VRRP sees it."""
        other = SECOND if host == FIRST else FIRST
        return writer.Side(host.address, self.deployment.director.interface, other.address, host == FIRST)

    def drop_in(self, host: network.Host) -> dict[str, str]:
        """Path → text of systemd's part on this director, as `apply` writes it where there is systemd."""
        settings = keepalived_settings(self.deployment, self.deployment.director.interface)
        wanted = {key: value for key, (value, *_) in settings.items()}
        text = writer.drop_in_text(self.deployment, self.side(host), wanted)
        return {keepalived_drop_in(self.deployment.name): text}

    def guarded(self) -> None:
        """From now on keepalived hears a guard's word of each real server, beside its own check; the guard is at work
        on the preferred director."""
        director = msgspec.structs.replace(self.deployment.director, guard=True)
        self.deployment = msgspec.structs.replace(self.deployment, director=director)
        places = [DestinationPlace(VIP, "tcp/80", server) for server in SERVERS]
        health = [str(health_path(self.deployment.name, place)) for place in places]
        put(self.lab, FIRST.name, {GUARD_FILE: dumps(self.deployment)})
        self.lab.run(FIRST.name, f"mkdir -p {health_folder(self.deployment.name)}").ok()
        put(self.lab, SECOND.name, dict.fromkeys(health, "0\n"))
        self.guard = self.lab.spawn(FIRST.name, wizard_command("guard", GUARD_FILE))
        self.lab.wait(FIRST.name, f'[ "$(cat {" ".join(health)} | sort -u)" = 0 ]')
        for host in (FIRST, SECOND):
            text = writer.services_text(self.deployment, guarded=True)
            put(self.lab, host.name, {services_file(self.deployment.name): text})
            self.lab.run(host.name, RELOAD).ok()
        self.settled()

    def scheduled(self, scheduler: str) -> None:
        """All services have this scheduler from now on, by an apply."""
        vips = tuple(
            msgspec.structs.replace(
                vip, services=tuple(msgspec.structs.replace(one, scheduler=scheduler) for one in vip.services)
            )
            for vip in self.deployment.vips
        )
        self.deployment = msgspec.structs.replace(self.deployment, vips=vips)
        put(self.lab, FIRST.name, {FILE: dumps(self.deployment)})
        self.lab.dsrwizard("apply", FILE, "--yes").ok()
        self.settled()

    def start(self, host: network.Host, enter: Sequence[str] = ()) -> None:
        """Starts keepalived as its unit would. `enter`: words that enter the director's network first."""
        unit = [sys.executable, "-I", "-S", str(INSIDE / "unit.py"), keepalived_drop_in(self.deployment.name)]
        command = ["/usr/sbin/keepalived", "--dont-fork", "--log-console", "--log-detail"]
        self._units[host.name] = self.lab.spawn(host.name, [*enter, *unit, *command])

    def stop(self, host: network.Host) -> None:
        """As `systemctl stop` does."""
        self._units[host.name].signal(15)
        self._units.pop(host.name).wait()

    def said(self, host: network.Host) -> str:
        """What keepalived logged on this director."""
        unit = self._units[host.name]
        return unit.stdout + unit.stderr

    def forget(self, host: network.Host) -> None:
        """Nothing starts keepalived there any more: the machine is off."""
        self._units.pop(host.name).kill()
        self.lab.run(host.name, f"{OF_THIS_HOST} -9; true").ok()

    def settled(self) -> None:
        """Waits until the preferred director serves and the other one would."""
        self.lab.wait(FIRST.name, f"{HOLDS} && {IN_SERVICE}")
        self.lab.wait(SECOND.name, f"! {HOLDS} && {IN_SERVICE}")
