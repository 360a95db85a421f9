"""Values of deployment files, inventories, the SSH configuration and the environment, in commands they get into."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.ssh import config
from backends.ssh.reach import proxied
from backends.ssh.route import route_to, route_to_hop
from dsrwizard.core.intake import importers
from dsrwizard.core.intake.draft import Draft, DraftServer, DraftService, DraftVip
from dsrwizard.core.intake.validate import deployment_of, problems_of_draft
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import HostError
from tests.hostile.conftest import Tally

Scale = Callable[[int, int], int]
Tallies = Callable[[str], Tally]

ADDRESS = "10.0.0.101"
RECORDER = """#!/bin/sh
printf '%s\\0' "$#" "$@" >"$RECORDED"
"""
PLAIN = ("root", "ops", "web-1", "a.b", "x", "ops@corp.example", "10.0.0.9", "fd00::9", "jörg", "A_1")
HOSTILE = (
    *("$(touch CANARY)", "`touch CANARY`", ";touch CANARY", "|touch CANARY", "&touch CANARY", "&&touch CANARY;"),
    *("\ntouch CANARY\n", "\rtouch CANARY", "'; touch CANARY; '", '"; touch CANARY; "', "'$(touch CANARY)'"),
    *(
        "${x:=$(touch CANARY)}",
        "$IFS",
        "${IFS}",
        "$((1))",
        ">CANARY",
        "<CANARY",
        ">>CANARY",
        "2>CANARY",
        "{touch,CANARY}",
    ),
    *(
        "-oProxyCommand=touch CANARY",
        "--",
        "-",
        "-l",
        " -oX=y",
        "\t-x",
        "#",
        "~",
        "~root",
        "*",
        "?",
        "[a-z]",
        "!!",
        "!1",
    ),
    *(
        "\\",
        "\\\\",
        "\\n",
        "\\'",
        "'",
        '"',
        "`",
        "$",
        "%h",
        "%r",
        "%%",
        "%",
        "%n%n",
        "a b",
        " ",
        "\x00",
        "\x1b[2J",
        "\u202e",
    ),
    *(
        "a,b",
        "a=b",
        "a:b",
        "a/b",
        "../..",
        "x@y@z",
        "=",
        "^x",
        "()",
        "(touch CANARY)",
        "\u2028",
        "\uff04(id)",
        "\udc80",
    ),
)
COMMANDS = (
    *("RUN %h %p %r@bastion", 'RUN "%h" "%p" "%r@bastion"', "RUN '%h' '%p' '%r@bastion'", "RUN --to=%h:%p --as=%r"),
    *('RUN "--to=%h:%p" --as="%r"', "RUN -W %h:%p -l%r %n", "sh -c 'RUN %h %r'", 'sh -c "RUN \\"%h\\" %n"'),
    *("RUN [%h]:%p", "RUN `echo %h` $(echo %r)", "RUN %%h %r", "RUN a%hb%rc", "RUN '%h'\"%r\"%n"),
)


def value(dice: random.Random) -> str:
    """One that is plain, hostile, or made of both."""
    if dice.random() < 0.35:
        return dice.choice(PLAIN)
    return "".join(dice.choice(PLAIN if dice.random() < 0.4 else HOSTILE) for _ in range(dice.randint(1, 3)))


def written(text: str) -> str:
    """As a line of a configuration file can hold it."""
    return text.replace("\n", " ").replace("\r", " ").replace("\x00", " ")


class Ground:
    """A HOME with a configuration, a program that writes down its arguments, and a canary that nobody may touch."""

    def __init__(self, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.place, self.ssh = place, place / ".ssh"
        self.ssh.mkdir()
        self.recorder, self.recorded = place / "recorder", place / "recorded"
        self.recorder.write_text(RECORDER)
        self.recorder.chmod(0o755)
        self._files = self._all()
        monkeypatch.setenv("HOME", str(place))
        monkeypatch.setenv("RECORDED", str(self.recorded))
        monkeypatch.chdir(place)
        monkeypatch.setattr(config, "SYSTEM_CONFIG", place / "etc" / "ssh_config")

    def _all(self) -> set[str]:
        return {path.name for path in self.place.rglob("*")} | {"recorded", "config"}

    def configure(self, text: str) -> None:
        (self.ssh / "config").write_bytes(text.encode("utf-8", "surrogateescape"))

    def run(self, command: str) -> list[str]:
        """Runs a ProxyCommand as a connection would; the arguments its program got."""
        self.recorded.unlink(missing_ok=True)
        stream = proxied(command)
        try:
            stream.sock.settimeout(20)
            try:
                assert stream.sock.recv(1) == b""
            except TimeoutError as error:
                raise AssertionError(f"does not end: {command}") from error
        finally:
            stream.release()
        assert self.recorded.exists(), f"the program was not run: {command}"
        count, *words = self.recorded.read_bytes().decode("utf-8", "surrogateescape").split("\0")[:-1]
        assert int(count) == len(words)
        return words

    def untouched(self) -> None:
        made = self._all() - self._files
        for path in self.place.iterdir():
            if path.name in made:
                path.unlink()
        assert not made, f"files came into being: {made}"


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ground:
    return Ground(tmp_path, monkeypatch)


def quoted(command: str, ground: Ground) -> str:
    return command.replace("RUN", str(ground.recorder))


def words_of(command: str, tokens: dict[str, str]) -> list[str]:
    """What the program must get: the words of the command as its author wrote them, each with its values in place."""
    bare = {"sh -c 'RUN %h %r'": "RUN %h %r", 'sh -c "RUN \\"%h\\" %n"': "RUN %h %n"}.get(command, command)
    bare = bare.replace("`echo %h` $(echo %r)", "%h %r").replace('"', "").replace("'", "")
    tokens = tokens | {"%": "%"}
    return [re.sub("%(.)", lambda found: tokens[found[1]], word) for word in bare.split()[1:]]


def test_values_stay_values_in_proxy_commands(ground: Ground, scale: Scale, tally: Tallies) -> None:
    """A file, the configuration, the environment: refused, or the program gets exactly the words that were written."""
    counted, passed = tally("SSH: values in commands"), 0
    for seed in range(scale(250, 6000)):
        dice = random.Random(seed)
        template = dice.choice(COMMANDS)
        user, name, host = (value(dice) for _ in range(3))
        where = dice.choice(("deployment", "config", "alias", "environment"))
        text = f"ProxyCommand {quoted(template, ground)}\n"
        given = {"user": user} if where == "deployment" else {}
        if where == "config":
            text += f"User {written(user)}\nHostName {written(host)}\n"
        elif where == "alias":
            text += f"HostKeyAlias {written(host)}\n"
        ground.configure(text)
        with pytest.MonkeyPatch.context() as patch, counted.case(f"seed {seed}"):
            if where == "environment" and "\0" not in user:
                patch.setenv("LOGNAME", user)
            try:
                route = route_to("web1", RealServer(name=name, address=ADDRESS, **given))  # type: ignore[arg-type]
            except HostError as error:
                assert error.next  # noqa: PT017
                assert str(error).isprintable()  # noqa: PT017
            else:
                assert route.proxy_command
                tokens = {"h": route.address, "n": ADDRESS, "p": "22", "r": route.user}
                assert ground.run(route.proxy_command) == words_of(template, tokens), route.proxy_command
                passed += 1
            ground.untouched()
    counted.settle()
    assert passed > counted.tried / 10, "hardly a value was let through: nothing was tried"


def test_jump_hosts_are_hosts(ground: Ground, scale: Scale, tally: Tallies) -> None:
    counted, passed = tally("SSH: jump hosts"), 0
    for seed in range(scale(1000, 20000)):
        dice = random.Random(seed)
        hop = dice.choice(("{0}@{1}", "{1}", "ssh://{0}@{1}:22", "{0}@[{1}]:2222", "{1}:{0}")).format(
            value(dice), value(dice)
        )
        ground.configure(f"ProxyCommand {ground.recorder} %h %r\n" if dice.random() < 0.5 else "")
        with counted.case(f"seed {seed}: {hop!r}"):
            try:
                route = route_to_hop(hop, ())
            except HostError as error:
                assert str(error).isprintable()  # noqa: PT017
            else:
                passed += 1
                for word in (route.user, route.address):
                    assert word.isprintable()
                    assert not word.startswith("-")
                    assert not set(word) & set(" '`\"$;&<>|(){}")
    ground.untouched()
    counted.settle()
    assert passed > counted.tried / 10


def test_imported_lists_bring_no_command(ground: Ground, scale: Scale, tally: Tallies) -> None:
    """Ansible inventories, ssh configs and plain lists: what the wizard would take over runs nothing."""
    counted, passed = tally("SSH: imported values"), 0
    ground.configure(f"ProxyCommand {ground.recorder} %h %r\n")
    for seed in range(scale(300, 5000)):
        dice = random.Random(seed)
        user, address, name = value(dice), dice.choice((ADDRESS, value(dice))), dice.choice(("web1", value(dice)))
        kind, text = dice.choice(
            (
                ("ansible", f"[web]\n{name} ansible_host={address} ansible_user={user}\n"),
                (
                    "ansible",
                    f"all:\n  hosts:\n    {name}:\n      ansible_host: {address}\n      ansible_user: {user!r}\n",
                ),
                ("ssh_config", f"Host {name}\n  HostName {address}\n  User {user}\n"),
                ("plain", f"{user}@{address}\n{name} {address}\n"),
            )
        )
        with counted.case(f"seed {seed}"):
            for server in importers.read(text, kind=kind).servers:  # type: ignore[arg-type]
                if problems_of_draft(shop(server)):
                    continue
                real = deployment_of(shop(server)).servers[0]
                try:
                    route = route_to(real.name, real)
                except HostError:
                    continue
                assert route.proxy_command
                assert ground.run(route.proxy_command) == [route.address, route.user]
                passed += 1
        ground.untouched()
    counted.settle()
    assert passed


def shop(server: DraftServer) -> Draft:
    return Draft(
        name="shop",
        interface="eth0",
        vips=[DraftVip(address="10.0.0.10", services=[DraftService(port="80")])],
        servers=[server],
    )


def test_the_ground_notices_a_command(ground: Ground) -> None:
    """The tests above can fail: a command that does run is seen."""
    ground.run(f"{ground.recorder} $(touch CANARY)")
    with pytest.raises(AssertionError, match="CANARY"):
        ground.untouched()
