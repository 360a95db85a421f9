"""The director step: the interface in the real servers' network, and the load balancer to use."""

from __future__ import annotations

import shlex
from ipaddress import ip_address, ip_interface

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.intake.validate import problems_of_draft
from dsrwizard.core.model.deployment import IN_KERNEL, Deployment, Director
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import DirectorFacts, Interface
from dsrwizard.core.model.foreign import one_line
from screens.pane import Desk, Pane, in_thread
from screens.widgets.field import ChoiceField, Field, RadioField, TextField, YesNoField
from screens.widgets.form import Form
from screens.widgets.glyphs import Name, glyph
from screens.wizard import field_texts
from screens.wizard.appliance import Appliance, at_fields
from screens.wizard.second_director import SecondDirector, consequences

ENGINES = (
    ("This machine alone (kernel IPVS)", "netlink"),
    ("This machine and a second (keepalived)", "keepalived"),
    ("NetScaler, set up from here", "netscaler"),
    ("Loadbalancer.org, set up from here", "loadbalancer.org"),
    ("HAProxy ALOHA, by hand with its text", "aloha"),
    ("Barracuda, by hand with a checklist", "barracuda"),
    ("Any other product, by hand", "external"),
)


class DirectorPane(Pane):
    """The pane of the director step. Offers this machine's interfaces; if they cannot be read, a text field instead."""

    step_id = "director"
    title = "Director"
    heading = "Director: this machine"
    HELP = (
        "dsrwizard runs on the director. It adds the VIP to this interface, sets up IPVS over netlink, and sends "
        "its probes from here. If another product is the load balancer, this machine is only a host in the servers' "
        "network."
    )
    DEFAULT_CSS = """
    DirectorPane Field { margin-bottom: 1; }
    DirectorPane RadioField { margin-bottom: 0; }
    DirectorPane SecondDirector Field { margin-bottom: 0; }
    DirectorPane Appliance Field { margin-bottom: 0; }
    DirectorPane #means { height: auto; width: 1fr; margin-bottom: 1; padding-left: 14; }
    DirectorPane #typed { display: none; }
    DirectorPane.-unseen #typed { display: block; }
    DirectorPane.-unseen #chosen { display: none; }
    DirectorPane.-external #guard { display: none; }
    DirectorPane #found { height: auto; width: 1fr; }
    """
    BINDINGS = [
        Binding("f5", "look", "Look again", id="director.look", tooltip="Read this machine's interfaces and IPVS again")
    ]

    facts: reactive[DirectorFacts | None] = reactive(None, init=False)

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self._failed: DsrError | None = None

    def compose(self) -> ComposeResult:
        key = "director.interface"
        with Form(self.problems):
            chosen = ChoiceField(field_texts.INTERFACE, key, self.draft, "interface", [], width=0)
            chosen.id = "chosen"
            yield chosen
            typed = TextField(field_texts.INTERFACE, key, self.draft, "interface", width=20)
            typed.id = "typed"
            yield typed
            yield RadioField(field_texts.ENGINE, "director.engine", self.draft, "engine", ENGINES)
            yield Static("", id="means", markup=False)
            yield SecondDirector(self.draft)
            yield Appliance(self.draft)
            guard = YesNoField(
                field_texts.GUARD, "director.guard", self.draft, "guard",
                yes="Take them out, let them in (recommended)", no="I drain them by hand",
            )  # fmt: skip
            guard.id = "guard"
            yield guard
            yield Static("", id="found", markup=False)

    def on_mount(self) -> None:
        self._tell()

    # What the wizard asks.

    def problems(self) -> list[Problem]:
        mine = ("director.", "balancer")
        return [at_fields(problem) for problem in problems_of_draft(self.draft) if problem.key.startswith(mine)]

    def show_problems(self) -> None:
        self.query_one(Form).show_all()

    def show_problem(self, key: str) -> None:
        self.query_one(Form).focus_key(key)

    def first_focus(self) -> Widget | None:
        shown = next((field for field in self.query(Field) if field.display), None)
        return shown.control_widget if shown is not None else None

    def entered(self) -> None:
        if self.facts is None:
            self.action_look()

    # Looking at this machine.

    def action_look(self) -> None:
        self._failed = None
        self.run_worker(self._look(), group="director", exclusive=True)

    async def _look(self) -> None:
        asked = Deployment(
            name=self.draft.name or "dsr",
            director=Director(
                interface=self.draft.interface, engine="netlink" if self.draft.engine in IN_KERNEL else "external"
            ),
            vips=(),
            servers=(),
        )
        try:
            self.facts = await in_thread(lambda: self.engine().director(asked))
        except DsrError as error:
            self._failed = error
            self.facts = None
            self._tell()

    def watch_facts(self, facts: DirectorFacts | None) -> None:
        self.desk.director = facts
        if facts is None:
            return
        cards = [interface for interface in facts.interfaces if interface.name != "lo"]
        if not self.draft.interface:
            self._recommend(facts)
            likely = self._likely(cards)
            if likely:
                self.draft.interface = likely
                self.post_message(self.Edited(self))
        self.query_one("#chosen", ChoiceField).offer([(_describe(card), card.name) for card in cards])
        self._tell()

    def _likely(self, cards: list[Interface]) -> str:
        """The interface whose network contains a real server or a VIP, else the one with the default route."""
        wanted = [server.address for server in self.draft.servers] + [vip.address for vip in self.draft.vips]
        for address in wanted:
            for card in cards:
                if any(_within(address, f"{entry.address}/{entry.prefix}") for entry in card.addresses):
                    return card.name
        routed = {route.interface for route in self.facts.default_routes} if self.facts is not None else set()
        up = [card for card in cards if card.up]
        candidates = [card for card in up if card.name in routed] or up
        return candidates[0].name if len(candidates) == 1 else ""

    def _recommend(self, facts: DirectorFacts) -> None:
        """Answers for somebody who begins: a guard, where this machine can run it all the time."""
        if self.draft.engine in IN_KERNEL and facts.boot is not None and facts.boot.systemd and facts.boot.writable:
            self.draft.guard = True
            self.query_one("#guard", YesNoField).show()

    # Editing.

    @on(Form.Edited)
    async def edited(self, event: Form.Edited) -> None:
        event.stop()
        await self.query_one(SecondDirector).follow()
        await self.query_one(Appliance).follow()
        self.desk.in_use.clear()
        if self.draft.engine not in IN_KERNEL and self.draft.guard:
            self.draft.guard = False  # another product has its own health checks
            self.query_one("#guard", YesNoField).show()
        self._tell()
        self.post_message(self.Edited(self))

    def _tell(self) -> None:
        """Shows what was found: the interface's state, privileges, IPVS."""
        self.set_class(self.facts is None and self._failed is not None, "-unseen")
        self.set_class(self.draft.engine not in IN_KERNEL, "-external")
        self.query_one("#found", Static).update(Content("\n").join(self._lines()))
        means = [
            _line("ok", sentence, "") if good else _line("warn", sentence, "$text-warning")
            for good, sentence in consequences(self.draft)
        ]
        self.query_one("#means", Static).update(Content("\n").join(means))
        self.refreshed()

    def _lines(self) -> list[Content]:
        facts = self.facts
        if facts is None:
            if self._failed is None:
                return [_line("working", "looking at this machine …", "")]
            return [
                _line("fail", self._failed.what, "$text-error"),
                _aside(self._failed.why),
                _aside(self._failed.next),
            ]
        lines = [*self._interface_lines(facts)]
        if self.draft.engine not in IN_KERNEL:
            lines.append(_line("ok", "IPVS is not needed: another product is the load balancer.", ""))
            if not facts.privileged:
                lines.append(_line("warn", "Not root: probes and ARP checks will be “unknown”.", "$text-warning"))
                lines.append(_aside("Start dsrwizard with sudo or with CAP_NET_RAW to run them."))
            return lines
        if facts.services is not None:
            count = len(facts.services)
            theirs = f"; it has {count} service{'s' if count > 1 else ''} already" if count else ""
            lines.append(_line("ok", f"IPVS is loaded{theirs}.", "$text-success"))
        elif facts.module_loaded is False and facts.module_available is not False:
            lines.append(_line("ok", "IPVS: the kernel module ip_vs is not loaded yet. Apply will load it.", ""))
        else:
            lines.append(_line("fail", facts.ipvs_problem or "IPVS could not be read.", "$text-error"))
            if facts.ipvs_next:
                lines.append(_aside(facts.ipvs_next))
            lines.append(_aside("Then press f5. If another product is the load balancer, choose it above."))
        if facts.privileged:
            lines.append(_line("ok", "dsrwizard may change addresses and IPVS here.", "$text-success"))
        else:
            lines.append(_line("fail", "dsrwizard has no privilege to change this machine.", "$text-error"))
            lines.append(
                _aside(
                    "Start dsrwizard with sudo (CAP_NET_ADMIN and CAP_NET_RAW), or choose another product as the "
                    "load balancer."
                )
            )
        return [*lines, *self._guard_lines(facts)]

    def _guard_lines(self, facts: DirectorFacts) -> list[Content]:
        """What follows from the answer about dead servers."""
        if not self.draft.guard:
            return [_line("warn", "A server that dies goes on getting clients until you drain it.", "$text-warning")]
        if facts.boot is None or not facts.boot.systemd:
            return [
                _line("warn", "No systemd here: nothing that dsrwizard knows can run the guard.", "$text-warning"),
                _aside("Have this run all the time: dsrwizard guard FILE"),
            ]
        return [
            _line("ok", "A dead server gets no new clients after a second or two.", "$text-success"),
            _aside(f"The unit dsrwizard-guard-{self.draft.name or 'dsr'} does it; half of them stay in."),
        ]

    def _interface_lines(self, facts: DirectorFacts) -> list[Content]:
        name = self.draft.interface.strip()
        card = facts.interface(name)
        if not name:
            return []
        if card is None:
            names = ", ".join(other.name for other in facts.interfaces if other.name != "lo")
            return [_line("fail", f"This machine has no interface {name}. It has: {names}.", "$text-error")]
        if not card.up:
            return [_line("warn", f"{name} is down.", "$text-warning"), _aside(f"ip link set {shlex.quote(name)} up")]
        if not card.addresses:
            return [
                _line(
                    "warn", f"{name} has no address. The director needs its own address (DIP) on it.", "$text-warning"
                )
            ]
        return [_line("ok", f"{name} is up, {_addresses(card)}, MAC {card.mac or 'unknown'}.", "$text-success")]


def _describe(card: Interface) -> str:
    state = "" if card.up else "  (down)"
    return f"{card.name:<10} {_addresses(card) or 'no address'}{state}"


def _addresses(card: Interface) -> str:
    shown = [f"{entry.address}/{entry.prefix}" for entry in card.addresses if entry.scope != "link"]
    return ", ".join(shown[:3]) + (" …" if len(shown) > 3 else "")


def _within(address: str, network: str) -> bool:
    try:
        return ip_address(address.strip()) in ip_interface(network).network
    except ValueError:
        return False


def _line(sign: Name, text: str, style: str) -> Content:
    text = one_line(text)
    return Content.styled(f"{glyph(sign)} {text}", style) if style else Content(f"{glyph(sign)} {text}")


def _aside(text: str) -> Content:
    return Content(f"    {one_line(text)}")
