"""How many cases are tried, and the table of what was tried and what failed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.hostile.texts import HOSTILE, TELLING

_WHOLE = "DSRWIZARD_HOSTILE"
_PROPERTY = "hostile"
_SHOWN = 5  # failures told in full


@dataclass
class Tally:
    """What one class of hostile input came to. A case that raises is a failure of its own and stops no other case."""

    kind: str
    tried: int = 0
    failed: list[str] = field(default_factory=list)

    @contextmanager
    def case(self, name: str) -> Iterator[None]:
        """One case; `name` must be enough to try it again alone (a seed, a value)."""
        self.tried += 1
        try:
            yield
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this case's failure
            self.failed.append(f"{name}: {type(error).__name__}: {error}")

    def settle(self) -> None:
        """Fails the test with the first failures, when there are any, and when nothing was tried."""
        assert self.tried, f"{self.kind}: nothing was tried"
        if self.failed:
            shown = "\n".join(self.failed[:_SHOWN])
            raise AssertionError(f"{self.kind}: {len(self.failed)} of {self.tried} failed:\n{shown}")


@pytest.fixture
def scale() -> Callable[[int, int], int]:
    """`scale(share, whole)` is how many cases to try: the share in `make test`, the whole in `make hostile`."""
    return lambda share, whole: whole if os.environ.get(_WHOLE) == "all" else share


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Iterator[Callable[[str], Tally]]:
    """`tally("deployment files")` counts one class; its figures go into the table at the end."""
    made: list[Tally] = []

    def start(kind: str) -> Tally:
        made.append(Tally(kind))
        return made[-1]

    yield start
    for one in made:
        record_property(_PROPERTY, [one.kind, one.tried, len(one.failed)])


@pytest.fixture
def each(
    scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> Callable[[str, Callable[[str], None]], None]:
    """`each("tickets", work)` calls `work` with every text of `tests.hostile.texts`, or with the most telling ones."""

    def over(kind: str, work: Callable[[str], None]) -> None:
        counted = tally(f"output: {kind}")
        for name in list(HOSTILE)[: scale(TELLING, len(HOSTILE))]:
            with counted.case(name):
                work(HOSTILE[name])
        counted.settle()

    return over


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tried and failed, per class."""
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if getattr(report, "when", "") != "teardown":
                continue
            for name, value in getattr(report, "user_properties", ()):
                if name == _PROPERTY:
                    kind, cases, bad = value
                    tried[kind] += cases
                    failed[kind] += bad
    if not tried:
        return
    terminalreporter.section("hostile input")
    width = max(map(len, tried))
    for kind in sorted(tried):
        terminalreporter.line(f"{kind:<{width}}  tried {tried[kind]:>8,}  failed {failed[kind]:>6,}")
