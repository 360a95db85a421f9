"""A list of one-line rows that draws only visible rows, so that ten thousand rows cost as much as ten.

Rows are parts of text, each with the name of a style; the styles are component classes, so that colours stay in the
theme. The row under the cursor is marked by a sign and by its background.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.scrollbar import ScrollDown, ScrollTo, ScrollUp
from textual.strip import Strip

from dsrwizard.core.model.foreign import one_line
from screens.widgets.glyphs import ascii_only

RowPart = tuple[str, str]
"""Text and the name of its style: one of `Rows.STYLES`, or empty for the plain one."""


@dataclass(frozen=True)
class ListRow:
    """One row. `key` identifies its subject, so that the cursor stays on it when rows are added or removed."""

    key: str
    parts: tuple[RowPart, ...]
    selectable: bool = True
    marked: bool = False
    """Whether the operator has chosen it together with others."""

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.parts)


class Rows(ScrollView, can_focus=True):
    """The list. The cursor moves over the selectable rows. Posts `Moved` and `Chosen` with the row's key.

    The row under the cursor stays in sight, whatever becomes of rows and size, until the operator scrolls it away with
    the mouse; it comes back with the next move. A row that was put under the cursor stands in the middle, however large
    the list was when it was put there.

    Subclasses with very many rows override `row_count` and `row_at`, and keep `index_of` quick.
    """

    STYLES: ClassVar[tuple[str, ...]] = ("good", "bad", "warn", "dim", "head", "accent", "old")
    COMPONENT_CLASSES: ClassVar[set[str]] = {f"rows--{name}" for name in (*STYLES, "cursor", "cursor-blurred")}
    DEFAULT_CSS = """
    Rows { height: 1fr; min-height: 4; width: 1fr; background: transparent; overflow-x: hidden; overflow-y: auto;
           scrollbar-size-vertical: 1; scrollbar-size-horizontal: 0; }
    Rows > .rows--good { color: $text-success; }
    Rows > .rows--bad { color: $text-error; text-style: bold; }
    Rows > .rows--warn { color: $text-warning; }
    Rows > .rows--dim { color: $text-muted; }
    Rows > .rows--head { color: $text-primary; text-style: bold; }
    Rows > .rows--accent { color: $text-accent; }
    Rows > .rows--old { color: $text-disabled; }
    Rows > .rows--cursor { background: $block-cursor-background; color: $block-cursor-foreground; text-style: bold; }
    Rows > .rows--cursor-blurred { background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, tooltip="Up one row"),
        Binding("down", "move(1)", "Down", show=False, tooltip="Down one row"),
        Binding("pageup", "page(-1)", "Page up", show=False, tooltip="Up one page"),
        Binding("pagedown", "page(1)", "Page down", show=False, tooltip="Down one page"),
        Binding("home", "end(-1)", "First", show=False, tooltip="Go to the first row"),
        Binding("end", "end(1)", "Last", show=False, tooltip="Go to the last row"),
        Binding("enter", "choose", "Details", show=False, tooltip="Details of this row"),
    ]

    cursor: reactive[int] = reactive(-1, init=False)
    HELP: ClassVar[str] = ""

    class _About(Message):
        def __init__(self, rows: Rows, key: str) -> None:
            super().__init__()
            self.rows = rows
            self.key = key

        @property
        def control(self) -> Rows:
            return self.rows

    class Moved(_About):
        """The cursor moved to another row."""

    class Chosen(_About):
        """Enter, or a click on the row under the cursor."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(id=id, classes=classes)
        self.hint = ""
        self._rows: list[ListRow] = []
        self._index: dict[str, int] = {}
        self._follows = True
        """Whether the list is kept where the cursor is; not after the mouse has scrolled it."""
        self._in_middle = False
        """Whether the cursor was put where it is: then its row is kept in the middle."""

    # The rows: these three may be overridden together.

    def row_count(self) -> int:
        return len(self._rows)

    def row_at(self, index: int) -> ListRow:
        return self._rows[index]

    def index_of(self, key: str) -> int:
        """Where the row with this key is; -1: nowhere."""
        return self._index.get(key, -1)

    @property
    def line_width(self) -> int:
        """The width of a row in cells, without the scrollbar."""
        return self.scrollable_content_region.width

    def set_rows(self, rows: Sequence[ListRow]) -> None:
        """Shows these rows. The cursor stays on its key, else near where it was."""
        key = self.key
        self._rows = list(rows)
        self._index = {row.key: number for number, row in enumerate(self._rows) if row.key}
        self.rows_changed(key)

    def rows_changed(self, key: str) -> None:
        """Called by subclasses when their rows have changed; `key` is the row that had the cursor."""
        count = self.row_count()
        self.virtual_size = Size(self.virtual_size.width, count)
        wanted = self.index_of(key) if key else -1
        if wanted < 0:
            wanted = self._selectable(min(max(self.cursor, 0), count - 1), 1)
        moved = wanted != self.cursor
        self.set_reactive(Rows.cursor, wanted)
        if moved:
            self._tell_moved()
        self._show_cursor(wanted)
        self.refresh()

    @property
    def key(self) -> str:
        """The key of the row under the cursor; empty: there is none."""
        return self.row_at(self.cursor).key if 0 <= self.cursor < self.row_count() else ""

    def texts(self) -> list[str]:
        """All rows as plain text."""
        return [self.row_at(index).text for index in range(self.row_count())]

    def put_cursor(self, key: str) -> None:
        """Moves the cursor to this key, if it is there, and brings it into the middle."""
        index = self.index_of(key)
        if index >= 0:
            self._put(index, middle=True)

    # Moving.

    def _put(self, index: int, *, middle: bool = False) -> None:
        """The cursor to this row; also where it is there already, the row is brought into sight."""
        self._follows, self._in_middle = True, middle
        if index == self.cursor:
            self._show_cursor(index)
        else:
            self.cursor = index

    def watch_cursor(self, old: int) -> None:
        self._show_cursor(old)
        self.refresh()
        self._tell_moved()

    def _show_cursor(self, old: int) -> None:
        """Scrolls to the cursor, which comes from row `old`. Without a size yet, `on_resize` does it."""
        if not self._follows or not self.size.height:
            return
        if self.cursor >= 0 and self._in_middle:
            self.scroll_to(y=max(self.cursor - self.size.height // 2, 0), animate=False, force=True)
        elif self.cursor >= 0:
            self.scroll_to_region(self._with_neighbours(old, self.cursor), animate=False, force=True)
        else:
            self.scroll_home(animate=False)

    @on(events.MouseScrollUp)
    @on(events.MouseScrollDown)
    @on(ScrollTo)
    @on(ScrollUp)
    @on(ScrollDown)
    def _scrolled(self) -> None:
        self._follows = False

    def _with_neighbours(self, old: int, new: int) -> Region:
        """The row and what belongs to it: the lines under it, and coming from below the headings above it."""
        room, first, last = max(self.size.height, 1), new, new
        while last + 1 < self.row_count() and last - first + 1 < room and not self.row_at(last + 1).selectable:
            last += 1
        while new < old and first > 0 and last - first + 1 < room and not self.row_at(first - 1).selectable:
            first -= 1
        return Region(0, first, 1, last - first + 1)

    def _tell_moved(self) -> None:
        if self.is_mounted:
            self.post_message(self.Moved(self, self.key))

    def action_move(self, by: int) -> None:
        index = self._selectable(self.cursor + by, by)
        self._put(index if index >= 0 else self.cursor)
        if index < 0 and by < 0:
            self.scroll_home(animate=False)  # headings above the first row

    def action_page(self, by: int) -> None:
        target = min(max(self.cursor + by * max(self.size.height - 1, 1), 0), self.row_count() - 1)
        index = self._selectable(target, by)
        self._put(index if index >= 0 else self._selectable(target, -by))

    def action_end(self, by: int) -> None:
        self._put(self._selectable(0 if by < 0 else self.row_count() - 1, -by))

    def action_choose(self) -> None:
        if self.key:
            self.post_message(self.Chosen(self, self.key))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = offset.y + self.scroll_offset.y
        if 0 <= index < self.row_count() and self.row_at(index).selectable:
            if index == self.cursor:
                self.action_choose()
            else:
                self._put(index)

    def _selectable(self, start: int, by: int) -> int:
        """The first selectable row from here in this direction; -1: none."""
        index, step = start, 1 if by > 0 else -1
        while 0 <= index < self.row_count():
            if self.row_at(index).selectable:
                return index
            index += step
        return -1

    # Drawing.

    def render_line(self, y: int) -> Strip:
        width = self.line_width
        index = y + self.scroll_offset.y
        if index >= self.row_count():
            return Strip.blank(width, self.rich_style)
        row = self.row_at(index)
        here = index == self.cursor and row.selectable
        if here and self.has_focus:
            style, over = self.get_component_rich_style("rows--cursor"), True
        elif here:
            style, over = self.rich_style + self._ground("rows--cursor-blurred"), False
        else:
            style, over = self.rich_style, False
        sign = (">" if ascii_only() else "›") if here else " "
        mark = ("*" if ascii_only() else "•") if row.marked else " "
        segments = [Segment(f"{sign}{mark}", style)]
        left = width - 2
        for said, name in row.parts:
            if left <= 0:
                break
            text = said if said.isascii() and said.isprintable() else one_line(said)
            shown = fit(text, left) if cell_len(text) > left else text
            part = style if over or not name else style + self._part_style(name)
            segments.append(Segment(shown, part))
            left -= cell_len(shown)
        if left > 0:
            segments.append(Segment(" " * left, style))
        return Strip(segments, width)

    def _part_style(self, name: str) -> Style:
        full = self.get_component_rich_style(f"rows--{name}")  # the partial one knows no translucent colours
        return Style(color=full.color, bold=full.bold or None, dim=full.dim or None, underline=full.underline or None)

    def _ground(self, name: str) -> Style:
        return Style(bgcolor=self.get_component_rich_style(name).bgcolor)

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def watch_show_vertical_scrollbar(self, shown: bool) -> None:
        """Textual tells a scrollbar nothing of what was scrolled before it was there."""
        if shown:
            self.vertical_scrollbar.position = self.scroll_y

    def on_resize(self) -> None:
        self.virtual_size = Size(self.size.width, self.row_count())
        self._show_cursor(self.cursor)


def fit(text: str, width: int) -> str:
    """Exactly `width` cells: padded, or cut with a sign that something is missing."""
    length = cell_len(text)
    if length <= width:
        return text + " " * (width - length)
    mark = "~" if ascii_only() else "…"
    return set_cell_size(text, max(width - 1, 0)) + mark if width > 0 else ""


def right(text: str, width: int) -> str:
    """The same, set to the right: for numbers."""
    length = cell_len(text)
    return " " * (width - length) + text if length <= width else fit(text, width)
