"""What the live view does with weights: drain, restore, set; of one server or of several that were chosen. Nothing is
set before the operator has seen what it does to users now, and agreed."""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.api import Watcher
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow
from screens.background import in_thread
from screens.live.effect import effects
from screens.live.effects_together import effects_together
from screens.live.table import LiveTable
from screens.live.watching import Watching
from screens.live.weight import Weighed, WeightModal
from screens.questions.busy import another_run
from screens.questions.modals import Choice, Question
from screens.widgets.host_words import in_words
from screens.widgets.numbers import counted

BACK = "u restores the deployment's weight. The journal keeps the old one."
NAMED = 6


class Weighing(Watching):
    """The part of the live view that sets weights."""

    @property
    def table(self) -> LiveTable:
        return self.query_one(LiveTable)

    def action_drain(self) -> None:
        """Asks whether to drain the chosen servers."""
        self._weigh(self.chosen_servers(), Weighed(0))

    def action_restore(self) -> None:
        """Asks whether to give the chosen servers the deployment's weight."""
        self._weigh(self.chosen_servers(), None)

    def action_weight(self) -> None:
        """Asks for a weight, then whether to set it."""
        rows = self.chosen_servers()
        if not rows:
            return

        def answered(answer: Weighed | None) -> None:
            if answer is not None:
                self._weigh(rows, answer)

        everywhere = [one for row in rows for _, one in self._everywhere(row.server)]
        self.app.push_screen(WeightModal(rows, everywhere), answered)

    def chosen_servers(self) -> list[DestinationRow]:
        """Those that were chosen together, else the one under the cursor; a line of each."""
        marked = self.table.marked
        if not marked:
            row = self.chosen_server()
            return [] if row is None else [row]
        lines = {row.server: row for service in self._services() for row in service.rows}
        return [lines[name] for name in marked if name in lines]

    def chosen_server(self) -> DestinationRow | None:
        """The server under the cursor; if there is none, says so."""
        found = self.table.chosen()
        if found is None or found[1] is None:
            self.notify("Select a real server first.", severity="warning", markup=False)
            return None
        return found[1]

    def _services(self) -> Sequence[ServiceRow]:
        return self.snapshot.services if self.snapshot else ()

    def _everywhere(self, server: str) -> list[tuple[ServiceRow, DestinationRow]]:
        """The server's lines in all its services."""
        return [(service, row) for service in self._services() for row in service.rows if row.server == server]

    def _weigh(self, chosen: list[DestinationRow], wanted: Weighed | None) -> None:
        """Says what the weight does to users now, and sets it once the operator agrees. None: the deployment's."""
        if not chosen:
            return
        weight = None if wanted is None else wanted.weight
        rows = [one for row in chosen for one in self._everywhere(row.server)]
        place = (chosen[0].vip, chosen[0].service)
        if wanted is not None and wanted.here:
            rows = [(service, row) for service, row in rows if (row.vip, row.service) == place]
        other = {row.server for _, row in rows if row.weight != (row.wanted_weight if weight is None else weight)}
        who = _who(chosen)
        if not other:
            what = "the deployment's weight" if weight is None else f"weight {weight}"
            self.notify(f"{who} {'has' if len(chosen) == 1 else 'have'} {what} already.", markup=False)
            return
        verb = {None: "Restore", 0: "Drain"}.get(weight, f"Set weight {weight}")
        title = f"{verb} {who}?" if not weight else f"{who}: weight {counted(weight)}?"
        if len(chosen) == 1:
            rows.sort(key=lambda one: (one[1].vip, one[1].service) != place)
            said = effects(rows, weight)
        else:
            said = [f"{_names(chosen)}."]
            said += effects_together(self._services(), {row.server for row in chosen}, weight)
        if weight is not None:
            said.append(BACK)
        choices = (Choice("cancel", "Cancel", "primary"), Choice("act", verb, "warning"))

        def answered(choice: str | None) -> None:
            if choice == "act":
                self._set([row for row in chosen if row.server in other], wanted)

        self.app.push_screen(Question(title, "\n\n".join(said), choices, safe="cancel"), answered)

    def _set(self, chosen: list[DestinationRow], wanted: Weighed | None) -> None:
        """None: the deployment's weight, in all services."""
        watcher = self.watcher
        if watcher is not None:
            self.run_worker(self._set_weights(watcher, chosen, wanted), group="live-weight")

    async def _set_weights(self, watcher: Watcher, chosen: list[DestinationRow], wanted: Weighed | None) -> None:
        """One after the other; one that fails stops no other."""
        weight = wanted.weight if wanted else None
        done: list[DestinationRow] = []
        for number, row in enumerate(chosen):
            vip, service = (row.vip, row.service) if wanted and wanted.here else ("", "")
            try:
                await in_thread(lambda row=row, vip=vip, service=service: watcher.set_weight(  # type: ignore[misc]
                    row.server, weight, vip, service
                ))  # fmt: skip
            except Locked as error:
                left = chosen[number:]
                another_run(self.app, error, lambda left=left: self._set(left, wanted))  # type: ignore[misc]
                break
            except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
                self.notify(str(in_words(error)), title=f"{row.server}: weight not set", severity="error", markup=False)
            else:
                done.append(row)
        if not done:
            return
        says = {None: "restored to its weight", 0: "drained: no new clients"}.get(weight, f"set to weight {weight}")
        if len(chosen) > 1 and weight is None:
            says = "restored to their weights"
        where = f" in {done[0].vip} {done[0].service}" if wanted and wanted.here else ""
        who = done[0].server if len(chosen) == 1 else f"{len(done)} of {len(chosen)} servers"
        self.notify(f"{who} {says}{where}.", markup=False)


def _who(chosen: Sequence[DestinationRow]) -> str:
    return chosen[0].server if len(chosen) == 1 else f"{counted(len(chosen))} servers"


def _names(chosen: Sequence[DestinationRow]) -> str:
    names = [row.server for row in chosen[:NAMED]]
    more = f" and {counted(len(chosen) - NAMED)} more" if len(chosen) > NAMED else ""
    return ", ".join(names) + more
