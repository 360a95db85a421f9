"""What "test connection" looks at: one real server, from here and from within, before anything is planned."""

from __future__ import annotations

from collections.abc import Callable

from dsrwizard.core.api import ServerTest
from dsrwizard.core.model.contact import Contact
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.ports import WirePort
from dsrwizard.engine.hosts import Hosts, side_by_side


def tested(
    deployment: Deployment,
    server: RealServer,
    hosts: Hosts,
    wire: WirePort,
    find_winrm: Callable[[RealServer], Contact] | None,
) -> ServerTest:
    """All its looks side by side. `find_winrm` tries the ports of WinRM, where that is possible."""
    ports = sorted(
        {service.port for vip in deployment.vips_of(server) for service in vip.services if service.protocol == "tcp"}
    )
    looks: list[tuple[str, Callable[[], object]]] = [
        ("ping", lambda: wire.ping([server.address])[server.address]),
        (
            "owners",
            lambda: wire.owners(deployment.director.interface, [server.address], 1.0)[server.address],
        ),
        ("ports", lambda: tuple(wire.connect([(server.address, port) for port in ports]))),
    ]
    if server.connect != "manual":
        looks.append(("facts", lambda: hosts.port(server).observe(deployment, closely=True)))
    if server.connect == "winrm" and find_winrm is not None:
        looks.append(("contact", lambda: find_winrm(server)))
    found: dict[str, object] = {}
    side_by_side(looks, found.__setitem__)
    seen = {name: what for name, what in found.items() if not isinstance(what, Failure)}
    failure = found.get("facts")
    if server.connect == "winrm":
        seen["login"] = str(getattr(hosts.port(server), "login", ""))
    return ServerTest(server=server.name, failure=failure if isinstance(failure, Failure) else None, **seen)  # type: ignore[arg-type]
