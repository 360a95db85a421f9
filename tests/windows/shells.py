"""A remote shell of an endpoint and its processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

PIECE = 100_000
"""Bytes in one piece of output at most."""


@dataclass
class Shell:
    """A remote shell and its one or more commands."""

    user: str
    environment: dict[str, str]
    commands: dict[str, Command] = field(default_factory=dict)


class Command:
    """A process with its output, waited for by Receive."""

    def __init__(self) -> None:
        self.condition = threading.Condition()
        self.output: list[tuple[str, bytes]] = []
        self.status: int | None = None

    def put(self, name: str, data: bytes) -> None:
        with self.condition:
            for begin in range(0, len(data), PIECE):
                self.output.append((name, data[begin : begin + PIECE]))
            self.condition.notify_all()

    def end(self, status: int) -> None:
        with self.condition:
            self.status = status if self.status is None else self.status
            self.condition.notify_all()
