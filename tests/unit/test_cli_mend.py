"""The command mend: what it shows before it asks, what it says afterwards, and its exit codes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dsrwizard.core.model.checks import Check
from tests.unit.test_cli import Shell, Terminal, shell

__all__ = ["shell"]
VIP = "10.0.0.10"


@pytest.fixture
def farm(shell: Shell) -> Shell:
    """The deployment is in force."""
    assert shell("apply", str(shell.file), "--yes") == 0
    return shell


def no_vip(shell: Shell, name: str = "web2") -> None:
    del shell.world.servers[name].machine.links["lo"].addresses[VIP]


def test_a_fault_is_shown_with_commands_and_undo_cured_and_said_to_be(farm: Shell) -> None:
    no_vip(farm)
    assert farm("mend", str(farm.file), "--yes") == 0
    order = [
        "web2: vip-missing 10.0.0.10", "seen: ", f"$ ip addr add {VIP}/32 dev lo", f"undo: ip addr del {VIP}/32 dev lo",
        "1 fault; 1 can be mended, in 1 step.", "changed       vip", "cured", "answers through web2",
        "Verdict: pass",
    ]  # fmt: skip
    places = [farm.out.find(text) for text in order]
    assert places == sorted(places), farm.out
    assert -1 not in places, farm.out
    assert farm.world.servers["web2"].machine.holds(VIP) == "lo"
    assert farm("verify", str(farm.file)) == 0


def test_with_nothing_wrong_it_asks_nothing_and_changes_nothing(farm: Shell) -> None:
    touched = len(farm.world.done)
    assert farm("mend", str(farm.file)) == 0
    assert "No check failed." in farm.out
    assert len(farm.world.done) == touched


def test_what_no_step_cures_is_named_with_who_must_do_what(farm: Shell) -> None:
    farm.world.servers["web1"].machine.listeners = []
    no_vip(farm)
    assert farm("mend", str(farm.file), "--yes") == 1
    assert "2 faults; 1 can be mended" in farm.out
    assert "not fixed: dsrwizard does not start services: start the service on web1." in farm.out
    assert "fix: Start the service on web1" in farm.out
    assert "Verdict: fail" in farm.out
    assert farm.world.servers["web2"].machine.holds(VIP) == "lo", "the other is mended all the same"


def test_only_what_was_asked_for_is_mended_and_counts(farm: Shell) -> None:
    no_vip(farm)
    farm.world.servers["web2"].machine.sysctls["net.ipv4.conf.all.arp_announce"] = "0"
    farm.world.machine.sysctls["net.ipv4.conf.all.send_redirects"] = "1"
    no_vip(farm, "web3")
    assert farm("mend", str(farm.file), "--yes", "--host", "web2", "--cause", "arp-announce") == 0
    assert farm.world.servers["web2"].machine.sysctls["net.ipv4.conf.all.arp_announce"] == "2"
    assert farm.world.servers["web2"].machine.holds(VIP) is None
    assert farm("mend", str(farm.file), "--yes", "--host", "web2") == 0
    assert farm.world.servers["web2"].machine.holds(VIP) == "lo"
    assert farm.world.servers["web3"].machine.holds(VIP) is None
    assert "Verdict: fail" in farm.out, "the verdict is the whole farm's"
    assert farm.world.machine.sysctls["net.ipv4.conf.all.send_redirects"] == "1", "nobody asked for it"
    farm.world.machine.sysctls["net.ipv4.ip_forward"] = "1"
    assert farm("mend", str(farm.file), "--yes") == 0
    assert farm.world.machine.sysctls["net.ipv4.conf.all.send_redirects"] == "0"
    assert farm.world.machine.sysctls["net.ipv4.ip_forward"] == "1", "no check failed for it"


def test_a_step_that_fails_is_told_and_is_no_success(farm: Shell) -> None:
    no_vip(farm)
    farm.world.servers["web2"].fails[f"vip {VIP}"] = "RTNETLINK answers: Operation not permitted"
    assert farm("mend", str(farm.file), "--yes") == 1
    assert "Operation not permitted" in farm.err
    assert "left     web2: vip-missing" in farm.out


def test_json_is_one_document_with_before_and_after(farm: Shell) -> None:
    no_vip(farm)
    assert farm("mend", str(farm.file), "--yes", "--json") == 0
    document = farm.document()
    assert set(document) == {"deployment", "cured", "verdict", "faults", "left", "hosts"}
    (fault,) = document["faults"]
    assert set(fault) == {"before", "steps", "by_hand", "notes", "after", "cured"}
    assert (fault["before"]["cause"], fault["after"]["outcome"], fault["cured"]) == ("vip-missing", "pass", True)
    (step,) = fault["steps"]
    assert (step["host"], step["commands"]) == ("web2", [f"ip addr add {VIP}/32 dev lo"])
    assert set(fault["before"]) == set(Check.__struct_fields__)
    assert (document["verdict"], document["left"], document["cured"]) == ("pass", [], True)
    assert farm("mend", str(farm.file), "--json") == 0
    assert farm.document()["faults"] == []


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_nothing_is_changed_when_nobody_can_be_asked(farm: Shell, options: tuple[str, ...]) -> None:
    no_vip(farm)
    assert farm("mend", str(farm.file), *options) == 2
    assert "Add --yes" in farm.err
    assert farm.world.servers["web2"].machine.holds(VIP) is None


@pytest.mark.parametrize(("answer", "code", "held"), [("\n", 3, None), ("n\n", 3, None), ("y\n", 0, "lo")])
def test_the_operator_is_asked_and_enter_is_no(
    farm: Shell, monkeypatch: pytest.MonkeyPatch, answer: str, code: int, held: str | None
) -> None:
    no_vip(farm)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert farm("mend", str(farm.file)) == code
    assert farm.world.servers["web2"].machine.holds(VIP) == held
    assert ("Nothing was changed" in farm.err) is (held is None)


@pytest.mark.parametrize(
    ("options", "what", "hint"),
    [
        (("--host", "wbe2"), "Unknown host: 'wbe2'.", "Did you mean web2?"),
        (("--cause", "vip-mising"), "Unknown cause: 'vip-mising'.", "Did you mean vip-missing?"),
    ],
)
def test_what_means_nothing_is_refused_before_anything_is_looked_at(
    farm: Shell, options: tuple[str, ...], what: str, hint: str
) -> None:
    logins = {state.name: state.sessions for state in farm.world.servers.values()}
    assert farm("mend", str(farm.file), *options) == 2
    assert what in farm.err
    assert hint in farm.err
    assert {state.name: state.sessions for state in farm.world.servers.values()} == logins


def test_what_cannot_be_seen_is_not_said_to_be_well(farm: Shell) -> None:
    farm.world.privileged = False
    assert farm("mend", str(farm.file), "--yes", "--host", "web2") == 3
    assert "Verdict: unknown" in farm.out


def test_a_missing_file_is_bad_usage(farm: Shell, tmp_path: Path) -> None:
    assert farm("mend", str(tmp_path / "none.toml")) == 2
