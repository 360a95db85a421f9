"""The servers step: the real servers, how to connect to each, and the results of connection tests."""

from __future__ import annotations

from asyncio import Semaphore
from typing import TYPE_CHECKING

import msgspec
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Static

from dsrwizard.core.api import ServerTest
from dsrwizard.core.intake.draft import Draft, DraftClient, DraftServer, add_vips
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.intake.validate import deployment_of, problems_of_draft
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.foreign import one_line
from dsrwizard.session import OpenForm
from screens.pane import Desk, Pane, in_thread
from screens.questions.modals import Choice, Question
from screens.widgets.field import Field, TextField
from screens.widgets.form import Form
from screens.widgets.glyphs import Name, glyph
from screens.widgets.server_facts import details, test_words
from screens.wizard import field_texts
from screens.wizard.server_form import ServerAnswer, ServerForm

if TYPE_CHECKING:
    from dsrwizard.core.intake.importers import Imported

AT_ONCE = 64
"""Connection tests that run at the same time."""
_TEST = 22
"""Cells that the last test's words need."""
NONE_YET = "No real servers yet. Press a to add one, or i to import a list, an Ansible inventory or an ssh config."


class ServerTable(DataTable[Text]):
    """The table of real servers. Enter edits the one under the cursor."""

    help_text = (
        "Each real server must be in the director's layer-2 network. dsrwizard logs in by SSH (root or sudo) or by "
        "WinRM (an administrator), or you set it up by hand from a runbook. a adds one, Enter edits, d removes, i "
        "imports. t tests the one under the cursor, T tests all: the test connects as apply will, and changes "
        "nothing."
    )
    hint = "Each replies to clients directly: it needs the VIP (no ARP) and a gateway."
    help_title = "Real servers"


