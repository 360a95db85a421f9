"""Facts and apply on N Windows endpoints in parallel, against one: the wall time and its ratio.

    python -m tests.bench.winrm_farm [N …]        default 20

The endpoints (real HTTP, NTLM, sealing; modelled hosts) run in processes of their own on this machine. A Windows host
takes a second or more to start PowerShell and load modules, on processors of its own: SECONDS per script stand for that
(default 1; 0 leaves only what this machine computes for all the hosts it plays, which says nothing about a real farm).
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from tests.fakes.world import World
from tests.ssh.sshd import Operator
from tests.windows.endpoint import Endpoint
from tests.windows.host import WindowsHost
from tests.windows.host.runner import ModelRunner

SECONDS = float(os.environ.get("SECONDS_PER_SCRIPT", "1"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
PASSWORD = "Passw0rd!"
PROCESSES = 2


class Slow:
    """A modelled host that takes its time, without a processor of this machine."""

    def __init__(self, host: WindowsHost, seconds: float) -> None:
        self._inner, self._seconds = ModelRunner(host), seconds

    def run(
        self,
        script: str,
        *,
        environment: Mapping[str, str],
        stdin: bytes,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        user: str,
    ) -> int:
        time.sleep(self._seconds)
        return self._inner.run(script, environment=environment, stdin=stdin, out=out, err=err, user=user)


def _serve(pipe: Connection, count: int, seconds: float) -> None:
    hosts = [WindowsHost("2022", address="127.0.0.1") for _ in range(count)]
    users = {"Administrator": PASSWORD}
    endpoints = [Endpoint(Slow(host, seconds), users=users).start() for host in hosts]
    pipe.send([endpoint.port for endpoint in endpoints])
    pipe.recv()
    pipe.send(sum(len(endpoint.shells) for endpoint in endpoints))
    for endpoint in endpoints:
        endpoint.stop()


@contextmanager
def endpoints(count: int, seconds: float) -> Iterator[list[int]]:
    """The ports of fresh endpoints; at the end no shell may be left."""
    context = multiprocessing.get_context("spawn")
    share = [len(range(number, count, PROCESSES)) for number in range(min(PROCESSES, count))]
    pipes, processes = [], []
    for size in share:
        ours, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, size, seconds))
        process.start()
        pipes.append(ours)
        processes.append(process)
    yield [port for pipe in pipes for port in pipe.recv()]
    left = 0
    for pipe, process in zip(pipes, processes, strict=True):
        pipe.send("end")
        left += pipe.recv()
        process.join()
    if left:
        raise SystemExit(f"{left} shells were left open.")


def once(count: int, seconds: float) -> float:
    """Seconds of wall time for facts, plan and apply on this many fresh hosts."""
    from backends.winrm import open_winrm
    from dsrwizard.engine.engine import Engine
    from dsrwizard.engine.journal import Journals

    with endpoints(count, seconds) as ports, tempfile.TemporaryDirectory() as folder:
        servers = tuple(
            RealServer(name=f"win{number}", address="127.0.0.1", connect="winrm", winrm="http", port=port)
            for number, port in enumerate(ports)
        )
        vips = (Vip(address="10.0.0.10", services=(Service(port=80),)),)
        deployment = Deployment(
            name="farm", director=Director(interface="eth0", engine="external"), vips=vips, servers=servers
        )
        world = World.lab()
        engine = Engine(
            director=lambda interface: world.director(),
            wire=world.wire(),
            connect=open_winrm,  # type: ignore[arg-type]
            asker=Operator(answers=[PASSWORD] * count),
            journals=Journals(Path(folder)),
        )
        begin = time.perf_counter()
        result = engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
        wall = time.perf_counter() - begin
        engine.close()
    if not result.ok:
        raise SystemExit(f"It failed: {[one.failure for one in result.hosts if one.failure]}")
    return wall


def main(counts: list[int]) -> None:
    logging.disable(logging.CRITICAL)
    once(1, 0)  # imports
    one = min(once(1, SECONDS) for _ in range(ROUNDS))
    print(f"facts and apply, {SECONDS:g} s per script on the host; best of {ROUNDS}")
    print(f"  {1:3} endpoint   {one:6.2f} s")
    for count in counts:
        many = min(once(count, SECONDS) for _ in range(ROUNDS))
        print(f"  {count:3} endpoints  {many:6.2f} s  {many / one:5.2f} × one")


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [20])
