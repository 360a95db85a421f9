"""Values in a Windows host's answer, each taken only as what it can be there; anything else raises ValueError.

What is merely odd is taken: IIS allows nearly every sign in a site's name, people name adapters in any script, and a
registry that was edited by hand may hold anything.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from dsrwizard.core.model.foreign import harmless, one_line
from dsrwizard.core.model.values import Impossible, address

Number = Annotated[int, msgspec.Meta(ge=0, le=0xFFFF_FFFF)]
"""A number of 32 bits (DWORD)."""
Port = Annotated[int, msgspec.Meta(ge=1, le=65_535)]
Signed = Annotated[int, msgspec.Meta(ge=-(1 << 31), le=0xFFFF_FFFF)]
"""A number of 32 bits, of whatever sign."""
NAME = 300
"""Characters of a name that is shown; an adapter's has 255 at most."""
SAID = 1_000
"""Characters of a sentence that a host says."""
LIST = 100_000
"""Characters of a list of ports or addresses in a firewall rule."""
_GUID = re.compile(r"\{[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){0,31}")
_HASH = re.compile(r"([0-9A-Fa-f]{2}){1,64}")
_DIGITS = re.compile(r"[0-9]{1,10}")


def guid(text: str) -> str:
    """A GUID in braces; empty where an interface has none."""
    if text and not _GUID.fullmatch(text):
        raise Impossible("GUID", text)
    return text


def mac(text: str) -> str:
    """A link-layer address of whatever length, in small letters; empty where there is none, as for tunnels, or none
    that is known."""
    return text.lower() if _MAC.fullmatch(text.lower()) else ""


def adapter(text: str) -> str:
    """The name of a network connection. Windows allows no `|` and no quote in it, and commands rely on that."""
    if '"' in text or "|" in text:
        raise Impossible("adapter name", text)
    return one_line(text, NAME)


def number(text: str) -> int:
    """What a text says as a number of 32 bits; 0 where it says none."""
    return int(text) if _DIGITS.fullmatch(text) else 0


def http_endpoint(text: str) -> str:
    """`address:port` as http.sys writes it, with the address in one spelling; anything else as it is, harmless."""
    place, _, port = text.rpartition(":")
    try:
        found = address(place.removeprefix("[").removesuffix("]"))
    except Impossible:
        return one_line(text, NAME)
    return f"[{found}]:{one_line(port, 40)}" if ":" in found else f"{found}:{one_line(port, 40)}"


def certificate(thumbprint: str, application: str, store: str) -> str:
    """Hash, application and store as one text, to be copied to another address; empty where nothing can be copied: an
    entry without a hash leaves the choice to the central store. A store's name may hold blanks; without one it is MY
    (HTTP_SERVICE_CONFIG_SSL_PARAM)."""
    usable = _HASH.fullmatch(thumbprint) and _GUID.fullmatch(application) and len(store) <= NAME
    if not usable or not harmless(store) or '"' in store:
        return ""
    return f"{thumbprint} {application} {store or 'MY'}"


def sentence(text: str) -> str:
    """What a host said, on one line and harmless."""
    return one_line(" ".join(text.split()), SAID)
