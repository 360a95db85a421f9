"""The form for one real server: a dialog over the server table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Static

from dsrwizard.core.intake.draft import Draft, DraftServer
from dsrwizard.core.intake.fields import address, connection_port, dns_name, whole_number
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.intake.validate import problems_of_draft
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.tell.prepare import COMMAND
from dsrwizard.core.tell.prepare import text as prepare_text
from dsrwizard.core.tell.runbook import NAMES
from screens.background import in_thread
from screens.questions.discard import leave
from screens.questions.modals import Choice, HelpModal, Question
from screens.questions.once import Dialog
from screens.widgets.field import ChoiceField, Field, TextField
from screens.widgets.form import Form
from screens.widgets.glyphs import glyph
from screens.widgets.keybar import KeyBar
from screens.widgets.server_facts import offer
from screens.widgets.toggles import Tick
from screens.widgets.words import frame_title
from screens.wizard import field_texts

WAYS = (
    ("ssh     Linux, set up by dsrwizard", "ssh"),
    ("winrm   Windows, set up by dsrwizard", "winrm"),
    ("manual  you set it up, dsrwizard checks it", "manual"),
)
TRANSPORTS = (
    ("https  the certificate is checked", "https"),
    ("http   encrypted by NTLM or Kerberos", "http"),
)
PROOFS = (
    ("ntlm      local and domain accounts", "ntlm"),
    ("kerberos  domain accounts, with a ticket", "kerberos"),
    ("basic     local accounts, only over https", "basic"),
)
SYSTEMS = (("not set: the runbook will ask", ""), *((name, system) for system, name in NAMES.items()))
ADAPTERS = (
    ("a new loopback adapter (dsrwizard)", "lo"),
    ("the built-in pseudo-interface", "pseudo"),
)
Find = Callable[[RealServer], Contact]
Keep = Callable[[DraftServer], None]
OF_THE_WAY = (
    "user",
    "port",
    "identity_file",
    "winrm",
    "auth",
    "ca_file",
    "dns_name",
    "kerberos_service",
    "look_seconds",
    "system",
    "vip_interface",
)
"""The fields of a server that depend on its connection method."""


@dataclass(frozen=True)
class ServerAnswer:
    """The form's result: the server as entered, and whether to test the connection at once."""

    server: DraftServer
    test: bool = False


class ServesVips(Vertical):
    """Checkboxes for the VIPs that the server serves."""

    def __init__(self, server: DraftServer, vips: list[str]) -> None:
        super().__init__(id="serves")
        self._server = server
        self._vips = vips
        self.hint = field_texts.SERVED_VIPS.hint
        self.help_text = field_texts.SERVED_VIPS.help
        self.help_title = field_texts.SERVED_VIPS.label

    def compose(self) -> ComposeResult:
        chosen = self._server.vips
        yield Static(field_texts.SERVED_VIPS.label, markup=False)
        for vip in self._vips:
            yield Tick(vip, chosen is None or vip in chosen, compact=True)

    @on(Tick.Changed)
    def ticked(self) -> None:
        ticks = list(self.query(Tick))
        chosen = [vip for vip, tick in zip(self._vips, ticks, strict=True) if tick.value]
        self._server.vips = None if len(chosen) == len(self._vips) else chosen


class WayFields(Vertical):
    """The fields of the selected connection method. Each method keeps what was typed in its fields."""

    DEFAULT_CSS = """
    WayFields { height: auto; }
    """

    def __init__(self, server: DraftServer, key: str) -> None:
        super().__init__()
        self._server = server
        self._key = key
        self._way = server.connect
        self._typed: dict[str, dict[str, str]] = {}

    def compose(self) -> ComposeResult:
        key, server = self._key, self._server
        match server.connect:
            case "winrm":
                yield TextField(field_texts.WINDOWS_USER, f"{key}.user", server, "user", width=30)
                yield ChoiceField(field_texts.WINRM, f"{key}.winrm", server, "winrm", TRANSPORTS, width=50)
                yield TextField(field_texts.WINRM_PORT, f"{key}.port", server, "port", width=9)
                yield ChoiceField(field_texts.AUTH, f"{key}.auth", server, "auth", PROOFS, width=50)
                yield TextField(field_texts.DNS_NAME, f"{key}.dns_name", server, "dns_name", width=50)
                yield TextField(field_texts.CA_FILE, f"{key}.ca_file", server, "ca_file", width=50)
                yield ChoiceField(
                    field_texts.WINDOWS_ADAPTER, f"{key}.vip_interface", server, "vip_interface", ADAPTERS, width=50
                )
            case "manual":
                yield ChoiceField(field_texts.SYSTEM, f"{key}.system", server, "system", SYSTEMS, width=50)
                yield TextField(field_texts.VIP_INTERFACE, f"{key}.vip_interface", server, "vip_interface", width=20)
            case _:
                yield TextField(field_texts.USER, f"{key}.user", server, "user", width=30)
                yield TextField(field_texts.SSH_PORT, f"{key}.port", server, "port", width=9)
                yield TextField(field_texts.IDENTITY, f"{key}.identity_file", server, "identity_file", width=50)
                yield TextField(field_texts.VIP_INTERFACE, f"{key}.vip_interface", server, "vip_interface", width=20)

    async def follow(self) -> None:
        """Shows the fields of the selected method, if it has changed."""
        server = self._server
        if server.connect == self._way:
            return
        self._typed[self._way] = {name: getattr(server, name) for name in OF_THE_WAY}
        values = self._typed.get(server.connect) or {name: getattr(DraftServer(), name) for name in OF_THE_WAY}
        for name, value in values.items():
            setattr(server, name, value)
        self._way = server.connect
        await self.recompose()


