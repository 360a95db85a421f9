"""What can be said of a server from outside alone, without privilege, or behind another product's balancer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import pytest

from dsrwizard.core.model.answers import Connected, Owners, Ping, Probed
from dsrwizard.core.model.deployment import Deployment, EngineName, Service
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.ports import ProbeTarget
from dsrwizard.engine.verify import verify
from tests.fakes.filters import input_drops
from tests.fakes.host import Link
from tests.unit.diagnosed import SERVER_FAULTS, STRANGER, VIP, Altered, Farm, faults, find, only, vip_missing

WEB2 = "10.0.0.102"
SEEN_FROM_OUTSIDE = {
    "unreachable", "service-down", "rip-only-listener", "vip-missing", "vip-missing, forwarding", "arp-leak",
    "arp-leak, stray setting",
}  # fmt: skip


def without_login(farm: Farm) -> Farm:
    farm.server("web2").ssh = False
    return farm


def by_hand(deployment: Deployment) -> Deployment:
    servers = tuple(
        msgspec.structs.replace(server, connect="manual") if server.name == "web2" else server
        for server in deployment.servers
    )
    return msgspec.structs.replace(deployment, servers=servers)


def external(deployment: Deployment) -> Deployment:
    director = msgspec.structs.replace(deployment.director, engine="external")
    return msgspec.structs.replace(deployment, director=director)


@pytest.mark.parametrize("made", sorted(SEEN_FROM_OUTSIDE))
def test_a_fault_is_named_from_outside_without_a_login(made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    farm = without_login(Farm())
    make(farm, "web2")
    check = only(farm.verify())
    assert (check.cause, check.host) == (cause, "web2")


def test_silence_alone_is_not_said_to_be_more_than_likely_a_missing_vip() -> None:
    farm = without_login(Farm())
    vip_missing(farm, "web2")
    assert "most likely" in only(farm.verify()).message


def test_silence_of_a_server_that_holds_the_vip_is_not_called_a_firewall_without_a_login() -> None:
    farm = without_login(Farm(services=(Service(port=80), Service(port=22))))
    farm.server("web2").dropped.add(("tcp", 80))
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "vip.probe", "web2", service="tcp/80")  # port 22 answered on the VIP: it is there
    assert (check.outcome, check.cause) == ("unknown", "")
    assert "its packet filter could not be read" in check.evidence


def test_without_a_login_what_cannot_be_seen_is_unknown_and_says_how_to_see_it() -> None:
    farm = without_login(Farm())
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    hidden = [check for check in report.checks if check.outcome == "unknown"]
    assert {check.host for check in hidden} == {"web2"}
    assert {"server.gateway", "server.rp_filter", "server.announce", "server.access"} <= {c.check for c in hidden}
    assert all(check.fix for check in hidden)


def test_what_the_probe_and_the_audit_prove_needs_no_login() -> None:
    report = without_login(Farm()).verify()
    for check in ("vip.probe", "server.vip", "server.listener", "server.guard", "server.port"):
        assert find(report, check, "web2").outcome == "pass", check


def test_a_server_looked_after_by_hand_is_checked_from_outside_without_complaint_about_the_login() -> None:
    farm = Farm(change=by_hand)
    vip_missing_report = farm.verify()  # nobody configured web2
    assert faults(vip_missing_report) == [("vip-missing", "web2")]
    assert find(vip_missing_report, "server.access", "web2").outcome == "skipped"


# -- privilege


def test_without_privilege_every_raw_check_is_unknown_and_the_verdict_is() -> None:
    farm = Farm()
    farm.world.privileged = False
    report = farm.verify()
    assert (report.verdict, report.failures) == ("unknown", ())
    raw = [c for c in report.checks if c.check in ("vip.probe", "arp.audit", "server.link")]
    assert len(raw) == 7
    assert {check.outcome for check in raw} == {"unknown"}
    assert all("CAP_NET_RAW" in check.evidence and check.fix for check in raw)


@pytest.mark.parametrize("made", [made for made in SERVER_FAULTS if made != "firewall"])
def test_without_privilege_the_facts_still_name_the_fault(made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    farm = Farm()
    make(farm, "web2")
    farm.world.privileged = False
    check = only(farm.verify())
    assert (check.cause, check.host) == (cause, "web2")


def test_a_drop_cannot_be_seen_without_a_probe_and_is_not_painted_green() -> None:
    farm = Farm()
    SERVER_FAULTS["firewall"][0](farm, "web2")
    farm.world.privileged = False
    report = farm.verify()
    assert report.verdict == "unknown"
    assert find(report, "vip.probe", "web2").outcome == "unknown"


# -- what the world of the tests cannot be made to do: single answers replaced


def probe_says(signature: str, by: str = "", source: str = "") -> Callable[[Probed], Probed]:
    def alter(probed: Probed) -> Probed:
        if probed.rip != WEB2:
            return probed
        answered = by or ("" if signature in ("silence", "no-mac") else probed.mac)
        return msgspec.structs.replace(
            probed,
            signature=signature,
            answered_by=answered,
            source=source,
        )

    return alter


def connect_says(result: str) -> Callable[[Connected], Connected]:
    def alter(connected: Connected) -> Connected:
        if connected.address != WEB2:
            return connected
        return msgspec.structs.replace(connected, result=result, milliseconds=None)

    return alter


def deaf(ping: Ping) -> Ping:
    return msgspec.structs.replace(ping, milliseconds=None) if ping.address == WEB2 else ping


def no_arp(owners: Owners) -> Owners:
    return msgspec.structs.replace(owners, macs=()) if owners.address == WEB2 else owners


@pytest.mark.parametrize(
    "detail", ["port unreachable", "administratively prohibited", "host administratively prohibited"]
)
def test_a_refusal_that_only_a_filter_sends_is_a_rejecting_firewall(detail: str) -> None:
    farm = Farm()

    def refused(probed: Probed) -> Probed:
        return msgspec.structs.replace(probe_says("unreachable")(probed), detail=detail if probed.rip == WEB2 else "")

    check = only(farm.verify(wire=Altered(farm, probe=refused)))
    assert (check.cause, check.host) == ("firewall", "web2")
    assert "rejects" in check.message


@pytest.mark.parametrize("signature", ["rst", "unreachable"])
def test_a_refusal_without_a_rule_behind_it_is_no_firewall(signature: str) -> None:
    farm = Farm()
    report = farm.verify(wire=Altered(farm, probe=probe_says(signature)))
    assert (report.verdict, report.failures) == ("unknown", ())
    check = find(report, "vip.probe", "web2")
    assert "refuses the probe" in check.message
    assert "no rule of its packet filter does it" in check.evidence


def test_a_refusal_by_a_rule_is_a_rejecting_firewall() -> None:
    farm = Farm()
    rule = "-d 10.0.0.10/32 -p tcp -m tcp --dport 80 -j REJECT --reject-with tcp-reset"
    farm.server("web2").filters = input_drops(rule)
    check = only(farm.verify(wire=Altered(farm, probe=probe_says("rst"))))
    assert (check.cause, check.host) == ("firewall", "web2")
    assert rule in check.evidence


def test_a_service_that_listens_on_ipv6_only_is_down_for_an_ipv4_vip_and_no_firewall_is_blamed() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.listeners = [
        msgspec.structs.replace(one, address="::") if one.port == 80 else one for one in machine.listeners
    ]
    wire = Altered(farm, probe=probe_says("rst"), connect=connect_says("refused"))
    check = only(farm.verify(wire=wire))
    assert (check.cause, check.host) == ("service-down", "web2")
    assert "listens on :: only" in check.evidence


def test_a_firewall_that_drops_rip_and_vip_is_one_fault() -> None:
    farm = Farm()
    farm.server("web2").dropped.add(("tcp", 80))
    farm.server("web2").strangers_dropped = True
    wire = Altered(farm, probe=probe_says("silence"), connect=connect_says("silent"))
    assert faults(farm.verify(wire=wire)) == [("firewall", "web2")]
    farm.server("web2").dropped.clear()
    farm.server("web2").filters = ()
    report = farm.verify(wire=wire)
    assert (report.verdict, report.failures) == ("unknown", ())


def test_an_answer_from_another_mac_is_unknown_not_green() -> None:
    farm = Farm()
    report = farm.verify(wire=Altered(farm, probe=probe_says("syn-ack", by=STRANGER)))
    assert (report.verdict, report.failures) == ("unknown", ())
    assert STRANGER in find(report, "vip.probe", "web2").evidence


def test_a_missing_vip_is_named_even_when_another_host_answers_the_forwarded_probe() -> None:
    farm = Farm()
    vip_missing(farm, "web2")
    report = farm.verify(wire=Altered(farm, probe=probe_says("syn-ack", by="02:00:0a:00:00:67")))
    assert faults(report) == [("vip-missing", "web2")]


def test_a_server_behind_a_router_is_not_on_link_and_nothing_else() -> None:
    farm = without_login(Farm())
    report = farm.verify(wire=Altered(farm, owners=no_arp, probe=probe_says("no-mac")))
    check = only(report)
    assert (check.cause, check.host) == ("not-on-link", "web2")
    assert find(report, "vip.probe", "web2").consequence_of == "not-on-link"
    assert find(report, "server.ping", "web2").outcome == "pass"


def test_a_server_behind_a_router_with_a_login_is_not_on_link_and_nothing_else() -> None:
    farm = Farm()
    report = farm.verify(wire=Altered(farm, owners=no_arp, probe=probe_says("no-mac")))
    assert faults(report) == [("not-on-link", "web2")]


def test_a_server_that_is_the_director_itself_is_not_blamed_for_another_network() -> None:
    farm = without_login(Farm())
    farm.world.machine.links["eth0"].addresses[WEB2] = 24
    farm.server("web2").reachable = False
    report = farm.verify(wire=Altered(farm, connect=connect_says("open")))
    assert (report.verdict, report.failures) == ("unknown", ())
    assert find(report, "server.link", "web2").message.startswith("web2 is the director itself")


def test_a_server_that_only_ignores_ping_is_there() -> None:
    farm = Farm()
    report = farm.verify(wire=Altered(farm, ping=deaf))
    assert report.verdict == "pass"


def test_a_vip_with_a_wide_prefix_that_silences_the_server_is_the_one_fault() -> None:
    farm = Farm()
    SERVER_FAULTS["vip-prefix"][0](farm, "web2")
    wire = Altered(farm, ping=deaf, connect=connect_says("silent"), probe=probe_says("silence"))
    report = farm.verify(wire=wire)
    assert faults(report) == [("vip-prefix", "web2")]
    assert find(report, "server.port", "web2").consequence_of == "vip-prefix"


def test_a_service_bound_to_the_vip_alone_is_fine() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.listeners = [
        msgspec.structs.replace(one, address=VIP) if one.port == 80 else one for one in machine.listeners
    ]
    report = farm.verify()
    assert report.verdict == "pass"
    assert find(report, "server.port", "web2").outcome == "skipped"


def test_a_service_that_is_no_socket_of_the_host_is_fine_when_it_answers() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.listeners = [one for one in machine.listeners if one.port != 80]
    report = farm.verify(wire=Altered(farm, probe=probe_says("syn-ack"), connect=connect_says("open")))
    assert report.verdict == "pass"


def test_a_leak_by_a_second_interface_is_the_servers_and_the_fix_names_it() -> None:
    farm = Farm()
    machine = farm.server("web2").machine
    machine.sysctls |= {
        "net.ipv4.conf.all.arp_ignore": "0",
        "net.ipv4.conf.eth0.arp_ignore": "1",
        "net.ipv4.conf.eth1.arp_ignore": "0",
    }
    machine.links["eth1"] = Link("02:00:00:00:01:01")

    def second(owners: Owners) -> Owners:
        return msgspec.structs.replace(owners, macs=("02:00:00:00:01:01",)) if owners.address == VIP else owners

    check = only(farm.verify(wire=Altered(farm, owners=second)))
    assert (check.cause, check.host) == ("arp-leak", "web2")
    assert "on eth1" in check.evidence


# -- another product balances


def test_behind_another_product_a_healthy_farm_passes_and_asks_nothing_of_ipvs() -> None:
    farm = Farm(change=external)
    farm.world.strangers[VIP] = [STRANGER]
    report = farm.verify()
    assert report.verdict == "pass"
    assert {c.outcome for c in report.checks if c.check.startswith("director.")} == {"skipped"}


def test_behind_another_product_nobody_with_the_vip_is_a_fault() -> None:
    check = only(Farm(change=external).verify())
    assert (check.cause, check.check) == ("director-vip", "arp.audit")


def test_behind_another_product_two_owners_are_one_too_many() -> None:
    farm = Farm(change=external)
    farm.world.strangers[VIP] = [STRANGER, "02:00:00:00:be:ee"]
    assert only(farm.verify()).cause == "duplicate-vip"


@pytest.mark.parametrize("made", [made for made in SERVER_FAULTS if made != "gateway"])
def test_behind_another_product_each_server_fault_is_named(made: str) -> None:
    make, cause = SERVER_FAULTS[made]
    farm = Farm(change=external)
    farm.world.strangers[VIP] = [STRANGER]
    make(farm, "web2")
    assert faults(farm.verify()) == [(cause, "web2")]


def test_a_director_that_could_not_be_looked_at_is_unknown() -> None:
    farm = Farm()
    failure = Failure(kind="could-not-look", what="The director could not be read.", next="Run it with sudo.")
    observed = msgspec.structs.replace(farm.observed(), director=None, failed={"director": failure})
    report = verify(farm.deployment, observed, farm.world.wire())
    assert (report.verdict, report.failures) == ("unknown", ())
    assert "Run it with sudo." in find(report, "director.vip", "director").evidence


# -- two machines with one RIP

TWIN = "02:00:0a:00:00:77"


def twins(farm: Farm) -> Farm:
    farm.world.strangers[WEB2] = [TWIN]
    return farm


@pytest.mark.parametrize("login", [True, False])
def test_another_machine_with_a_real_servers_address_is_one_fault_and_nothing_is_advised_on_the_server(
    login: bool,
) -> None:
    farm = twins(Farm())
    farm.server("web2").ssh = login
    # What was asked of the address went to the other machine.
    wire = Altered(farm, probe=probe_says("silence"), connect=connect_says("refused"))
    real = farm.world.wire()

    class Either(Altered):
        def probe(
            self, interface: str, targets: Sequence[ProbeTarget], deadline: float = 1.0, pace: int = 0
        ) -> Sequence[Probed]:
            through = [one for one in targets if one.mac]
            asked = real if through else wire
            return asked.probe(interface, targets, deadline)

        def connect(self, targets: Sequence[tuple[str, int]], deadline: float = 2.0) -> Sequence[Connected]:
            return wire.connect(targets, deadline)

    check = only(farm.verify(wire=Either(farm)))
    assert (check.check, check.cause, check.host) == ("server.link", "duplicate-rip", "web2")
    assert TWIN in check.fix
    assert "02:00:0a:00:00:66" not in check.fix
    advised = [one.fix for one in farm.verify(wire=Either(farm)).failures]
    assert not [fix for fix in advised if "ip addr add" in fix or "Start the service" in fix]


def test_two_ports_of_one_machine_are_no_second_machine() -> None:
    farm = Farm()
    farm.world.strangers[WEB2] = ["02:00:00:00:01:02"]
    farm.server("web2").machine.links["eth1"] = Link("02:00:00:00:01:02")
    assert farm.verify().failures == ()


def test_two_macs_that_both_answer_for_the_vip_are_one_machine_or_not_told() -> None:
    """A server without a login that answers by both its ports."""
    farm = without_login(twins(Farm()))

    def both(probed: Probed) -> Probed:
        if probed.rip != WEB2:
            return probed
        return msgspec.structs.replace(probed, signature="syn-ack", answered_by=probed.mac, source=VIP)

    report = farm.verify(wire=Altered(farm, probe=both))
    assert (report.verdict, report.failures) == ("unknown", ())


def test_a_virtual_mac_and_a_proxy_are_no_second_machine() -> None:
    farm = Farm()
    farm.world.strangers[WEB2] = ["00:00:5e:00:01:07"]
    assert farm.verify().failures == ()
    farm.world.strangers = {rip: [TWIN] for rip in ("10.0.0.101", WEB2, "10.0.0.103")}
    assert farm.verify().failures == ()


def test_another_real_server_that_has_the_address_is_named() -> None:
    farm = Farm()
    farm.world.strangers[WEB2] = ["02:00:0a:00:00:67"]
    check = only(farm.verify())
    assert (check.cause, check.host) == ("duplicate-rip", "web2")
    assert "02:00:0a:00:00:67 (web3)" in check.fix


@pytest.mark.parametrize(
    ("engine", "box", "runbook"),
    [("external", "load balancer", "other"), ("aloha", "ALOHA", "aloha"), ("barracuda", "Barracuda", "barracuda")],
)
def test_a_load_balancer_that_does_not_answer_is_told_with_where_its_steps_are(
    engine: EngineName, box: str, runbook: str
) -> None:
    farm = Farm()
    director = msgspec.structs.replace(farm.deployment.director, engine=engine)
    farm.deployment = msgspec.structs.replace(farm.deployment, director=director)
    check = only(farm.verify())
    assert (check.check, check.cause) == ("arp.audit", "director-vip")
    assert check.message == "No load balancer answers for 10.0.0.10 on the wire."
    assert check.fix == f"Bring 10.0.0.10 up on the {box}. dsrwizard runbook FILE --balancer {runbook} has the steps."
