"""Checks as rows and one check in full. Fail and "could not look" differ in sign, word and style. Pure."""

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
    """The check in full, for the box under the list."""
    about = " ".join(part for part in (check.vip, check.service) if part)
    yield "", f"{check.message}  ({check.check}{', ' + about if about else ''})"
    if check.consequence_of:
        yield "Follows from", with_words(check.consequence_of)
    yield "Cause", with_words(check.cause)
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
