"""The deployment file: what is read, what is written, and what an operator is told about every mistake."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from dsrwizard.core.intake.deployment_file import MAX_BYTES, FileRefused, dumps, load, loads
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.deployment import Client, Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import UsageError

SHOP = """\
name = "shop"

[director]
interface = "eth0"

[[vips]]
address = "10.0.0.10"
[[vips.services]]
port = 80

[[servers]]
name = "web1"
address = "10.0.0.101"

[[servers]]
name = "web2"
address = "10.0.0.102"
"""
DESIGN = """\
name = "shop"

[director]
interface = "eth0"                 # the interface in the real servers' network
engine = "netlink"                 # netlink: this machine's IPVS | external: another product balances

[[vips]]
address = "10.0.0.10"              # IPv4 or IPv6, no prefix
[[vips.services]]
protocol = "tcp"                   # tcp | udp
port = 80
scheduler = "wlc"                  # any IPVS scheduler; default wlc
persistence = 0                    # seconds, 0 = off

[[servers]]
name = "web1"
address = "10.0.0.101"
weight = 1
connect = "ssh"                    # ssh | winrm | manual
user = "root"
identity_file = "~/.ssh/id_ed25519"

[client]
address = "203.0.113.10"
user = "root"
"""


def refusal(text: str) -> FileRefused:
    with pytest.raises(FileRefused) as caught:
        loads(text, "shop.toml")
    return caught.value


def changed(old: str, new: str) -> str:
    assert old in SHOP
    return SHOP.replace(old, new, 1)


def test_the_file_of_the_design_is_read() -> None:
    deployment = loads(DESIGN)
    assert deployment == Deployment(
        name="shop",
        director=Director(interface="eth0"),
        vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
        servers=(RealServer(name="web1", address="10.0.0.101", user="root", identity_file="~/.ssh/id_ed25519"),),
        client=Client(address="203.0.113.10", user="root"),
    )


def test_what_is_written_leaves_defaults_out_and_reads_like_the_design() -> None:
    assert dumps(loads(SHOP)).partition("\n")[2] == SHOP
    assert "assword" in dumps(loads(SHOP)).partition("\n")[0]


def test_addresses_come_out_as_the_kernel_writes_them() -> None:
    text = SHOP.replace("10.0.0.101", "FD00:0::65").replace("10.0.0.102", "fd00::0066").replace("10.0.0.10", "FD00::A")
    text += 'vips = ["fd00:0:0::a"]\n'
    deployment = loads(text)
    assert [server.address for server in deployment.servers] == ["fd00::65", "fd00::66"]
    assert deployment.vips[0].address == "fd00::a"
    assert deployment.servers[1].vips == ("fd00::a",)


@pytest.mark.parametrize(
    ("keys", "expects", "sends"),
    [
        ("port = 53", "dns", b"dsrwizard"),
        ("port = 7", "echo", b"dsrwizard"),
        ("port = 514", "any", b"dsrwizard"),
        ('port = 5353\nprobe = "dns"', "dns", b"dsrwizard"),
        ('port = 53\npayload = "status"', "any", b"status"),
        ('port = 53\nprobe = "echo"', "echo", b"dsrwizard"),
        ('port = 1812\npayload = "hex:00 01\\u0020FF"', "any", b"\x00\x01\xff"),
        ('port = 9\nprobe = "echo"\npayload = "é"', "echo", b"\xc3\xa9"),
    ],
)
def test_what_a_udp_service_is_asked_comes_from_the_file_or_from_its_port(
    keys: str, expects: str, sends: bytes
) -> None:
    (service,) = loads(SHOP.replace("port = 80", f'protocol = "udp"\n{keys}')).vips[0].services
    assert (service.expects, service.datagram) == (expects, sends)


def test_a_draft_keeps_what_a_udp_service_is_asked_and_tcp_goes_without_it() -> None:
    udp = SHOP.replace("port = 80", 'protocol = "udp"\nport = 80\nprobe = "echo"\npayload = "hex:00"')
    draft = Draft.from_deployment(loads(udp))
    draft.vips[0].services[0].protocol = "tcp"
    assert deployment_of(draft).vips[0].services == (Service(port=80),)
    draft.vips[0].services[0].protocol = "udp"
    assert deployment_of(draft) == loads(udp)


def test_a_draft_keeps_the_page_of_a_service_and_other_protocols_go_without_it() -> None:
    shop = SHOP.replace("port = 80", 'port = 80\npage = "/large?of=it"')
    draft = Draft.from_deployment(loads(shop))
    assert deployment_of(draft) == loads(shop)
    draft.vips[0].services[0].protocol = "udp"
    assert deployment_of(draft).vips[0].services == (Service(protocol="udp", port=80),)
    draft.vips[0].services[0].protocol, draft.vips[0].services[0].port = "tcp", "22"
    assert deployment_of(draft).vips[0].services == (Service(port=22),)


def test_a_tcp_service_on_port_53_is_asked_by_its_handshake() -> None:
    assert Service(port=53).expects == "any"


def udp(keys: str) -> tuple[str, str]:
    """The change that makes the shop's service a UDP one with these keys."""
    return "port = 80", f'protocol = "udp"\nport = 80\n{keys}'


