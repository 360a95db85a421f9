"""The model's task scheduler, by its COM object `Schedule.Service`, and what its tasks run.

A task's script is a real PowerShell of its own. It runs until it sleeps, and then stands still until time passes on the
host (`WindowsHost.pass_time`), so that what comes when is no matter of chance.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.windows.pwsh import Collection, NotModelled, Object, PowerShellError

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

NOT_RUN, RUNNING, READY = 0x41303, 0x41301, 3
SYSTEM = "S-1-5-18"
ADMINISTRATORS = "D:P(A;;FA;;;SY)(A;;FA;;;BA)"
PATIENCE = 120.0


@dataclass
class Task:
    """A registered task. `result` as LastTaskResult."""

    name: str
    path: str
    arguments: str
    description: str
    result: int = NOT_RUN
    process: TaskProcess | None = None


@dataclass
class Schedule:
    """The service and its tasks. `problem`: what connecting to it ends with; `forbidden`: what registering does;
    `blocked`: the result of whatever a task is to run, which does not come to run then."""

    tasks: list[Task] = field(default_factory=list)
    problem: str = ""
    forbidden: str = ""
    blocked: int = 0


class TaskProcess:
    """The script of a task, in a thread that has its turn only while whoever waits for it stands still."""

    def __init__(self, host: WindowsHost, task: Task, command: str) -> None:
        self.host = host
        self.task = task
        self.over = False
        self.failed: BaseException | None = None
        self._command = command
        self._mine, self._yours = threading.Event(), threading.Event()
        self._left = 0.0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._wait()

    def _wait(self) -> None:
        assert self._yours.wait(PATIENCE), "the script of a task neither sleeps nor ends"
        self._yours.clear()
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            self.task.result = self.host.carry(self._command, self)
        except NotModelled as missing:
            self.host.not_modelled.append(str(missing))
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self.failed = error
        finally:
            self.over = True
            self._yours.set()

    def sleep(self, seconds: float) -> None:
        """In the task's own thread: time passes as far as it is given, then the others have their turn."""
        self._left -= seconds
        while self._left < 0 and not self.host.dead(self):
            self._yours.set()
            self._mine.wait()
            self._mine.clear()
        if self.host.dead(self):
            raise PowerShellError("The process was ended.")

    def go_on(self, seconds: float) -> None:
        """Gives it so much time."""
        if not self.over:
            self._left = max(self._left, 0.0) + seconds
            self._mine.set()
            self._wait()

    def kill(self) -> None:
        self.host.end(self)
        self.go_on(0)


def service(host: WindowsHost) -> Object:
    """`New-Object -ComObject Schedule.Service`."""
    schedule = host.schedule
    connected = []

    def connect() -> None:
        host.called("connect scheduler", changing=False)
        if schedule.problem:
            raise PowerShellError(schedule.problem)
        connected.append(True)

    def folder(path: str) -> Object:
        if not connected:
            raise PowerShellError("The object is not connected. (Exception from HRESULT: 0x80070228)")
        assert path == "\\"
        return _folder(host)

    def definition(flags: int) -> Object:
        assert flags == 0
        return _Definition()

    return Object("ITaskService", {}, {"Connect": connect, "GetFolder": folder, "NewTask": definition})


class _Settings(Object):
    """Properties that are set and kept; `kept` has what was given."""

    def __init__(self, kind: str, known: dict[str, Any], methods: dict[str, Any] | None = None) -> None:
        self.kept = dict(known)
        super().__init__(kind, known, methods, assigned=self._keep)

    def _keep(self, name: str, value: Any) -> None:
        self.kept[next(one for one in self.kept if one.lower() == name.lower())] = value


class _Definition(Object):
    def __init__(self) -> None:
        self.principal = _Settings("IPrincipal", {"UserId": "", "LogonType": 0, "RunLevel": 0})
        self.about = _Settings("IRegistrationInfo", {"Description": ""})
        self.settings = _Settings(
            "ITaskSettings",
            {
                "DisallowStartIfOnBatteries": True, "StopIfGoingOnBatteries": True, "ExecutionTimeLimit": "PT72H",
                "Priority": 7,
            },
        )  # fmt: skip
        self.actions: list[_Settings] = []

        def create(kind: int) -> Object:
            assert kind == 0, "TASK_ACTION_EXEC"
            self.actions.append(_Settings("IExecAction", {"Path": "", "Arguments": ""}))
            return self.actions[-1]

        super().__init__(
            "ITaskDefinition",
            {
                "Principal": self.principal,
                "RegistrationInfo": self.about,
                "Settings": self.settings,
                "Actions": Object("IActionCollection", {}, {"Create": create}),
            },
        )


def _folder(host: WindowsHost) -> Object:
    schedule = host.schedule

    def register(name: str, given: _Definition, flags: int, user: Any, password: Any, logon: int, sddl: str) -> Object:
        host.called("register task")
        if not host.elevated:
            raise PowerShellError("Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))")
        if schedule.forbidden:
            raise PowerShellError(schedule.forbidden)
        if any(task.name.lower() == name.lower() for task in schedule.tasks):
            raise PowerShellError("Cannot create a file when that file already exists. (0x800700B7)")
        principal = given.principal.kept
        assert (flags, user, password, logon) == (2, None, None, 5), "TASK_CREATE, TASK_LOGON_SERVICE_ACCOUNT"
        assert (principal["UserId"], principal["LogonType"], principal["RunLevel"]) == (SYSTEM, 5, 1)
        assert sddl == ADMINISTRATORS, "nobody else may start or change what runs as the system"
        (action,) = given.actions
        task = Task(name, action.kept["Path"], action.kept["Arguments"], given.about.kept["Description"])
        assert given.settings.kept["ExecutionTimeLimit"] == "PT0S", "it would be ended in the middle"
        schedule.tasks.append(task)
        host.done("register task")
        return _registered(host, task)

    def remove(name: str, flags: int) -> None:
        host.called("delete task")
        found = [task for task in schedule.tasks if task.name.lower() == name.lower()]
        if not found:
            raise PowerShellError("The system cannot find the file specified. (Exception from HRESULT: 0x80070002)")
        schedule.tasks.remove(found[0])
        host.done("delete task")

    def listed(flags: int) -> Collection:
        assert flags == 1, "TASK_ENUM_HIDDEN"
        return Collection("IRegisteredTaskCollection", lambda: [_registered(host, one) for one in schedule.tasks], {})

    return Object(
        "ITaskFolder", {}, {"RegisterTaskDefinition": register, "DeleteTask": remove, "GetTasks": listed}
    )  # fmt: skip


def _registered(host: WindowsHost, task: Task) -> Object:
    def run(parameters: Any) -> None:
        host.called("run task")
        assert parameters is None
        if host.schedule.blocked:
            task.result = host.schedule.blocked
        else:
            task.process = TaskProcess(host, task, _command(task))
        host.done("run task")

    running = task.process is not None and not task.process.over
    return Object(
        "IRegisteredTask",
        {
            "Name": task.name,
            "State": lambda: 4 if task.process is not None and not task.process.over else READY,
            "LastTaskResult": lambda: RUNNING if running else task.result,
        },
        {"Run": run},
    )


def _command(task: Task) -> str:
    """What powershell.exe is to run, of its command line."""
    assert task.path == r"C:\Windows\System32\WindowsPowerShell\v1.0\powershell.exe"
    found = re.fullmatch(
        r'-NoProfile -NonInteractive -ExecutionPolicy Unrestricted -Command "([^"]*)"', task.arguments, re.S
    )
    assert found, task.arguments
    return found[1]
