"""Every refusal beyond types: what is wrong, at which key, and what the operator is told to write."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import Draft, DraftClient, DraftServer, DraftService, DraftVip
from dsrwizard.core.intake.problems import Refusal
from dsrwizard.core.intake.validate import deployment_of, problems_of, problems_of_draft
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.foreign import harmless


def shop() -> Draft:
    return Draft(
        name="shop",
        interface="eth0",
        vips=[DraftVip(address="10.0.0.10", services=[DraftService(port="80")])],
        servers=[DraftServer(name="web1", address="10.0.0.101"), DraftServer(name="web2", address="10.0.0.102")],
    )


def told(draft: Draft) -> list[tuple[str, str]]:
    return [(problem.key, problem.text) for problem in problems_of_draft(draft)]


def only(draft: Draft, key: str, *words: str) -> None:
    """Exactly one problem, at this key, with these words."""
    found = told(draft)
    assert [each for each, _ in found] == [key], found
    for word in words:
        assert word in found[0][1]
    assert found[0][1].endswith((".", "?"))


SINGLE_FIELDS: list[Callable[[str], Refusal | None]] = [
    fields.vip, fields.address, fields.address6, fields.port, fields.connection_port, fields.weight,
    fields.persistence, fields.scheduler, fields.name, fields.server_name, fields.director_interface,
    fields.vip_interface, fields.user, fields.identity_file,
]  # fmt: skip


def text_of(fault: Refusal | None) -> str:
    return fault.text if fault else ""


def test_a_good_draft_has_no_problems() -> None:
    assert told(shop()) == []


def test_an_untouched_draft_asks_for_what_is_missing() -> None:
    assert [key for key, _ in told(Draft())] == [
        "director.interface",
        "vips[0].address",
        "vips[0].services[0].port",
        "servers",
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "for example 10.0.0.10"),
        ("10.0.0.10/24", "Write 10.0.0.10: dsrwizard always uses /32"),
        ("fd00::10/64", "Write fd00::10: dsrwizard always uses /128"),
        ("10.0.0.10:80", "Write 10.0.0.10 here and 80 as the port of a service"),
        ("[fd00::10]:80", "Write fd00::10 here and 80"),
        ("[fd00::10]", "Write fd00::10."),
        ("224.0.0.1", "multicast"),
        ("ff02::1", "multicast"),
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("0.0.0.0", "no address"),
        ("::", "no address"),
        ("169.254.1.1", "link-local"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "zone"),
        ("fd00::1%eth0", "zone"),
        ("::ffff:10.0.0.1", "Write 10.0.0.1."),
        ("255.255.255.255", "broadcast"),
        ("10.0.0.010", "Write 10.0.0.10."),
        ("10.0.0.256", "0 to 255"),
        ("10.0.0", "0 to 255"),
        ("shop.example.com", "Write its IP address; IPVS needs it"),
        ("http://10.0.0.10/", "URL"),
        ("10.0.0.10, 10.0.0.11", "one address"),
        ("10.0.0.10-20", "not an IP address"),
    ],
)
def test_what_cannot_be_a_vip(text: str, words: str) -> None:
    assert words in text_of(fields.vip(text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10.0.0.101/24", "Write 10.0.0.101 without the prefix"),
        ("10.0.0.101:8080", "rewrites only the MAC"),
        ("[fd00::1]:8080", "rewrites only the MAC"),
        ("root@10.0.0.101", "as user"),
        ("web1", "Write its IP address; IPVS needs it"),
        ("127.0.0.1", "loopback"),
    ],
)
def test_what_cannot_be_a_rip(text: str, words: str) -> None:
    assert words in text_of(fields.address(text))


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (fields.vip, ["10.0.0.10", " 10.0.0.10 ", "fd00::10", "203.0.113.5", "2001:db8::1"], ["x"]),
        (fields.address, ["10.0.0.101", "fd00::1"], ["", "10.0.0.1 10.0.0.2"]),
        (fields.address6, ["", "fd00::1"], ["10.0.0.1", "fe80::1"]),
        (
            fields.port,
            ["1", "65535", " 80 "],
            ["", "0", "65536", "-1", "http", "80.0", "8e1", "٨٠", "9" * 99],
        ),
        (fields.connection_port, ["", "22", "2222"], ["0", "65536", "ssh"]),
        (fields.weight, ["0", "1", "65535"], ["", "-1", "65536", "1.5", "heavy"]),
        (fields.persistence, ["0", "360", "2678400"], ["", "-1", "2678401", "5m", "1.5", "off"]),
        (fields.scheduler, ["rr", "wlc", "mh", "sh"], ["", "WLC", "wlcc", "least"]),
        (
            fields.name,
            ["shop", "a", "web-1.example_x", "9", "x" * 63],
            ["", "x" * 64, ".x", "-x", "a/b", "é"],
        ),
        (fields.server_name, ["web1"], ["director", "Client", "a b", "a\nb", 'a"b']),
        (
            fields.director_interface,
            ["eth0", "eth0.100", "enp3s0f1np1", "br-lan"],
            ["", "lo", "eth0:1", "eth 0", "x" * 16],
        ),
        (fields.vip_interface, ["lo", "dummy0"], ["", "lo:0", "a/b", ".", "..", "all", "-x", "dummy0@NONE"]),
        (
            fields.user,
            ["", "root", "deploy_1", "DOM\\user", "ops@example.com", "jörg"],
            [
                *("a b", "root:hunter2", "-oProxy", "a\x1b", "a\nb", "x" * 256, "DOM\\"),
                *(f"a{sign}b" for sign in "'`\"$;&<>|(){}"),
            ],
        ),
        (
            fields.identity_file,
            ["", "~/.ssh/id ed", "~/.ssh/$key"],
            ["-----BEGIN OPENSSH PRIVATE KEY-----", "a\x00b", "${HOME}/key"],
        ),
    ],
)
def test_single_fields(check: Callable[[str], Refusal | None], good: list[str], bad: list[str]) -> None:
    assert [check(text) for text in good] == [None] * len(good)
    assert [text for text in bad if check(text) is None] == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", "Write 30."), ("5m", "Write 300."), ("1 h", "Write 3600."), ("90d", "31 days")]
)
def test_persistence_with_a_unit_is_worked_out(text: str, seconds: str) -> None:
    assert seconds in text_of(fields.persistence(text))


def test_what_ip_link_prints_after_a_name_is_taken_off() -> None:
    assert "Write eth0." in text_of(fields.director_interface("eth0@if12"))
    assert "Write lo." in text_of(fields.vip_interface("lo:0"))


def test_neither_user_nor_key_are_repeated() -> None:
    assert "hunter2" not in text_of(fields.user("root:hunter2"))
    assert "b3Blbn" not in text_of(fields.identity_file("-----BEGIN OPENSSH PRIVATE KEY-----b3Blbn"))


def test_a_vip_that_is_a_rip() -> None:
    draft = shop()
    draft.servers[1].address = "10.0.0.10"
    only(draft, "servers[1].address", "10.0.0.10 is the VIP", "own address")


def test_a_vip_that_is_a_rip_in_another_spelling() -> None:
    draft = shop()
    draft.vips[0].address = "fd00:0:0::a"
    draft.servers[0].address = "fd00::1"
    draft.servers[1].address = "FD00::A"
    only(draft, "servers[1].address", "is the VIP")


def test_a_vip_that_is_an_ipv6_rip() -> None:
    draft = shop()
    draft.vips.append(DraftVip(address="fd00::a", services=[DraftService(port="80")]))
    draft.servers[0].address6 = "fd00::a"
    draft.servers[1].address6 = "fd00::2"
    only(draft, "servers[0].address6", "is the VIP")


def test_the_same_vip_twice() -> None:
    draft = shop()
    draft.vips.append(DraftVip(address="10.0.0.10", services=[DraftService(port="443")]))
    only(draft, "vips[1].address", "twice", "one entry")


def test_two_services_on_one_port() -> None:
    draft = shop()
    draft.vips[0].services += [DraftService(port="443"), DraftService(port="80", scheduler="rr")]
    only(draft, "vips[0].services[2].port", "tcp port 80")
    draft.vips[0].services[2].protocol = "udp"
    assert told(draft) == []


def test_a_vip_without_services_and_a_deployment_without_vips() -> None:
    draft = shop()
    draft.vips[0].services = []
    only(draft, "vips[0].services", "no service")
    draft.vips = []
    only(draft, "vips", "no VIP")


def test_server_names_and_addresses_belong_to_one_server() -> None:
    draft = shop()
    draft.servers[1].name = "WEB1"
    only(draft, "servers[1].name", "Two real servers")
    draft.servers[1] = DraftServer(name="web2", address="10.0.0.101")
    only(draft, "servers[1].address", 'already the address of server "web1"')


def test_the_client_is_neither_vip_nor_server() -> None:
    draft = shop()
    draft.client = DraftClient(address="10.0.0.10")
    only(draft, "client.address", "is the VIP")
    draft.client.address = "10.0.0.102"
    only(draft, "client.address", '"web2"', "holds the VIP itself")
    draft.client.address = "203.0.113.10"
    assert told(draft) == []
    draft.client.address = ""
    only(draft, "client.address", "missing")


def test_a_server_names_only_vips_that_exist() -> None:
    draft = shop()
    draft.servers[0].vips = ["10.0.0.11", "10.0.0.10"]
    only(draft, "servers[0].vips", '"10.0.0.11" is not a VIP', "10.0.0.10")
    draft.servers[0].vips = []
    only(draft, "servers[0].vips", "serves no VIP", "remove vips")


def test_a_vip_nobody_serves() -> None:
    draft = shop()
    draft.vips.append(DraftVip(address="10.0.0.11", services=[DraftService(port="80")]))
    for server in draft.servers:
        server.vips = ["10.0.0.10"]
    only(draft, "servers", "No real server serves the VIP 10.0.0.11")


def test_a_vip_of_another_family_than_the_server() -> None:
    draft = shop()
    draft.vips.append(DraftVip(address="fd00::a", services=[DraftService(port="80")]))
    draft.servers[1].address6 = "fd00::2"
    only(draft, "servers[0].address6", "no IPv6 address", "Add address6 = ", 'list vips = ["10.0.0.10"]')
    draft.servers[0].vips = ["10.0.0.10"]
    assert told(draft) == []
    draft.servers[0].vips = None
    draft.servers[0].address6 = "fd00::1"
    assert told(draft) == []


def test_an_ipv4_vip_needs_ipv4_servers() -> None:
    draft = shop()
    draft.servers[0].address = "fd00::1"
    only(draft, "servers[0].address", "no IPv4 address", "address6")


def test_the_connections_port_is_not_the_services() -> None:
    draft = shop()
    draft.servers[0].port = "80"
    only(draft, "servers[0].port", "SSH port", "Remove port")
    draft.servers[0].connect = "manual"
    assert told(draft) == []
    draft = shop()
    draft.vips[0].services[0].port = "22"
    draft.servers[0].port = "22"
    assert told(draft) == []


def test_what_is_allowed_though_unusual() -> None:
    draft = shop()
    draft.vips[0].address = "192.0.2.80"
    draft.servers[0].weight = "0"
    draft.servers[1].connect = "winrm"
    assert told(draft) == []


def deployment(server: RealServer) -> Deployment:
    vips = (Vip(address="10.0.0.10", services=(Service(port=80), Service(port=443))),)
    return Deployment(name="shop", director=Director(interface="eth0"), vips=vips, servers=(server,))


def test_a_port_on_the_server_that_is_not_the_services() -> None:
    [problem] = problems_of(deployment(RealServer(name="web1", address="10.0.0.101", service_port=8080)))
    assert problem.key == "servers[0].service_port"
    assert "rewrites only the MAC" in problem.text
    assert "listen on 80" in problem.text


def test_spaces_in_a_file_are_not_taken_over() -> None:
    [problem] = problems_of(deployment(RealServer(name="web1", address="10.0.0.101", user="root ")))
    assert problem.key == "servers[0].user"


def test_a_draft_becomes_the_deployment_it_stands_for() -> None:
    draft = shop()
    draft.name, draft.servers[0].user, draft.vips[0].address = " shop ", " root ", " 10.0.0.10 "
    draft.servers[0].port = "2222"
    made = deployment_of(draft)
    assert (made.name, made.vips[0].address) == ("shop", "10.0.0.10")
    assert (made.servers[0].user, made.servers[0].port, made.servers[1].port) == ("root", 2222, None)
    assert deployment_of(Draft.from_deployment(made)) == made


def test_a_draft_with_problems_is_no_deployment() -> None:
    draft = shop()
    draft.servers[0].address = "web1.example.com"
    with pytest.raises(UsageError) as caught:
        deployment_of(draft)
    assert "servers[0].address" in caught.value.what
    assert "IPVS needs it" in caught.value.next


TYPED = st.text(max_size=12) | st.sampled_from(
    ["10.0.0.10", "fd00::a", "80", "", "lo", "::ffff:1.2.3.4", "1e5", "\ud800"]
)
SERVERS = st.builds(
    DraftServer,
    **dict.fromkeys(["name", "address", "address6", "weight", "connect", "user", "port", "vip_interface"], TYPED),
    vips=st.none() | st.lists(TYPED, max_size=2),
)
SERVICES = st.builds(DraftService, **dict.fromkeys(["protocol", "port", "scheduler", "persistence"], TYPED))
DRAFTS = st.builds(
    Draft,
    name=TYPED,
    interface=TYPED,
    engine=TYPED,
    vips=st.lists(st.builds(DraftVip, address=TYPED, services=st.lists(SERVICES, max_size=2)), max_size=2),
    servers=st.lists(SERVERS, max_size=3),
    client=st.none() | st.builds(DraftClient, address=TYPED, port=TYPED),
)


@given(DRAFTS)
@settings(max_examples=100, deadline=None)
def test_whatever_is_typed_is_a_deployment_or_has_problems(draft: Draft) -> None:
    problems = problems_of_draft(draft)
    for problem in problems:
        assert problem.key
        assert harmless(problem.text)
    if not problems:
        assert problems_of(deployment_of(draft)) == []


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_in_any_field_has_an_answer(text: str) -> None:
    for check in SINGLE_FIELDS:
        answer = check(text)
        assert answer is None or (answer.text and harmless(answer.text))


@pytest.mark.parametrize(
    ("values", "key", "said"),
    [
        ({"dns_name": "10.0.0.101"}, "dns_name", "a name, not an address"),
        ({"dns_name": "web1.corp.example:5986"}, "dns_name", "not a host name"),
        ({"dns_name": "web1..example"}, "dns_name", "not a host name"),
        ({"dns_name": "https://web1"}, "dns_name", "not a host name"),
        ({"auth": "kerberos", "user": ".\\admin"}, "user", "no local accounts"),
        ({"kerberos_service": "HTTP"}, "kerberos_service", "is for Kerberos"),
        ({"look_seconds": "19"}, "look_seconds", "20"),
        ({"look_seconds": "901"}, "look_seconds", "900"),
        ({"look_seconds": "a minute"}, "look_seconds", "number"),
        ({"look_seconds": ""}, "look_seconds", "missing"),
        ({"connect": "ssh", "look_seconds": "90"}, "look_seconds", "is for WinRM"),
        ({"auth": "kerberos", "kerberos_service": "HOST"}, "kerberos_service", "not a known Kerberos service"),
        ({"connect": "ssh", "dns_name": "web1.example"}, "dns_name", "is for WinRM"),
        ({"connect": "ssh", "kerberos_service": "HTTP"}, "kerberos_service", "is for WinRM"),
    ],
)
def test_names_and_services_of_windows_servers_that_cannot_be(values: dict[str, str], key: str, said: str) -> None:
    server = DraftServer(name="web1", address="10.0.0.101", **({"connect": "winrm"} | values))  # type: ignore[arg-type]
    draft = Draft(interface="eth0", vips=[DraftVip(address="10.0.0.10")], servers=[server])
    draft.vips[0].services[0].port = "80"
    problems = problems_of_draft(draft)
    assert [one.key for one in problems] == [f"servers[0].{key}"]
    assert said in problems[0].text
