"""The appliance of the director step: where it is managed and as whom. Its password is asked for when it is needed, and
its certificate is shown then, as a server's key is."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from textual.app import ComposeResult
from textual.containers import Vertical

from dsrwizard.core.intake.draft import Draft, DraftBalancer
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.model.deployment import DRIVEN
from dsrwizard.core.model.products import NETSCALER, PRODUCTS
from screens.widgets.field import FieldText, TextField
from screens.wizard import field_texts

FIRST, SECOND = "balancer.addresses[0]", "balancer.addresses[1]"


@dataclass
class TypedAddresses:
    """As they stand in the two fields."""

    first: str = ""
    second: str = ""


class ManagementField(TextField):
    """One of the two addresses; the draft has those that were given."""

    def __init__(self, text: FieldText, key: str, typed: TypedAddresses, attribute: str, given: DraftBalancer) -> None:
        super().__init__(text, key, typed, attribute, width=41)
        self._typed, self._given = typed, given

    def keep(self, value: str) -> None:
        super().keep(value)
        both = (self._typed.first, self._typed.second)
        self._given.addresses = [one for one in both if one.strip()]


class Appliance(Vertical):
    """The fields of `[balancer]` where the load balancer is an appliance that is set up from here; nothing otherwise.
    Keeps what was typed when another choice is made."""

    DEFAULT_CSS = """
    Appliance { height: auto; }
    """

    def __init__(self, draft: Draft) -> None:
        super().__init__(id="appliance")
        self._draft = draft
        self._aside = draft.balancer
        self._shown: str = ""
        self._typed = TypedAddresses(*(draft.balancer.addresses if draft.balancer is not None else [])[:2])

    def compose(self) -> ComposeResult:
        self._shown = self._wanted
        given = self._draft.balancer
        if not self._shown or given is None:
            return
        yield ManagementField(field_texts.BALANCER_ADDRESS, FIRST, self._typed, "first", given)
        yield ManagementField(field_texts.BALANCER_SECOND, SECOND, self._typed, "second", given)
        yield TextField(field_texts.BALANCER_USER, "balancer.user", given, "user", width=30)
        yield TextField(field_texts.BALANCER_PORT, "balancer.port", given, "port", width=9)
        yield TextField(field_texts.BALANCER_CA, "balancer.ca_file", given, "ca_file", width=0)

    @property
    def _wanted(self) -> str:
        engine = self._draft.engine
        return engine if engine in DRIVEN and engine in PRODUCTS else ""

    async def follow(self) -> None:
        """Brings the draft's `[balancer]` and the fields in line with the engine that was chosen."""
        draft = self._draft
        self._aside = draft.balancer or self._aside
        if self._wanted:
            draft.balancer = self._aside or DraftBalancer()
            if draft.engine != NETSCALER.engine:
                draft.balancer.method = ""  # no other one has it, and no field here
        else:  # what is set up by hand need not say where it is
            known = self._aside is not None and self._aside.addresses and draft.engine in PRODUCTS
            draft.balancer = self._aside if known else None
        if bool(self._wanted) != bool(self._shown):
            await self.recompose()
        self._shown = self._wanted


def at_fields(problem: Problem) -> Problem:
    """The problem at the field that can mend it: a missing address is the first one's."""
    return msgspec.structs.replace(problem, key=FIRST) if problem.key == "balancer.addresses" else problem
