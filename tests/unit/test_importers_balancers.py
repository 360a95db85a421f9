"""Configurations of balancers: VIPs, services and servers come out, and a line for everything that does not."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch

import pytest

from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.importers import Imported, ListKind, detect, keepalived, read
from dsrwizard.core.intake.validate import problems_of_draft

KEEPALIVED = """\
! farm of the shop
global_defs {
   router_id LB1   # ours
}
$NET=10.20.0
vrrp_instance VI_7
{
    state BACKUP
    interface bond0
    authentication { auth_type PASS
        auth_pass geheim77
    }
    virtual_ipaddress {
        10.20.0.50/24 dev bond0.12 label bond0:1
        10.20.0.77
    }
}
virtual_server 10.20.0.50 8443
{
    delay_loop 6
    lb_algo wrr
    lb_kind DR
    persistence_timeout 120
    protocol TCP
    sorry_server 10.20.0.9 8443
    real_server ${NET}.11 8443 {
        weight 3
        MISC_CHECK { misc_path "/usr/local/bin/look # not a comment { }"
        }
    }
    real_server ${NET}.12 8443 {
        inhibit_on_failure
    }
    real_server 10.20.0.13 9443 { weight 1 }
}
virtual_server fwmark 7 { lb_algo rr
    lb_kind DR
    real_server 10.20.0.11 0 { weight 1 } }
virtual_server fd00:20::50 53 {
    lvs_sched sh
    lvs_method DR
    protocol UDP
    real_server fd00:20::11 53 { weight 0 }
}
virtual_server 10.20.0.70 25 {
    lb_algo rr
    lb_kind NAT
    real_server 10.20.0.11 25 { weight 1 }
}
"""
LDIRECTORD = """\
checktimeout = 5
logfile="local0"

virtual = 192.168.6.240:http
    real = 192.168.6.2:80 gate
    real = 192.168.6.6->192.168.6.8:80 gate 4 "status.html", "ok"
    real = 192.168.6.9:81 gate
    fallback = 127.0.0.1:80 gate
    scheduler = sed
    persistent = 900
    checktype = negotiate
virtual = 192.168.6.241:443
    real = 192.168.6.2:443 masq
virtual = 5
    real = 192.168.6.2 gate
    protocol = fwm
virtual6 = [2001:db8:6::10]:53
    real6 = [2001:db8:6::2]:53 gate
    protocol = udp
"""
SAVED = """\
-A -t 10.0.0.10:8080 -s mh -p 300
-a -t 10.0.0.10:8080 -r 10.0.0.101:8080 -g -w 20
-a -t 10.0.0.10:8080 -r 10.0.0.102:8080 -g -w 0 -x 9 -y 5
-A -u 10.0.0.11:69 -s rr -o
-a -u 10.0.0.11:69 -r 10.0.0.103:69 -i -w 1
-A -f 3 -s rr
-a -f 3 -r 10.0.0.101:0 -g -w 1
-A -t [fd00::10]:80 -s lc -p
-a -t [fd00::10]:80 -r [fd00::101]:80 -g
"""
LISTED = """\
IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
TCP  10.0.0.10:8080 nq persistent 60
  -> 10.0.0.101:8080              Route   7      2          11
  -> 10.0.0.102:8080              Tunnel  1      0          0
FWM  1 rr
  -> 10.0.0.101:0                 Route   1      0          0
UDP  [fd00::10]:514 rr
  -> [fd00::101]:514              Route   1      0          0
