"""The base of the result steps (review, apply, verify): the key that opens the runbook of a server set up by hand."""

from __future__ import annotations

from textual.binding import Binding

from dsrwizard.core.model.errors import DsrError
from screens.pane import Pane


class ByHand(Pane):
    """A pane with results. `h` opens the runbook of the selected server, or else of the first one set up by hand."""

    BINDINGS = [
        Binding("h", "runbook", "Runbook", id="runbook.open", tooltip="Show the steps to do by hand on this server"),
    ]

    def chosen_host(self) -> str:
        """The host of the selected row; empty: none."""
        return ""

    def runbook_closed(self) -> None:
        """Called when the runbook was closed; `desk.report` may have changed."""

    def by_hand(self) -> list[str]:
        """The servers that are set up by hand."""
        return [server.name.strip() for server in self.draft.servers if server.connect == "manual"]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.by_hand()) if action == "runbook" else True

    def action_runbook(self) -> None:
        """Opens the runbook on top of this step."""
        from screens.runbook import RunbookScreen

        names = self.by_hand()
        host = self.chosen_host()
        try:
            screen = RunbookScreen(self.desk, host if host in names else names[0])
        except DsrError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self.app.push_screen(screen, self._after_runbook)

    def _after_runbook(self, _: None) -> None:
        self.runbook_closed()
        self.refreshed()
