"""A defect of dsrwizard itself, as an error the operator can read and report: never a traceback on the terminal."""

from __future__ import annotations

import traceback
from typing import Self

from dsrwizard.core.errors import DsrError

LOG = "defects.log"


class Defect(DsrError):
    """Something nobody thought of. Its trace goes to a file: places in the program only, no values, so no secret."""

    kind = "defect"

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """The error for an unexpected exception. Its text is left out: it may quote anything."""
        from dsrwizard.session import state_dir

        frames = traceback.extract_tb(error.__traceback__)
        where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
        path = state_dir() / LOG
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with path.open("a", encoding="utf-8") as file:
                file.write(f"{type(error).__name__}{where}\n{''.join(traceback.format_list(frames))}\n")
            told = f"Please report it with {path}."
        except OSError:
            told = "Please report it."
        return cls("dsrwizard itself failed.", f"It is a defect: {type(error).__name__}{where}.", told)
