"""The scripts that a plan sends to its real servers, word for word: for whoever has to allow them, or reads a log.

Only the nonce differs, by which a script's answer is known as its own: each run makes a new one. In the script that
locks a Linux server it is the line about the run, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from dsrwizard.core.dialects.linux import apply as linux_apply
from dsrwizard.core.dialects.linux import observe as linux_observe
from dsrwizard.core.dialects.linux.lock import lock_script
from dsrwizard.core.dialects.linux.plan import asides_of, files_of, folders_of
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Observed, ServerFacts
from dsrwizard.core.model.foreign import lines
from dsrwizard.core.model.shown import Shown
from dsrwizard.core.model.steps import Plan, Step
from dsrwizard.engine.servers.windows import change_script, look_script, rules_of

NONCE = "0" * 16
"""Stands where a run has its nonce."""
RUN = "{}"
"""Stands where the line about the run is."""
LONGEST = 1_000_000
"""Characters of a script: far more than WinRM or SSH carry."""


class SentScript(Shown, frozen=True):
    """`what` is `lock`, `look` or `change`."""

    SEVERAL_LINES: ClassVar = frozenset({"text"})

    what: str
    text: str

    def _harmless(self, name: str, text: str) -> str:
        return lines(text, LONGEST) if name == "text" else super()._harmless(name, text)


def scripts_of(
    deployment: Deployment, plan: Plan, observed: Observed, revert_after: float = 0.0
) -> dict[str, tuple[SentScript, ...]]:
    """By server: the look, and where there is a change, that with the lock it runs under. Servers that were not looked
    at have none. `revert_after`: see `ServerPort.apply`."""
    steps = {host.host: host.steps for host in plan.hosts}
    return {
        server.name: _sent(deployment, server, steps.get(server.name, ()), observed.servers[server.name], revert_after)
        for server in deployment.servers
        if server.name in observed.servers
    }


def _sent(
    deployment: Deployment, server: RealServer, steps: Sequence[Step], facts: ServerFacts, revert_after: float
) -> tuple[SentScript, ...]:
    if facts.windows is not None:
        look = look_script(NONCE, rules_of(deployment, server), server.look_seconds)
        change = change_script(NONCE, server, deployment.name, steps, facts, look, revert_after)
    else:
        files = (*files_of(deployment.name), *asides_of(deployment.name))
        folders = folders_of(deployment.name)
        brief = not any(service.protocol == "udp" for vip in deployment.vips for service in vip.services)
        look = linux_observe.observe_script(NONCE, files, brief=brief, folders=folders)
        again = linux_observe.observe_script(NONCE, files, brief=True, folders=folders)
        change = linux_apply.apply_script(NONCE, steps, again, revert_after)
    if not steps:
        return (SentScript("look", look),)
    lock = (SentScript("lock", lock_script(NONCE, RUN)),) if facts.windows is None else ()
    return (*lock, SentScript("look", look), SentScript("change", change))
