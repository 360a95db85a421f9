"""The import dialog: real servers, and VIPs where the file has them, from a text that is pasted or read from a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import Button, Input, Label, Static, TextArea

from dsrwizard.core.intake.opening import brought, included
from dsrwizard.core.model.foreign import lines, one_line
from screens.pane import in_thread
from screens.questions.discard import leave
from screens.questions.once import Dialog
from screens.widgets.field import Menu
from screens.widgets.glyphs import Name, glyph
from screens.widgets.keybar import KeyBar
from screens.widgets.words import frame_title

if TYPE_CHECKING:
    from dsrwizard.core.intake.importers import Imported, ListKind

LONGEST = 1_000_000
"""The most bytes that are read from a file. A larger file is not a list of servers."""
PATH = 200
"""Characters of its path that are shown."""
KINDS = (
    ("detect the format", ""),
    ("list or CSV: name address [weight]", "plain"),
    ("Ansible inventory", "ansible"),
    ("ssh config", "ssh_config"),
    ("keepalived.conf", "keepalived"),
    ("ldirectord.cf", "ldirectord"),
    ("output of ipvsadm -Sn or -Ln", "ipvsadm"),
    ("NetScaler ns.conf", "netscaler"),
    ("LB Layer4 of an ALOHA", "aloha"),
)
SCOPES = (("servers and VIPs with their services", "all"), ("servers only", "servers"))
EXAMPLE = "# paste a list here, one server per line:\n# web1 10.0.0.101\n# web2 10.0.0.102 2\n"


SHOWN = 200
"""Lines of the preview at most."""
_SIGNS: dict[str, Name] = {"refused": "problem", "incomplete": "warn", "there": "dash", "new": "ok"}
"""What became of a line, the worst first, with its sign."""


class PathLine(Input):
    """The path of a file. A list that is pasted here goes where lists go."""

    class Pasted(Message):
        """Several lines were pasted."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    def on_paste(self, event: events.Paste) -> None:
        if "\n" in event.text.strip():
            event.prevent_default()
            event.stop()
            self.post_message(self.Pasted(event.text))


