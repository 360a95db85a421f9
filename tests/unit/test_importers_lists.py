"""Lists of servers as people write and export them: tables of any dialect, /etc/hosts, and what is none."""

from __future__ import annotations

from typing import get_args

import pytest

from dsrwizard.core.intake.importers import ListKind, decoded, detect, read
from tests.unit.test_importers import pairs
from tests.unit.test_importers_balancers import told

TABLE = [
    ["Server Name", "IP Address", "Notes", "Weight"],
    ["app1", "10.0.0.101", "rack 1, left; \"top\"", "2"],
    ["app2", "10.0.0.102", "two\nlines", "3"],
    ["app3", "10.0.0.103", "", "1"],
]  # fmt: skip


def csv_text(separator: str, quote: str = '"', end: str = "\r\n", *, always: bool = True) -> str:
    def cell(text: str) -> str:
        special = always or any(sign in text for sign in (separator, quote, "\n", '"'))
        return f"{quote}{text.replace(quote, quote * 2)}{quote}" if special else text

    return "".join(separator.join(map(cell, row)) + end for row in TABLE)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("before", ["", "sep=;\n", "Servers of the farm\n\n"])
def test_a_table_of_any_dialect(separator: str, end: str, before: str, *, always: bool) -> None:
    text = before.replace(";", separator) + csv_text(separator, end=end, always=always)
    found = read(f"\N{ZERO WIDTH NO-BREAK SPACE}{text}", "servers.csv")
    assert [(one.name, one.address, one.weight) for one in found.servers] == [
        ("app1", "10.0.0.101", "2"), ("app2", "10.0.0.102", "3"), ("app3", "10.0.0.103", "1"),
    ]  # fmt: skip
    told(found, 'Not imported: the column "Notes"*')


@pytest.mark.parametrize("separator", ["^", "~", ":"])
def test_a_table_with_a_separator_that_few_have(separator: str) -> None:
    lines = [["name", "address", "weight"], ["app1", "10.0.0.101", "2"], ["app2", "10.0.0.102", "3"]]
    found = read("".join(separator.join(line) + "\n" for line in lines), "servers.csv")
    assert [(one.name, one.address, one.weight) for one in found.servers] == [
        ("app1", "10.0.0.101", "2"), ("app2", "10.0.0.102", "3"),
    ]  # fmt: skip


def test_numbers_names_and_ports_of_a_table() -> None:
    found = read(
        'Name;IP-Adresse;Betriebssystem;Gewicht;Port;Kennwort\r\n'
        'APP1;10.0.0.101;Windows Server 2019;2,0;8080;hunter2\r\n'
        '"app2, spare";10.0.0.102 ;"Windows; Server";2,5;2222;x\r\n'
    )  # fmt: skip
    assert [(one.name, one.address, one.weight, one.port) for one in found.servers] == [
        ("APP1", "10.0.0.101", "2", ""), ("app2--spare", "10.0.0.102", "1", "2222"),
    ]  # fmt: skip
    told(found, '*weight "2,5" (line 3)*', '*"app2, spare"*', '*port "8080"*', '*"Kennwort"*asks for them*')
    assert "hunter2" not in repr(found)


def test_a_table_without_names_of_columns() -> None:
    found = read("rack 3,app1,10.0.0.1,2\nrack 4,app2,10.0.0.2,443\n,app3,10.0.0.3,\n")
    assert [(one.name, one.address, one.weight) for one in found.servers] == [
        ("app1", "10.0.0.1", "2"), ("app2", "10.0.0.2", "1"), ("app3", "10.0.0.3", "1"),
    ]  # fmt: skip
    told(found, '*"rack 3" (line 1)*', "Not imported: 443 (line 2)*port*")


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("Name;IP\nWürzburg1;10.0.0.1\n".encode("latin-1"), "W-rzburg1"),
        ("Name\tIP\nweb1\t10.0.0.1\n".encode("utf-16"), "web1"),
    ],
)
def test_files_in_other_encodings_are_read(raw: bytes, name: str) -> None:
    assert pairs(read(decoded(raw))) == [(name, "10.0.0.1")]


