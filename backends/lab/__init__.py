"""The lab: a complete DSR network in one User-Mode Linux process of an ordinary user.

`run` opens it for a person; `backends.lab.guest.Guest` is the running kernel that `run` and the tests share. Nothing
heavy is imported here: the guest's first process imports this package too, and reading files is slow in there.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["run", "run_inside"]


def run(
    command: Sequence[str], *, faults: Sequence[str] = (), directors: int = 1, rows: int | None = None,
    cols: int | None = None,
) -> int:  # fmt: skip
    """Boots the lab, runs `command` on its director (empty: the wizard) and returns the exit status.

    With `faults` (each `CAUSE@HOST`) the lab's deployment is applied and these are made before the command runs.
    With two `directors` these share the VIPs by keepalived, with more all are active and tell a router so by BGP.
    Raises `UsageError` for a fault that there is not, and `LookError` with the command that mends it when something
    the lab needs is missing. `rows` and `cols` override the size of the terminal.
    """
    from backends.lab.launch import launch

    return launch(command, faults=faults, directors=directors, rows=rows, cols=cols)


def run_inside(words: Sequence[str]) -> int:
    """`fault …` and `mend …` on the director of a running lab; see `backends.lab.inside.mending.run`."""
    from backends.lab.inside.mending import run as run_words

    return run_words(words)
