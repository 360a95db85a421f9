"""What a look says of the undo by which a server puts itself back: lines, the same from Linux and from Windows."""

from __future__ import annotations

from collections.abc import Iterable

from dsrwizard.core.model.facts import Undo
from dsrwizard.core.model.foreign import one_line

_MOST = 50
_LINE = 200


def undo_of(lines: Iterable[str]) -> Undo:
    """`going`; `armed UNTIL NOW`, seconds of one clock; `reverted AT`, in seconds since the epoch; `stays WHAT`, what
    somebody had changed; `failed WHAT: WHY`; `ended`, what was armed will never be carried out. Other lines say
    nothing."""
    armed: int | None = None
    going, reverted, ended = False, 0, False
    stays: list[str] = []
    failed: list[str] = []
    for line in lines:
        match line.split():
            case ["going"]:
                going = True
            case ["ended"]:
                ended = True
            case ["armed", until, now] if _number(until) and _number(now):
                armed = max(0, int(until) - int(now))
            case ["reverted", at] if _number(at):
                reverted = int(at)
            case ["stays", *_] if len(stays) < _MOST:
                stays.append(one_line(line.removeprefix("stays "), _LINE))
            case ["failed", *_] if len(failed) < _MOST:
                failed.append(one_line(line.removeprefix("failed "), _LINE))
            case _:
                pass
    return Undo(
        armed=armed, going=going, reverted=reverted, stays=tuple(stays), failed=tuple(failed), ended=ended
    )  # fmt: skip


def _number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 11
