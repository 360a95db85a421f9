"""Waves on a real kernel: five real servers, of which the one of the second wave is not proved."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backends.lab import network
from tests.lab.harness import VIP, Lab
from tests.lab.test_deploy import DUMP, answers, deployment, write

pytestmark = pytest.mark.lab

FIVE = [host.name for host in network.servers(5)]
DESTINATIONS = "ipvsadm -Ln | awk '/->/ && $2 ~ /^10/ {print $2, $4}'"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(servers=5) as running:
        yield running


def of_five() -> str:
    servers = "".join(f'[[servers]]\nname = "{host.name}"\naddress = "{host.address}"\n' for host in network.servers(5))
    return deployment(client=False, servers=servers)


def weights(lab: Lab) -> dict[str, str]:
    """Weight in IPVS by real server."""
    said = lab.run("director", DESTINATIONS).ok().stdout
    names = {f"{host.address}:{network.SERVICE_PORT}": host.name for host in network.servers(5)}
    return {names[line.split()[0]]: line.split()[1] for line in said.splitlines()}


@pytest.mark.cases
def test_a_wave_whose_server_is_not_proved_is_the_last_one(lab: Lab) -> None:
    file = write(lab, of_five())
    lab.run("director", "modprobe ip_vs").ok()  # loading it brings settings that stay
    before = {host: lab.run(host, DUMP).ok().stdout for host in FIVE}
    plan = lab.dsrwizard("plan", file).ok().stdout
    assert "Wave 1 of 3: web1" in plan
    assert "Wave 2 of 3: web2" in plan
    assert "Wave 3 of 3: web3, web4, web5" in plan

    lab.stop_service("web2")
    failed = lab.dsrwizard("apply", file, "--yes")
    said = failed.stdout + failed.stderr
    assert failed.status == 1, said
    assert weights(lab).get("web1") == "1", "the first wave serves"
    assert weights(lab).get("web2", "0") == "0", "no client is sent to the one that failed"
    assert set(weights(lab)) <= {"web1", "web2"}
    assert set(answers(lab, f"http://{VIP}/", 6)) == {"web1"}
    for host in ("web3", "web4", "web5"):
        assert lab.run(host, DUMP).ok().stdout == before[host], f"{host} is of the third wave"
        assert "web2 failed in the second wave" in said
    assert "wave 2 of 3: web2" in said
    assert "wave 3 of 3: " not in failed.stdout.partition("hosts.")[2], "it was not begun"
    assert "web2 stays at weight 0 in 10.0.0.10 tcp/80: the VIP is there, but nothing listens on port 80 of it." in said
    assert "web2 is not proved, so it puts itself back" in said

    lab.start_service("web2")
    mended = lab.dsrwizard("apply", file, "--yes").ok()
    assert "wave" in mended.stdout, "what is left is changed in waves, too"
    assert weights(lab) == dict.fromkeys(FIVE, "1")
    assert set(answers(lab, f"http://{VIP}/", 10)) == set(FIVE)
    assert lab.dsrwizard("plan", file, "--json").ok().json["changes"] == 0
    lab.dsrwizard("teardown", file, "--yes").ok()
    for host in FIVE:
        assert lab.run(host, DUMP).ok().stdout == before[host], host
