"""How often Python looks for garbage in cycles: seldom while the program starts, as usual once it stays."""

from __future__ import annotations

import gc

_STARTING = 50_000
_usual: list[tuple[int, int, int]] = []


def starting() -> None:
    """Starting makes many objects and no garbage: a tenth of the time goes into looking for it."""
    _usual.append(gc.get_threshold())
    gc.set_threshold(_STARTING)


def staying() -> None:
    """From here on the program runs for long: what is garbage goes soon, and what starting has made, which stays, is
    not looked through again each time. Where nothing was changed at the start, nothing is changed now."""
    if _usual:
        gc.set_threshold(*_usual.pop())
        gc.freeze()
