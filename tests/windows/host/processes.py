"""The processes of a modelled host: scripts that run, the lock between them, and time that passes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from tests.windows.host.cmdlets import Arguments, Register
from tests.windows.host.files import Files
from tests.windows.host.model import Process
from tests.windows.host.tasks import Schedule, TaskProcess
from tests.windows.pwsh import Object, PowerShell, PowerShellError

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

KILLED = "The process was ended."


@dataclass(eq=False)
class Script:
    """A process that runs a script: `number` as it knows itself; `task`: what the scheduler started it for."""

    task: TaskProcess | None = None
    line: str = ""
    number: int = 0
    started: int = 0
    dead: bool = False


_CURRENT = threading.local()
"""`script`: what runs in this thread."""


class Processes:
    """The part of a host that knows what runs on it."""

    files: Files
    schedule: Schedule
    now: datetime
    uptime: float
    locked: str
    changed: Callable[[], None]
    _locker: tuple[Script, object] | None
    _scripts: list[Script]
    _started: int

    def carry(self, command: str, process: TaskProcess) -> int:
        """What a task runs, in a thread of its own."""
        one = Script(task=process, line=f'powershell.exe -Command "{command}"')
        return self._carried(command, one, lambda line: None, lambda line: None, None)

    def _carried(
        self,
        script: str,
        one: Script,
        out: Callable[[str], None],
        err: Callable[[str], None],
        environment: Mapping[str, str] | None,
    ) -> int:
        def said(line: str) -> None:
            if not one.dead:
                out(line)

        self._started += 1
        one.started = self._started
        before = self._script
        _CURRENT.script = one
        self._scripts.append(one)
        try:
            shell = PowerShell(cast("WindowsHost", self), said, err, environment, waits=one.task is not None)
            return shell.run(script)
        finally:
            _CURRENT.script = before
            self._scripts.remove(one)
            if self._locker is not None and self._locker[0] is one:
                self._locker = None  # Windows frees it with its process

    @property
    def _script(self) -> Script | None:
        """The one that runs in this thread."""
        found: Script | None = getattr(_CURRENT, "script", None)
        return found

    def began(self, number: int) -> None:
        assert self._script is not None
        self._script.number = number

    def process(self, number: int) -> Script:
        """Raises PowerShellError where there is none of this number."""
        found = next((one for one in self._scripts if one.number == number and not one.dead), None)
        if found is None:
            raise PowerShellError(f"Cannot find a process with the process identifier {number}.")
        return found

    def end(self, which: Script | TaskProcess) -> None:
        """Kills it: it does nothing more, and what waits for its lock learns that."""
        for one in self._scripts:
            if which in (one, one.task):
                one.dead = True
                if self._locker is not None and self._locker[0] is one:
                    self._locker, self.locked = None, "abandoned"

    def dead(self, process: TaskProcess) -> bool:
        return any(one.dead for one in self._scripts if one.task is process)

    def waiting(self) -> list[TaskProcess]:
        """What tasks run now."""
        return [one.task for one in self._scripts if one.task is not None and not one.task.over]

    def pass_time(self, seconds: float) -> None:
        """So much time passes, and tasks do what they do meanwhile."""
        running = self.waiting()
        if not running:
            self._pass(seconds)
        for process in running:
            process.go_on(seconds)
        self.changed()

    def reboot(self) -> None:
        """All processes end; tasks that have no trigger stay as they are."""
        for process in self.waiting():
            process.kill()
        self.uptime = 0.0
        self.now += timedelta(minutes=2)

    def _pass(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self.uptime += seconds

    def running(self) -> list[Process]:
        """Processes that tasks run in, as WMI lists them."""
        since = "20260105120000.000000+060"
        return [Process(one.number, one.line, since) for one in self._scripts if one.line and not one.dead]

    def mutex(self) -> Object:
        """As `Threading.Mutex` of our one name: of the script that runs now."""
        if self.locked == "denied":
            raise PowerShellError("UnauthorizedAccessException")
        token, script = object(), self._script
        assert script is not None

        def wait(milliseconds: int, leave: bool) -> bool:
            if self.locked == "held" or self._locker is not None:
                return False
            self._locker = (script, token)
            if self.locked == "abandoned":
                self.locked = ""
                raise PowerShellError("AbandonedMutexException")
            return True

        def release() -> None:
            if self._locker is None or self._locker[1] is not token:
                raise PowerShellError("Object synchronization method was called from an unsynchronized block of code.")
            self._locker = None

        return Object("Mutex", {}, {"WaitOne": wait, "ReleaseMutex": release})


@Register("Get-Process", "Id", since=2)
def _process(host: WindowsHost, given: Arguments) -> list[Any]:
    one = host.process(int(given["id"]))
    return [Object("Process", {"Id": one.number, "StartTime": datetime(2026, 1, 5) + timedelta(seconds=one.started)})]


@Register("Stop-Process", "Id Force", since=2, changes=True)
def _stop_process(host: WindowsHost, given: Arguments) -> list[Any]:
    host.end(host.process(int(given["id"])))
    return []
