"""What an appliance answered, for a report: shape, types and words of its maker stay, everything else is a placeholder.

Nothing stays that is not known to be harmless (`transcript_words`). The same thing has the same placeholder wherever
it stands, so that a name in a binding is still the name of the service.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any
from urllib.parse import unquote

import msgspec

from dsrwizard.core.model.balancer_facts import ApplianceAnswer
from dsrwizard.core.model.foreign import in_json
from dsrwizard.core.tell.transcript_words import KEY_PARTS, KEYS, NUMBERS, SAID, TEXTS, VALUES

DEEPEST = 40
"""Levels of an answer; what is below is left out."""
LONGEST = 20_000
"""Characters of an answer that is not JSON, and of one sentence."""
BY_HAND = {
    "aloha": "the output of `alohactl2 help` and of `help` for what it lists; a text of the tab that the box refused, "
    "with its answer; the version",
    "barracuda": "the output of `balancer look`; one real server read by REST "
    "(`GET /restapi/v2/virtual_service_groups`) with Direct Server Return on, and the same with it off; the firmware",
    "external": "the words that its menus have for the steps of the runbook",
}
"""What to send of a product that is not read from here, as docs/load-balancers.md has it."""

_OURS = "dsr_"
_COMMENT = "dsrwizard "
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?", re.ASCII)
_SETTING = re.compile(r"-?\d{1,5}", re.ASCII)
_PORTS = re.compile(r"[1-9]\d{0,4}(?:[:,-][1-9]\d{0,4}){0,20}", re.ASCII)
_BEHIND = re.compile(r"(.+?)([/:]\d{1,5})", re.ASCII)
_VERSION = re.compile(r"v?(?:NS)?\d{1,3}(?:\.\d{1,4}){1,2}(?:\.(?:nc|cl|e|m))?", re.ASCII)
_VERSION_WORDS = frozenset({"netscaler", "build", "loadbalancer.org"})
_TOKENS = re.compile(r"([\s\[\](){}<>\"',;=]+)")
_LONGEST_NAME = 64


class Transcript(msgspec.Struct, frozen=True):
    """`document`: what is sent; `answers`: how many are in it; `replaced`: kind of placeholder → how many different
    things; `version`: what the product says of its own, empty where it does not."""

    document: dict[str, Any]
    answers: int
    replaced: dict[str, int]
    version: str

    @property
    def text(self) -> str:
        """The document as JSON in lines."""
        return in_json(msgspec.json.format(msgspec.json.encode(self.document), indent=2).decode()) + "\n"


def transcript(product: str, program: str, answers: Sequence[ApplianceAnswer], problem: str = "") -> Transcript:
    """The answers without what they tell of anybody. `program`: dsrwizard's version; `problem`: the kind of error that
    ended the reading."""
    hidden = _Hidden()
    told: list[dict[str, Any]] = []
    for answer in dict.fromkeys(answers):
        one: dict[str, Any] = {"request": f"{answer.method} {answer.base}{hidden.path(answer.path)}"}
        if answer.sent is not None:
            one["sent"] = hidden.body(answer.sent.encode())
        one |= {"status": answer.status, "body": hidden.body(answer.body)}
        told.append(one)
    document: dict[str, Any] = {"product": product, "version": hidden.version, "dsrwizard": program}
    if problem:
        document["ended_by"] = problem
    document["answers"] = told
    return Transcript(document, len(told), dict(hidden.count), hidden.version)


class _Hidden:
    """Things and their placeholders."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self.count: Counter[str] = Counter()
        self.version = ""

    def path(self, path: str) -> str:
        """The path of a request: names in it are quoted twice."""
        head, mark, query = path.partition("?")
        parts = [self._key(unquote(unquote(part))) if part else "" for part in head.split("/")]
        asked = [
            "=".join(",".join(self._key(word) for word in side.split(",")) for side in pair.split("="))
            for pair in query.split("&")
        ]  # fmt: skip
        return "/".join(parts) + mark + ("&".join(asked) if mark else "")

    def body(self, raw: bytes) -> Any:
        if not raw.strip():
            return ""
        try:
            return self._value(json.loads(raw), "", 0)
        except (ValueError, RecursionError):
            return self._sentence(raw[: 4 * LONGEST].decode("utf-8", "replace")[:LONGEST], SAID | VALUES)

    def _value(self, value: Any, key: str, depth: int) -> Any:
        if depth > DEEPEST:
            return "left out: too deep"
        if isinstance(value, dict):
            return {self._key(name): self._value(one, name.lower(), depth + 1) for name, one in value.items()}
        if isinstance(value, list):
            return [self._value(one, key, depth + 1) for one in value]
        if isinstance(value, str):
            return self._text(value, key, depth)
        if value is None or isinstance(value, bool):
            return value
        if self._harmless_number(str(value), key):
            return value
        number = self._placeholder(str(value), "number")
        return int(number) if isinstance(value, int) else float(number)

    def _text(self, text: str, key: str, depth: int) -> str:
        if text.lstrip()[:1] in ("{", "["):
            with contextlib.suppress(ValueError, RecursionError):  # it only begins like JSON
                return json.dumps(self._value(json.loads(text), key, depth + 1))
        if "version" in key or key in ("firmware", "build", "release"):
            return self._of_version(text)
        if key in TEXTS:
            return self._sentence(text[:LONGEST], SAID | VALUES)
        return self._thing(text, key)

    def _thing(self, text: str, key: str = "", known: tuple[str, ...] = (_OURS, _COMMENT)) -> str:
        """A value that is one thing; `known`: how what dsrwizard makes begins."""
        plain = text.strip()
        if not plain or (plain.isascii() and plain.lower() in VALUES) or self._harmless_number(plain, key):
            return text
        for begin in known:
            if plain.startswith(begin) and plain != begin:
                return begin + self._thing(plain.removeprefix(begin), known=())
        address = _address(plain)
        if address is not None:
            return self._address(address)
        behind = _BEHIND.fullmatch(plain)
        if behind is not None and (address := _address(behind[1].strip("[]"))) is not None:
            shown = self._address(address)
            return (f"[{shown}]" if behind[1].startswith("[") else shown) + behind[2]
        if _MAC.fullmatch(plain):
            return self._placeholder(plain.lower().replace("-", ":"), "mac")
        if _NUMBER.fullmatch(plain):
            return self._placeholder(plain, "number")
        one = len(plain) <= _LONGEST_NAME and not any(sign.isspace() for sign in plain)
        return self._placeholder(plain, "name" if one else "text")

    def _sentence(self, text: str, known: frozenset[str]) -> str:
        """Words of sentences that are known stay, and so do brackets, quotes and spaces."""
        pieces = _TOKENS.split(text)
        for place in range(0, len(pieces), 2):
            word = pieces[place].rstrip(".:!?")
            if word and not (word.isascii() and word.lower() in known):
                pieces[place] = self._thing(word) + pieces[place][len(word) :]
        return "".join(pieces)

    def _of_version(self, text: str) -> str:
        """Numbers of a version stay; a date and a serial number do not."""
        kept = []
        pieces = _TOKENS.split(text[:LONGEST])
        for place in range(0, len(pieces), 2):
            word = pieces[place].rstrip(".:!?")
            if word and (_VERSION.fullmatch(word) or word.lower() in _VERSION_WORDS):
                kept.append(word)
            elif word:
                pieces[place] = self._thing(word) + pieces[place][len(word) :]
        self.version = self.version or " ".join(kept)
        return "".join(pieces)

    def _key(self, name: str) -> str:
        return name if _field(name.lower()) or (name.isascii() and name.lower() in VALUES) else self._thing(name)

    def _harmless_number(self, text: str, key: str) -> bool:
        form = _PORTS if key == "ports" else _SETTING if key in NUMBERS else None
        return text in ("0", "1") or (form is not None and form.fullmatch(text) is not None)

    def _address(self, address: IPv4Address | IPv6Address) -> str:
        if address.is_unspecified or address.is_loopback or _mask(address):
            return str(address)
        return self._placeholder(str(address), "address" if address.version == 4 else "address6")

    def _placeholder(self, thing: str, kind: str) -> str:
        found = self._names.get(thing)
        if found is None:
            self.count[kind] += 1
            found = self._names[thing] = _made(kind, self.count[kind])
        return found


