"""The base of the result steps (review, apply, verify): keys for what is done by hand, on servers and load balancer."""

from __future__ import annotations

from pathlib import Path

from textual.binding import Binding

from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.deployment import IN_KERNEL
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.products import PRODUCTS
from screens.pane import Pane


class ByHand(Pane):
    """A pane with results. `h` opens the runbook of the selected server, or else of the first one set up by hand; `l`
    writes that of a load balancer that is another machine, ticked by the last verification."""

    BINDINGS = [
        Binding("h", "runbook", "Runbook", id="runbook.open", tooltip="Show the steps to do by hand on this server"),
        Binding("l", "box", "Balancer", id="runbook.balancer", tooltip="Write the load balancer's runbook"),
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
        if action == "box":
            return self.draft.engine not in IN_KERNEL
        return bool(self.by_hand()) if action == "runbook" else True

    def action_box(self) -> None:
        """Asks for a path, then writes the load balancer's runbook as Markdown and HTML."""
        from screens.questions.export import RunbookModal

        name = self.draft.name.strip()
        self.app.push_screen(RunbookModal(name, "load-balancer", whose="the load balancer"), self._write_box)

    def _write_box(self, path: Path | None) -> None:
        from dsrwizard.core.tell.runbook.balancer import OTHER, balancer_book, balancer_proofs
        from screens.questions.export import write_runbook

        if path is None:
            return
        try:
            deployment = deployment_of(self.draft)
            engine = deployment.director.engine
            book = balancer_book(deployment, engine if engine in PRODUCTS else OTHER)
            written = write_runbook(path, book, balancer_proofs(book, deployment, self.desk.report))
        except DsrError as error:
            self.notify(str(error), severity="warning", markup=False)
        except OSError as error:
            self.notify(f"{path} could not be written: {error.strerror}.", severity="error", markup=False)
        else:
            self.notify("\n".join(map(str, written)), title="Written", timeout=15, markup=False)

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
