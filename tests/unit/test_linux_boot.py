"""What the next boot leaves of a guard and a VIP: whose file wins, what others persist by, the command that cures."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from dsrwizard.core.dialects.linux import plan as linux_plan
from dsrwizard.core.dialects.linux.boot import order, parse
from dsrwizard.core.dialects.linux.boot_lines import sets_address, sets_guard
from dsrwizard.core.dialects.linux.plan import files_of
from dsrwizard.core.model.changes import FORMER_GUARD_FILE, GUARD_FILE, FileState
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.plan.plan import plan
from tests.fakes.engine import engine_of
from tests.fakes.step_watch import MustWork
from tests.fakes.world import World
from tests.unit.diagnosed import VIP, Farm, Nobody, faults, find, only

OFF = "net.ipv4.conf.all.arp_ignore = 0\nnet.ipv4.conf.all.arp_announce = 0\n"
ON = "net.ipv4.conf.all.arp_ignore = 1\nnet.ipv4.conf.all.arp_announce = 2\n"


def written(farm: Farm, path: str, text: str, mode: int = 0o644) -> None:
    farm.server("web2").machine.files[path] = FileState(content=text, mode=mode)


def by_procps(farm: Farm) -> None:
    """web2 has no systemd: ifupdown sets the VIP, and procps the sysctl files."""
    machine = farm.server("web2").machine
    machine.persistence = "ifupdown"
    for path in [path for path in machine.files if "systemd" in path]:
        del machine.files[path]
    for step in plan(farm.deployment, farm.observed()).steps:
        if step.host == "web2":
            farm.world.open_server(farm.deployment.server("web2"), Nobody()).apply([step], MustWork())
    assert persistent(farm).outcome == "pass"


def by_hand(farm: Farm) -> None:
    """Nothing of dsrwizard's own is on web2."""
    machine = farm.server("web2").machine
    for path in files_of(farm.deployment.name):
        machine.files.pop(path, None)


def persistent(farm: Farm) -> Check:
    return find(farm.verify(), "server.persistent", "web2")


def cured(farm: Farm, fix: str, folder: Path) -> None:
    """Runs the command of a fix on the files of web2, and puts back what became of them."""
    where, _, command = fix.partition(": ")
    assert where == "On web2"
    machine = farm.server("web2").machine
    path = shlex.split(command)[-1]
    copy = folder / "copy.conf"
    copy.write_text(machine.files[path].content)
    subprocess.run(["sh", "-c", command.replace(shlex.quote(path), str(copy))], check=True)
    machine.files[path] = FileState(content=copy.read_text())


def test_a_file_99_no_longer_undoes_the_guard_because_ours_comes_after_it() -> None:
    farm = Farm()
    written(farm, "/etc/sysctl.d/99-hardening.conf", OFF)
    assert farm.verify().verdict == "pass"


def test_where_the_guards_file_has_its_former_name_the_file_that_wins_is_named_and_an_apply_cures_it() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.files[FORMER_GUARD_FILE] = machine.files.pop(GUARD_FILE)
    assert farm.verify().verdict == "pass", "a farm of an earlier version is well"
    written(farm, "/etc/sysctl.d/99-hardening.conf", OFF)
    check = only(farm.verify())
    assert (check.cause, check.host) == ("not-persistent", "web2")
    assert "/etc/sysctl.d/99-hardening.conf sets arp_ignore = 0" in check.message
    assert check.fix == "dsrwizard apply writes what is missing."
    for step in plan(farm.deployment, farm.observed()).steps:
        farm.world.open_server(farm.deployment.server("web2"), Nobody()).apply([step], MustWork())
    assert FORMER_GUARD_FILE not in machine.files
    assert GUARD_FILE in machine.files
    assert farm.verify().verdict == "pass"
    assert not plan(farm.deployment, farm.observed()).steps


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/sysctl.d/zzzz-local.conf", OFF),
        ("/run/sysctl.d/~.conf", "net/ipv4/conf/all/arp_ignore=0\n# net.ipv4.conf.all.arp_announce = 0\n"),
        ("/usr/lib/sysctl.d/zzzz.conf", "vm.swappiness = 1\n-net.ipv4.conf.all.arp_announce = 1\n"),
    ],
)
def test_a_line_that_comes_after_ours_is_named_and_the_command_makes_a_comment_of_it(
    tmp_path: Path, path: str, text: str
) -> None:
    farm = Farm()
    written(farm, path, text)
    check = only(farm.verify())
    assert (check.cause, check.host) == ("not-persistent", "web2")
    assert path in check.message
    assert GUARD_FILE in check.message
    cured(farm, check.fix, tmp_path)
    assert farm.verify().verdict == "pass"
    after = farm.server("web2").machine.files[path].content
    assert [line.removeprefix("# ") for line in after.splitlines()] == [
        line.removeprefix("# ") for line in text.splitlines()
    ]
    assert not after.startswith("# vm"), "other lines stay"


