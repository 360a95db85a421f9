"""The table of real servers in the wizard: which are shown, which are chosen together, how wide the columns are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.text import Text
from textual.widgets import DataTable

from dsrwizard.core.intake.draft import DraftServer
from dsrwizard.core.model.foreign import one_line
from screens.widgets.glyphs import Name, ascii_only, glyph

TEST = 22
"""Cells that the last test's words need."""
Says = Callable[[int, DraftServer], tuple[Name, str]]


class ServerTable(DataTable[Text]):
    """The table. Enter edits the server under the cursor."""

    help_text = (
        "Each real server must be in the director's layer-2 network. dsrwizard logs in by SSH (root or sudo) or by "
        "WinRM (an administrator), or you set it up by hand from a runbook. a adds one, Enter edits, d removes, i "
        "imports. t tests the one under the cursor, T tests all: the test connects as apply will, and changes "
        "nothing. Space chooses several; t, d and w (weight) then act on all of them. / finds."
    )
    hint = "Each replies to clients directly: it needs the VIP (no ARP) and a gateway."
    help_title = "Real servers"

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 - Textual's word
        super().__init__(cursor_type="row", zebra_stripes=False, id=id)
        self.words: tuple[str, ...] = ()
        """Only servers with all of these words are shown; case does not matter."""
        self._numbers: list[int] = []
        self._marked: list[DraftServer] = []

    # Which server is where.

    @property
    def number(self) -> int:
        """The number in the draft of the server under the cursor; -1: there is none."""
        return self._numbers[self.cursor_row] if 0 <= self.cursor_row < len(self._numbers) else -1

    @property
    def shown(self) -> int:
        return len(self._numbers)

    def put_cursor(self, number: int) -> None:
        """Moves the cursor to the server with this number in the draft, if it is shown."""
        if number in self._numbers:
            self.move_cursor(row=self._numbers.index(number))

    # Several.

    def marked(self, servers: Sequence[DraftServer]) -> list[DraftServer]:
        """Those of these servers that are chosen together."""
        return [server for server in servers if any(server is one for one in self._marked)]

    def mark(self, server: DraftServer) -> None:
        """Chooses it together with others, or no longer."""
        before = len(self._marked)
        self._marked = [one for one in self._marked if one is not server]
        if len(self._marked) == before:
            self._marked.append(server)

    def mark_none(self) -> None:
        self._marked = []

    # Drawing.

    def fill(self, servers: Sequence[DraftServer], says: Says, width: int) -> None:
        """Draws these servers in so many cells. The cursor stays on its server."""
        number = self.number
        self._marked = self.marked(servers)
        self._numbers = [place for place, server in enumerate(servers) if self._wanted(server)]
        self.clear(columns=True)
        self._columns(servers, width)
        sign = "* " if ascii_only() else "• "
        for place in self._numbers:
            server = servers[place]
            name, said = says(place, server)
            mark = sign if self.marked([server]) else ""
            self.add_row(
                _cell(mark + (one_line(server.name) or "(no name)")),
                _cell(one_line(server.address)),
                Text(one_line(server.weight), justify="right"),
                _cell(one_line(login(server))),
                _cell(f"{glyph(name)} {said}" if said else ""),
            )
        if number in self._numbers:
            self.put_cursor(number)
        elif self._numbers:
            self.put_cursor(max((one for one in self._numbers if one < number), default=self._numbers[0]))

    def _wanted(self, server: DraftServer) -> bool:
        text = f"{server.name} {server.address} {server.address6} {login(server)}".casefold()
        return all(word in text for word in self.words)

    def _columns(self, servers: Sequence[DraftServer], width: int) -> None:
        """Sizes each column to its content, within limits; the test result gets the rest."""
        mark = 2 if self._marked else 0
        widths = {
            "Name": min(max([4, *(len(server.name) for server in servers)]) + mark, 28),
            "Address": min(max([8, *(len(server.address) for server in servers)]), 28),
            "Weight": 6,
            "Login": min(max([5, *(len(login(server)) for server in servers)]), 16),
        }
        room = width - 2 * (len(widths) + 1) - TEST
        for label, least in (("Name", 12), ("Login", 8), ("Address", 15), ("Name", 8), ("Login", 6)):
            over = sum(widths.values()) - room
            widths[label] = max(widths[label] - max(over, 0), min(widths[label], least))
        for label, cells in widths.items():
            self.add_column(label, width=cells)
        taken = sum(widths.values()) + 2 * (len(widths) + 1)
        self.add_column("Test", width=max(width - taken, 12))


def login(server: DraftServer) -> str:
    """How it is reached, in a word or two."""
    return f"{server.connect} {server.user}".strip() if server.connect != "manual" else "by hand"


def _cell(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")
