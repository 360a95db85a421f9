"""The parser of the client host's script. It trusts nothing: a line it does not understand counts as not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, cast

from dsrwizard.core.dialects.linux import values
from dsrwizard.core.model.answers import Connected
from dsrwizard.core.model.client_view import ClientVip, Connecting, Reply, Tried
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import AnswerUnreadable

RESULTS: frozenset[str] = frozenset({"open", "refused", "silent", "unreachable", "unknown"})
MOST_BYTES = 1 << 40
MOST_LINES = 4_096
"""About one VIP: a script that makes a hundred connections prints some hundred."""
NO_TOOL = "The client host has none of python3, bash with timeout, nc and curl."
NO_REASON = "The client host's tools gave no reason."
_TAPS = {
    "on": "",
    "privilege": "The login on the client host may not capture frames: that takes root or CAP_NET_RAW.",
    "socket": "The client host cannot capture frames.",
    "python3": "The client host has no python3 to capture frames with.",
}


def parse(deployment: Deployment, nonce: str, text: str) -> tuple[ClientVip, ...]:
    """What the script printed, a view of each VIP in the deployment's order. Raises AnswerUnreadable when it did not
    run to its end."""
    lines = list(_lines(nonce, text))
    if ["end"] not in lines:
        raise AnswerUnreadable(
            "client: the host's answer is cut short.",
            "The script that tests the VIPs did not finish.",
            "Verify again; if it stays so, look at the shell of the client host.",
        )
    untapped = next((_TAPS[line[1]] for line in lines if line[0] == "tap" and line[1:2] and line[1] in _TAPS), None)
    of: dict[str, list[list[str]]] = {}
    for line in lines:
        if len(line) > 1 and len(about := of.setdefault(line[1], [])) < MOST_LINES:
            about.append(line)
    return tuple(_vip(str(vip.ip), of.get(str(vip.ip), ()), untapped) for vip in deployment.vips)


def _lines(nonce: str, text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        first, _, rest = line.partition(" ")
        words = rest.split()
        if first == nonce and words:
            yield words


def _vip(address: str, lines: Iterable[Sequence[str]], untapped: str | None) -> ClientVip:
    ping: Literal["answered", "silent", "unknown"] = "unknown"
    milliseconds: float | None = None
    ttl: int | None = None
    on_link: bool | None = None
    neighbour = problem = ""
    tries: list[Tried] = []
    large: list[Tried] = []
    replies: dict[tuple[int, int], list[Reply]] = {}
    for line in lines:
        match line:
            case ["ping", _, "answered", time, *more]:
                ping, milliseconds, ttl = "answered", _number(time), _count(more[0], 255) if more else None
            case ["ping", _, "silent", *_]:
                ping, milliseconds = "silent", None
            case ["link", _, "near" | "far" as word]:
                on_link = word == "near"
            case ["mac", _, text] if _is_mac(text):
                neighbour = text.lower()
            case ["tcp", _, port, word, time, *more] if _port(port) and len(more) in (0, 7):
                tries.append(_tried(_port(port), word, time, more))
                if word == "none":
                    problem = NO_TOOL
            case ["big", _, port, word, time, *more] if _port(port) and len(more) == 8:
                large.append(_tried(_port(port), word, time, more[:7], ended=more[7] == "1"))
            case ["frame", _, port, own, text, hops, frames] if _is_mac(text) or text == "-":
                far, count = _count(hops, 255), _count(frames, MOST_BYTES)
                if _port(port) and _port(own) and far and count:
                    sender = "" if text == "-" else text.lower()
                    found = replies.setdefault((_port(port), _port(own)), [])
                    found.append(Reply(mac=sender, ttl=far, frames=count))
            case _:
                pass
    return ClientVip(
        vip=address, ping=ping, milliseconds=milliseconds, ttl=ttl, on_link=on_link, neighbour=neighbour,
        connects=_connects(address, tries, problem or NO_REASON),
        tries=tuple(_with(one, replies) for one in tries), large=tuple(large),
        untapped=_TAPS["python3"] if untapped is None else untapped,
    )  # fmt: skip


def _tried(port: int, word: str, time: str, more: Sequence[str], *, ended: bool = False) -> Tried:
    result = cast(Connecting, word if word in RESULTS else "unknown")
    found = Tried(port=port, result=result, milliseconds=_number(time) if result == "open" else None)
    if not more:
        return found
    client, own, first, sent, received, _, arrived = more
    try:
        address = values.address(client)
    except values.Impossible:
        return found
    got, told = _count(received, MOST_BYTES), _count(arrived, MOST_BYTES)
    if got is not None and told is not None:
        got = max(got, told - 1)  # the kernel counts the FIN, and what nobody has read
    return Tried(
        port=port, result=result, client=address, client_port=_port(own), milliseconds=found.milliseconds,
        first_byte=_number(first), sent=_count(sent, MOST_BYTES), received=got, ended=ended,
    )  # fmt: skip


def _with(tried: Tried, replies: dict[tuple[int, int], list[Reply]]) -> Tried:
    found = replies.get((tried.port, tried.client_port), ())
    if not found:
        return tried
    return Tried(
        port=tried.port, result=tried.result, client=tried.client, client_port=tried.client_port,
        milliseconds=tried.milliseconds, first_byte=tried.first_byte, sent=tried.sent, received=tried.received,
        replies=tuple(found),
    )  # fmt: skip


def _connects(address: str, tries: Sequence[Tried], problem: str) -> tuple[Connected, ...]:
    """One answer per port: the first that is open, otherwise the first that says anything."""
    found: dict[int, Tried] = {}
    for one in tries:
        known = found.get(one.port)
        if known is None or (known.result != "open" and one.result == "open") or known.result == "unknown":
            found[one.port] = one
    return tuple(
        Connected(address=address, port=one.port, result="unknown", problem=problem)
        if one.result == "unknown"
        else Connected(address=address, port=one.port, result=one.result, milliseconds=one.milliseconds)
        for one in found.values()
    )


def _port(text: str) -> int:
    """A port, 0 where it is none."""
    return _count(text, 65_535) or 0


def _count(text: str, most: int) -> int | None:
    if not (text.isascii() and text.isdecimal()) or len(text) > 13:
        return None
    value = int(text)
    return value if value <= most else None


def _number(text: str) -> float | None:
    """A plausible time in milliseconds (`s` at its end: in seconds); a clock that was set meanwhile gives none."""
    plain = text.removesuffix("s")
    digits = plain.replace(".", "", 1)
    if not (digits.isascii() and digits.isdecimal()) or len(text) > 12:
        return None
    value = float(plain) * (1 if plain == text else 1000)
    return value if 0 < value < 60_000 else None


def _is_mac(text: str) -> bool:
    parts = text.split(":")
    return len(parts) == 6 and all(len(part) == 2 and set(part.lower()) <= set("0123456789abcdef") for part in parts)
