"""What a weight does to users now, in sentences: by which servers answer, not by which have a weight. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow
from screens.widgets.numbers import counted

SHOWN = 3
"""Services that have a sentence each; a server may be behind hundreds."""
NAMED = 3


def serves(row: DestinationRow) -> bool:
    """Whether clients that are sent to this server get an answer, by what was seen last."""
    if row.state == "draining":
        return row.probe is not None and row.probe.good
    return row.state in ("up", "drifted")


def effects(services: Iterable[tuple[ServiceRow, DestinationRow]], weight: int | None) -> list[str]:
    """What the new weight does in each of these services, the worst first. None: the deployment's weight."""
    found = [
        _effect(service, row, row.wanted_weight if weight is None else weight)
        for service, row in services
        if row.weight is not None
    ]
    found.sort(key=lambda one: not one[0])
    lines = [words for _, words in found[:SHOWN]]
    if len(found) > SHOWN:
        lines.append(f"The same server is in {counted(len(found) - SHOWN)} more services.")
    return lines or ["IPVS does not have this server. The weight changes nothing for clients."]


def _effect(service: ServiceRow, row: DestinationRow, weight: int) -> tuple[bool, str]:
    """Whether it leaves clients without an answer, and the words."""
    name = f"{service.vip} {service.service}"
    others = [one for one in service.rows if one.server != row.server and one.weight]
    good = [one for one in others if serves(one)]
    count = len(service.rows)
    whole = sum(one.weight or 0 for one in others) + weight
    now = sum(one.weight or 0 for one in others) + (row.weight or 0)
    harm, said = False, list[str]()
    if weight == 0:
        if serves(row) and not good:
            harm = True
            only = f"the only healthy server of {count}" if count > 1 else "the only server"
            said.append(f"{row.server} is {only} for {name}. Without it, new clients get no answer.")
        elif not good:
            harm = True
            said.append(f"No other server for {name} is healthy. New clients get no answer until one is.")
        else:
            said.append(f"{name}: new clients go to {named(good)}. {row.server} gets none.")
    else:
        share = f"{row.server} gets {percent(weight, whole)} of the new clients of {name}"
        said.append(f"{share} (now {percent(row.weight or 0, now)}).")
        if not serves(row):
            harm = True
            why = row.message.rstrip(".") or "no answer was seen"
            said.append(f"{row.server} is not healthy ({why}): they get no answer.")
    lost = sum(one.weight or 0 for one in others if not serves(one))
    if lost and whole and (good or weight):
        bad = [one for one in others if not serves(one)]
        said.append(f"{percent(lost, whole)} of them go to {named(bad)}, which {do(bad)} not healthy.")
    if weight == 0 and row.active:
        ends = "connection stays" if row.active == 1 else "connections stay"
        said.append(f"About {counted(row.active)} open {ends} with {row.server} until they end.")
    return harm, " ".join(said)


def named(rows: Sequence[DestinationRow]) -> str:
    names = list(_names(rows))
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _names(rows: Sequence[DestinationRow]) -> Iterator[str]:
    yield from (row.server for row in rows[:NAMED])
    if len(rows) > NAMED:
        yield f"{counted(len(rows) - NAMED)} more"


def do(rows: Sequence[DestinationRow]) -> str:
    return "is" if len(rows) == 1 else "are"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
