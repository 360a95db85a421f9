"""Short texts for numbers, ages and trend lines. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from screens.widgets.glyphs import ascii_only, glyph

_BLOCKS = "▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = "_.:-=+*#"


def short(number: float | None) -> str:
    """A number in at most five cells: `0`, `2.4`, `12`, `9999`, `12.3k`, `1.2M`; a dash: unknown."""
    if number is None:
        return glyph("dash")
    if number < 9.95 and number != int(number):
        return f"{number:.1f}"
    if number < 9999.5:
        return f"{number:.0f}"
    for unit in "kMGT":
        number /= 1000
        if number < 99.95:
            return f"{number:.1f}{unit}"
        if number < 999.5:
            return f"{number:.0f}{unit}"
    return f"{number / 1000:.0f}P"


def age(seconds: float | None) -> str:
    """`0.4 s`, `12 s`, `3 min`, `2 h`, `5 d`; a dash: unknown."""
    if seconds is None:
        return glyph("dash")
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    for size, unit, limit in ((60, "min", 7200), (3600, "h", 172800)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def brief(seconds: float) -> str:
    """An age in as few cells as possible: `9s`, `4m`, `12h`, `99d`."""
    seconds = max(seconds, 0.0)
    for size, unit, limit in ((1, "s", 60), (60, "m", 3600), (3600, "h", 172_800)):
        if seconds < limit:
            return f"{int(seconds / size)}{unit}"
    return f"{int(seconds / 86_400)}d"


def counted(number: int) -> str:
    """A total with every digit: `81,000`."""
    return f"{number:,}"


def volume(size: float) -> str:
    """Bytes in decimal units: `512 B`, `38.9 MB`, `1.2 TB`."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} PB"


def milliseconds(value: float | None) -> str:
    """`0.8ms`, `12ms`; empty where nothing is known."""
    if value is None:
        return ""
    return f"{value:.1f}ms" if value < 9.95 else f"{value:.0f}ms"


def trend(values: Sequence[float], width: int) -> str:
    """The last values as bars, scaled to the highest of them, oldest first; exactly `width` cells."""
    if width <= 0:
        return ""
    blocks = _ASCII_BLOCKS if ascii_only() else _BLOCKS
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        bars = blocks[0] * len(shown)
    else:
        last = len(blocks) - 1
        bars = "".join(blocks[min(max(round(value / top * last), 1 if value > 0 else 0), last)] for value in shown)
    return " " * (width - len(bars)) + bars
