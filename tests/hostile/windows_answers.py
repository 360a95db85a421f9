"""A Windows host that answers with what it was made to: real answers, spoilt at random by a seed."""

from __future__ import annotations

import base64
import copy
import json
import random
import re
from functools import cache
from typing import Any

from dsrwizard.core.dialects.windows.observe import observe_script
from dsrwizard.core.model.errors import ConnectionLost
from dsrwizard.core.ports import Answer, OnLine
from tests.windows.answers import NONCE, framed, told
from tests.windows.conftest import ModelConnector
from tests.windows.host import WindowsHost

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e\u2028\n"
NASTY: tuple[Any, ...] = (
    *(None, True, False, -1, 0, 1, 33, 129, 999, 65_536, 2**31, 2**63, 2**64, int("9" * 4_000), 1e308, 1.5, -1e-9),
    *("", "|", "a|b|c|d", '"', "x y z", "None", "null", "0", "-1", "true", "9" * 5_000, "²", "x" * 70_000, ESCAPES),
    *("10.0.0.999", "10.0.0.10/999", "10.0.0.10", "10.0.0.111", "10.0.0.102", "::", "::1", "fe80::1%eth0", "0.0.0.0"),
    *(
        "255.255.255.255",
        "{x}",
        "$(reboot)",
        "'; Remove-Item C:\\ #",
        "`reboot`",
        "/",
        "%",
        "[::]:443",
        "\ud800",
        "\x00",
    ),
    *("\u200b" * 100, "e" + "\u0301" * 500, "dsrwizard", "director", "Ethernet", "<x", "&amp;", "{0}", "%s"),
    *([], {}, [[]], [None], [{}], {"a": 1}, [1, "x", None], {"": ""}, [ESCAPES], {ESCAPES: ESCAPES}),
    f"\r\nVerdict: pass\r\n{ESCAPES}",
)
MOST = 6
"""Changes to one answer at most."""
_APPLIES = "foreach ($step in $steps)"
_LOOKS_FOR_HALF_OPEN = "function Get-HalfOpen"


def _moved(document: dict[str, Any]) -> dict[str, Any]:
    """The same of a host at 10.0.0.111."""
    moved: dict[str, Any] = json.loads(json.dumps(document).replace("10.0.0.101", "10.0.0.111"))
    return moved


@cache
def _bases() -> tuple[dict[str, Any], ...]:
    """Hosts that are set up, with something of everything, and fresh ones, of either generation."""
    fresh = []
    for version in ("2022", "2008 R2"):
        lines: list[str] = []
        WindowsHost(version).execute(observe_script("n"), lines.append, lines.append)
        (line,) = lines
        fresh.append(json.loads(_decoded(line)))
    return tuple(_moved(document) for document in (told("2025"), told("2008 R2"), *fresh))


def _decoded(line: str) -> bytes:
    return base64.b64decode(line[len("<<DSR:") : -len(":DSR>>")])


class Spoiler:
    """Spoils documents; the same seed spoils them the same way."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def facts(self) -> dict[str, Any]:
        document = copy.deepcopy(self.random.choice(_bases()))
        for _ in range(self.random.randint(0, MOST)):
            self._spoil(document)
        return document

    def _spoil(self, document: Any) -> None:
        """One change somewhere in it: another value, one less, one more, many of the same."""
        here, key = self._place(document)
        value, choice = here[key], self.random.random()
        if choice < 0.7:
            here[key] = copy.deepcopy(self.random.choice(NASTY))
        elif choice < 0.8:
            del here[key]
        elif choice < 0.9 and isinstance(here, list):
            here[key:key] = [copy.deepcopy(value)] * self.random.choice((1, 2, 300))
        elif isinstance(here, dict):
            here[str(self.random.choice(NASTY))[:200]] = copy.deepcopy(value)
        else:
            here.append(copy.deepcopy(self.random.choice(NASTY)))

    def _place(self, document: Any) -> tuple[Any, Any]:
        """Where: deeper with each step, half the time."""
        here, key = document, self._key(document)
        while isinstance(here[key], dict | list) and here[key] and self.random.random() < 0.85:
            here, key = here[key], self._key(here[key])
        return here, key

    def _key(self, container: Any) -> Any:
        return (
            self.random.choice(sorted(container))
            if isinstance(container, dict)
            else self.random.randrange(len(container))
        )

    def line(self, document: dict[str, Any], nonce: str) -> str:
        """Its frame, which may be spoilt as well."""
        choice = self.random.random()
        if choice < 0.85:
            return framed(document, nonce)
        if choice < 0.88:
            return framed(document, nonce)[: self.random.randint(0, 400)]
        if choice < 0.91:
            return framed(document, "another")
        if choice < 0.94:
            return framed(json.dumps(document | {"nonce": nonce}).encode()[:-3])
        return ESCAPES.join((framed([document]), "<<DSR:", framed(document, nonce)[7:]))

    def noise(self) -> str:
        return self.random.choice(("", "", ESCAPES, f"Access denied {ESCAPES}" * 50, "<<DSR:" * 50, "x" * 9_000))

    def report(self, kind: str, step: object, nonce: str) -> str:
        """A line of progress, in one of four spoilt."""
        document = {"kind": kind, "step": step, "nonce": nonce, "message": self.noise()}
        if self.random.random() < 0.25:
            document[self.random.choice(("kind", "step", "message"))] = self.random.choice(NASTY)
        return framed(document)


class HostileConnector:
    """A connection to such a host. It is right for the first `honest` scripts."""

    def __init__(self, seed: int, host: WindowsHost) -> None:
        self._spoiler = Spoiler(f"windows {seed}")
        self._model = ModelConnector(host)
        self._honest = self._spoiler.random.choice((0, 0, 0, 1, 2, 4))

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        if self._honest > 0:
            self._honest -= 1
            return self._model.run(script, deadline=deadline, on_line=on_line)
        spoiler = self._spoiler
        (nonce,) = set(NONCE.findall(script)) or {"n"}
        lines = [spoiler.noise(), *self._said(script, nonce), spoiler.noise()]
        for line in lines:
            if on_line is not None:
                on_line(line)
        if spoiler.random.random() < 0.05:
            raise ConnectionLost("win1: the connection broke.", f"It said {ESCAPES}", "Try again.")
        status = spoiler.random.choice((0, 0, 0, 1, -1, 2**31))
        return Answer(status=status, stdout="\n".join(lines), stderr=spoiler.noise())

    def _said(self, script: str, nonce: str) -> list[str]:
        spoiler = self._spoiler
        if _LOOKS_FOR_HALF_OPEN in script:
            entry = {"vip": "10.0.0.10", "port": 80, "client": "192.0.2.7", "client_port": 40_000}
            document: dict[str, Any] = {"kind": "half-open", "seen": [entry], "waiting": [dict(entry)]}
            if spoiler.random.random() < 0.7:
                spoiler._spoil(document)
            return [framed({"kind": "ready", "nonce": nonce}), spoiler.line(document, nonce)]
        lines = []
        if _APPLIES in script:
            for number in range(1, len(re.findall(r"\$steps \+= @\{ number", script)) + 1):
                if spoiler.random.random() < 0.03:
                    break
                lines.append(spoiler.report("start", number, nonce))
                lines.append(
                    spoiler.report(spoiler.random.choice(("done",) * 8 + ("failed", "halfway")), number, nonce)
                )
        return [*lines, spoiler.line(spoiler.facts(), nonce)]

    def close(self) -> None:
        pass
