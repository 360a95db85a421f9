"""The whole product on a real kernel: apply, requests, verify, apply again, teardown; and hosts that fail alone."""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator

import pytest

from backends.lab.guest import wizard_command
from tests.lab.harness import ANSWER_SECONDS, OPS_USER, PATIENCE, SERVERS, VIP, VIP6, Lab
from tests.lab.terminal import QUIT, SECONDS, Terminal

pytestmark = pytest.mark.lab

DUMP = (
    "ip -o addr show | grep -v fe80: | sed 's/valid_lft.*//'; ip -o link | grep -o 'dsr[^:]*'; "
    "sysctl -a 2>/dev/null | grep -E "
    "'arp_ignore|arp_announce|rp_filter|send_redirects|vs\\.expire|ip_forward'; "
    "find /etc/sysctl.d /etc/network /etc/systemd -type f -o -type l | sort | xargs sha256sum 2>/dev/null; "
    "ls -A /etc/network/interfaces.d"
)
"""What a teardown must restore, as one text: addresses, interfaces, settings, files byte for byte."""


def state(lab: Lab) -> dict[str, str]:
    """The director with its IPVS table, and every server."""
    texts = {host: lab.run(host, DUMP).ok().stdout for host in ("director", *SERVERS)}
    texts["ipvs"] = lab.run("director", "ipvsadm -Sn").ok().stdout
    return texts


def deployment(*, vips: str = "", servers: str = "", name: str = "shop", client: bool = True) -> str:
    """A deployment file of the lab; `servers` replaces the usual three."""
    usual = "".join(
        f'[[servers]]\nname = "{server}"\naddress = "10.0.0.{100 + number}"\naddress6 = "fd00:10::{100 + number}"\n'
        for number, server in enumerate(SERVERS, 1)
    )
    vips = vips or f'[[vips]]\naddress = "{VIP}"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
    client_part = '[client]\naddress = "203.0.113.10"\n' if client else ""
    return f'name = "{name}"\n[director]\ninterface = "eth0"\n{vips}{servers or usual}{client_part}'


def write(lab: Lab, text: str, path: str = "/root/shop.toml") -> str:
    lab.put(path, text)
    return path


def signal_sshd(name: str) -> str:
    """A command that sends a signal to every sshd of the host it runs on: the one that listens and its sessions."""
    here = '[ "$(cat $p/comm)" = sshd ] && [ "$(readlink $p/ns/net)" = "$(readlink /proc/self/ns/net)" ]'
    return f"for p in /proc/[0-9]*; do if {here}; then kill -{name} ${{p#/proc/}}; fi; done 2>/dev/null; true"


def answers(lab: Lab, url: str, count: int) -> list[str]:
    """Fresh connections from the client: who answered each."""
    said = (
        lab.run("client", f"for i in $(seq {count}); do curl -s -g -m {ANSWER_SECONDS} {url} || echo none; done")
        .ok()
        .stdout
    )
    return said.split()


@pytest.fixture
def clean(lab: Lab) -> Iterator[Lab]:
    """A lab whose hosts know each other and hold nothing of a deployment; checked after the test."""
    lab.know_hosts()
    lab.run("director", "modprobe ip_vs").ok()  # loading it brings settings that stay
    before = state(lab)
    yield lab
    after = state(lab)
    for host, text in before.items():
        assert after[host].splitlines() == text.splitlines(), host