def _made(kind: str, number: int) -> str:
    """The placeholder of this kind and number: addresses for tests and documentation, a locally administered MAC."""
    match kind:
        case "address":
            return str(IPv4Address("198.18.0.0") + number)
        case "address6":
            return str(IPv6Address("2001:db8::") + number)
        case "mac":
            digits = f"{number:06x}"
            return f"02:00:00:{digits[:2]}:{digits[2:4]}:{digits[4:6]}"
        case "number":
            return str(900_000_000 + number)
        case _:
            return f"{kind}-{number}"


@lru_cache(maxsize=10_000)
def _field(name: str) -> bool:
    """Whether a name is that of a field: known, or made of known parts alone."""
    if name in KEYS:
        return True
    if not name or len(name) > _LONGEST_NAME or not name.isascii():
        return False
    reached = {0}
    for end in range(1, len(name) + 1):
        if any(begin in reached and name[begin:end] in KEY_PARTS for begin in range(max(0, end - 20), end)) or (
            end - 1 in reached and end > 1 and name[end - 1] in "_-"
        ):
            reached.add(end)
    return len(name) in reached


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _mask(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is a netmask of IPv4."""
    if address.version == 6:
        return False
    rest = ~int(address) & 0xFFFFFFFF
    return rest & (rest + 1) == 0
