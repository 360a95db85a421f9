"""One farm in memory for several processes: who serves it has the world, and each worker runs the real engine over it,
with real journals and real locks, in a process of its own.

A call takes as long as a machine takes, so that two runs at once meet each other between any two of their calls.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any

import msgspec

from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.steps import Step
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import Locks
from tests.fakes.operator import Nobody
from tests.fakes.started import started
from tests.fakes.world import World

ROOT = Path(__file__).resolve().parents[2]
KEY = b"farm"
_Told = list[tuple[str, tuple[Any, ...]]]


class _Noting:
    """What a host tells of its steps, to be told again in another process."""

    def __init__(self) -> None:
        self.told: _Told = []

    def __getattr__(self, name: str) -> Callable[..., None]:
        return lambda *words: self.told.append((name, words))


class Farm:
    """Serves a world to workers. `pause` gives the seconds that a call takes."""

    def __init__(self, socket: Path, pause: Callable[[], float]) -> None:
        self.world = World.lab()
        self.pause = pause
        self._listener = Listener(str(socket), authkey=KEY)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: Connection[Any, Any]) -> None:
        while True:
            try:
                door, target, name, words, more = connection.recv()
            except (EOFError, OSError):
                return
            time.sleep(self.pause())
            noting = _Noting()
            try:
                port = self._port(door, target)
                if door == "server" and name == "apply":
                    words = (*words[:1], _Slow(noting, self.pause))
                answer: Any = getattr(port, name)(*words, **more)
                failed = None
            except DsrError as problem:
                answer, failed = None, problem
            connection.send((noting.told, answer, failed))

    def _port(self, door: str, target: Any) -> Any:
        if door == "director":
            return self.world.director()
        return self.world.wire() if door == "wire" else self.world.open_server(target, Nobody())

    def close(self) -> None:
        self._listener.close()


class _Slow:
    """A host takes its time over each step."""

    def __init__(self, noting: _Noting, pause: Callable[[], float]) -> None:
        self._noting, self._pause = noting, pause

    def started(self, step: Step) -> None:
        time.sleep(self._pause())
        self._noting.started(step)

    def __getattr__(self, name: str) -> Callable[..., None]:
        return getattr(self._noting, name)  # type: ignore[no-any-return]


class _Far:
    """A port of the farm, from a worker."""

    _own = threading.local()

    def __init__(self, socket: str, door: str, target: object = None) -> None:
        self._socket, self._door, self._target = socket, door, target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            watch = words[1] if self._door == "server" and name == "apply" else None
            if getattr(self._own, "to", "") != self._socket:
                self._own.connection, self._own.to = Client(self._socket, authkey=KEY), self._socket
            self._own.connection.send((self._door, self._target, name, words[:1] if watch else words, more))
            told, answer, failed = self._own.connection.recv()
            for what, said in told:
                getattr(watch, what)(*said)
            if failed is not None:
                raise failed
            return answer

        return call

    def close(self) -> None:
        """Nothing is open for long."""


def engine(socket: str, journals: Path, shared: Path | None) -> Engine:
    """The real engine over the farm behind the socket."""
    return Engine(
        director=lambda interface: _Far(socket, "director"),
        wire=_Far(socket, "wire"),
        connect=lambda host, target, asker: (_ for _ in ()).throw(AssertionError("no connector")),
        asker=Nobody(),
        journals=Journals(journals),
        open_server=lambda server: _Far(socket, "server", server),
        locks=Locks(journals, shared),
    )


def run(one: Engine, verb: str, file: Path, wait: float) -> dict[str, Any]:
    """One run of an operator who answers yes at once, as the commands do it."""
    deployment = load(file)
    try:
        if verb == "drain":
            watcher = one.watch(deployment, recorded=False)
            watcher.set_weight("web1", 0)
            watcher.close()
            return {"ok": True}
        if verb == "roll-back":
            return {"ok": one.roll_back(deployment, ("web2",), lambda event: None).ok}
        with one.lease(deployment.name, verb, wait=wait) as lease:
            if verb == "apply":
                plan = one.plan(deployment, one.observe(deployment))
                return {"ok": one.apply(deployment, plan, lambda event: None, None, lease).ok}
            plan = one.teardown_plan(deployment)
            return {"ok": one.teardown(deployment, plan, lambda event: None, None, lease).ok}
    except DsrError as problem:
        return {"ok": False, "kind": problem.kind, "said": str(problem)}


class Worker:
    """A process that carries out one run after the other, each when it is told to."""

    def __init__(self) -> None:
        program = [sys.executable, "-m", "tests.fakes.farm_process"]
        self.process = subprocess.Popen(
            started(program), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @property
    def pid(self) -> int:
        return self.process.pid

    def begin(
        self, socket: Path, verb: str, file: Path, journals: Path, shared: Path | None, wait: float = 0.0
    ) -> None:
        assert self.process.stdin is not None
        task = {"socket": str(socket), "verb": verb, "file": str(file), "journals": str(journals), "wait": wait,
                "shared": str(shared) if shared else None}  # fmt: skip
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()

    def result(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


def main() -> None:
    for line in sys.stdin:
        task = json.loads(line)
        shared = Path(task["shared"]) if task["shared"] else None
        one = engine(task["socket"], Path(task["journals"]), shared)
        result = run(one, task["verb"], Path(task["file"]), task["wait"])
        one.close()
        print(msgspec.json.encode(result).decode(), flush=True)


if __name__ == "__main__":
    main()
