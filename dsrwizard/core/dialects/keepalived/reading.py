"""keepalived's files as blocks, ours and the operator's. Pure.

keepalived.conf(5): words are parted by blanks, `#` and `!` begin a comment, quotes hold blanks, braces hold a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from posixpath import dirname, join, normpath
from typing import NamedTuple

from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.keepalived import KEEPALIVED_CONF

_WORD = re.compile(r'"([^"]*)"|([{}])|([^\s"{}#!]+)|([#!].*)')
_INCLUDES = ("include", "includer", "includem", "includew", "includeb", "includea")
_MOST = 200
"""Files that are read one from another."""


OUR_GLOBALS = frozenset(
    {
        "router_id",
        "enable_script_security",
        "script_user",
        "reload_check_config",
        "vrrp_startup_delay",
        "lvs_sync_daemon",
    }
)
"""What a keepalived.conf of our own has in global_defs."""


class Block(NamedTuple):
    """A line's words, and the block that it opens, if any."""

    words: tuple[str, ...]
    file: str
    line: int
    inner: tuple[Block, ...] = ()

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}"

    def named(self, word: str) -> Iterator[Block]:
        """The blocks and lines within that begin with this word."""
        return (block for block in self.inner if block.words[:1] == (word,))

    def value(self, word: str) -> str:
        """What follows this word within; empty where it is not there."""
        return next((" ".join(block.words[1:]) for block in self.named(word)), "")


class ConfigRead(NamedTuple):
    """All blocks that keepalived would read from keepalived.conf on. `unmatched`: includes that find no file, with
    their place; `outside`: what they name outside the files that were looked at."""

    blocks: tuple[Block, ...]
    unmatched: tuple[Block, ...] = ()
    outside: tuple[str, ...] = ()


def read(texts: Mapping[str, str], start: str = KEEPALIVED_CONF) -> ConfigRead:
    """Reads `start` and what it includes. `texts`: path → text."""
    blocks: list[Block] = []
    unmatched: list[Block] = []
    outside: list[str] = []
    waiting, seen = [start], set[str]()
    while waiting and len(seen) < _MOST:
        path = waiting.pop(0)
        if path in seen or path not in texts:
            continue
        seen.add(path)
        for block in parse(texts[path], path):
            if block.words[0] not in _INCLUDES or len(block.words) < 2:
                blocks.append(block)
                continue
            pattern = normpath(join(dirname(path), block.words[1]))
            found = sorted(one for one in texts if _matches(one, pattern))
            waiting += found
            if not found and pattern.startswith(f"{dirname(start)}/"):
                unmatched.append(block)
            elif not found:
                outside.append(pattern)
    return ConfigRead(tuple(blocks), tuple(unmatched), tuple(outside))


def only_ours(text: str) -> bool:
    """Whether a keepalived.conf has nothing but what dsrwizard writes into one of its own."""
    return all(
        block.words[0] in _INCLUDES
        or (block.words == ("global_defs",) and {line.words[0] for line in block.inner} <= OUR_GLOBALS)
        for block in parse(text, "")
    )


def weights_in(text: str) -> dict[tuple[str, str], int]:
    """The destinations of a services file of ours with their weights: (`10.0.0.10 tcp/80`, RIP) → weight."""
    found = {}
    for block in parse(text, ""):
        if block.words[0] == "virtual_server" and len(block.words) == 3:
            label = f"{block.words[1]} {block.value('protocol').lower()}/{block.words[2]}"
            for real in block.named("real_server"):
                weight = real.value("weight")
                found[label, real.words[1]] = int(weight) if weight.isdigit() else 1
    return found


def nobody_in(text: str) -> tuple[str, ...]:
    """The services of a services file of ours in which no real server has a weight: keepalived refuses the whole file
    (`quorum 1 … exceeds total weight of real servers 0`)."""
    total: dict[str, int] = {}
    for (label, _), weight in weights_in(text).items():
        total[label] = total.get(label, 0) + weight
    return tuple(label for label, weight in total.items() if not weight)


def destinations_in(state: FileState | None) -> frozenset[tuple[str, str]]:
    """Those that get clients, in a services file of ours; none where there is no file."""
    return frozenset(place for place, weight in weights_in(state.content if state else "").items() if weight)


def _matches(path: str, pattern: str) -> bool:
    """glob(3): a star stands for no slash, and for no dot at the beginning of a name."""
    parts, wanted = path.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, want) and (not part.startswith(".") or want.startswith("."))
        for part, want in zip(parts, wanted, strict=True)
    )


def parse(text: str, file: str) -> tuple[Block, ...]:
    """The blocks of one file. A brace too many or too few is keepalived's to complain about."""
    stack: list[list[Block]] = [[]]
    heads: list[tuple[tuple[str, ...], int]] = []
    for number, line in enumerate(text.splitlines(), 1):
        words: list[str] = []
        for quoted, brace, word, comment in _WORD.findall(line):
            if comment:
                break
            if brace == "{":
                if not words and stack[-1]:  # the brace has a line of its own
                    last = stack[-1].pop()
                    heads.append((last.words, last.line))
                else:
                    heads.append((tuple(words) or ("",), number))
                words = []
                stack.append([])
            elif brace == "}":
                if words:
                    stack[-1].append(Block(tuple(words), file, number))
                    words = []
                if heads:
                    inner = tuple(stack.pop())
                    head, at = heads.pop()
                    stack[-1].append(Block(head, file, at, inner))
            else:
                words.append(word or quoted)
        if words:
            stack[-1].append(Block(tuple(words), file, number))
    while heads:
        inner = tuple(stack.pop())
        head, at = heads.pop()
        stack[-1].append(Block(head, file, at, inner))
    return tuple(stack[0])
