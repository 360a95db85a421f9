"""Processes of PowerShell that live as long as the tests: each runs one script at a time, in a fresh runspace."""

from __future__ import annotations

import atexit
import base64
import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from tests.windows.pwsh.found import needed
from tests.windows.pwsh.tables import body, function, names
from tests.windows.pwsh.values import Collection, Hash, NotModelled, Object, PowerShellError, Static, Version

HERE = Path(__file__).parent
KEPT = str(Path(sys.prefix) / ".powershell")
"""Where the compiled bridge is kept: in the environment, so that a checkout may be read-only."""
OF_THEIR_OWN = ("New-Object", "Add-Type")
"""Commands whose function is written by hand."""
APPCMD = r"C:\Windows\System32\inetsrv\appcmd.exe"
PROGRAMS = ("netsh", "arp", "ipconfig", "netstat", "findstr", "winrm", "reg", APPCMD)
MOST = 3
"""Processes at once, those left out whose scripts wait for what others do."""
Say = Callable[[str], None]


class Machine(Protocol):
    """What a script sees of its host."""

    powershell: tuple[int, int]

    def cmdlet(self, name: str, parameters: dict[str, Any], positional: list[Any]) -> list[Any]:
        """Runs a cmdlet. Raises PowerShellError, or NotModelled."""
        ...

    def cmdlets(self) -> frozenset[str]:
        """The commands that are the model's, in lower case."""
        ...

    def native(self, name: str, arguments: list[str]) -> tuple[int, list[str]]: ...

    def static(self, name: str) -> Static: ...

    def variables(self) -> dict[str, str]:
        """The machine's own environment variables."""
        ...

    def add_type(self, source: str) -> list[str]:
        """The classes of this source that the host answers for."""
        ...

    def began(self, number: int) -> None:
        """The script that runs in this thread has this process number."""
        ...

    def asked(self, question: dict[str, Any]) -> None:
        """Hears of everything that a script asks. Raises PowerShellError where it is to fail."""
        ...


class _Process:
    """One pwsh. Not thread-safe: whoever takes it out of the pool owns it."""

    def __init__(self, program: str) -> None:
        self._process = subprocess.Popen(
            [program, "-NoProfile", "-NonInteractive", "-File", str(HERE / "serve.ps1"), str(HERE / "bridge.cs"), KEPT],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8",
        )  # fmt: skip
        self._versions: set[str] = set()
        self.number = self._process.pid
        atexit.register(self.end)

    def end(self) -> None:
        """Lets it go by itself, so that it takes its files along; one that is in a script is killed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def send(self, document: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(document) + "\n")
        self._process.stdin.flush()

    def receive(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"PowerShell ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        return found

    def ready_for(self, version: str, modelled: frozenset[str]) -> None:
        """Tells the process the commands of this version, once."""
        if version in self._versions:
            return
        has = names(version)
        functions = {name: function(version, name) for name in has if name.lower() in modelled}
        functions |= {name: body(name) for name in OF_THEIR_OWN}
        functions |= {program: body("program").replace("@NAME@", program) for program in PROGRAMS}
        self.send({"order": "version", "version": version, "has": sorted(has), "functions": functions})
        self.receive()
        self._versions.add(version)


class _Pool:
    """As many processes as run scripts at once, up to MOST: then a script waits for its turn."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._free: list[_Process] = []
        self._taken = 0

    @contextlib.contextmanager
    def lent(self, *, waits: bool = False) -> Iterator[_Process]:
        """A process for one script. `waits`: the script waits for others, which must have their turn. One in which
        something went wrong may be in the middle of it, and is not kept."""
        program = needed()
        with self._changed:
            self._changed.wait_for(lambda: waits or self._free or self._taken < MOST)
            self._taken += 0 if waits else 1
            process = self._free.pop() if self._free else None
        kept: _Process | None = None
        try:
            process = process or _Process(program)
            yield process
            kept = process
        finally:
            if process is not None and kept is None:
                process.end()
            with self._changed:
                self._taken -= 0 if waits else 1
                self._free += [kept] if kept else []
                self._changed.notify()


_POOL = _Pool()


def walked(script: str) -> dict[str, Any]:
    """The syntax tree of this text: `errors`, each with its line, and `nodes`, each with `kind`, `name`, `line`."""
    with _POOL.lent() as process:
        process.send({"order": "walk", "script": script})
        return process.receive()


