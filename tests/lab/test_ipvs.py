"""The director on the real kernel: every attribute written by dsrwizard is read back by ipvsadm, and the other way."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    DestinationState,
    LinkChange,
    ModuleChange,
    ServiceChange,
    ServiceKey,
    ServiceState,
    SysctlChange,
)
from dsrwizard.core.model.deployment import SCHEDULERS
from dsrwizard.core.model.facts import Destination, DirectorFacts, Failure, VirtualService
from tests.lab.harness import SERVERS, VIP, VIP6, Lab


class Told(msgspec.Struct):
    """What the driver prints: one entry for each step, and the facts afterwards."""

    errors: list[Failure | None]
    saved: list[str]
    facts: DirectorFacts
    extra: Any = None

    def service(self, key: ServiceKey) -> VirtualService:
        found = self.facts.service(key)
        assert found is not None, self.facts.services
        return found


DRIVER = """
import subprocess, sys
import msgspec
from backends.director.port import LocalDirector
from dsrwizard.core.model.changes import Change, ServiceKey
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.deployment import Deployment, Director
from dsrwizard.core.model.steps import Step

steps = msgspec.json.decode(sys.stdin.buffer.read(), type=list[tuple[Change, ...]])
director = LocalDirector()
errors, saved, extra = [], [], None
def attempt(work):
    try:
        work()
        return None
    except DsrError as error:
        return Failure(kind=error.kind, what=error.what, why=error.why, next=error.next)
for changes in steps:
    step = Step(id="t", host="director", phase="prepare", title="t", why="t", changes=changes)
    errors.append(attempt(lambda: director.apply(step)))
    saved.append(subprocess.run(["ipvsadm", "-Sn"], capture_output=True, text=True).stdout)
{extra}
deployment = Deployment(name="t", director=Director(interface="eth0"), vips=(), servers=())
told = dict(errors=errors, saved=saved, facts=director.observe(deployment), extra=extra)
sys.stdout.buffer.write(msgspec.json.encode(told))
"""
WITHOUT_NET_ADMIN = ("setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin")
WEB = ServiceKey("10.0.0.10", "tcp", 80)
WEB6 = ServiceKey("fd00:10::10", "tcp", 80)


def drive(
    lab: Lab, *steps: Change | Sequence[Change], extra: str = "", prefix: Sequence[str] = (), good: bool = True
) -> Told:
    """Carries steps out on the lab's director; every step must work unless `good` is false."""
    wanted = [tuple(step) if isinstance(step, (list, tuple)) else (step,) for step in steps]
    result = lab.run(
        "director", [*prefix, sys.executable, "-c", DRIVER.replace("{extra}", extra)], stdin=msgspec.json.encode(wanted)
    ).ok()
    told = msgspec.json.decode(result.stdout, type=Told)
    assert not good or not any(told.errors), told.errors
    return told


@pytest.fixture
def empty(lab: Lab) -> Lab:
    """The lab with IPVS loaded and no services."""
    lab.run("director", "ipvsadm -C").ok()
    return lab


def add(key: ServiceKey, scheduler: str = "wlc", **more: Any) -> ServiceChange:
    return ServiceChange(service=key, old=None, new=ServiceState(scheduler, **more))


def real(
    key: ServiceKey, address: str, old: DestinationState | None, new: DestinationState | None, port: int | None = None
) -> DestinationChange:
    return DestinationChange(service=key, address=address, port=port or key.port, old=old, new=new)


def test_looking_loads_nothing_and_says_what_would(lab: Lab) -> None:
    told = drive(lab)
    assert told.facts.module_loaded is False
    assert told.facts.services is None
    assert "modprobe ip_vs" in told.facts.ipvs_next
    assert told.facts.module_available is True
    assert "ip_vs" not in lab.run("director", "cat /proc/modules").ok().stdout
    assert told.facts.privileged
    eth0 = told.facts.interface("eth0")
    assert eth0 is not None
    assert eth0.has("10.0.0.2") is not None
    assert eth0.up
    assert ("10.0.0.1", "eth0", 4) in [(hop.gateway, hop.interface, hop.family) for hop in told.facts.default_routes]