@pytest.mark.parametrize(
    ("old", "new", "where", "says", "instead"),
    [
        (
            'address = "10.0.0.101"',
            'address = "10.0.0.101"\nwieght = 2',
            "line 14, servers[0].wieght",
            "Unknown key",
            "weight",
        ),
        ("port = 80", 'port = "80"', "line 9, vips[0].services[0].port", "a text", "port = 80 without quotes"),
        ("port = 80", "port = true", "vips[0].services[0].port", "true or false", "whole number"),
        ("port = 80", "port = 80.5", "vips[0].services[0].port", "with a decimal point", "whole number"),
        ("port = 80", "port = 0", "line 9, vips[0].services[0].port", "0 is not a valid port", "1 to 65535"),
        ("port = 80", "port = 1979-05-27", "vips[0].services[0].port", "a date", "whole number"),
        ("port = 80", f"port = 0x{'f' * 9000}", "vips[0].services[0].port", "too large", "port = "),
        ("port = 80", f"port = {'9' * 9000}", "shop.toml", "thousands of digits", "whole number"),
        ("port = 80", 'port = 80\npersistence = "5m"', "line 10", "whole number", "Write 300."),
        ("port = 80", 'port = 80\nprotocol = "TCP"', "line 10", "TCP", 'Did you mean "tcp"?'),
        ("port = 80", 'port = 80\nscheduler = "wlcc"', "line 10", "wlcc", 'Did you mean "wlc"?'),
        ("port = 80", "persistence = 5", "line 8, vips[0].services[0].port", "port is missing", "port = 80"),
        ('name = "web1"\n', "", "line 11, servers[0].name", "name is missing", 'name = "web1"'),
        ('interface = "eth0"', "", "line 3, director.interface", "missing", 'interface = "eth0"'),
        ('[director]\ninterface = "eth0"\n', "", "director", "[director] is missing", "Add [director]"),
        ("[[vips.services]]\nport = 80\n", "", "line 6, vips[0].services", "[[vips.services]] is missing", "port = 80"),
        ("[[vips]]", "[vips]", "line 6, vips", "a table", "[[vips]] with double brackets"),
        ("[[servers]]", "[servers]", "shop.toml, line", "", "[[servers]]"),
        ('name = "shop"', 'name = "shop"\ninterface = "eth0"', "line 2, interface", "Unknown key", "[director]"),
        ("[[servers]]", '[[servers]]\nip = "10.0.0.1"', "line 12, servers[0].ip", "Unknown key", "address"),
        ("port = 80", 'port = 80\nforwarding = "nat"', "line 10", "forwarding", "direct routing"),
        ('"10.0.0.101"', '["10.0.0.101"]', "line 13, servers[0].address", "a list", "quotes"),
        ('"10.0.0.101"', "10.0.0.101", "line 13, column", "neither", 'address = "…"'),
        ('"10.0.0.101"', "", "line 13, column", "no value", 'address = "…"'),
        ('"10.0.0.101"', '"10.0.0.101:8080"', "line 13", "has a port", "rewrites only the MAC"),
        ('"10.0.0.101"', '"10.0.0.101"\nservice_port = 8080', "line 14", "service_port", "listen on 80"),
        ('"10.0.0.101"', '"10.0.0.101"\nvips = "10.0.0.10"', "line 14", "list", 'vips = ["10.0.0.10"]'),
        ('"10.0.0.101"', '"10.0.0.101"\nwinrm = "http"', "line 14, servers[0].winrm", "for WinRM", "connect"),
        ('"10.0.0.101"', '"10.0.0.101"\nsystem = "linux"', "line 14, servers[0].system", "by hand", "manual"),
        (
            '"10.0.0.101"',
            '"10.0.0.101"\nconnect = "winrm"\nwinrm = "http"\nauth = "basic"',
            "line 16, servers[0].auth",
            "in clear text",
            'winrm = "https"',
        ),
        (
            '"10.0.0.101"',
            '"10.0.0.101"\nconnect = "winrm"\nidentity_file = "~/.ssh/id"',
            "line 15, servers[0].identity_file",
            "for SSH",
            "password",
        ),
        (
            '"10.0.0.101"',
            '"10.0.0.101"\nconnect = "winrm"\nca_file = "-----BEGIN CERTIFICATE-----"',
            "line 15, servers[0].ca_file",
            "certificate itself",
            "path",
        ),
        (*udp('probe = "smtp"'), "line 11, vips[0].services[0].probe", "smtp", '"dns" or "echo"'),
        (*udp('probe = "DNS"'), "line 11, vips[0].services[0].probe", "DNS", 'Did you mean "dns"?'),
        (*udp('payload = ""'), "line 11, vips[0].services[0].payload", "is empty", "what to send"),
        (*udp('payload = "hex:"'), "line 11, vips[0].services[0].payload", "is empty", "what to send"),
        (*udp('payload = "hex:0g"'), "line 11, vips[0].services[0].payload", "hexadecimal", '"hex:00 01 0a"'),
        (*udp('payload = "a\\nb"'), "line 11, vips[0].services[0].payload", "control", '"hex:00 01 0a"'),
        (*udp("payload = 5"), "line 11, vips[0].services[0].payload", "a number", "with quotes"),
        (*udp(f'payload = "{"x" * 1401}"'), "line 11, vips[0].services[0].payload", "1401 bytes", "at most 1400"),
        (*udp('probe = "dns"\npayload = "x"'), "line 12, vips[0].services[0].payload", "DNS probe", "Remove payload"),
        ("port = 80", 'port = 80\nprobe = "echo"', "line 10, vips[0].services[0].probe", "for UDP", '"udp"'),
        (*udp('page = "/x"'), "line 11, vips[0].services[0].page", "is for HTTP", "Remove page"),
        ("port = 80", 'port = 22\npage = "/x"', "line 10, vips[0].services[0].page", "is for HTTP", "HTTP ports: 80"),
        ("port = 80", 'port = 80\npage = ""', "line 10, vips[0].services[0].page", "is empty", "/large.html"),
        ("port = 80", 'port = 80\npage = "x"', "line 10, vips[0].services[0].page", "not a path", "/large.html"),
        ("port = 80", 'port = 80\npage = "/a b"', "line 10, vips[0].services[0].page", "not a path", "/large.html"),
        ("port = 80", f'port = 80\npage = "/{"x" * 200}"', "line 10, vips[0].services[0].page", "201", "at most 200"),
        ("port = 80", 'port = 80\npayload = "x"', "line 10, vips[0].services[0].payload", "for UDP", "Remove payload"),
        ('"10.0.0.101"', '" 10.0.0.101"', "line 13", "spaces", "Remove them"),
        ('"10.0.0.101"', '"10.0.0.101\\u0000"', "line 13", "control characters", "Type it again"),
        ('name = "web1"', "name: web1", "line 12", "not TOML", "instead of key: value"),
        ('name = "web1"', 'name = "web1"\nname = "web3"', "line 13", "twice", "Keep one"),
        ('name = "web2"\naddress = "10.0.0.102"\n', 'name = "we', "shop.toml", "ends in the middle", "Close"),
        ('name = "shop"', 'name = """shop', "shop.toml", "ends in the middle", "Close"),
        ("[[servers]]", "[[servers]", "line 11", "not valid TOML", "[[table]]"),
        ("[director]", '["a.b"]\n[director]', "line 3, a.b", "Unknown key", "Known keys"),
    ],
)
def test_a_mistake_is_told_with_file_place_and_what_to_write(
    old: str, new: str, where: str, says: str, instead: str
) -> None:
    error = refusal(changed(old, new))
    assert error.what.startswith("shop.toml")
    assert where in error.what
    assert says in error.what
    assert instead in error.next
    assert error.exit_code == 2
    assert all("\n" not in line for line in error.lines())
    assert len(error.lines()) <= 3


