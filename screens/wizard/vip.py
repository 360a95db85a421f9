"""The VIP step: the deployment's name, its VIPs, and their services."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.widget import Widget
from textual.widgets import Button, Static

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.draft import DraftService, DraftVip
from dsrwizard.core.intake.own_addresses import own_address
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.intake.validate import problems_of_draft
from dsrwizard.core.model.deployment import SCHEDULERS, Deployment, Director
from dsrwizard.core.model.errors import DsrError
from screens.pane import Desk, Pane, in_thread
from screens.widgets.field import ChoiceField, Field, TextField
from screens.widgets.form import Form
from screens.widgets.glyphs import glyph
from screens.wizard import field_texts

PROTOCOLS = (("tcp", "tcp"), ("udp", "udp"))


class Small(Button):
    """A button one line high that belongs to one VIP or service."""

    def __init__(self, label: str, what: str, vip: int = -1, service: int = -1, *, hint: str) -> None:
        super().__init__(label, compact=True, classes=what)
        self.vip = vip
        self.service = service
        self.hint = hint


class ServiceBox(Vertical):
    """The fields of one service of a VIP."""

    def __init__(self, service: DraftService, vip: int, number: int, removable: bool) -> None:
        super().__init__()
        self._service = service
        self._at = (vip, number)
        self._removable = removable

    def compose(self) -> ComposeResult:
        vip, number = self._at
        key = f"vips[{vip}].services[{number}]"
        with Horizontal(classes="head"):
            yield Static(f"Service {number + 1}", markup=False, classes="head-text")
            if self._removable:
                yield Small(
                    "Remove service", "remove-service", vip, number, hint="Removes this service from the deployment."
                )
        yield ChoiceField(field_texts.PROTOCOL, f"{key}.protocol", self._service, "protocol", PROTOCOLS, width=9)
        yield TextField(field_texts.PORT, f"{key}.port", self._service, "port", width=9)
        schedulers = [(f"{name:<6}{meaning}", name) for name, meaning in SCHEDULERS.items()]
        yield ChoiceField(field_texts.SCHEDULER, f"{key}.scheduler", self._service, "scheduler", schedulers, width=0)
        yield TextField(field_texts.PERSISTENCE, f"{key}.persistence", self._service, "persistence", width=9)


class VipBox(Vertical):
    """One VIP with its services."""

    def __init__(self, vip: DraftVip, number: int, removable: bool) -> None:
        super().__init__()
        self._vip = vip
        self._number = number
        self._removable = removable

    def compose(self) -> ComposeResult:
        yield TextField(field_texts.VIP, f"vips[{self._number}].address", self._vip, "address", width=30)
        for number, service in enumerate(self._vip.services):
            yield ServiceBox(service, self._number, number, len(self._vip.services) > 1)
        with Horizontal(classes="buttons"):
            yield Small(
                "+ Service", "add-service", self._number, hint="Another port or protocol on this VIP (or press f2)."
            )
            if self._removable:
                yield Small("Remove VIP", "remove-vip", self._number, hint="Removes this VIP and its services.")


class VipPane(Pane):
    """The pane of the VIP step. Every edit goes straight to the draft; adding and removing redraws the list."""

    step_id = "vip"
    title = "VIP"
    heading = "VIP and services"
    HELP = (
        "Direct Server Return: clients send to the VIP, the director hands the packet to a real server by its MAC, "
        "and the server answers the client itself. So the director carries only requests.\n\nOne VIP with one "
        "service is enough to start. You can add more later without touching what runs."
    )
    DEFAULT_CSS = """
    VipPane VipBox, VipPane ServiceBox, VipPane #vips { height: auto; }
    VipPane VipBox { margin-top: 1; }
    VipPane ServiceBox { padding-left: 2; margin-top: 1; }
    VipPane .head { height: 1; }
    VipPane .head-text { width: auto; text-style: bold; padding-right: 2; }
    VipPane .buttons { height: 1; margin-top: 1; }
    VipPane .buttons Button, VipPane .head Button { margin-right: 2; min-width: 4; }
    """
    BINDINGS = [
        Binding(
            "f2", "add_service", "Add service", id="vip.add_service", tooltip="Another port or protocol on this VIP"
        ),
        Binding("f3", "add_vip", "Add VIP", id="vip.add_vip", tooltip="Another service address"),
        Binding(
            "f8",
            "remove",
            "Remove",
            id="vip.remove",
            tooltip="Remove the service or VIP at the cursor",
            show=False,
        ),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._asked: set[tuple[str, str]] = set()
        self._drawn: list[tuple[int, ...]] = []
        self._looked = False

    def compose(self) -> ComposeResult:
        with Form(self.problems):
            yield TextField(field_texts.NAME, "name", self.draft, "name", width=30)
            yield Vertical(*self._boxes(), id="vips")
            with Horizontal(classes="buttons"):
                yield Small("+ VIP", "add-vip", hint="Another service address (or press f3).")

    def _shape(self) -> list[tuple[int, ...]]:
        """Which VIPs and services there are: an import on another step may change it."""
        return [(id(vip), *(id(service) for service in vip.services)) for vip in self.draft.vips]

    def _boxes(self) -> list[Widget]:
        vips = self.draft.vips
        self._drawn = self._shape()
        return [VipBox(vip, number, len(vips) > 1) for number, vip in enumerate(vips)]

    # What the wizard asks.

    def problems(self) -> list[Problem]:
        found = [
            problem
            for problem in problems_of_draft(self.draft)
            if problem.key == "name" or problem.key.startswith("vips")
        ]
        here = self.desk.director.interfaces if self.desk.director is not None else ()
        for number, vip in enumerate(self.draft.vips):
            if refusal := own_address(here, vip.address):
                found.append(refusal.at(f"vips[{number}].address"))
        return found

    def show_problems(self) -> None:
        self.query_one(Form).show_all()

    def show_problem(self, key: str) -> None:
        self.query_one(Form).focus_key(key)

    def first_focus(self) -> Widget | None:
        wanted = "name" if self.draft.vips and self.draft.vips[0].address else "vips[0].address"
        return next((field.control_widget for field in self.query(Field) if field.key == wanted), None)

    def entered(self) -> None:
        if self._drawn != self._shape():
            self.run_worker(self._draw())
            return
        for field in self.query(Field):
            self._look_up(field)

    # Editing.

    @on(Form.Edited)
    def edited(self, event: Form.Edited) -> None:
        event.stop()
        if event.field.key.endswith(".address"):
            event.field.note("")
        self.post_message(self.Edited(self))

    @on(Field.Left)
    def field_left(self, event: Field.Left) -> None:
        self._look_up(event.field)

    @on(Button.Pressed, ".add-vip")
    async def action_add_vip(self) -> None:
        self.draft.vips.append(DraftVip())
        await self._redraw(f"vips[{len(self.draft.vips) - 1}].address")

    @on(Button.Pressed, ".add-service")
    async def add_service(self, event: Button.Pressed) -> None:
        await self._add_service(_small(event).vip)

    async def action_add_service(self) -> None:
        await self._add_service(self._here()[0])

    async def _add_service(self, vip: int) -> None:
        services = self.draft.vips[vip].services
        services.append(DraftService())
        await self._redraw(f"vips[{vip}].services[{len(services) - 1}].port")

    @on(Button.Pressed, ".remove-vip")
    async def remove_vip(self, event: Button.Pressed) -> None:
        await self._remove(_small(event).vip, -1)

    @on(Button.Pressed, ".remove-service")
    async def remove_service(self, event: Button.Pressed) -> None:
        await self._remove(_small(event).vip, _small(event).service)

    async def action_remove(self) -> None:
        await self._remove(*self._here())

    async def _remove(self, vip: int, service: int) -> None:
        """Removes a service, or the VIP when it is its last one. The last VIP stays."""
        vips = self.draft.vips
        services = vips[vip].services
        if service >= 0 and len(services) > 1:
            del services[service]
            await self._redraw(f"vips[{vip}].services[{max(service - 1, 0)}].port")
        elif len(vips) > 1:
            del vips[vip]
            await self._redraw(f"vips[{max(vip - 1, 0)}].address")
        else:
            self.notify("A deployment needs at least one VIP with one service. Edit this one instead.", markup=False)

    def _here(self) -> tuple[int, int]:
        """The VIP and service at the cursor; if there is none, the last VIP without a service."""
        focused = self.screen.focused
        vip, service = len(self.draft.vips) - 1, -1
        for node in focused.ancestors_with_self if focused is not None else ():
            if isinstance(node, ServiceBox):
                return node._at
            if isinstance(node, VipBox):
                vip = node._number
        return vip, service

    async def _redraw(self, focus: str) -> None:
        await self._draw()
        self.query_one(Form).focus_key(focus)
        self.post_message(self.Edited(self))

    async def _draw(self) -> None:
        boxes = self.query_one("#vips", Vertical)
        async with boxes.batch():
            await boxes.remove_children()
            await boxes.mount_all(self._boxes())
        self.query_one(Form).show()
        for field in self.query(Field):
            self._look_up(field)

    # Already in use on the wire?

    def _look_up(self, field: Field) -> None:
        """Asks on the network who has the VIP, in the background. Only warns, because this deployment itself may
        answer."""
        interface, address = self.draft.interface.strip(), field.value.strip()
        if not (field.key.startswith("vips[") and field.key.endswith("].address")) or fields.vip(address):
            return
        if self.desk.director is None and not self._looked:
            self._looked = True
            self.run_worker(self._look(), group="own")
        here = self.desk.director.interfaces if self.desk.director is not None else ()
        if fields.director_interface(interface) or own_address(here, address):
            return
        if address in self.desk.in_use:
            self._say(field, self.desk.in_use[address])
        elif (interface, address) not in self._asked:
            self._asked.add((interface, address))
            field.note(f"{glyph('working')} checking whether it is free")
            self.run_worker(self._ask(interface, address), group="in-use")

    async def _look(self) -> None:
        """Looks which addresses are this machine's own: none of them can be a VIP."""
        asked = Deployment(
            name=self.draft.name or "dsr", director=Director(interface="", engine="external"), vips=(), servers=()
        )
        try:
            self.desk.director = await in_thread(lambda: self.engine().director(asked))
        except DsrError:
            return  # the next step looks again, and says why it cannot
        self.query_one(Form).show()
        self.refreshed()

    async def _ask(self, interface: str, address: str) -> None:
        try:
            owners = await in_thread(lambda: self.engine().address_in_use(interface, address))
        except DsrError as error:
            said = f"{glyph('unknown')} not checked: {error.what}"
        else:
            if owners.problem:
                said = f"{glyph('unknown')} not checked: {owners.problem}"
            elif owners.where:
                said = f"{glyph('warn')} in use: {', '.join(owners.where)} answers"
            else:
                said = ""
        self.desk.in_use[address] = said
        for field in self.query(Field):
            if field.key.endswith("].address") and field.value.strip() == address:
                self._say(field, said)

    def _say(self, field: Field, said: str) -> None:
        free = f"{glyph('ok')} nobody else answers for it"
        field.note(said or free, good=not said, warn=said.startswith(glyph("warn")))


def _small(event: Button.Pressed) -> Small:
    event.stop()
    assert isinstance(event.button, Small)  # noqa: S101 - the selector says so
    return event.button
