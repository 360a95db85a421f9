"""The lab: a complete DSR network in one User-Mode Linux process of an ordinary user.

`run` opens it for a person; `backends.lab.guest.Guest` is the running kernel that `run` and the tests share. Nothing
heavy is imported here: the guest's first process imports this package too, and reading files is slow in there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run"]


def run(command: Sequence[str], *, rows: int | None = None, cols: int | None = None) -> int:
    """Boots the lab, runs `command` on its director (empty: the wizard) and returns the exit status.

    Raises `LookError` with the command that mends it when something the lab needs is missing. `rows` and `cols`
    override the size of the terminal.
    """
    from backends.lab.launch import launch

    return launch(command, rows=rows, cols=cols)