def test_several_mistakes_are_all_found_at_once() -> None:
    text = SHOP.replace("port = 80", 'port = "http"').replace("10.0.0.102", "10.0.0.102/24") + "weigth = 2\n"
    error = refusal(text)
    assert [(problem.line, problem.key) for problem in error.problems] == [
        (9, "vips[0].services[0].port"),
        (18, "servers[1].weigth"),
    ]
    assert "1 more" in error.why
    assert "line 18, servers[1].weigth" in error.why


@pytest.mark.parametrize("key", ["password", "passphrase", "sudo_password", "ansible_become_pass", "api-token"])
@pytest.mark.parametrize("table", ["[[servers]]", "[director]"])
def test_secrets_are_refused_and_never_repeated(key: str, table: str) -> None:
    error = refusal(changed(table, f'{table}\n{key} = "hunter2"'))
    assert "secret" in error.what
    assert "asks for the secret" in error.next
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(
    "line", ["password = hunter2", "password: hunter2", 'password = "hunter2', 'user = "a:hunter2"']
)
def test_a_broken_line_is_not_repeated_either(line: str) -> None:
    error = refusal(changed('name = "web1"', f'name = "web1"\n{line}'))
    assert "line 13" in error.what
    assert "hunter2" not in str(error)


def test_a_pasted_private_key_is_refused_and_not_repeated() -> None:
    error = refusal(SHOP + 'identity_file = "-----BEGIN OPENSSH PRIVATE KEY----- b3BlbnNzaA"\n')
    assert "path" in error.next
    assert "b3BlbnNzaA" not in str(error)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing yet\n", "\N{ZERO WIDTH NO-BREAK SPACE}"])
