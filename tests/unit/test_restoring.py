"""The director after its reboot: what is planned for it, what a boot does with the file, what verify says of it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.director import boot as look_at
from backends.director import restore as restoring
from backends.netlink import links
from backends.packets import owners
from dsrwizard import files
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.changes import (
    DestinationState,
    FileChange,
    FileState,
    SavedTableChange,
    ServiceKey,
    ServiceState,
)
from dsrwizard.core.model.errors import CommandFailed, LookError, UsageError
from dsrwizard.core.model.facts import Destination, DirectorFacts, Interface, InterfaceAddress, VirtualService
from dsrwizard.core.model.restoring import (
    FOLDER,
    DirectorBoot,
    SavedDestination,
    SavedDirector,
    SavedService,
    SavedVip,
    read,
    written,
)
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan import director_boot
from dsrwizard.core.plan.director_boot import escaped, started, unit_file, unit_link, unit_text
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World

KEY = ServiceKey("10.0.0.10", "tcp", 80)
SAVED = SavedDirector(
    version=1, deployment="shop", interface="eth0", vips=(SavedVip(address="10.0.0.10", prefix=32),),
    settings={"net.ipv4.conf.all.send_redirects": "0"},
    services=(
        SavedService(
            key=KEY, state=ServiceState(scheduler="rr"),
            destinations=(
                SavedDestination(address="10.0.0.101", port=80, state=DestinationState(weight=3)),
                SavedDestination(address="10.0.0.102", port=80, state=DestinationState(weight=0)),
            ),
        ),
    ),
    rips=("10.0.0.101", "10.0.0.102"),
)  # fmt: skip


# --- the file


def test_the_file_comes_back_as_it_was_written() -> None:
    assert read(written(SAVED), "shop") == SAVED


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\0" * 4096, "is empty"),
        (written(SAVED)[:-30], "is cut off"),
        (written(SAVED).replace(b'"weight": 3', b'"weight": "3"'), "is damaged"),
        (b"not json}", "is damaged"),
        (written(msgspec.structs.replace(SAVED, version=2)), "newer version"),
        (written(msgspec.structs.replace(SAVED, deployment="other")), "is not of this deployment"),
    ],
)
def test_what_is_wrong_with_the_file_is_told_apart(content: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as refused:
        read(content, "shop")
    assert "dsrwizard apply" in refused.value.next


# --- what a boot does with it


class Kernel:
    """This machine as `restore` sees it; `order` tells what was done, in order."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.services: dict[ServiceKey, VirtualService] = {}
        self.links = [
            Interface(
                name="eth0", mac="02:00:0a:00:00:02", up=True,
                addresses=(InterfaceAddress(address="10.0.0.2", prefix=24),),
            )
        ]  # fmt: skip
        self.answers: dict[str, tuple[str, ...]] = {}

    def service(self, key: ServiceKey) -> VirtualService | None:
        return self.services.get(key)

    def add_service(self, key: ServiceKey, state: ServiceState) -> None:
        self.order.append("service")
        self.services[key] = VirtualService(key=key, state=state)

    def add_destination(self, key: ServiceKey, address: str, port: int, state: DestinationState) -> None:
        self.order.append(f"{address} weight {state.weight}")
        found = self.services[key]
        more = (*found.destinations, Destination(address=address, port=port, state=state))
        self.services[key] = msgspec.structs.replace(found, destinations=more)

    def close(self) -> None:
        pass

    def carry_out(self, change: Any) -> None:
        kind = type(change).__name__
        self.order.append(kind)
        if kind == "AddressChange":
            entry = InterfaceAddress(address=change.address, prefix=change.prefix)
            self.links = [msgspec.structs.replace(one, addresses=(*one.addresses, entry)) for one in self.links]

    def sysctl(self, key: str) -> str | None:
        return "1"

    def owners(self, interface: str, addresses: list[str], deadline: float) -> dict[str, Owners]:
        return {one: Owners(address=one, macs=self.answers.get(one, ())) for one in addresses}


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()
    monkeypatch.setattr(restoring, "Ipvs", lambda: made)
    monkeypatch.setattr(restoring, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(restoring, "DirectorChanges", lambda *_: made)
    monkeypatch.setattr(links, "interfaces", lambda: tuple(made.links))
    monkeypatch.setattr(owners, "owners", made.owners)
    return made


@pytest.fixture
def boot(tmp_path: Path) -> Callable[[], tuple[bool, list[str]]]:
    (tmp_path / "var/lib/dsrwizard").mkdir(parents=True)
    (tmp_path / "var/lib/dsrwizard/shop.json").write_bytes(written(SAVED))
    said: list[str] = []
    return lambda: (restoring.restore("shop", said.append, tmp_path), said)


def test_a_boot_sets_the_table_before_the_vip_and_announces_it_last(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]]
) -> None:
    assert boot()[0]
    assert kernel.order == [
        "ModuleChange", "SysctlChange", "service", "10.0.0.101 weight 3", "10.0.0.102 weight 0", "AddressChange",
        "AnnounceChange",
    ]  # fmt: skip
    kernel.order.clear()
    assert boot()[0]
    assert [one for one in kernel.order if one not in ("ModuleChange", "SysctlChange")] == [], (
        "a second run adds nothing"
    )


