"""The second director of the director step: its fields, and what it means for clients to have one or two."""

from __future__ import annotations

from collections.abc import Iterator

from textual.app import ComposeResult
from textual.containers import Vertical

from dsrwizard.core.intake.draft import Draft, DraftPeer
from dsrwizard.core.model.deployment import IN_KERNEL, SHARED_SCHEDULER
from screens.widgets.field import TextField
from screens.wizard import field_texts

FIELDS = (
    ("name", field_texts.PEER_NAME, 30),
    ("address", field_texts.PEER_ADDRESS, 41),
    ("interface", field_texts.PEER_INTERFACE, 20),
    ("user", field_texts.USER, 30),
    ("port", field_texts.SSH_PORT, 9),
    ("identity_file", field_texts.IDENTITY, 50),
)


class SecondDirector(Vertical):
    """The fields of the other director; nothing while there is none. Keeps what was typed when it goes and comes
    back."""

    DEFAULT_CSS = """
    SecondDirector { height: auto; }
    """

    def __init__(self, draft: Draft) -> None:
        super().__init__(id="second")
        self._draft = draft
        self._aside: list[DraftPeer] = []
        self._shown = False

    def compose(self) -> ComposeResult:
        self._shown = self._wanted
        if self._shown:
            for attribute, text, width in FIELDS:
                key = f"director.peers[0].{attribute}"
                yield TextField(text, key, self._draft.peers[0], attribute, width=width)

    @property
    def _wanted(self) -> bool:
        return self._draft.engine == "keepalived" and self._draft.bgp is None and len(self._draft.peers) == 1

    async def follow(self) -> None:
        """Brings the draft's other directors and the fields in line with the engine that was chosen."""
        draft = self._draft
        if draft.engine == "keepalived":
            draft.peers = draft.peers or self._aside or [DraftPeer(name="lb2")]
        elif draft.peers and (draft.engine not in IN_KERNEL or draft.bgp is None):
            self._aside, draft.peers = draft.peers, []
        if self._wanted != self._shown:
            await self.recompose()


def consequences(draft: Draft) -> Iterator[tuple[bool, str]]:
    """What the choice means for clients, in sentences: (whether it is good news, sentence)."""
    if draft.engine not in IN_KERNEL:
        return
    if draft.bgp is not None:
        count = len(draft.peers) + 1
        yield True, f"{count} director{'s share' if count > 1 else ' announces'} the VIPs by BGP, as the file says."
        return
    if not draft.peers:
        yield False, "One director: while it is down or restarts, nobody is served."
        return
    # VRRP's Master_Down_Interval for the priority of 100 (RFC 5798 6.1): three adverts and 156/256 of one.
    advert = float(draft.vrrp.advert_seconds) if draft.vrrp is not None and _number(draft.vrrp.advert_seconds) else 0.1
    yield (
        True,
        (
            "Two directors: when one dies, the other takes the VIPs over in about "
            f"{3.6 * advert:.1f} s, and connections stay."
        ),
    )
    others = [
        f"{vip.address.strip()} {service.protocol}/{service.port.strip()} ({service.scheduler})"
        for vip in draft.vips
        for service in vip.services
        if service.port.strip()
        and (service.scheduler != SHARED_SCHEDULER or service.persistence.strip() not in ("", "0"))
    ]
    if others:
        yield (
            False,
            (
                f"The other director must be told of each connection to {', '.join(others)}. With the scheduler "
                f"{SHARED_SCHEDULER} and no persistence it need not be."
            ),
        )


def _number(text: str) -> bool:
    try:
        return float(text) > 0
    except ValueError:
        return False
