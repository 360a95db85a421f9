"""`dsrwizard adopt`: a farm that exists already becomes a deployment file, and nothing is changed on any host."""

from __future__ import annotations

import copy
import os
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.cli import adopting as command
from dsrwizard.core.intake import adopt as adopting
from dsrwizard.core.intake.deployment_file import load, loads
from dsrwizard.core.model.changes import (
    DestinationChange,
    DestinationState,
    ServiceChange,
    ServiceKey,
    ServiceState,
)
from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.facts import DirectorFacts
from tests.fakes.host import Link
from tests.unit.test_cli import Shell
from tests.unit.test_cli import shell as shell  # noqa: PLC0414 - a fixture
from tests.unit.test_importers_balancers import KEEPALIVED, SAVED

VIP = "10.0.0.10"


@pytest.fixture(autouse=True)
def hosts(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of /etc/hosts; this machine's own says nothing of the farm."""
    lines: list[str] = []
    monkeypatch.setattr(command, "_hosts", lambda: "\n".join(lines))
    return lines


def service(
    shell: Shell, port: int, *behind: tuple[str, int, DestinationState], protocol: Any = "tcp", **state: Any
) -> None:
    """Somebody's `ipvsadm -A` and `-a`."""
    key = ServiceKey(VIP, protocol, port)
    shell.world.ipvs.service(ServiceChange(service=key, old=None, new=ServiceState(**{"scheduler": "rr"} | state)))
    for address, its_port, new in behind:
        shell.world.ipvs.destination(DestinationChange(service=key, address=address, port=its_port, old=None, new=new))


def farm(shell: Shell) -> None:
    """A farm made by hand: two services, three servers by direct routing, VIP on lo and guards."""
    told: list[tuple[int, dict[str, Any]]] = [
        (80, {"scheduler": "wrr", "persistence": 120}),
        (443, {"scheduler": "sh"}),
    ]
    for port, how in told:
        service(
            shell, port, *((f"10.0.0.10{n}", port, DestinationState(weight=n, method="dr")) for n in (1, 2, 3)), **how
        )
    shell.world.machine.links["eth0"].addresses[VIP] = 32
    for state in shell.world.servers.values():
        state.machine.links["lo"].addresses[VIP] = 32


def test_a_live_farm_becomes_a_deployment_that_verify_takes(shell: Shell, tmp_path: Path) -> None:
    assert shell("apply", str(shell.file), "--yes") == 0
    done = len(shell.world.done)
    before = copy.deepcopy([shell.world.machine.links, *(one.machine.links for one in shell.world.servers.values())])
    out = tmp_path / "found.toml"
    assert shell("adopt", "-o", str(out)) == 0
    assert "shop: 1 VIP, 1 service, 3 real servers from this director's IPVS. No host was changed." in shell.out
    assert "dsrwizard set this farm up itself, as shop." in shell.out
    assert f"Next: dsrwizard verify {out}" in shell.out
    assert len(shell.world.done) == done
    assert before == [shell.world.machine.links, *(one.machine.links for one in shell.world.servers.values())]
    assert shell("verify", str(out)) == 0, shell.out
    assert "Verdict: pass" in shell.out
    assert shell("status", str(out)) == 0
    assert [(one.name, one.address, one.connect) for one in load(out).servers] == [
        (f"web{n}", f"10.0.0.10{n}", "ssh") for n in (1, 2, 3)
    ]


def test_services_weights_and_where_the_vip_is_are_those_that_are_there(shell: Shell, hosts: list[str]) -> None:
    farm(shell)
    machine = shell.world.servers["web2"].machine
    machine.links["dummy7"] = Link("02:00:0a:00:00:99", kind="dummy", addresses={VIP: 32})
    del machine.links["lo"].addresses[VIP]
    del shell.world.servers["web3"].machine.links["lo"].addresses[VIP]
    hosts += ["10.0.0.103 web3 c", "10.0.0.101 web1", "10.0.0.102 web2"]
    assert shell("adopt") == 0
    found = loads(shell.out)
    assert found.director.interface == "eth0"
    assert found.vips[0].services == (
        Service(port=80, scheduler="wrr", persistence=120),
        Service(port=443, scheduler="sh"),
    )
    assert [(one.name, one.weight, one.vip_interface) for one in found.servers] == [
        ("web1", 1, "lo"), ("web2", 2, "dummy7"), ("web3", 3, "lo"),
    ]  # fmt: skip
    assert f"# {VIP} is on eth0 of this machine.\n" in shell.out
    assert "# The router is 10.0.0.1 on eth0.\n" in shell.out
    assert f"# web3 does not have {VIP}.\n" in shell.out


def test_what_a_deployment_cannot_say_is_a_line(shell: Shell) -> None:
    farm(shell)
    masq, tun, dr = (DestinationState(weight=1, method=method) for method in ("nat", "tun", "dr"))
    service(shell, 25, ("10.0.0.101", 25, masq))
    service(shell, 53, ("10.0.0.101", 53, dr), ("10.0.0.102", 53, tun), ("10.0.0.103", 5353, dr), protocol="udp")
    service(shell, 8080, ("10.0.0.2", 8080, dr))
    assert shell("adopt", "--json") == 0
    notes = shell.document()["notes"]
    for words in (
        "tcp/25 at 10.0.0.10, because it forwards by NAT",
        "10.0.0.102 of udp/53 at 10.0.0.10, because it is reached by a tunnel",
        "10.0.0.103 of udp/53 at 10.0.0.10, because its port is 5353",
        "10.0.0.2 of tcp/8080 at 10.0.0.10, because it is the director itself",
        "udp/53 at 10.0.0.10, because its real servers",
    ):
        assert any(words in note for note in notes), (words, notes)
    assert [one["port"] for one in shell.document()["adopted"]["vips"][0]["services"]] == [80, 443]


def test_marks_and_thresholds_of_the_kernel_are_lines() -> None:
    facts = DirectorFacts(foreign_services=("firewall mark 7",), services=())
    assert any("firewall mark 7" in note for note in adopting.live(facts, {}).notes)


def test_a_server_without_a_login_is_seen_from_the_wire(shell: Shell, tmp_path: Path) -> None:
    assert shell("apply", str(shell.file), "--yes") == 0
    shell.world.servers["web2"].key = "unknown"
    out = tmp_path / "found.toml"
    assert shell("adopt", "--output", str(out)) == 0
    assert 'web2 got connect = "manual"' in shell.out
    assert [one.connect for one in load(out).servers] == ["ssh", "manual", "ssh"]
    assert shell("verify", str(out)) == 3  # without a login some things stay unknown
    assert "answers through web2" in shell.out
    assert "  fail " not in shell.out
    assert shell("adopt", "--no-login", "--json") == 0
    assert {one["connect"] for one in shell.document()["adopted"]["servers"]} == {"manual"}


def test_a_file_is_not_overwritten_unless_told_to(shell: Shell) -> None:
    farm(shell)
    text = shell.file.read_text()
    assert shell("adopt", "-o", str(shell.file)) == 2
    assert "exists already" in shell.err
    assert "--force" in shell.err
    assert shell.file.read_text() == text
    assert shell("adopt", "-o", str(shell.file), "--force") == 0
    assert load(shell.file).name == "shop"
    assert shell("adopt", "-o", str(shell.file.parent), "--force") == 3
    assert "cannot be written" in shell.err


def test_from_a_file_with_its_includes(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "keepalived"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "keepalived.conf").write_text("include conf.d/*.conf\n")
    (folder / "conf.d" / "shop.conf").write_text(KEEPALIVED.partition("virtual_server fwmark")[0])
    out = tmp_path / "shop2.toml"
    assert shell("adopt", "--from", str(folder / "keepalived.conf"), "-o", str(out), "--no-login") == 0
    found = load(out)
    assert (found.name, found.director.interface, found.vips[0].address) == ("shop2", "bond0.12", "10.20.0.50")
    assert "sorry_server" in shell.out
    assert "keepalived sets IPVS itself as long as it runs" in shell.out
    assert "This machine has no interface" in shell.out


def test_an_include_does_not_open_files_elsewhere(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("hunter2 = 1\n")
    folder = tmp_path / "k"
    folder.mkdir()
    (folder / "link.conf").symlink_to(tmp_path / "secret")
    (folder / "k.conf").write_text(f"include {tmp_path}/secret\ninclude link.conf\n{KEEPALIVED}")
    assert shell("adopt", "--from", str(folder / "k.conf"), "--no-login") == 0
    assert shell.out.count("it is outside the folder") == 2
    assert "hunter2" not in shell.out


def test_lists_give_names_and_logins(shell: Shell, tmp_path: Path) -> None:
    farm(shell)
    inventory = tmp_path / "hosts.ini"
    inventory.write_text(
        "[web]\napp1 ansible_host=10.0.0.101 ansible_user=ops\napp2 ansible_host=10.0.0.102\n"
        "spare ansible_host=10.0.0.199\n"
    )
    assert shell("adopt", "--from", str(inventory), "--json") == 0
    document = shell.document()
    assert document["from"] == ["this director's IPVS", str(inventory)]
    assert [(one["name"], one.get("user")) for one in document["adopted"]["servers"]] == [
        ("app1", "ops"), ("app2", None), ("web3", None),
    ]  # fmt: skip
    assert any("spare, because no service of the farm sends to" in note for note in document["notes"])


def test_a_list_alone_is_no_farm(shell: Shell, tmp_path: Path) -> None:
    shell.world.unload_ipvs()
    (tmp_path / "list").write_text("web1 10.0.0.101\n")
    assert shell("adopt", "--from", str(tmp_path / "list")) == 3
    assert "--from keepalived.conf" in shell.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("frontend www\n bind 10.0.0.10:80\n", "haproxy"),
        ("virtual_server 10.0.0.10 80 {\n lb_kind NAT\n real_server 10.0.0.11 80 { weight 1 }\n}\n", "NAT"),
        ("\0\1\2", "binary"),
        ("web1 10.0.0.1\n" * 90_000, "larger than 1 MB"),
        ("", "empty"),
    ],
)
def test_a_file_that_is_not_recognised_is_refused(shell: Shell, tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "file").write_text(text)
    assert shell("adopt", "--from", str(tmp_path / "file"), "-o", str(tmp_path / "out.toml")) == 2
    assert words in shell.err
    assert not (tmp_path / "out.toml").exists()


