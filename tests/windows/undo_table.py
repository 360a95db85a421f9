"""The n-th thing that is asked of a Windows host fails, for every n, before or after it took effect: a table.

    python -m tests.windows.undo_table [VERSION …]

After each such apply: what is reported is what is found (a step that "failed" left the host as it was before it),
another apply serves and leaves nothing to plan, and a teardown leaves the host as it was before the first. `calls` are
all that a script asks of the host, those of the look among them; `made` is in how many runs one failed, `wrong` in how
many of these something was left, was not reported, or could not be put right.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from dsrwizard.core.model.outcome import HostResult, Outcome
from tests.windows.conftest import VIP, VIP6, Farm, shop
from tests.windows.host import WindowsHost
from tests.windows.host.machine import ANY
from tests.windows.test_windows_undo import Run, crowded, seen

DIALECTS = ("2008 R2", "2025")
BETWEEN = "(before, between, after)"
"""No step is under way: the lock, the session's adapter, the look."""


@dataclass
class Table:
    """Counts for one version and one moment, by kind of step."""

    calls: int = 0
    made: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, str, str]] = field(default_factory=list)


def table(version: str, when: str, folder: Path, every: int = 1) -> Table:
    """`when`: `before` or `after` it took effect."""
    found = Table()
    start = crowded(version)
    for number in range(1, 2000, every):
        farm = Farm(folder / f"{version}-{when}-{number}", copy.deepcopy(start), shop(VIP, VIP6, ports=(80, 443)))
        run = Run(farm)
        point = {(ANY, number)}
        result = run(point) if when == "before" else run(afterwards=point)
        found.calls = farm.host.calls[ANY]
        if found.calls < number:
            break
        kind = run.step.split()[0] if run.step else BETWEEN
        found.made[kind] += 1
        problem = judged(run, result, start)
        if problem:
            found.wrong.append((number, kind, problem))
    return found


def judged(run: Run, result: HostResult, start: WindowsHost) -> str:
    """What is wrong after this run; empty: nothing."""
    farm = run.farm
    if result.failure is not None and result.failure.kind != "took":
        unknown = any(step.outcome is Outcome.UNKNOWN for step in result.steps)
        if not unknown and seen(farm.host) != run.before:
            return "it is not as it was before the step that failed"
    again = farm.apply()
    if not again.ok:
        return f"another apply fails: {[host.failure for host in again.hosts]}"
    if not (farm.host.accepts(VIP) and farm.host.accepts(VIP6)):
        return "another apply does not serve"
    if farm.plan().steps:
        return "another apply has something to do again"
    if not farm.teardown().ok:
        return "the teardown fails"
    return "" if seen(farm.host) == seen(start) else "the teardown leaves something"


def main() -> None:
    wrong = 0
    for version in sys.argv[1:] or DIALECTS:
        for when in ("before", "after"):
            with tempfile.TemporaryDirectory() as folder:
                found = table(version, when, Path(folder))
            bad = Counter(kind for _, kind, _ in found.wrong)
            print(f"Windows Server {version}, a call fails {when} it took effect: {found.calls} calls in an apply")
            for kind, made in found.made.items():
                print(f"  {kind:26} made {made:4}  wrong {bad[kind]:4}")
            print(f"  {'all':26} made {found.made.total():4}  wrong {len(found.wrong):4}", flush=True)
            for number, kind, problem in found.wrong:
                print(f"    call {number}, {kind}: {problem}")
            wrong += len(found.wrong)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