def test_etc_hosts_gives_the_servers_alone() -> None:
    text = """\
127.0.0.1 localhost
127.0.1.1 lb1.example.com lb1
::1     ip6-localhost ip6-loopback
fe00::0 ip6-localnet
ff02::1 ip6-allnodes
255.255.255.255 broadcasthost
10.0.0.10 shop.example.com
10.0.0.11 mail-vip.example.com
10.0.0.101 app1.example.com app1
fd00::101  app1.example.com app1
fd00::102  app2
10.0.0.102 app2
"""
    found = read(text, "hosts", vips=["10.0.0.10"])
    assert [(one.name, one.address, one.address6) for one in found.servers] == [
        ("app1.example.com", "10.0.0.101", "fd00::101"), ("app2", "10.0.0.102", "fd00::102"),
    ]  # fmt: skip
    told(found, "*127.0.0.1*loopback*", "*::1*loopback*", "*ff02::1*multicast*", "*10.0.0.10, because that is the VIP.",
         "*10.0.0.11*it is a VIP*")  # fmt: skip


@pytest.mark.parametrize(
    ("line", "given", "note"),
    [
        ("app1 10.0.0.99 8", ("app1", "10.0.0.99", "8", "", ""), ""),
        ("10.0.0.99 443", ("10.0.0.99", "10.0.0.99", "1", "", ""), "*443 (line 1)*port*"),
        ("app1 10.0.0.99 8000", ("app1", "10.0.0.99", "1", "", ""), "*8000 (line 1)*port*"),
        ("app1 10.0.0.99 100", ("app1", "10.0.0.99", "100", "", ""), "*100 was taken as the weight*"),
        ("app1 10.0.0.99 weight=80", ("app1", "10.0.0.99", "80", "", ""), ""),
        ("10.0.0.99:443", ("10.0.0.99", "10.0.0.99", "1", "", ""), "*the port 443*"),
        ("root@10.0.0.99:2200", ("10.0.0.99", "10.0.0.99", "1", "root", "2200"), ""),
        ("- app1 ops@10.0.0.99", ("app1", "10.0.0.99", "1", "ops", ""), ""),
        ("* app1: 10.0.0.99".replace(":", ""), ("app1", "10.0.0.99", "1", "", ""), ""),
        ("2) app1 10.0.0.99", ("app1", "10.0.0.99", "1", "", ""), ""),
    ],
)
def test_lines_of_lists(line: str, given: tuple[str, ...], note: str) -> None:
    found = read(line)
    (server,) = found.servers
    assert (server.name, server.address, server.weight, server.user, server.port) == given
    if note:
        told(found, note)
    else:
        assert found.notes == []


def test_a_heading_does_not_make_a_list_an_inventory() -> None:
    found = read("[web]\napp1 10.0.0.1\napp2 10.0.0.2 3\n")
    assert pairs(found) == [("app1", "10.0.0.1"), ("app2", "10.0.0.2")]
    told(found, 'Line 1: "[[]web]" was read as a heading.')


