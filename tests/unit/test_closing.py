"""What is closed stays closed: nobody logs in to a host again for a look that nobody waits for any more."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import ConnectionLost, LookError
from dsrwizard.core.ports import Answer, OnLine, ServerPort
from dsrwizard.engine.hosts import Hosts
from dsrwizard.engine.servers.linux import LinuxServer
from dsrwizard.engine.servers.windows import WindowsServer
from tests.fakes.world import World

SERVER = RealServer(name="web1", address="10.0.0.101")
SHOP = Deployment(
    name="shop", director=Director(interface="eth0"), servers=(SERVER,),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
)  # fmt: skip


class Hanging:
    """A connection on which a script hangs until it is closed."""

    def __init__(self) -> None:
        self.begun, self.closed = threading.Event(), threading.Event()

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        self.begun.set()
        assert self.closed.wait(30)
        lost = ConnectionLost("web1: the connection broke.", "", "")
        lost.begun = True
        raise lost

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize("kind", [LinuxServer, WindowsServer])
def test_a_look_that_is_closed_under_way_is_not_begun_again(
    kind: Callable[[RealServer, Callable[[], Hanging]], ServerPort],
) -> None:
    opened: list[Hanging] = []

    def connect() -> Hanging:
        opened.append(Hanging())
        return opened[-1]

    port, problems = kind(SERVER, connect), []
    port_opened = threading.Event()

    def look() -> None:
        for _ in range(2):  # the second finds a connection that was open already
            try:
                port.observe(SHOP)
            except ConnectionLost as problem:
                problems.append(problem)
            port_opened.set()

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    while not opened:
        assert thread.is_alive()
    assert opened[0].begun.wait(30)
    port.close()
    thread.join(30)
    assert not thread.is_alive()
    assert len(opened) == 1
    assert len(problems) == 2
    assert "closed" in problems[1].what


def test_hosts_that_are_closed_open_no_server_any_more() -> None:
    world = World.lab()
    hosts = Hosts(world.director, lambda server: pytest.fail("opened"))
    hosts.close()
    with pytest.raises(LookError, match="closed"):
        hosts.port(SERVER)
