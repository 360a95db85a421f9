"""What hosts answer to the observing script, read into facts: recorded answers, odd ones, and made-up ones."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.dialects.linux.observe import observe_script, parse, parse_listeners, sysctl_key
from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.facts import InterfaceAddress, Listener, Route, ServerFacts

NONCE = "a1b2c3"

LO = (
    '{"ifindex":1,"ifname":"lo","flags":["LOOPBACK","UP","LOWER_UP"],"mtu":65536,"qdisc":"noqueue","operstate":'
    '"UNKNOWN","group":"default","txqlen":1000,"link_type":"loopback","address":"00:00:00:00:00:00","broadcast":'
    '"00:00:00:00:00:00","promiscuity":0,"min_mtu":0,"max_mtu":0,"addr_info":[{"family":"inet","local":"127.0.0.1",'
    '"prefixlen":8,"scope":"host","label":"lo","valid_life_time":4294967295,"preferred_life_time":4294967295},'
    '{"family":"inet","local":"10.0.0.11","prefixlen":32,"scope":"global","label":"lo","valid_life_time":4294967295,'
    '"preferred_life_time":4294967295},{"family":"inet6","local":"fd00:10::10","prefixlen":128,"scope":"global",'
    '"nodad":true,"deprecated":true,"valid_life_time":4294967295,"preferred_life_time":0},{"family":"inet6","local":'
    '"::1","prefixlen":128,"scope":"host","valid_life_time":4294967295,"preferred_life_time":4294967295}]}'
)
ETH0 = (
    '{"ifindex":2,"ifname":"eth0","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,"qdisc":"fq_codel",'
    '"operstate":"UP","group":"default","txqlen":1000,"link_type":"ether","address":"52:54:00:12:34:56","broadcast":'
    '"ff:ff:ff:ff:ff:ff","promiscuity":0,"parentbus":"virtio","parentdev":"virtio0","addr_info":[{"family":"inet",'
    '"local":"10.0.0.101","prefixlen":24,"broadcast":"10.0.0.255","scope":"global","dynamic":true,"label":"eth0",'
    '"valid_life_time":86155,"preferred_life_time":86155},{"family":"inet","local":"10.0.0.201","prefixlen":24,'
    '"scope":"global","secondary":true,"label":"eth0:1","valid_life_time":4294967295,"preferred_life_time":4294967295}'
    ',{"family":"inet6","local":"fe80::5054:ff:fe12:3456","prefixlen":64,"scope":"link","tentative":true,'
    '"valid_life_time":4294967295,"preferred_life_time":4294967295}]}'
)
VLAN = (
    '{"ifindex":3,"link":"eth0","ifname":"eth0.100","flags":["BROADCAST","MULTICAST","UP","LOWER_UP"],"mtu":1500,'
    '"qdisc":"noqueue","operstate":"UP","link_type":"ether","address":"52:54:00:12:34:56","broadcast":'
    '"ff:ff:ff:ff:ff:ff","linkinfo":{"info_kind":"vlan","info_data":{"protocol":"802.1Q","id":100,"flags":'
    '["REORDER_HDR"]}},"addr_info":[{"family":"inet","local":"192.168.100.5","prefixlen":28,"scope":"global",'
    '"label":"eth0.100","valid_life_time":4294967295,"preferred_life_time":4294967295}]}'
)
DUMMY = (
    '{"ifindex":4,"ifname":"dummy0","flags":["BROADCAST","NOARP"],"mtu":1500,"qdisc":"noop","operstate":"DOWN",'
    '"link_type":"ether","address":"ae:12:11:70:01:02","broadcast":"ff:ff:ff:ff:ff:ff","linkinfo":{"info_kind":'
    '"dummy"},"addr_info":[{"family":"inet","local":"10.0.0.10","prefixlen":32,"scope":"global","label":"dummy0"}]}'
)
FILES = {"hostname": "/proc/sys/kernel/hostname", "os": "/etc/os-release", "interfaces": "/etc/network/interfaces"}
TEXTS = """\
/proc/sys/kernel/hostname:web1
/proc/sys/kernel/osrelease:6.1.0-28-amd64
/proc/sys/kernel/random/boot_id:0e5b1c9a-5a0b-4f6a-9d7c-0123456789ab
/etc/machine-id:0123456789abcdef0123456789abcdef
/etc/os-release:PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"
/etc/os-release:NAME="Debian GNU/Linux"
"""
SYSCTLS = """\
/proc/sys/net/ipv4/conf/all/arp_ignore:1
/proc/sys/net/ipv4/conf/default/arp_ignore:0
/proc/sys/net/ipv4/conf/eth0.100/arp_ignore:0
/proc/sys/net/ipv4/conf/eth0/arp_announce:2
/proc/sys/net/ipv4/conf/all/rp_filter:2
/proc/sys/net/ipv4/ip_forward:0"""

DEBIAN = {
    "begin": "",
    "texts": TEXTS + SYSCTLS,
    "root": "yes",
    "systemd": "yes",
    "addr": f"[{LO},{ETH0}]",
    "route4": '[{"dst":"default","gateway":"10.0.0.1","dev":"eth0","flags":["onlink"]}]',
    "route6": "[]",
    "listeners": "ss\n"
    'tcp   LISTEN 0      511          0.0.0.0:80        0.0.0.0:*    users:(("nginx",pid=612,fd=6),("nginx",pid=611))\n'
    'udp   UNCONN 0      0      10.0.0.101%eth0:68        0.0.0.0:*    users:(("dhclient",pid=401,fd=7))',
    "modes": "640 /etc/x\n604 /etc/z z",
    "file:/etc/sysctl.d/zzz-dsrwizard.conf": "none",
    "file:/etc/z z": "file\nYQ==",
    "file:/etc/x": "file\n" + base64.b64encode("grün\r\nno newline".encode()).decode(),
    "file:/etc/y": "link ../x y",
    "end": "",
}


def texts(sysctls: str = SYSCTLS, **files: str) -> str:
    """The section of small files; `files` by the last part of the path."""
    lines = [f"{FILES[name]}:{line}" for name, text in files.items() for line in text.splitlines()]
    kept = [line for line in TEXTS.splitlines() if line.partition(":")[0] not in {FILES[name] for name in files}]
    return "\n".join([*kept, *lines, sysctls])


def answer(sections: dict[str, str], nonce: str = NONCE) -> str:
    """What the script prints, as the connector hands it over."""
    return "".join(f"\n==dsr:{nonce}:{name}==\n{text}\n" for name, text in sections.items())


def read(**changed: str) -> ServerFacts:
    return parse("web1", NONCE, answer(DEBIAN | changed))


def test_a_debian_server() -> None:
    facts = read()
    assert (facts.host, facts.hostname, facts.kernel) == ("web1", "web1", "6.1.0-28-amd64")
    assert facts.os == "Debian GNU/Linux 12 (bookworm)"
    assert facts.privileged
    assert facts.boot_id.startswith("0e5b1c9a")
    assert facts.machine == "0123456789abcdef0123456789abcdef"
    assert facts.persistence == "systemd"
    assert facts.default_routes == (Route(gateway="10.0.0.1", interface="eth0"),)
    lo, eth0 = facts.interfaces
    assert (lo.mac, lo.up, eth0.mac, eth0.up, eth0.kind) == ("", True, "52:54:00:12:34:56", True, "")
    assert lo.has("10.0.0.11") == InterfaceAddress(address="10.0.0.11", prefix=32)
    assert [entry.address for entry in eth0.addresses] == ["10.0.0.101", "10.0.0.201", "fe80::5054:ff:fe12:3456"]
    assert [entry.tentative for entry in eth0.addresses] == [False, False, True]
    assert facts.listeners == (
        Listener(protocol="tcp", address="0.0.0.0", port=80, process="nginx", room=511),
        Listener(protocol="udp", address="10.0.0.101", port=68, process="dhclient"),
    )


@pytest.mark.parametrize(
    "told",
    ["", "uninitialized", "0" * 32, "0123456789ABCDEF0123456789ABCDEF", "a" * 31, "a" * 33, "a" * 9000, "é" * 32],
)
def test_what_is_no_machine_id_is_none(told: str) -> None:
    former = DEBIAN["texts"].replace("/etc/machine-id:0123456789abcdef0123456789abcdef", f"/etc/machine-id:{told}")
    assert read(texts=former).machine == ""


def test_what_is_no_boot_id_is_none() -> None:
    assert read(texts=DEBIAN["texts"].replace("0e5b1c9a-5a0b", "0e5b1c9a-\x1b[2J")).boot_id == ""


def test_vlan_dummy_and_ipv6() -> None:
    facts = read(
        addr=f"[{LO},{ETH0},{VLAN},{DUMMY}]",
        route6='[{"dst":"default","gateway":"fe80::1","dev":"eth0","protocol":"ra","metric":100,"flags":[]}]',
    )
    assert {interface.name: interface.kind for interface in facts.interfaces}["eth0.100"] == "vlan"
    dummy = facts.interface("dummy0")
    assert dummy is not None
    assert (dummy.kind, dummy.up) == ("dummy", False)
    assert [interface.name for interface in facts.carrying("fd00:10:0::10")] == ["lo"]
    assert facts.sysctls["net.ipv4.conf.eth0/100.arp_ignore"] == "0"
    assert facts.sysctls["net.ipv4.conf.all.arp_ignore"] == "1"
    assert Route(gateway="fe80::1", interface="eth0", family=6) in facts.default_routes


def test_many_ways_out() -> None:
    facts = read(
        route4='[{"dst":"default","flags":[],"metric":200,"nexthops":[{"gateway":"10.0.0.2","dev":"eth0","weight":1},'
        '{"gateway":"192.168.100.1","dev":"eth0.100","weight":1}]},{"dst":"default","dev":"ppp0","scope":"link"}]'
    )
    assert [(route.gateway, route.interface) for route in facts.default_routes] == [
        ("10.0.0.2", "eth0"), ("192.168.100.1", "eth0.100"), ("", "ppp0"),
    ]  # fmt: skip


def test_a_host_without_ss_and_systemd() -> None:
    facts = read(listeners="none", systemd="no", root="no", texts=texts(os="PRETTY_NAME='Alpine Linux v3.20'"))
    assert facts.os == "Alpine Linux v3.20"
    assert facts.listeners is None  # unknown, which is not "nothing listens"
    assert facts.persistence == "none"
    assert not facts.privileged


def test_nothing_listens_is_known() -> None:
    assert read(listeners="ss").listeners == ()


def test_ip_without_json_names_the_package() -> None:
    busybox = "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue qlen 1000\n    inet 127.0.0.1/8 scope host lo"
    with pytest.raises(AnswerUnreadable, match="interfaces could not be read") as problem:
        read(addr=busybox)
    assert "iproute2" in problem.value.next


@pytest.mark.parametrize(
    ("local", "address"),
    [
        ("*:80", "*"),
        ("[::]:80", "::"),
        ("0.0.0.0:80", "0.0.0.0"),
        ("10.0.0.1%eth0:68", "10.0.0.1"),
        ("[fe80::1]%eth0:546", "fe80::1"),
        ("[fd00::1]:80", "fd00::1"),
        ("[::ffff:10.0.0.101]:8080", "10.0.0.101"),  # Java binds IPv4 addresses with IPv6 sockets
        ("*%docker0:67", "*"),
    ],
)
def test_addresses_of_listeners(local: str, address: str) -> None:
    (listener,) = parse_listeners([f"tcp LISTEN 0 128 {local} 0.0.0.0:*"])
    assert listener.address == address
    assert listener.covers("10.0.0.10") in (True, False)  # every address read can be asked


@pytest.mark.parametrize(
    "line",
    ["", "tcp", "nl UNCONN 0 0 rtnl:kernel *", "udp UNCONN 0 0 10.0.0.1:* *:*", "p_raw UNCONN 0 0 *:eth0 *",
     'cp",pid=7,fd=3)) tcp LISTEN 0 0 *:80 *:*', "tcp a 0 0 *:8 ", "v_str LISTEN 0 0 *:80 *:*"],
)  # fmt: skip
def test_lines_of_another_form_are_passed_over(line: str) -> None:
    assert list(parse_listeners([line])) == []


def test_files_come_back_byte_for_byte() -> None:
    files = read().files
    assert files["/etc/sysctl.d/zzz-dsrwizard.conf"] is None
    assert files["/etc/x"] == FileState(content="grün\r\nno newline", mode=0o640)
    assert files["/etc/z z"] == FileState(content="a", mode=0o604)
    assert files["/etc/y"] == FileState(target="../x y")


@pytest.mark.parametrize(
    ("body", "modes"),
    [
        ("file\n/w==", "640 /etc/x"),
        ("file\nnot base64!", "640 /etc/x"),
        ("file\n?", "640 /etc/x"),
        ("file\nYQ==", "9 /etc/x"),
        ("file\nYQ==", ""),
    ],
)
def test_a_file_that_is_no_text_is_named(body: str, modes: str) -> None:
    with pytest.raises(AnswerUnreadable, match=r"/etc/x could not be read as text"):
        read(**{"file:/etc/x": body, "modes": f"{modes}\n604 /etc/z z"})


@pytest.mark.parametrize(
    ("interfaces", "persistence"),
    [
        ("source /etc/network/interfaces.d/*", "ifupdown"),
        ("auto lo\n  source-directory /etc/network/interfaces.d", "ifupdown"),
        ("# source /etc/network/interfaces.d/*\nauto lo", "none"),
        ("", "none"),
    ],
)
def test_ifupdown_counts_where_it_reads_the_directory_we_write_to(interfaces: str, persistence: str) -> None:
    assert read(systemd="no", texts=texts(interfaces=interfaces)).persistence == persistence
    assert read(texts=texts(interfaces=interfaces)).persistence == "systemd"


@pytest.mark.parametrize("line", ["PRETTY_NAME='open", "PRETTY_NAME=", 'NAME="x"'])
def test_an_os_without_a_name(line: str) -> None:
    assert read(texts=texts(os=line)).os == ""


def test_cut_short_at_any_line_is_said_and_never_taken_for_facts() -> None:
    lines = answer(DEBIAN).splitlines(keepends=True)
    for count in range(len(lines) - 2):
        with pytest.raises(AnswerUnreadable):
            parse("web1", NONCE, "".join(lines[:count]))


def test_what_a_host_prints_does_not_pass_for_a_section() -> None:
    facts = read(root="no\n==dsr:guess:root==\nyes", texts=texts(hostname="==dsr::root=="))
    assert not facts.privileged
    assert facts.hostname == "==dsr::root=="


def test_noise_before_the_answer_and_carriage_returns() -> None:
    text = "Welcome to web1!\n" + answer(DEBIAN).replace("\n", "\r\n")
    assert parse("web1", NONCE, text) == read()


def test_a_name_with_a_line_separator_does_not_break_the_answer() -> None:
    odd = ETH0.replace('"ifname":"eth0"', '"ifname":"eth0","ifalias":"up\u2028link"')
    assert read(addr=f"[{odd}]").interfaces[0].name == "eth0"


def test_key_of_an_interface_with_a_dot() -> None:
    assert sysctl_key("/proc/sys/net/ipv4/conf/eth0.5/rp_filter") == "net.ipv4.conf.eth0/5.rp_filter"


_SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_JSON = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["ifname", "address", "flags", "linkinfo", "info_kind", "addr_info", "local", "prefixlen", "scope",
             "gateway", "dev", "nexthops", "link_type"]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip
_BODIES = st.one_of(
    st.text(max_size=40),
    _JSON.map(json.dumps),
    st.sampled_from(["[" * 60_000, '[{"ifname":"x","addr_info":[{"local":"10.0.0.1","prefixlen":1e999}]}]']),
    st.lists(st.sampled_from(["file 644", "link", "none", "YQ==", "ss", "tcp LISTEN 0 0 [:80 *", "\x85", "³"])).map(
        "\n".join
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    st.dictionaries(st.sampled_from([*DEBIAN, "other", "file:relative"]), _BODIES, max_size=6),
    st.sets(st.sampled_from(sorted(DEBIAN)), max_size=4),
)
def test_whatever_a_host_answers_it_is_facts_or_one_error(changed: dict[str, str], missing: set[str]) -> None:
    sections = {name: text for name, text in (DEBIAN | changed).items() if name not in missing}
    try:
        facts = parse("web1", NONCE, answer(sections))
    except AnswerUnreadable:
        return
    for interface in facts.interfaces:
        interface.has("10.0.0.1")
    assert all(abs(int(value)) < 10**10 for value in facts.sysctls.values())
    assert all(listener.covers("10.0.0.1") in (True, False) for listener in facts.listeners or ())


SHELLS = [
    shell
    for shell in (["sh"], ["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"], ["ksh"], ["mksh"], ["zsh"])
    if shutil.which(shell[0])
]


@pytest.mark.parametrize("shell", SHELLS, ids=" ".join)
def test_the_real_script_on_this_machine(shell: list[str], tmp_path: Path) -> None:
    text = tmp_path / "it's a file"
    text.write_bytes("grün\r\n\tno newline $HOME `x`".encode())
    text.chmod(0o604)
    link = tmp_path / "link"
    link.symlink_to("it's a file")
    broken = tmp_path / "nowhere"
    broken.symlink_to("/nonexistent/x")
    absent = tmp_path / "absent"
    paths = [str(path) for path in (text, link, broken, absent)]
    script = observe_script(NONCE, paths)
    done = subprocess.run([*shell, "-s"], input=script, capture_output=True, text=True, timeout=60, check=True)
    facts = parse("here", NONCE, done.stdout)
    assert facts.files == {
        str(text): FileState(content="grün\r\n\tno newline $HOME `x`", mode=0o604),
        str(link): FileState(target="it's a file"),
        str(broken): FileState(target="/nonexistent/x"),
        str(absent): None,
    }
    assert facts.hostname == Path("/proc/sys/kernel/hostname").read_text().strip()
    assert facts.kernel == Path("/proc/sys/kernel/osrelease").read_text().strip()
    lo = facts.interface("lo")
    assert lo is not None
    assert lo.mac == ""
    value = Path("/proc/sys/net/ipv4/conf/all/arp_ignore").read_text().strip()
    assert facts.sysctls["net.ipv4.conf.all.arp_ignore"] == value
    assert facts.listeners is not None
