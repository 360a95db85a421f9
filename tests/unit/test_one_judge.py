"""Verify and the live view, given the same evidence, give the same cause, the same sentence and the same fix."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dsrwizard.core.live.judge import Judged, SeenOfServer, judged
from dsrwizard.core.model.answers import Owners, Ping, Probed
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Deployment, Service
from tests.unit.diagnosed import VIP, Altered, Farm


def by_hand(deployment: Deployment) -> Deployment:
    """web1 cannot be looked at from within: all that is known of it is what the wire says."""
    first, *others = deployment.servers
    return msgspec.structs.replace(
        deployment, servers=(msgspec.structs.replace(first, connect="manual", system="linux"), *others)
    )


def farm(protocol: str = "tcp") -> Farm:
    service = Service(port=53, protocol="udp", probe="dns") if protocol == "udp" else Service(port=80)
    return Farm(services=(service,), change=by_hand)


def probe_of(made: Farm, **answer: Any) -> Probed:
    """What the wire says of web1, with this answer to its probe."""
    found: list[Probed] = []

    def altered(probed: Probed) -> Probed:
        if probed.rip != made.rip("web1"):
            return probed
        found.append(msgspec.structs.replace(probed, milliseconds=None, **answer))
        return found[-1]

    made.report = made.verify(wire=Altered(made, probe=altered))  # type: ignore[attr-defined]
    return found[-1]


def about_web1(report: Report) -> Check:
    (check,) = [one for one in report.failures if one.host == "web1"]
    return check


def live(made: Farm, **seen: Any) -> Judged:
    server, service = made.deployment.server("web1"), made.deployment.vips[0].services[0]
    return judged(server, service, VIP, SeenOfServer(**seen))


@pytest.mark.parametrize(
    ("protocol", "answer"),
    [
        ("tcp", {"signature": "redirect", "source": "10.0.0.101"}),
        ("udp", {"signature": "wrong-source", "source": "10.0.0.101"}),
    ],
    ids=["redirect", "wrong-source"],
)
def test_what_an_answer_proves(protocol: str, answer: dict[str, str]) -> None:
    made = farm(protocol)
    probe = probe_of(made, **answer)
    said, shown = about_web1(made.report), live(made, probe=probe)  # type: ignore[attr-defined]
    assert (shown.cause, shown.message, shown.fix) == (said.cause, said.message, said.fix)


def test_a_server_that_is_gone() -> None:
    made = farm()
    rip = made.rip("web1")

    def silent(ping: Ping) -> Ping:
        return msgspec.structs.replace(ping, milliseconds=None) if ping.address == rip else ping

    def nobody(owners: Owners) -> Owners:
        return Owners(address=rip) if owners.address == rip else owners

    def refused(probed: Probed) -> Probed:
        return msgspec.structs.replace(probed, signature="no-mac", mac="") if probed.rip == rip else probed

    wire = Altered(
        made, ping=silent, owners=nobody, probe=refused,
        connect=lambda one: msgspec.structs.replace(one, result="silent") if one.address == rip else one,
    )  # fmt: skip
    said = about_web1(made.verify(wire=wire))
    shown = live(made, gone=True)
    assert (shown.cause, shown.message, shown.fix) == (said.cause, said.message, said.fix)


def test_a_leak_has_one_sentence_and_one_fix() -> None:
    made = farm()
    mac = made.server("web1").machine.links["eth0"].mac
    wire = Altered(
        made,
        owners=lambda one: msgspec.structs.replace(one, macs=(*one.macs, mac)) if one.address == VIP else one,
    )
    said = next(one for one in made.verify(wire=wire).failures if one.cause == "arp-leak")
    shown = live(made, leak=mac)
    assert (shown.cause, shown.fix) == (said.cause, said.fix)
    assert shown.message.startswith(said.message)


@pytest.mark.parametrize("signature", ["silence", "rst", "unreachable"])
def test_what_can_be_several_things_gets_no_cause_before_somebody_looked(signature: str) -> None:
    """A refusal is a service that is down or one bound elsewhere; silence is a missing VIP or a firewall."""
    made = farm()
    shown = live(made, probe=probe_of(made, signature=signature))
    assert shown.state == "vip-dead"
    assert shown.cause == ""
    assert shown.message.startswith("Probe through web1: ")
    assert "to find the cause" in shown.fix
