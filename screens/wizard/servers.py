"""The servers step: the real servers, how to connect to each, and the results of connection tests."""

from __future__ import annotations

from asyncio import Semaphore
from typing import TYPE_CHECKING

import msgspec
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.widget import Widget
from textual.widgets import DataTable, Input, Static

from dsrwizard.core.api import ServerTest
from dsrwizard.core.intake.draft import Draft, DraftClient, DraftServer, add_vips
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.intake.validate import deployment_of, problems_of_draft
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure
from dsrwizard.session import OpenForm
from screens.pane import Desk, Pane, in_thread
from screens.questions.modals import Choice, Question
from screens.widgets.field import Field, TextField
from screens.widgets.form import Form
from screens.widgets.glyphs import Name, glyph
from screens.widgets.server_facts import details, test_words
from screens.wizard import field_texts
from screens.wizard.server_form import ServerAnswer, ServerForm
from screens.wizard.server_table import ServerTable
from screens.wizard.several import DraftWeights, who

if TYPE_CHECKING:
    from dsrwizard.core.intake.importers import Imported

AT_ONCE = 64
"""Connection tests that run at the same time."""
NONE_YET = "No real servers yet. Press a to add one, or i to import a list, an Ansible inventory or an ssh config."


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
    ServersPane #servers-find { height: 1; display: none; background: $panel; }
    ServersPane.-finding #servers-find { display: block; }
    ServersPane #servers-several { height: auto; color: $text-accent; }
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
        Binding("w", "weight", "Weight", id="servers.weight", tooltip="The weight of the chosen servers", show=False),
        Binding("space", "mark", "Choose several", id="servers.mark", show=False,
                tooltip="Choose this server together with others; t, d and w then act on all of them"),
        Binding("slash", "find", "Find", id="servers.find", key_display="/", show=False,
                tooltip="Show only servers with these words in name, address or login"),
        Binding("escape", "show_all", "Show all", id="servers.all", tooltip="Show and choose as before", show=False),
    ]  # fmt: skip

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._client = desk.session.draft.client or DraftClient()
        self._tests: dict[str, tuple[ServerTest, Deployment]] = {}
        self._testing: set[str] = set()
        self._refused: dict[str, str] = {}
        self._limit = Semaphore(AT_ONCE)
        self._loud = False

    def compose(self) -> ComposeResult:
        yield Input(id="servers-find", compact=True, placeholder="name, address or login; enter, or esc")
        yield ServerTable(id="servers-table")
        yield Static("", id="servers-several", markup=False)
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
        if index is not None:
            if table.words:
                self.action_show_all()
            table.put_cursor(index)
        table.focus()

    def first_focus(self) -> Widget | None:
        return self.query_one(ServerTable)

    def entered(self) -> None:
        self._fill()
        self._open_again()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("edit", "remove", "test", "test_all", "weight", "mark", "find") and not self.draft.servers:
            return None
        if action == "show_all":
            return self.is_mounted and self._narrowed()
        return True

    # The table.

    def _fill(self) -> None:
        """Draws the table from the draft, keeping the cursor."""
        table = self.query_one(ServerTable)
        wrong = {_index_of(problem.key) for problem in self.problems()}
        table.fill(
            self.draft.servers, lambda number, server: self._said(number, server, wrong), self.content_size.width
        )
        self._tell_chosen()
        self.set_class(not self.draft.servers, "-empty")
        general = [problem.text for problem in self.problems() if problem.key == "servers"] if self._loud else []
        self.query_one("#servers-problem", Static).update("\n".join(f"{glyph('problem')} {text}" for text in general))
        self._show_details()
        self.refreshed()

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
            number = self.query_one(ServerTable).number
            mine = [problem.text for problem in self.problems() if _index_of(problem.key) == number]
            shown = Content("\n".join(f"{glyph('problem')} {text}" for text in mine))
        self.query_one("#tested", Static).update(shown)

    def _current(self) -> DraftServer | None:
        number = self.query_one(ServerTable).number
        servers = self.draft.servers
        return servers[number] if 0 <= number < len(servers) else None

    # Finding, and several at once.

    def _narrowed(self) -> bool:
        table = self.query_one(ServerTable)
        return self.has_class("-finding") or bool(table.words) or bool(table.marked(self.draft.servers))

    def _tell_chosen(self) -> None:
        """How many servers are found, and how many are chosen together."""
        table, count, said = self.query_one(ServerTable), len(self.draft.servers), list[str]()
        if table.words:
            said.append(f"Only “{' '.join(table.words)}”: {table.shown} of {count}. esc shows all.")
        chosen = len(table.marked(self.draft.servers))
        if chosen:
            said.append(f"{chosen} of {count} chosen: t, d and w act on all. space adds, esc drops.")
        several = self.query_one("#servers-several", Static)
        several.update("\n".join(said))
        several.display = bool(said)

    def action_find(self) -> None:
        """Opens the find bar; the table filters as you type."""
        self.add_class("-finding")
        self.query_one("#servers-find", Input).focus()

    @on(Input.Changed, "#servers-find")
    def found(self, event: Input.Changed) -> None:
        event.stop()
        self.query_one(ServerTable).words = tuple(event.value.casefold().split())
        self._fill()

    @on(Input.Submitted, "#servers-find")
    def find_entered(self, event: Input.Submitted) -> None:
        event.stop()
        self.remove_class("-finding")
        self.query_one(ServerTable).focus()

    def action_show_all(self) -> None:
        """Removes the filter; without one, nothing is chosen any more."""
        table = self.query_one(ServerTable)
        if not table.words and not self.has_class("-finding"):
            table.mark_none()
        table.words = ()
        self.remove_class("-finding")
        self.query_one("#servers-find", Input).clear()
        self._fill()
        table.focus()

    def action_mark(self) -> None:
        """Chooses the server under the cursor together with others, and goes to the next."""
        server, table = self._current(), self.query_one(ServerTable)
        if server is not None:
            table.mark(server)
            self._fill()
            table.action_cursor_down()

    def _chosen(self) -> list[DraftServer]:
        """Those chosen together, else the one under the cursor."""
        current = self._current()
        return self.query_one(ServerTable).marked(self.draft.servers) or ([current] if current is not None else [])

    def action_weight(self) -> None:
        """Asks for the weight of the chosen servers."""
        chosen = self._chosen()
        if not chosen:
            return

        def answered(weight: str | None) -> None:
            if weight is None:
                return
            for server in chosen:
                self._forget(server.name)
                server.weight = weight
            self._changed()

        weights = {server.weight for server in chosen}
        start = weights.pop() if len(weights) == 1 else ""
        self.app.push_screen(DraftWeights(who(chosen), start), answered)

    # Adding, editing, removing, importing.

    def _find(self, server: RealServer) -> Contact:
        return self.engine().find_winrm(server)

    def action_add(self) -> None:
        self._open_form(-1)

    def _added(self, answer: ServerAnswer) -> None:
        self.draft.servers.append(answer.server)
        self._changed()
        self.query_one(ServerTable).put_cursor(len(self.draft.servers) - 1)
        if answer.test:
            self.action_test()

    @on(DataTable.RowSelected)
    def action_edit(self) -> None:
        row = self.query_one(ServerTable).number
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
        elif self.session.listed:
            self.action_import()

    def action_remove(self) -> None:
        chosen = self._chosen()
        if not chosen:
            return

        def answered(choice: str | None) -> None:
            if choice == "remove":
                for server in chosen:
                    self._forget(server.name)
                self.draft.servers = [one for one in self.draft.servers if not any(one is gone for gone in chosen)]
                self._changed()

        them, keep = ("the servers", "Keep them") if len(chosen) > 1 else ("the server", "Keep it")
        body = (
            f"Remove {who(chosen, names=True)} from the deployment? Nothing is done on {them} now. The review shows "
            "what will change."
        )
        title = "Remove real server" if len(chosen) == 1 else f"Remove {len(chosen)} real servers"
        choices = (Choice("keep", keep, "primary"), Choice("remove", "Remove", "warning"))
        self.app.push_screen(Question(title, body, choices, safe="keep"), answered)

    def action_import(self) -> None:
        from screens.wizard.import_servers import ImportServers

        vips, names = [vip.address for vip in self.draft.vips], [server.name for server in self.draft.servers]
        self.app.push_screen(ImportServers(vips, names, self.session.listed, self._keep_list), self._imported)

    def _keep_list(self, listed: str) -> None:
        self.session.listed = listed
        self.post_message(self.Typed(self))

    def _imported(self, imported: Imported | None) -> None:
        self._keep_list("")
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
        for server in self._chosen():
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