def test_a_value_of_the_interface_that_is_larger_than_ours_is_taken_out(tmp_path: Path) -> None:
    farm = Farm()
    written(farm, "/etc/sysctl.d/10-nic.conf", "net.ipv4.conf.eth0.arp_ignore = 3\nnet.ipv4.ip_forward = 1\n")
    check = only(farm.verify())
    assert "/etc/sysctl.d/10-nic.conf sets eth0.arp_ignore = 3" in check.message
    cured(farm, check.fix, tmp_path)
    assert farm.verify().verdict == "pass"


def test_sysctl_conf_is_read_last_without_systemd_and_not_at_all_with_it(tmp_path: Path) -> None:
    farm = Farm()
    written(farm, "/etc/sysctl.conf", OFF)
    assert farm.verify().verdict == "pass"
    by_procps(Farm())
    farm = Farm()
    by_procps(farm)
    written(farm, "/etc/sysctl.conf", OFF)
    check = only(farm.verify())
    assert f"/etc/sysctl.conf sets arp_ignore = 0 after {GUARD_FILE}" in check.message
    cured(farm, check.fix, tmp_path)
    assert farm.verify().verdict == "pass"


@pytest.mark.parametrize(
    "text",
    [
        "net.ipv4.conf.*.arp_ignore = 0\n",  # a pattern sets no key that a line names
        "net.ipv4.conf.default.arp_ignore = 0\n",
        "net.ipv4.conf.all.arp_ignore = 2\n",
        "net.ipv4.conf.eth7.arp_ignore = 0\n",
        "net.ipv4.conf.all.arp_ignore\n",
    ],
)
def test_lines_that_undo_nothing(text: str) -> None:
    farm = Farm()
    written(farm, "/etc/sysctl.d/zzzz.conf", text)
    assert farm.verify().verdict == "pass"


def test_a_file_of_the_same_name_in_etc_hides_the_vendors() -> None:
    paths = ["/usr/lib/sysctl.d/zzzz.conf", "/etc/sysctl.d/zzzz.conf", "/run/sysctl.d/10.conf", "/etc/sysctl.conf"]
    assert order(paths, systemd=True) == ["/run/sysctl.d/10.conf", "/etc/sysctl.d/zzzz.conf"]
    assert order(paths, systemd=False)[-1] == "/etc/sysctl.conf"
    farm = Farm()
    written(farm, "/usr/lib/sysctl.d/zzzz.conf", OFF)
    written(farm, "/etc/sysctl.d/zzzz.conf", "# nothing\n")
    assert farm.verify().verdict == "pass"


def test_debians_link_to_sysctl_conf_is_told_by_its_own_name() -> None:
    lines = ["/etc/sysctl.d/99-sysctl.conf:net.ipv4.ip_forward=1", "/etc/sysctl.conf:net.ipv4.ip_forward=1"]
    files = ["/etc/sysctl.d/99-sysctl.conf", "/etc/sysctl.conf"]
    boot = parse({"sysctl_files": files, "sysctl_lines": lines}, systemd=True)
    assert [(one.path, one.value) for one in boot.settings] == [("/etc/sysctl.conf", "1")]


def test_a_path_with_a_colon_keeps_its_lines() -> None:
    files = ["/etc/sysctl.d/a", "/etc/sysctl.d/a:b.conf", "/etc/sysctl.d/c.conf"]
    lines = ["/etc/sysctl.d/a:b.conf:net.ipv4.ip_forward=1", "/etc/sysctl.d/c.conf:# a:b", "/elsewhere:x:y", ""]
    boot = parse({"sysctl_files": files, "sysctl_lines": lines}, systemd=True)
    assert [(one.path, one.value) for one in boot.settings] == [("/etc/sysctl.d/a:b.conf", "1")]


def tuned(farm: Farm, again: str) -> None:
    written(farm, "/etc/tuned/active_profile", "mine\n")
    written(farm, "/etc/tuned/mine/tuned.conf", "[sysctl]\nnet.ipv4.conf.all.arp_ignore=0\n")
    written(farm, "/etc/tuned/other/tuned.conf", "[sysctl]\nnet.ipv4.conf.all.arp_announce=0\n")
    written(farm, "/etc/tuned/tuned-main.conf", f"reapply_sysctl = {again}\n")


def test_tuned_wins_only_where_it_does_not_read_the_files_again(tmp_path: Path) -> None:
    farm = Farm()
    tuned(farm, "1")
    assert farm.verify().verdict == "pass"
    farm = Farm()
    tuned(farm, "0")
    check = only(farm.verify())
    assert "/etc/tuned/mine/tuned.conf sets all.arp_ignore = 0" in check.message
    machine = farm.server("web2").machine
    cured(farm, check.fix, tmp_path)
    assert "# net.ipv4.conf.all.arp_ignore=0" in machine.files["/etc/tuned/mine/tuned.conf"].content
    assert farm.verify().verdict == "pass"