class ServerForm(Dialog[ServerAnswer | None]):
    """The dialog that adds or edits a server. Works on a copy; returns None when the operator goes back."""

    BINDINGS = [
        Binding("escape", "back", "Cancel", id="server.back", tooltip="Leave the form; asks if you changed something"),
        Binding("ctrl+n,ctrl+s", "save", "Save", id="server.save", tooltip="Save this server", key_display="^n"),
        Binding(
            "ctrl+t", "save_and_test", "Save and test", id="server.test", tooltip="Save it and test the connection"
        ),
        Binding("f1", "help", "Help", id="server.help", tooltip="More about this field"),
        Binding(
            "f2",
            "prepare",
            "Prepare",
            id="server.prepare",
            tooltip="What to paste into a Windows server first",
            show=False,
        ),
        Binding("f3", "find", "Find WinRM", id="server.find", tooltip="Try both WinRM ports; no login"),
    ]

    def __init__(
        self,
        draft: Draft,
        index: int | None,
        key: str = "",
        find: Find | None = None,
        *,
        typed: DraftServer | None = None,
        keep: Keep | None = None,
    ) -> None:
        """`index` of the server to edit, None for a new one. `key`: the field to focus first. `find` tries the ports of
        WinRM and blocks meanwhile. `typed`: what an earlier form had in it when the program ended; `keep` is given what
        this one has in it, with each change."""
        super().__init__()
        self._find = find
        self._keep = keep
        servers = draft.servers
        self._before = _next(draft) if index is None else servers[index]
        self._server = msgspec.structs.replace(typed or self._before)
        self._index = index if index is not None else len(servers)
        self._new = index is None
        rest = [server for number, server in enumerate(servers) if number != index]
        rest.insert(self._index, self._server)
        self._draft = msgspec.structs.replace(draft, servers=rest)
        self._key = key

    def compose(self) -> ComposeResult:
        key, server = f"servers[{self._index}]", self._server
        vips = [vip.address.strip() for vip in self._draft.vips if vip.address.strip()]
        with Vertical(classes="modal", id="server-form"):
            with VerticalScroll(classes="modal-text", can_focus=False), Form(self._problems):
                yield TextField(field_texts.SERVER_NAME, f"{key}.name", server, "name", width=30)
                yield TextField(field_texts.SERVER_ADDRESS, f"{key}.address", server, "address", width=41)
                yield TextField(field_texts.SERVER_ADDRESS6, f"{key}.address6", server, "address6", width=41)
                yield TextField(field_texts.WEIGHT, f"{key}.weight", server, "weight", width=9)
                yield ChoiceField(field_texts.CONNECT, f"{key}.connect", server, "connect", WAYS, width=50)
                yield WayFields(server, key)
                if len(vips) > 1:
                    yield ServesVips(server, vips)
            yield Static("", markup=False, id="server-problem")
            yield Static("", markup=False, id="server-hint")
            with Horizontal(classes="modal-buttons"):
                yield Button("Save", id="save", variant="primary", compact=True)
                yield Button("Save and test", id="test", compact=True)
                yield Button("Cancel", id="cancel", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        title = "New real server" if self._new else f"Real server {self._server.name}"
        self.query_one(".modal").border_title = frame_title(title)
        self.watch(self, "focused", self._show_hint, init=False)
        if self._key:
            form = self.query_one(Form)
            form.show_all()
            form.focus_key(self._key)
        else:
            next(iter(self.query(Field))).take_focus()
        self._show_hint()

    def _problems(self) -> list[Problem]:
        key = f"servers[{self._index}]."
        return [problem for problem in problems_of_draft(self._draft) if problem.key.startswith(key)]

    def _show_hint(self) -> None:
        focused = self.focused
        hints = [getattr(node, "hint", "") for node in focused.ancestors_with_self] if focused is not None else []
        self.query_one("#server-hint", Static).update(next((hint for hint in hints if hint), ""))

    def action_help(self) -> None:
        for node in self.focused.ancestors_with_self if self.focused is not None else ():
            text = getattr(node, "help_text", "")
            if text:
                self.app.push_screen(HelpModal(getattr(node, "help_title", "Help"), text))
                return

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action == "prepare":
            return self._server.connect == "winrm"
        if action == "find":
            return self._server.connect == "winrm" and self._find is not None
        return True

    def action_prepare(self) -> None:
        body = f"In a terminal, {COMMAND} prints this, to copy.\n\n{prepare_text(width=None)}"
        self.app.push_screen(HelpModal("Prepare a Windows server", body))

    def action_find(self) -> None:
        refusal = address(self._server.address)
        if refusal is not None:
            self.query_one("#server-problem", Static).update(f"{refusal.message} {refusal.hint}")
            return
        self.query_one("#server-problem", Static).update(f"{glyph('working')} trying ports 5986 and 5985")
        self.run_worker(self._finding(), group="find", exclusive=True)

    async def _finding(self) -> None:
        find, server = self._find, self._server
        assert find is not None  # noqa: S101 - the action is not offered without it
        port = whole_number(server.port) if connection_port(server.port) is None else None
        name = server.dns_name.strip() if dns_name(server.dns_name) is None else ""
        asked = RealServer(
            name=server.name.strip() or "new",
            address=server.address.strip(),
            connect="winrm",
            port=port,
            dns_name=name or None,
            ca_file=server.ca_file.strip() or None,
        )
        contact = await in_thread(lambda: find(asked))
        self.query_one("#server-problem", Static).update("")
        self._tell(contact)

    def _tell(self, contact: Contact) -> None:
        said = "\n".join(contact.sentences)
        title = f"WinRM on {contact.address}"
        if contact.settings is None:
            self.app.push_screen(HelpModal(title, f"{said}\n\nPress F2 in the form for what to paste on the server."))
            return
        choices = (Choice("use", "Use it", "primary"), Choice("back", "Change nothing"))
        question = Question(title, f"{said}\n\n{offer(contact)}", choices, safe="back", first="use")

        async def answered(choice: str | None) -> None:
            if choice != "use" or contact.settings is None:
                return
            winrm, port, auth = contact.settings
            server = self._server
            server.winrm, server.port = winrm, str(port or "")
            if auth == "basic" or (server.auth == "basic" and winrm == "http"):
                server.auth = auth
            if winrm == "http":
                server.ca_file = ""
            self._hand_over()
            await self.query_one(WayFields).recompose()
            form = self.query_one(Form)
            form.show()
            form.focus_key(f"servers[{self._index}].winrm")  # what was set is seen

        self.app.push_screen(question, answered)

    @on(Form.Edited)
    async def edited(self, event: Form.Edited) -> None:
        """Shows other fields for another connection method."""
        event.stop()
        self._hand_over()
        if event.field.key.endswith(".connect"):
            await self.query_one(WayFields).follow()
            self.query_one(Form).show()
            self.refresh_bindings()

    @on(Field.Entered)
    def entered(self, event: Field.Entered) -> None:
        event.stop()
        self.focus_next()

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        """Handles Enter: goes to the next field, and after the last one to Save."""
        event.stop()
        fields = list(self.query(Field))
        if event.input in fields[-1].query(Input):
            self.action_save()
        else:
            self.focus_next()

    @on(Button.Pressed, "#save")
    def action_save(self) -> None:
        self._finish(test=False)

    @on(Button.Pressed, "#test")
    def action_save_and_test(self) -> None:
        self._finish(test=True)

    @on(Button.Pressed, "#cancel")
    def action_back(self) -> None:
        """Leaves the form; asks first if that loses something."""
        name = self._server.name.strip() or "this server"
        leave(self, f"What you entered for {name} is not saved." if self._server != self._before else "")

    @on(Tick.Changed)
    def _hand_over(self) -> None:
        if self._keep is not None:
            self._keep(self._server)

    def _finish(self, *, test: bool) -> None:
        problems = self._problems()
        if not problems:
            self.dismiss(ServerAnswer(self._server, test))
            return
        told = self.query_one(Form).show_all()
        self.query_one("#server-problem", Static).update("" if told else problems[0].text)


def _next(draft: Draft) -> DraftServer:
    """A new server with the last one's login, which is most likely the same."""
    if not draft.servers:
        return DraftServer()
    last = draft.servers[-1]
    return DraftServer(
        connect=last.connect,
        user=last.user,
        port=last.port,
        identity_file=last.identity_file,
        winrm=last.winrm,
        auth=last.auth,
        ca_file=last.ca_file,
        kerberos_service=last.kerberos_service,
        look_seconds=last.look_seconds,
        system=last.system,
        vip_interface=last.vip_interface,
    )
