"""The script for the client host: it pings, connects and reads the neighbour entries. POSIX sh, changes nothing.

TCP is tried with whatever is there. python3 tells most and captures the replies' frames (`connect.py`); curl tells the
rest for HTTP; bash and nc tell no more than whether there was an answer, and are asked less often. Every line begins
with a nonce, so that nothing the host prints can pass for a result.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.deployment import Deployment

SECONDS = 3
"""How long the host waits for one answer: a lost SYN is sent again after one second."""
BUDGET = 6
"""Seconds after which no new connection is begun."""
HTTP = frozenset({80, 81, 591, 8000, 8008, 8080, 8081, 8088, 8888})
"""Ports whose service is sent an HTTP/1.0 HEAD; any other is given a second to send a banner."""
PLAIN = 4
"""Connections at most of one service in one go where there is no python3: each costs a process or two."""

ConnectTo = tuple[str, int]
"""VIP in canonical form, TCP port."""

_SCRIPT = body(__package__, "client.sh")
CONNECT = body(__package__, "connect.py")
"""What its python3 runs to open connections, and to ping where it has no ping(8)."""
PING = body(__package__, "ping.py")


def script(deployment: Deployment, nonce: str, plan: Mapping[ConnectTo, int], *, all_: bool = True) -> str:
    """The script with `plan` (how many connections to which service). `nonce` is unguessable text of letters and
    digits; `all_`: with pings and neighbour entries."""
    vips = [shlex.quote(str(vip.ip)) for vip in deployment.vips] if all_ else []
    lines = "\n".join(
        f"{vip} {port} {count} {'http' if port in HTTP else 'other'}" for (vip, port), count in plan.items() if count
    )
    return filled(
        _SCRIPT,
        {
            "@NONCE@": nonce,
            "@SECONDS@": str(SECONDS),
            "__SECONDS__": str(SECONDS),
            "@PATIENCE@": str(SECONDS + 2),
            "@BUDGET@": str(BUDGET),
            "@PLAIN@": str(PLAIN),
            "'@CONNECT@'": shlex.quote(CONNECT),
            "'@PING@'": shlex.quote(PING),
            "@TESTS@": "\n".join(f"reach {address} &" for address in vips),
            "@NEAR@": "\n".join(f"near {address}" for address in vips),
            "@PLAN@": shlex.quote(lines),
        },
    )
