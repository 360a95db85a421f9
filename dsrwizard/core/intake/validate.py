"""Validation of a deployment beyond its types: every problem, with the key it belongs to.

The file and the wizard share one set of rules: a `Deployment` is checked as a draft. A problem between two values has
the key of the one entered later, so that no step of the wizard waits for a later step. The validators of single fields
(`vip_problem` …) return the whole message, or None.
"""

from __future__ import annotations

import msgspec

from dsrwizard.core.intake import fields
from dsrwizard.core.intake.balancer import balancer_problems
from dsrwizard.core.intake.directors import directors_problems
from dsrwizard.core.intake.draft import Draft, DraftServer, DraftService, DraftVip
from dsrwizard.core.intake.expressible import product_problems
from dsrwizard.core.intake.problems import Problem, Refusal, shown
from dsrwizard.core.model.deployment import Address, Balancer, Client, Deployment, Director, RealServer, Vip
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.first_words import HTTP_PORTS


def problems_of(deployment: Deployment) -> list[Problem]:
    """All problems of this deployment, in the order of the file. Empty: it can be planned."""
    problems = _spaces(msgspec.to_builtins(deployment), "")
    problems += problems_of_draft(Draft.from_deployment(deployment))
    problems += _asked_in_vain(deployment)
    for number, server in enumerate(deployment.servers):
        problems += _service_port(deployment, server, f"servers[{number}].service_port")
    return problems


def problems_of_draft(draft: Draft) -> list[Problem]:
    """All problems of a draft: keys as in the file (`vips[0].services[0].port`, `director.interface`)."""
    found = _Found()
    if _too_many(draft, found):
        return found.problems
    found.check("name", fields.name(draft.name))
    found.check("director.interface", fields.director_interface(draft.interface))
    found.check("director.engine", fields.engine(draft.engine))
    found.check("director.guard", fields.guard(draft.guard, draft.engine))
    found.check("director.guard_floor", fields.guard_floor(draft.guard_floor))
    vips = _vips(draft, found)
    served = _servers(draft, vips, found)
    if draft.servers:
        for vip in vips:
            if vip not in served:
                found.add("servers", f"No real server serves the VIP {vip}.", "Add one, or remove the VIP.")
    _client(draft, vips, found)
    found.problems.extend(directors_problems(draft, vips))
    found.problems.extend(product_problems(draft))
    found.problems.extend(balancer_problems(draft, vips))
    return found.problems


def deployment_of(draft: Draft) -> Deployment:
    """The draft as a deployment for the engine. Raises UsageError when `problems_of_draft` finds any."""
    problems = problems_of_draft(draft)
    if problems:
        first = problems[0]
        more = f"{len(problems) - 1} more to fix." if len(problems) > 1 else ""
        raise UsageError(f"{first.key}: {first.message}", more, first.hint)
    return with_plain_addresses(msgspec.convert(draft.filled(), Deployment))


MOST_VIPS = 1_000
MOST_SERVERS = 10_000
MOST_PAIRS = 100_000
"""The limit on real servers times their services: the number of destinations in IPVS, and of probes."""


def _too_many(draft: Draft, found: _Found) -> bool:
    """Whether there is more than can be balanced and watched; the rest is then not checked."""
    ports = {vip.address.strip(): len(vip.services) for vip in draft.vips}
    every = sum(len(vip.services) for vip in draft.vips)
    pairs = 0
    for server in draft.servers:
        pairs += every if server.vips is None else sum(ports.get(one.strip(), 0) for one in server.vips)
    for key, what, count, most in (
        ("vips", "VIPs", len(draft.vips), MOST_VIPS),
        ("servers", "real servers", len(draft.servers), MOST_SERVERS),
        ("servers", "pairs of a real server and a service", pairs, MOST_PAIRS),
    ):
        if count > most:
            found.add(
                key, f"There are {count} {what}; at most {most} can be balanced and watched.",
                "Split it into two deployments. They may share servers.",
            )  # fmt: skip
    return bool(found.problems)


