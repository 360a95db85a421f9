"""A plan that is made again before it is carried out: nothing is done that was not shown. Pure."""

from __future__ import annotations

from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.steps import Plan


class PlanChanged(DsrError):
    """The hosts have changed since the plan was made, so that it is another one now: nothing was begun.

    `plan` is the new one, `observed` what it was made from, where that is known.
    """

    exit_code = 3
    kind = "plan-changed"

    def __init__(self, plan: Plan, observed: Observed | None = None) -> None:
        self.plan, self.observed = plan, observed
        super().__init__(
            f"The plan for {plan.deployment} is another one now.",
            "The hosts have changed since it was made.",
            "Read the new plan, then confirm that one.",
        )


def nothing_new(shown: Plan, fresh: Plan) -> bool:
    """Whether every step of the fresh plan was in the one that was shown, with the same values before and after.

    Then the fresh one may be carried out in its place. It may have fewer steps: what somebody else has done meanwhile,
    and hosts that do not answer any more.
    """
    seen = {(step.host, step.id): step.changes for step in shown.steps}
    return all(seen.get((step.host, step.id)) == step.changes for step in fresh.steps)
