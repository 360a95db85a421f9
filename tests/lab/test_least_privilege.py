"""docs/least-privilege.md does as it says: its commands are run as they stand, then dsrwizard with what they give."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path

import pytest

from backends.lab import recipe
from tests.lab.harness import SERVERS, VIP, Lab, Result
from tests.lab.test_deploy import answers, state

pytestmark = pytest.mark.long

PAGE = (Path(__file__).parents[2] / "docs/least-privilege.md").read_text()
FILE = "/etc/dsrwizard/shop.toml"
AS_OPERATOR = ["setpriv", "--reuid", "oper", "--regid", "oper", "--clear-groups"]
LIMITED = "/usr/local/sbin/dsrwizard-limited"
CAPABILITIES = "-all,+net_admin,+net_raw"
NET_ADMIN_AND_RAW = 1 << 12 | 1 << 13


def box(title: str) -> str:
    """The text of the page's box that begins with this comment, without the comment."""
    (text,) = re.findall(rf"^```sh\n# {re.escape(title)}[^\n]*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(text)


def deployment() -> str:
    servers = "".join(
        f'[[servers]]\nname = "{name}"\naddress = "10.0.0.{100 + number}"\nuser = "dsrwizard"\n'
        for number, name in enumerate(SERVERS, 1)
    )
    vip = f'[[vips]]\naddress = "{VIP}"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
    return f'name = "shop"\n[director]\ninterface = "eth0"\n{vip}{servers}'


def install(lab: Lab) -> None:
    """What a real director has and the lab's does not: the program in /opt, an operator's account, sudo's directory."""
    root = recipe.PACKAGE_ROOT
    lab.put(
        "/opt/dsrwizard/bin/dsrwizard",
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(root))} exec {shlex.quote(sys.executable)} -m dsrwizard "$@"\n',
    )
    ways = {
        str(way) for path in (Path(sys.executable), Path(sys.executable).resolve(), root / "x") for way in path.parents
    }
    lab.run("director", ["chmod", "o+rx", "/opt/dsrwizard/bin/dsrwizard", *sorted(ways)]).ok()
    lab.run("director", "useradd --create-home oper").ok()
    for host in ("director", *SERVERS):
        lab.run(host, "mkdir -p /etc/sudoers.d; echo '@includedir /etc/sudoers.d' >>/etc/sudoers").ok()
    lab.put(FILE, deployment())


@pytest.fixture(scope="module")
def page(lab: Lab) -> Lab:
    """A lab in which the page was followed, but for ip_vs: the first test sees it missing."""
    install(lab)
    lab.run("director", "set -e\n" + box("as root on the director").replace("modprobe ip_vs\n", "")).ok()
    lab.put(LIMITED, box(f"{LIMITED}, mode 755"))
    lab.put("/etc/sudoers.d/dsrwizard-limited", box("/etc/sudoers.d/dsrwizard-limited on the director, mode 440"))
    lab.run("director", "chmod 755 /usr/local/sbin/dsrwizard-limited; chmod 440 /etc/sudoers.d/dsrwizard-limited").ok()
    lab.run("director", f"install -m 644 -o dsrwizard {recipe.KNOWN_HOSTS_FILE} /home/dsrwizard/.ssh/known_hosts").ok()
    key = lab.read("director", "/home/dsrwizard/.ssh/id_ed25519.pub").strip()
    there = box("as root on each real server").replace("KEY='ssh-ed25519 AAAA… dsrwizard'", f"KEY='{key}'")
    assert key in there
    for server in SERVERS:
        lab.run(server, "set -e\n" + there).ok()
        lab.run(server, "visudo -cf /etc/sudoers.d/dsrwizard").ok()
    return lab


def operator(lab: Lab, *arguments: str) -> Result:
    """What an operator without any right but the page's gets."""
    return lab.run("director", [*AS_OPERATOR, "sudo", "-n", LIMITED, *arguments], timeout=180)


def with_capabilities(lab: Lab, capabilities: str, *arguments: str) -> Result:
    """The page's command with other capabilities."""
    command = box(f"{LIMITED}, mode 755").replace(CAPABILITIES, capabilities)
    assert capabilities in command
    return lab.run("director", ["/bin/sh", "-c", command, "sh", *arguments], timeout=180)