def test_the_module_step_loads_it(lab: Lab) -> None:
    told = drive(lab, ModuleChange(module="ip_vs"))
    assert told.facts.module_loaded
    assert told.facts.services == ()
    assert told.facts.sysctls["net.ipv4.vs.expire_nodest_conn"] == "0"


def test_services_of_every_kind_are_as_ipvsadm_saves_them(empty: Lab) -> None:
    services = {
        ServiceKey("10.0.0.10", "tcp", 80): (ServiceState("wlc"), "-A -t 10.0.0.10:80 -s wlc"),
        ServiceKey("10.0.0.10", "udp", 53): (ServiceState("rr"), "-A -u 10.0.0.10:53 -s rr"),
        ServiceKey("10.0.0.11", "tcp", 80): (
            ServiceState("rr", persistence=300),
            "-A -t 10.0.0.11:80 -s rr -p 300",
        ),
        ServiceKey("10.0.0.12", "tcp", 80): (
            ServiceState("rr", persistence=60, netmask=0xFFFFFF00),
            "-A -t 10.0.0.12:80 -s rr -p 60 -M 255.255.255.0",
        ),
        ServiceKey("fd00:10::10", "tcp", 443): (ServiceState("sh"), "-A -t [fd00:10::10]:443 -s sh"),
        ServiceKey("fd00:10::10", "udp", 53): (
            ServiceState("rr", persistence=90),
            "-A -u [fd00:10::10]:53 -s rr -p 90",
        ),
        ServiceKey("fd00:10::11", "tcp", 80): (
            ServiceState("rr", persistence=90, netmask=64),
            "-A -t [fd00:10::11]:80 -s rr -p 90 -M 64",
        ),
        ServiceKey("10.0.0.13", "udp", 53): (ServiceState("rr", flags=0x4), "-A -u 10.0.0.13:53 -s rr -o"),
        ServiceKey("10.0.0.14", "tcp", 80): (
            ServiceState("sh", flags=0x18),
            "-A -t 10.0.0.14:80 -s sh -b sh-fallback,sh-port",
        ),
    }
    told = drive(empty, *(ServiceChange(service=key, old=None, new=state) for key, (state, _line) in services.items()))
    assert sorted(told.saved[-1].split("\n")[:-1]) == sorted(line for _state, line in services.values())
    assert {service.key: service.state for service in told.facts.services or ()} == {
        key: state for key, (state, _line) in services.items()
    }


def test_a_service_is_changed_and_removed(empty: Lab) -> None:
    first, second = ServiceState("wlc"), ServiceState("rr", persistence=120, netmask=0xFFFF0000)
    told = drive(
        empty,
        ServiceChange(service=WEB, old=None, new=first),
        ServiceChange(service=WEB, old=first, new=second),
        ServiceChange(service=WEB, old=second, new=first),
        ServiceChange(service=WEB, old=first, new=None),
    )
    assert told.saved == [
        "-A -t 10.0.0.10:80 -s wlc\n",
        "-A -t 10.0.0.10:80 -s rr -p 120 -M 255.255.0.0\n",
        "-A -t 10.0.0.10:80 -s wlc\n",
        "",
    ]


def test_every_scheduler_of_the_kernel_and_a_word_for_those_it_lacks(empty: Lab) -> None:
    keys = {name: ServiceKey("10.0.0.20", "tcp", 1000 + index) for index, name in enumerate(SCHEDULERS)}
    told = drive(empty, *(add(key, name) for name, key in keys.items()), good=False)
    asked = f"for s in {' '.join(SCHEDULERS)}; do modprobe -n -q ip_vs_$s && echo $s; done; true"
    have = set(empty.run("director", asked).ok().stdout.split())
    assert {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "sed", "nq", "fo", "ovf", "mh"} <= have
    for (name, key), error in zip(keys.items(), told.errors, strict=True):
        if name in have:
            assert error is None, error
            assert told.service(key).state.scheduler == name
        else:
            assert error is not None
            assert name in error.why
            assert f"modprobe ip_vs_{name}" in error.next


