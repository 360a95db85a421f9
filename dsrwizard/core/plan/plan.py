"""The plan: deployment and facts in, ordered steps for every host out. Pure."""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from dsrwizard.core.dialects.linux.plan import plan_server
from dsrwizard.core.dialects.windows.plan import plan_windows
from dsrwizard.core.model.changes import Change
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.facts import Observed, ServerFacts
from dsrwizard.core.model.steps import DIRECTOR, HostPlan, Plan
from dsrwizard.core.plan.appliance import PLANNERS
from dsrwizard.core.plan.by_hand import set_up_by_hand
from dsrwizard.core.plan.director import plan_director
from dsrwizard.core.plan.keepalived import plan_keepalived
from dsrwizard.core.plan.spread import plan_peers
from dsrwizard.core.plan.unlooked import unseen


def plan(deployment: Deployment, observed: Observed, leaving: Collection[Change] = ()) -> Plan:
    """What would have to change. Nothing to change gives a plan without steps. A host that could not be looked at gets
    a `problem` and no steps, and does not block the others. `leaving`: changes that are taken back beside it, so that
    nothing is said to stay that goes."""
    hosts: list[HostPlan] = []
    able: set[str] = set()
    servers: list[HostPlan] = []
    for server in deployment.servers:
        if server.connect == "manual":
            able.add(server.name)
            servers.append(
                HostPlan(host=server.name, notes=("Configured by hand. dsrwizard only proves that it works.",))
            )
            continue
        facts = observed.servers.get(server.name)
        if facts is None:
            servers.append(unseen(server.name, observed))
            continue
        host = host_plan(deployment, server, facts)
        if facts.undo.going:
            host = HostPlan(host=server.name, problem=_GOING)
        host = msgspec.structs.replace(host, notes=(*facts.undo.told, *host.notes))
        if not host.problem:
            able.add(server.name)
        servers.append(host)
    if deployment.director.engine == "netlink":
        hosts += plan_peers(deployment, observed, frozenset(able), leaving)
        if observed.director is None:
            hosts.append(unseen(DIRECTOR, observed))
        else:
            hosts.append(plan_director(deployment, observed.director, frozenset(able), leaving))
    planner = PLANNERS.get(deployment.director.engine)
    if planner is not None:
        director = observed.director
        hosts.append(unseen(DIRECTOR, observed) if director is None else planner(deployment, director, frozenset(able)))
    if deployment.director.engine == "keepalived":
        hosts += plan_keepalived(deployment, observed, frozenset(able))
    if not deployment.director.driven:
        hosts.append(HostPlan(host=DIRECTOR, notes=(set_up_by_hand(deployment.director.engine),)))
    return Plan(deployment=deployment.name, hosts=(*hosts, *servers))


_GOING = (
    "It is putting itself back at this moment, because nobody proved the steps of an earlier run in time. Look again."
)


def host_plan(deployment: Deployment, server: RealServer, facts: ServerFacts) -> HostPlan:
    """The steps that bring one real server to the deployment, whatever it runs."""
    return (plan_server if facts.windows is None else plan_windows)(deployment, server, facts)
