"""A stand-in for PowerShell that does what a test says, and the server of a deployment that an endpoint stands for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from dsrwizard.core.model.deployment import RealServer
from tests.windows.endpoint import Endpoint

Say = Callable[[str], None]
Behaviour = Callable[[str, Say, Say], int]


def unescaped(text: str) -> str:
    """As .NET's Regex.Unescape, for the escapes of a script on its way."""
    units = re.sub(
        r"\\(?:u|x(?=20))([0-9a-f]{4}|20)|\\([nt\\])",
        lambda found: chr(int(found[1], 16)) if found[1] else {"n": "\n", "t": "\t", "\\": "\\"}[found[2]],
        text,
    )
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


class Behaving:
    """Unpacks the script as the bootstrap does and calls `behaviour(script, out, err)` with it; keeps the scripts."""

    def __init__(self, behaviour: Behaviour | None = None) -> None:
        self.behaviour = behaviour or (lambda script, out, err: 0)
        self.scripts: list[str] = []
        self.users: list[str] = []

    def run(
        self,
        script: str,
        *,
        environment: Mapping[str, str],
        stdin: bytes,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        user: str,
    ) -> int:
        names = re.findall(r"\$env:(DSRWIZARD\d+)", script)
        sent = unescaped("".join(environment[name] for name in names))
        (marker,) = re.findall(r"WriteLine\('(dsrwizard-\w+)'\)", script)
        self.scripts.append(sent)
        self.users.append(user)
        out(f"{marker}\r\n".encode())
        return self.behaviour(sent, lambda text: out(text.encode()), lambda text: err(text.encode()))


def server(endpoint: Endpoint, **options: Any) -> RealServer:
    """How a deployment names it: over HTTP where the endpoint has no TLS."""
    options = {"name": "win1", "winrm": "https" if endpoint.tls else "http"} | options
    return RealServer(address="127.0.0.1", connect="winrm", port=endpoint.port, **options)