UNIT = "[Service]\nExecStart=/sbin/ip addr add 10.0.0.10/32 dev lo\n"
KEPT = {
    "rc.local": ("/etc/rc.local", "#!/bin/sh\nip addr add 10.0.0.10/32 dev lo\nexit 0\n", 0o755, ""),
    "ifconfig": ("/etc/rc.local", "ifconfig lo:0 10.0.0.10 netmask 255.255.255.255 up\n", 0o755, ""),
    "unit": ("/etc/systemd/system/vip.service", UNIT, 0o644, "/etc/systemd/system/multi-user.target.wants/vip.service"),
    "networkd": (
        "/etc/systemd/network/lo.network", "[Match]\nName=lo\n[Network]\nAddress=10.0.0.10/32\n", 0o644,
        "/run/systemd/netif",
    ),
    "stanza": (
        "/etc/network/interfaces", "auto lo:0\niface lo:0 inet static\n address 10.0.0.10\n netmask 255.255.255.255\n",
        0o644, "/sbin/ifup",
    ),
    "ifcfg": ("/etc/sysconfig/network-scripts/ifcfg-lo:0", "IPADDR=10.0.0.10\nNETMASK=255.255.255.255\n", 0o644, ""),
    "netplan": ("/etc/netplan/1.yaml", "network:\n  ethernets:\n    lo:\n      addresses: [10.0.0.10/32]\n", 0o600, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", KEPT)
def test_a_farm_that_persists_by_other_means_is_not_called_forgetful(name: str) -> None:
    path, text, mode, enabled = KEPT[name]
    farm = Farm()
    by_hand(farm)
    written(farm, "/etc/sysctl.d/10-lvs.conf", ON)
    written(farm, path, text, mode)
    if enabled:
        farm.server("web2").machine.files[enabled] = FileState(target="x")
    check = persistent(farm)
    assert (check.outcome, path in check.evidence) == ("pass", True), check
    assert "/etc/sysctl.d/10-lvs.conf" in check.evidence


@pytest.mark.parametrize(
    ("path", "text", "mode"),
    [
        ("/etc/rc.local", "#!/bin/sh\n/opt/lvs/realserver.sh start\n", 0o755),
        ("/etc/init.d/realserver", "VIP=10.0.0.10\necho 1 > /proc/sys/net/ipv4/conf/all/arp_ignore\n", 0o755),
        ("/etc/cron.d/lvs", "@reboot root /opt/lvs/start\n", 0o644),
        ("/etc/netplan/1.yaml", "addresses: [10.0.0.10/24]\n", 0o600),
    ],
)
def test_what_only_a_script_knows_is_unknown_and_never_lost(path: str, text: str, mode: int) -> None:
    farm = Farm()
    by_hand(farm)
    written(farm, "/etc/sysctl.d/10-lvs.conf", ON)
    written(farm, path, text, mode)
    check = persistent(farm)
    assert (check.outcome, path in check.evidence) == ("unknown", True), check


@pytest.mark.parametrize(("value", "outcome"), [(0, "unknown"), (1, "pass")])
def test_a_rule_of_udev_that_may_undo_the_guard(value: int, outcome: str) -> None:
    farm = Farm()
    rule = f'ACTION=="add", SUBSYSTEM=="net", RUN+="/sbin/sysctl -w net.ipv4.conf.all.arp_ignore={value}"\n'
    written(farm, "/etc/udev/rules.d/90-net.rules", rule)
    assert persistent(farm).outcome == outcome


def test_an_address_that_only_begins_like_the_vip_is_another() -> None:
    farm = Farm()
    by_hand(farm)
    written(farm, "/etc/sysctl.d/10-lvs.conf", ON)
    written(farm, "/etc/network/interfaces", "auto eth0\niface eth0 inet static\naddress 10.0.0.102/24\n")
    assert only(farm.verify()).cause == "not-persistent"


def test_a_vip_whose_file_nothing_reads_is_lost_and_the_command_makes_it_read(tmp_path: Path) -> None:
    farm = Farm()
    by_procps(farm)
    machine = farm.server("web2").machine
    machine.persistence = "none"
    machine.files["/etc/network/interfaces"] = FileState(content="auto lo\niface lo inet loopback\n")
    check = only(farm.verify())
    assert (check.cause, check.host) == ("not-persistent", "web2")
    assert "no source line of /etc/network/interfaces" in check.message
    where, _, command = check.fix.partition(": ")
    copy = tmp_path / "interfaces"
    copy.write_text(machine.files["/etc/network/interfaces"].content)
    subprocess.run(["sh", "-c", command.replace("/etc/network/interfaces", str(copy), 2).replace(
        f"source {copy}.d", "source /etc/network/interfaces.d")], check=True)  # fmt: skip
    assert (where, copy.read_text().splitlines()[-1]) == ("On web2", "source /etc/network/interfaces.d/*")


def test_a_farm_by_hand_without_any_file_is_lost() -> None:
    farm = Farm()
    by_hand(farm)
    written(farm, "/etc/rc.local", "#!/bin/sh\nip addr add 10.0.0.10/32 dev lo\n", 0o644)  # nothing runs it
    check = only(farm.verify())
    assert check.cause == "not-persistent"
    assert "the guard" in check.message


def test_a_later_rc_local_undoes_the_guard() -> None:
    farm = Farm()
    written(farm, "/etc/rc.local", "#!/bin/sh\necho 0 > /proc/sys/net/ipv4/conf/all/arp_ignore\n", 0o755)
    check = only(farm.verify())
    assert "/etc/rc.local sets all.arp_ignore = 0" in check.message
    assert faults(farm.verify()) == [("not-persistent", "web2")]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("sysctl -qw net.ipv4.conf.all.arp_ignore=1", [("all", 1)]),
        ("sysctl -w net/ipv4/conf/eth0/arp_ignore = 2", [("eth0", 2)]),
        ('echo "1" >/proc/sys/net/ipv4/conf/lo/arp_ignore', [("lo", 1)]),
        ("# echo 1 > /proc/sys/net/ipv4/conf/lo/arp_ignore", []),
        ("sysctl -w net.ipv4.conf.all.arp_ignore=$X", []),
        ("ExecStart=/sbin/sysctl -w net.ipv4.conf.all.arp_ignore=1", [("all", 1)]),
        ("ExecStop=/sbin/sysctl -w net.ipv4.conf.all.arp_ignore=0", []),
        ("  post-down echo 0 > /proc/sys/net/ipv4/conf/all/arp_ignore", []),
    ],
)
def test_lines_that_set_the_guard(line: str, told: list[tuple[str, int]]) -> None:
    assert sets_guard(line, "arp_ignore") == told


