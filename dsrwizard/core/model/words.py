"""Words as sentences of an operator's language need them."""

from __future__ import annotations


def capital(text: str) -> str:
    """The text with a capital at its beginning; the rest, which may hold names, stays as it is."""
    return text[:1].upper() + text[1:]
