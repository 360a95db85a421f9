"""What IIS and http.sys lack to serve a VIP: bindings, a listen address, a certificate. Pure.

http.sys takes `*` bindings on every address of its listen list, an empty list being all addresses; certificates are
kept per address and port (Microsoft, "Netsh commands for HTTP").
"""

from __future__ import annotations

import re

from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.changes import WindowsItem
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.values import Impossible, parsed
from dsrwizard.core.model.windows_facts import Site, SiteBinding, WindowsFacts

SNI, CENTRAL_STORE = 1, 2
FORBIDDEN = "\"'[]/%,"
"""Characters of a site name that appcmd would take for its own."""
HTTP_STARTS = "http.sys may read its listen list only when it starts: if the VIP stays silent, restart the server"
"""For whoever changes the list (Microsoft, "Netsh commands for HTTP"; a public report says the opposite)."""
_HOST = re.compile(r"[\w.*-]*")
"""A binding's host name that can stand among appcmd's quotes and brackets."""

MissingItem = tuple[WindowsItem, str, str]
"""Item, key and value of a change."""


def binding_endpoint(binding: SiteBinding) -> tuple[str, int, str]:
    """`address:port:host` taken apart; the address without brackets, `*` for all; port 0 where there is none."""
    head, _, host = binding.information.rpartition(":")
    address, _, port = head.rpartition(":")
    address = address.strip("[]") or "*"
    return address, values.number(port), host


def on_every_address(binding_address: str, vip: Vip) -> bool:
    """Whether a binding's address is all addresses, or all of the VIP's family."""
    return binding_address in ("*", _anywhere(vip))


def listed(facts: WindowsFacts, vip: Vip) -> bool:
    """Whether http.sys listens on the VIP by its listen list; an empty list is all addresses, and so is 0.0.0.0 or ::
    in it for their family. One that could not be read leaves nothing out."""
    return not facts.listen_list or bool({str(vip.ip), _anywhere(vip)} & set(facts.listen_list))


def _anywhere(vip: Vip) -> str:
    return "0.0.0.0" if vip.ip.version == 4 else "::"


def typeable(site: Site, binding: SiteBinding) -> bool:
    """Whether appcmd can be told to add a binding like this one to the site."""
    return not set(site.name) & set(FORBIDDEN) and bool(_HOST.fullmatch(binding_endpoint(binding)[2]))


def binding_key(site: str, protocol: str, information: str) -> str:
    """What a change of a site's binding is about. The bar that parts it may stand in each of them."""
    return "|".join(part.replace("%", "%25").replace("|", "%7C") for part in (site, protocol, information))


def parts_of(key: str) -> tuple[str, str, str]:
    """Site, protocol and information of such a key."""
    parts = [part.replace("%7C", "|").replace("%25", "%") for part in key.split("|")]
    site, protocol, information = (*parts, "", "")[:3]
    return site, protocol, information


def written(vip: Vip) -> str:
    """The VIP as it stands in a binding."""
    return f"[{vip.ip}]" if vip.ip.version == 6 else str(vip.ip)


def serving(facts: WindowsFacts, service: Service) -> list[tuple[Site, SiteBinding]]:
    """Every started site's binding on this service's port."""
    if service.protocol != "tcp":
        return []
    return [
        (site, binding)
        for site in facts.sites or ()
        if site.started
        for binding in site.bindings
        if binding.protocol in ("http", "https") and binding_endpoint(binding)[1] == service.port
    ]


def left_out(facts: WindowsFacts, vip: Vip, service: Service) -> list[tuple[Site, SiteBinding]]:
    """Bindings on the port, when all of them name single addresses and none names the VIP; otherwise empty."""
    found = serving(facts, service)
    addresses = {binding_endpoint(binding)[0] for _, binding in found}
    served = any(on_every_address(one, vip) or _same(one, vip) for one in addresses)
    return [] if served else found


def _same(address: str, vip: Vip) -> bool:
    try:
        return parsed(address) == vip.ip
    except Impossible:
        return False


def missing(facts: WindowsFacts, vip: Vip, service: Service) -> list[MissingItem]:
    """Everything IIS and http.sys need so that the VIP is served as the other addresses are."""
    wanted: list[MissingItem] = []
    for site, binding in left_out(facts, vip, service):
        if not typeable(site, binding):
            continue
        address, port, host = binding_endpoint(binding)
        information = f"{written(vip)}:{port}:{host}"
        key: MissingItem = ("site-binding", binding_key(site.name, binding.protocol, information), "present")
        if key not in wanted:
            wanted.append(key)
        if binding.protocol == "https" and not binding.ssl_flags & (SNI | CENTRAL_STORE):
            wanted += _certificate(facts, address, vip, port)
    if serving(facts, service) and not listed(facts, vip):
        wanted.append(("listen-address", str(vip.ip), "present"))
    return wanted


def _certificate(facts: WindowsFacts, address: str, vip: Vip, port: int) -> list[MissingItem]:
    known = facts.certificates or {}
    own = f"{written(vip)}:{port}"
    if covering(facts, vip, port):
        return []
    source = known.get(source_of(address, port))
    return [("certificate", own, source)] if source else []


def source_of(address: str, port: int) -> str:
    """The key of the certificate that a binding on this address uses."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def covering(facts: WindowsFacts, vip: Vip, port: int) -> bool:
    """Whether http.sys has a certificate for the VIP's port: its own, or one for all addresses."""
    known = facts.certificates or {}
    return any(one in known for one in (f"{written(vip)}:{port}", f"0.0.0.0:{port}", f"[::]:{port}"))


def unlike(facts: WindowsFacts, vip: Vip, service: Service) -> list[str]:
    """What the certificates that the VIP's are copied from have set beside, which a copy has not: key and words."""
    found = []
    for item, key, _ in missing(facts, vip, service):
        if item != "certificate":
            continue
        for _, binding in left_out(facts, vip, service):
            source = source_of(*binding_endpoint(binding)[:2])
            more = facts.certificate_settings.get(source)
            if more is not None and more.told and source != key:
                found.append(f"{source} ({', '.join(more.told)})")
    return list(dict.fromkeys(found))
