"""Reader of the scripts that are sent to hosts: files of their own languages in the folder `scripts` of a package.

They are read once, when the module that sends them is imported, as its own text is. What a file begins with, up to its
first empty line, is for its reader and is not sent; nor are the lines that speak to shellcheck.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_FOR_SHELLCHECK = re.compile(r"^ *# shellcheck .*\n", re.MULTILINE)


def body(package: str, name: str) -> str:
    """What is sent of the script `name` of this package: an empty line, then all that follows its heading."""
    text = files(package).joinpath("scripts", name).read_text("utf-8")
    return _FOR_SHELLCHECK.sub("", "\n" + text.partition("\n\n")[2])


def filled(text: str, holes: Mapping[str, str]) -> str:
    """The script with its holes filled. A hole is written so that the file is still one of its language: `@NAME@` as a
    word, `'@NAME@'` as a literal that the value takes the place of, `__NAME__` in the shell's arithmetic. What is
    filled in is not searched for further holes. Raises KeyError for a hole that the script does not have."""
    missing = [hole for hole in holes if hole not in text]
    if missing:
        raise KeyError(*missing)
    pattern = "|".join(re.escape(hole) for hole in sorted(holes, key=len, reverse=True))
    return re.sub(pattern, lambda found: holes[found[0]], text)
