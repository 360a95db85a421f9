"""Hostile lists of servers: whatever is in one, servers and notes come out, harmless and soon, and nothing is run."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.importers import Imported, ListKind, ansible, detect, plain, read, ssh_config
from dsrwizard.core.intake.importers.common import LONGEST_LINE, MAX_NOTES, MAX_SERVERS
from dsrwizard.core.intake.validate import problems_of_draft
from screens.wizard.import_servers import _read
from tests.hostile.conftest import Tally
from tests.hostile.inputs import CANARY, WORDS, Maker, doings, raw
from tests.hostile.spoiling import PWNED
from tests.unit.test_importers import INI, SSH, YAML
from tests.unit.test_importers_balancers import KEEPALIVED, LDIRECTORD, LISTED, NETSCALER, SAVED

PLAIN = "# servers\nweb1 10.0.0.101 1\nweb2\t10.0.0.102\n10.0.0.103, 5\nfd00::1 web4\n10.0.0.105 web5 alias\n"
CSV = (
    "name,ip address,weight,user,ssh port,key,vips\n"
    'web1,10.0.0.101,1,root,22,"~/.ssh/a b",10.0.0.10|10.0.0.11\nweb2,10.0.0.102\n'
)
GOOD = (INI, YAML, SSH, PLAIN, CSV, KEEPALIVED, LDIRECTORD, SAVED, LISTED, NETSCALER)
SECONDS = 30.0
"""A case takes some thousandths on an idle machine."""
_PIECES = (
    "&a ", "*a", "<<: *a", "!!python/object/apply:os.system ['id>PWNED']",
    "!!python/object/new:os.system [id]", "!x ", "? ",
    "- ", "{", "}", "[", "]", "[1:9999]", "[a:z][a:z][a:z]", "[web:children]", "[all:vars]", "ansible_host=", "Host ",
    "Include /etc/passwd", "Match exec \"id>PWNED\"", "ProxyCommand id>PWNED", "IdentityFile ", "HostName ",
    ": ", ",", "\t",
    "ansible_password=x", "ansible_become_pass: x", "{{ lookup('pipe', 'id>PWNED') }}",
    "virtual_server 10.0.0.10 80 {", "real_server ", "include /etc/passwd", "lb_kind DR", "virtual_server_group g {",
    "10.0.0.1-255", "-A -t ", "-a -t 10.0.0.10:80 -r ", "virtual=", "  real=10.0.0.1->10.0.255.255 gate",
    "add lb vserver ", "bind lb vserver ", "-m MAC", "fwmark 1", "$A=b", "${A}", "@x ",
    "%YAML 1.2", "---", "...", "|", ">", "'", '"', "\\", "#", "=cmd|' /C calc'!A0", "\r\n", "\u2028", "\ud800",
)  # fmt: skip


class Lists(Maker):
    """A hostile list from a seed."""

    def pieces(self, text: str) -> str:
        """Pieces of one format, or of several, where they do not belong."""
        for _ in range(self.chance.choice([1, 2, 5, 20])):
            at = self.chance.randrange(len(text) + 1)
            new = self.chance.choice(_PIECES) if self.chance.random() < 0.7 else self.chance.choice(WORDS)
            text = text[:at] + new + text[at + self.chance.choice([0, 0, 1, 4]) :]
        return text

    def mixed(self, text: str) -> str:
        """Lines of two lists in one."""
        lines = [*text.split("\n"), *self.chance.choice(GOOD).split("\n")]
        if self.chance.random() < 0.5:
            self.chance.shuffle(lines)
        return "\n".join(lines)

    def big(self, text: str) -> str:
        """Very much of something."""
        return self.chance.choice(
            [
                text * 200, "[" * 5000, "- " * 5000, "".join(f"{' ' * n}a:\n" for n in range(300)),
                "a: &a [*a]\n" * 500,
                "x" * (LONGEST_LINE + 1), "web[1:4096] " + "a=1 " * 500, "Host " + "* " * 1500, "\n" * 20_000,
                "," * 3000,
                "".join(f"a{n}: &a{n} {{x: *a{n - 1}, children: {{c: *a{n - 1}}}}}\n" for n in range(1, 200)),
                "[g]\n" + "h[1:999][1:999]\n" * 50,
                "".join(f"[g{n}:children]\ng{n - 1}\ng{n + 1}\n" for n in range(300)),
            ]
        )  # fmt: skip

    def made(self, text: str) -> bytes:
        kinds: list[Callable[[str], str]] = [
            self.pieces, self.pieces, self.pieces, self.lines_changed, self.lines_changed, self.characters_changed,
            self.characters_changed, self.mixed, self.mixed, self.noise, self.big,
        ]  # fmt: skip
        made = text
        for _ in range(self.chance.choice([1, 1, 2, 3])):
            kind = self.chance.choice(kinds)
            made = kind(made)[:60_000]
        return made.encode("utf-8", "surrogatepass")


def harmless(found: Imported) -> None:
    """What holds for all that is taken over."""
    assert len(found.servers) <= MAX_SERVERS
    assert found.refused == (not found.servers) or not found.notes
    assert len(found.notes) <= MAX_NOTES + 2
    names = [server.name.lower() for server in found.servers]
    assert len(set(names)) == len(names)
    assert all(server.name or server.address for server in found.servers)
    for note in found.notes:
        assert not raw(note), raw(note)
        assert len(note) < 1_000


def test_no_list_raises_hangs_runs_or_shows_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    monkeypatch.chdir(tmp_path)
    lists = tally("lists of servers")
    file = tmp_path / "list"
    taken = noted = 0
    for seed in range(scale(200, 5000)):
        maker = Lists(seed)
        made = maker.made(GOOD[seed % len(GOOD)])
        choice = maker.chance.choice(["", "", "web", "web*", "all", "*", "[", "!x", "\\", PWNED[0]])
        file.write_bytes(made)
        with lists.case(f"seed {seed}"):
            began = time.monotonic()
            with doings() as done:
                shown, bare = _read(str(file)), made.decode("utf-8", "surrogateescape")
                for text, kind in ((shown, None), *((bare, kind) for kind in get_args(ListKind))):
                    found = read(text, "hosts", kind, choice)
                    harmless(found)
                    taken, noted = taken + len(found.servers), noted + len(found.notes)
                problems_of_draft(Draft(servers=found.servers[:50]))
                ansible.groups(shown)
                ssh_config.hosts(shown)
                assert not raw(shown.replace("\t", " ")), raw(shown)
                assert detect(bare, "x.yml") in get_args(ListKind)
            assert done == [], done
            assert time.monotonic() - began < SECONDS
    assert not list(tmp_path.glob("**/PWNED"))
    lists.settle()
    assert taken > lists.tried
    assert noted > lists.tried


def test_the_good_lists_are_taken(tally: Callable[[str], Tally]) -> None:
    """What the hostile ones are made from is a list each, or nothing would be shown."""
    lists = tally("lists, unspoiled")
    for text, kind, least in ((INI, "ansible", 6), (YAML, "ansible", 4), (SSH, "ssh_config", 4), (PLAIN, "plain", 5),
                              (CSV, "plain", 2)):  # fmt: skip
        with lists.case(kind):
            found = read(text)
            assert detect(text) == kind
            assert len(found.servers) >= least
            harmless(found)
    assert plain.parse(CSV).servers[0].vips == ["10.0.0.10", "10.0.0.11"]
    lists.settle()


SECRETS = (
    "[w]\nweb1 {}={}\n", "[w]\nweb1\n[w:vars]\n{}={}\n", "[all:vars]\n{} = {}  # x\n[w]\nweb1\n",
    "all:\n  hosts:\n    web1:\n      {}: {}\n", "all: {{vars: {{{}: {}}}, hosts: {{web1: }}}}\n",
    "all:\n  hosts:\n    web1:\n      {}: !vault |\n        {}\n",
)  # fmt: skip
NAMES = ("ansible_password", "ansible_ssh_pass", "ansible_become_pass", "vault_token", "DB_SECRET", "my_passphrase")


def test_no_secret_of_a_list_is_taken_or_shown(tally: Callable[[str], Tally]) -> None:
    secrets = tally("secrets in lists")
    for name in NAMES:
        for text in SECRETS:
            with secrets.case(f"{name} in {text!r}"):
                found = read(text.format(name, CANARY), "hosts", "ansible")
                assert [server.name for server in found.servers] == ["web1"]
                assert CANARY not in repr(found)
                assert any("asks for them" in note for note in found.notes)
    secrets.settle()
