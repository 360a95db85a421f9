"""Two runs at once on a real director, and a teardown without its journal: real processes, real locks, real kernels."""

from __future__ import annotations

import shlex
import signal
import time

import pytest

from backends.lab.guest import wizard_command
from backends.lab.network import VIP_TWO
from tests.lab.harness import SERVERS, VIP, Lab, Process
from tests.lab.test_deploy import answers, clean, deployment, write

__all__ = ["clean"]
pytestmark = [pytest.mark.lab, pytest.mark.long]
JOURNAL = "~/.local/state/dsrwizard/journal/shop.jsonl"


HELD = "until [ -s /run/lock/dsrwizard-*.lock ]; do sleep 0.02; done"
"""Waits until a run has the machine's lock."""


def at_once(lab: Lab, later: str, *commands: list[str]) -> list[tuple[int, str]]:
    """Status and words of commands; each begins when the command `later` has ended, which runs after the one before."""
    lines = ["rm -f /run/lock/dsrwizard-*.lock"]
    for number, command in enumerate(commands):
        lines.append(f"({shlex.join(command)} >/tmp/said{number} 2>&1; echo $? >/tmp/status{number}) &\n{later}")
    lab.run("director", "\n".join([*lines, "wait"]), timeout=240).ok()
    return [
        (int(lab.read("director", f"/tmp/status{number}")), lab.read("director", f"/tmp/said{number}"))
        for number in range(len(commands))
    ]


def serving(lab: Lab) -> bool:
    """Whether all of it stands, or nothing of it: anything between fails."""
    table = lab.run("director", "ipvsadm -Sn").ok().stdout
    here = lab.run("director", "ip -br addr show dev eth0").ok().stdout
    there = [VIP in lab.run(server, "ip -br addr show dev lo").ok().stdout for server in SERVERS]
    state = {f"{VIP}:80" in table, f"{VIP}/" in here, *there}
    assert len(state) == 1, f"half of it stands:\n{table}\n{here}\n{there}"
    if state == {True}:
        assert set(answers(lab, f"http://{VIP}/", 6)) == set(SERVERS)
    return state == {True}


@pytest.mark.parametrize(
    "later", [0.3, 1.2, *(pytest.param(later, marks=pytest.mark.cases) for later in (0.0, 0.6, 0.9))]
)
def test_apply_and_teardown_at_once(clean: Lab, later: float) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    apply, teardown = wizard_command("apply", file, "--yes"), wizard_command("teardown", file, "--yes")
    (applied, first), (torn, second) = at_once(lab, f"sleep {later}", apply, teardown)
    assert {applied, torn} <= {0, 3}, first + second
    for status, said in ((applied, first), (torn, second)):
        assert (status == 3) == ("has been running since" in said), said
    serves = serving(lab)
    assert serves or torn == 0, "only a teardown takes it down"
    inside = lab.dsrwizard("teardown", file, "--yes").ok()
    assert ("Nothing to do" in inside.stdout) == (not serves), "the journal says what is there"
    assert not serving(lab)


