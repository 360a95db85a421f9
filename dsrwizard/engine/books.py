"""The journals of all deployments as they stand when a run looks at them: each is read once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.record.owed import Account, Owed, needed_by, orphans
from dsrwizard.engine.journal import Journals


class Books:
    """The accounts of one deployment and of all others beside it. Made anew for every run: what is written to a journal
    afterwards is not in it. Raises LookError where a journal cannot be read."""

    def __init__(self, journals: Journals, deployment: Deployment) -> None:
        self._journals, self.deployment = journals, deployment

    @cached_property
    def mine(self) -> Account:
        """The deployment's own account."""
        return Account(self._journals.of(self.deployment.name).entries())

    @cached_property
    def others(self) -> list[Account]:
        """Those of all other journals."""
        own = self._journals.of(self.deployment.name).path
        return [Account(journal.entries()) for journal in self._journals.all() if journal.path != own]

    @property
    def owed(self) -> list[Owed]:
        return self.mine.owed

    @property
    def leaving(self) -> list[RealServer]:
        return self.mine.leaving(self.deployment)

    @cached_property
    def needed(self) -> tuple[Sequence[Owed], Sequence[Deployment]]:
        """What other deployments still need."""
        return needed_by(self.others)

    @property
    def left_behind(self) -> list[Deployment]:
        """Deployments that are gone but for what they left for the sake of others."""
        return [one.deployment for one in self.others if one.deployment is not None and one.left_behind]

    @property
    def to_take_back(self) -> list[Owed]:
        """What a teardown has to take back: first what others left on the deployment's hosts, then its own."""
        return [*orphans(self.deployment, self.mine, self.others), *self.owed]