def test_a_vip_that_another_machine_answers_for_is_left_to_it(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]]
) -> None:
    kernel.answers["10.0.0.10"] = ("02:00:0a:00:00:03",)
    done, said = boot()
    assert not done
    assert not {"AddressChange", "AnnounceChange"} & set(kernel.order)
    assert "second director" in said[-1]
    assert "02:00:0a:00:00:03" in said[-1]


def test_a_vip_that_a_router_is_told_of_is_on_lo_and_nobody_is_asked_or_told_by_arp(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]], tmp_path: Path
) -> None:
    """Other directors have it at the same time, and answer no ARP either."""
    (tmp_path / "var/lib/dsrwizard/shop.json").write_bytes(written(msgspec.structs.replace(SAVED, interface="lo")))
    kernel.links.append(Interface(name="lo", up=True, addresses=(InterfaceAddress(address="127.0.0.1", prefix=8),)))
    kernel.answers["10.0.0.10"] = ("02:00:0a:00:00:03",)
    done, said = boot()
    assert done
    assert kernel.order[-1] == "AddressChange"
    assert "AnnounceChange" not in kernel.order
    assert said[-1] == "VIP 10.0.0.10/32 on lo"


def test_a_real_server_that_answers_for_the_vip_is_no_second_director(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]]
) -> None:
    kernel.answers |= {"10.0.0.10": ("02:00:0a:00:00:65",), "10.0.0.101": ("02:00:0a:00:00:65",)}
    done, said = boot()
    assert done
    assert "AnnounceChange" in kernel.order
    assert "real server" in said[-1] or "real server" in " ".join(said)


def test_a_service_of_others_is_left_alone(kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]]) -> None:
    kernel.services[KEY] = VirtualService(key=KEY, state=ServiceState(scheduler="sh"))
    _, said = boot()
    assert kernel.services[KEY].state.scheduler == "sh"
    assert kernel.services[KEY].destinations == ()
    assert any("left unchanged" in line for line in said)


def test_a_vip_that_is_elsewhere_on_this_machine_stays_there(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]]
) -> None:
    kernel.links.append(
        Interface(name="dummy0", up=True, addresses=(InterfaceAddress(address="10.0.0.10", prefix=32),))
    )
    assert boot()[0]
    assert "AddressChange" not in kernel.order