def test_apply_serves_verify_proves_second_apply_rests_teardown_restores(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment())
    lab.dsrwizard("apply", file, "--yes").ok()
    assert sorted(answers(lab, f"http://{VIP}/", 6)) == ["web1", "web1", "web2", "web2", "web3", "web3"]
    # The kernel brings its counters up to date every two seconds (net/netfilter/ipvs/ip_vs_est.c).
    counted = "[ $(ipvsadm -Ln --stats --exact | awk '/^TCP/{print $4}') -gt 0 ]"
    lab.wait("director", counted)
    stats = lab.run("director", "ipvsadm -Ln --stats --exact").ok().stdout
    row = next(line.split() for line in stats.splitlines() if line.startswith("TCP"))
    assert (row[4], row[6]) == ("0", "0"), "the director saw replies"

    report = lab.dsrwizard("verify", file, "--json")
    assert report.json["verdict"] == "pass", report.stdout
    assert report.status == 0
    seen = {check["check"]: check for check in report.json["checks"] if check["host"] == "client"}
    assert (seen["client.servers"]["outcome"], seen["client.bypass"]["outcome"]) == ("pass", "pass"), seen
    assert all(f"{server} " in seen["client.servers"]["evidence"] for server in SERVERS), seen
    assert "TTL 63, the director's own answer to ping with 63" in seen["client.bypass"]["evidence"], seen
    assert report.json["bypass"]["reply_bytes"] > report.json["bypass"]["request_bytes"] > 0

    applied = state(lab)
    again = lab.dsrwizard("apply", file, "--yes", "--json").ok()
    assert again.json["changed"] == 0
    assert state(lab) == applied

    plan = lab.dsrwizard("plan", file, "--json").ok().json
    assert plan["changes"] == 0
    now = lab.dsrwizard("status", file, "--json").ok().json
    assert {row["state"] for service in now["services"] for row in service["rows"]} == {"up"}

    still = 'a=$(ipvsadm -Ln --stats --exact); sleep 2.5; [ "$a" = "$(ipvsadm -Ln --stats --exact)" ]'
    lab.wait("director", still)
    metrics = scraped(lab, file)
    assert metrics["dsrwizard_ipvs_up"] == 1
    labels = f'vip="{VIP}",port="80",protocol="tcp"'
    stats = lab.run("director", "ipvsadm -Ln --stats --exact").ok().stdout
    row = next(line.split() for line in stats.splitlines() if line.startswith("TCP"))
    counters = dict(zip(("connections", "incoming_packets", "outgoing_packets"), row[2:5], strict=True))
    for name, value in counters.items():
        assert metrics[f"dsrwizard_ipvs_{name}_total{{{labels}}}"] == float(value), "as ipvsadm counts"
    assert {metrics[f'dsrwizard_ipvs_backend_weight{{{labels},server="{server}"}}'] for server in SERVERS} == {1}
    kept = lab.dsrwizard("events", file, "--json").ok().json["events"]
    assert {event["host"] for event in kept if event["message"].startswith("apply")} >= set(SERVERS)
    assert [event["message"] for event in kept if "watch" in event["message"]] == ["A watch began.", "A watch ended."]
    lab.dsrwizard("teardown", file, "--yes").ok()