class ImportServers(Dialog["Imported | None"]):
    """Shows what would be imported as text, file, format or selection change. Returns that, or None."""

    BINDINGS = [
        Binding("escape", "back", "Cancel", id="import.back", tooltip="Import nothing; asks if you pasted a list"),
        Binding(
            "ctrl+n,ctrl+s", "take", "Import", id="import.take", tooltip="Import the servers found", key_display="^n"
        ),
    ]

    def __init__(
        self,
        vips: Sequence[str] = (),
        there: Sequence[str] = (),
        listed: str = "",
        keep: Callable[[str], None] | None = None,
    ) -> None:
        """`vips`: those of the draft, which are no real servers; `there`: the names of its servers. `listed`: the list
        of an earlier import that the program's end cut short; `keep` is given this one's, with each change."""
        super().__init__()
        self._listed = listed
        self._keep = keep
        self._vips = tuple(vips)
        self._there = frozenset(name.lower() for name in there)
        self._file_name = ""
        self._loaded = ""
        """The file's text as it was read."""
        self._imported: Imported | None = None

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal", id="import"):
            with Horizontal(classes="import-row"):
                yield Label("File", classes="field-label")
                yield PathLine(placeholder="file path, then Enter; or paste a list", id="path", compact=True)
            yield TextArea("", id="list", soft_wrap=False, compact=True, placeholder=EXAMPLE, tab_behavior="focus")
            with Horizontal(classes="import-row"):
                yield Label("Format", classes="field-label")
                yield Menu(KINDS, value="", allow_blank=False, compact=True, id="kind")
            with Horizontal(classes="import-row"):
                yield Label("Only", classes="field-label")
                yield Input(
                    placeholder="an Ansible group, or ssh hosts such as web*; empty: all", id="choice", compact=True
                )
            with Horizontal(classes="import-row", id="scope-row"):
                yield Label("Take", classes="field-label")
                yield Menu(SCOPES, value="all", allow_blank=False, compact=True, id="scope")
            with VerticalScroll(id="said"):
                yield Static("", markup=False, id="preview")
            with Horizontal(classes="modal-buttons"):
                yield Button("Import", id="take", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title("Import real servers")
        self.query_one("#path").focus()
        if self._listed:
            self.query_one("#list", TextArea).load_text(self._listed)
            self.query_one("#list").focus()
        self._preview()

    @on(Input.Submitted, "#path")
    async def read_file(self, event: Input.Submitted) -> None:
        event.stop()
        path = event.value.strip()
        try:
            text = await in_thread(lambda: _read(path))
        except OSError as error:
            self.query_one("#preview", Static).update(
                f"{glyph('problem')} {one_line(path, PATH)} cannot be read: {error.strerror}."
                " Enter the path of a text file."
            )
            return
        self._file_name, self._loaded = path, text
        self.query_one("#list", TextArea).load_text(text)

    @on(PathLine.Pasted)
    def pasted(self, event: PathLine.Pasted) -> None:
        event.stop()
        there = self.query_one("#list", TextArea)
        there.load_text(lines(event.text, LONGEST, tabs=True))
        there.focus()

    @on(Input.Submitted, "#choice")
    def choice_entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.query_one("#take", Button).focus()

    @on(Menu.Entered)
    def format_entered(self, event: Menu.Entered) -> None:
        event.stop()
        self.focus_next()

    @on(TextArea.Changed)
    @on(Menu.Changed)
    @on(Input.Changed, "#choice")
    def something_changed(self) -> None:
        self._preview()
        if self._keep is not None:
            self._keep(self._typed())

    def _preview(self) -> None:
        from dsrwizard.core.intake.importers import KIND_WORDS, detect, read
        from dsrwizard.core.intake.importers.outcome import outcomes

        text = self.query_one("#list", TextArea).text
        preview = self.query_one("#preview", Static)
        self.query_one("#scope-row").display = False
        if not text.strip():
            self._imported = None
            preview.update(
                "Accepts one server per line, a CSV table, an Ansible inventory, an ssh config, or a balancer's own "
                "file (keepalived.conf, ldirectord.cf, ipvsadm -Sn, ns.conf)."
            )
            return
        kind = cast("ListKind", self.query_one("#kind", Menu).value or detect(text, self._file_name))
        choice = self.query_one("#choice", Input).value.strip()
        opener = included if self._file_name else None
        found = read(text, self._file_name, kind, choice, opener=opener, vips=self._vips)
        self._imported = found
        told = sorted(outcomes(found, self._there), key=lambda one: list(_SIGNS).index(one.becomes))
        refused = [one.server for one in told if one.becomes == "refused"]
        found.servers = [server for server in found.servers if server not in refused]
        names = ", ".join(f"{server.name} {server.address}".strip() for server in found.servers[:4])
        more = f" and {len(found.servers) - 4} more" if len(found.servers) > 4 else ""
        count = len(found.servers)
        sign: Name = "ok" if count else "problem"
        lines = [f"{glyph(sign)} {count} server{'' if count == 1 else 's'} ({KIND_WORDS[kind]}): {names}{more}"]
        self.query_one("#scope-row").display = bool(found.vips)
        if found.vips and self.query_one("#scope", Menu).value == "all":
            services = [f"{vip.address} {one.protocol}/{one.port}" for vip in found.vips for one in vip.services]
            more = f" and {len(services) - 4} more" if len(services) > 4 else ""
            lines.append(f"{glyph('ok')} {', '.join(services[:4])}{more}")
        if len(found.notes) > 2:
            lines.append(f"{len(found.notes)} notes (scroll with tab and the arrow keys):")
        lines += [f"{glyph('warn')} {note}" for note in found.notes]
        if len(told) > 4 or any(one.becomes != "new" for one in told):
            lines += [f"{glyph(_SIGNS[one.becomes])} {one.says}" for one in told[:SHOWN]]
        preview.update("\n".join(lines))

    @on(Button.Pressed, "#take")
    def action_take(self) -> None:
        if self._imported is not None and self._imported.servers:
            if self.query_one("#scope", Menu).value != "all":
                self._imported.vips = []
            self.dismiss(self._imported)
        else:
            self.query_one("#list").focus()

    @on(Button.Pressed, "#cancel")
    def action_back(self) -> None:
        """Leaves the dialog; asks first if that loses a list. A file can be read again."""
        leave(self, "The list is not imported." if self._typed() else "")

    def _typed(self) -> str:
        """The list, unless it is the file's: that can be read again."""
        text = self.query_one("#list", TextArea).text
        return text if text != self._loaded else ""


def _read(text: str) -> str:
    return lines(brought(Path(text)), LONGEST, tabs=True)
