"""What one weight for several servers does to users now, in sentences. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow
from screens.live.effect import SHOWN, do, named, percent, serves
from screens.widgets.numbers import counted


def effects_together(services: Iterable[ServiceRow], servers: Collection[str], weight: int | None) -> list[str]:
    """What it does in each service that has one of these servers, the worst first. None: the deployment's weights."""
    found = [
        _effect(service, [row for row in service.rows if row.server in servers and row.weight is not None], weight)
        for service in services
        if any(row.server in servers and row.weight is not None for row in service.rows)
    ]
    found.sort(key=lambda one: not one[0])
    lines = [words for _, words in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"They are in {counted(len(found) - SHOWN)} more services.")
    return lines or ["IPVS does not have these servers. The weight changes nothing for clients."]


def _effect(service: ServiceRow, chosen: list[DestinationRow], weight: int | None) -> tuple[bool, str]:
    """Whether it leaves clients without an answer, and the words."""
    name = f"{service.vip} {service.service}"
    names = {row.server for row in chosen}
    others = [row for row in service.rows if row.server not in names and row.weight]
    good = [row for row in others if serves(row)]
    new = {row.server: row.wanted_weight if weight is None else weight for row in chosen}
    whole = sum(row.weight or 0 for row in others) + sum(new.values())
    now = sum(row.weight or 0 for row in (*others, *chosen))
    served = [row for row in chosen if serves(row)]
    harm, said = False, list[str]()
    if not any(new.values()):
        if good:
            said.append(f"{name}: new clients go to {named(good)}. {named(chosen)} {_get(chosen)} none.")
        elif served:
            harm = True
            all_of_them = (
                f"all {counted(len(served))} healthy servers" if len(served) > 1 else "the only healthy server"
            )
            said.append(f"{named(served)} {do(served)} {all_of_them} for {name}. New clients get no answer.")
        else:
            harm = True
            said.append(f"No other server for {name} is healthy. New clients get no answer until one is.")
        lost = sum(row.weight or 0 for row in others if not serves(row))
        if lost and good:
            bad = [row for row in others if not serves(row)]
            said.append(f"{percent(lost, whole)} of them go to {named(bad)}, which {do(bad)} not healthy.")
        active = sum(row.active for row in chosen)
        if active:
            said.append(f"About {counted(active)} open connections stay with them until they end.")
        return harm, " ".join(said)
    before = sum(row.weight or 0 for row in chosen)
    said.append(
        f"{named(chosen)} {_get(chosen)} {percent(sum(new.values()), whole)} of the new clients of {name} "
        f"(now {percent(before, now)})."
    )
    dead = [row for row in chosen if not serves(row) and new[row.server]]
    if dead:
        harm = True
        share = percent(sum(new[row.server] for row in dead), whole)
        said.append(f"{named(dead)} {do(dead)} not healthy: {share} of the new clients get no answer.")
    return harm, " ".join(said)


def _get(rows: list[DestinationRow]) -> str:
    return "gets" if len(rows) == 1 else "get"