def scraped(lab: Lab, file: str) -> dict[str, float]:
    """One scrape of `dsrwizard metrics`, which is stopped afterwards and ends well."""
    text = (
        lab.run(
            "director",
            f"{shlex.join(wizard_command('metrics', file))} 2>/dev/null & "
            "until curl -s 127.0.0.1:9749/metrics | grep '^dsrwizard_ipvs_up 1' >/dev/null; do "
            f"[ $SECONDS -le {PATIENCE} ] || exit 1; sleep 0.5; done; "
            "curl -s --compressed 127.0.0.1:9749/metrics; kill -TERM $! && wait $!",
            timeout=2 * PATIENCE,
        )
        .ok()
        .stdout
    )
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_ipv6_vip_udp_service_and_two_vips_on_the_same_servers(clean: Lab) -> None:
    lab = clean
    vips = (
        f'[[vips]]\naddress = "{VIP}"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
        '[[vips.services]]\nprotocol = "udp"\nport = 7\nscheduler = "rr"\npayload = "hello"\n'
        '[[vips]]\naddress = "10.0.0.11"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
        f'[[vips]]\naddress = "{VIP6}"\n[[vips.services]]\nport = 80\nscheduler = "rr"\n'
    )
    file = write(lab, deployment(vips=vips))
    lab.dsrwizard("apply", file, "--yes").ok()
    for url in (f"http://{VIP}/", "http://10.0.0.11/", f"http://[{VIP6}]/"):
        assert set(answers(lab, url, 6)) == set(SERVERS), url
    report = lab.dsrwizard("verify", file, "--json")
    assert report.json["verdict"] == "pass", report.stdout
    assert lab.dsrwizard("apply", file, "--yes", "--json").ok().json["changed"] == 0
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_unreachable_changed_key_and_wrong_password_stay_with_their_server(clean: Lab) -> None:
    lab = clean
    servers = (
        '[[servers]]\nname = "web1"\naddress = "10.0.0.101"\n'
        '[[servers]]\nname = "web2"\naddress = "10.0.0.102"\n'
        '[[servers]]\nname = "web3"\naddress = "10.0.0.103"\nuser = "nobody-here"\n'
        '[[servers]]\nname = "web4"\naddress = "10.0.0.104"\n'
    )
    file = write(lab, deployment(servers=servers, client=False))
    another = "$(grep -o 'ssh-ed25519 .*' ~/.ssh/known_hosts | tail -1)"
    lab.run("director", f'sed -i "s#^\\(10.0.0.102,[^ ]*\\) .*#\\1 {another}#" ~/.ssh/known_hosts').ok()
    result = lab.dsrwizard("apply", file, "--yes", "--json")
    assert result.status == 1
    kinds = {host["host"]: (host["failure"] or {}).get("kind") for host in result.json["hosts"]}
    outcomes = {host["host"]: host["outcome"] for host in result.json["hosts"]}
    assert outcomes["web1"] == "changed"
    assert [outcomes[name] for name in ("web2", "web3", "web4")] == ["failed"] * 3
    texts = {host["host"]: str(host["failure"]) for host in result.json["hosts"]}
    assert kinds == {"director": None, "web1": None, "web2": "key-changed", "web3": "login", "web4": "timeout"}, texts
    assert "-R 10.0.0.102" in texts["web2"]
    assert "nobody-here" in texts["web3"]
    assert "10.0.0.104" in texts["web4"]
    assert set(answers(lab, f"http://{VIP}/", 3)) == {"web1"}
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_a_wrong_password_is_reported_on_its_server_and_shown_nowhere(clean: Lab) -> None:
    lab = clean
    servers = (
        '[[servers]]\nname = "web1"\naddress = "10.0.0.101"\n'
        f'[[servers]]\nname = "web3"\naddress = "10.0.0.103"\nuser = "{OPS_USER}"\nidentity_file = "/dev/null"\n'
    )
    file = write(lab, deployment(servers=servers, client=False))
    canary = (
        f"Wr0ng-{secrets.token_hex(8)}"  # /tmp, which is searched for it, may hold this file and logs of earlier runs
    )
    with Terminal(lab, ["dsrwizard", "apply", file, "--yes"], rows=60, cols=160) as apply:
        for _ in range(3):
            asked = apply.process.stdout.count("assword")
            apply.process.wait_for(lambda asked=asked: apply.process.stdout.count("assword") > asked, 60)  # type: ignore[misc]
            apply.press(canary, "\r")
        assert apply.process.wait(120).status == 1
        shown = apply.process.stdout
    assert "sudo refused the password of ops" in shown, shown
    assert set(answers(lab, f"http://{VIP}/", 3)) == {"web1"}
    assert canary not in shown
    assert lab.run("director", f"grep -r {canary} ~ /var/log /tmp 2>/dev/null").stdout == ""
    assert lab.run("web3", f"grep -r {canary} /var/log /tmp 2>/dev/null").stdout == ""
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_vip_on_a_dummy_interface_and_the_external_engine(clean: Lab) -> None:
    lab = clean
    servers = '[[servers]]\nname = "web1"\naddress = "10.0.0.101"\nvip_interface = "dsr0"\n'
    text = deployment(servers=servers, client=False).replace(
        'interface = "eth0"', 'interface = "eth0"\nengine = "external"'
    )
    file = write(lab, text)
    lab.dsrwizard("apply", file, "--yes").ok()
    dummies = lab.run("web1", "ip -4 -o addr; ip link show type dummy; ls /etc/network/interfaces.d").ok().stdout
    assert f"dsr0    inet {VIP}/32" in dummies, dummies
    assert VIP not in lab.run("director", "ip -4 -o addr").ok().stdout
    assert lab.run("director", "ipvsadm -Sn").ok().stdout == ""
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_what_others_made_stays(clean: Lab) -> None:
    lab = clean
    lab.run("director", "ipvsadm -A -t 10.0.0.77:25 -s wrr && ipvsadm -a -t 10.0.0.77:25 -r 10.0.0.101:25 -g -w 7").ok()
    lab.run("web2", "ip addr add 10.9.9.9/32 dev lo && sysctl -qw net.ipv4.conf.all.arp_announce=2").ok()
    foreign = lab.run("director", "ipvsadm -Sn").ok().stdout
    file = write(lab, deployment())
    lab.dsrwizard("apply", file, "--yes").ok()
    lab.dsrwizard("teardown", file, "--yes").ok()
    assert lab.run("director", "ipvsadm -Sn").ok().stdout == foreign
    web2 = lab.run("web2", "ip -o addr show dev lo; sysctl net.ipv4.conf.all.arp_announce").ok().stdout
    assert "10.9.9.9/32" in web2
    assert "arp_announce = 2" in web2
    lab.run("director", "ipvsadm -D -t 10.0.0.77:25").ok()
    lab.run("web2", "ip addr del 10.9.9.9/32 dev lo; sysctl -qw net.ipv4.conf.all.arp_announce=0").ok()
    guard = "sysctl -qw net.ipv4.conf.all.arp_ignore=0; rm -f /etc/sysctl.d/zzz-dsrwizard.conf"
    lab.run("web2", guard).ok()  # it stayed for the other address, as it should


