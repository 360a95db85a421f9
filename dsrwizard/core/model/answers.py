"""The answers from the network: pings, TCP connects, ARP audits and VIP probes, as plain values."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.shown import Shown


class _Answer(Shown, frozen=True):
    pass


class Ping(_Answer, frozen=True, kw_only=True):
    """`milliseconds` None: no answer. `problem`: it could not be sent."""

    address: str
    milliseconds: float | None = None
    problem: str = ""


class Connected(_Answer, frozen=True, kw_only=True):
    """A TCP connect. `result`: open, refused, silent (timed out), unreachable (ICMP or no route), unknown."""

    address: str
    port: int
    result: Literal["open", "refused", "silent", "unreachable", "unknown"]
    milliseconds: float | None = None
    problem: str = ""


class Told(_Answer, frozen=True, kw_only=True):
    """A frame that says an address is at `mac`, but came from another MAC, `by` (its Ethernet source).

    Proxies, bridges and access points may send such frames, and forgers do. `answer`: it answered our question.
    """

    mac: str
    by: str
    answer: bool = False


class Owners(_Answer, frozen=True, kw_only=True):
    """Who answered who-has (IPv6: neighbour solicitation) for an address; this machine's own MACs are left out.

    `macs`: those that answered for themselves, in order of answer: the frame came from the MAC that it names.
    `problem`: it could not be asked (no privilege, no such interface); then `macs` means nothing.
    """

    address: str
    macs: tuple[str, ...] = ()
    problem: str = ""
    claims: tuple[str, ...] = ()
    """MACs, not ours, that named the address as their own without being asked (gratuitous ARP, ARP requests with the
    address as sender; IPv6 likewise) while we listened."""
    told: tuple[Told, ...] = ()
    """What other MACs said of it, asked or not."""

    @property
    def where(self) -> tuple[str, ...]:
        """The MACs to send to: those that answered for themselves; only where there are none, those that others named
        in an answer."""
        return self.macs or tuple(dict.fromkeys(told.mac for told in self.told if told.answer))


class Claim(_Answer, frozen=True, kw_only=True):
    """A frame in which a MAC that is not ours named an address as its own, heard `at` (seconds since the epoch).

    `kind`: `reply`, `request` and `gratuitous` are ARP (a request claims its sender's address: that is how
    `arp_announce=0` steals a VIP; gratuitous is what asks or answers nobody in particular); `advertisement` and
    `solicitation` are IPv6, the latter also where somebody asks whether the address is still free. `by`: the MAC the
    frame came from (its Ethernet source), where that is another than the one it names; otherwise empty.
    """

    at: float
    address: str
    mac: str
    by: str = ""
    kind: Literal["reply", "request", "gratuitous", "advertisement", "solicitation"]


class Sent(_Answer, frozen=True, kw_only=True):
    """A client-like SYN that left for one real server's MAC; no answer to it comes here.

    `source` and `source_port` are what the real server took for the client. `problem`: it was not sent.
    """

    rip: str
    vip: str
    port: int
    source: str = ""
    source_port: int = 0
    mac: str = ""
    problem: str = ""


class Talked(_Answer, frozen=True, kw_only=True):
    """A short TCP conversation with a VIP through one real server: what its application said first.

    `asked`: the words of the protocol it was asked in (`HTTP`), empty: it was waited for a greeting. `result`:
    `answered` (a byte came), `closed` and `reset` (it ended the connection before one), `hung` (it took the connection,
    and nothing came), `unopened` (no connection), `unknown` (nothing could be sent, see `problem`). `tries`: how many
    conversations ended so, the last after `waited` seconds. `milliseconds`: from the request to the first byte.

    `size`: bytes of the largest frame sent to it, without the Ethernet header, 0 where none was; `large`: whether that
    arrived, None where it was not tried.
    """

    rip: str
    vip: str
    port: int
    mac: str = ""
    asked: str = ""
    result: Literal["answered", "closed", "reset", "hung", "unopened", "unknown"]
    milliseconds: float | None = None
    waited: float = 0.0
    tries: int = 1
    size: int = 0
    large: bool | None = None
    problem: str = ""


class Sized(_Answer, frozen=True, kw_only=True):
    """Echoes of full size to a RIP that answers small ones: `size` bytes without the Ethernet header, not fragmented.
    `lost`: how many tries stayed without an answer; the last was `answered` or not."""

    rip: str
    size: int
    answered: bool
    lost: int = 0


class Probed(_Answer, frozen=True, kw_only=True, gc=False):
    """A packet to the VIP framed to one real server's MAC, and the answer (field guide, section 2).

    `signature`: `syn-ack` and `reply` (UDP) are good when `answered_by` is the server's MAC; `rst` and
    `port-unreachable`: the VIP is there, nobody listens on it; `silence`; `redirect`: the VIP is missing and the server
    forwards; `unreachable`: another ICMP error; `wrong-source`: a UDP reply that does not come from the VIP;
    `wrong-reply`: one from the VIP that is no answer to what was asked (not DNS, not the bytes sent, see `detail`);
    `no-mac`: the RIP has no MAC on this link; `unknown`: it could not be sent, see `problem`.
    """

    vip: str
    port: int
    protocol: Literal["tcp", "udp"]
    rip: str
    mac: str = ""
    signature: Literal[
        "syn-ack", "reply", "rst", "port-unreachable", "silence", "redirect", "unreachable", "wrong-source",
        "wrong-reply", "no-mac", "unknown",
    ]  # fmt: skip
    answered_by: str = ""
    source: str = ""
    milliseconds: float | None = None
    problem: str = ""
    detail: str = ""
    """What an ICMP answer said, in words (`administratively prohibited`), where a redirect points, or what a reply is
    not."""
    strays: int = 0
    """Answers of this VIP and port from `mac`, meanwhile, that fit no question. Many: somebody forges answers."""

    @property
    def good(self) -> bool:
        """The VIP answered through this very server."""
        return self.signature in ("syn-ack", "reply") and self.answered_by == self.mac


class Arrival(_Answer, frozen=True, kw_only=True):
    """The first packet of a connection to a VIP (TCP: a SYN) that came in on an interface of the director.

    `source` is the Ethernet source of its frame: the router's or, on the link, the client's MAC. `interface` is the one
    it came in on.
    """

    protocol: Literal["tcp", "udp"] = "tcp"
    client: str
    client_port: int
    vip: str
    port: int
    source: str = ""
    interface: str = ""


class Arrivals(_Answer, frozen=True, kw_only=True):
    """What came in while the client host made its connections. `problem`: nobody could listen; then `seen` means
    nothing. `cut`: more came than could be kept, so that a missing one proves nothing."""

    seen: tuple[Arrival, ...] = ()
    problem: str = ""
    cut: bool = False
