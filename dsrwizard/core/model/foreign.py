r"""Foreign text made harmless: what a host, a file, a neighbour on the wire or a library said, before anyone reads it.

A sign that a terminal obeys, or that a reader cannot see, is written out as Python writes it: `\x1b`, `\n`, `\u202e`.
Nothing is dropped, so the text still tells what was there, and nothing of it acts. These are written out:

- controls: C0 with escape, DEL, and C1, in which 0x9b alone begins a sequence;
- line breaks of every kind (in one line): a field must not begin a line that looks like one of dsrwizard's own;
- what turns the direction of text: bidirectional marks, overrides and isolates;
- what has no picture: zero-width signs, fillers, tags, variation selectors, soft hyphens, byte order marks;
- halves of surrogate pairs and noncharacters, which no file takes, and what stands for no sign at all (private use);
- marks over marks over marks, which grow into the lines above and below.

Accents, scripts and emoji stay as they are, with the joiners and selectors that belong to them.
Both functions are idempotent: a text may pass through them at the border and again on its way out.
"""

from __future__ import annotations

import re
from collections.abc import Callable

FIELD = 4_000
"""Characters of a field at most. The longest sentences of dsrwizard's own have some hundred."""
BLOCK = 40_000
"""Characters of a text of several lines at most."""
WHOLE = 50_000_000
"""Characters of a text that dsrwizard has put together: a runbook, a ticket. It is far below."""

_E = "\u00a9\u00ae\u203c\u2049\u2100-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff"
_JOINING = "\u0620-\u06ff\u0750-\u077f\u0900-\u0dff"
_MARKS = "\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20f0\ufe20-\ufe2f"
_UNSEEN = (  # Default_Ignorable_Code_Point of the Unicode database, and annotation marks
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_LAST_TWO = "".join(f"{chr(plane * 0x10000 + 0xFFFE)}{chr(plane * 0x10000 + 0xFFFF)}" for plane in range(17))
_CONTROLS = "\x00-\x1f\x7f-\x9f"
_BROKEN = f"\u2028\u2029\ud800-\udfff\ufdd0-\ufdef{_LAST_TWO}"
_HARM = f"[{_CONTROLS}{_UNSEEN}{_BROKEN}]|(?<=[{_MARKS}]{{4}})[{_MARKS}]"
_KEPT = (
    f"[{_E}][\ufe0e\ufe0f]?(?:\u200d[{_E}]\ufe0f?)*"  # emoji, joined to one picture
    "|[0-9#*]\ufe0f?\u20e3"  # keycaps
    f"|(?<=[{_JOINING}])[\u200c\u200d](?=[{_JOINING}])"  # how Persian and the scripts of India spell
)
_FLAGS = "|".join(
    "\U0001f3f4" + "".join(chr(0xE0000 + ord(sign)) for sign in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)
_HARMFUL = re.compile(_HARM)
_SUSPECT = re.compile(f"[{_CONTROLS}{_UNSEEN}{_BROKEN}{_MARKS}]")
"""A single class of signs, which is looked for faster: every line that is drawn is looked at."""
_PIECES = re.compile(f"(?:{_FLAGS}|{_KEPT})|({_HARM})|([^\x00-\x7f])")
_TAIL = f"\u200c\u200d\ufe0e\ufe0f{''.join(map(chr, range(0xE0000, 0xE0080)))}"
"""What a cut must not leave behind: with what followed it, it had a meaning."""
_MARK = "… ({} characters more)"


def one_line(text: str, limit: int = FIELD) -> str:
    """The text as one line of at most `limit` characters (40 or more), for a field among dsrwizard's own words."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    return _shortened(replaced(text[: limit + 1], _number), len(text), limit)


def lines(text: str, limit: int = BLOCK, *, tabs: bool = False) -> str:
    """The text with its line ends (`\\n`, `\\r\\n`), all else made harmless. Tabs become spaces unless `tabs`: a file's
    content keeps them. Show it where each line is marked as a quotation: a line of it may look like anything."""
    if text.isascii() and text.isprintable() and len(text) <= limit:
        return text
    whole, text = len(text), text[: limit + 1].replace("\r\n", "\n")
    if "\t" not in text:
        return _shortened(replaced(text, _number_in_block), whole, limit)
    parts = [replaced(part, _number_in_block) for part in text.split("\t")]
    return _shortened("\t".join(parts) if tabs else "\t".join(parts).expandtabs(8), whole, limit)


def rows(text: str, width: int, most: int = 6) -> list[str]:
    """The text as rows of at most `width` cells and `most` rows: where it breaks is decided here and not by whoever
    wrote it, who might fill a line with spaces up to the terminal's edge and go on as if with a line of ours."""
    plain = " ".join(one_line(text).split())
    found, row, used = [], "", 0
    for sign in plain:
        cells = 1 if sign.isascii() else 2  # at most
        if used + cells > width:
            found.append(row)
            row, used = "", 0
        row, used = row + sign, used + cells
    found.append(row)
    return found if len(found) <= most else [*found[: most - 1], f"… ({len(plain):,} characters in all)"[:width]]


def whole(text: str) -> str:
    """A text of several lines on its way to a terminal, a file or the clipboard, after all is put together."""
    return lines(text, WHOLE, tabs=True)


def harmless(text: str) -> bool:
    """Whether the text is one line that nobody need write out, whatever its length."""
    return replaced(text, _number) == text


def replaced(text: str, instead: Callable[[str], str]) -> str:
    """The text with each harmful sign as `instead` gives it."""
    if (text.isprintable() or not _unprinted(text)) and not (_SUSPECT.search(text) and _HARMFUL.search(text)):
        return text

    def piece(match: re.Match[str]) -> str:
        harm, other = match.groups()
        return instead(harm) if harm else instead(other) if other and _unprinted(other) else match[0]

    return _PIECES.sub(piece, text)


def _unprinted(text: str) -> bool:
    return any(not sign.isprintable() and not sign.isspace() for sign in text)


_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def _number(sign: str) -> str:
    code = ord(sign)
    named = _NAMED.get(sign)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _number_in_block(sign: str) -> str:
    return "\n" if sign == "\n" else _number(sign)


def _shortened(text: str, whole: int, limit: int) -> str:
    """Cut to `limit`, with a mark that says how much of the original (`whole` characters) is not shown."""
    if len(text) <= limit and whole <= limit:
        return text
    mark = _MARK.format(f"{whole:,}")
    kept = text[: max(0, limit - len(mark))].rstrip(_TAIL)
    return kept + _MARK.format(f"{max(1, whole - len(kept)):,}")


_PRIVATE = "\ue000-\uf8ff\U000f0000-\U0010ffff"
_RAW_IN_JSON = re.compile(f"[\x7f-\x9f{_UNSEEN}{_BROKEN}{_PRIVATE}]")


def in_json(text: str) -> str:
    """A JSON document with what JSON itself lets through raw (DEL, C1, bidirectional and unseen signs) escaped. It
    means the same; texts of people stay as they are."""

    def escaped(match: re.Match[str]) -> str:
        units = match[0].encode("utf-16-be", "surrogatepass")
        return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))

    return text if text.isascii() and "\x7f" not in text else _RAW_IN_JSON.sub(escaped, text)
