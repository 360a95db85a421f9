"""The client host's one connection: opened when first needed, and opened again when it has died since."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from dsrwizard.core.model.deployment import Client
from dsrwizard.core.model.errors import ConnectionLost, LookError
from dsrwizard.core.model.steps import CLIENT
from dsrwizard.core.ports import Asker, Connector, OpenConnector
from dsrwizard.engine.defects import blaming

T = TypeVar("T")
DIALLING_SECONDS = 3.0
"""How long the end of the program waits for a connection that is just being opened."""


class ClientDoor:
    """What is done on the client host, and changes nothing there. Safe to use from several threads."""

    def __init__(self, connect: OpenConnector, asker: Asker) -> None:
        self._connect, self._asker = connect, asker
        self._open: tuple[Client, Connector] | None = None
        self._dialling = threading.Lock()
        self._over = False

    @property
    def opened(self) -> bool:
        return self._open is not None

    @blaming(CLIENT, "looked at")
    def use(self, client: Client, work: Callable[[Connector], T]) -> T:
        """Raises DsrError: what stands in the way of reaching the client host, and what the work raises."""
        connector, was_open = self._connector(client)
        try:
            return work(connector)
        except ConnectionLost:
            with self._dialling:
                if self._open is not None and self._open[1] is connector:
                    self._open = None
            connector.close()
            if not was_open:
                raise
        return work(self._connector(client)[0])

    def _connector(self, client: Client) -> tuple[Connector, bool]:
        """The connection, and whether it was open already."""
        with self._dialling:
            if self._over:
                raise LookError("The client host was not checked: its connection is closed.")
            if self._open is not None and self._open[0] == client:
                return self._open[1], True
            if self._open is not None:
                self._open[1].close()
                self._open = None
            self._open = (client, self._connect(CLIENT, client, self._asker))
            return self._open[1], False

    def close(self) -> None:
        """For good."""
        self._over = True
        held = self._dialling.acquire(timeout=DIALLING_SECONDS)
        if self._open is not None:
            self._open[1].close()
            self._open = None
        if held:
            self._dialling.release()
