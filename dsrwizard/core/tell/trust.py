"""The text of the question whether to trust a host's key or certificate. Pure.

Host, address, kind and reason come from elsewhere, a certificate's names from whoever answers. Each of their rows
begins with a label of ours or with its indent, and a bar. The fingerprint, which was worked out here, has no bar, and
comes first: nothing else can stand in its place. The command to compare it with is one of ours.
"""

from __future__ import annotations

from collections.abc import Iterator

from dsrwizard.core.model.foreign import rows
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.ports import SHOW_CERTIFICATES, HostKeyQuestion

_LABELS = 12
_MOST = 3
"""Rows of one value: more would push the fingerprint out of sight."""


def identity_rows(question: HostKeyQuestion, width: int) -> Iterator[str]:
    """What is known of who shows it, in rows of at most `width` cells (40 or more) that nothing need wrap."""
    kind = "Calls itself" if question.untrusted else "Key type"
    known = (("Host", question.host), ("Address", question.address), (kind, question.key_type),
             ("Not trusted", question.untrusted))  # fmt: skip
    for label, text in known:
        for number, row in enumerate(rows(text, width - _LABELS - 4, _MOST) if text else ()):
            yield f"  {'' if number else label:<{_LABELS}}| {row}"


IN_DNS: dict[DnsSays | None, str] = {
    "signed": "the same key, signed by DNSSEC",
    "unsigned": "the same key, not signed by DNSSEC: compare it",
    "weak": "the same key, by SHA-1 only: compare it",
    "differs": "ANOTHER KEY: this may be an impostor",
}
"""What DNS says of a key, in at most 50 cells; nothing where it says nothing."""


def dns_rows(says: DnsSays | None) -> Iterator[str]:
    """The row for what DNS says of a key, like those of `identity_rows`; none where it says nothing."""
    if says in IN_DNS:
        yield f"  {'In DNS':<{_LABELS}}| {IN_DNS[says]}"


def silence(count: int) -> str:
    """The line for hosts of which DNS said nothing usable."""
    return f"DNS gave no usable answer about {count} of these hosts." if count > 1 else "DNS gave no usable answer."


def compared_with(question: HostKeyQuestion) -> str:
    """What a certificate's fingerprint is to be compared with, in two lines."""
    kind = "PowerShell command" if question.certificate_of == "windows" else "command"
    where = "a machine beside it that you trust" if question.certificate_of == "barracuda" else "the server itself"
    return f"the output of this {kind} on {where}:\n  {SHOW_CERTIFICATES[question.certificate_of]}"
