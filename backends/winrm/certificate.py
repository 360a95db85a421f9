"""What a certificate says of itself, which anybody may have written and which may not be what it should be."""

from __future__ import annotations

import contextlib
from ipaddress import ip_address

from cryptography import x509
from cryptography.x509.oid import NameOID


def day(found: x509.Certificate, which: str) -> str:
    """`not_valid_before_utc` or `not_valid_after_utc`, as a date."""
    try:
        return f"{getattr(found, which):%Y-%m-%d}"
    except Exception:  # noqa: BLE001 - whatever a parser makes of foreign bytes
        return "a day that cannot be read"


def common_name(found: x509.Certificate, whose: str) -> list[str]:
    """The common name of `issuer` or `subject`, or all of it; nothing where it cannot be read."""
    try:
        name: x509.Name = getattr(found, whose)
        common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
        return [str(common[0].value) if common else name.rfc4514_string()]
    except Exception:  # noqa: BLE001 - whatever a parser makes of foreign bytes
        return []


def alternatives(found: x509.Certificate) -> tuple[list[str], list[str]]:
    """DNS names and IP addresses."""
    with contextlib.suppress(Exception):
        extension = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = list(extension.get_values_for_type(x509.DNSName))
        return names, [str(address) for address in extension.get_values_for_type(x509.IPAddress)]
    return [], []


def names_of(found: x509.Certificate) -> list[str]:
    """Its DNS names and addresses, or else its common name."""
    names, addresses = alternatives(found)
    return [*names, *addresses] or [name for name in common_name(found, "subject") if name]


def is_for(found: x509.Certificate, address: str) -> bool:
    """Whether it names this host. What is let through here is looked at once more by each connection."""
    names, addresses = alternatives(found)
    try:
        return ip_address(address) in [ip_address(one) for one in addresses]
    except ValueError:
        own, _, domain = address.lower().partition(".")
        return any(name.lower() in (f"{own}.{domain}", f"*.{domain}", address.lower()) for name in names)
