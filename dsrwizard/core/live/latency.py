"""The probe latency of each real server over the last minute."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from statistics import median

from dsrwizard.core.model.answers import Probed
from dsrwizard.core.model.snapshot import Latency

SECONDS = 60.0
_MOST = 600
"""Samples kept of one server: ten a second tell what a hundred would."""


class Latencies:
    """Samples of all servers; `of_all` only works out anew what has changed."""

    def __init__(self) -> None:
        self._samples: dict[str, deque[tuple[float, float | None]]] = {}
        self._worked_out: dict[str, Latency] = {}

    def add(self, at: float, answers: Iterable[tuple[str, Probed]]) -> None:
        """Answers by server name. What could not be sent is no sample."""
        for server, answer in answers:
            if answer.signature == "unknown":
                continue
            samples = self._samples.setdefault(server, deque(maxlen=_MOST))
            samples.append((at, answer.milliseconds if answer.good else None))
            self._worked_out.pop(server, None)

    def of_all(self, at: float) -> dict[str, Latency]:
        """As of `at`, by server name."""
        for server, samples in self._samples.items():
            while samples and at - samples[0][0] > SECONDS:
                samples.popleft()
                self._worked_out.pop(server, None)
            if server not in self._worked_out:
                self._worked_out[server] = _of(samples)
        return dict(self._worked_out)


def _of(samples: deque[tuple[float, float | None]]) -> Latency:
    took = [value for _, value in samples if value is not None]
    if not took:
        return Latency(sent=len(samples), lost=len(samples))
    return Latency(
        minimum=min(took), median=median(took), maximum=max(took), sent=len(samples), lost=len(samples) - len(took)
    )