def test_destinations_of_every_kind_are_as_ipvsadm_saves_them(empty: Lab) -> None:
    tunnel = DestinationState(5, "tun", tun_type=1, tun_port=6080)
    told = drive(
        empty,
        add(WEB, "rr"),
        add(WEB6, "rr"),
        real(WEB, "10.0.0.101", None, DestinationState(0)),
        real(WEB, "10.0.0.102", None, DestinationState(65535, upper=200, lower=100)),
        real(WEB, "10.0.0.103", None, tunnel),
        real(WEB, "10.0.0.104", None, DestinationState(2, "nat"), port=8080),
        real(WEB, "10.0.0.105", None, DestinationState(2, "tun")),
        real(WEB6, "fd00:10::101", None, DestinationState(1)),
    )
    lines = told.saved[-1]
    for line in (
        "-a -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 0",
        "-a -t 10.0.0.10:80 -r 10.0.0.102:80 -g -w 65535",
        "-a -t 10.0.0.10:80 -r 10.0.0.103:80 -i -w 5 --tun-type gue --tun-port 6080 --tun-nocsum",
        "-a -t 10.0.0.10:80 -r 10.0.0.104:8080 -m -w 2",
        "-a -t 10.0.0.10:80 -r 10.0.0.105:80 -i -w 2 --tun-type ipip",
        "-a -t [fd00:10::10]:80 -r [fd00:10::101]:80 -g -w 1",
    ):
        assert line in lines
    thresholds = empty.run("director", "ipvsadm -Ln --thresholds").ok().stdout
    assert re.search(r"10\.0\.0\.102:80\s+200\s+100\b", thresholds), thresholds
    web = told.service(WEB)
    states = {(entry.address, entry.port): entry.state for entry in web.destinations}
    assert states == {
        ("10.0.0.101", 80): DestinationState(0),
        ("10.0.0.102", 80): DestinationState(65535, upper=200, lower=100),
        ("10.0.0.103", 80): tunnel,
        ("10.0.0.104", 8080): DestinationState(2, "nat"),
        ("10.0.0.105", 80): DestinationState(2, "tun"),
    }
    assert [entry.address for entry in told.service(WEB6).destinations] == ["fd00:10::101"]


def test_a_destination_is_changed_drained_and_removed(empty: Lab) -> None:
    zero, one, changed = DestinationState(0), DestinationState(1), DestinationState(7, "tun", upper=9, lower=3)
    told = drive(
        empty,
        add(WEB, "rr"),
        real(WEB, "10.0.0.101", None, zero),
        real(WEB, "10.0.0.101", zero, one),
        real(WEB, "10.0.0.101", one, changed),
        extra='director.set_weight(ServiceKey("10.0.0.10", "tcp", 80), "10.0.0.101", 80, 0)',
    )
    assert told.service(WEB).destinations[0].state == msgspec.structs.replace(changed, weight=0)
    told = drive(empty, real(WEB, "10.0.0.101", msgspec.structs.replace(changed, weight=0), None))
    assert told.service(WEB).destinations == ()
    assert told.saved[-1] == "-A -t 10.0.0.10:80 -s rr\n"


def test_what_ipvsadm_made_is_read_as_it_is_and_foreign_services_are_only_named(empty: Lab) -> None:
    empty.run(
        "director",
        "ipvsadm -A -f 7 -s rr; ipvsadm -a -f 7 -r 10.0.0.101:80 -i; ipvsadm -A -f 8 -6 -s wlc;"
        "ipvsadm -A --sctp-service 10.0.0.10:5000 -s rr;"
        "ipvsadm -A -t 10.0.0.10:80 -s rr; ipvsadm -a -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 3 -x 9 -y 2;"
        "ipvsadm -a -t 10.0.0.10:80 -r [fd00:10::102]:80 -i -w 4",
    ).ok()
    told = drive(empty)
    assert [service.key for service in told.facts.services or ()] == [WEB]
    assert sorted(told.facts.foreign_services) == [
        "firewall mark 7 (rr)", "firewall mark 8 IPv6 (wlc)", "sctp 10.0.0.10 port 5000 (rr)",
    ]  # fmt: skip
    assert {entry.address: entry.state for entry in told.service(WEB).destinations} == {
        "10.0.0.101": DestinationState(3, upper=9, lower=2),
        "fd00:10::102": DestinationState(4, "tun"),
    }