class _Found:
    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def check(self, key: str, fault: Refusal | None) -> bool:
        """Records the fault, if there is one. True: the value is valid."""
        if fault is not None:
            self.problems.append(fault.at(key))
        return fault is None

    def add(self, key: str, message: str, hint: str) -> None:
        self.problems.append(Problem(key=key, message=message, hint=hint))


def _vips(draft: Draft, found: _Found) -> dict[Address, DraftVip]:
    """Checks the VIPs and returns the valid ones, each once, in order."""
    vips: dict[Address, DraftVip] = {}
    if not draft.vips:
        found.add("vips", "There is no VIP.", "Add one: the address clients use.")
    for number, vip in enumerate(draft.vips):
        key = f"vips[{number}]"
        if found.check(f"{key}.address", fields.vip(vip.address)):
            ip = fields.parsed(vip.address)
            if ip in vips:
                found.add(f"{key}.address", f"The VIP {ip} appears twice.", "Put all its services under one entry.")
            elif ip is not None:
                vips[ip] = vip
        _services(vip, key, found)
    return vips


def _services(vip: DraftVip, key: str, found: _Found) -> None:
    seen: set[tuple[str, int]] = set()
    if not vip.services:
        found.add(f"{key}.services", "This VIP has no service.", "Add one: protocol and port, for example tcp 80.")
    for number, service in enumerate(vip.services):
        here = f"{key}.services[{number}]"
        good = found.check(f"{here}.protocol", fields.protocol(service.protocol))
        good = found.check(f"{here}.port", fields.port(service.port)) and good
        found.check(f"{here}.scheduler", fields.scheduler(service.scheduler))
        found.check(f"{here}.persistence", fields.persistence(service.persistence))
        _asked(service, here, found)
        identity = (service.protocol, int(service.port) if good else 0)
        if good and identity in seen:
            found.add(
                f"{here}.port",
                f"Two services of this VIP use {identity[0]} port {identity[1]}.",
                "Keep one, or give it another protocol or port.",
            )
        seen.add(identity)


def _asked(service: DraftService, here: str, found: _Found) -> None:
    """Checks how a service is asked: the page of HTTP, the probe of UDP."""
    if service.protocol == "tcp":
        found.check(f"{here}.page", fields.page(service.page))
        return  # nothing else is used then, and the wizard shows no field for it; in a file it is refused
    found.check(f"{here}.probe", fields.probe(service.probe))
    if found.check(f"{here}.payload", fields.payload(service.payload)) and service.probe == "dns" and service.payload:
        found.add(
            f"{here}.payload",
            "A DNS probe creates a new query each time, so it has no payload.",
            'Remove payload. Or remove probe = "dns"; then any answer to the payload counts.',
        )


def _servers(draft: Draft, vips: dict[Address, DraftVip], found: _Found) -> set[Address]:
    """Checks the real servers and returns the VIPs that at least one of them serves."""
    names: dict[str, int] = {}
    rips: dict[Address, str] = {}
    served: set[Address] = set()
    if not draft.servers:
        found.add("servers", "There is no real server.", "Add at least one: name and IP address.")
    for number, server in enumerate(draft.servers):
        key = f"servers[{number}]"
        name = server.name.strip()
        if found.check(f"{key}.name", fields.server_name(name)):
            if name.lower() in names:
                found.add(f"{key}.name", f"Two real servers are named {shown(name)}.", "Give each its own name.")
            names.setdefault(name.lower(), number)
        _rips(server, key, vips, rips, found)
        found.check(f"{key}.weight", fields.weight(server.weight))
        found.check(f"{key}.connect", fields.connect(server.connect))
        found.check(f"{key}.user", fields.user(server.user))
        port_good = found.check(f"{key}.port", fields.connection_port(server.port))
        found.check(f"{key}.identity_file", fields.identity_file(server.identity_file))
        found.check(f"{key}.vip_interface", fields.vip_interface(server.vip_interface))
        _windows(server, key, found)
        mine = _vips_of(server, key, vips, found)
        served.update(mine)
        _families(server, key, mine, found)
        if port_good and server.connect == "ssh":
            _ssh_port(server, key, [vips[vip] for vip in mine], found)
    return served


