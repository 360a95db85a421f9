"""What this machine answers as a director that another one sets up: the steps that it is asked for, and what it sees of
itself afterwards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from dsrwizard.core.dialects.other_director.asking import DirectorOrder, Errand, marker
from dsrwizard.core.model.errors import DsrError, Locked
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.ports import DirectorPort


def answered(
    what: Errand,
    order: DirectorOrder,
    version: str,
    director: DirectorPort,
    hold: Callable[[], AbstractContextManager[object]],
    say: Callable[[str], None],
    show: Callable[[DirectorFacts], None],
) -> None:
    """Does what is asked; `say` gets each line of the answer but the facts, which `show` gets. `hold` takes this
    machine's lock, as a run that was started here would. Raises what a look raises."""
    say(marker(order.nonce, "version", version))
    if what == "steps" and order.version == version:
        try:
            with hold():
                _carry_out(order, director, say)
        except Locked:
            say(marker(order.nonce, "busy", 0))
    say(marker(order.nonce, "begin"))  # what comes from here on is no word about a step
    say(marker(order.nonce, "facts"))
    show(director.observe(order.deployment))
    say(marker(order.nonce, "end"))


def _carry_out(order: DirectorOrder, director: DirectorPort, say: Callable[[str], None]) -> None:
    """The steps, one after the other; the first that fails is the last."""
    for number, step in enumerate(order.steps, 1):
        say(marker(order.nonce, "start", number))
        try:
            director.apply(step)
        except DsrError as problem:
            for line in problem.lines():
                say(line)
            say(marker(order.nonce, "halfway" if problem.halfway else "failed", number))
            return
        say(marker(order.nonce, "done", number))
    try:
        director.save(order.deployment)
    except DsrError as problem:
        say(marker(order.nonce, "unsaved"))
        say(str(problem))
