"""What a script that carried out steps came to: nothing to say, or the error that says it."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.model.errors import CommandFailed, ConnectionLost
from dsrwizard.core.model.progress import Progress
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Answer


def raise_failure(host: str, steps: Sequence[Step], progress: Progress, answer: Answer) -> None:
    """Raises CommandFailed for a step that failed, ConnectionLost where the script ended before all of them."""
    if progress.failed is not None:
        raise _failure(host, progress.failed.title, progress)
    if len(progress.finished_steps) < len(steps):
        raise ConnectionLost(
            f"{host}: the script ended before all its steps (exit status {answer.status}).",
            f"The host said: {answer.stderr.strip() or 'nothing'}",
            "What was done is not known: observe it again.",
        )


def _failure(host: str, title: str, progress: Progress) -> CommandFailed:
    said = f"The host said: {progress.said.strip() or 'It said nothing.'}"
    if not progress.halfway:
        return CommandFailed(
            f"{host}: “{title}” failed; what that step had changed was taken back.",
            said,
            "Mend that on the host and retry it.",
        )
    stuck = CommandFailed(
        f"{host}: “{title}” failed, and so did taking back what it had changed.",
        said,
        "Mend that on the host, then apply again or tear it down; both look at what is there first.",
    )
    stuck.halfway = True
    return stuck
