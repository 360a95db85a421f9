"""Watches of steps for tests: one that writes down what it is told, and one that takes no failure."""

from __future__ import annotations

from dsrwizard.core.model.steps import Step


class Told:
    """Writes down what it is told: `log` all of it in order (`start ID`, `done ID`, `failed ID`, and lines as they were
    said), `ends` each step's id, whether it worked, and what the host said about it."""

    def __init__(self, log: list[str] | None = None) -> None:
        self.log = [] if log is None else log
        self.ends: list[tuple[str, bool, str]] = []

    def started(self, step: Step) -> None:
        self.log.append(f"start {step.id}")

    def said(self, text: str) -> None:
        self.log.append(text)

    def made(self, step: Step, name: str, device: str, guid: str) -> None:
        self.log.append(f"made {name} {device} {guid}".rstrip())

    def armed(self, seconds: float) -> None:
        self.log.append(f"armed {seconds:g}")

    def disarmed(self) -> None:
        self.log.append("disarmed")

    def finished(self, step: Step, worked: bool, said: str) -> None:
        self.log.append(f"{'done' if worked else 'failed'} {step.id}")
        self.ends.append((step.id, worked, said))


class MustWork(Told):
    """For setting something up: a step that fails is the test's own failure."""

    def finished(self, step: Step, worked: bool, said: str) -> None:
        assert worked, f"{step.id}: {said}"
        super().finished(step, worked, said)
