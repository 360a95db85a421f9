"""The messages and fixes that verify and the live view share when they have the same evidence."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.model.deployment import Service
from dsrwizard.core.model.products import PRODUCTS
from dsrwizard.core.model.values import endpoint


def unreachable(name: str, rip: str) -> tuple[str, str]:
    """Nobody answers at the RIP: message and fix."""
    return (
        f"{name} does not answer at its address {rip}.",
        f"Check that {name} is switched on and cabled, and that {rip} is its address.",
    )


def no_owner(engine: str, vip: str) -> tuple[str, str]:
    """No load balancer that is another machine answers for the VIP: message and fix."""
    product = PRODUCTS.get(engine)
    box = product.name if product is not None else "load balancer"
    name = engine if product is not None else "other"
    return (
        f"No load balancer answers for {vip} on the wire.",
        f"Bring {vip} up on the {box}. dsrwizard runbook FILE --balancer {name} has the steps.",
    )


def sent_back(name: str, vip: str) -> str:
    """An ICMP redirect came back: the server forwards what it does not own."""
    return f"{vip} is not on {name}, which sends its packets back to the director: a loop."


def start_service(name: str, service: Service) -> str:
    return f"Start the service on {name}, listening on port {service.port} on all addresses."


def answers_from_elsewhere(name: str, vip: str, service: Service, source: str) -> tuple[str, str]:
    """The reply to a probe came from another address than the VIP: message and fix."""
    return (
        f"{service.label} on {name} answers clients of {vip} from {source or 'its RIP'}, so they discard the answer.",
        f"Make the application on {name} bind a socket to {vip} (or use IP_PKTINFO).",
    )


def not_the_service(name: str, service: Service) -> tuple[str, str]:
    """Something answers a datagram, but not as that service would: message and fix."""
    what = "a DNS server" if service.expects == "dns" else "an echo service"
    return (
        f"The program that answers {service.label} on {name} is not {what}.",
        f"Start the service on {name}; if {service.label} is to be something else, write what to send "
        f'it as payload = "…" under [[vips.services]].',
    )


def service_hung(name: str, service: Service) -> str:
    """The application takes connections and never answers."""
    return f"The application for {service.label} on {name} accepts connections but does not answer."


def queue_full(name: str, service: Service, waiting: int) -> str:
    """The application takes no connection any more, and the kernel lets no more of them wait."""
    return (
        f"The application for {service.label} on {name} takes no more connections: {waiting} wait for it, and the "
        "kernel drops those that come after."
    )


def restart_service(name: str, service: Service) -> str:
    return (
        f"On {name}: find out what the application on port {service.port} waits for (its log, a stopped process), and "
        "restart it."
    )


def large_lost(name: str, size: int) -> str:
    """Small packets pass and large ones do not, on the way to one server."""
    return f"Packets of {size} bytes are lost on the way to {name}; small ones arrive, so only large requests fail."


def large_lost_between(name: str) -> str:
    """Large packets get from the director to a server, and large exchanges of clients with it fail."""
    return (
        f"Large requests to {name}, or their replies, are lost; packets of full size do reach it from the director, so "
        "its replies are the likelier."
    )


def large_replies_lost(name: str, size: int) -> str:
    """Large packets get to a server, and its own of that size do not come back."""
    return f"Packets of {size} bytes that {name} sends are lost; small ones arrive, so only large replies fail."


def find_mtu(name: str) -> str:
    return (
        f"Compare the MTU of {name}, of its switch port and of any tunnel between (ip link), and look for a filter by "
        "length; they must carry what the director's interface sends."
    )


def listen_on(name: str, vip: str, service: Service) -> str:
    return f"On {name}: make the application listen on {endpoint(vip, service.port)} too, or on all."


REPLIES_OUTSIDE_FIX = (
    "Look at what stands between the real servers and the clients: a stateful firewall there that sees only one half "
    "of each connection must let the other half pass without a state, and a router must not check the sources of "
    "replies. On the router: tcpdump shows whether the replies arrive and leave."
)


def replies_lost_outside(names: Sequence[str], vip: str) -> str:
    """Clients' packets arrive at all of these servers, which answer, and no client gets an answer."""
    who = names[0] if len(names) == 1 else f"All {len(names)} servers"
    answer = "answers" if len(names) == 1 else "answer"
    return (
        f"{who} of {vip} {answer} clients, and no answer reaches one: something between the farm and the clients drops "
        "the replies."
    )


def split_brain(vip: str, names: Sequence[str]) -> str:
    """Several directors hold a VIP."""
    return f"Two directors hold {vip} at once: {' and '.join(names)}."


def arp_leak(name: str, vip: str) -> str:
    return f"{name} answers ARP for {vip} and takes the director's traffic."


def announces(name: str, vip: str, mac: str) -> str:
    """A real server names the VIP as its own without being asked."""
    return f"{name} announces {vip} as its own on the wire ({mac}), so neighbours and routers send to it."


def stop_announcing(name: str, vip: str) -> str:
    """The fix where the kernel's guard is on or not the reason."""
    return (
        f"On {name}: find what announces {vip} and stop it: arping, ifup with ARPUPDATE, keepalived or another cluster "
        f"manager (ps; tcpdump -eni any arp and host {vip}). Then let the director announce it again."
    )


def arp_mismatch(sender: str, address: str, place: str) -> str:
    """A frame named another MAC than it came from. `sender` is a real server, or empty; `place` whose MAC it named."""
    by = "neighbour discovery" if ":" in address else "ARP"
    return f"{sender or 'A machine outside the deployment'} announces by {by} that {address} is at {place}."


def find_forger(name: str) -> str:
    """The fix where somebody sends answers with a real server's MAC."""
    return (
        f"On the switch: check which port has the MAC of {name}, and whether it moves. Disconnect whatever sends "
        "from a port other than the server's. Then verify again."
    )


def silence_sender(sender: str, address: str, mac: str) -> str:
    """The fix for that, of which only `mac`, the Ethernet source, is known."""
    where = f"On {sender}: find what sends it." if sender else f"Find the machine with the MAC {mac} (switch table)."
    return (
        f"{where} A proxying router, a bridge, a container network or an access point may do this; it must not do it "
        f"for {address}. Anything else is forging it."
    )