"""
NETSCALER = """\
#NS13.1 Build 49.15
set ns config -IPAddress 10.0.0.5 -netmask 255.255.255.0
add server app1 10.0.0.101
add server "app 2" 10.0.0.102
add service svc_a app1 TCP 8080 -usip YES
add serviceGroup grp TCP -usip YES
bind serviceGroup grp app1 443 -weight 5
bind serviceGroup grp "app 2" 443 -weight 5
add lb vserver vs_a TCP 10.0.0.10 443 -persistenceType SOURCEIP -timeout 10 -lbMethod ROUNDROBIN -m MAC
add lb vserver vs_nat TCP 10.0.0.11 8080 -persistenceType NONE
bind lb vserver vs_a grp
bind lb vserver vs_nat svc_a
add cs vserver cs_x HTTP 10.0.0.40 80
"""


def vips(found: Imported) -> list[tuple[str, str, str, str, str]]:
    return [
        (vip.address, one.protocol, one.port, one.scheduler, one.persistence)
        for vip in found.vips
        for one in vip.services
    ]


def servers(found: Imported) -> list[tuple[str, str, list[str] | None]]:
    return [(server.address, server.weight, server.vips) for server in found.servers]


def told(found: Imported, *patterns: str) -> None:
    """Each pattern is a note."""
    for pattern in patterns:
        assert any(fnmatch(note, pattern) for note in found.notes), (pattern, found.notes)


def a_deployment(found: Imported) -> None:
    """What came out is one, once it has an interface."""
    assert problems_of_draft(Draft(interface="eth0", vips=found.vips, servers=found.servers)) == []


def test_a_keepalived_conf_is_read_as_what_it_is() -> None:
    found = read(KEEPALIVED, "keepalived.conf")
    assert vips(found) == [("10.20.0.50", "tcp", "8443", "wrr", "120"), ("fd00:20::50", "udp", "53", "sh", "0")]
    assert servers(found) == [
        ("10.20.0.11", "3", ["10.20.0.50"]),
        ("10.20.0.12", "1", ["10.20.0.50"]),
        ("fd00:20::11", "0", ["fd00:20::50"]),
    ]
    assert found.interface == "bond0.12"
    told(
        found,
        "Not imported: the sorry_server*10.20.0.9*",
        "Not imported: the real server 10.20.0.13*its port is 9443, and direct routing cannot change ports.",
        "Not imported: the service of firewall mark 7*",
        "Not imported: tcp/25 at 10.20.0.70*NAT*",
        "Not imported: vrrp_instance*VI_7*",
        "Not imported: the address 10.20.0.77*",
        "Not imported: health checks (MISC_CHECK)*",
        "Not imported: delay_loop, inhibit_on_failure*",
        "Not imported: global_defs*",
    )
    assert "geheim77" not in repr(found)
    a_deployment(found)


def test_a_group_of_keepalived_may_have_ranges_and_marks() -> None:
    text = """
virtual_server_group G {
  10.0.0.60-62 53
  fd00::a-c 53
  fwmark 9
}
virtual_server group G { lb_algo rr
  lb_kind DR
  protocol UDP
  real_server 10.0.0.11 53 { weight 1 }
  real_server fd00::11 53 { weight 1 } }
"""
    found = read(text)
    assert [vip.address for vip in found.vips] == [
        "10.0.0.60", "10.0.0.61", "10.0.0.62", "fd00::a", "fd00::b", "fd00::c",
    ]  # fmt: skip
    told(found, "*firewall mark 9*", "*10.0.0.11*not of the same family*")
    a_deployment(found)


def test_a_group_of_several_ports_has_servers_without_one() -> None:
    text = """
virtual_server_group WEB {
  172.16.5.20 80
  172.16.5.20 443
}
virtual_server group WEB {
  lvs_sched wlc
  lvs_method DR
  real_server 172.16.5.31 0 { weight 10 }
  real_server 172.16.5.32 { weight 20 }
}
"""
    found = read(text)
    assert [(port, scheduler) for _, _, port, scheduler, _ in vips(found)] == [("80", "wlc"), ("443", "wlc")]
    assert servers(found) == [("172.16.5.31", "10", None), ("172.16.5.32", "20", None)]


def test_a_forwarding_method_of_one_server_and_none_at_all() -> None:
    text = """
