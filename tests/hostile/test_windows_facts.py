"""One hostile Windows server among healthy ones, through every command: only that server suffers from what it says."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.cli import main as cli
from dsrwizard.cli import wiring
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.deployment import Client, Deployment, RealServer
from dsrwizard.core.ports import Answer, Asker, Connector, OnLine, ServerPort
from dsrwizard.core.tell.stream import WatchLines
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.servers.windows import WindowsServer
from dsrwizard.engine.silent_asker import Quiet
from dsrwizard.engine.watch import poller
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.hostile.conftest import Tally
from tests.hostile.windows_answers import HostileConnector
from tests.windows.conftest import VIP, ModelConnector
from tests.windows.host import WindowsHost

Scale = Callable[[int, int], int]
Count = Callable[[str], Tally]
BAD, GOOD = "win1", "win2"
HEALTHY = ("web1", "web2", GOOD)
ADDRESSES = {BAD: ("10.0.0.111", "02:00:0a:00:00:6f"), GOOD: ("10.0.0.112", "02:00:0a:00:00:70")}
COMMANDS = ("plan", "apply", "verify", "status", "mend", "verify", "teardown")


class Mute:
    """A host of which nothing can be read: what the others are compared with."""

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        return Answer(status=0, stdout="", stderr="")

    def close(self) -> None:
        pass


class Farm:
    """Two Linux servers and a Windows one that are well, and one Windows server with this connector."""

    def __init__(self, folder: Path, bad: Callable[[WindowsHost], Connector]) -> None:
        self.folder = folder
        self.world = World.lab(2)
        self.deployment = self._deployment()
        self.file = folder / "shop.toml"
        self.file.write_text(dumps(self.deployment))
        hosts = {name: WindowsHost("2022", address=rip, mac=mac) for name, (rip, mac) in ADDRESSES.items()}
        hosts[GOOD].changed = lambda: self._on_the_wire(hosts[GOOD])
        self._connectors: dict[str, Connector] = {BAD: bad(hosts[BAD]), GOOD: ModelConnector(hosts[GOOD])}

    def _deployment(self) -> Deployment:
        plain = self.world.deployment()
        for name, (rip, mac) in ADDRESSES.items():
            self.world.add_server(name, rip, mac)  # what of it is on the wire
        windows = tuple(
            RealServer(name=name, address=rip, connect="winrm", user="Administrator")
            for name, (rip, _) in ADDRESSES.items()
        )
        return msgspec.structs.replace(plain, servers=(*plain.servers, *windows))

    def _on_the_wire(self, host: WindowsHost) -> None:
        machine = self.world.servers[GOOD].machine
        held = machine.links["lo"].addresses
        held.pop(VIP, None)
        if host.accepts(VIP):
            held[VIP] = 32
        for name in ("arp_ignore", "arp_announce"):
            machine.sysctls[f"net.ipv4.conf.all.{name}"] = "2"

    def engine(self) -> Engine:
        quiet = Quiet(Nobody())

        def opened(server: RealServer) -> ServerPort:
            if server.connect == "winrm":
                return WindowsServer(server, lambda: self._connectors[server.name])
            return self.world.open_server(server, quiet)

        def no_client(host: str, target: RealServer | Client, asker: Asker) -> Connector:
            raise AssertionError("there is none")

        return Engine(
            director=lambda interface: self.world.director(), wire=self.world.wire(), connect=no_client, asker=quiet,
            journals=Journals(self.folder / "journal"), open_server=opened, events=self.folder / "events",
        )  # fmt: skip

    def watched(self) -> list[dict[str, Any]]:
        """One look of a watch, as its lines of JSON."""
        engine = self.engine()
        watcher = engine.watch(self.deployment)
        try:
            return [json.loads(msgspec.json.encode(line)) for line in WatchLines().lines(watcher.once())]
        finally:
            watcher.close()
            engine.close()


class Shell:
    """Commands over a farm, with what they printed."""

    def __init__(self, farm: Farm, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.farm, self._capture = farm, capture
        monkeypatch.setenv("XDG_STATE_HOME", str(farm.folder / "state"))
        monkeypatch.setattr(poller, "KERNEL_SECONDS", 0.05)  # no rate is of interest here
        monkeypatch.setattr(wiring, "build_engine", lambda asker: farm.engine())

    def __call__(self, command: str, *, as_json: bool) -> tuple[int, str, str]:
        more = [*(["--yes"] if command in ("apply", "mend", "teardown") else []), *(["--json"] if as_json else [])]
        code = cli.run([command, str(self.farm.file), *more])
        printed = self._capture.readouterr()
        return code, printed.out, printed.err


def acts(text: str) -> list[str]:
    """Signs of the text that a terminal obeys or nobody sees; ends of lines are ours."""
    return [sign for sign in text if sign != "\n" and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from texts(list(pair))
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)


def of_others(command: str, document: Any) -> Any:
    """What a command's document says of the healthy hosts, without what another moment changes."""
    if command in ("plan", "apply", "teardown"):
        return sorted(
            (host for host in document["hosts"] if host["host"] in HEALTHY), key=lambda host: str(host["host"])
        )
    if command == "verify":
        keys = ("host", "check", "vip", "service", "outcome", "cause")
        return [[check[key] for key in keys] for check in document["checks"] if check["host"] in HEALTHY]
    if command == "status":
        rows = [row for service in document["services"] for row in service["rows"] if row["server"] in HEALTHY]
        return [(row["server"], row["state"], row["cause"]) for row in rows]
    return None


def everything(shell: Shell, *, as_json: bool) -> dict[str, Any]:
    """Every command in turn; what it said of the healthy hosts."""
    found: dict[str, Any] = {}
    for number, command in enumerate(COMMANDS):
        code, printed, complaint = shell(command, as_json=as_json)
        assert code in (0, 1, 3), f"{command}: exit code {code}: {complaint[:300]}"
        assert not acts(printed + complaint), f"{command}: {acts(printed + complaint)[:9]}"
        for word in ("Traceback", "dsrwizard itself failed", "It is a defect"):
            where = (printed + complaint).find(word)
            assert where < 0, f"{command}: {(printed + complaint)[max(0, where - 200) : where + 300]}"
        if as_json:
            document = json.loads(printed)
            assert not [text for text in texts(document) if acts(text)], command
            found[f"{number} {command}"] = of_others(command, document)
        if command == "status":
            lines = shell.farm.watched()
            assert not [text for text in texts(lines) if acts(text)], "watch"
    return found


def test_only_the_hostile_server_suffers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, scale: Scale, tally: Count
) -> None:
    def farm(name: str, bad: Callable[[WindowsHost], Connector]) -> Shell:
        (folder := tmp_path / name).mkdir()
        return Shell(Farm(folder, bad), capsys, monkeypatch)

    expected = everything(farm("mute", lambda host: Mute()), as_json=True)
    assert {row[1] for row in expected["3 status"]} == {"up"}, "the others are well"
    counted = tally("Windows facts through every command")
    for seed in range(scale(15, 400)):
        with counted.case(f"seed {seed}"):
            shell = farm(str(seed), lambda host, seed=seed: HostileConnector(seed, host))  # type: ignore[misc]
            found = everything(shell, as_json=seed % 3 != 2)
            for command, said in found.items():
                assert said == expected[command], f"{command}: {said}"
    counted.settle()
