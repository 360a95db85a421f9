"""Words in the units that are written on a director."""

from __future__ import annotations

import re

OURS = "# Written by dsrwizard for the deployment {name}; `dsrwizard teardown` removes it.\n"
"""The first line of every file of ours there."""


def unit_word(text: str) -> str:
    """A word of a command line in a unit (systemd.service(5), command lines; systemd.syntax(7), quoting)."""
    plain = text.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w/.,:+@%$=-]+", plain):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
