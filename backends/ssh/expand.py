"""What ssh puts into a value of ssh_config(5) when it runs: %-tokens, `~` and `${VARIABLES}`, each only where it does.

ProxyCommand goes to a shell, and the operator has put quotation marks around its tokens or none. No way of quoting a
value is right in all those places, and ssh does not quote. So a value is put into a command only where every one of its
characters means the same everywhere; with any other it is refused.

`${VARIABLES}` are for the operator's own files. What they hold may be a secret: it gets into no message.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backends.ssh.config import home
from dsrwizard.core.model.foreign import one_line

IN_HOSTNAME = "h"
IN_PROXY = "hnpr"
IN_FILES = "CdhijkLlnpru"
"""The tokens that HostName, ProxyJump and ProxyCommand, and names of files may have (ssh_config(5), TOKENS)."""
_PIECE = re.compile(r"%(.?)|\$\{([^}]*)(\}?)", re.DOTALL)
_PLAIN = re.compile(r"[A-Za-z0-9_.:@%+][A-Za-z0-9_.:@%+-]*", re.ASCII)
_SHOWN = 60


class Unfit(Exception):
    """A value cannot be used; the text says why as a clause, without a full stop."""


@dataclass(frozen=True, slots=True)
class File:
    """A file named in the SSH configuration or the deployment; `text` is its name in messages."""

    path: Path
    text: str

    @property
    def argument(self) -> str:
        """The name in a command for the operator's shell, which puts the variables in by itself."""
        return f'"{self.text}"' if "${" in self.text else shlex.quote(str(self.path))


def shown(path: Path) -> str:
    """A path as the operator writes it."""
    try:
        return one_line(f"~/{path.relative_to(home())}")
    except ValueError:
        return one_line(str(path))


def plain_path(path: Path) -> File:
    """A file whose name nothing is put into."""
    return File(path, shown(path))


def with_tokens(text: str, tokens: Mapping[str, str], allowed: str) -> str:
    """The text with its %-tokens, for what no shell sees. Raises Unfit for a token that is not allowed there."""
    return re.sub(r"%(.?)", lambda found: _token(found[1], tokens, allowed), text, flags=re.DOTALL)


def proxy_command(text: str, tokens: Mapping[str, str]) -> str:
    """A ProxyCommand with its %-tokens, for a shell. Raises Unfit, also for a value that is not plain in a shell.

    A `${VARIABLE}` is left for the shell, as in ssh.
    """

    def value(found: re.Match[str]) -> str:
        put = _token(found[1], tokens, IN_PROXY)
        if found[1] != "%" and not _PLAIN.fullmatch(put):
            raise Unfit(f"%{found[1]} is “{one_line(put, _SHOWN)}” for this host, which a shell would change")
        return put

    return re.sub(r"%(.?)", value, text, flags=re.DOTALL)


def file(text: str, tokens: Mapping[str, str] | None, *, variables: bool = True) -> File:
    """A file's name with `~`, %-tokens and `${VARIABLES}`; without `tokens` with `~` alone. Raises Unfit, also for a
    variable that is not set."""
    owner, _, rest = text.partition("/") if text.startswith("~") else ("", "", text)
    try:
        base = home() if owner in ("", "~") else Path(owner).expanduser()
    except RuntimeError:
        raise Unfit(f"there is no user “{one_line(owner[1:], _SHOWN)}” here") from None
    hidden = False

    def value(found: re.Match[str]) -> str:
        nonlocal hidden
        if found[0].startswith("%"):
            return _token(found[1], tokens or {}, IN_FILES)
        if not variables:
            return found[0]
        if not found[3]:
            raise Unfit("a “${” is not closed")
        name, hidden = found[2], True
        if name not in os.environ:
            raise Unfit(f"the variable {one_line(name, _SHOWN)} is not set")
        return os.environ[name]

    expanded = rest if tokens is None else _PIECE.sub(value, rest)
    if "\0" in expanded:
        raise Unfit("a file name cannot contain NUL")
    path = base / expanded if owner else Path(expanded)
    return File(path, one_line(text) if hidden else shown(path))


def _token(letter: str, tokens: Mapping[str, str], allowed: str) -> str:
    if letter == "%":
        return "%"
    if letter not in allowed or letter not in tokens:
        raise Unfit(f"“%{one_line(letter, _SHOWN)}” is not a token there; a percent sign itself is “%%”")
    return tokens[letter]