def test_a_missing_module_is_loaded_by_the_plan(clean: Lab) -> None:
    lab = clean
    lab.run("director", "ipvsadm -C; rmmod $(lsmod | grep -o '^ip_vs_[a-z]*') ip_vs").ok()
    assert "ip_vs" not in lab.run("director", "lsmod").ok().stdout
    file = write(lab, deployment())
    plan = lab.dsrwizard("plan", file, "--json").ok().json
    director = next(host for host in plan["hosts"] if host["host"] == "director")
    assert director["steps"][0]["commands"] == ["modprobe ip_vs"]
    lab.dsrwizard("apply", file, "--yes").ok()
    assert set(answers(lab, f"http://{VIP}/", 3)) == set(SERVERS)
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_an_sshd_that_dies_after_the_plan_was_shown_and_the_live_pane_of_a_file(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    with Terminal(lab, ["dsrwizard", "apply", file], rows=60, cols=160) as apply:
        apply.process.expect("Continue?", SECONDS)
        lab.run("web2", signal_sshd("KILL")).ok()
        apply.press("y\r")
        assert apply.process.wait(SECONDS).status == 1
        said = apply.process.stdout
    assert " web2: 10.0.0.102 refused the connection." in " ".join(said.split()), said
    assert set(answers(lab, f"http://{VIP}/", 4)) == {"web1", "web3"}
    assert f" {VIP}/" not in lab.run("web2", "ip -4 -o addr").ok().stdout
    with Terminal(lab, ["dsrwizard", "watch", file]) as pane:
        pane.expect("2/3 up")
        pane.press(QUIT)
        assert pane.process.wait(SECONDS).status == 0
    lab.start_sshd("web2")
    lab.dsrwizard("teardown", file, "--yes").ok()


def test_ctrl_c_finishes_what_runs_begins_nothing_new_and_teardown_takes_it_all_back(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    with Terminal(lab, ["dsrwizard", "apply", file], rows=60, cols=160) as apply:
        apply.process.expect("Continue?", SECONDS)
        begun = "until ls /run/dsrwizard/run.*/s1c1 >/dev/null 2>&1; do sleep 0.01; done"
        paused = signal_sshd("STOP").replace("kill -STOP", "echo -n ' '")
        at_work = lab.spawn("web3", f"all=$({paused}); echo ready; {begun}; kill -STOP $all")
        at_work.expect("ready", SECONDS)
        apply.press("y\r")  # and web3 keeps the run waiting
        at_work.wait(SECONDS).ok()
        apply.process.expect("weight 10.0.0.10 tcp/80 web1", SECONDS)
        apply.press("\x03")
        apply.process.expect("Stopping: running commands finish", SECONDS)
        lab.run("web3", signal_sshd("CONT")).ok()
        assert apply.process.wait(SECONDS).status == 3
        said = " ".join(apply.process.stdout.split())
    assert "Stopped before everything was done." in said
    assert f" {VIP}/32" in lab.run("web3", "ip -4 -o addr").ok().stdout, "what ran was cut off"
    assert "web3" not in answers(lab, f"http://{VIP}/", 6)
    lab.dsrwizard("teardown", file, "--yes").ok()
