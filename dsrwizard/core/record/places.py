"""Which machine an entry of the journal is about, whatever it was called and wherever it was reached. Pure.

A machine is known by its id (`ServerFacts.machine`). Entries without one, of earlier versions, of copies of one image
and of hosts that do not tell, belong to the machine that was last at their address.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class KnownMachine:
    """One machine. `host` and `address` are the latest name and address, `machine` is empty where it is not known."""

    host: str
    address: str
    machine: str


class Places:
    """All machines of one journal, as its entries come."""

    def __init__(self) -> None:
        self._by_machine: dict[tuple[bool, str], KnownMachine] = {}
        self._by_address: dict[tuple[bool, str], KnownMachine] = {}

    def of(self, host: str, address: str, machine: str, *, director: bool) -> KnownMachine:
        """The machine of an entry, which is called and reached so from now on."""
        at = self._by_address.get((director, address))
        known = self._by_machine.get((director, machine)) if machine else at
        if known is None and at is not None and not at.machine:
            known = at  # what had no id yet has this one
        if known is None:
            known = KnownMachine(host, address, machine)
        known.machine = machine or known.machine
        return self._at(known, host, address, director=director)

    def found(self, address: str, machine: str, *, director: bool) -> KnownMachine | None:
        """The machine with this id, otherwise the one that was last at this address; nothing of it changes."""
        return self._by_machine.get((director, machine)) or self._by_address.get((director, address))

    def renamed(self, place: KnownMachine, host: str, address: str, machine: str, *, director: bool) -> KnownMachine:
        """The machine under a new name, address and id; another than `place` where one with this id is known."""
        known = self._by_machine.get((director, machine), place)
        if known is place and place.machine != machine:
            self._by_machine.pop((director, place.machine), None)
            place.machine = machine
        return self._at(known, host, address, director=director)

    def _at(self, place: KnownMachine, host: str, address: str, *, director: bool) -> KnownMachine:
        place.host, place.address = host, address
        self._by_address[director, address] = place
        if place.machine:
            self._by_machine[director, place.machine] = place
        return place
