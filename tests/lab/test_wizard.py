"""The wizard by keyboard, in a real terminal on the lab's director: from its first screen to the live pane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.lab.harness import SERVERS, VIP, Lab
from tests.lab.terminal import ENTER, NEXT, QUIT, RIGHT, SECONDS, TICK_ALL, Terminal

pytestmark = pytest.mark.lab


@pytest.fixture
def stranger() -> Iterator[Lab]:
    """A lab as `make demo` boots it: no host key is known."""
    with Lab(known_hosts=False) as lab:
        yield lab


def to_apply(wizard: Terminal, *, keys: int) -> None:
    """Through the steps as a stranger would: values accepted, unknown host keys accepted, the plan confirmed."""
    wizard.expect("VIP and services")
    wizard.press(NEXT)
    wizard.expect("Load balancer")
    wizard.press(NEXT)
    wizard.expect("Client host")
    wizard.press(NEXT)
    if keys:
        wizard.expect(f"Unknown host keys of {keys} servers")
        wizard.press(TICK_ALL, NEXT)
    wizard.expect("steps on 4 hosts")
    wizard.press(NEXT)
    wizard.expect("Apply this plan")
    wizard.press(RIGHT, ENTER)


def test_from_the_first_screen_to_the_green_live_pane(stranger: Lab) -> None:
    with Terminal(stranger, ["dsrwizard"]) as wizard:
        to_apply(wizard, keys=len(SERVERS))
        wizard.expect("Done: all 4 hosts")
        wizard.press(NEXT)
        wizard.expect("Unknown host key: ")
        wizard.press(RIGHT, ENTER)
        wizard.expect("Everything works")
        wizard.press(NEXT)
        wizard.expect("3/3 up")
        answered = set(stranger.requests(VIP, 6))
        assert answered == set(SERVERS)
        wizard.press(QUIT)
        assert wizard.process.wait(SECONDS).status == 0
    with Terminal(stranger, ["dsrwizard"]) as again:
        again.expect("3/3 up")  # a deployment is in force: the live pane comes first


def test_killed_in_the_middle_it_resumes_and_finishes(stranger: Lab) -> None:
    lab = stranger
    lab.know_hosts()
    with Terminal(lab, ["dsrwizard"]) as wizard:
        to_apply(wizard, keys=0)
        lab.wait("director", "[ -s ~/.local/state/dsrwizard/journal/shop.jsonl ]", int(SECONDS))
        wizard.process.kill()
    assert lab.dsrwizard("apply", "/lab/shop.toml", "--yes").ok()
    assert set(lab.requests(VIP, 6)) == set(SERVERS)
    lab.dsrwizard("teardown", "/lab/shop.toml", "--yes").ok()
    assert lab.run("director", "ipvsadm -Sn").ok().stdout == ""
    for server in SERVERS:
        assert f" {VIP}/" not in lab.run(server, "ip -4 -o addr").ok().stdout
        assert lab.run(server, "sysctl -n net.ipv4.conf.all.arp_ignore").ok().stdout.strip() == "0"