def _rips(
    server: DraftServer, key: str, vips: dict[Address, DraftVip], rips: dict[Address, str], found: _Found
) -> None:
    """Checks the server's own addresses: usable, unique, and not a VIP."""
    good = found.check(f"{key}.address", fields.address(server.address))
    good6 = found.check(f"{key}.address6", fields.address6(server.address6))
    rip = fields.parsed(server.address) if good else None
    rip6 = fields.parsed(server.address6) if good6 else None
    if rip is not None and rip.version == 6 and rip6 is not None:
        found.add(
            f"{key}.address6",
            "The server's address is already IPv6; address6 is for a server whose address is IPv4.",
            "Remove address6, or write the server's IPv4 address as address.",
        )
        rip6 = None
    for field, ip in (("address", rip), ("address6", rip6)):
        if ip is None:
            continue
        if ip in vips:
            found.add(
                f"{key}.{field}",
                f"{ip} is the VIP. All real servers share it, so it cannot be a server's own address.",
                "Write the server's own address (RIP).",
            )
        elif ip in rips:
            found.add(
                f"{key}.{field}", f"{ip} is already the address of {rips[ip]}.", "Give each server its own address."
            )
        else:
            rips[ip] = f"server {shown(server.name.strip())}"


def _vips_of(server: DraftServer, key: str, vips: dict[Address, DraftVip], found: _Found) -> list[Address]:
    """The valid VIPs of this server; reports listed VIPs that do not exist."""
    if server.vips is None:
        return list(vips)
    mine: list[Address] = []
    known = ", ".join(str(vip) for vip in list(vips)[:5])
    if not server.vips:
        found.add(f"{key}.vips", "This server serves no VIP.", "List at least one VIP, or remove vips to serve all.")
    for text in server.vips:
        ip = fields.parsed(text)
        if ip is None or ip not in vips:
            found.add(
                f"{key}.vips",
                f"{shown(text)} is not a VIP of this deployment.",
                f"Write one of its VIPs: {known}." if known else "Define the VIP first.",
            )
        elif ip in mine:
            found.add(f"{key}.vips", f"The VIP {ip} is listed twice.", "List it only once.")
        else:
            mine.append(ip)
    return mine


def _families(server: DraftServer, key: str, mine: list[Address], found: _Found) -> None:
    """Checks address families: the server needs a RIP of the same family as each of its VIPs (ipvsadm(8))."""
    rips = [rip for rip in (fields.parsed(server.address), fields.parsed(server.address6)) if rip is not None]
    if not rips or fields.address6(server.address6) is not None:
        return
    for version, field, example in ((4, "address", "10.0.0.101"), (6, "address6", "fd00::101")):
        lacking = next((vip for vip in mine if vip.version == version), None)
        if lacking is None or any(rip.version == version for rip in rips):
            continue
        others = [str(vip) for vip in mine if vip.version != version]
        listed = ", ".join(f'"{vip}"' for vip in others[:3])
        hint = f'Add {field} = "{example}" with its own IPv{version} address'
        if version == 4:
            hint = f'Write its IPv4 address as address (address = "{example}") and its IPv6 address as address6'
        hint += f", or list vips = [{listed}]." if others else "."
        found.add(f"{key}.{field}", f"This server has no IPv{version} address for the VIP {lacking}.", hint)


def _ssh_port(server: DraftServer, key: str, vips: list[DraftVip], found: _Found) -> None:
    """Checks `port`, the SSH port. 22 is accepted, because SSH itself may be the service."""
    port = fields.whole_number(server.port)
    if port in (None, 22):
        return
    for vip in vips:
        if any(service.protocol == "tcp" and fields.whole_number(service.port) == port for service in vip.services):
            found.add(
                f"{key}.port",
                f"port is the SSH port of this server, but {port} is the port of a service.",
                "Remove port for SSH on 22. The service port needs no entry here: it is the VIP's port.",
            )
            return