class ServersPane(Pane):
    """The pane of the servers step: a table of the draft's servers with their last test results."""

    step_id = "servers"
    title = "Servers"
    heading = "Real servers"
    HELP = (
        "A test shows whether the login works, the interface and MAC behind the RIP, whether it is on the "
        "director's layer 2, who listens on the service's port and on which address, and the default gateway."
    )
    DEFAULT_CSS = """
    ServersPane ServerTable { height: auto; max-height: 50%; min-height: 2; width: 1fr; overflow-x: hidden; }
    ServersPane #none { display: none; color: $text-muted; height: auto; }
    ServersPane.-empty #none { display: block; }
    ServersPane #servers-problem { color: $text-error; height: auto; }
    ServersPane #tested { height: auto; width: 1fr; margin-top: 1; }
    ServersPane #client { margin-top: 1; }
    """
    BINDINGS = [
        Binding("a", "add", "Add", id="servers.add", tooltip="A new real server"),
        Binding("e", "edit", "Edit", id="servers.edit", tooltip="Edit the server under the cursor"),
        Binding(
            "d,delete",
            "remove",
            "Remove",
            id="servers.remove",
            tooltip="Remove the server under the cursor",
            key_display="d",
        ),
        Binding(
            "i",
            "import",
            "Import",
            id="servers.import",
            tooltip="Add servers from a list, an Ansible inventory or an ssh config",
        ),
        Binding(
            "t",
            "test",
            "Test",
            id="servers.test",
            tooltip="Test the connection to the server under the cursor; changes nothing",
        ),
        Binding(
            "T",
            "test_all",
            "Test all",
            id="servers.test_all",
            tooltip="Test the connection to every server; changes nothing",
            key_display="T",
        ),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._client = desk.session.draft.client or DraftClient()
        self._tests: dict[str, tuple[ServerTest, Deployment]] = {}
        self._testing: set[str] = set()
        self._refused: dict[str, str] = {}
        self._limit = Semaphore(AT_ONCE)
        self._loud = False

    def compose(self) -> ComposeResult:
        yield ServerTable(cursor_type="row", zebra_stripes=False, id="servers-table")
        yield Static(NONE_YET, id="none", markup=False)
        yield Static("", id="servers-problem", markup=False)
        yield Static("", id="tested", markup=False)
        with Form(self.problems, id="client"):
            yield TextField(field_texts.CLIENT_ADDRESS, "client.address", self._client, "address", width=20)
            yield TextField(field_texts.CLIENT_USER, "client.user", self._client, "user", width=20)

    def on_mount(self) -> None:
        self._fill()

    def on_resize(self) -> None:
        self._fill()

    # What the wizard asks.

    def problems(self) -> list[Problem]:
        return [problem for problem in problems_of_draft(self.draft) if problem.key.startswith(("servers", "client"))]

    def show_problems(self) -> None:
        self._loud = True
        self._fill()
        first = next(iter(self.problems()), None)
        if first is not None:
            self.show_problem(first.key)

    def show_problem(self, key: str) -> None:
        """Focuses the client's field, or puts the cursor on the server with the problem."""
        form = self.query_one(Form)
        if key.startswith("client"):
            form.show_all()
            form.focus_key(key)
            return
        table = self.query_one(ServerTable)
        index = _index_of(key)
        if index is not None and index < table.row_count:
            table.move_cursor(row=index)
        table.focus()

    def first_focus(self) -> Widget | None:
        return self.query_one(ServerTable)

    def entered(self) -> None:
        self._fill()
        self._open_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("edit", "remove", "test", "test_all") and not self.draft.servers:
            return None
        return True

    # The table.

    def _fill(self) -> None:
        """Draws the table from the draft, keeping the cursor."""
        table = self.query_one(ServerTable)
        row = table.cursor_row
        table.clear(columns=True)
        self._columns(table)
        wrong = {_index_of(problem.key) for problem in self.problems()}
        for number, server in enumerate(self.draft.servers):
            sign, said = self._said(number, server, wrong)
            name = Text(one_line(server.name) or "(no name)", no_wrap=True, overflow="ellipsis")
            table.add_row(
                name,
                Text(one_line(server.address), no_wrap=True, overflow="ellipsis"),
                Text(one_line(server.weight), justify="right"),
                Text(one_line(_login(server)), no_wrap=True, overflow="ellipsis"),
                Text(f"{glyph(sign)} {said}" if said else "", no_wrap=True, overflow="ellipsis"),
            )
        if self.draft.servers:
            table.move_cursor(row=min(row, len(self.draft.servers) - 1))
        self.set_class(not self.draft.servers, "-empty")
        general = [problem.text for problem in self.problems() if problem.key == "servers"] if self._loud else []
        self.query_one("#servers-problem", Static).update("\n".join(f"{glyph('problem')} {text}" for text in general))
        self._show_details()
        self.refreshed()

    def _columns(self, table: ServerTable) -> None:
        """Sizes each column to its content, within limits; the test result gets the rest."""
        servers = self.draft.servers
        widths = {
            "Name": min(max([4, *(len(server.name) for server in servers)]), 28),
            "Address": min(max([8, *(len(server.address) for server in servers)]), 28),
            "Weight": 6,
            "Login": min(max([5, *(len(_login(server)) for server in servers)]), 16),
        }
        room = self.content_size.width - 2 * (len(widths) + 1) - _TEST
        for label, least in (("Name", 12), ("Login", 8), ("Address", 15), ("Name", 8), ("Login", 6)):
            over = sum(widths.values()) - room
            widths[label] = max(widths[label] - max(over, 0), min(widths[label], least))
        for label, width in widths.items():
            table.add_column(label, width=width)
        taken = sum(widths.values()) + 2 * (len(widths) + 1)
        table.add_column("Test", width=max(self.content_size.width - taken, 12))

    def _said(self, number: int, server: DraftServer, wrong: set[int | None]) -> tuple[Name, str]:
        if number in wrong:
            return "problem", "has a problem; press Enter"
        if server.name in self._testing:
            return "working", "testing"
        if server.name in self._tests:
            test, deployment = self._tests[server.name]
            return test_words(test, deployment, deployment.server(server.name))
        if server.name in self._refused:
            return "unknown", self._refused[server.name]
        return "todo", "not tested"

    @on(DataTable.RowHighlighted)
    def moved(self, event: DataTable.RowHighlighted) -> None:
        event.stop()
        self._show_details()

    def _show_details(self) -> None:
        server = self._current()
        shown = Content("")
        if server is not None and server.name in self._tests:
            test, deployment = self._tests[server.name]
            # The pane's scroll bar comes with a long text and takes its cells from it.
            width = self.content_size.width - self.scrollbar_size_vertical
            shown = details(test, deployment, deployment.server(server.name), width)
        elif server is not None:
            number = self.query_one(ServerTable).cursor_row
            mine = [problem.text for problem in self.problems() if _index_of(problem.key) == number]
            shown = Content("\n".join(f"{glyph('problem')} {text}" for text in mine))
        self.query_one("#tested", Static).update(shown)

    def _current(self) -> DraftServer | None:
        row = self.query_one(ServerTable).cursor_row
        servers = self.draft.servers
        return servers[row] if 0 <= row < len(servers) else None

    # Adding, editing, removing, importing.

    def _find(self, server: RealServer) -> Contact:
        return self.engine().find_winrm(server)

    def action_add(self) -> None:
        self._open_form(-1)

    def _added(self, answer: ServerAnswer) -> None:
        self.draft.servers.append(answer.server)
        self._changed()
        self.query_one(ServerTable).move_cursor(row=len(self.draft.servers) - 1)
        if answer.test:
            self.action_test()

    @on(DataTable.RowSelected)
    def action_edit(self) -> None:
        row = self.query_one(ServerTable).cursor_row
        if self._current() is None:
            return
        first = next((problem.key for problem in self.problems() if _index_of(problem.key) == row), "")

        self._open_form(row, first)

    def _edited(self, row: int, answer: ServerAnswer) -> None:
        self._forget(self.draft.servers[row].name)
        self._forget(answer.server.name)
        self.draft.servers[row] = answer.server
        self._changed()
        if answer.test:
            self.action_test()

    def _open_form(self, number: int, first: str = "", typed: DraftServer | None = None) -> None:
        """The form of the server with this number; -1: of a new one. What is typed is kept in the session meanwhile, so
        that a lost terminal does not lose it."""

        def keep(server: DraftServer) -> None:
            self.session.form = OpenForm(server, number)
            self.post_message(self.Typed(self))

        def answered(answer: ServerAnswer | None) -> None:
            self.session.form = None
            self.post_message(self.Typed(self))
            if answer is not None and number < 0:
                self._added(answer)
            elif answer is not None:
                self._edited(number, answer)

        index = number if number >= 0 else None
        self.app.push_screen(ServerForm(self.draft, index, first, self._find, typed=typed, keep=keep), answered)

    def _open_again(self) -> None:
        """The form that was open when the program ended."""
        form = self.session.form
        if form is not None and form.number < len(self.draft.servers):
            self._open_form(form.number, typed=form.server)

    def action_remove(self) -> None:
        server = self._current()
        if server is None:
            return

        def answered(choice: str | None) -> None:
            if choice == "remove":
                self._forget(server.name)
                self.draft.servers.remove(server)
                self._changed()

        body = (
            f"Remove {server.name or server.address} from the deployment? Nothing is done on the server now. The "
            "review shows what will change."
        )
        choices = (Choice("keep", "Keep it", "primary"), Choice("remove", "Remove", "warning"))
        self.app.push_screen(Question("Remove real server", body, choices, safe="keep"), answered)

    def action_import(self) -> None:
        from screens.wizard.import_servers import ImportServers

        self.app.push_screen(
            ImportServers([vip.address for vip in self.draft.vips], [server.name for server in self.draft.servers]),
            self._imported,
        )

    def _imported(self, imported: Imported | None) -> None:
        if imported is None or not imported.servers:
            return
        vips = add_vips(self.draft, imported.vips)
        servers = imported.servers
        known = {server.name.lower() for server in self.draft.servers}
        new = [server for server in servers if server.name.lower() not in known]
        there_are = {vip.address.strip() for vip in self.draft.vips}
        for server in new:
            if server.vips is not None and not there_are.issuperset(server.vips):
                server.vips = None  # VIPs of the file that this deployment has not
        self.draft.servers += new
        there = len(servers) - len(new)
        told = f"{len(new)} server{'' if len(new) == 1 else 's'}"
        if vips:
            told += f" and {vips} VIP{'' if vips == 1 else 's'}"
        told += " imported"
        if there:
            told += f"; {there} already in the list {'was' if there == 1 else 'were'} left unchanged"
        self.notify(f"{told}.", markup=False)
        self._changed()

    def _forget(self, name: str) -> None:
        self._tests.pop(name, None)
        self._refused.pop(name, None)

    def _changed(self) -> None:
        self._fill()
        self.query_one(ServerTable).focus()
        self.post_message(self.Edited(self))

    @on(Form.Edited)
    def client_edited(self, event: Form.Edited) -> None:
        event.stop()
        entered = any(msgspec.structs.astuple(self._client))
        self.draft.client = self._client if entered else None
        self.query_one(Form).show()
        self.post_message(self.Edited(self))

    # Testing.

    def action_test(self) -> None:
        server = self._current()
        if server is not None:
            self._test(server)

    def action_test_all(self) -> None:
        for server in list(self.draft.servers):
            self._test(server)
        client = self.draft.client
        if client is not None and client.address and not any(p.key.startswith("client") for p in self.problems()):
            self.run_worker(self._test_client(), group="test")

    def _test(self, server: DraftServer) -> None:
        if server.name in self._testing:
            return
        self._forget(server.name)
        try:
            deployment = _only(self.draft, server)
        except DsrError as error:
            self._refused[server.name] = f"cannot be tested yet: {error.what}"
            self._fill()
            return
        self._testing.add(server.name)
        self._fill()
        self.run_worker(self._run_test(server.name, deployment), group="test")

    async def _run_test(self, name: str, deployment: Deployment) -> None:
        try:
            async with self._limit:
                test = await in_thread(lambda: self.engine().test_server(deployment, deployment.server(name)))
        except DsrError as error:
            failure = Failure(kind=error.kind, what=error.what, why=error.why, next=error.next)
            test = ServerTest(server=name, failure=failure)
        finally:
            self._testing.discard(name)
        if any(server.name == name for server in self.draft.servers):
            self._tests[name] = (test, deployment)
        self._fill()

    async def _test_client(self) -> None:
        field = next(field for field in self.query(Field) if field.key == "client.address")
        field.note(f"{glyph('working')} testing")
        try:
            client = self.deployment().client
            failure = None if client is None else await in_thread(lambda: self.engine().test_client(client))
        except DsrError as error:
            field.note(f"{glyph('unknown')} {error.what}", warn=True)
            return
        if failure is None:
            field.note(f"{glyph('ok')} reached", good=True)
        else:
            field.note(f"{glyph('fail')} {failure.what}", warn=True)


def _login(server: DraftServer) -> str:
    return f"{server.connect} {server.user}".strip() if server.connect != "manual" else "by hand"


def _index_of(key: str) -> int | None:
    """The server's number in a problem key, `servers[3].address`."""
    head, _, rest = key.partition("[")
    number = rest.partition("]")[0]
    return int(number) if head == "servers" and number.isdigit() else None


def _only(draft: Draft, server: DraftServer) -> Deployment:
    """The deployment with this server alone, so that problems of other servers do not block its test. Raises
    UsageError."""
    wanted = server.vips
    vips = [vip for vip in draft.vips if wanted is None or vip.address in wanted] or draft.vips
    return deployment_of(msgspec.structs.replace(draft, vips=vips, servers=[server], client=None))
