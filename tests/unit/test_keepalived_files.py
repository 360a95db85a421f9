"""keepalived's files for a deployment: a real keepalived takes them, and our own checks find what it lets pass."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from dsrwizard.core.dialects.keepalived import checks, writer
from dsrwizard.core.dialects.keepalived.putting import script
from dsrwizard.core.dialects.keepalived.reading import parse, read
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.changes import KeepalivedChange
from dsrwizard.core.model.deployment import Deployment, Vrrp
from dsrwizard.core.model.guarding import DestinationPlace
from dsrwizard.core.model.keepalived import KEEPALIVED_CONF, services_file, vrrp_file

FILE = """
name = "shop"
[director]
interface = "lo0"
engine = "keepalived"
address = "10.0.0.2"
guard = {guard}
[[director.peers]]
name = "lb2"
address = "10.0.0.3"
[[vips]]
address = "10.0.0.10"
[[vips.services]]
port = 80
[[vips.services]]
port = 443
scheduler = "{scheduler}"
persistence = {persistence}
[[vips]]
address = "fd00::10"
[[vips.services]]
protocol = "udp"
port = 53
scheduler = "rr"
[[servers]]
name = "web1"
address = "10.0.0.101"
address6 = "fd00::101"
weight = 3
[[servers]]
name = "web2"
address = "10.0.0.102"
vips = ["10.0.0.10"]
"""
PREFERRED = writer.Side("10.0.0.2", "eth0", "10.0.0.3")
STANDBY = writer.Side("10.0.0.3", "eth0", "10.0.0.2", preferred=False)


def shop(*, guard: bool = True, scheduler: str = "mh", persistence: int = 0) -> Deployment:
    text = FILE.format(guard=str(guard).lower(), scheduler=scheduler, persistence=persistence)
    return loads(text.replace("lo0", "eth0"))


def texts(deployment: Deployment, side: writer.Side = PREFERRED, main: str | None = None) -> dict[str, str]:
    return {
        KEEPALIVED_CONF: writer.main_text(deployment, side) if main is None else writer.with_include(main),
        vrrp_file(deployment.name): writer.vrrp_text(deployment, side),
        services_file(deployment.name): writer.services_text(deployment, guarded=deployment.director.guard),
    }


class Said(NamedTuple):
    status: int
    text: str


def asked(tmp_path: Path, files: Mapping[str, str]) -> Said:
    """What a real `keepalived -t` says of these files, with an interface that this machine has."""
    program = shutil.which("keepalived", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert program is not None, "make packages installs keepalived"
    card = next(one for one in sorted(Path("/sys/class/net").iterdir()) if one.name != "lo").name
    log = tmp_path / "check.log"
    for path, text in files.items():
        here = tmp_path / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        moved = text.replace("eth0", card).replace("/etc/keepalived", str(tmp_path / "etc/keepalived"))
        here.write_text(moved.replace(writer.CHECK_LOG, str(log)))
    done = subprocess.run(
        [program, "-t", "-f", str(tmp_path / KEEPALIVED_CONF.lstrip("/"))],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return Said(done.returncode, done.stdout + done.stderr)


@pytest.mark.parametrize("side", [PREFERRED, STANDBY, writer.Side("10.0.0.2", "eth0")])
@pytest.mark.parametrize("guard", [True, False])
@pytest.mark.parametrize(("scheduler", "persistence"), [("mh", 0), ("wlc", 0), ("sh", 300)])
def test_keepalived_takes_what_is_written(
    tmp_path: Path, side: writer.Side, guard: bool, scheduler: str, persistence: int
) -> None:
    deployment = shop(guard=guard, scheduler=scheduler, persistence=persistence)
    files = texts(deployment, side)
    said = asked(tmp_path, files)
    assert (said.status, said.text) == (0, "")
    assert checks.judged(deployment, side, files) == checks.FilesJudged()


def test_each_director_has_its_own_part_in_vrrp() -> None:
    deployment = shop()
    first, second = writer.vrrp_text(deployment, PREFERRED), writer.vrrp_text(deployment, STANDBY)
    assert "priority 150" in first
    assert "priority 100" in second
    assert "preempt_delay 60" in first
    for text, own, other in ((first, "10.0.0.2", "10.0.0.3"), (second, "10.0.0.3", "10.0.0.2")):
        (block,) = (one for one in parse(text, "x") if one.words[0] == "vrrp_instance")
        assert block.value("state") == "BACKUP"
        assert block.value("unicast_src_ip") == own
        assert [line.words for line in next(block.named("unicast_peer")).inner] == [(other,)]
        assert "10.0.0.10/32 dev eth0" in text
        assert "fd00::10/128 dev eth0" in text
        assert "vrrp_strict" not in text


@pytest.mark.parametrize(("given", "waits"), [(0, 5), (3, 5), (5, 5), (60, 60)])
def test_the_preferred_director_listens_no_longer_than_it_waits(given: int, waits: int) -> None:
    """An advert that keepalived ignores while it listens makes it wait longer still."""
    director = msgspec.structs.replace(shop().director, vrrp=Vrrp(preempt_delay=given))
    deployment = msgspec.structs.replace(shop(), director=director)
    assert f"preempt_delay {waits}\n" in writer.vrrp_text(deployment, PREFERRED)
    assert "vrrp_startup_delay 5\n" in writer.main_text(deployment, PREFERRED)


def test_a_director_alone_listens_to_nobody_before_it_serves() -> None:
    lone = writer.Side("10.0.0.2", "eth0")
    assert "vrrp_startup_delay" not in writer.main_text(shop(), lone)
    assert "preempt_delay" not in writer.vrrp_text(shop(), lone)


def test_keepalived_asks_nobody_for_its_own_name() -> None:
    assert "    router_id dsrwizard-shop\n" in writer.main_text(shop(), PREFERRED)


def test_a_destination_has_weight_checks_and_the_guards_file() -> None:
    blocks = parse(writer.services_text(shop(), guarded=True), "x")
    first = next(block for block in blocks if block.words[0] == "virtual_server")
    assert first.words == ("virtual_server", "10.0.0.10", "80")
    assert (first.value("lvs_sched"), first.value("lvs_method"), first.value("protocol")) == ("mh", "DR", "TCP")
    assert list(first.named("mh-port"))
    web1, web2 = first.named("real_server")
    assert (web1.words[1], web1.value("weight"), web2.words[1]) == ("10.0.0.101", "3", "10.0.0.102")
    assert list(web1.named("inhibit_on_failure"))
    assert [block.words[0] for block in web1.inner if block.inner] == ["TCP_CHECK", "FILE_CHECK"]
    files = [block for block in blocks if block.words[0] == "track_file"]
    assert files[0].value("file") == "/run/dsrwizard/health/shop/web1-tcp-80-10.0.0.10"
    assert all(block.value("init_file") == "1" for block in files)
    udp = next(block for block in blocks if block.words[1:3] == ("fd00::10", "53"))
    assert [block.words[0] for block in next(udp.named("real_server")).inner if block.inner] == ["FILE_CHECK"]


def test_what_is_not_proved_or_leaves_gets_no_clients() -> None:
    deployment = shop(guard=False)
    before = writer.services_text(deployment)
    fewer = msgspec.structs.replace(deployment, servers=deployment.servers[:1], vips=deployment.vips[:1])
    gone = checks.leaving_from(before, fewer)
    assert {(one.vip, one.port, one.rip) for one in gone} == {
        ("10.0.0.10", 80, "10.0.0.102"), ("10.0.0.10", 443, "10.0.0.102"), ("fd00::10", 53, "fd00::101"),
    }  # fmt: skip
    held = [DestinationPlace("10.0.0.10", "tcp/80", "web1")]
    weights = {
        (block.words[1], block.words[2], real.words[1]): real.value("weight")
        for block in parse(writer.services_text(fewer, held, gone), "x") if block.words[0] == "virtual_server"
        for real in block.named("real_server")
    }  # fmt: skip
    assert weights == {
        ("10.0.0.10", "80", "10.0.0.101"): "0", ("10.0.0.10", "80", "10.0.0.102"): "0",
        ("10.0.0.10", "443", "10.0.0.101"): "3", ("10.0.0.10", "443", "10.0.0.102"): "0",
        ("fd00::10", "53", "fd00::101"): "0",
    }  # fmt: skip
    assert not checks.leaving_from(before, deployment)


OPERATORS = """\
! ours since 2019
global_defs { router_id lb1 }
vrrp_instance VI_7
{
    interface eth0
    virtual_router_id 7   # theirs
    virtual_ipaddress { 10.0.0.77/24 }
}
include conf.d/*.conf
"""
THEIRS = """\
virtual_server 10.0.0.77 25 {
    lvs_sched rr
    lvs_method NAT
    protocol TCP
    real_server 10.0.0.55 25 { weight 1 }
}
"""


def test_an_operators_file_keeps_all_it_has_and_gets_one_line(tmp_path: Path) -> None:
    deployment = shop()
    files = texts(deployment, main=OPERATORS) | {"/etc/keepalived/conf.d/mail.conf": THEIRS}
    assert files[KEEPALIVED_CONF].startswith(OPERATORS)
    assert writer.without_include(files[KEEPALIVED_CONF]) == OPERATORS
    found = checks.judged(deployment, PREFERRED, files)
    assert found.problems == ()
    assert any("reload_check_config" in note and "Add it there" in note for note in found.notes)
    assert any("vrrp_startup_delay" in note for note in found.notes)
    assert [block.words for block in read(files).blocks][:3] == [
        ("global_defs",), ("vrrp_instance", "VI_7"), ("virtual_server", "10.0.0.77", "25"),
    ]  # fmt: skip
    assert asked(tmp_path, files).status == 0


def problems(extra: str, files: Iterable[tuple[str, str]] = ()) -> str:
    deployment = shop()
    return " ".join(checks.judged(deployment, PREFERRED, texts(deployment, main=extra) | dict(files)).problems)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        (THEIRS.replace("10.0.0.77 25", "10.0.0.10 80"), "virtual_server 10.0.0.10 tcp/80 is there twice"),
        (THEIRS.replace("10.0.0.77 25", "fd00:0::10 53").replace("TCP", "UDP"), "fd00::10 udp/53 is there twice"),
        ("global_defs {\n vrrp_strict\n}\n", "keepalived.conf, line 2: vrrp_strict"),
        (OPERATORS.replace("10.0.0.77/24", "10.0.0.10/32"), "VI_7 has the VIP 10.0.0.10/32 already"),
        (OPERATORS.replace("virtual_router_id 7", "virtual_router_id 51"), "Write another router_id"),
        ("vrrp_instance dsrwizard-shop {\n interface eth1\n}\n", "is there already"),
    ],
)
def test_what_keepalived_lets_pass_is_found(extra: str, words: str) -> None:
    assert words in problems(extra)


def test_a_service_that_is_there_twice_passes_keepalived_itself(tmp_path: Path) -> None:
    """Why this is looked for at all."""
    assert asked(tmp_path, texts(shop(), main=THEIRS.replace("10.0.0.77 25", "10.0.0.10 80"))).status == 0


def test_anything_but_direct_routing_in_our_files_is_refused() -> None:
    deployment = shop()
    files = texts(deployment)
    path = services_file("shop")
    for text, told in ((files[path].replace("lvs_method DR", "lvs_methd DR"), "none is given"),
                       (files[path].replace("lvs_method DR", "lvs_method NAT"), "the method NAT")):  # fmt: skip
        found = checks.judged(deployment, PREFERRED, files | {path: text})
        assert told in " ".join(found.problems)


def test_a_file_of_ours_that_nobody_includes_is_refused() -> None:
    deployment = shop()
    files = texts(deployment) | {KEEPALIVED_CONF: OPERATORS}
    assert "included by no file" in " ".join(checks.judged(deployment, PREFERRED, files).problems)
    del files[KEEPALIVED_CONF]
    assert "does not exist" in checks.judged(deployment, PREFERRED, files).problems[0]


def test_missing_files_and_includes_are_told() -> None:
    deployment = shop()
    files = texts(deployment, main="include /etc/keepalived/no/*.conf\ninclude /srv/lb.conf\n")
    told = " ".join(checks.judged(deployment, PREFERRED, files, ["/usr/local/bin/check"]).notes)
    assert "line 1: include /etc/keepalived/no/*.conf finds no file" in told
    assert "/srv/lb.conf is included" in told
    assert "/usr/local/bin/check, which does not exist" in told


def test_the_drop_in_takes_off_what_a_killed_keepalived_leaves() -> None:
    text = writer.drop_in_text(shop(), PREFERRED, {"net.ipv4.vs.sloppy_tcp": "1"}, guarded=True)
    assert "Restart=always\n" in text
    assert "ExecStopPost=-/usr/bin/env ip address del 10.0.0.10/32 dev eth0\n" in text
    assert "ExecStopPost=-/usr/bin/env ip address del fd00::10/128 dev eth0\n" in text
    assert "ExecStartPre=/usr/bin/env sh -c 'umask 077 && mkdir -p /run/dsrwizard/health/shop'\n" in text
    assert "sysctl -qw net.ipv4.vs.sloppy_tcp=1" in text


def carried_out(tmp_path: Path, change: KeepalivedChange) -> Said:
    """The script of a change, with the folder of this test in place of /etc/keepalived."""
    folder = tmp_path / "etc/keepalived"
    folder.mkdir(parents=True, exist_ok=True)
    text = script(change).replace("/etc/keepalived", str(folder))
    done = subprocess.run(["sh", "-s"], input=text, capture_output=True, text=True, timeout=60, check=False)
    return Said(done.returncode, done.stdout + done.stderr)


def proposed(files: Mapping[str, str], tmp_path: Path) -> KeepalivedChange:
    card = next(one for one in sorted(Path("/sys/class/net").iterdir()) if one.name != "lo").name
    folder = str(tmp_path / "etc/keepalived")
    texts = tuple((path, text.replace("eth0", card).replace("/etc/keepalived", folder)) for path, text in files.items())
    return KeepalivedChange(old="read", new="checked", files=texts)


def tree(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_are_checked_on_a_copy_and_nothing_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "etc/keepalived"
    (folder / "conf.d").mkdir(parents=True)
    (folder / "conf.d/mail.conf").write_text(THEIRS)
    (folder / "keepalived.conf").write_text(OPERATORS.replace("eth0", "lo0"))
    before = tree(folder)
    good = texts(shop(), main="include conf.d/*.conf\n")
    assert carried_out(tmp_path, proposed(good, tmp_path)) == Said(0, "")
    typo = {path: text.replace("lvs_method DR", "lvs_methd DR") for path, text in good.items()}
    said = carried_out(tmp_path, proposed(typo, tmp_path))
    assert said.status == 1
    assert "lvs_methd" in said.text
    assert "refuses the new files" in said.text
    assert tree(folder) == before


def test_keepalived_refuses_a_service_in_which_nobody_has_a_weight(tmp_path: Path) -> None:
    """Why such a file is never written."""
    deployment = shop(guard=False)
    places = [DestinationPlace(vip.address, service.label, server.name)
              for vip in deployment.vips for service in vip.services for server in deployment.servers]  # fmt: skip
    files = texts(deployment) | {services_file("shop"): writer.services_text(deployment, places)}
    assert asked(tmp_path, files).status == 5
    assert "would have a weight" in checks.judged(deployment, PREFERRED, files).problems[0]


def test_files_that_are_refused_already_would_not_be_read_again(tmp_path: Path) -> None:
    """With reload_check_config a reload is refused as a whole, and nobody but the log would say so."""
    deployment = shop()
    bad = {"/etc/keepalived/dsrwizard.d/99-other.conf": THEIRS.replace("lvs_method", "lvs_methd")}
    for path, text in (texts(deployment) | bad).items():
        here = tmp_path / path.lstrip("/")
        here.parent.mkdir(parents=True, exist_ok=True)
        moved = proposed({path: text}, tmp_path).files[0][1]
        here.write_text(moved)
    said = carried_out(tmp_path, proposed({services_file("shop"): writer.services_text(deployment)}, tmp_path))
    assert said.status == 1
    assert "mend that first" in said.text
