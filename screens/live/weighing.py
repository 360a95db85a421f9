"""What the live view does with weights: drain, restore, set. Nothing is set before the operator has seen what it does
to users now, and agreed."""

from __future__ import annotations

from dsrwizard.core.api import Watcher
from dsrwizard.core.model.errors import Locked
from dsrwizard.core.model.snapshot import DestinationRow, ServiceRow
from screens.background import in_thread
from screens.live.effect import effects
from screens.live.table import LiveTable
from screens.live.watching import Watching
from screens.live.weight import Weighed, WeightModal
from screens.questions.busy import another_run
from screens.questions.modals import Choice, Question
from screens.widgets.host_words import in_words
from screens.widgets.numbers import counted

BACK = "u restores the deployment's weight. The journal keeps the old one."


class Weighing(Watching):
    """The part of the live view that sets weights."""

    @property
    def table(self) -> LiveTable:
        return self.query_one(LiveTable)

    def action_drain(self) -> None:
        """Asks whether to drain the selected server."""
        row = self.chosen_server()
        if row is not None:
            self._weigh(row, Weighed(0))

    def action_restore(self) -> None:
        """Asks whether to give the selected server the deployment's weight."""
        row = self.chosen_server()
        if row is not None:
            self._weigh(row, None)

    def action_weight(self) -> None:
        """Asks for a weight, then whether to set it."""
        row = self.chosen_server()
        if row is None:
            return

        def answered(answer: Weighed | None) -> None:
            if answer is not None:
                self._weigh(row, answer)

        self.app.push_screen(WeightModal(row, [one for _, one in self._everywhere(row.server)]), answered)

    def chosen_server(self) -> DestinationRow | None:
        """The server under the cursor; if there is none, says so."""
        found = self.table.chosen()
        if found is None or found[1] is None:
            self.notify("Select a real server first.", severity="warning", markup=False)
            return None
        return found[1]

    def _everywhere(self, server: str) -> list[tuple[ServiceRow, DestinationRow]]:
        """The server's lines in all its services."""
        services = self.snapshot.services if self.snapshot else ()
        return [(service, row) for service in services for row in service.rows if row.server == server]

    def _weigh(self, chosen: DestinationRow, wanted: Weighed | None) -> None:
        """Says what the weight does to users now, and sets it once the operator agrees. None: the deployment's."""
        server = chosen.server
        place = (chosen.vip, chosen.service)
        rows = self._everywhere(server)
        if wanted is not None and wanted.here:
            rows = [(service, row) for service, row in rows if (row.vip, row.service) == place]
        weight = None if wanted is None else wanted.weight
        if all(row.weight == (row.wanted_weight if weight is None else weight) for _, row in rows):
            what = "the deployment's weight" if weight is None else f"weight {weight}"
            self.notify(f"{server} has {what} already.", markup=False)
            return
        rows.sort(key=lambda one: (one[1].vip, one[1].service) != place)
        verb = {None: "Restore", 0: "Drain"}.get(weight, f"Set weight {weight}")
        title = f"{verb} {server}?" if not weight else f"{server}: weight {counted(weight)}?"
        said = effects(rows, weight)
        if weight is not None:
            said.append(BACK)
        choices = (Choice("cancel", "Cancel", "primary"), Choice("act", verb, "warning"))

        def answered(choice: str | None) -> None:
            if choice == "act":
                self._set(chosen, wanted)

        self.app.push_screen(Question(title, "\n\n".join(said), choices, safe="cancel"), answered)

    def _set(self, chosen: DestinationRow, wanted: Weighed | None) -> None:
        """None: the deployment's weight, in all services."""
        watcher = self.watcher
        if watcher is not None:
            self.run_worker(self._set_weight(watcher, chosen, wanted), group="live-weight")

    async def _set_weight(self, watcher: Watcher, chosen: DestinationRow, wanted: Weighed | None) -> None:
        server, weight = chosen.server, wanted.weight if wanted else None
        vip, service = (chosen.vip, chosen.service) if wanted and wanted.here else ("", "")
        try:
            await in_thread(lambda: watcher.set_weight(server, weight, vip, service))
        except Locked as error:
            another_run(self.app, error, lambda: self._set(chosen, wanted))
        except Exception as error:  # noqa: BLE001 - whatever stood in the way is told, and the screen goes on
            self.notify(str(in_words(error)), title=f"{server}: weight not set", severity="error", markup=False)
        else:
            done = {None: "restored to its weight", 0: "drained: no new clients"}.get(weight, f"set to weight {weight}")
            self.notify(f"{server} {done}{f' in {vip} {service}' if vip else ''}.", markup=False)
