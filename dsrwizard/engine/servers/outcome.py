"""What both kinds of servers do alike: opening the connection, and the outcome of a script that carried out steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsrwizard.core.model.errors import CommandFailed, ConnectionLost, HostBusy
from dsrwizard.core.model.progress import Progress
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Answer, Connector


def opened(host: str, connect: Callable[[], Connector], *, over: bool) -> Connector:
    """A new connection. `over`: nobody waits for the host any more; raises ConnectionLost."""
    if over:
        lost = ConnectionLost(f"{host}: the connection was closed.", "The script was not started.", "Connect again.")
        lost.begun = False
        raise lost
    return connect()


def refuse(host: str, progress: Progress) -> None:
    """Raises HostBusy where another run changes the host, CommandFailed where its own revert could not be armed: then
    none of the steps was begun."""
    if progress.refused:
        raise HostBusy(
            f"{host}: nothing was changed, because another run of dsrwizard is changing it now.",
            f"It is: {progress.refused}.",
            "Wait until that run has ended, then try again. If nobody waits for it any more, it ends by itself "
            "within minutes; to end it now, stop that process on the server.",
        )
    if progress.unarmed:
        raise CommandFailed(
            f"{host}: nothing was changed, because the host cannot be made to put itself back.",
            f"The host said: {progress.said_last or 'It said nothing.'}",
            "Fix that on the host, then retry. To go on without it: --revert-after 0.",
        )


def raise_unless_kept(host: str, word: str, said: str, *, again: bool) -> None:
    """Raises CommandFailed where it is not certain that a host keeps what was changed. `word` is what came of it
    (`kept` of its dialect), `said` what the host wrote beside; `again`: a first try may have done it already."""
    if word == "kept" or (word == "none" and again):
        return
    raise CommandFailed(
        f"{host}: it could not be told to keep what was changed.",
        "It has put itself back already, because nobody proved the change in time."
        if word == "back"
        else "It has nothing armed any more: somebody disarmed it, or it was rebooted."
        if word == "none"
        else f"It said: {said.strip() or 'nothing'}",
        "Apply again; it looks at what is there first.",
    )


def raise_failure(host: str, steps: Sequence[Step], progress: Progress, answer: Answer) -> None:
    """Raises CommandFailed for a step that failed, ConnectionLost where the script ended before all of them."""
    if progress.failed is not None:
        raise _failure(host, progress.failed.title, progress)
    if len(progress.finished_steps) < len(steps):
        raise ConnectionLost(
            f"{host}: the script ended before all its steps were done (exit status {answer.status}).",
            f"The host said: {answer.stderr.strip() or 'nothing'}",
            "It is not known which steps ran: observe the host again.",
        )


def _failure(host: str, title: str, progress: Progress) -> CommandFailed:
    said = f"The host said: {progress.said.strip() or 'It said nothing.'}"
    if not progress.halfway:
        return CommandFailed(
            f"{host}: “{title}” failed; its changes were undone.",
            said,
            "Fix that on the host, then retry.",
        )
    stuck = CommandFailed(
        f"{host}: “{title}” failed, and its changes could not be undone.",
        said,
        "Fix that on the host, then apply again or tear it down; both check what is there first.",
    )
    stuck.halfway = True
    return stuck
