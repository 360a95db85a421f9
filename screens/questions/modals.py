"""Modal dialogs: a choice, a secret, an unknown host key, a help text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Button, Input, Static

from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.core.tell.trust import compared_with, dns_rows, identity_rows, silence
from screens.questions.dns_answers import DnsAnswers
from screens.questions.once import Dialog
from screens.widgets.keybar import KeyBar
from screens.widgets.toggles import Tick
from screens.widgets.words import frame_title


@dataclass(frozen=True)
class Choice:
    """One button of a question; `id` is what the dialog returns."""

    id: str
    label: str
    variant: Literal["default", "primary", "success", "warning", "error"] = "default"


def scroll_text(modal: Screen[Any], pages: int) -> None:
    """Scrolls a dialog's text that is too long for a small terminal; the focus stays on the buttons."""
    for text in modal.query(".modal-text"):
        if pages > 0:
            text.scroll_page_down(animate=False)
        else:
            text.scroll_page_up(animate=False)


class Question(Dialog[str]):
    """A question with buttons. Returns the chosen id. The focus starts on `safe`, which is also the answer of Esc,
    or on `first` where nothing that it does is lost."""

    BINDINGS = [
        Binding("escape", "safe", "Cancel", id="question.cancel", tooltip="Choose the answer that changes nothing"),
        Binding(
            "left,up", "app.focus_previous", "Previous", id="question.previous", tooltip="Previous button", show=False
        ),
        Binding("right,down", "app.focus_next", "Next", id="question.next", tooltip="Next button", show=False),
        Binding("pageup", "scroll(-1)", "Text up", id="question.up", show=False, tooltip="Scroll the text up"),
        Binding("pagedown", "scroll(1)", "Text down", id="question.down", show=False, tooltip="Scroll the text down"),
    ]

    def __init__(self, title: str, body: str | Content, choices: Sequence[Choice], safe: str, first: str = "") -> None:
        super().__init__()
        self._title = title
        self._body = body
        self._choices = choices
        self._safe = safe
        self._first = first or safe

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal"):
            with VerticalScroll(classes="modal-text", can_focus=False):
                yield Static(self._body, markup=False, classes="modal-body")
            with Horizontal(classes="modal-buttons"):
                for choice in self._choices:
                    yield Button(choice.label, id=f"choice-{choice.id}", variant=choice.variant, compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(self._title)
        self.query_one(f"#choice-{self._first}", Button).focus()

    @on(Button.Pressed)
    def chosen(self, event: Button.Pressed) -> None:
        event.stop()
        self.dismiss((event.button.id or "").removeprefix("choice-"))

    def key_label(self, binding: Binding) -> str | None:
        """Esc is called what the button is that it presses."""
        if binding.action != "safe":
            return None
        return next((choice.label for choice in self._choices if choice.id == self._safe), None)

    def action_safe(self) -> None:
        self.dismiss(self._safe)

    def action_scroll(self, pages: int) -> None:
        scroll_text(self, pages)


class HostKeyModal(Question):
    """The question about an unknown SSH host key or an untrusted certificate. Returns `accept` or `refuse`; Refuse
    has the focus. `width`: the terminal's width in cells."""

    def __init__(self, question: HostKeyQuestion, width: int = 80) -> None:
        if question.untrusted:
            title, what = "Untrusted certificate", "certificate"
            head = "This certificate is not trusted. Its SHA-256 fingerprint, computed on this machine:"
            digits = question.fingerprint.removeprefix("SHA256:")
            compare = compared_with(question)
            then = "this certificate is remembered"
        else:
            title, what = "Unknown host key", "key"
            head = "This host key is not in any known_hosts file. Its fingerprint, computed on this machine:"
            digits = question.fingerprint
            compare = (
                "the output of this command on the server's console:\n  ssh-keygen -lf "
                "/etc/ssh/ssh_host_ed25519_key.pub"
            )
            then = "it is saved to known_hosts"
        room = max(min(76, width * 96 // 100) - 8, 40)

        def body(says: DnsSays | None) -> Content:
            known = [*identity_rows(question, room), *dns_rows(says), *([silence(1)] if says == "silent" else [])]
            return Content.assemble(
                f"{head}\n  ",
                Content.styled(digits, "bold"),
                "\n".join(["", "", *known, "", f"Compare the fingerprint with {compare}", "", ""])
                + f"If you accept, {then} and you won't be asked again. If you cannot compare it, refuse.",
            )

        self._asked, self._body_for = question, body
        super().__init__(
            f"{title}: {question.host}",
            body(None),
            (Choice("refuse", "Refuse", "primary"), Choice("accept", f"Accept this {what}", "warning")),
            safe="refuse",
        )

    def on_mount(self) -> None:
        DnsAnswers(self, (self._asked,), self._heard)

    def _heard(self, answers: dict[int, DnsSays]) -> None:
        self.query_one(".modal-body", Static).update(self._body_for(answers[0]))


@dataclass(frozen=True)
class SecretAnswer:
    """A secret, and whether it may be offered to other hosts that ask for the same kind."""

    secret: Secret
    for_all: bool = False


class SecretModal(Dialog[SecretAnswer | None]):
    """The dialog for a password or passphrase, masked. Returns None when the operator gives none."""

    BINDINGS = [
        Binding(
            "escape",
            "give_none",
            "Give none",
            id="secret.cancel",
            tooltip="Continue without it; the host is reported as failed",
        ),
        Binding("pageup", "scroll(-1)", "Text up", id="secret.up", show=False, tooltip="Scroll the text up"),
        Binding("pagedown", "scroll(1)", "Text down", id="secret.down", show=False, tooltip="Scroll the text down"),
    ]
    KINDS: ClassVar[dict[str, str]] = {
        "password": "Password",
        "passphrase": "Key passphrase",
        "sudo": "sudo password",
        "windows": "Windows password",
        "balancer": "Load balancer password",
        "api-key": "Key of the load balancer's API",
        "prompt": "Question from the server",
    }

    def __init__(self, question: SecretQuestion) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        question = self._question
        own = question.kind == "prompt"
        with Vertical(classes="modal"):
            who = f"{question.user}@{question.host}" if question.user else question.host
            if own:
                yield Static(f"{question.host} asks:", markup=False, classes="modal-body")
                with VerticalScroll(classes="modal-text modal-quote", can_focus=False):
                    yield Static(question.asked, markup=False)
                yield Static(f"The answer is sent to {who} only.", markup=False, classes="modal-note")
            else:
                lines = [f"{self.KINDS[question.kind]} for {who}"]
                if question.detail:
                    lines.append(question.detail)
                if question.refused:
                    lines.append("That did not work. Try again, or press Esc to continue without this host.")
                yield Static("\n".join(lines), markup=False, classes="modal-body")
            yield Input(password=True, id="secret", compact=True)
            if not own:
                yield Tick("Use it for every server that asks for the same", id="for-all", compact=True)
            yield Static(
                "It is not saved anywhere."
                if own
                else "It is kept in memory until dsrwizard ends, and is not saved anywhere.",
                markup=False,
                classes="modal-note",
            )
            with Horizontal(classes="modal-buttons"):
                yield Button("OK", id="ok", variant="primary", compact=True)
                yield Button("Give none", id="none", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(f"{self.KINDS[self._question.kind]}: {self._question.host}")
        self.query_one("#secret", Input).focus()

    @on(Input.Submitted, "#secret")
    @on(Button.Pressed, "#ok")
    def given(self) -> None:
        entry = self.query_one("#secret", Input)
        answer = SecretAnswer(Secret(entry.value), any(tick.value for tick in self.query(Tick)))
        entry.clear()
        self.dismiss(answer)

    def action_scroll(self, pages: int) -> None:
        scroll_text(self, pages)

    @on(Button.Pressed, "#none")
    def action_give_none(self) -> None:
        self.query_one("#secret", Input).clear()
        self.dismiss(None)


class HelpModal(Dialog[None]):
    """A text to read, closed by Esc, F1 or Enter."""

    BINDINGS = [
        Binding("escape,f1,enter,q", "close", "Close", id="help.close", tooltip="Close this text", key_display="esc")
    ]

    def __init__(self, title: str, body: str | Content) -> None:
        super().__init__()
        self._title = title
        self._body = body

    def compose(self) -> ComposeResult:
        with Vertical(classes="modal"), VerticalScroll(classes="modal-text", id="help-text"):
            yield Static(self._body, markup=False, classes="modal-body")
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(".modal").border_title = frame_title(self._title)
        self.query_one("#help-text").focus()

    def action_close(self) -> None:
        self.dismiss(None)
