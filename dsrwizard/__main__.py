"""Entry: runs the command line and turns every end into an exit code (docs/commands.md); no traceback shows."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> None:
    """The console script `dsrwizard`."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before anything is imported
        from dsrwizard import __version__

        sys.stdout.write(f"dsrwizard {__version__}\n")
        return
    import io

    from dsrwizard import garbage

    garbage.starting()
    from dsrwizard.cli.main import run

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without arrows and quotation marks still gets its text

    _leave(run(sys.argv[1:]))


def _leave(code: int) -> NoReturn:
    """Ends the program. A thread that still waits for a slow host after an interrupt holds nobody up."""
    import os
    import threading

    waits = any(not thread.daemon for thread in threading.enumerate() if thread is not threading.main_thread())
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            waits = True  # for a reader or a terminal that is gone; Python would try once more, and say so
    if waits:
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