def _windows(server: DraftServer, key: str, found: _Found) -> None:
    """Checks the WinRM keys, and keys that cannot be used with it."""
    found.check(f"{key}.winrm", fields.winrm(server.winrm))
    found.check(f"{key}.auth", fields.auth(server.auth))
    found.check(f"{key}.ca_file", fields.ca_file(server.ca_file))
    found.check(f"{key}.dns_name", fields.dns_name(server.dns_name))
    found.check(f"{key}.kerberos_service", fields.kerberos_service(server.kerberos_service))
    found.check(f"{key}.look_seconds", fields.look_seconds(server.look_seconds))
    found.check(f"{key}.system", fields.system(server.system))
    if server.connect == "winrm":
        if server.auth == "basic" and server.winrm == "http":
            found.add(
                f"{key}.auth",
                "Basic over HTTP sends the password in clear text.",
                'Write winrm = "https", or auth = "ntlm", which also encrypts over HTTP.',
            )
        if server.winrm == "http" and server.ca_file.strip():
            found.add(
                f"{key}.ca_file", "HTTP has no certificate to check.", 'Write winrm = "https", or remove ca_file.'
            )
        if server.auth == "kerberos":
            found.check(f"{key}.user", fields.kerberos_user(server.user))
        elif server.kerberos_service:
            found.add(
                f"{key}.kerberos_service",
                "kerberos_service is for Kerberos.",
                'Write auth = "kerberos", or remove kerberos_service.',
            )
        if server.identity_file.strip():
            found.add(f"{key}.identity_file", "identity_file is for SSH.", "Remove it: WinRM uses a password.")
    elif field := _of_winrm(server):
        found.add(f"{key}.{field}", f"{field} is for WinRM.", f'Write connect = "winrm", or remove {field}.')
    if server.system and server.connect != "manual":
        found.add(
            f"{key}.system",
            "system is only for servers that are set up by hand: it selects their runbook.",
            'Remove it: dsrwizard detects the system. Or write connect = "manual".',
        )


def _of_winrm(server: DraftServer) -> str:
    """The first WinRM key that was set, or an empty text."""
    given = {
        "winrm": server.winrm != "https",
        "auth": server.auth != "ntlm",
        "ca_file": bool(server.ca_file.strip()),
        "dns_name": bool(server.dns_name.strip()),
        "kerberos_service": bool(server.kerberos_service),
        "look_seconds": server.look_seconds != "60",
    }
    return next((key for key, there in given.items() if there), "")


def _client(draft: Draft, vips: dict[Address, DraftVip], found: _Found) -> None:
    client = draft.client
    if client is None:
        return
    found.check("client.user", fields.user(client.user))
    found.check("client.port", fields.connection_port(client.port))
    found.check("client.identity_file", fields.identity_file(client.identity_file))
    if not found.check("client.address", fields.address(client.address)):
        return
    ip = fields.parsed(client.address)
    if ip in vips:
        found.add(
            "client.address",
            f"{ip} is the VIP, not a client.",
            "Write the address of a host in the clients' network.",
        )
    for server in draft.servers:
        if ip in (fields.parsed(server.address), fields.parsed(server.address6)):
            found.add(
                "client.address",
                f"{ip} is server {shown(server.name.strip())}: a real server holds the VIP itself.",
                "Write the address of a host that is not a real server.",
            )


def _service_port(deployment: Deployment, server: RealServer, key: str) -> list[Problem]:
    """Checks for a server port that differs from the service's, which direct routing cannot do."""
    if server.service_port is None:
        return []
    listed = None if server.vips is None else {fields.parsed(vip) for vip in server.vips}
    mine = [vip for vip in deployment.vips if listed is None or fields.parsed(vip.address) in listed]
    for vip in mine:
        for service in vip.services:
            if service.port != server.service_port:
                return [
                    Problem(
                        key=key,
                        message=f"service_port {shown(server.service_port)} differs from port {shown(service.port)} of "
                        f"{shown(vip.address)}. {fields.NO_PORT_CHANGE}",
                        hint=f"Remove service_port and let the application listen on {shown(service.port)}.",
                    )
                ]
    return []


