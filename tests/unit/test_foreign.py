"""Foreign text: what a terminal obeys or nobody sees is written out, what people write stays as it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dsrwizard.core.model.foreign import BLOCK, FIELD, harmless, lines, one_line

WRITTEN_OUT = [
    ("\x1b]0;PWNED\x07", r"\x1b]0;PWNED\x07"),  # the terminal's title
    ("\x1b[8m", r"\x1b[8m"),  # conceals what follows
    ("\x9b8m", r"\x9b8m"),  # the same in one sign
    ("\x9d0;PWNED\x9c", r"\x9d0;PWNED\x9c"),
    ("pass\x7f\x08\x00", r"pass\x7f\x08\x00"),
    ("web1\nVerdict: pass", r"web1\nVerdict: pass"),
    ("web1\r\nfix: rm", r"web1\r\nfix: rm"),
    ("a\tb", r"a\tb"),
    ("a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i", r"a\x0bb\x0cc\x1cd\x1de\x1ef\x85g\u2028h\u2029i"),
    ("\u202egnp.exe\u202c", r"\u202egnp.exe\u202c"),  # overrides
    ("\u2066a\u2069 \u200e\u200f\u061c", r"\u2066a\u2069 \u200e\u200f\u061c"),  # isolates and marks
    ("we\u200bb1", r"we\u200bb1"),
    ("we\u200db1 we\u200cb1 \ufeffweb1", r"we\u200db1 we\u200cb1 \ufeffweb1"),
    ("web\ufe0f1 1\ufe0f", r"web\ufe0f1 1\ufe0f"),
    ("so\u00adft \u2060\u2061\u2062\u2063\u2064", r"so\xadft \u2060\u2061\u2062\u2063\u2064"),
    ("\u115f\u1160\u3164\uffa0\u034f\u180e", r"\u115f\u1160\u3164\uffa0\u034f\u180e"),  # fillers
    ("\U000e0001\U000e0072\U000e006d", r"\U000e0001\U000e0072\U000e006d"),  # tags, which spell unseen
    ("\U0001f3f4\U000e0072\U000e006d\U000e007f", "\U0001f3f4" + r"\U000e0072\U000e006d\U000e007f"),  # no flag
    ("\ufff9a\ufffab\ufffb \U0001d173", r"\ufff9a\ufffab\ufffb \U0001d173"),
    ("\ud800 \udc9b \ufffe \U0010ffff \ufdd0", r"\ud800 \udc9b \ufffe \U0010ffff \ufdd0"),
    ("\ue000 \U0010fffd \u0378", r"\ue000 \U0010fffd \u0378"),  # private use, and no sign at all
    ("e" + "\u0301" * 6, "e" + "\u0301" * 4 + r"\u0301\u0301"),
]  # fmt: skip

KEPT = [
    "",
    "web1: nothing listens on tcp/80",
    r"C:\Windows\system32 \x1b already written out",
    "Ünïcödé, 中文, 日本語, 한국어, ไทย, עברית, العربية",
    "e\u0301 a\u0302\u0301 \u1ec7",
    "می\u200cخواهم क्\u200dष",  # Persian and Hindi are spelt with joiners
    "😀 ❤️ ☎︎ 👍🏽 1️⃣ #️⃣ 🇩🇪",
    "👨‍👩‍👧‍👦 👩🏽‍🚀 🏳️‍🌈 ❤️‍🔥",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "5\u00a0s, 5\u202fs, \u3000",
    "→ • … ▲ ▼ ─ │ █ ⣿",
]


@pytest.mark.parametrize(("text", "written"), WRITTEN_OUT)
def test_what_acts_or_hides_is_written_out(text: str, written: str) -> None:
    assert one_line(text) == written
    assert not harmless(text)


@pytest.mark.parametrize("text", KEPT)
def test_what_people_write_stays(text: str) -> None:
    assert one_line(text) == text
    assert lines(text) == text
    assert harmless(text)


def test_every_control_is_written_out() -> None:
    for code in [*range(0x20), *range(0x7F, 0xA0)]:
        assert one_line(f"a{chr(code)}b").isprintable()
        assert one_line(f"ä{chr(code)}b").isprintable()


def test_a_block_keeps_its_lines_and_nothing_else() -> None:
    assert lines("one\ntwo\x1b[2J\r\nthree\rfour\u2028five") == "one\ntwo\\x1b[2J\nthree\\rfour\\u2028five"
    assert lines("a\tb") == "a       b"
    assert lines("a\tb\x1b", tabs=True) == "a\tb\\x1b"


@pytest.mark.parametrize("function", [one_line, lines])
def test_a_long_text_is_cut_and_says_so(function) -> None:  # type: ignore[no-untyped-def]
    for long in ("x" * 100_000, "é\x1b" * 50_000):
        cut = function(long, 200)
        assert len(cut) <= 200
        assert cut.endswith(" characters more)")
    assert function("x" * 200, 200) == "x" * 200


def test_how_much_is_not_shown_is_true() -> None:
    cut = one_line("x" * 1_000, 100)
    kept, _, rest = cut.partition("… (")
    assert len(kept) + int(rest.split()[0]) == 1_000


def test_the_limits_hold_without_being_named() -> None:
    assert len(one_line("\x00" * 1_000_000)) <= FIELD
    assert len(lines("\x00\n" * 1_000_000)) <= BLOCK


ANY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\x1b\x9b\n\r\t\x85\u2028\u202e\u2066\u200b\u200c\u200d\ufe0f\u20e3\u0301\u034f\ud83d1#aé"),
        st.sampled_from("❤😀🏽👩🏴میक्\U000e0067\U000e007f"),
    ),
    max_size=60,
)


def acts(sign: str) -> bool:
    """Whether no context makes this sign harmless. By the Unicode database, not by the table in the program."""
    return (
        unicodedata.category(sign) in ("Cc", "Cs", "Co", "Zl", "Zp")
        or unicodedata.bidirectional(sign) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or sign in "\u200b\u200e\u200f\u061c\u2060\ufeff\u00ad\u180e"
        or ord(sign) & 0xFFFE == 0xFFFE
    )


@given(ANY)
def test_nothing_that_acts_is_left(text: str) -> None:
    assert not any(acts(sign) for sign in one_line(text))
    assert not any(acts(sign) for sign in lines(text) if sign != "\n")
    assert len(one_line(text).splitlines()) <= 1
    one_line(text).encode()  # no half of a pair is left


@given(ANY)
def test_joiners_stay_only_between_signs_that_they_join(text: str) -> None:
    """An ordinary word never holds one: two names that look the same are the same."""
    shown = f" {one_line(text)} "
    for before, sign, after in zip(shown, shown[1:], shown[2:], strict=False):
        if sign in "\u200c\u200d":
            assert not before.isascii()
            assert not after.isascii()
        if sign == "\ufe0f":
            assert not before.isascii() or after == "\u20e3"


@given(ANY, st.integers(40, 80))
@example("\U0001f469\u200d\U0001f680" * 30, 40)
@example("می\u200cخواهم" * 30, 41)
@example("1\ufe0f\u20e3" * 30, 40)
def test_twice_is_once(text: str, limit: int) -> None:
    once, block = one_line(text, limit), lines(text, limit)
    assert one_line(once, limit) == once
    assert lines(block, limit) == block
    assert len(once) <= limit
    assert len(block) <= limit


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"])))
def test_plain_text_is_not_touched(text: str) -> None:
    assert one_line(text) == text


@given(ANY)
def test_a_reader_can_tell_what_was_there(text: str) -> None:
    """Each sign that is written out stands as its number: nothing is dropped, nothing replaced by a likeness."""
    shown = one_line(text, 10_000)
    for sign in set(text) - set(shown):
        assert sign.encode("unicode_escape").decode() in shown
