"""IIS' sites in the XML that `appcmd list site /config /xml` writes."""

from __future__ import annotations

import re
from xml.etree.ElementTree import ParseError, XMLParser

from dsrwizard.core.model import windows_values as values
from dsrwizard.core.model.windows_facts import Site, SiteBinding

_DEEPEST = 50
MOST = 20_000
"""Sites and bindings together."""
_PIECE = 65_536
"""Characters at a time: what is wrong stops the parser at the end of a piece."""
_LONG_TAG = re.compile(r"<[^<>]{16384}")


class _Sites:
    """Takes the parser's events and keeps what is of interest; no tree is made, so size does not matter."""

    def __init__(self) -> None:
        self._depth = self._kept = 0
        self.found: list[Site] = []
        self._site: dict[str, str] | None = None
        self._bindings: list[SiteBinding] = []

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._kept += tag in ("SITE", "binding")
        if self._depth > _DEEPEST or self._kept > MOST:
            raise ParseError("deeper or larger than any configuration")
        if tag == "SITE":
            self._site, self._bindings = attributes, []
        elif tag == "binding" and self._site is not None:
            self._bindings.append(
                SiteBinding(
                    protocol=attributes.get("protocol", ""),
                    information=attributes.get("bindingInformation", ""),
                    certificate=attributes.get("certificateHash", ""),
                    store=attributes.get("certificateStoreName", ""),
                    ssl_flags=values.number(attributes.get("sslFlags", "0")),
                )
            )

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag == "SITE" and self._site is not None:
            name, state = self._site.get("SITE.NAME", ""), self._site.get("state", "")
            self.found.append(Site(name=name, started=state != "Stopped", bindings=tuple(self._bindings)))
            self._site = None

    def close(self) -> None:
        pass


def sites(text: str) -> tuple[Site, ...] | None:
    """The sites; None where it is no such XML, empty where there is no IIS."""
    if not text.strip():
        return ()
    # appcmd writes no declarations; entities are how XML is made to explode.
    if "<!" in text or _LONG_TAG.search(text):
        return None
    kept = _Sites()
    parser = XMLParser(target=kept)  # noqa: S314 - without declarations there is nothing to expand
    try:
        for at in range(0, len(text), _PIECE):
            parser.feed(text[at : at + _PIECE])
        parser.close()
    except (ParseError, ValueError):
        return None
    return tuple(kept.found)
