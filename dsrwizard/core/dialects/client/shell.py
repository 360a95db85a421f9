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
from dsrwizard.core.model.first_words import first_words
from dsrwizard.core.model.values import canonical

SECONDS = 3
"""How long the host waits for one answer: a lost SYN is sent again after one second."""
BUDGET, BUDGET_EACH = 15, 1
"""Seconds after which no new connection is begun, and what each connection adds: a loaded host takes long for each."""
GREETING, PATIENT = 1, 6
"""Seconds that an application may take for its first byte, and what it is given once others were quicker."""
PLAIN = 4
"""Connections at most of one service in one go where there is no python3: each costs a process or two."""

ConnectTo = tuple[str, int]
"""VIP in canonical form, TCP port."""

_SCRIPT = body(__package__, "client.sh")
CONNECT = body(__package__, "connect.py")
"""What its python3 runs to open connections, and to ping where it has no ping(8)."""
PING = body(__package__, "ping.py")


def script(
    deployment: Deployment,
    nonce: str,
    plan: Mapping[ConnectTo, int],
    *,
    all_: bool = True,
    patient: bool = False,
    large: bool = False,
) -> str:
    """The script with `plan` (how many connections to which service). `nonce` is unguessable text of letters and
    digits; `all_`: with pings and neighbour entries; `patient`: applications get more time for their first byte;
    `large`: services that speak HTTP are asked for their `page` by a request that fills several packets.
    """
    vips = [shlex.quote(str(vip.ip)) for vip in deployment.vips] if all_ else []
    pages = {
        (canonical(vip.address), one.port): one.page or "/" for vip in deployment.vips for one in vip.services
    }  # fmt: skip
    kinds = {place: f"big {pages.get(place, '/')}" if large else _kind(*place) for place in plan}
    lines = "\n".join(f"{vip} {port} {count} {kinds[vip, port]}" for (vip, port), count in plan.items() if count)
    return filled(
        _SCRIPT,
        {
            "@NONCE@": nonce,
            "@SECONDS@": str(SECONDS),
            "__SECONDS__": str(SECONDS),
            "@PATIENCE@": str(SECONDS + 2),
            "@BUDGET@": str(BUDGET + BUDGET_EACH * sum(plan.values())),
            "@GREETING@": str(PATIENT if patient else GREETING),
            "@PLAIN@": str(PLAIN),
            "'@CONNECT@'": shlex.quote(CONNECT),
            "'@PING@'": shlex.quote(PING),
            "@TESTS@": "\n".join(f"reach {address} &" for address in vips),
            "@NEAR@": "\n".join(f"near {address}" for address in vips),
            "@PLAN@": shlex.quote(lines),
        },
    )


def _kind(vip: str, port: int) -> str:
    """What a service is asked: `http` a HEAD, `x` and hexadecimal digits just that, `other` nothing: its greeting is
    waited for."""
    asked, words = first_words(port, vip)
    return "http" if asked == "HTTP" else f"x{words.hex()}" if words else "other"