def test_without_the_module_nothing_is_begun_and_the_way_out_is_named(page: Lab) -> None:
    assert page.run("director", "grep -q '^ip_vs ' /proc/modules").status == 1
    planned = operator(page, "plan", FILE)
    assert planned.status == 3
    assert "only root (CAP_SYS_MODULE) may load it. Run `sudo modprobe ip_vs`." in planned.stdout
    page.run("director", "modprobe ip_vs").ok()  # the line of the page that was left out


def test_two_capabilities_one_key_and_one_sudo_rule_are_enough(page: Lab) -> None:
    before = state(page)
    operator(page, "apply", FILE, "--yes").ok()
    assert set(answers(page, f"http://{VIP}/", 12)) == set(SERVERS)
    verified = operator(page, "verify", FILE, "--json").ok().json
    assert verified["verdict"] == "pass"
    assert {check["outcome"] for check in verified["checks"]} == {"pass", "skipped"}
    operator(page, "status", FILE).ok()
    again = operator(page, "apply", FILE, "--yes", "--json").ok().json
    assert [host["host"] for host in again["hosts"] if host["steps"]] == [], again
    operator(page, "teardown", FILE, "--yes").ok()
    assert state(page) == before


def test_the_running_program_has_the_two_capabilities_and_no_way_to_more(page: Lab) -> None:
    command = [*AS_OPERATOR, "sudo", "-n", LIMITED, "watch", FILE, "--json"]
    with page.spawn("director", command) as watching:
        watching.expect('"web1"', 60)
        mine = "tr '\\0' ' ' <$p/cmdline | grep -q '^/[^-]*/python[0-9.]* .*watch '"
        find = f"for p in /proc/[0-9]*; do {mine} && cat $p/status; done"
        told = dict(re.findall(r"^(\w+):\s+(.*)$", page.run("director", find).stdout, re.MULTILINE))
    owner = page.run("director", "id -u dsrwizard").ok().stdout.strip()
    assert told["Uid"].split() == [owner] * 4
    assert told["NoNewPrivs"] == "1"
    for held in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd"):
        assert int(told[held], 16) == NET_ADMIN_AND_RAW, held


@pytest.mark.parametrize(
    ("held", "missing", "unseen"),
    [
        ("-all,+net_raw", "CAP_NET_ADMIN", {"director.ipvs"}),
        ("-all,+net_admin", "CAP_NET_RAW", {"arp.audit", "vip.probe"}),
    ],
)
def test_a_missing_capability_is_named_and_what_needs_it_is_unknown(
    page: Lab, held: str, missing: str, unseen: set[str]
) -> None:
    planned = with_capabilities(page, held, "plan", FILE, "--json")
    (director,) = [host for host in planned.json["hosts"] if host["host"] == "director"]
    assert (planned.status, director["steps"]) == (3, [])
    assert "needs root, or CAP_NET_ADMIN and CAP_NET_RAW" in director["problem"]
    checks = with_capabilities(page, held, "verify", FILE, "--json").json["checks"]
    blind = [check for check in checks if check["outcome"] == "unknown" and missing in json.dumps(check)]
    assert unseen <= {check["check"] for check in blind}
    assert all(missing in check["fix"] for check in blind)


def test_the_key_works_from_the_director_alone_and_another_sudo_rule_is_not_enough(page: Lab) -> None:
    page.run("web1", "sed -i s/10.0.0.2/10.0.0.200/ /home/dsrwizard/.ssh/authorized_keys").ok()
    page.run("web2", "sed -i s,/bin/sh,/usr/bin/id, /etc/sudoers.d/dsrwizard").ok()
    planned = {host["host"]: host for host in operator(page, "plan", FILE, "--json").json["hosts"]}
    assert "login as dsrwizard at 10.0.0.101 was refused" in planned["web1"]["problem"]
    assert "in sudoers: `dsrwizard ALL=(root) NOPASSWD: /bin/sh`" in planned["web2"]["problem"]
    assert planned["web3"]["problem"] == ""
