"""Makes the README's film of the three-minute tour: `make pictures`. tests/pictures/tour.cast for asciinema (format 2),
and tests/pictures/tour.svg, which is drawn from that file and needs no player.

The real app over the real engine and a farm in memory, walked by keys.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch
from xml.sax.saxutils import escape

from rich.console import Console  # noqa: TID251 - what it renders goes to a file
from rich.text import Text
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from tests.fakes.engine import factory
from tests.fakes.pictures import AT
from tests.fakes.world import World
from tests.screens.driving import settled

FOLDER = Path(__file__).parent / "pictures"
CAST, PICTURE = FOLDER / "tour.cast", FOLDER / "tour.svg"
WIDTH, HEIGHT = 100, 28
SECONDS = 3.0
"""How long each picture of the film stands."""
CELL, LINE, SIZE = 8.4, 18, 14
"""Of the drawing, in its own units: a cell, a line, the letters."""
INK, PAPER = "#d0d0d0", "#121212"
KEYS = (
    ("VIP and services: ctrl+n", "ctrl+n"),
    ("Director: ctrl+n", "ctrl+n"),
    ("Real servers: T tests all of them", "T"),
    ("Each one is reached: ctrl+n", "ctrl+n"),
    ("Review, from old to new: ctrl+n, and a question to confirm", "ctrl+n", "right", "enter"),
    ("Applied, each server proved. One loses its VIP: ctrl+n", "ctrl+n"),
    ("Verify names it, with its fix", "f"),
    ("One fault, one cause: m mends it", ""),
)


def frame(pilot: Pilot[int]) -> str:
    """What the terminal is sent for the screen as it is."""
    console = Console(width=WIDTH, height=HEIGHT, force_terminal=True, color_system="truecolor", legacy_windows=False)
    strips = pilot.app.screen._compositor.render_strips()
    return "\x1b[H" + "\r\n".join(strip.render(console) for strip in strips)


async def filmed(folder: Path) -> list[tuple[str, str]]:
    """Each picture with what is said of it."""
    world, pictures = World.lab(), []
    app = DsrApp(factory(world, folder / "journals"), ascii_only=False, deployment=world.deployment())
    async with app.run_test(size=(WIDTH, HEIGHT)) as pilot:
        for words, *keys in KEYS:
            await settled(pilot)
            pictures.append((words, frame(pilot)))
            if "loses its VIP" in words:
                del world.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
            for key in filter(None, keys):
                await pilot.press(key)
                await settled(pilot)
    return pictures


def cast(pictures: list[tuple[str, str]]) -> str:
    """The film as asciinema plays it."""
    head = {"version": 2, "width": WIDTH, "height": HEIGHT, "title": "dsrwizard: three minutes in the lab"}
    lines = [json.dumps(head)]
    for number, (words, picture) in enumerate(pictures):
        lines += [json.dumps([number * SECONDS, "m", words]), json.dumps([number * SECONDS, "o", picture])]
    return "\n".join([*lines, json.dumps([len(pictures) * SECONDS, "o", ""])]) + "\n"


def played(film: str) -> list[tuple[float, str, str]]:
    """The pictures of a film: when each begins, what is said of it, what it shows."""
    events = [json.loads(line) for line in film.splitlines()[1:]]
    shown = []
    for (at, kind, words), (_, _, picture) in pairwise(events):
        if kind == "m":
            shown.append((at, words, picture))
    return shown


def _runs(line: str) -> Iterator[tuple[int, str, str, str, bool]]:
    """Column, text, colour, ground and weight of each piece of a line that looks alike."""
    text, column = Text.from_ansi(line), 0
    console = Console(width=WIDTH, force_terminal=True, color_system="truecolor")
    for segment in text.render(console, end=""):
        style = segment.style
        ink, paper = INK, ""
        if style is not None and style.color is not None:
            ink = style.color.get_truecolor().hex
        if style is not None and style.bgcolor is not None:
            paper = style.bgcolor.get_truecolor().hex
        if style is not None and style.reverse:
            ink, paper = paper or PAPER, ink
        yield column, segment.text, ink, paper if paper != PAPER else "", bool(style is not None and style.bold)
        column += segment.cell_length


def _drawn(picture: str) -> str:
    parts = []
    for row, line in enumerate(picture.removeprefix("\x1b[H").split("\r\n")):
        for column, text, ink, paper, bold in _runs(line):
            x, y, wide = column * CELL, row * LINE, len(text) * CELL
            if paper:
                parts.append(f'<rect x="{x:.1f}" y="{y}" width="{wide:.1f}" height="{LINE}" fill="{paper}"/>')
            begin = len(text) - len(text.lstrip())
            said = text.strip()
            if said:
                at, long = x + begin * CELL, len(said) * CELL
                weight = ' font-weight="bold"' if bold else ""
                parts.append(
                    f'<text x="{at:.1f}" y="{y + LINE - 4}" textLength="{long:.1f}" fill="{ink}"{weight}>'
                    f"{escape(said)}</text>"
                )
    return "".join(parts)


def drawn(film: str) -> str:
    """The film as one SVG whose pictures take turns, with what is said below them."""
    pictures = played(film)
    whole, share = len(pictures) * SECONDS, 100 / len(pictures)
    width, height = WIDTH * CELL, HEIGHT * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-8 -8 {width + 16:.0f} {height + 48}" role="img">',
        "<title>dsrwizard: three minutes in the lab</title><style>",
        f"text{{font:{SIZE}px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;white-space:pre}}",
        f"g{{visibility:hidden;animation:turn {whole:.0f}s step-end infinite}}",
        f"@keyframes turn{{0%{{visibility:visible}}{share:.4f}%{{visibility:hidden}}}}",
        "@media (prefers-reduced-motion){g{animation:none}g:last-of-type{visibility:visible}}",
        "</style>",
        f'<rect x="-8" y="-8" width="{width + 16:.0f}" height="{height + 48}" rx="6" fill="{PAPER}"/>',
    ]
    for at, words, picture in pictures:
        parts.append(f'<g style="animation-delay:{at - whole:.0f}s">{_drawn(picture)}')
        parts.append(f'<text x="0" y="{height + 24}" fill="#ffd75f">{escape(words)}</text></g>')
    return "\n".join([*parts, "</svg>\n"])


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        settings = {"XDG_STATE_HOME": name, "TEXTUAL_ANIMATIONS": "none", "TZ": "UTC", "COLORTERM": "truecolor"}
        with (
            patch.dict(os.environ, settings),
            patch("screens.clock.now", lambda: AT + 0.4),
            patch("screens.clock.running", lambda: 100.0),
        ):
            CAST.write_text(cast(asyncio.run(filmed(Path(name)))))
    PICTURE.write_text(drawn(CAST.read_text()))


if __name__ == "__main__":
    main()