def test_what_is_not_there_is_told(shell: Shell, tmp_path: Path) -> None:
    assert shell("adopt") == 1
    assert "nothing to adopt" in shell.err
    assert shell("adopt", "--from", str(tmp_path / "none")) == 2
    shell.world.unload_ipvs()
    assert shell("adopt") == 3
    assert "modprobe ip_vs" in shell.err


def test_the_interface_must_be_known(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "saved").write_text(SAVED.replace("10.0.0.", "10.77.0."))
    arguments = ("adopt", "--from", str(tmp_path / "saved"), "--no-login")
    assert shell(*arguments) == 2
    assert "--interface" in shell.err
    assert shell(*arguments, "--interface", "bond0") == 0
    assert loads(shell.out).director.interface == "bond0"
    assert shell(*arguments, "--interface", "no such") == 2


def test_from_a_pipe_of_the_shell(shell: Shell) -> None:
    read, write = os.pipe()
    os.write(write, SAVED.encode())
    os.close(write)
    assert shell("adopt", "--from", f"/dev/fd/{read}", "--no-login", "--json") == 0
    os.close(read)
    assert shell.document()["adopted"]["vips"][0]["address"] == "10.0.0.10"


def test_a_machine_with_an_address_of_each_family_is_one_server(shell: Shell, tmp_path: Path, hosts: list[str]) -> None:
    text = SAVED.replace("fd00::10]", "fd00::aa]").replace("fd00::101", "fd00::102")
    (tmp_path / "saved").write_text(text)
    (tmp_path / "list").write_text("app1 10.0.0.101\napp2 10.0.0.102 fd00::102\n")
    arguments = ("adopt", "--from", str(tmp_path / "saved"), "--no-login", "--json")
    assert shell(*arguments, "--from", str(tmp_path / "list")) == 0
    given = [(one["name"], one["address"], one.get("address6")) for one in shell.document()["adopted"]["servers"]]
    assert given == [("app1", "10.0.0.101", None), ("app2", "10.0.0.102", "fd00::102")]
    (tmp_path / "inventory").write_text("[web]\napp1.example.com ansible_user=ops\n")
    hosts.append("10.0.0.101 app1.example.com app1")
    assert shell(*arguments, "--from", str(tmp_path / "inventory")) == 0
    assert shell.document()["adopted"]["servers"][0]["user"] == "ops"


ALOHA = """\
director shop_80 10.0.0.10:80 TCP
   balance {0}
   mode gateway
   option tcpcheck
   server web1 10.0.0.101:80 weight 1 check
   server web2 10.0.0.102:80 weight 2 check
"""


@pytest.mark.parametrize(("balance", "engine"), [("leastconn", "aloha"), ("dest", "external")])
def test_the_text_of_an_aloha_names_it_where_a_deployment_can_say_the_same(
    shell: Shell, tmp_path: Path, balance: str, engine: str
) -> None:
    """`dest` does not heed the weights that are written beside it."""
    text, out = tmp_path / "lb-layer4.txt", tmp_path / "found.toml"
    text.write_text(ALOHA.format(balance))
    assert shell("adopt", "--from", str(text), "--interface", "eth0", "--no-login", "-o", str(out)) == 0
    found = load(out)
    assert found.director.engine == engine
    assert [(one.name, one.weight) for one in found.servers] == [("web1", 1), ("web2", 2)]
