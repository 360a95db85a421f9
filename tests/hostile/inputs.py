"""Hostile files: deployment files and lists of servers, made from good ones by a seed; and who is watched meanwhile."""

from __future__ import annotations

import random
import re
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.hostile.spoiling import PWNED

CANARY = "c4n4ry-hunter2"
"""What stands where a secret would stand. It is never shown."""
SHELL = (
    "$(id>PWNED)", "`id>PWNED`", ";id>PWNED;", "|id", "&&id", "> PWNED", "\nid", "'; id #", '"; id #',
    "${HOME}", "~root",
    "-oProxyCommand=id", "--help", "-", "%h%p%r%n", "!id", "$IFS", "*", "../../etc/passwd", "\\", "{{ 7*7 }}",
    "[bold red]x[/]",
    "[@click=app.quit]x[/]", "<script>alert(1)</script>", "eth0;id", "web1 web2", "a,b", "a=b", "a:b", "a@b", "#", "",
)  # fmt: skip
WORDS = (
    *SHELL, *PWNED, "x" * 5_000, "é" * 300, "A\u0301" * 50, "\u200b", "\ufeff", "\U0001f600" * 100, "\u0000" * 10,
    "10.0.0.10", "10.0.0.101", "10.0.0.999", "10.0.0.10/32", "0.0.0.0", "255.255.255.255", "127.0.0.1",
    "224.0.0.1", "::",
    "::1", "fe80::1%eth0", "fd00::10", "::ffff:10.0.0.10", "0x0a00000a", "010.0.0.1", "web1", "WEB1",
    "director", "client",
    "lo", "eth0", "tcp", "udp", "ssh", "winrm", "manual", "linux", "windows-2008", "netlink", "external", "dns", "echo",
    "hex:00ff", "hex:zz", "rr", "wlc", "root", "basic", "https", "~/.ssh/id", "/dev/zero", "/dev/stdin",
)  # fmt: skip
RAW_VALUES = (
    "0", "1", "-1", "80", "65535", "65536", "99999999999999999999", "1e400", "nan", "-inf", "0x" + "f" * 400,
    "0b1", "1.5",
    "true", "1979-05-27", "1979-05-27T07:32:00Z", "[]", "{}", "[[]]", "[1, 'a', {}]", '["10.0.0.10"]', "{ a = 1 }",
    '"""\n\n"""', "''", "9" * 5_000, "[" * 40 + "]" * 40, '{ port = 80, port = 81 }', "+1", "1_000", "''''''",
)  # fmt: skip
SECRET_KEYS = (
    "password",
    "passphrase",
    "token",
    "secret",
    "sudo_password",
    "api_key_secret",
    "private_key",
    "Pass Word",
)
_KEYS = (
    "name", "address", "address6", "interface", "engine", "port", "protocol", "scheduler", "persistence",
    "weight", "connect",
    "user", "identity_file", "vip_interface", "vips", "services", "servers", "director", "client", "probe", "payload",
    "page",
    "system", "auth", "winrm", "ca_file", "service_port", "a", "0", '"a.b"', "''", "prefix", "host", "ip",
)  # fmt: skip
_HEADERS = (
    "[director]", "[[vips]]", "[[vips.services]]", "[[servers]]", "[client]", "[vips]", "[servers]", "[a.b.c]", "[[a]]",
    "[director.x]", "[[servers.vips]]", "[]", "[", "[[x]", "[vips.services]",
)  # fmt: skip
_ASSIGNMENT = re.compile(r"(?m)^(\s*[A-Za-z_0-9]+\s*=\s*)(.+)$")


def quoted(text: str) -> str:
    """A text as TOML writes it, whatever is in it: it gets past the reader."""
    named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    marks = (
        named.get(c) or (c if c.isprintable() else f"\\u{ord(c):04x}") for c in text if not 0xD800 <= ord(c) < 0xE000
    )
    return f'"{"".join(marks)}"'


