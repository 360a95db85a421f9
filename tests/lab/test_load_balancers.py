"""A load balancer that dsrwizard does not set up, made of the second director's own IPVS from the text that is written
for an ALOHA: the runbook is ticked by packets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dsrwizard.core.dialects.aloha.writer import aloha_text
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.intake.importers.aloha import read_config, scheduler_of
from tests.lab.harness import VIP, Lab
from tests.lab.test_deploy import write

pytestmark = [pytest.mark.lab, pytest.mark.long]

BOX = "lb2"
METHODS = {"gateway": "-g", "nat": "-m", "tunnel": "-i", "": "-m"}
"""`mode` → ipvsadm; a director without one is NAT."""
FILE = f"""\
name = "shop"
[director]
interface = "eth0"
engine = "aloha"
[[vips]]
address = "{VIP}"
[[vips.services]]
port = 80
scheduler = "wrr"
[[servers]]
name = "web1"
address = "10.0.0.101"
weight = 1
[[servers]]
name = "web2"
address = "10.0.0.102"
weight = 2
[client]
address = "10.0.0.103"
"""
"""The client host is a machine on the servers' own link: there each reply frame says whose it is."""


@pytest.fixture(scope="module")
def pair() -> Iterator[Lab]:
    with Lab(directors=2) as running:
        yield running


def paste(lab: Lab, text: str) -> None:
    """What the box does with the text of its LB Layer4 tab: its kernel's IPVS is told what each line says."""
    lab.run(BOX, f"ipvsadm -C; ip addr replace {VIP}/32 dev eth0").ok()
    for one in read_config(text).directors:
        assert one.problems == []
        where = f"-{one.protocol[0]} {one.vip}:{one.port}"
        lab.run(BOX, f"ipvsadm -A {where} -s {scheduler_of(one.balance or 'leastconn')}").ok()
        for server in one.servers:
            behind = f"-r {server.address}:{server.port or one.port} {METHODS[one.mode]} -w {server.weight}"
            lab.run(BOX, f"ipvsadm -a {where} {behind}").ok()


def book(lab: Lab, file: str) -> str:
    """The runbook with what a verification of now proved, its lines joined."""
    lab.run("director", f"dsrwizard verify {file} --json >/root/report.json")
    written = lab.dsrwizard("runbook", file, "--report", "/root/report.json").ok().stdout
    return " ".join(written.split())


def test_the_text_for_an_aloha_balances_and_its_runbook_is_ticked_by_packets(pair: Lab) -> None:
    lab, file = pair, write(pair, FILE)
    text = aloha_text(loads(FILE))
    lab.dsrwizard("apply", file, "--yes").ok()
    said = book(lab, file)
    assert f"[!] {VIP} has one owner: the ALOHA" in said, said
    assert f"No load balancer answers for {VIP} on the wire." in said

    paste(lab, text)
    lab.put("/root/tab.txt", text)
    compared = lab.dsrwizard("runbook", file, "--compare", "/root/tab.txt").ok().stdout
    assert "The text of the box says what the file says." in compared
    said = book(lab, file)
    for title in (
        f"{VIP} on the ALOHA", "Prove web1 through the VIP", "Prove web2 through the VIP", "web1 gets clients",
        "web2 gets clients", f"{VIP} has one owner: the ALOHA",
    ):  # fmt: skip
        assert f"[x] {title}" in said, said
