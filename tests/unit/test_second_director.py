"""Real servers with IPVS services of their own, and servers that take the VIP without holding it."""

from __future__ import annotations

import msgspec
import pytest

from dsrwizard.core.dialects.linux import close
from dsrwizard.core.model.linux_facts import OwnBalancer
from tests.unit.diagnosed import VIP, Farm, faults, find, only

HEAD = ["read", "IP Virtual Server version 1.2.1 (size=4096)", "Prot LocalAddress:Port Scheduler Flags",
        "  -> RemoteAddress:Port Forward Weight ActiveConn InActConn"]  # fmt: skip
TO_WEB2 = "  -> 0A000066:0050      Route   1      0          0         "
TO_SELF = "  -> 0A000065:0050      Local   1      0          0         "
OTHER = "TCP  0A000063:0050 rr  "
OURS = "TCP  0A00000A:0050 rr  "


def with_ipvs(*lines: str, marks: str = "") -> Farm:
    farm = Farm()
    told = farm.server("web1").machine.told
    told["balancer"] = [*HEAD, *lines]
    told["legacy4"] = ["iptables-legacy", "*mangle", ":PREROUTING ACCEPT [0:0]", *([marks] if marks else []), "COMMIT"]
    return farm


def test_proc_net_ip_vs() -> None:
    lines = [*HEAD, OURS, TO_WEB2, TO_SELF, "UDP  [fd00:0000:0000:0000:0000:0000:0000:0010]:0035 sed  ",
             "  -> [fd00:0000:0000:0000:0000:0000:0000:0066]:0035      Tunnel  0      0          0         ",
             "FWM  00000001 wlc persistent 300 FFFFFFFF", "  -> 0A000067:0000      Masq    1      0          0",
             "TCP  ZZ:1 rr", "junk", "  -> nowhere Route 1 0 0"]  # fmt: skip
    looked = close.parse({"boot": [], "balancer": lines}, systemd=True)
    assert looked is not None
    assert looked.balancer == (
        OwnBalancer(protocol="tcp", address="10.0.0.10", port=80, elsewhere=("10.0.0.102",), here=True),
        OwnBalancer(protocol="udp", address="fd00::10", port=53),
        OwnBalancer(protocol="fwm", address="", port=1, here=True),
    )


@pytest.mark.parametrize(("lines", "known"), [(["none"], ()), (["unseen"], None), ([], None)])
def test_a_table_that_is_not_there_or_cannot_be_read(lines: list[str], known: tuple[()] | None) -> None:
    looked = close.parse({"boot": [], "balancer": lines}, systemd=True)
    assert looked is not None
    assert looked.balancer == known


def test_a_server_that_passes_the_vip_on_is_named_with_who_gets_it_and_the_command() -> None:
    report = with_ipvs(OURS, TO_WEB2, TO_SELF).verify()
    check = only(report)
    assert (check.cause, check.host) == ("second-director", "web1")
    assert "web2 (10.0.0.102)" in check.message
    assert check.fix == "On web1: ipvsadm -D -t 10.0.0.10:80"


def test_a_service_without_a_server_drops_the_packets() -> None:
    check = only(with_ipvs(OURS).verify())
    assert (check.cause, check.fix) == ("second-director", "On web1: ipvsadm -D -t 10.0.0.10:80")


@pytest.mark.parametrize(
    "lines",
    [
        [OTHER, TO_WEB2],  # another VIP
        ["UDP  0A00000A:0050 rr  ", TO_WEB2],
        ["TCP  0A00000A:01BB rr  ", TO_WEB2],
        [OURS, TO_SELF],
        [OURS, "  -> 0AF40005:0050      Masq    1      0          0         "],  # a container, as kube-proxy does
    ],
)
def test_services_that_pass_nothing_of_this_vip_on(lines: list[str]) -> None:
    assert with_ipvs(*lines).verify().verdict == "pass"


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ("[0:0] -A PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j MARK --set-xmark 0x1/0xffffffff", True),
        ("[0:0] -A PREROUTING -d 10.0.0.10/32 -j MARK --set-mark 1", True),
        ("[0:0] -A PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 443 -j MARK --set-xmark 0x1/0xffffffff", False),
        ("[0:0] -A PREROUTING -d 10.0.0.10/32 -j MARK --set-xmark 0x2/0xffffffff", False),
        ("[0:0] -A PREROUTING -d 10.0.0.10/32 -m mac ! --mac-source 02:00:0a:00:00:02 -j MARK --set-mark 1", False),
    ],
)
def test_a_service_by_firewall_mark_counts_where_the_vips_packets_get_that_mark(rule: str, named: bool) -> None:
    report = with_ipvs("FWM  00000001 rr  ", TO_WEB2, marks=rule).verify()
    assert faults(report) == ([("second-director", "web1")] if named else [])
    if named:
        assert only(report).fix == "On web1: ipvsadm -D -f 1"


def test_a_standby_director_of_weight_0_gets_no_packets_that_it_could_pass_on() -> None:
    farm = with_ipvs(OURS, TO_WEB2)
    servers = [msgspec.structs.replace(one, weight=0 if one.name == "web1" else 1) for one in farm.deployment.servers]
    farm.deployment = msgspec.structs.replace(farm.deployment, servers=tuple(servers))
    check = find(farm.verify(), "server.balancer", "web1")
    assert (check.outcome, "weight 0" in check.message) == ("skipped", True)


NAT = "[0:0] -A PREROUTING -d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j REDIRECT"


def translating(rule: str = NAT) -> Farm:
    farm = Farm()
    machine = farm.server("web2").machine
    del machine.links["lo"].addresses[VIP]
    machine.told |= {"legacy4": ["iptables-legacy", "*nat", ":PREROUTING ACCEPT [0:0]", rule, "COMMIT"]}
    return farm


def test_a_server_that_takes_the_vip_by_redirect_has_it() -> None:
    check = find(translating().verify(), "server.vip", "web2")
    assert (check.outcome, "REDIRECT" in check.evidence) == ("pass", True)
    other = find(translating(NAT.replace("10.0.0.10", "10.0.0.99")).verify(), "vip.probe", "web2")
    assert other.cause == "vip-missing"


def test_a_local_route_without_an_address_takes_the_vip() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    del machine.links["lo"].addresses[VIP]
    machine.told["local"] = ["local 10.0.0.8/29 dev lo scope host"]
    check = find(farm.verify(), "server.vip", "web2")
    assert (check.outcome, "local route" in check.evidence) == ("pass", True)
