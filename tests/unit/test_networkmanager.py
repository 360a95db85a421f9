"""What a real server needs so that its VIP outlives its network manager's commands."""

from __future__ import annotations

import pytest

from dsrwizard.core.dialects.linux.observe import observe_script, parse
from dsrwizard.core.dialects.linux.plan import dispatcher_file, keeps_vips, unit_text
from dsrwizard.core.model.changes import FileChange, SysctlChange
from dsrwizard.core.model.facts import ServerFacts
from tests.unit.planned import ETH0, LO, V4, V6, applied, lines, link, of, server, shop

KEEP = "net.ipv6.conf.lo.keep_addr_on_down"


def written(facts: ServerFacts) -> dict[str, FileChange]:
    changes = [change for step in of(shop(), facts).steps for change in step.changes]
    return {change.path: change for change in changes if isinstance(change, FileChange)}


def test_networkmanager_has_the_unit_run_again_by_a_script_that_may_be_run() -> None:
    facts = server(networkmanager=True)
    state = written(facts)[dispatcher_file("shop")].new
    assert state is not None
    assert state.mode == 0o755
    assert "systemctl --no-block restart dsrwizard-shop.service" in state.content
    after = applied(facts, of(shop(), facts))
    assert of(shop(), after).steps == (), "a second apply writes nothing"
    assert dispatcher_file("shop") in keeps_vips(shop(), shop().servers[0], after)


def test_a_server_without_networkmanager_gets_no_such_script() -> None:
    assert dispatcher_file("shop") not in written(server())


def test_networkmanager_that_came_later_is_a_reason_to_apply_again() -> None:
    facts = server()
    after = applied(facts, of(shop(), facts))
    moved = of(
        shop(), server(networkmanager=True, files=after.files, interfaces=after.interfaces, sysctls=after.sysctls)
    )
    assert [step.purpose for step in moved.steps] == ["persistence"]
    assert not keeps_vips(shop(), shop().servers[0], server(networkmanager=True, files=after.files))


@pytest.mark.parametrize("interface", ["lo", "dsr0"])
def test_an_ipv6_vip_stays_when_its_interface_goes_down_and_up(interface: str) -> None:
    links = (LO, ETH0) if interface == "lo" else (LO, ETH0, link("dsr0", kind="dummy"))
    key = f"net.ipv6.conf.{interface}.keep_addr_on_down"
    deployment = shop(V6, vip_interface=interface)
    facts = server(*links, sysctl={key: "0"})
    made = of(deployment, facts)
    assert lines(made.steps[0])[0] == f"sysctl -qw {key}=1", "before the address: nothing may come between"
    assert of(deployment, applied(facts, made)).steps == ()
    assert f"sysctl -qw {key}=1" in unit_text("shop", interface, (V6,))
    assert not any(isinstance(one, SysctlChange) for step in of(shop(V4), facts).steps for one in step.changes
                   if "ipv6" in getattr(one, "key", ""))  # fmt: skip


def test_a_dummy_interface_that_is_yet_to_be_made_begins_with_the_value_of_new_ones() -> None:
    facts = server(sysctl={"net.ipv6.conf.default.keep_addr_on_down": "0"})
    made = of(shop(V6, vip_interface="dsr0"), facts)
    assert "sysctl -qw net.ipv6.conf.dsr0.keep_addr_on_down=1" in lines(*made.steps)


@pytest.mark.parametrize("there", [True, False])
def test_the_look_tells_whether_networkmanager_runs(there: bool) -> None:
    said = [
        "==dsr:n:texts==", "/proc/sys/net/ipv6/conf/lo/keep_addr_on_down:0", "/proc/sys/net/ipv4/ip_forward:0",
        "==dsr:n:networkmanager==", "yes" if there else "no", "==dsr:n:addr==", "[]", "==dsr:n:end==",
    ]  # fmt: skip
    facts = parse("web1", "n", "\n".join(said))
    assert facts.networkmanager is there
    assert facts.sysctls[KEEP] == "0"
    assert "/run/NetworkManager/devices" in observe_script("n", ())