def _asked_in_vain(deployment: Deployment) -> list[Problem]:
    """Checks probe settings that do not apply, and empty texts, which a draft treats as none."""
    problems = []
    for number, vip in enumerate(deployment.vips):
        for place, service in enumerate(vip.services):
            key = f"vips[{number}].services[{place}]"
            given = "probe" if service.probe is not None else "payload" if service.payload is not None else ""
            if given and service.protocol == "tcp":
                message = f"{given} is for UDP. For TCP, the handshake is the probe."
                hint = f'Remove {given}, or write protocol = "udp".'
                problems.append(Problem(key=f"{key}.{given}", message=message, hint=hint))
            elif service.page is not None and service.protocol == "udp":
                message, hint = "page is for HTTP, which is TCP.", 'Remove page, or write protocol = "tcp".'
                problems.append(Problem(key=f"{key}.page", message=message, hint=hint))
            elif service.page is not None and service.port not in HTTP_PORTS:
                message = f"page is for HTTP, and port {service.port} is not known for it."
                hint = f"Remove page. HTTP ports: {', '.join(map(str, sorted(HTTP_PORTS)))}."
                problems.append(Problem(key=f"{key}.page", message=message, hint=hint))
            elif service.page == "":
                hint = 'Write a path, for example page = "/large.html", or remove it.'
                problems.append(Problem(key=f"{key}.page", message="The page is empty.", hint=hint))
            elif service.payload == "":
                hint = 'Write what to send, for example payload = "ping", or remove it.'
                problems.append(Problem(key=f"{key}.payload", message="The payload is empty.", hint=hint))
    return problems


def _spaces(value: object, key: str) -> list[Problem]:
    """Checks for spaces around texts in a file: they would end up in commands."""
    if isinstance(value, dict):
        return [p for name, inner in value.items() for p in _spaces(inner, f"{key}.{name}" if key else str(name))]
    if isinstance(value, list | tuple):
        return [p for number, inner in enumerate(value) for p in _spaces(inner, f"{key}[{number}]")]
    if isinstance(value, str) and value != value.strip():
        return [Problem(key=key, message="The text has spaces around it.", hint="Remove them.")]
    return []


def with_plain_addresses(deployment: Deployment) -> Deployment:
    """The same deployment with every address as the kernel writes it. Needs a valid deployment."""
    client = deployment.client
    return msgspec.structs.replace(
        deployment,
        director=_canonical_director(deployment.director),
        vips=tuple(_canonical_vip(vip) for vip in deployment.vips),
        servers=tuple(_canonical_server(server) for server in deployment.servers),
        client=client if client is None else _canonical_client(client),
        balancer=None if deployment.balancer is None else _canonical_balancer(deployment.balancer),
    )


def _one_way(text: str) -> str:
    ip = fields.parsed(text)
    return text if ip is None else str(ip)


def _canonical_director(director: Director) -> Director:
    bgp = director.bgp
    return msgspec.structs.replace(
        director,
        address=_one_way(director.address) if director.address else None,
        peers=tuple(msgspec.structs.replace(peer, address=_one_way(peer.address)) for peer in director.peers),
        bgp=bgp if bgp is None else msgspec.structs.replace(bgp, neighbour=_one_way(bgp.neighbour)),
    )


def _canonical_balancer(balancer: Balancer) -> Balancer:
    return msgspec.structs.replace(balancer, addresses=tuple(_one_way(one) for one in balancer.addresses))


def _canonical_vip(vip: Vip) -> Vip:
    return msgspec.structs.replace(vip, address=_one_way(vip.address))


def _canonical_server(server: RealServer) -> RealServer:
    return msgspec.structs.replace(
        server,
        address=_one_way(server.address),
        address6=_one_way(server.address6) if server.address6 else None,
        vips=None if server.vips is None else tuple(_one_way(vip) for vip in server.vips),
    )


def _canonical_client(client: Client) -> Client:
    return msgspec.structs.replace(client, address=_one_way(client.address))