def test_an_interface_without_an_address_of_its_own_is_waited_for_and_then_said(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel.links = [Interface(name="eth0", up=True)]
    monkeypatch.setattr(restoring, "WAIT_SECONDS", 0.0)
    with pytest.raises(LookError, match="not on eth0 yet"):
        boot()
    assert "service" in kernel.order, "the table does not wait for the network"


def test_a_vip_that_a_network_manager_takes_at_once_is_put_there_again(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[Interface] = list(kernel.links)

    def settles(_: float) -> None:
        if taken:
            kernel.links = [taken.pop()]

    monkeypatch.setattr("time.sleep", settles)
    assert boot()[0]
    assert kernel.order.count("AddressChange") == 2
    assert any(entry.address == "10.0.0.10" for link in kernel.links for entry in link.addresses)


def test_a_vip_that_is_taken_again_and_again_is_told_as_such(
    kernel: Kernel, boot: Callable[[], tuple[bool, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = list(kernel.links)
    monkeypatch.setattr("time.sleep", lambda _: setattr(kernel, "links", bare))
    with pytest.raises(LookError, match=r"10\.0\.0\.10 did not stay on eth0"):
        boot()


def test_a_deployment_that_was_never_applied_here_is_told(kernel: Kernel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is missing"):
        restoring.restore("shop", print, tmp_path)


# --- the plan


def booted(**more: Any) -> World:
    world = World.lab(2)
    world.boot = msgspec.structs.replace(
        DirectorBoot(systemd=True, program=("/opt/dsrwizard/bin/dsrwizard",), networkd="10-eth0.network"), **more
    )
    return world


def test_apply_makes_the_director_come_back_and_teardown_takes_it_away(tmp_path: Path) -> None:
    world = booted()
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        made = engine.plan(deployment, engine.observe(deployment))
        assert engine.apply(deployment, made, lambda _: None).ok
        assert unit_file("shop") in world.machine.files
        assert world.machine.files[unit_link("shop")] == FileState(target=unit_file("shop"))
        assert [one.state.weight for one in world.saved["shop"][0].destinations] == [1, 1], "as the run left them"
        assert engine.plan(deployment, engine.observe(deployment)).empty
        back = engine.teardown_plan(deployment)
        steps = next(one for one in back.hosts if one.host == DIRECTOR).steps
        paths = [[change.path for change in one.changes if isinstance(change, FileChange)] for one in steps]
        assert [one.id.partition(" ")[0] for one in steps[:2]] == ["drain", "drain"]
        assert unit_file("shop") in paths[2], "a power cut from here on brings nothing back"
        assert [one.phase for one in steps if one.phase != "prepare"][-1] == "vip"
        assert engine.teardown(deployment, back, lambda _: None).ok
    assert world.machine.files == {}
    assert world.saved == {}


def test_without_systemd_the_line_for_rc_local_is_told_and_no_unit_is_written(tmp_path: Path) -> None:
    world = booted(systemd=False)
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        made = engine.plan(deployment, engine.observe(deployment))
    host = next(one for one in made.hosts if one.host == DIRECTOR)
    assert not any(isinstance(change, FileChange | SavedTableChange) for step in host.steps for change in step.changes)
    assert any("/opt/dsrwizard/bin/dsrwizard restore shop" in note and "rc.local" in note for note in host.notes)


def test_without_systemd_verify_names_the_line_and_with_it_apply_keeps_the_file(tmp_path: Path) -> None:
    world = booted(systemd=False, init=True)
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda _: None).ok
        assert world.saved == {}
        (check,) = [one for one in engine.verify(deployment).failures if one.check == "director.persistent"]
        assert check.cause == "not-persistent"
        assert "/opt/dsrwizard/bin/dsrwizard restore shop" in check.fix
        assert world.boot is not None
        world.boot = msgspec.structs.replace(world.boot, by_hand=("/etc/rc.local",))
        assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda _: None).ok
        assert set(world.saved) == {"shop"}
        assert engine.plan(deployment, engine.observe(deployment)).empty
        (after,) = [one for one in engine.verify(deployment).checks if one.check == "director.persistent"]
        assert after.outcome == "pass"


def test_a_user_who_may_write_no_unit_gets_no_step_that_fails_and_is_told(tmp_path: Path) -> None:
    world = booted(writable=False)
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        made = engine.plan(deployment, engine.observe(deployment))
        assert engine.apply(deployment, made, lambda _: None).ok
        assert engine.plan(deployment, engine.observe(deployment)).empty
        (check,) = [one for one in engine.verify(deployment).failures if one.check == "director.persistent"]
    assert any("Only root" in note for host in made.hosts for note in host.notes)
    assert "sudo" in check.fix


def test_a_machine_without_a_known_init_system_is_not_blamed(tmp_path: Path) -> None:
    world = booted(systemd=False)
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda _: None).ok
        (check,) = [one for one in engine.verify(deployment).checks if one.check == "director.persistent"]
    assert check.outcome == "skipped"
    assert "dsrwizard restore shop" in check.evidence


def lost(world: World, tmp_path: Path) -> tuple[str, str]:
    """What verify says of the director, and what it says after mend."""
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        report = engine.verify(deployment)
        wrong = [one for one in report.failures if one.check == "director.persistent"]
        done = engine.mend(deployment, engine.mend_plan(deployment, *wrong), lambda _: None)
        assert done.report is not None
        after = [one for one in done.report.checks if one.check == "director.persistent"]
    return " ".join(f"{one.cause} {one.message}" for one in wrong), " ".join(one.outcome for one in after)


def _gone(world: World) -> None:
    del world.machine.files[unit_file("shop")]


def _disabled(world: World) -> None:
    del world.machine.files[unit_link("shop")]


def _masked(world: World) -> None:
    world.machine.files[unit_file("shop")] = FileState(target="/dev/null")


def _no_file(world: World) -> None:
    del world.saved["shop"]


def _older(world: World) -> None:
    world.ipvs.set_weight(KEY, "10.0.0.101", 80, 7)


def _no_program(world: World) -> None:
    assert world.boot is not None
    world.boot = msgspec.structs.replace(world.boot, program=("/usr/bin/dsrwizard",))
    unit = world.machine.files[unit_file("shop")]
    world.boot = msgspec.structs.replace(
        world.boot, program_gone="/opt/dsrwizard/bin/dsrwizard" if "/opt/" in unit.content else ""
    )


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_gone, "is missing"), (_disabled, "is disabled"), (_masked, "is masked"), (_no_file, "missing"),
        (_older, "older"), (_no_program, "which is not there"),
    ],
)  # fmt: skip
def test_verify_names_what_a_boot_would_not_bring_back_and_mend_cures_it(
    spoil: Callable[[World], None], said: str, tmp_path: Path
) -> None:
    world = booted()
    deployment = world.deployment()
    with closing(engine_of(world, Nobody(), tmp_path)) as engine:
        assert engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda _: None).ok
    spoil(world)
    before, after = lost(world, tmp_path)
    assert before.startswith("not-persistent")
    assert said in before
    if spoil is not _no_program:
        assert after == "pass"


