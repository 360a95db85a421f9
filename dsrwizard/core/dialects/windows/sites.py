"""What IIS and http.sys lack to serve a VIP: bindings, a listen address, a certificate. Pure.

http.sys takes `*` bindings on every address of its listen list, an empty list being all addresses; certificates are
kept per address and port (Microsoft, "Netsh commands for HTTP").
"""

from __future__ import annotations

import re

from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.changes import WindowsItem
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.windows_facts import Site, SiteBinding, WindowsFacts

SNI, CENTRAL_STORE = 1, 2
FORBIDDEN = "\"'[]/%,"
"""Characters of a site name that appcmd would take for its own."""
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
    return [] if addresses & {"*", str(vip.ip)} else found


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
    if serving(facts, service) and facts.listen_list and str(vip.ip) not in facts.listen_list:
        wanted.append(("listen-address", str(vip.ip), "present"))
    return wanted


def _certificate(facts: WindowsFacts, address: str, vip: Vip, port: int) -> list[MissingItem]:
    known = facts.certificates or {}
    own = f"{written(vip)}:{port}"
    if own in known or f"0.0.0.0:{port}" in known:
        return []
    source = known.get(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
    return [("certificate", own, source)] if source else []