class Maker:
    """Hostile texts from good ones. The same seed makes the same."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def word(self) -> str:
        """A value that goes where a name, an address or a path belongs."""
        word = self.chance.choice(WORDS)
        if self.chance.random() < 0.3:
            good = self.chance.choice(["web1", "10.0.0.101", "shop", "eth0", "root"])
            at = self.chance.randrange(len(good) + 1)
            word = good[:at] + word + good[at:]
        return word

    def value(self) -> str:
        """A value as it stands in a TOML file."""
        return quoted(self.word()) if self.chance.random() < 0.7 else self.chance.choice(RAW_VALUES)

    def injected(self, text: str) -> str:
        """Some values of a good file are others, well written: what is wrong is what they say."""
        found = list(_ASSIGNMENT.finditer(text))
        for one in sorted(self.chance.sample(found, min(len(found), self.chance.choice([1, 1, 1, 2, 4]))),
                          key=lambda match: -match.start()):  # fmt: skip
            text = text[: one.start(2)] + self.value() + text[one.end(2) :]
        if self.chance.random() < 0.3:
            text = self.with_secret(text)
        return text

    def with_secret(self, text: str) -> str:
        """A secret where none belongs: under its own key, in a comment, or on a line that is broken."""
        key = self.chance.choice(SECRET_KEYS)
        line = self.chance.choice(
            [f'{quoted(key)} = "{CANARY}"', f"# {key}: {CANARY}", f"{key}: {CANARY}", f"{key} = {CANARY}",
            f'x = "{CANARY}',
             f'{quoted(key)} = ["{CANARY}"]', f'{quoted(key)} = {{ a = "{CANARY}" }}']
        )  # fmt: skip
        lines = text.split("\n")
        lines.insert(self.chance.randrange(len(lines) + 1), line)
        return "\n".join(lines)

    def lines_changed(self, text: str) -> str:
        """Lines gone, twice, elsewhere, cut, or of another file."""
        lines = text.split("\n")
        for _ in range(self.chance.choice([1, 1, 2, 5])):
            at = self.chance.randrange(len(lines))
            match self.chance.randrange(6):
                case 0:
                    del lines[at]
                case 1:
                    lines.insert(at, lines[at])
                case 2:
                    lines.insert(self.chance.randrange(len(lines)), lines.pop(at))
                case 3:
                    lines[at] = lines[at][: self.chance.randrange(len(lines[at]) + 1)]
                case 4:
                    lines.insert(at, self.chance.choice(_HEADERS))
                case _:
                    lines.insert(at, f"{self.chance.choice(_KEYS)} = {self.value()}")
            lines = lines or [""]
        return "\n".join(lines)

    def characters_changed(self, text: str) -> str:
        """Characters gone, others, or in between."""
        for _ in range(self.chance.choice([1, 1, 2, 10])):
            at = self.chance.randrange(len(text) + 1)
            new = self.chance.choice([*"[]{}\"'=.,#\\\n\t \0", *PWNED, "", "", self.word()[:20]])
            text = text[:at] + new + text[at + self.chance.choice([0, 1, 1, 3]) :]
        return text

    def made_up(self, _text: str) -> str:
        """A file of its own: headers, keys and values without sense."""
        lines = [
            self.chance.choice(_HEADERS) if self.chance.random() < 0.3
            else f"{'.'.join(self.chance.choices(_KEYS, k=self.chance.choice([1, 1, 1, 2, 12])))} = {self.value()}"
            for _ in range(self.chance.randrange(30))
        ]  # fmt: skip
        return "\n".join(lines)

    def huge(self, text: str) -> str:
        """A good file with very much of something."""
        line = self.chance.choice(
            ["[" * 2000, "x = " + "[" * 3000, "a" + ".a" * 5000 + " = 1", "[a" + ".a" * 5000 + "]",
            "#" * 20_000, "\n" * 5000,
             '[[servers]]\nname = "w"\n' * 2000, f'x = "{"y" * 50_000}"', "x = {" + "a = {" * 2000, "k = 1\n" * 2000]
        )  # fmt: skip
        return f"{line}\n{text}" if self.chance.random() < 0.3 else f"{text}\n{line}\n"

    def noise(self, _text: str) -> str:
        """No text at all."""
        length = self.chance.choice([0, 1, 10, 1000])
        return bytes(self.chance.randrange(256) for _ in range(length)).decode("utf-8", "surrogateescape")

    def spoiled(self, text: str) -> bytes:
        """A hostile file made from a good one."""
        kinds: list[tuple[Callable[[str], str], int]] = [
            (self.injected, 8), (self.lines_changed, 4), (self.characters_changed, 4), (self.made_up, 2),
            (self.huge, 1),
            (self.noise, 1), (self.with_secret, 1),
        ]  # fmt: skip
        (kind,) = self.chance.choices([kind for kind, _ in kinds], weights=[weight for _, weight in kinds])
        made = kind(text)
        while self.chance.random() < 0.2:
            made = self.chance.choice([self.characters_changed, self.lines_changed])(made)
        return made.encode("utf-8", "surrogateescape" if kind == self.noise else "surrogatepass")


def raw(text: str) -> str:
    """What a terminal would obey, or nobody would see, in a text that was printed; empty: nothing."""
    bad = {c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return " ".join(sorted(f"U+{ord(c):04X}" for c in bad))


_DOINGS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "socket.connect")
_watching: list[list[str]] = []


def _seen(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in _DOINGS:
        _watching[-1].append(f"{event} {arguments[:2]!r}"[:300])


sys.addaudithook(_seen)


@contextmanager
def doings() -> Iterator[list[str]]:
    """The commands that were started and the connections that were opened meanwhile."""
    _watching.append([])
    try:
        yield _watching[-1]
    finally:
        _watching.pop()
