"""Texts and rows for checks. Failed and "could not check" differ in sign, word and style. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsrwizard.core.model.causes import with_words
from dsrwizard.core.model.checks import Check, Report
from screens.widgets.glyphs import Name, glyph
from screens.widgets.rows import ListRow, fit

WORDS: dict[str, tuple[Name, str, str]] = {
    "pass": ("ok", "pass", "good"),
    "fail": ("fail", "FAIL", "bad"),
    "unknown": ("unknown", "unseen", "warn"),
    "skipped": ("dash", "skipped", "dim"),
}
"""Outcome → glyph, word, style."""


def check_row(number: int, check: Check) -> ListRow:
    name, text, style = WORDS[check.outcome]
    follows = bool(check.consequence_of)
    mark = style if not follows else "dim"
    return ListRow(
        f"check {number}",
        (
            (fit(f"{glyph(name)} {text}", 10), mark),
            (fit(check.host, 11), "head"),
            (" " + check.message, style if check.outcome == "fail" and not follows else "dim" if follows else ""),
        ),
    )


def check_lines(check: Check) -> Iterator[tuple[str, str]]:
    """All details of a check, for the box under the list."""
    about = " ".join(part for part in (check.vip, check.service) if part)
    yield "", f"{check.message}  ({check.check}{', ' + about if about else ''})"
    if check.consequence_of:
        yield "Follows from", with_words(check.consequence_of)
    yield "Cause", with_words(check.cause)
    yield "Fix", check.fix
    yield "Seen", check.evidence


def verdict_line(report: Report) -> str:
    """`✗ 2 checks failed, 1 could not be checked, 17 passed.`"""
    counts = {word: sum(check.outcome == word for check in report.checks) for word in WORDS}
    failed = counts["fail"]
    parts = [f"{failed} {'check' if failed == 1 else 'checks'} failed"] if failed else []
    if counts["unknown"]:
        parts.append(f"{counts['unknown']} could not be checked")
    parts.append(f"{counts['pass']} passed")
    if counts["skipped"]:
        parts.append(f"{counts['skipped']} skipped")
    told = ", ".join(parts)
    if report.verdict == "fail":
        return f"{glyph('fail')} {told}."
    if report.verdict == "pass":
        return f"{glyph('ok')} Everything works: {told}."
    return f"{glyph('unknown')} Not everything could be checked: {told}."


def unseen_line(report: Report) -> str:
    """What was not seen: the largest gap, and how many more there are."""
    if not report.not_seen:
        return ""
    more = f" And {len(report.not_seen) - 1} more: see dsrwizard verify." if len(report.not_seen) > 1 else ""
    return f"{glyph('dash')} {report.not_seen[0]}{more}"


def summed(checks: Sequence[Check]) -> str:
    """The progress of a verification, as text."""
    failed = sum(check.outcome == "fail" for check in checks)
    return f"{len(checks)} checks so far" + (f", {failed} failed" if failed else "")