def test_who_waits_comes_after_and_another_users_run_is_seen(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    apply = wizard_command("apply", file, "--yes")
    waiting = wizard_command("apply", file, "--yes", "--wait", "120")
    other = ["env", "XDG_STATE_HOME=/tmp/other", *wizard_command("teardown", file, "--yes")]
    (one, first), (two, second), (three, third) = at_once(lab, HELD, apply, waiting, other)
    assert (one, two) == (0, 0), first + second
    assert three == 3, third
    assert "user root" in third
    assert "has been running since" in third
    assert serving(lab)
    lab.dsrwizard("teardown", file, "--yes").ok()


@pytest.mark.cases
def test_a_teardown_without_its_journal_finds_what_is_ours(clean: Lab) -> None:
    lab = clean
    file = write(lab, deployment(client=False))
    lab.dsrwizard("apply", file, "--yes").ok()
    lab.run("director", f": >{JOURNAL}").ok()
    asked = lab.dsrwizard("teardown", file)
    assert asked.status == 2, "there is nobody to ask"
    assert "is not whole" in asked.stderr
    assert "What was there before is not known" in asked.stdout
    assert serving(lab)
    lab.dsrwizard("teardown", file, "--yes").ok()
    assert not serving(lab)
    again = lab.dsrwizard("teardown", file, "--yes").ok()
    assert "Nothing to do" in again.stdout
    assert again.stderr == ""


def elsewhere(lab: Lab) -> str:
    """Another operator's machine, the router, with a deployment of its own on the same servers; its file."""
    for name in ("id_ed25519", "known_hosts"):
        lab.put(f"/lab/root/.ssh/{name}", lab.read("director", f"/lab/root/.ssh/{name}"), host="router")
    lab.run("router", "chmod 600 ~/.ssh/*; rm -rf ~/.local/state/dsrwizard").ok()
    vips = f'[[vips]]\naddress = "{VIP_TWO}"\n[[vips.services]]\nport = 80\n'
    text = deployment(client=False, name="mail", vips=vips).replace(
        'interface = "eth0"', 'interface = "eth0"\nengine = "external"'
    )
    lab.put("/lab/mail.toml", text, host="router")
    return "/lab/mail.toml"


LOCKED = "[ -s /run/dsrwizard.lock ]"


def gives_a_sign(stopped: Process) -> None:
    """A run that lives tells the servers so; after a minute without a word their locks are free."""
    stopped.signal(signal.SIGCONT)
    time.sleep(0.2)
    stopped.signal(signal.SIGSTOP)


def test_a_run_from_another_machine_waits_for_the_servers_that_both_change(clean: Lab) -> None:
    lab = clean
    shop, mail = write(lab, deployment(client=False)), elsewhere(lab)
    run = lab.spawn("director", wizard_command("apply", shop, "--yes"))
    for server in SERVERS:
        lab.wait(server, LOCKED)
    run.signal(signal.SIGSTOP)  # a run that takes long, and lives
    refused = lab.run("router", wizard_command("apply", mail, "--yes"))
    assert refused.status == 3, refused.stdout + refused.stderr
    assert "apply of shop has been running since" in refused.stderr
    assert "user root, on director" in refused.stderr
    assert "It changes web1, too." in refused.stderr
    gives_a_sign(run)
    assert VIP_TWO not in lab.run("web1", "ip -br addr show dev lo").ok().stdout
    lab.run("router", wizard_command("plan", mail)).ok()
    gives_a_sign(run)
    with lab.spawn("router", wizard_command("apply", mail, "--yes", "--wait", "120")) as waiting:
        assert waiting.wait_for(lambda: "Waiting for up to" in waiting.stderr), waiting.stderr
        run.signal(signal.SIGCONT)
        assert run.wait().status == 0, run.stderr
        waiting.wait().ok()
    assert serving(lab)
    for server in SERVERS:
        assert VIP_TWO in lab.run(server, "ip -br addr show dev lo").ok().stdout
        assert not lab.exists(server, "/run/dsrwizard.lock")
    lab.run("router", wizard_command("teardown", mail, "--yes")).ok()
    assert serving(lab)
    lab.dsrwizard("teardown", shop, "--yes").ok()


@pytest.mark.cases
def test_a_run_that_was_killed_holds_no_server(clean: Lab) -> None:
    lab = clean
    shop, mail = write(lab, deployment(client=False)), elsewhere(lab)
    run = lab.spawn("director", wizard_command("apply", shop, "--yes"))
    lab.wait("web3", LOCKED)
    run.kill()
    lab.run("router", wizard_command("apply", mail, "--yes")).ok()
    lab.run("router", wizard_command("teardown", mail, "--yes")).ok()
    lab.dsrwizard("apply", shop, "--yes").ok()
    assert serving(lab)
    lab.dsrwizard("teardown", shop, "--yes").ok()
