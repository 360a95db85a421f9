"""What ~/.ssh/config says for a host, and what weighs more: deployment, configuration, defaults."""

from __future__ import annotations

import getpass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backends.ssh import config
from backends.ssh.expand import File, plain_path
from backends.ssh.route import SshRoute, route_to, route_to_hop
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import HostError

ADDRESS = "10.0.0.101"


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / ".ssh"
    place.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "etc" / "ssh_config")
    return place


def route(ssh: Path, text: str, **given: str | int) -> SshRoute:
    (ssh / "config").write_text(text)
    return route_to("web1", RealServer(name="web1", address=ADDRESS, **given))  # type: ignore[arg-type]


def paths(files: tuple[File, ...]) -> list[Path]:
    return [file.path for file in files]


def test_without_configuration_everything_is_as_ssh_has_it(ssh: Path) -> None:
    found = route_to("client", Client(address="203.0.113.10"))
    assert (found.address, found.port, found.user) == ("203.0.113.10", 22, getpass.getuser())
    assert paths(found.key_files)[0] == ssh / "id_ed25519"
    assert paths(found.user_known) == [ssh / "known_hosts"]
    assert found.timeout == 8


def test_the_deployment_weighs_more_than_the_configuration(ssh: Path) -> None:
    text = f"Host {ADDRESS}\n User admin\n Port 2200\n IdentityFile ~/.ssh/farm\n"
    found = route(ssh, text)
    assert (found.user, found.port, paths(found.key_files)) == ("admin", 2200, [ssh / "farm"])
    found = route(ssh, text, user="root", port=22, identity_file="~/mine")
    assert (found.user, found.port) == ("root", 22)
    assert found.required_key == plain_path(ssh.parent / "mine")
    assert paths(found.key_files) == [ssh / "farm"]


def test_a_server_is_found_by_its_name_too_but_its_place_is_the_deployments(ssh: Path) -> None:
    found = route(ssh, "Host web*\n User admin\n HostName other.example\n ProxyJump bastion\nHost *\n User nobody\n")
    assert (found.user, found.address, found.jumps) == ("admin", ADDRESS, ("bastion",))
    assert route(ssh, f"Host {ADDRESS}\n HostName mgmt.example\n").address == "mgmt.example"
    assert route(ssh, "Host web* !web1\n User admin\n").user == getpass.getuser()


def test_the_first_value_counts_and_keys_add_up(ssh: Path) -> None:
    found = route(ssh, "IdentityFile ~/a\nHost web1\n User one\n IdentityFile %d/b-%r\nHost *\n User two\n")
    assert found.user == "one"
    assert paths(found.key_files) == [ssh.parent / "a", ssh.parent / "b-one"]


def test_include_ends_where_the_file_ends(ssh: Path) -> None:
    (ssh / "farm.d").mkdir()
    (ssh / "farm.d" / "one.conf").write_text("Host web1\n Port 2201\nHost other\n User wrong\n")
    found = route(ssh, "Include farm.d/*.conf\nUser admin\n")
    assert (found.port, found.user) == (2201, "admin")
    (ssh / "farm.d" / "one.conf").write_text("Port 2202\n")
    assert route(ssh, "Include farm.d/*.conf\nUser admin\n").port == 2202
    found = route(ssh, "Host somebody-else\n Include farm.d/*.conf\nHost *\n User admin\n")
    assert (found.port, found.user) == (22, "admin")


def test_include_in_a_circle_is_refused(ssh: Path) -> None:
    with pytest.raises(HostError, match="include each other"):
        route(ssh, "Include config\n")


def test_match_blocks(ssh: Path) -> None:
    assert route(ssh, "Match host 10.0.0.*\n User admin\n").user == "admin"
    assert route(ssh, "Match originalhost web1 user root\n Port 2200\n", user="root").port == 2200
    assert route(ssh, "Match user root\n Port 2200\n", user="other").port == 22
    assert route(ssh, "Match exec true\n Port 2200\n").port == 22
    assert route(ssh, "Match all\n Port 2200\n").port == 2200


def test_jump_hosts(ssh: Path) -> None:
    found = route(ssh, "ProxyJump ops@a:2222,b\n")
    assert found.jumps == ("ops@a:2222", "b")
    assert route(ssh, "Host web1\n ProxyJump none\nHost *\n ProxyJump b\n").jumps == ()
    hop = route_to_hop("ops@[fd00::1]:2222", ("first",))
    assert (hop.user, hop.address, hop.port, hop.jumps) == ("ops", "fd00::1", 2222, ("first",))
    assert route_to_hop("fd00::1", ()).address == "fd00::1"
    route(ssh, "Host *\n ProxyJump ops@bastion\n")
    assert route_to_hop("ops@bastion", ()).jumps == (), "nobody jumps to a host through itself"


def test_proxy_command_tokens_and_quotes(ssh: Path) -> None:
    found = route(ssh, 'ProxyCommand nc -X "connect" %h %p # %% %r\nUser=admin\n')
    assert found.proxy_command == f'nc -X "connect" {ADDRESS} 22 # % admin'
    assert found.user == "admin"
    assert route(ssh, "ProxyCommand none\n").proxy_command is None


def test_names_of_the_host_key(ssh: Path) -> None:
    assert route(ssh, "").key_names == (ADDRESS,)
    assert route(ssh, "Port 2200\n").key_names == (f"[{ADDRESS}]:2200", ADDRESS)
    assert route(ssh, "Port 2200\nHostKeyAlias Farm\n").key_names == ("farm",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Port none-such\n", "config line 1"),
        ("\nPort 70000\n", "config line 2"),
        ('User "unclosed\n', "quotation mark"),
        ("Port\n", "has no value"),
        ("ConnectTimeout soon\n", "number"),
    ],
)
def test_a_broken_line_is_named(ssh: Path, text: str, words: str) -> None:
    with pytest.raises(HostError) as caught:
        route(ssh, text)
    assert words in str(caught.value)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_in_words(ssh: Path, text: str) -> None:
    (ssh / "config").write_bytes(text.encode("utf-8", "replace"))
    try:
        route_to("web1", RealServer(name="web1", address=ADDRESS))
    except HostError as error:
        assert error.next  # noqa: PT017
