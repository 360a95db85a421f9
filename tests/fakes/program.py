"""`dsrwizard` as a process of its own over a farm in its memory, on pipes or on a terminal, for what has to do with
signals, a terminal that is closed, an exit status."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dsrwizard.core.intake.deployment_file import dumps
from tests.fakes.started import started
from tests.fakes.world import World

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60.0
"""How long anything is waited for that is bound to happen."""

_PROGRAM = """
import fcntl, os, sys, termios, threading, time
from pathlib import Path
if sys.stdin.isatty():
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
folder, applied, held, password, opened = Path(sys.argv[1]), *sys.argv[2:6]
del sys.argv[1:6]
from dsrwizard import out
from dsrwizard.cli import interruptible, wiring
from dsrwizard.__main__ import main
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
interruptible.LONG = 0.2
complain = out.complaint
def complained(*lines):
    complain(*lines)
    (folder / "told").touch()
out.complaint = complained
from dsrwizard.engine.watch import poller
poller.KERNEL_SECONDS = 0.0
world = World.lab()
wiring.build_engine = lambda asker: engine_of(world, asker, folder / "journal", folder / "events")
if applied:
    engine, shop = wiring.build_engine(Nobody()), world.deployment()
    engine.apply(shop, engine.plan(shop, engine.observe(shop)), lambda event: None)
    engine.close()
    for virtual in world.ipvs.table.values():
        for entry in virtual.entries:
            entry.active = int(opened)
world.servers["web1"].password = password or None
def gate():
    world.held(held, 60)
    (folder / "held").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    world.release(held)
if held:
    world.hold(held)
    threading.Thread(target=gate, daemon=True).start()
leave = os._exit
def left(code):
    (folder / "done").write_text(str(len(world.done)))
    leave(code)
os._exit = left
try:
    main()
except SystemExit as end:
    os._exit(end.code)
"""


class Program:
    """`dsrwizard ARGUMENTS`; `FILE` among them is the deployment's file. `held` is a host whose next step waits until
    `go` (`dump`: the reading of counters), `password` what web1 asks for; `lab` fills the wizard's values in. With
    `terminal` it leads a session on a terminal of its own; otherwise it has pipes, and its standard output goes to
    `output`. `opened`: connections that each real server has, where the deployment is applied.
    """

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        ignored: Sequence[signal.Signals] = (),
        terminal: bool = False,
        applied: bool = False,
        held: str = "",
        password: str = "",
        lab: bool = False,
        output: str = "",
        opened: int = 0,
    ) -> None:
        self.folder = folder
        self.said = ""
        """What was read of standard error, or of the terminal."""
        file = folder / "shop.toml"
        file.write_text(dumps(World.lab().deployment()))
        self.crash = folder / "state" / "dsrwizard" / "crash.txt"
        program = [sys.executable, "-c", _PROGRAM, str(folder), "yes" if applied else "", held, password]
        program.append(str(opened))
        self._slave = -1
        streams: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": (Path(output) if output else folder / "out").open("wb"),
        }
        if terminal:
            self._reading, self._slave = os.openpty()
            termios.tcsetwinsize(self._slave, (24, 80))
            self.modes = termios.tcgetattr(self._slave)
            streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._slave)
        else:
            self._reading, streams["stderr"] = os.pipe()
        environment = os.environ | {
            "XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"
        }  # fmt: skip
        environment |= {"DSRWIZARD_LAB": str(file)} if lab else {}
        self.process = subprocess.Popen(
            started([*program, *(str(file) if word == "FILE" else word for word in arguments)], ignored),
            cwd=ROOT,
            env=environment,
            start_new_session=True,
            **streams,
        )
        if not terminal:
            streams["stdout"].close()
            os.close(streams["stderr"])

    @property
    def out(self) -> str:
        """Standard output so far, where that is no terminal."""
        return (self.folder / "out").read_text()

    @property
    def done(self) -> int:
        """How many steps were carried out; known once it has ended in an orderly way."""
        return int((self.folder / "done").read_text())

    def until(self, so: Callable[[], bool]) -> None:
        """Waits for something that has to happen, and reads what is said meanwhile."""
        end = time.monotonic() + SECONDS
        while not so():
            assert time.monotonic() < end, self.said[-3000:]
            self._read(0.02)

    def expect(self, text: str) -> None:
        self.until(lambda: text in self.said)

    def is_held(self) -> None:
        """Waits until it has come to what is held."""
        self.until((self.folder / "held").exists)

    def has_told(self) -> None:
        """Waits until it has said something on standard error, be it to a terminal that is gone."""
        self.until((self.folder / "told").exists)

    def go(self) -> None:
        """What is held goes on."""
        (self.folder / "go").touch()

    def enter(self, text: str) -> None:
        os.write(self._reading, text.encode())

    def modes_now(self) -> list[Any]:
        return termios.tcgetattr(self._slave)

    def hang_up(self) -> None:
        """The terminal is closed, as by a window that is closed or a connection that breaks."""
        os.close(self._slave)
        os.close(self._reading)
        self._slave = self._reading = -1

    def status(self) -> int:
        """Its exit status; everything it said is read then."""
        self.until(lambda: self.process.poll() is not None)
        while self._read(0):
            pass
        return self.process.wait()

    def _read(self, seconds: float) -> bool:
        if self._reading < 0:
            time.sleep(seconds)
            return False
        if not select.select([self._reading], [], [], seconds)[0]:
            return False
        got = os.read(self._reading, 65536)
        self.said += got.decode(errors="replace")
        if not got:
            time.sleep(seconds)  # it has closed its end
        return bool(got)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for descriptor in (self._reading, self._slave):
            if descriptor >= 0:
                os.close(descriptor)
