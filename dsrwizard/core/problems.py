"""A problem with what was entered: where it is, what is wrong, and what to write instead."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True):
    """`key` is the path in the deployment, e.g. `vips[0].services[1].port` or `servers[2].address`.

    `message` says what is wrong, `hint` what to write instead. `line` is the line in the file, 1-based, where known.
    """

    key: str
    message: str
    hint: str = ""
    line: int | None = None

    @property
    def text(self) -> str:
        return f"{self.message} {self.hint}".strip()
