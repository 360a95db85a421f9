"""Themes' colours of letters, made readable. Contrast is WCAG 2.2's: the relation of relative luminances, 1 to 21."""

from __future__ import annotations

from collections.abc import Mapping

from textual.color import BLACK, WHITE, Color, ColorParseError

ENOUGH = 4.5
"""The least contrast of letters with what they stand on (WCAG 2.2, 1.4.3)."""
GROUNDS = ("background", "surface", "panel")
INKS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("foreground", "text-success", "text-warning", "text-error", "text-primary", "text-accent"), GROUNDS
    ),
    **dict.fromkeys(("markdown-h1-color", "markdown-h2-color", "markdown-h3-color"), ("background", "surface")),
    **dict.fromkeys(
        ("footer-key-foreground", "footer-foreground", "footer-description-foreground"), ("footer-background",)
    ),
}
"""Letters, and what they stand on."""
FILLED = ("block-cursor-background", "primary", "success", "warning", "error")
"""Grounds of their own, with black or white letters: the row under the cursor, and buttons."""
LESS = {"text-muted": "auto 66%", "text-disabled": "auto 62%"}
"""What matters less, and a field's example: shares of black or white."""
_STEP = 0.05


def contrast(one: Color, other: Color) -> float:
    """The contrast of two opaque colours."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def readable(variables: Mapping[str, str]) -> dict[str, str]:
    """A theme's variables, with its letters darker or lighter where they had too little contrast with its grounds.
    The terminal's own colours, whose values nobody knows, stay."""
    made = dict(variables)
    for name, stands_on in INKS.items():
        ink, grounds = _plain(variables.get(name, "")), [_plain(variables.get(ground, "")) for ground in stands_on]
        if ink is not None and None not in grounds:
            made[name] = _against(ink, [ground for ground in grounds if ground]).hex
    for name in FILLED:
        if (ground := _plain(variables.get(name, ""))) is not None:
            letters = ground.get_contrast_text(1.0)
            made[name] = _against(ground, [letters]).hex
            if name == "block-cursor-background":
                made["block-cursor-foreground"] = letters.hex
            else:
                made["button-color-foreground"] = "auto 100%"
    made |= {name: share for name, share in LESS.items() if variables.get(name, "").startswith("auto")}
    return made


def _against(ink: Color, grounds: list[Color]) -> Color:
    """The ink, moved to black or white, whichever is further from the grounds, until it is readable on all of them."""
    end = max((BLACK, WHITE), key=lambda end: min(contrast(end, ground) for ground in grounds))
    share, found = 0.0, ink
    while share < 1 and min(contrast(found, ground) for ground in grounds) < ENOUGH:
        share += _STEP
        found = ink.blend(end, min(share, 1.0))
    return found


def _plain(value: str) -> Color | None:
    """The colour, if its red, green and blue are known; it is opaque."""
    try:
        color = Color.parse(value)
    except ColorParseError:  # such as "auto 60%", which is taken from the ground
        return None
    return color if color.ansi is None and color.a == 1 else None


def _luminance(color: Color) -> float:
    parts = [part / 255 for part in color.rgb]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