def test_reading_and_changing_from_several_threads(empty: Lab) -> None:
    """The live pane reads while the operator drains: each thread gets its own answers."""
    steps: list[Change] = [add(WEB, "rr"), *(real(WEB, f"10.0.0.10{n}", None, DestinationState(n)) for n in (1, 2, 3))]
    work = """
from concurrent.futures import ThreadPoolExecutor
key = ServiceKey("10.0.0.10", "tcp", 80)
def read():
    return [len(service.destinations) for _ in range(20) for service in director.services()]
def weigh(host):
    for weight in range(10):
        director.set_weight(key, host, 80, weight)
    return weight
with ThreadPoolExecutor(6) as pool:
    readings = [pool.submit(read) for _ in range(3)]
    weights = [pool.submit(weigh, "10.0.0.10%d" % n) for n in (1, 2, 3)]
    extra = [[job.result() for job in readings], [job.result() for job in weights]]
"""
    told = drive(empty, *steps, extra=work)
    assert told.extra == [[[3] * 20] * 3, [9, 9, 9]]
    assert [entry.state.weight for entry in told.service(WEB).destinations] == [9, 9, 9]


def test_work_of_others_is_never_written_over(empty: Lab) -> None:
    told = drive(empty, add(WEB, "rr"), real(WEB, "10.0.0.101", None, DestinationState(1)))
    empty.run("director", "ipvsadm -E -t 10.0.0.10:80 -s wlc; ipvsadm -e -t 10.0.0.10:80 -r 10.0.0.101:80 -g -w 5").ok()
    before = empty.run("director", "ipvsadm -Sn").ok().stdout
    told = drive(
        empty,
        ServiceChange(service=WEB, old=ServiceState("rr"), new=ServiceState("sh")),
        ServiceChange(service=WEB, old=None, new=ServiceState("sh")),
        ServiceChange(service=WEB, old=ServiceState("wlc"), new=None),
        real(WEB, "10.0.0.101", DestinationState(1), DestinationState(0)),
        real(WEB, "10.0.0.109", DestinationState(1), None),
        real(ServiceKey("10.0.0.99", "tcp", 80), "10.0.0.101", None, DestinationState(1)),
        good=False,
    )
    service, there, full, weight, gone, nowhere = (error.text if error else "" for error in told.errors)
    assert "changed meanwhile" in service
    assert "scheduler wlc" in service
    assert "scheduler rr" in service
    assert "changed meanwhile" in there
    assert "10.0.0.101:80" in full
    assert "weight 5" in weight
    assert "weight 1" in weight
    assert "not there" in gone
    assert "10.0.0.99:80" in nowhere
    assert empty.run("director", "ipvsadm -Sn").ok().stdout == before


def test_a_step_that_fails_in_the_middle_leaves_nothing(empty: Lab) -> None:
    address = AddressChange(interface="eth0", address="10.0.0.77", prefix=32, old=False, new=True)
    redirects = SysctlChange(key="net.ipv4.conf.eth0.send_redirects", old="1", new="0")
    told = drive(
        empty,
        [redirects, address, add(WEB, "rr"), add(ServiceKey("10.0.0.10", "tcp", 81), "nosuch")],
        good=False,
    )
    assert told.errors[0] is not None
    assert "nosuch" in told.errors[0].text
    assert told.saved == [""]
    assert not any(link.has("10.0.0.77") for link in told.facts.interfaces)
    assert told.facts.sysctls["net.ipv4.conf.eth0.send_redirects"] == "1"


