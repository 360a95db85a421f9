"""A real server of a farm in memory, as the engine reaches it: its facts, its steps, its lock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

import msgspec

from dsrwizard.core.dialects.linux import close
from dsrwizard.core.dialects.linux.plan import asides_of, files_of, folders_of
from dsrwizard.core.dialects.linux.revert import touches_network
from dsrwizard.core.model.changes import Change, FileChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import CommandFailed, ConnectionLost
from dsrwizard.core.model.facts import HalfOpenLook, ServerFacts, Undo
from dsrwizard.core.model.progress import StepWatch
from dsrwizard.core.model.steps import Step
from dsrwizard.core.ports import OnLine
from tests.fakes.close_look import close_look
from tests.fakes.host import Refused
from tests.fakes.server_state import Moment, ServerState

if TYPE_CHECKING:
    from tests.fakes.world import World


class FakeServer:
    """The way to one server of the world (ServerPort). Raises what a connection raises."""

    def __init__(self, world: World, login: Callable[[], ServerState]) -> None:
        self._world = world
        self._login = login
        self._state: ServerState | None = None
        self._holder = ""
        self._files: tuple[str, ...] = ()
        self._folders: tuple[str, ...] = ()

    def observe(self, deployment: Deployment, *, closely: bool = False, clients: Sequence[str] = ()) -> ServerFacts:
        state = self._connected()
        self._files = (*files_of(deployment.name), *asides_of(deployment.name))
        self._folders = folders_of(deployment.name)
        self._alive(state)
        facts = self._facts(state)
        if not closely:
            return facts
        sections = close_look(state.machine, [vip.address for vip in deployment.vips], clients)
        looked = close.parse(sections, systemd=state.machine.persistence == "systemd")
        assert looked is not None
        if not set(sections) & {"nft", "legacy4", "legacy6", "nft4", "nft6"}:
            rules = state.rules()
            problem = "" if rules is not None else "Only root may read the rules of the packet filter."
            looked = msgspec.structs.replace(looked, chains=rules, chains_problem=problem)
        return msgspec.structs.replace(facts, ways=close.chosen(looked.ways), linux=looked)

    def apply(self, steps: Sequence[Step], watch: StepWatch, revert_after: float = 0.0) -> ServerFacts | None:
        state = self._connected()
        state.armed, state.begun, state.reverted = 0.0, [], 0
        if revert_after and touches_network(steps):
            if state.cannot_arm:
                raise CommandFailed(f"{state.name}: nothing was changed, because it cannot be made to put itself back.")
            state.armed = revert_after
            watch.armed(revert_after)
        for step in steps:
            self._world.pass_gate(state.name)
            self._alive(state)
            if state.lost_at == step.id:
                state.lost_at = ""
                self._lost(state)
            watch.started(step)
            refused = self._step(state, step, watch.said)
            watch.finished(step, not refused, refused)
            if refused:
                raise CommandFailed(
                    f"{state.name}: “{step.title}” failed; its changes were undone.",
                    f"The host said: {refused}",
                    "Fix that on the host, then retry.",
                )
        return self._facts(state)

    def keep(self) -> None:
        state = self._connected()
        self._alive(state)
        if state.reverted:
            raise CommandFailed(f"{state.name}: it could not be told to keep what was changed.")
        state.armed, state.begun = 0.0, []

    def hold(self, holder: str) -> str | None:
        state = self._connected()
        self._alive(state)
        with self._world.lock:
            if state.holder in ("", holder):
                state.holder = self._holder = holder
                return None
            return state.holder

    def let_go(self, holder: str) -> None:
        self._holder = ""
        with self._world.lock:
            for state in self._world.servers.values():
                if state.holder == holder:
                    state.holder = ""

    def clear_note(self) -> None:
        self._connected().reverted = 0

    def half_open(self, sources: Sequence[str], expected: int, ready: Callable[[], None]) -> HalfOpenLook:
        state = self._connected()
        self._alive(state)
        with self._world.lock:
            before = dict(state.counters)
        ready()
        with self._world.lock:
            return HalfOpenLook(
                before=before,
                after=dict(state.counters),
                seen=tuple(one for one in state.half_open if one.client in sources),
                waiting=tuple(state.half_open),
            )

    def close(self) -> None:
        if self._holder:  # the kernel frees it with the session
            self.let_go(self._holder)
        self._state = None

    def _facts(self, state: ServerState) -> ServerFacts:
        machine = state.machine
        with self._world.lock:
            return ServerFacts(
                host=machine.name,
                os=machine.os,
                hostname=machine.name,
                kernel=machine.kernel,
                machine=machine.machine_id,
                boot_id=machine.boot_id,
                privileged=state.privileged,
                interfaces=machine.interfaces(),
                default_routes=tuple(machine.routes),
                sysctls=dict(machine.sysctls),
                listeners=tuple(machine.listeners),
                persistence=machine.persistence,
                files={path: machine.files.get(path) for path in {*self._files, *machine.files}},
                folders={path: path not in machine.no_folders for path in self._folders},
                undo=Undo(armed=round(state.armed) if state.armed else None, reverted=state.reverted),
            )

    def _step(self, state: ServerState, step: Step, line: OnLine) -> str:
        """What the host said when it refused, or nothing. A step that fails takes back its own earlier changes."""
        with self._world.lock:
            made: list[Change] = []
            said = state.fails.get(step.id, "")
            if said:
                line(said)
                return said
            try:
                for number, change in enumerate(step.changes):
                    self._cut(state, step, number, "before")
                    state.begun += [change] if state.armed else []
                    self._cut(state, step, number, "midway")
                    state.machine.change(change)
                    made.append(change)
                    self._cut(state, step, number, "after")
            except Refused as refused:
                for earlier in reversed(made):
                    state.machine.change(earlier.inverse())
                line(str(refused))
                return str(refused)
            self._world.done.extend((state.name, change) for change in made)
        return ""

    def _cut(self, state: ServerState, step: Step, number: int, moment: Moment) -> None:
        if not state.cut(step, number, moment):
            return
        change = step.changes[number]
        if moment == "midway" and isinstance(change, FileChange) and change.new is not None:
            # as a power cut leaves a file: half of it
            half = change.new.content[: len(change.new.content) // 2]
            state.machine.files[change.path] = msgspec.structs.replace(change.new, content=half)
        state.reachable = False
        self._lost(state)

    def _connected(self) -> ServerState:
        if self._state is None:
            self._state = self._login()
            if self._holder and not self._state.holder:  # as a run that has lost the connection
                self._state.holder = self._holder
        return self._state

    def _alive(self, state: ServerState) -> None:
        if not (state.reachable and state.ssh):
            self._lost(state)

    def _lost(self, state: ServerState) -> NoReturn:
        if state.holder == self._holder:
            state.holder = ""
        self._state = None
        raise ConnectionLost(
            f"The connection to {state.name} broke in the middle.",
            "What it did last is not known.",
            "Look at it again.",
        )
