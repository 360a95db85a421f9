"""Checks as rows and one check in full. Fail and "could not look" differ in sign, word and style. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsrwizard.core.checks import Check, Report
from screens.widgets.glyphs import Name, glyph
from screens.widgets.live_rows import Row, fit

WORDS: dict[str, tuple[Name, str, str]] = {
    "pass": ("ok", "pass", "good"),
    "fail": ("fail", "FAIL", "bad"),
    "unknown": ("unknown", "unseen", "warn"),
    "skipped": ("dash", "skipped", "dim"),
}
"""Outcome → glyph, word, style."""

CAUSES: dict[str, str] = {
    "unreachable": "the real server does not answer at its RIP",
    "not-on-link": "the real server is not in the director's layer-2 network",
    "service-down": "nothing listens on the service port",
    "rip-only-listener": "the application listens on the RIP but not on the VIP",
    "vip-missing": "the VIP is not on the real server",
    "vip-prefix": "the VIP is there with another prefix than /32 (/128)",
    "arp-leak": "the real server answers ARP for the VIP",
    "arp-announce": "the real server sends ARP with the VIP as sender",
    "rp-filter": "reverse-path filtering drops clients' packets on the real server",
    "firewall": "a host firewall drops packets to the VIP",
    "gateway": "the real server's replies would go back through the director, or nowhere",
    "duplicate-vip": "a host outside the deployment owns the VIP",
    "stale-arp": "a neighbour still has another MAC for the VIP",
    "not-persistent": "right now, wrong after the next reboot",
    "ipvs-missing": "the director lacks the service or the destination",
    "ipvs-differs": "the director has it with another forwarding method, scheduler, port or persistence",
    "director-vip": "the director does not hold the VIP",
    "drained": "the destination has weight 0 though the deployment says otherwise",
    "weak-host": "weak-host send or receive is off",
    "windows-adapter": "the loopback adapter is missing, or lets the VIP register in DNS or NetBIOS",
    "site-binding": "IIS or http.sys is bound to addresses that leave the VIP out",
    "address-conflict": "the system log reports an address conflict for the VIP",
    "spoof-filter": "the network drops frames with a client's source address or with the VIP as source",
}
"""Each cause in words (design, section 6)."""


def check_row(number: int, check: Check) -> Row:
    name, text, style = WORDS[check.outcome]
    follows = bool(check.consequence_of)
    mark = style if not follows else "dim"
    return Row(
        f"check {number}",
        (
            (fit(f"{glyph(name)} {text}", 10), mark),
            (fit(check.host, 11), "head"),
            (" " + check.message, style if check.outcome == "fail" and not follows else "dim" if follows else ""),
        ),
    )


def check_lines(check: Check) -> Iterator[tuple[str, str]]:
    """The check in full, for the box under the list."""
    about = " ".join(part for part in (check.vip, check.service) if part)
    yield "", f"{check.message}  ({check.check}{', ' + about if about else ''})"
    if check.consequence_of:
        yield "Follows from", f"{check.consequence_of}: {CAUSES.get(check.consequence_of, '')}"
    yield "Cause", f"{check.cause}: {CAUSES[check.cause]}" if check.cause in CAUSES else check.cause
    yield "Fix", check.fix
    yield "Seen", check.evidence


def verdict_line(report: Report) -> str:
    """`✗ 2 checks failed, 1 could not be looked at, 17 passed.`"""
    counts = {word: sum(check.outcome == word for check in report.checks) for word in WORDS}
    parts = [f"{counts['pass']} passed"]
    if counts["unknown"]:
        parts.insert(0, f"{counts['unknown']} could not be looked at")
    if counts["fail"]:
        parts.insert(0, f"{counts['fail']} failed")
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} skipped")
    name, word = {
        "pass": ("ok", "It works"),
        "fail": ("fail", "It does not all work"),
        "unknown": ("unknown", "Not everything could be seen"),
    }[report.verdict]
    return f"{glyph(name)} {word}: {', '.join(parts)}."  # type: ignore[arg-type]


def summed(checks: Sequence[Check]) -> str:
    """How far a verification is."""
    failed = sum(check.outcome == "fail" for check in checks)
    return f"{len(checks)} checks so far" + (f", {failed} failed" if failed else "")