def test_addresses_links_and_settings_come_and_go(empty: Lab) -> None:
    there: list[Change] = [
        AddressChange(interface="eth0", address="10.0.0.77", prefix=32, old=False, new=True),
        AddressChange(interface="eth0", address="fd00:10::77", prefix=128, old=False, new=True),
        AnnounceChange(interface="eth0", address="10.0.0.77"),
        LinkChange(interface="vip0", old=False, new=True),
        AddressChange(interface="vip0", address="10.0.0.78", prefix=32, old=False, new=True),
        SysctlChange(key="net.ipv4.vs.expire_nodest_conn", old="0", new="1"),
    ]
    told = drive(empty, there)
    shown = empty.run("director", "ip -o addr show").ok().stdout
    assert re.search(r"eth0\s+inet 10\.0\.0\.77/32 scope global", shown), shown
    assert re.search(r"eth0\s+inet6 fd00:10::77/128 scope global nodad", shown), shown
    assert "tentative" not in shown
    vip0 = told.facts.interface("vip0")
    assert vip0 is not None
    assert (vip0.kind, vip0.up) == ("dummy", True)
    assert empty.run("director", "cat /proc/sys/net/ipv4/vs/expire_nodest_conn").stdout == "1\n"

    kept = drive(empty, there[3].inverse(), good=False)  # it still carries an address
    assert kept.errors[0] is not None
    assert "10.0.0.78" in kept.errors[0].text
    told = drive(empty, [change.inverse() for change in reversed(there)])
    assert told.facts.interface("vip0") is None
    assert not any(link.has("10.0.0.77") or link.has("fd00:10::77") for link in told.facts.interfaces)
    assert empty.run("director", "cat /proc/sys/net/ipv4/vs/expire_nodest_conn").stdout == "0\n"


def test_without_privilege_much_is_seen_and_the_rest_is_said(empty: Lab) -> None:
    told = drive(empty, add(WEB, "rr"), prefix=WITHOUT_NET_ADMIN, good=False)
    assert told.facts.privileged is False
    assert told.facts.services is None
    assert "root" in told.facts.ipvs_problem
    assert "sudo" in told.facts.ipvs_next
    assert told.facts.interface("eth0") is not None
    assert told.errors[0] is not None
    assert "sudo" in told.errors[0].text


def test_counters_after_real_requests_are_those_of_ipvsadm(empty: Lab) -> None:
    keys = {"web": ServiceKey(VIP, "tcp", 80), "web6": ServiceKey(VIP6, "tcp", 80)}
    rips = {"web": "10.0.0.10{}", "web6": "fd00:10::10{}"}
    for host in SERVERS:
        empty.run(
            host,
            "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2;"
            f"ip addr add {VIP}/32 dev lo; ip addr add {VIP6}/128 dev lo nodad",
        ).ok()
    changes: list[Change] = []
    for name, key in keys.items():
        prefix = 128 if name == "web6" else 32
        changes.append(AddressChange(interface="eth0", address=key.address, prefix=prefix, old=False, new=True))
        changes.append(AnnounceChange(interface="eth0", address=key.address))
        changes.append(add(key, "rr"))
        changes += [real(key, rips[name].format(i), None, DestinationState(1)) for i in (1, 2, 3)]
    drive(empty, *changes)
    answered = [name for key in keys.values() for name in empty.requests(key.address, 6)]
    assert sorted(answered) == sorted([*SERVERS] * 4)

    # The kernel updates its counters every two seconds (ip_vs_est.c): settled is what one update leaves as it was.
    read = "$(ipvsadm -Ln --stats --exact)"
    empty.wait("director", f'before="{read}"; sleep 2.1; [ "$before" = "{read}" ]', 60)
    told = drive(empty)
    stats = empty.run("director", "ipvsadm -Ln --stats --exact").ok().stdout
    for key in keys.values():
        service = told.service(key)
        assert service.stats.connections == 6
        assert service.stats.in_packets > 6
        assert (service.stats.out_packets, service.stats.out_bytes) == (0, 0)
        assert sum(entry.stats.in_bytes for entry in service.destinations) == service.stats.in_bytes
        for entry in service.destinations:
            assert figures(stats, entry.address) == figures_of(entry)
            assert entry.active + entry.inactive == 2


def figures(table: str, address: str) -> list[int]:
    """A destination's line of `ipvsadm -Ln --stats --exact`, as numbers."""
    shown = f"[{address}]:80" if ":" in address else f"{address}:80"
    line = next(line for line in table.splitlines() if f"-> {shown} " in line)
    return [int(word) for word in line.split()[2:]]


def figures_of(entry: Destination) -> list[int]:
    stats = entry.stats
    return [stats.connections, stats.in_packets, stats.out_packets, stats.in_bytes, stats.out_bytes]
