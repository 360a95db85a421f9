"""Entry: runs the command line and turns every end into an exit code of design section 5; no traceback ever shows."""

from __future__ import annotations

import gc
import sys


def main() -> None:
    """The console script `dsrwizard`."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before anything is imported
        from dsrwizard import __version__

        sys.stdout.write(f"dsrwizard {__version__}\n")
        return
    import io

    gc.set_threshold(50_000)  # starting makes many objects and no garbage: a tenth of the time goes into looking for it
    from dsrwizard.cli import run

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without arrows and quotation marks still gets its text

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