virtual_server 10.0.0.10 80 {
  lb_kind DR
  real_server 10.0.0.11 80 { lvs_method TUN
  }
  real_server 10.0.0.12 80 { weight 1 }
}
virtual_server 10.0.0.20 80 {
  lb_algo wlc
  real_server 10.0.0.11 80 { weight 1 }
}
"""
    found = read(text)
    assert servers(found) == [("10.0.0.12", "1", None)]
    told(found, "*10.0.0.11*tunnel*", "*10.0.0.20*not given*", "The scheduler of tcp/80 at 10.0.0.10*none is given*")


class Files:
    """An opener over some files, by the pattern of their names in the folder of the file that includes them."""

    def __init__(self, **files: str) -> None:
        self.files = {name.replace("__", "/").replace("_conf", ".conf"): text for name, text in files.items()}

    def __call__(self, pattern: str, base: str) -> Sequence[tuple[str, str]]:
        whole = pattern if pattern.startswith("/") else f"{base.rpartition('/')[0]}/{pattern}"
        return [(name, text) for name, text in sorted(self.files.items()) if fnmatch(name, whole)]


REAL = "virtual_server 10.0.0.{0} 80 {{\n lb_algo rr\n lb_kind DR\n real_server 10.0.0.11 80 {{ weight 1 }}\n}}\n"


def test_includes_are_followed_from_the_file_they_stand_in() -> None:
    opener = Files(
        **{"/etc/k/conf.d/a_conf": "include deeper/*.conf\n" + REAL.format(20), "/etc/k/conf.d/b_conf": "",
           "/etc/k/conf.d/deeper/c_conf": REAL.format(30)}
    )  # fmt: skip
    found = keepalived.parse("include conf.d/*.conf\n" + REAL.format(10), "/etc/k/keepalived.conf", opener)
    assert [vip.address for vip in found.vips] == ["10.0.0.30", "10.0.0.20", "10.0.0.10"]
    assert detect("include conf.d/*.conf\n") == "keepalived"


def test_an_include_inside_a_block_belongs_to_it() -> None:
    opener = Files(**{"/k/pool_conf": "real_server 10.0.0.12 80 { weight 4 }\n"})
    text = "virtual_server 10.0.0.10 80 {\n lb_algo rr\n lb_kind DR\n include pool.conf\n}\n"
    assert servers(keepalived.parse(text, "/k/keepalived.conf", opener)) == [("10.0.0.12", "4", None)]


def test_includes_that_cannot_be_followed_are_named() -> None:
    def broken(pattern: str, base: str) -> Sequence[tuple[str, str]]:
        raise PermissionError(13, "Permission denied")

    text = "include a.conf\n" + REAL.format(10)
    told(keepalived.parse(text, "/k/k.conf", broken), "*a.conf*Permission denied.")
    told(keepalived.parse(text, "/k/k.conf", Files()), "*a.conf*there is no such file.")
    told(keepalived.parse(text), "*a.conf*")
    loop = Files(**{"/k/a_conf": "include b.conf\n", "/k/b_conf": "include a.conf\n"})
    found = keepalived.parse(text, "/k/k.conf", loop)
    told(found, "*the file includes itself*")
    assert [vip.address for vip in found.vips] == ["10.0.0.10"]


def test_files_that_include_many_files_come_to_an_end() -> None:
    def many(pattern: str, base: str) -> Sequence[tuple[str, str]]:
        return [(f"{base}/{number}", "include x\n" * 3) for number in range(300)]

    told(keepalived.parse("include x\n" + REAL.format(10), "/k", many), "*more than 200 files*")


def test_an_ldirectord_cf_is_read_as_what_it_is() -> None:
    found = read(LDIRECTORD, "ldirectord.cf")
    assert vips(found) == [("192.168.6.240", "tcp", "80", "sed", "900"), ("2001:db8:6::10", "udp", "53", "wrr", "0")]
    assert [(address, weight) for address, weight, _ in servers(found)] == [
        ("192.168.6.2", "1"), ("192.168.6.6", "4"), ("192.168.6.7", "4"), ("192.168.6.8", "4"), ("2001:db8:6::2", "1"),
    ]  # fmt: skip
    told(
        found,
        "*192.168.6.9*its port is 81*",
        "*tcp/443 at 192.168.6.241*NAT*",
        "*firewall mark 5*",
        "*checktimeout, logfile*",
        "*fallback, checktype*",
    )
    a_deployment(found)


def test_the_output_of_ipvsadm_save_is_read_as_what_it_is() -> None:
    found = read(SAVED)
    assert vips(found) == [("10.0.0.10", "tcp", "8080", "mh", "300"), ("fd00::10", "tcp", "80", "lc", "300")]
    assert [(address, weight) for address, weight, _ in servers(found)] == [
        ("10.0.0.101", "20"), ("10.0.0.102", "0"), ("fd00::101", "1"),
    ]  # fmt: skip
    told(found, "*thresholds*10.0.0.102*", "*udp/69 at 10.0.0.11*tunnel*", "*firewall mark 3*")
    a_deployment(found)


def test_a_script_of_ipvsadm_commands_is_read_too() -> None:
    text = """\
