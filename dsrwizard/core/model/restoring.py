"""What is kept of a director over its reboot: the file that `dsrwizard restore` reads, and what is known of it.

The file is written from the kernel's own table, so weights are in it as they were last set. It is root's, lies below
/var/lib, and needs no journal, no network and nobody's home to be read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from dsrwizard.core.model.changes import DestinationState, FileState, ServiceKey, ServiceState
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.shown import Shown

VERSION = 1
FOLDER = "/var/lib/dsrwizard"
MAX_BYTES = 64_000_000


def saved_path(deployment: str) -> str:
    """Where the file of a deployment lies."""
    return f"{FOLDER}/{deployment}.json"


class SavedDestination(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    port: int
    state: DestinationState


class SavedService(msgspec.Struct, frozen=True, kw_only=True):
    key: ServiceKey
    state: ServiceState
    destinations: tuple[SavedDestination, ...]


class SavedVip(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    prefix: int


class SavedDirector(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a boot needs. `settings`: kernel settings by their dotted keys; `rips`: addresses of the real
    servers, by which one that answers for the VIP is told from another director."""

    version: int
    deployment: str
    interface: str
    vips: tuple[SavedVip, ...]
    settings: dict[str, str]
    services: tuple[SavedService, ...]
    rips: tuple[str, ...]


def written(saved: SavedDirector) -> bytes:
    """The file's bytes."""
    return msgspec.json.format(msgspec.json.encode(saved), indent=1) + b"\n"


def read(content: bytes, deployment: str) -> SavedDirector:
    """What the file says. Raises UsageError with a sentence for what is wrong with it: empty or cut off, damaged, of a
    newer version, of another deployment."""
    path = saved_path(deployment)
    again = "Run `dsrwizard apply` on this director; it writes the file anew."
    if not content.strip(b"\0 \n"):
        raise UsageError(f"{path} is empty.", "A power cut may have interrupted the writing.", again)
    try:
        head = msgspec.json.decode(content, type=_Head)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        cut = not content.rstrip().endswith(b"}")
        what = f"{path} is cut off." if cut else f"{path} is damaged."
        raise UsageError(what, f"It cannot be read: {error}.", again) from None
    if head.version > VERSION:
        raise UsageError(
            f"{path} was written by a newer version of dsrwizard.",
            f"It has format {head.version}; this version reads up to format {VERSION}.",
            "Run the newer version here, or run `dsrwizard apply` with this one.",
        )
    try:
        saved = msgspec.json.decode(content, type=SavedDirector)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is damaged.", f"It cannot be read: {error}.", again) from None
    if saved.deployment != deployment:
        raise UsageError(
            f"{path} is not of this deployment.", f"It was written for the deployment {saved.deployment}.", again
        )
    return saved


class _Head(msgspec.Struct, frozen=True):
    version: int


def older(saved: SavedDirector, now: SavedDirector) -> str:
    """What the kernel has that the file has not, or not so, as words; empty where the file is up to date. What the
    kernel has lost since makes the file no older: it is there to bring that back."""
    before = {one.key: one for one in saved.services}
    for service in now.services:
        label = f"{service.key.address} {service.key.protocol}/{service.key.port}"
        had = before.get(service.key)
        if had is None:
            return f"the service {label} is not in it"
        if had.state != service.state:
            return f"the service {label} is set otherwise in it"
        there = {(one.address, one.port): one.state for one in had.destinations}
        for one in service.destinations:
            state = there.get((one.address, one.port))
            if state is None:
                return f"{one.address} of {label} is not in it"
            if state.weight != one.state.weight:
                return f"{one.address} of {label} has weight {one.state.weight} and in it {state.weight}"
            if state != one.state:
                return f"{one.address} of {label} is set otherwise in it"
    for vip in now.vips:
        if vip not in saved.vips:
            return f"the VIP {vip.address} is not in it"
    return "" if saved.interface == now.interface else f"it is for the interface {saved.interface}"


SavedState = Literal["current", "older", "missing", "unreadable", "unknown"]
"""Of the file that a boot reads, beside the table in the kernel; unknown: nobody may read it."""


class DirectorBoot(Shown, frozen=True, kw_only=True):
    """What of a deployment a boot of this director brings back, as far as it was looked at.

    `program`: what a unit has to run for it, as words. `program_gone`: the program that the unit names, where it is not
    there. `files`: those that a step may write, None where there is none. `networkd`: the name of the .network file
    that governs the director's interface, empty where networkd does not; `keeps`: which addresses it has
    networkd leave alone. `by_hand`: files of this machine, beside units, that run `dsrwizard restore` for the
    deployment at boot.
    """

    systemd: bool = False
    init: bool = False
    """OpenRC or the init of System V runs this machine."""
    writable: bool = True
    """Units may be written: by root, and not by a user with the two capabilities that the rest needs."""
    program: tuple[str, ...] = ()
    program_gone: str = ""
    files: dict[str, FileState | None] = {}
    networkd: str = ""
    keeps: Literal["", "static", "yes"] = ""
    networkmanager: bool = False
    ifupdown: bool = False
    saved: SavedState = "unknown"
    saved_problem: str = ""
    by_hand: tuple[str, ...] = ()
