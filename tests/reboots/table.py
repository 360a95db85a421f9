"""The table: flavour of network manager by check; and what several checks ask."""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Sequence

from tests.reboots.farm import DIRECTORS, MANAGERS, PAIR, mac
from tests.reboots.guests import Asker


class Table:
    """Results: (check, machine) → empty where it is so, otherwise what was seen."""

    def __init__(self) -> None:
        self.cells: dict[tuple[str, str], str] = {}
        self.figures: list[str] = []
        self.reboots = self.survived = 0
        self._began = time.monotonic()
        self._lock = threading.Lock()

    def _now(self) -> str:
        return f"[{time.monotonic() - self._began:5.0f} s]"

    def note(self, check: str, machine: str, wrong: str, *, reboot: bool = False) -> None:
        with self._lock:
            self.cells[check, machine] = wrong
            self.reboots += reboot
            self.survived += reboot and not wrong
            mark = "ok " if not wrong else "BAD"
            print(f"{self._now()} {mark} {machine:18} {check}{': ' + wrong if wrong else ''}", flush=True)

    def say(self, text: str) -> None:
        with self._lock:
            self.figures.append(text)
            print(f"{self._now()} {text}", flush=True)

    def printed(self) -> bool:
        """Prints the table and the sums; whether all is as it should be."""
        for title, machines in (("real server", MANAGERS), ("director", DIRECTORS), ("of two directors", tuple(PAIR))):
            rows = [check for check, machine in self.cells if machine in machines]
            print(f"\n{title:58}" + "".join(f"{one.removeprefix('director-'):>10}" for one in machines))
            for check in dict.fromkeys(rows):
                marks = [self.cells.get((check, one)) for one in machines]
                print(
                    f"{check[:57]:58}"
                    + "".join(f"{'-' if one is None else 'no' if one else 'yes':>10}" for one in marks)
                )
        wrong = [f"{machine}: {check}: {said}" for (check, machine), said in self.cells.items() if said]
        print("", *self.figures, *wrong, sep="\n")
        print(
            f"\nreboots tried {self.reboots}, survived {self.survived}; checks {len(self.cells)}, not so {len(wrong)}"
        )
        return not wrong


def silent(asker: Asker, name: str, since: float = 0.0) -> str:
    """Empty where a machine said no word about the VIP, since the asker began or since a moment of `time.time`."""
    said = asker.heard(mac(name), since)
    return f"ARP about the VIP: {', '.join(said[:3])} ({len(said)} in all, asked {asker.asked} times)" if said else ""


def differs(before: Sequence[str], after: Sequence[str]) -> str:
    """The lines in which two manifests differ, on one line; empty where they are the same."""
    lines = [
        line for line in difflib.unified_diff(before, after, n=0, lineterm="")
        if line[0] in "+-" and not line.startswith(("---", "+++"))
    ]  # fmt: skip
    return " ".join(lines)[:300]