def errors_of(script: str) -> list[str]:
    """What PowerShell's parser has against this text, each with its line."""
    found: list[str] = walked(script)["errors"]
    return found


class PowerShell:
    """One powershell.exe on one host. `run` returns its exit status; `out` and `err` get lines of text."""

    def __init__(
        self,
        machine: Machine,
        out: Say,
        err: Say,
        environment: Mapping[str, str] | None = None,
        *,
        waits: bool = False,
    ) -> None:
        self._waits = waits
        self._machine = machine
        self._environment = dict(environment or {})
        self._out = out
        self._err = err
        self._objects: list[Object] = []

    def run(self, script: str) -> int:
        """Raises NotModelled where the script asks for what the host model does not know."""
        version = ".".join(str(part) for part in self._machine.powershell)
        environment = self._machine.variables() | self._environment
        with _POOL.lent(waits=self._waits) as process:
            self._machine.began(process.number)
            process.ready_for(version, self._machine.cmdlets())
            process.send({"order": "run", "version": version, "script": script, "environment": environment})
            said = self._conversation(process)
        if said.get("not_modelled"):
            raise NotModelled(said["not_modelled"])
        return int(said["done"])

    def _conversation(self, process: _Process) -> dict[str, Any]:
        while True:
            said = process.receive()
            if "done" in said:
                return said
            if "out" in said:
                self._out(said["out"])
            elif "err" in said:
                self._err(said["err"])
            else:
                process.send(self._answer(said))

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            self._machine.asked(question)
            return {"value": self._told(self._answered(question))}
        except NotModelled as missing:
            return {"not_modelled": str(missing)}
        except PowerShellError as error:
            return {"error": str(error), "id": error.id}
        except Exception as error:  # noqa: BLE001 - a fault of the model is shown as such
            return {"not_modelled": f"{type(error).__name__}: {error}"}

    def _answered(self, question: dict[str, Any]) -> Any:
        machine = self._machine
        match question["ask"]:
            case "cmdlet":
                parameters = {name: self._made(value) for name, value in question["parameters"].items()}
                single = {
                    name: value[0] if isinstance(value, list) and len(value) == 1 else value
                    for name, value in parameters.items()
                }
                found = machine.cmdlet(question["name"], single, [])
                return found[0] if len(found) == 1 else found
            case "native":
                return list(machine.native(question["name"], question["arguments"]))
            case "static":
                return machine.static(question["type"]).member(question["member"])
            case "called":
                arguments = [self._made(value) for value in question["arguments"]]
                return machine.static(question["type"]).call(question["member"], arguments)
            case "add_type":
                return machine.add_type(question["source"])
            case "get":
                return self._objects[question["object"]].member(question["member"])
            case "set":
                return self._objects[question["object"]].assign(question["member"], self._made(question["value"]))
            case "call":
                arguments = [self._made(value) for value in question["arguments"]]
                return self._objects[question["object"]].call(question["member"], arguments)
            case "entries":
                entries = self._objects[question["object"]]
                assert isinstance(entries, Collection)
                return entries.entries()
            case other:
                raise NotModelled(other)

    def _told(self, value: Any) -> Any:
        match value:
            case None | bool() | int() | float() | str():
                return value
            case Version():
                return {"version": str(value)}
            case list() | tuple():
                return [self._told(one) for one in value]
            case Hash():
                return {"hash": [[key, self._told(entry)] for key, entry in value.items()]}
            case bytes():
                return {"bytes": base64.b64encode(value).decode()}
            case datetime():
                return {"date": value.isoformat()}
            case Object():
                self._objects.append(value)
                number = len(self._objects) - 1
                known = {name: self._told(one) for name, one in value.fixed().items()}
                many = isinstance(value, Collection)
                return {"object": number, "kind": value.kind, "known": known, "many": many}
            case _:
                raise NotModelled(f"a value of {type(value).__name__}")

    def _made(self, value: Any) -> Any:
        match value:
            case list():
                return [self._made(one) for one in value]
            case {"object": number}:
                return self._objects[number]
            case {"hash": entries}:
                return Hash({str(self._made(key)): self._made(entry) for key, entry in entries})
            case {"bytes": text}:
                return base64.b64decode(text)
            case {"date": text}:
                return datetime.fromisoformat(text)
            case _:
                return value
