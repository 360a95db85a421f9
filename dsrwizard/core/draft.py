"""The deployment while it is being entered: every value as the operator typed it, right or wrong.

A `Draft` is the truth behind the wizard's panes; widgets only edit it. It turns into a `Deployment` when
`validate.problems_of(draft)` is empty.
"""

from __future__ import annotations

import msgspec


class DraftService(msgspec.Struct):
    protocol: str = "tcp"
    port: str = ""
    scheduler: str = "wlc"
    persistence: str = "0"


class DraftVip(msgspec.Struct):
    address: str = ""
    services: list[DraftService] = msgspec.field(default_factory=lambda: [DraftService()])


class DraftServer(msgspec.Struct):
    name: str = ""
    address: str = ""
    address6: str = ""
    weight: str = "1"
    connect: str = "ssh"
    user: str = ""
    port: str = ""
    identity_file: str = ""
    vip_interface: str = "lo"
    vips: list[str] | None = None


class DraftClient(msgspec.Struct):
    address: str = ""
    user: str = ""
    port: str = ""
    identity_file: str = ""


class Draft(msgspec.Struct):
    name: str = "dsr"
    interface: str = ""
    engine: str = "netlink"
    vips: list[DraftVip] = msgspec.field(default_factory=lambda: [DraftVip()])
    servers: list[DraftServer] = msgspec.field(default_factory=list)
    client: DraftClient | None = None
