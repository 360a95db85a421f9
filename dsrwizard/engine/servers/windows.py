"""A Windows real server behind a connector: PowerShell goes in, facts and step results come out."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Sequence

from dsrwizard.core.dialects.windows import answer as windows_answer
from dsrwizard.core.dialects.windows import apply as windows_apply
from dsrwizard.core.dialects.windows import half_open as windows_half_open
from dsrwizard.core.dialects.windows import observe as windows_observe
from dsrwizard.core.dialects.windows.firewall import rule_name
from dsrwizard.core.dialects.windows.frames import frame_of
from dsrwizard.core.dialects.windows.plan import command_set_of
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, ConnectionLost, HostError
from dsrwizard.core.model.facts import HalfOpenLook, ServerFacts
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Answer, Connector, OnLine
from dsrwizard.engine.servers import outcome as carried

OBSERVE_SECONDS = 60.0
STEP_SECONDS = 60.0
"""Installing a device and settling its addresses takes Windows up to half a minute."""


class WindowsServer:
    """A Windows real server over one connection, opened when first needed and opened again when it has died.

    Implements `ServerPort`; one thing at a time. `clock` gives seconds since the epoch.
    """

    def __init__(
        self, server: RealServer, connect: Callable[[], Connector], clock: Callable[[], float] = time.time
    ) -> None:
        self._server = server
        self._connect = connect
        self._clock = clock
        self._connector: Connector | None = None
        self._seen: ServerFacts | None = None
        self._rules: tuple[str, ...] = ()
        self._busy = threading.Lock()

    def observe(self, deployment: Deployment, *, closely: bool = False) -> ServerFacts:
        """The facts; always the same script, however closely. Raises HostError."""
        with self._busy:
            nonce = secrets.token_hex(8)
            self._rules = tuple(
                rule_name(vip, service) for vip in deployment.vips_of(self._server) for service in vip.services
            )
            answer = self._run(self._look(nonce), deadline=OBSERVE_SECONDS, again=True)
            self._seen = self._parse(nonce, answer)
            return self._seen

    def apply(self, steps: Sequence[Step], watch: StepWatch) -> ServerFacts | None:
        """One script for all steps, and the facts afterwards. Raises CommandFailed and ConnectionLost."""
        with self._busy:
            return self._apply(steps, watch)

    def half_open(self, sources: Sequence[str], expected: int, ready: Callable[[], None]) -> HalfOpenLook:
        """As `ServerPort.half_open`; Windows has no counters to go with it."""
        with self._busy:
            nonce = secrets.token_hex(8)
            legacy = bool(self._seen and self._seen.windows and self._seen.windows.dialect == "2008")
            told = False

            def heard(text: str) -> None:
                nonlocal told
                frame = None if told else frame_of(nonce, text)
                if frame is not None and frame.kind == "ready":
                    told = True
                    ready()

            script = windows_half_open.script(nonce, sources, expected, legacy=legacy)
            answer = self._run(script, deadline=OBSERVE_SECONDS, on_line=heard, again=True)
            return windows_half_open.parse(self._server.name, nonce, answer.stdout)

    @property
    def login(self) -> str:
        """How the connection is logged in, in a sentence, where it has more to say than the deployment."""
        return str(getattr(self._connector, "login", ""))

    def close(self) -> None:
        if self._connector is not None:
            self._connector.close()
            self._connector = None

    def _apply(self, steps: Sequence[Step], watch: StepWatch) -> ServerFacts | None:
        nonce = secrets.token_hex(8)
        progress = windows_apply.FrameProgress(nonce, steps, watch)
        windows = self._seen.windows if self._seen else None
        script = windows_apply.apply_script(
            nonce,
            steps,
            reached=self._server.address,
            system=command_set_of(windows) if windows else "windows-2012",
            afterwards=self._look(nonce),
        )
        deadline = OBSERVE_SECONDS + STEP_SECONDS * len(steps)
        answer = self._run(script, deadline=deadline, on_line=progress.feed)
        carried.raise_failure(self._server.name, steps, progress, answer)
        try:
            return self._parse(nonce, answer)
        except AnswerUnreadable as missing:
            # The steps are done and told; only the look afterwards is missing.
            watch.said(f"The steps are done, but the look afterwards failed. {missing.why} {missing.next}")
            return None

    def _look(self, nonce: str) -> str:
        return windows_observe.observe_script(nonce, own_rules=self._rules, seconds=OBSERVE_SECONDS)

    def _parse(self, nonce: str, answer: Answer) -> ServerFacts:
        return windows_answer.parse(
            self._server.name,
            nonce,
            answer.stdout,
            now=self._clock(),
            reached=self._server.address,
            said=answer.stderr,
        )

    def _run(
        self, script: str, *, deadline: float, on_line: OnLine | None = None, again: bool = False
    ) -> Answer:  # fmt: skip
        """`again`: the script changes nothing, so a connection that died under it is no reason to give up."""
        was_open = self._connector is not None
        if self._connector is None:
            self._connector = self._connect()
        try:
            return self._connector.run(script, deadline=deadline, on_line=on_line)
        except ConnectionLost as lost:
            self.close()
            if not was_open or (lost.begun and not again):
                raise
        except HostError:
            self.close()
            raise
        return self._run(script, deadline=deadline, on_line=on_line)