#!/bin/sh
echo 1 > /proc/sys/net/ipv4/ip_forward
/sbin/ipvsadm -C
/sbin/ipvsadm -A -t 10.0.0.10:80 -s rr
/sbin/ipvsadm -a -t 10.0.0.10:80 -r 10.0.0.101 -g -w3
ipvsadm --add-service --tcp-service 10.0.0.10:443 --scheduler rr --persistent 60
ipvsadm --add-server --tcp-service 10.0.0.10:443 --real-server 10.0.0.101 --gatewaying --weight 3
"""
    found = read(text, "lvs.sh")
    assert vips(found) == [("10.0.0.10", "tcp", "80", "rr", "0"), ("10.0.0.10", "tcp", "443", "rr", "60")]
    assert servers(found) == [("10.0.0.101", "3", None)]
    told(found, "Line 2 is no command of ipvsadm*")


def test_the_list_of_ipvsadm_is_read_as_what_it_is() -> None:
    found = read(LISTED)
    assert vips(found) == [("10.0.0.10", "tcp", "8080", "nq", "60"), ("fd00::10", "udp", "514", "rr", "0")]
    assert servers(found) == [("10.0.0.101", "7", ["10.0.0.10"]), ("fd00::101", "1", ["fd00::10"])]
    told(found, "*10.0.0.102*tunnel*", "*firewall mark 1*")
    a_deployment(found)


def test_the_kernels_own_list_is_in_hexadecimal() -> None:
    text = LISTED.replace("10.0.0.10:8080", "0A00000A:1F90").replace("10.0.0.101:8080", "0A000065:1F90")
    found = read(text, "ip_vs")
    told(found, "*persistence*ticks*")
    assert vips(found)[0] == ("10.0.0.10", "tcp", "8080", "nq", "0")
    assert servers(found)[0][0] == "10.0.0.101"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (LISTED.replace("10.0.0.10:8080", "www.example.com:http-alt").replace("10.0.0.101:", "app1.example.com:")
         .partition("FWM")[0], "*app1.example.com*is a name: `ipvsadm -Sn`*"),
        ("-A -t www:http -s rr\n-a -t www:http -r web1:http -g -w 1\n", "*is a name*"),
        ("IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port               Conns   InPkts  OutPkts\n"
         "  -> RemoteAddress:Port\nTCP  10.0.0.10:80    12     60      0\n", "*counters*ipvsadm -Sn*"),
        ("IPVS connection entries\npro expire state       source             virtual            destination\n"
         "TCP 14:58  ESTABLISHED 10.9.9.9:4242 10.0.0.10:80 10.0.0.101:80\n", "*connections*ipvsadm -Sn*"),
        ("virtual_server 10.0.0.10 80 {\n lb_kind NAT\n real_server 10.0.0.11 80 { weight 1 }\n}\n", "*NAT*"),
        ("vrrp_instance A {\n virtual_ipaddress {\n 10.0.0.10\n }\n}\n", "Nothing in it can be imported*"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_over_is_refused_with_the_reason(text: str, words: str) -> None:
    found = read(text)
    assert (found.servers, found.vips, found.refused) == ([], [], True)
    told(found, words)


def test_an_ns_conf_is_read_as_what_it_is() -> None:
    found = read(NETSCALER, "ns.conf")
    assert vips(found) == [("10.0.0.10", "tcp", "443", "wrr", "600")]
    assert [(one.name, one.address, one.weight) for one in found.servers] == [
        ("app1", "10.0.0.101", "5"), ("app-2", "10.0.0.102", "5"),
    ]  # fmt: skip
    assert found.external
    told(found, "*tcp/8080 at 10.0.0.11*addresses are rewritten*", "*set ns config, add cs vserver*")
    a_deployment(found)


def test_services_of_a_vip_with_other_servers_are_told() -> None:
    text = "".join(
        f"-A -t 10.0.0.10:{port} -s rr\n" + "".join(f"-a -t 10.0.0.10:{port} -r 10.0.0.{n}:{port} -g\n" for n in behind)
        for port, behind in ((80, (1, 2)), (443, (1, 2)), (25, (1, 2, 3)))
    )
    found = read(text)
    assert vips(found) == [("10.0.0.10", "tcp", "80", "rr", "0"), ("10.0.0.10", "tcp", "443", "rr", "0")]
    told(found, "Not imported: tcp/25 at 10.0.0.10*one set for each VIP.")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (KEEPALIVED, "keepalived"),
        (LDIRECTORD, "ldirectord"),
        (SAVED, "ipvsadm"),
        (LISTED, "ipvsadm"),
        (NETSCALER, "netscaler"),
    ],
)
def test_the_format_is_seen_without_a_name(text: str, kind: ListKind) -> None:
    for changed in (text, text.replace("\n", "\r\n"), f"\N{ZERO WIDTH NO-BREAK SPACE}{text}", f"\n\n{text}"):
        assert detect(changed) == kind
        assert vips(read(changed)) == vips(read(text))
        assert [note.partition(" (")[0] for note in read(changed).notes] == [
            note.partition(" (")[0] for note in read(text).notes
        ]


@pytest.mark.parametrize("text", [KEEPALIVED, LDIRECTORD, SAVED, LISTED, NETSCALER])
def test_a_configuration_that_is_cut_anywhere_still_gives_harmless_drafts(text: str) -> None:
    for end in range(0, len(text), 7):
        for kind in ("keepalived", "ldirectord", "ipvsadm", "netscaler"):
            found = read(text[:end] + "\x1b[2J", kind=kind)
            assert "\x1b" not in repr(found.notes)
            assert found.refused == (not found.servers)
            if found.servers:
                a_deployment(found)