NOT_LISTS = {
    "haproxy": "global\n  daemon\nfrontend www\n  bind 10.0.0.10:80\n  default_backend web\nbackend web\n"
               "  server web1 10.0.0.101:80 check\n",
    "nginx": "upstream web {\n  server 10.0.0.101:80 weight=5;\n  server 10.0.0.102:80;\n}\n",
    "systemd": "[Unit]\nDescription=x\n[Service]\nExecStart=/usr/bin/foo\nUser=root\n",
    "samba": "[global]\n   workgroup = EXAMPLE\n   server string = files\n",
    "mysql": "[mysqld]\nskip-networking\nport = 3306\nbind-address = 10.0.0.5\n",
    "wireguard": "[Interface]\nAddress = 10.9.0.1/24\nPrivateKey = c2VjcmV0\n[Peer]\nEndpoint = 10.0.0.1:51820\n",
    "json": '{"servers": [{"name": "web1", "ip": "10.0.0.1"}]}\n',
    "xml": "<servers>\n<server ip='10.0.0.1'>web1</server>\n</servers>\n",
    "compose": "services:\n  web:\n    image: nginx\n    ports: ['80:80']\n",
    "routes": "default via 10.0.0.1 dev eth0\n10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.2\n",
    "ip addr": "1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n2: eth0: <UP> mtu 1500\n"
               "    inet 10.0.0.2/24 scope global eth0\n",
    "iptables": "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 10.0.0.1 -j ACCEPT\nCOMMIT\n",
    "prose": "Please move the farm to the new rack.\nThe VIP is 10.0.0.10 and web1 is 10.0.0.101, ask Eva.\n",
    "a log": "Jan  1 00:00:01 lb1 sshd[77]: Accepted publickey for root from 10.0.0.9 port 4242 ssh2\n" * 3,
    "a script": "#!/bin/sh\nVIP=10.0.0.10\n"
                "ip addr add $VIP/32 dev lo\necho 1 > /proc/sys/net/ipv4/conf/all/arp_ignore\n",
    "resolv.conf": "nameserver 10.0.0.53\nsearch example.com\noptions timeout:1\n",
    "one setting": "nameserver 10.0.0.53\n",
    "half of it": "frontend www\n bind 10.0.0.10:80\n",
    "deployment": 'name = "shop"\n[director]\ninterface = "eth0"\n[[vips]]\naddress = "10.0.0.10"\n',
    "apache": "<Proxy balancer://web>\n BalancerMember http://10.0.0.101\n</Proxy>\n",
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_LISTS)
def test_what_is_not_recognised_is_refused(name: str) -> None:
    for file in ("", "servers", "servers.conf"):
        found = read(NOT_LISTS[name], file)
        assert [server.address for server in found.servers] == []
        assert found.refused
        assert found.notes
        assert "c2VjcmV0" not in repr(found)
    for kind in get_args(ListKind):  # chosen by hand
        assert read(NOT_LISTS[name], kind=kind).servers == [], kind


def test_a_list_of_names_alone_is_one() -> None:
    assert pairs(read("app1.example.com\napp2.example.com\n")) == [
        (f"app{n}.example.com", f"app{n}.example.com") for n in (1, 2)
    ]
    assert detect("app1.example.com\napp2.example.com\n") == "plain"


def test_a_server_whose_line_is_commented_out_is_none() -> None:
    found = read("app1 10.0.0.1 # first\n;app2 10.0.0.2\n// app3 10.0.0.3\n!app4 10.0.0.4\n# app5 10.0.0.5\n")
    assert pairs(found) == [("app1", "10.0.0.1")]
    assert pairs(read("name,ip\napp1,10.0.0.1\n#app2,10.0.0.2\n;app3,10.0.0.3\n")) == [("app1", "10.0.0.1")]


def test_tables_as_programs_draw_and_export_them() -> None:
    drawn = "| Server | IP | Weight |\n|---|:---:|---|\n| app1 | 10.0.0.1 | 1 |\n| app2 | 10.0.0.2 | 3 |\n"
    assert [(one.name, one.address, one.weight) for one in read(drawn).servers] == [
        ("app1", "10.0.0.1", "1"), ("app2", "10.0.0.2", "3"),
    ]  # fmt: skip
    exported = read('name,primary_ip4,site\napp1,10.0.0.1/24,ber\napp2,"10.0.0.2, fd00::2/64, 10.0.0.9",ber\n')
    assert [(one.name, one.address, one.address6) for one in exported.servers] == [
        ("app1", "10.0.0.1", ""), ("app2", "10.0.0.2", "fd00::2"),
    ]  # fmt: skip
    told(exported, "Prefix lengths*", "*10.0.0.9 (line 3)*")
