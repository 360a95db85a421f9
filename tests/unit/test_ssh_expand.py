"""What is put into values of the SSH configuration: where ssh does it, never as shell syntax, and no secret is told."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.ssh import config, open_ssh
from backends.ssh.route import SshRoute, route_to, route_to_hop
from dsrwizard.cli import main as cli
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import HostError
from tests.ssh.sshd import Operator

ADDRESS = "10.0.0.101"
CANARY = "canary-77ab"
DEPLOYMENT = """
name = "shop"
[director]
interface = "lo0"
engine = "external"
[[vips]]
address = "10.0.0.10"
[[vips.services]]
protocol = "tcp"
port = 80
[[servers]]
name = "web1"
address = "10.0.0.101"
{line}
"""


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / ".ssh"
    place.mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "etc" / "ssh_config")
    return place


def server(**given: str | int) -> RealServer:
    return RealServer(name="web1", address=ADDRESS, **given)  # type: ignore[arg-type]


def route(ssh: Path, text: str, **given: str | int) -> SshRoute:
    (ssh / "config").write_text(text)
    return route_to("web1", server(**given))


def refused(ssh: Path, text: str, **given: str | int) -> str:
    with pytest.raises(HostError) as caught:
        route(ssh, text, **given)
    assert caught.value.next
    return str(caught.value)


@pytest.mark.parametrize("user", ["$(touch {})", "`touch {}`", "a;touch {}", "a|touch {}", "a&touch {}", "a>{}"])
def test_a_deployment_file_runs_nothing_here(
    ssh: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], user: str
) -> None:
    done = tmp_path / "done"
    (ssh / "config").write_text("ProxyCommand true -W %h:%p %r@bastion\n")
    name = user.format(done).replace(" ", "${IFS}")
    file = tmp_path / "shop.toml"
    file.write_text(DEPLOYMENT.format(line=f'user = "{name}"'))
    assert cli.run(["plan", str(file)]) == 2
    assert "login name" in capsys.readouterr().err
    with pytest.raises(HostError) as caught:
        open_ssh("web1", server(user=name), Operator())
    assert str(done) not in str(caught.value)
    assert not done.exists()


@pytest.mark.parametrize(
    ("command", "as_run"),
    [
        ("nc %h %p", "nc 10.0.0.101 22"),
        ('ssh -W %h:%p "%r@bastion"', 'ssh -W 10.0.0.101:22 "ops@bastion"'),
        ("relay --to='%h' --user=%r %%h", "relay --to='10.0.0.101' --user=ops %h"),
        ("nc ${JUMP} %n", "nc ${JUMP} 10.0.0.101"),
    ],
)
def test_harmless_values_stand_in_a_command_as_they_are(
    ssh: Path, monkeypatch: pytest.MonkeyPatch, command: str, as_run: str
) -> None:
    monkeypatch.setenv("JUMP", "$(id)")
    assert route(ssh, f"ProxyCommand {command}\n", user="ops").proxy_command == as_run


@pytest.mark.parametrize("command", ["nc %r", 'nc "%r"', "nc '%r'", "nc --as=%r"])
@pytest.mark.parametrize("user", ["DOM\\ops", "jörg", "a*b", "a,b", "a#b", "a~b", "a=b", "a!b"])
def test_what_a_shell_might_change_is_refused_in_a_command_and_only_there(ssh: Path, command: str, user: str) -> None:
    said = refused(ssh, f"\nProxyCommand {command}\n", user=user)
    assert "config line 2" in said
    assert "%r" in said
    assert route(ssh, "ProxyCommand nc %h %p\n", user=user).user == user


@pytest.mark.parametrize("token", ["%d", "%u", "%C", "%x", "%"])
def test_other_tokens_are_refused_in_a_command_as_in_ssh(ssh: Path, token: str) -> None:
    assert "not a token" in refused(ssh, f"ProxyCommand nc {token}\n")


@pytest.mark.parametrize(
    "name", ["-oProxyCommand=id", "a b", "$(id)", "a;id", "a,b", "*", "a#b", "x@y", "a`id`", "{a}"]
)
@pytest.mark.parametrize("keyword", ["HostName", "HostKeyAlias", "ProxyJump"])
def test_names_that_no_host_has_are_refused(ssh: Path, keyword: str, name: str) -> None:
    if keyword == "ProxyJump":
        with pytest.raises(HostError, match=r"cannot be|is refused"):
            route_to_hop(name if name != "x@y" else "-x@y", ())
        return
    said = refused(ssh, f'{keyword} "{name}"\n')
    assert "cannot be the name of a host" in said
    assert "config line 1" in said


@pytest.mark.parametrize("user", ["-l", "$(id)", "a;id", "a`id`", "a b", "a:b", "x\\"])
def test_users_that_ssh_refuses_are_refused_wherever_they_come_from(
    ssh: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    assert "the deployment" in refused(ssh, "", user=user)
    with pytest.raises(HostError, match=r"cannot be|is refused"):
        route_to("client", Client(address=ADDRESS, user=user))
    with pytest.raises(HostError, match=r"cannot be|is refused"):
        route_to_hop(f"{user}@bastion", ())
    assert "config line 1" in refused(ssh, "User '{}'\n".format(user.replace("\\", "\\\\")))
    monkeypatch.setenv("LOGNAME", user)
    assert "LOGNAME" in refused(ssh, "")


def test_an_address_that_is_an_option_is_refused() -> None:
    with pytest.raises(HostError, match="cannot be the name of a host"):
        route_to("web1", RealServer(name="web1", address="-oProxyCommand=id"))


def test_no_command_of_match_is_run(ssh: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    found = route(ssh, f'Match exec "touch {done}"\n  Port 2200\nMatch !exec "touch {done}"\n  Port 2201\n')
    assert found.port == 22
    assert not done.exists()


def test_a_deployments_file_knows_no_variables(
    ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MY_TOKEN", CANARY)
    with pytest.raises(HostError) as caught:
        open_ssh("web1", server(identity_file="/x/${MY_TOKEN}"), Operator())
    assert "/x/${MY_TOKEN}" in caught.value.what
    file = tmp_path / "shop.toml"
    file.write_text(DEPLOYMENT.format(line='identity_file = "/x/${MY_TOKEN}"'))
    assert cli.run(["plan", str(file)]) == 2
    out, err = capsys.readouterr()
    assert CANARY not in f"{caught.value}{out}{err}"


def test_the_operators_own_file_knows_variables_and_none_is_told(
    ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEYS", f"{tmp_path}/{CANARY}%h")
    found = route(ssh, "IdentityFile ${KEYS}/%r\nUserKnownHostsFile ${KEYS}/known\n", user="ops")
    [key], [known] = found.key_files, found.user_known
    assert key.path == tmp_path / f"{CANARY}%h" / "ops"
    assert known.path == tmp_path / f"{CANARY}%h" / "known"
    assert CANARY not in key.text + known.text + known.argument
    assert key.text == "${KEYS}/%r"


@pytest.mark.parametrize("keyword", ["HostName", "User", "HostKeyAlias", "GlobalKnownHostsFile", "ProxyJump", "Port"])
def test_variables_are_put_in_nowhere_else(ssh: Path, monkeypatch: pytest.MonkeyPatch, keyword: str) -> None:
    monkeypatch.setenv("MY_TOKEN", CANARY)
    try:
        told = repr(route(ssh, f"{keyword} ${{MY_TOKEN}}\n"))
    except HostError as error:
        told = str(error)
    assert CANARY not in told


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("${NOT_SET_ANYWHERE}/key", "NOT_SET_ANYWHERE is not set"),
        ("${open", "not closed"),
        ("~nobody-here/key", "no user"),
    ],
)
def test_what_cannot_be_put_in_is_an_error_that_names_its_line(ssh: Path, value: str, why: str) -> None:
    said = refused(ssh, f"IdentityFile {value}\n")
    assert why in said
    assert "config line 1" in said


def test_an_identity_file_of_nobody_is_said(ssh: Path) -> None:
    with pytest.raises(HostError) as caught:
        open_ssh("web1", server(identity_file="~nobody-here/key"), Operator())
    assert "no user “nobody-here”" in caught.value.why


def test_a_key_file_that_never_ends_is_not_read(ssh: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in ("/dev/zero", str(pipe)):
        with pytest.raises(HostError) as caught:
            open_ssh("web1", server(identity_file=path), Operator())
        assert "not an ordinary file" in caught.value.why
    (tmp_path / "large").write_bytes(b"x" * 2_000_000)
    with pytest.raises(HostError, match="too large"):
        open_ssh("web1", server(identity_file=str(tmp_path / "large")), Operator())