# --- the unit


def test_the_unit_names_the_device_as_systemd_does() -> None:
    assert escaped("eth0.5") == "eth0.5"
    assert escaped("br-lan") == r"br\x2dlan"
    assert r"sys-subsystem-net-devices-br\x2dlan.device" in unit_text("shop", "br-lan", ("/usr/bin/dsrwizard",))


@pytest.mark.parametrize("path", ["/opt/d/bin/dsrwizard", "/srv/my tools/bin/dsrwizard", '/srv/50% "$x"/dsrwizard'])
def test_a_path_with_blanks_or_signs_of_systemd_is_quoted_and_found_again(path: str) -> None:
    text = unit_text("shop", "eth0", (path,))
    assert started(text) == path
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    assert line.endswith(" restore shop")
    assert (" " in path) == line.startswith('ExecStart="')


def test_another_installation_that_is_there_may_run_it() -> None:
    world = booted()
    assert world.boot is not None
    text = unit_text("shop", "eth0", ("/home/u/.local/bin/dsrwizard",))
    there = {
        unit_file("shop"): FileState(content=text), unit_link("shop"): FileState(target=unit_file("shop")),
    }  # fmt: skip
    boot = msgspec.structs.replace(world.boot, files=there, saved="current", networkd="")
    facts = DirectorFacts(boot=boot)
    assert director_boot.persistence(world.deployment(), facts, ()) == []
    gone = msgspec.structs.replace(boot, program_gone="/home/u/.local/bin/dsrwizard")
    assert director_boot.persistence(world.deployment(), DirectorFacts(boot=gone), ()) != []


# --- the look


def test_the_look_finds_the_manager_of_the_interface(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_at, "if_nametoindex", lambda _: 2)
    for path, text in {
        "run/systemd/netif/links/2": "NETWORK_FILE=/run/systemd/network/10-netplan-eth0.network\n",
        "run/systemd/network/10-netplan-eth0.network": "[Network]\nAddress=10.0.0.2/24\n",
        "run/systemd/system/x": "", "run/network/ifstate": "lo=lo\neth1=eth1\n",
    }.items():  # fmt: skip
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    world = World.lab(1)
    seen = look_at.look(world.deployment(), DirectorFacts(), (), tmp_path)
    assert (seen.systemd, seen.networkd, seen.keeps) == (True, "10-netplan-eth0.network", "")
    assert (seen.networkmanager, seen.ifupdown, seen.saved) == (False, False, "missing")
    assert Path(seen.program[0]).is_absolute()
    assert os.access(seen.program[0], os.X_OK)
    drop = tmp_path / "etc/systemd/network/10-netplan-eth0.network.d/keep.conf"
    drop.parent.mkdir(parents=True)
    drop.write_text("[Network]\nKeepConfiguration=yes\n")
    assert look_at.look(world.deployment(), DirectorFacts(), (), tmp_path).keeps == "yes"
    (tmp_path / "etc/rc.local").write_text("#!/bin/sh\n/opt/x/bin/dsrwizard restore shop\n")
    assert look_at.look(world.deployment(), DirectorFacts(), (), tmp_path).by_hand == ("/etc/rc.local",)


# --- whose folder it is ----------------------------------------------------------------------------------------------


def test_the_user_of_the_page_about_privileges_does_not_live_where_root_reads_at_boot() -> None:
    page = (Path(__file__).parents[2] / "docs/least-privilege.md").read_text()
    (home,) = re.findall(r"^useradd .*--home-dir (\S+)", page, re.MULTILINE)
    for one, other in ((Path(home), Path(FOLDER)), (Path(FOLDER), Path(home))):
        assert not one.is_relative_to(other)


def test_neither_apply_nor_the_boot_uses_a_folder_of_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a user that is not root had it for a home: they could exchange what root reads."""
    look_at.write(SAVED, tmp_path)
    assert restoring.load("shop", tmp_path) == SAVED
    theirs = tmp_path / FOLDER.lstrip("/")
    trusted = files.refuse_what_others_own

    def refuse(path: Path) -> None:
        trusted(path)
        if path.is_relative_to(theirs):
            raise files.NotOurs(path, theirs, theirs.stat())

    monkeypatch.setattr(files, "refuse_what_others_own", refuse)
    with pytest.raises(CommandFailed, match="could not be written"):
        look_at.write(SAVED, tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        restoring.load("shop", tmp_path)
