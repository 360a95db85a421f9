"""A real server behind a connector: the dialect's scripts go in, facts and step results come out."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from dsrwizard import __version__
from dsrwizard.core.dialects.linux import apply as linux_apply
from dsrwizard.core.dialects.linux import half_open as linux_half_open
from dsrwizard.core.dialects.linux import keepalived as linux_keepalived
from dsrwizard.core.dialects.linux import observe as linux_observe
from dsrwizard.core.dialects.linux import revert as linux_revert
from dsrwizard.core.dialects.linux.plan import asides_of, files_of, folders_of
from dsrwizard.core.dialects.other_director.asking import DirectorOrder, Errand, ask_script, parse_answer
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.model.errors import (
    AnswerUnreadable,
    CommandFailed,
    ConnectionLost,
    HostError,
    SessionRefused,
    UsageError,
)
from dsrwizard.core.model.facts import HalfOpenLook, ServerFacts, Undo
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.steps import Step
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.keepalived import keepalived_settings
from dsrwizard.core.plan.spread import as_there
from dsrwizard.core.ports import Answer, Asker, Connector, OnLine, OpenConnector, ServerPort
from dsrwizard.engine.servers import outcome as carried
from dsrwizard.engine.servers.lock import HostLock

OBSERVE_SECONDS = 20.0
STEP_SECONDS = 20.0
ANSWER_SECONDS = 60.0
"""In which dsrwizard on another director starts and looks at it."""
_FRESH_SECONDS = 5.0
"""A connection idle for longer is tried before something is changed over it."""


class LinuxServer:
    """A Linux real server over one connection, opened when first needed and opened again when it has died.

    Implements `ServerPort`. One thing at a time: a look that nobody waits for any more may still run when the next one
    or an apply begins, and must neither open a second connection nor close the one in use.
    """

    def __init__(self, server: RealServer, connect: Callable[[], Connector]) -> None:
        self._server = server
        self._connect = connect
        self._connector: Connector | None = None
        self._over = False
        self._used = 0.0
        self._files: tuple[str, ...] = ()
        self._folders: tuple[str, ...] = ()
        self._armed = False
        self._seen: ServerFacts | None = None
        self._there: Deployment | None = None
        """The deployment as it is there, where this is another director that announces VIPs by BGP."""
        self._lock = HostLock(server.name)
        self._busy = threading.Lock()

    def observe(self, deployment: Deployment, *, closely: bool = False, clients: Sequence[str] = ()) -> ServerFacts:
        """The facts. Raises HostError."""
        with self._busy:
            return self._observe(deployment, clients, closely=closely)

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

    def hold(self, holder: str) -> str | None:
        """See `ServerPort.hold`. Raises HostError."""
        with self._busy:
            self._lock.wanted(holder)
            was_open = self._connector is not None
            try:
                self._opened()
            except ConnectionLost:
                if not was_open:
                    raise
                self._opened()
            return self._lock.taken_by

    def let_go(self, holder: str) -> None:
        """See `ServerPort.let_go`."""
        self._lock.let_go()

    def clear_note(self) -> None:
        """See `ServerPort.clear_note`."""
        with self._busy:
            self._run_again_if_lost(linux_revert.clear_script(secrets.token_hex(8)))

    def half_open(self, sources: Sequence[str], expected: int, ready: Callable[[], None]) -> HalfOpenLook:
        """Half-open connections while something is sent. Raises HostError."""
        with self._busy:
            nonce = secrets.token_hex(8)

            def heard(line: str) -> None:
                if linux_half_open.is_ready(nonce, line):
                    ready()

            script = linux_half_open.script(nonce, sources, expected)
            answer = self._run(script, deadline=OBSERVE_SECONDS, on_line=heard)
            return linux_half_open.parse(self._server.name, nonce, answer.stdout)

    def _observe(self, deployment: Deployment, clients: Sequence[str], *, closely: bool) -> ServerFacts:
        self._files = (*files_of(deployment.name), *asides_of(deployment.name))
        self._folders = folders_of(deployment.name)
        nonce = secrets.token_hex(8)
        # Routes and listeners are asked for where somebody reads them: a plan does not, the proof of UDP does.
        brief = not closely and not any(s.protocol == "udp" for vip in deployment.vips for s in vip.services)
        vips = deployment.vips_of(self._server) if closely else ()
        rips = [one for one in (self._server.address, self._server.address6) if one]
        script = linux_observe.observe_script(
            nonce,
            self._files,
            brief=brief,
            closely=closely,
            vips=vips,
            clients=_known(deployment, clients),
            folders=self._folders,
            rips=rips,
        )
        answer = self._run_again_if_lost(script)
        self._seen = linux_observe.parse(self._server.name, nonce, answer.stdout)
        director = deployment.director
        if director.engine == "keepalived" and any(peer.name == self._server.name for peer in director.peers):
            self._seen = self._with_keepalived(deployment, self._seen)
        peer = next((one for one in director.peers if director.spread and one.name == self._server.name), None)
        self._there = None if peer is None else as_there(deployment, peer)
        if self._there is not None:
            self._seen = self._asked("look", self._there, self._seen)
        return self._seen

    def _asked(
        self, what: Errand, deployment: Deployment, seen: ServerFacts, steps: Sequence[Step] = (),
        watch: StepWatch | None = None,
    ) -> ServerFacts:  # fmt: skip
        """The facts of another director, with what dsrwizard there says of it once the steps are done."""
        order = DirectorOrder(
            version=__version__, nonce=secrets.token_hex(8), deployment=deployment, steps=tuple(steps)
        )
        script = ask_script(what, order)
        if watch is None:
            answer = self._run_again_if_lost(script, ANSWER_SECONDS)
        else:
            progress = linux_apply.LineProgress(order.nonce, steps, watch)
            deadline = ANSWER_SECONDS + STEP_SECONDS * len(steps)
            answer = self._run(script, deadline=deadline, on_line=progress.feed)
            carried.refuse(self._server.name, progress)
            if progress.failed is not None or progress.finished_steps:
                carried.raise_failure(self._server.name, steps, progress, answer)
        facts, unsaved = parse_answer(self._server.name, order.nonce, answer.stdout, answer.stderr, __version__)
        if unsaved:
            raise CommandFailed(
                f"{self._server.name}: what its next boot brings back could not be written.", unsaved, "Apply again."
            )
        return msgspec.structs.replace(seen, director=facts, interfaces=facts.interfaces)

    def _with_keepalived(self, deployment: Deployment, facts: ServerFacts) -> ServerFacts:
        """The facts of another director, with what its part in the deployment needs."""
        nonce = secrets.token_hex(8)
        settings = keepalived_settings(deployment, deployment.director.interface_of(deployment.peer(self._server.name)))
        answer = self._run_again_if_lost(linux_keepalived.look_script(nonce, deployment.name, settings))
        seen = linux_keepalived.parse_look(self._server.name, nonce, answer.stdout)
        return msgspec.structs.replace(
            facts, keepalived=seen, files={**facts.files, **seen.files}, folders={**facts.folders, **seen.folders},
            sysctls={**facts.sysctls, **seen.sysctls},
        )  # fmt: skip

    def _keep(self) -> None:
        nonce = secrets.token_hex(8)
        script, again = linux_revert.keep_script(nonce), False
        try:
            answer = self._run(script, deadline=OBSERVE_SECONDS)
        except ConnectionLost:
            answer, again = self._run(script, deadline=OBSERVE_SECONDS), True
        word = linux_revert.kept(nonce, answer.stdout)
        carried.raise_unless_kept(self._server.name, word, answer.stderr, again=again)
        self._armed = False
        if self._seen is not None:
            self._seen = msgspec.structs.replace(self._seen, undo=Undo())

    def _apply(self, steps: Sequence[Step], watch: StepWatch, revert_after: float) -> ServerFacts | None:
        if time.monotonic() - self._used > _FRESH_SECONDS:
            self._run_again_if_lost(":")
        if self._there is not None and self._seen is not None:
            self._seen = self._asked("steps", self._there, self._seen, steps, watch)
            return self._seen
        nonce = secrets.token_hex(8)
        afterwards = linux_observe.observe_script(nonce, self._files, brief=True, folders=self._folders)
        progress = linux_apply.LineProgress(nonce, steps, watch)
        try:
            answer = self._run(
                linux_apply.apply_script(nonce, steps, afterwards, revert_after),
                deadline=OBSERVE_SECONDS + STEP_SECONDS * len(steps),
                on_line=progress.feed,
            )
        finally:
            self._armed = progress.armed
        carried.refuse(self._server.name, progress)
        carried.raise_failure(self._server.name, steps, progress, answer)
        try:
            after = linux_observe.parse(self._server.name, nonce, answer.stdout)
            if self._seen is not None:  # no step changes routes or listeners, so they are not asked for again
                routes, listeners = self._seen.default_routes, self._seen.listeners
                after = msgspec.structs.replace(after, default_routes=routes, listeners=listeners)
            return after
        except AnswerUnreadable:
            return None  # the steps are done and told; only the look afterwards is missing

    def close(self) -> None:
        """Ends the connection for good: what runs over it is lost, and is not tried again over a new one."""
        self._over = True
        self._drop()

    def _drop(self) -> None:
        self._lock.lost()
        if self._connector is not None:
            self._connector.close()
            self._connector = None

    def _opened(self) -> Connector:
        """The connection, and with it the lock where a run wants it: both are there, or opened now."""
        if self._connector is None:
            self._connector = carried.opened(self._server.name, self._connect, over=self._over)
        try:
            self._lock.take(self._connector)
        except ConnectionLost as lost:
            lost.begun = False
            self._drop()
            raise
        return self._connector

    def _run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        was_open = self._connector is not None
        connector = self._opened()
        self._lock.refuse()
        try:
            answer = self._in_a_session(connector, script, deadline, on_line)
        except ConnectionLost as lost:
            self._drop()
            if lost.begun or not was_open:
                raise
            return self._run(script, deadline=deadline, on_line=on_line)
        except HostError:
            self._drop()
            raise
        self._used = time.monotonic()
        return answer

    def _in_a_session(self, connector: Connector, script: str, deadline: float, on_line: OnLine | None) -> Answer:
        """The script in a session beside the lock's; where the host has room for one alone, instead of it."""
        try:
            return connector.run(script, deadline=deadline, on_line=on_line)
        except SessionRefused:
            if not self._lock.gives_way():
                raise
        return connector.run(script, deadline=deadline, on_line=on_line)

    def _run_again_if_lost(self, script: str, deadline: float = OBSERVE_SECONDS) -> Answer:
        """For scripts that change nothing: a connection that died while idle is no failure of the host."""
        was_open = self._connector is not None
        try:
            return self._run(script, deadline=deadline)
        except ConnectionLost:
            if not was_open:
                raise
            return self._run(script, deadline=deadline)


def _known(deployment: Deployment, clients: Sequence[str]) -> list[str]:
    """The clients whose way back is asked for: the client host first, where the deployment gives its address."""
    named = deployment.client.address if deployment.client is not None else ""
    try:
        return [canonical(named), *clients]
    except ValueError:  # a name, or none
        return [*clients]


def server_port(
    server: RealServer,
    open_connector: OpenConnector,
    asker: Asker,
    adapters_made: Callable[[], Mapping[str, tuple[str, ...]]] = dict,
) -> ServerPort:
    """The port for a server, by how it is connected. `adapters_made`: see `Journals.adapters_made`. Raises UsageError
    for one that is set up by hand."""
    if server.connect == "ssh":
        return LinuxServer(server, lambda: open_connector(server.name, server, asker))
    if server.connect == "winrm":
        from dsrwizard.engine.servers.windows import WindowsServer

        return WindowsServer(
            server,
            lambda: open_connector(server.name, server, asker),
            adapters_made=adapters_made,
        )
    raise UsageError(
        f"{server.name} is set up by hand: dsrwizard does not log in there.", "",
        'Write connect = "ssh" or connect = "winrm" to have it configured.',
    )  # fmt: skip
