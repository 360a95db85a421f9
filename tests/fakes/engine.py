"""The real engine over the fake world, and an app on it: what the screens' tests press keys on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import ConnectTimeout
from dsrwizard.core.ports import Asker, OpenConnector, ServerPort
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.silent_asker import Quiet
from tests.fakes.world import World


def engine_of(
    world: World,
    asker: Asker,
    journals: Path,
    events: Path | None = None,
    *,
    open_server: Callable[[RealServer, Asker], ServerPort] | None = None,
    connect: OpenConnector | None = None,
) -> Engine:
    """An engine whose hosts are the world's. There is no client host unless `connect` leads to one, and no timeline
    unless a folder is given. `open_server`: another way to the world's servers than as facts."""

    def no_client(host: str, target: RealServer | Client, asker: Asker) -> NoReturn:
        raise ConnectTimeout(f"{host} does not answer at {target.address} port 22.", "No answer within 8 seconds.")

    quiet = Quiet(asker)
    return Engine(
        director=lambda interface: world.director(),
        wire=world.wire(),
        connect=connect or no_client,
        asker=quiet,
        journals=Journals(journals),
        open_server=lambda server: (open_server or world.open_server)(server, quiet),
        events=events,
    )


def factory(world: World, journals: Path) -> Callable[[Asker], Engine]:
    """What `DsrApp` takes."""
    return lambda asker: engine_of(world, asker, journals)
