"""The file in which a guard says what it does, for everybody else on this machine: written each round, read by looks.

It is in /run: a boot brings the table back as the operator left it, and the guard proves every destination anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import msgspec

from dsrwizard import files
from dsrwizard.core.model.errors import CommandFailed, Locked
from dsrwizard.core.model.facts import VirtualService
from dsrwizard.core.model.guarding import FOLDER, VERSION, GuardState, state_path

_LARGEST = 10_000_000
_decoder = msgspec.json.Decoder(GuardState)


def read(deployment: str, folder: Path = FOLDER) -> GuardState | None:
    """What the guard of a deployment wrote last. None: there was none since the last boot, or nobody here may read
    it. A file that is damaged or from a newer version says nothing either."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        state = _decoder.decode(files.read(state_path(deployment, folder), _LARGEST))
        if state.deployment == deployment and state.version <= VERSION:
            return state
    return None


def write(state: GuardState, folder: Path = FOLDER) -> None:
    """Raises OSError."""
    files.replace(state_path(state.deployment, folder), msgspec.json.encode(state) + b"\n")


@contextmanager
def alone(deployment: str, folder: Path = FOLDER) -> Iterator[None]:
    """For as long as the block runs there is no other guard of this deployment on this machine. Raises Locked, and
    CommandFailed where nothing can be written there."""
    path = folder / f"guard-{deployment}.lock"
    try:
        descriptor = files.opened(path, os.O_RDWR)
    except OSError as problem:
        raise CommandFailed(
            f"{path} cannot be written: {problem.strerror}.", "A guard says there that it is at work.",
            "Run it as root, or give it a folder there with RuntimeDirectory=dsrwizard in its unit.",
        ) from problem  # fmt: skip
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            state = read(deployment, folder)
            who = f" (pid {state.pid})" if state is not None else ""
            raise Locked(
                f"A guard of {deployment} is running on this machine{who}.", "Two would fight over the same weights.",
                "Stop it first, or leave it to its work.",
            ) from None  # fmt: skip
        yield
    finally:
        os.close(descriptor)


def without_guard(services: Sequence[VirtualService], state: GuardState | None) -> tuple[VirtualService, ...]:
    """The table with the weights that destinations have when no guard holds them out: what a boot is to bring back."""
    if state is None or not state.held:
        return tuple(services)
    weights = {
        (ip_address(held.place.vip), held.place.service, ip_address(held.rip)): held.weight
        for held in state.held
        if held.rip
    }
    found = []
    for service in services:
        label = f"{service.key.protocol}/{service.key.port}"
        vip = ip_address(service.key.address)
        destinations = []
        for one in service.destinations:
            weight = weights.get((vip, label, ip_address(one.address)), 0)
            if weight and not one.state.weight and one.port == service.key.port:
                state_now = msgspec.structs.replace(one.state, weight=weight)
                destinations.append(msgspec.structs.replace(one, state=state_now))
            else:
                destinations.append(one)
        found.append(msgspec.structs.replace(service, destinations=tuple(destinations)))
    return tuple(found)