def test_an_empty_file_is_told_what_a_file_needs(text: str) -> None:
    error = refusal(text)
    assert "empty" in error.what
    assert "[[servers]]" in error.next


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SHOP.replace("\n", "\r\n").encode())
    assert load(path) == loads(SHOP)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'name = "sh\xf6p"\n', "line 1: this is not UTF-8"),
        (SHOP.encode("utf-16"), "UTF-16"),
        (b"\x7fELF\x00\x01\xff", "not UTF-8"),
        (b'name = "shop"\n\x00', "character that is not allowed"),
        (b"#" * (MAX_BYTES + 1), "too large"),
        (b"a = " + b"[" * 100_000, "nested too deeply"),
    ],
    ids=["latin-1", "utf-16", "program", "nul", "huge", "deep"],
)
def test_what_is_no_text_is_refused_with_the_path(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(path) in caught.value.what
    assert says in str(caught.value)
    assert caught.value.next


def test_a_missing_file_and_a_directory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load(tmp_path / "none.toml")
    with pytest.raises(UsageError, match="is a directory"):
        load(tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        load(Path("/dev/null/shop.toml"))
    with pytest.raises(UsageError, match="is not a valid path"):
        load(Path("shop\0.toml"))
    with pytest.raises(UsageError, match="cannot be read"):
        load(Path("x" * 5000))


def test_a_deployment_may_come_through_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(SHOP,))
    writer.start()
    assert load(pipe).name == "shop"
    writer.join()