@pytest.mark.parametrize(
    ("path", "text", "sets"),
    [
        ("/etc/rc.local", "ip addr add 10.0.0.100/32 dev lo", False),
        ("/etc/rc.local", "ip addr add 10.0.0.10/24 dev lo", False),
        ("/etc/rc.local", "ip addr add 10.0.0.10 dev eth0", False),
        ("/etc/rc.local", "ip a a 10.0.0.10 dev dummy0", True),
        ("/etc/rc.local", "ip addr del 10.0.0.10/32 dev lo", False),
        ("/etc/network/interfaces", "iface lo:0 inet static\naddress 10.0.0.10/32", False),
        ("/etc/network/interfaces", "auto lo\niface lo inet loopback\nup ip addr add 10.0.0.10/32 dev lo", True),
        ("/etc/sysconfig/network-scripts/ifcfg-lo:0", 'IPADDR="10.0.0.10"\nNETMASK=255.255.255.255', True),
        ("/etc/sysconfig/network-scripts/ifcfg-lo:0", "IPADDR=10.0.0.10\nPREFIX=32\nONBOOT=no", False),
        ("/etc/systemd/network/a.network", "[Match]\nName=eth0\n[Network]\nAddress=10.0.0.10/32", False),
    ],
)
def test_lines_that_set_an_address(path: str, text: str, sets: bool) -> None:
    assert sets_address(path, text.split("\n"), VIP) is sets


def test_what_an_earlier_version_applied_is_taken_over_and_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World.lab(1)
    engine, deployment = engine_of(world, Nobody(), tmp_path), world.deployment()
    files = world.servers["web1"].machine.files

    def apply() -> RunResult:
        return engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)

    with monkeypatch.context() as earlier:
        earlier.setattr(linux_plan, "GUARD_FILE", FORMER_GUARD_FILE)
        earlier.setattr(linux_plan, "FORMER_GUARD_FILE", "/nowhere")
        assert apply().ok
    assert FORMER_GUARD_FILE in files
    assert apply().ok
    assert (FORMER_GUARD_FILE in files, GUARD_FILE in files) == (False, True)
    assert engine.plan(deployment, engine.observe(deployment)).empty
    assert engine.teardown(deployment, engine.teardown_plan(deployment), lambda event: None).ok
    assert (FORMER_GUARD_FILE in files, GUARD_FILE in files) == (False, False)


def test_a_file_of_the_former_name_that_others_wrote_is_left_alone() -> None:
    farm = Farm()
    written(farm, FORMER_GUARD_FILE, "# ours, not dsrwizard's\nnet.ipv4.conf.all.arp_ignore = 1\n")
    assert plan(farm.deployment, farm.observed()).empty
