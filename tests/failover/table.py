"""The table: what was seen beside what was measured by hand, and what must hold."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tests.failover.figures import Seen

WORST_OUTAGE = 4.0
"""Seconds. The goal after a power cut is 0.5; on a noisy machine so tight a bound would fail for nothing. This
one holds that clients come through again without anybody's help."""
WORST_LOST = 10
"""New connections. By hand up to 7 were refused at a take-over, by a director that had the VIP before its table."""


@dataclass(frozen=True)
class ByHand:
    """The same event as it was measured by hand, one run each; empty: it was not."""

    outage: str = "-"
    lost: str = "-"
    kept: str = "-"
    two: str = "-"


def judged(
    seen: Seen, *, outage: float = WORST_OUTAGE, lost: int = WORST_LOST, broken: int = 0, two: float | None = None
) -> list[str]:
    """What does not hold. `broken`: so many transfers may end; `two`: so long two may answer for the VIP."""
    wrong = []
    if not seen.served:
        wrong.append("new connections are not answered any more")
    if seen.outage > outage:
        wrong.append(f"no new connection was answered at once for {seen.outage:.1f} s, more than {outage:g} s")
    if seen.lost > lost:
        wrong.append(f"{seen.lost} new connections were lost, more than {lost}")
    if seen.kept < seen.of - broken:
        wrong.append(f"{seen.of - seen.kept} of {seen.of} transfers broke")
    if two is not None and seen.two > two:
        wrong.append(f"two directors answered for the VIP for {seen.two:.1f} s, more than {two:g} s")
    return wrong


class Table:
    """Rows as they come, from two guests at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._rows: list[tuple[str, Seen, ByHand]] = []
        self.wrong: list[str] = []

    def row(self, name: str, seen: Seen, by_hand: ByHand, wrong: list[str]) -> None:
        with self._lock:
            self._rows.append((name, seen, by_hand))
            self.wrong += [f"{name}: {one}." for one in wrong]
            mark = "BAD" if wrong else "ok "
            words = f"; {', '.join(seen.why)}" if seen.why else ""
            self._print(f"{mark} {name}: {_cells(seen)}{words}{''.join(f'; {one}' for one in wrong)}")

    def say(self, name: str, words: str, wrong: list[str] | None = None) -> None:
        """What is told in words; `wrong`: what does not hold of it."""
        with self._lock:
            self.wrong += [f"{name}: {one}." for one in wrong or ()]
            self._print(f"{'BAD' if wrong else 'ok '} {name}: {words}{''.join(f'; {one}' for one in wrong or ())}")

    def keep(self, name: str, log: str) -> None:
        """A daemon's log, in the folder that FAILOVER_LOGS names, if any."""
        if folder := os.environ.get("FAILOVER_LOGS"):
            (Path(folder) / f"{name}.log").write_text(log, encoding="utf-8")

    def _print(self, text: str) -> None:
        print(f"[{time.monotonic() - self._began:4.0f} s] {text}", flush=True)

    def printed(self) -> bool:
        """Prints the whole; whether all that must hold does."""
        heads = ("outage, s", "lost/slow new", "kept", "two owners, s")
        print(
            f"\n{'':42}" + "".join(f"{head:>24}" for head in heads) + "\n" + f"{'':42}" + 4 * f"{'here (by hand)':>24}"
        )
        for name, seen, by_hand in self._rows:
            here = (f"{seen.outage:.2f}", f"{seen.lost}/{seen.slow}", f"{seen.kept} of {seen.of}", f"{seen.two:.1f}")
            hand = (by_hand.outage, by_hand.lost, by_hand.kept, by_hand.two)
            print(f"{name:42}" + "".join(f"{f'{one} ({two})':>24}" for one, two in zip(here, hand, strict=True)))
        print(f"\n{len(self._rows)} events, {len(self.wrong)} things that must hold and do not")
        for one in self.wrong:
            print(f"  {one}")
        return not self.wrong


def _cells(seen: Seen) -> str:
    return (
        f"outage {seen.outage:.2f} s, {seen.lost} lost and {seen.slow} slow of {seen.new} new, "
        f"kept {seen.kept} of {seen.of}, two owners {seen.two:.1f} s, {seen.announced} announcements"
    )
