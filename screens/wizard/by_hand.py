"""What the result steps have for servers that are set up by hand: the key that opens their runbook."""

from __future__ import annotations

from textual.binding import Binding

from dsrwizard.core.model.errors import DsrError
from screens.pane import Pane


class ByHand(Pane):
    """A result step. `h` opens the runbook of the chosen server, or of the first, where any is set up by hand."""

    BINDINGS = [
        Binding("h", "runbook", "Runbook", id="runbook.open", tooltip="What is to be done by hand on this server"),
    ]

    def chosen_host(self) -> str:
        """The host the chosen row is about; empty: none."""
        return ""

    def runbook_closed(self) -> None:
        """The runbook is closed; `desk.report` may be another."""

    def by_hand(self) -> list[str]:
        """The servers that are set up by hand."""
        return [server.name.strip() for server in self.draft.servers if server.connect == "manual"]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        return bool(self.by_hand()) if action == "runbook" else True

    def action_runbook(self) -> None:
        """Opens the runbook over this step."""
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
