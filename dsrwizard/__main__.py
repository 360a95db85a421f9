"""Entry: runs the command line and turns every end into an exit code of design section 5; no traceback ever shows."""

from __future__ import annotations

import sys


def main() -> None:
    """The console script `dsrwizard`."""
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered before anything is imported
        from dsrwizard import __version__

        sys.stdout.write(f"dsrwizard {__version__}\n")
        return
    from dsrwizard.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
