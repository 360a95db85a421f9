"""The commands that an operator types on a real server, whatever system it runs: one port, one implementation each."""

from __future__ import annotations

from typing import Protocol

from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.facts import Route


class Advice(Protocol):
    """What shows or mends something on one real server, as the line to type there.

    Interfaces are named as they are on that server. `family` is 4 or 6.
    """

    def in_turn(self, *commands: str) -> str:
        """One line that runs several commands, one after the other."""
        ...

    # Addresses

    def put_vip(self, vip: Vip, interface: str = "") -> str:
        """Puts the VIP on an interface; without one, where the deployment wants it."""
        ...

    def bring_vip(self, vip: Vip) -> str:
        """Makes a VIP that does not answer do so: also where it is on an interface that is down, or not usable yet."""
        ...

    def take_vip(self, vip: Vip, interface: str, prefix: int) -> str:
        """Takes the VIP off an interface, where it has this prefix length."""
        ...

    def show_address(self, vip: Vip) -> str:
        """Shows where the VIP is."""
        ...

    def show_addresses(self) -> str:
        """The program that shows all addresses."""
        ...

    # ARP and neighbour discovery

    def silence(self, vip: Vip) -> str:
        """What to begin with where a server answers for the VIP and nothing tells why."""
        ...

    def show_frames(self, family: int, mac: str) -> str:
        """Shows the ARP or neighbour messages that leave the server with this MAC; empty: there is no such command."""
        ...

    # Services

    def show_listeners(self, service: Service) -> str:
        """Shows on which addresses the service listens."""
        ...

    def see_handshakes(self, vip: Vip, service: Service) -> str:
        """The sentence that says how to see clients' handshakes on the server."""
        ...

    # The way back

    def show_gateway(self, family: int) -> str:
        """Shows the default gateway."""
        ...

    def set_gateway(self, family: int, router: str, instead: Route | None) -> str:
        """Makes `router` the default gateway, in the place of another one or where there is none."""
        ...

    def leave_policy_route(self, family: int, vip: str, router: str) -> str:
        """What to do about a policy route that leads replies from the VIP elsewhere."""
        ...
