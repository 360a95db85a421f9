"""A Windows real server behind a connector: PowerShell goes in, facts and step results come out."""

from __future__ import annotations

import getpass
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from dsrwizard.core.dialects.windows import answer as windows_answer
from dsrwizard.core.dialects.windows import apply as windows_apply
from dsrwizard.core.dialects.windows import half_open as windows_half_open
from dsrwizard.core.dialects.windows import observe as windows_observe
from dsrwizard.core.dialects.windows import revert as windows_revert
from dsrwizard.core.dialects.windows.blocked import blocked
from dsrwizard.core.dialects.windows.firewall import rule_name
from dsrwizard.core.dialects.windows.frames import frame_of
from dsrwizard.core.dialects.windows.plan import command_set_of
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, CommandFailed, ConnectionLost, HostError
from dsrwizard.core.model.facts import HalfOpenLook, ServerFacts, Undo
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import Answer, Connector, OnLine
from dsrwizard.engine.servers import outcome as carried

ARMING_SECONDS = 90.0
"""The task that takes steps back may take a minute to begin."""
STEP_SECONDS = 60.0
"""Installing a device and settling its addresses takes Windows up to half a minute."""


def _who() -> str:
    """Who runs dsrwizard, and where, in signs that are harmless in a command line."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # nobody has this number
        user = str(os.getuid())
    return f"{_plain(user)} at {_plain(os.uname().nodename)}"


def _plain(text: str) -> str:
    return re.sub(r"[^\w.-]", "", text, flags=re.ASCII)[:60]


def rules_of(deployment: Deployment, server: RealServer) -> tuple[str, ...]:
    """The firewall rules that are ours there."""
    return tuple(rule_name(vip, service) for vip in deployment.vips_of(server) for service in vip.services)


def look_script(nonce: str, own_rules: Sequence[str], seconds: float = windows_observe.SECONDS) -> str:
    """The script that looks at a server, and how long it may take."""
    return windows_observe.observe_script(nonce, own_rules=own_rules, seconds=seconds)


def change_script(
    nonce: str,
    server: RealServer,
    deployment: str,
    steps: Sequence[Step],
    seen: ServerFacts | None,
    look: str,
    revert_after: float = 0.0,
) -> str:
    """The script that carries out these steps on a server that was `seen` like this, and looks again. `revert_after`:
    see `ServerPort.apply`."""
    windows = seen.windows if seen else None
    return windows_apply.apply_script(
        nonce,
        steps,
        reached=server.address,
        system=command_set_of(windows) if windows else "windows-2012",
        afterwards=look,
        title=f"dsrwizard: change of {_plain(deployment)} by {_who()}",
        windows=windows,
        revert_after=revert_after,
    )


class WindowsServer:
    """A Windows real server over one connection, opened when first needed and opened again when it has died.

    Implements `ServerPort`; one thing at a time. `clock` gives seconds since the epoch, `adapters_made` the GUIDs that
    the journals have for adapters, by name.
    """

    def __init__(
        self,
        server: RealServer,
        connect: Callable[[], Connector],
        clock: Callable[[], float] = time.time,
        adapters_made: Callable[[], Mapping[str, tuple[str, ...]]] = dict,
    ) -> None:
        self._server = server
        self._connect = connect
        self._clock = clock
        self._connector: Connector | None = None
        self._over = False
        self._adapters_made = adapters_made
        self._deployment = ""
        self._seen: ServerFacts | None = None
        self._rules: tuple[str, ...] = ()
        self._armed = False
        self._busy = threading.Lock()

    def observe(self, deployment: Deployment, *, closely: bool = False, clients: Sequence[str] = ()) -> ServerFacts:
        """The facts; always the same script, however closely. Raises HostError."""
        with self._busy:
            self._deployment = deployment.name
            nonce = secrets.token_hex(8)
            self._rules = rules_of(deployment, self._server)
            answer = self._run(self._look(nonce), deadline=self._server.look_seconds, again=True)
            self._seen = self._parse(nonce, answer)
            return self._seen

    def apply(self, steps: Sequence[Step], watch: StepWatch, revert_after: float = 0.0) -> ServerFacts | None:
        """One script for all steps, and the facts afterwards. Raises CommandFailed and ConnectionLost."""
        with self._busy:
            return self._apply(steps, watch, revert_after)

    def keep(self) -> None:
        """See `ServerPort.keep`."""
        with self._busy:
            before = self._seen.undo if self._seen is not None else Undo()
            if self._armed or before.armed is not None:
                self._keep()

    def clear_note(self) -> None:
        """See `ServerPort.clear_note`."""
        with self._busy:
            script = windows_revert.clear_script(secrets.token_hex(8))
            self._run(script, deadline=self._server.look_seconds, again=True)

    def hold(self, holder: str) -> str | None:
        """None: a script that changes something locks Windows for as long as it runs (`scripts/lock.ps1`)."""
        return None

    def let_go(self, holder: str) -> None:
        """There is nothing to give back."""

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
            answer = self._run(script, deadline=self._server.look_seconds, on_line=heard, again=True)
            look = windows_half_open.parse(self._server.name, nonce, answer.stdout)
            return msgspec.structs.replace(look, families=(4,)) if legacy else look  # .NET 2.0 lists IPv4 alone

    @property
    def login(self) -> str:
        """How the connection is logged in, in a sentence, where it has more to say than the deployment."""
        return str(getattr(self._connector, "login", ""))

    def close(self) -> None:
        """Ends the connection for good: what runs over it is lost, and is not tried again over a new one."""
        self._over = True
        self._drop()

    def _drop(self) -> None:
        if self._connector is not None:
            self._connector.close()
            self._connector = None

    def _keep(self) -> None:
        nonce = secrets.token_hex(8)
        script, again = windows_revert.keep_script(nonce), False
        try:
            answer = self._run(script, deadline=self._server.look_seconds)
        except ConnectionLost:
            answer, again = self._run(script, deadline=self._server.look_seconds), True
        word = windows_revert.kept(nonce, answer.stdout)
        carried.raise_unless_kept(self._server.name, word, answer.stderr, again=again)
        self._armed = False
        if self._seen is not None:
            self._seen = msgspec.structs.replace(self._seen, undo=Undo())

    def _apply(self, steps: Sequence[Step], watch: StepWatch, revert_after: float) -> ServerFacts | None:
        nonce = secrets.token_hex(8)
        progress = windows_apply.FrameProgress(nonce, steps, watch)
        look = self._look(nonce)
        script = change_script(nonce, self._server, self._deployment, steps, self._seen, look, revert_after)
        deadline = self._server.look_seconds + STEP_SECONDS * len(steps) + (ARMING_SECONDS if revert_after else 0)
        try:
            answer = self._run(script, deadline=deadline, on_line=progress.feed)
        finally:
            self._armed = progress.armed
        try:
            carried.refuse(self._server.name, progress)
            carried.raise_failure(self._server.name, steps, progress, answer)
        except (CommandFailed, ConnectionLost) as failed:
            known = blocked(f"{progress.said or progress.said_last} {answer.stderr}")
            if known is not None:
                failed.why, failed.next = f"{known.why} {failed.why}", f"{known.next} {failed.next}"
            raise
        try:
            return self._parse(nonce, answer)
        except AnswerUnreadable as missing:
            # The steps are done and told; only the look afterwards is missing.
            watch.said(f"The steps are done, but the look afterwards failed. {missing.why} {missing.next}")
            return None

    def _look(self, nonce: str) -> str:
        return look_script(nonce, self._rules, self._server.look_seconds)

    def _parse(self, nonce: str, answer: Answer) -> ServerFacts:
        facts = windows_answer.parse(
            self._server.name,
            nonce,
            answer.stdout,
            now=self._clock(),
            reached=self._server.address,
            said=answer.stderr,
        )
        windows = facts.windows
        if windows is None:
            return facts
        known = msgspec.structs.replace(windows, known=dict(self._adapters_made()))
        return msgspec.structs.replace(facts, windows=known)

    def _run(
        self, script: str, *, deadline: float, on_line: OnLine | None = None, again: bool = False
    ) -> Answer:  # fmt: skip
        """`again`: the script changes nothing, so a connection that died under it is no reason to give up."""
        was_open = self._connector is not None
        if self._connector is None:
            self._connector = carried.opened(self._server.name, self._connect, over=self._over)
        try:
            return self._connector.run(script, deadline=deadline, on_line=on_line)
        except ConnectionLost as lost:
            self._drop()
            if not was_open or (lost.begun and not again):
                raise
        except HostError:
            self._drop()
            raise
        return self._run(script, deadline=deadline, on_line=on_line)
