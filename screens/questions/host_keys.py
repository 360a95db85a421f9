"""Many unknown SSH host keys at once: one list with fingerprints, compared with a file where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Input, SelectionList, Static
from textual.widgets.selection_list import Selection

from dsrwizard.core.intake.known_keys import KeptKey, compared, kept_keys
from dsrwizard.core.intake.opening import brought
from dsrwizard.core.model.foreign import lines, one_line
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.ports import HostKeyQuestion
from screens.background import in_thread
from screens.questions.dns_answers import DnsAnswers
from screens.questions.once import Dialog
from screens.widgets.glyphs import glyph
from screens.widgets.keybar import KeyBar
from screens.widgets.rows import fit
from screens.widgets.toggles import Ticks
from screens.widgets.words import frame_title

LARGEST = 20_000_000
"""Characters of a file of keys."""
PATH = 200
"""Characters of its path that are shown: more would push the buttons out of sight."""
ABOUT = (
    "No known_hosts file has these keys. Compare each fingerprint with what this prints on that server's console: "
    "ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub. Or enter a file that has them: known_hosts, the output of "
    "ssh-keygen -l, SSHFP records. Space ticks."
)


class HostKeysModal(Dialog[frozenset[int]]):
    """The list of servers with unknown keys. Returns the places of those that the operator accepts; none is ticked when
    it opens, and Esc refuses all."""

    BINDINGS = [
        Binding("escape", "refuse", "Refuse all", id="keys.refuse", tooltip="Accept none of these keys"),
        Binding(
            "f2",
            "tick_all",
            "Tick all",
            id="keys.all",
            tooltip="Tick every key that neither the file nor DNS contradicts",
        ),
        Binding("ctrl+n", "accept", "Accept ticked", id="keys.accept", tooltip="Accept the keys that are ticked"),
    ]

    def __init__(self, questions: Sequence[HostKeyQuestion]) -> None:
        super().__init__()
        self._questions = tuple(questions)
        self._says: list[str] = ["unknown"] * len(questions)
        self._dns: list[DnsSays | None] = [None] * len(questions)

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal", id="host-keys"):
            yield Static(ABOUT, markup=False, classes="modal-body")
            yield Input(placeholder="file with keys, then Enter; empty: compare by eye", id="keys-file", compact=True)
            yield Ticks[int](*self._selections(()), id="keys-list", compact=True)
            yield Static("", markup=False, id="keys-said", classes="modal-note")
            with Horizontal(classes="modal-buttons"):
                yield Button("Refuse all", id="refuse", variant="primary", compact=True)
                yield Button("Accept ticked", id="accept", variant="warning", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        count = len(self._questions)
        self.query_one(".modal").border_title = frame_title(f"Unknown host keys of {count} servers")
        self.query_one("#keys-file", Input).focus()
        self._count()
        DnsAnswers(self, self._questions, self._heard)

    def _heard(self, answers: dict[int, DnsSays]) -> None:
        """What DNS says fills the list while it stands: signed matches are ticked, another key cannot be."""
        chosen = self.query_one("#keys-list", SelectionList)
        for number, says in answers.items():
            self._dns[number] = says
            chosen.replace_option_prompt_at_index(number, self._line(number))
            if self._barred(number):
                chosen.deselect(number)
                chosen.disable_option_at_index(number)
            elif says == "signed":
                chosen.select(number)
        self._count(self._dns_told())

    def _dns_told(self) -> str:
        signed, differ, silent = (self._dns.count(says) for says in ("signed", "differs", "silent"))
        compare = self._dns.count("unsigned") + self._dns.count("weak")
        ours = (
            f"{glyph('ok')} DNS has {signed}, signed: ticked." if signed else "",
            f"{glyph('warn')} {compare} unsigned or by SHA-1 only: compare." if compare else "",
        )
        against = (
            f"{glyph('problem')} DNS has another key for {differ}: maybe impostors." if differ else "",
            f"No answer about {silent}." if silent else "",
        )
        return "\n".join(filter(None, (" ".join(filter(None, row)) for row in (ours, against))))

    def _barred(self, number: int) -> bool:
        """Whether it cannot be accepted here: what the operator's own file has weighs more than DNS."""
        return self._says[number] == "differs" or (self._dns[number] == "differs" and self._says[number] != "same")

    def _selections(self, ticked: Sequence[int]) -> list[Selection[int]]:
        return [
            Selection(self._line(number), number, number in ticked, disabled=self._barred(number))
            for number in range(len(self._questions))
        ]

    def _line(self, number: int) -> Content:
        question, says = self._questions[number], self._dns[number]
        sign = " "
        if self._barred(number):
            sign = glyph("problem")
        elif self._says[number] == "same" or says == "signed":
            sign = glyph("ok")
        elif says in ("unsigned", "weak"):
            sign = glyph("warn")
        return Content(f"{sign} {fit(question.host, 12)} {question.fingerprint}")

    @on(Input.Submitted, "#keys-file")
    async def compare(self, event: Input.Submitted) -> None:
        event.stop()
        path = event.value.strip()
        if not path:
            self.query_one("#keys-list").focus()
            return
        try:
            text = await in_thread(lambda: lines(brought(Path(path)), LARGEST, tabs=True))
        except OSError as error:
            self._say(f"{glyph('problem')} {one_line(path, PATH)} cannot be read: {error.strerror}.")
            return
        self._compare(kept_keys(text), one_line(path, PATH))

    def _compare(self, keys: list[KeptKey], path: str) -> None:
        for number, one in enumerate(self._questions):
            names = (one.host, one.address, one.address.partition(":")[0])
            self._says[number] = compared(keys, names, one.key_type, one.fingerprint)
        same = [number for number, says in enumerate(self._says) if says == "same"]
        signed = [number for number, says in enumerate(self._dns) if says == "signed" and not self._barred(number)]
        chosen = self.query_one("#keys-list", SelectionList)
        chosen.clear_options()
        chosen.add_options(self._selections([*same, *signed]))
        differ = self._says.count("differs")
        told = f"{glyph('ok' if same else 'warn')} {path} has {len(same)} of these keys; they are ticked."
        if differ:
            told += f" {glyph('problem')} {differ} differ from it and cannot be accepted here: that may be an impostor."
        chosen.focus()
        self._count(told)

    @on(SelectionList.SelectedChanged)
    def ticked(self, event: SelectionList.SelectedChanged[int]) -> None:
        event.stop()
        self._count()

    def _count(self, told: str = "") -> None:
        count = len(self.query_one("#keys-list", SelectionList).selected)
        accept = self.query_one("#accept", Button)
        accept.label = f"Accept {count} ticked"
        accept.refresh(layout=True)  # a longer label needs a wider button; Textual only draws it anew
        if told:
            self._say(told)

    def _say(self, text: str) -> None:
        self.query_one("#keys-said", Static).update(text)

    def action_tick_all(self) -> None:
        chosen = self.query_one("#keys-list", SelectionList)
        for number in range(len(self._questions)):
            if not self._barred(number):
                chosen.select(number)

    @on(Button.Pressed, "#accept")
    def action_accept(self) -> None:
        ticked = frozenset(self.query_one("#keys-list", SelectionList).selected)
        if ticked:
            self.dismiss(ticked)
        else:
            self._say(f"{glyph('warn')} None is ticked. Space ticks the server under the cursor.")

    @on(Button.Pressed, "#refuse")
    def action_refuse(self) -> None:
        self.dismiss(frozenset())
