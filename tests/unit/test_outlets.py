"""What scripts get of the watch: status, events, and a line for each change."""

from __future__ import annotations

import json
import os
import queue
import re
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec
import pytest

from dsrwizard.cli import printing
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.tell.stream import WatchLines
from dsrwizard.engine.timeline import Timeline
from dsrwizard.session import state_dir
from tests.fakes.pictures import AT, destination, picture, service
from tests.fakes.started import started
from tests.unit.test_cli import Shell, shell

__all__ = ["shell"]
VIP = "10.0.0.10"


@pytest.fixture
def farm(shell: Shell) -> Shell:
    """The deployment is in force."""
    assert shell("apply", str(shell.file), "--yes") == 0
    return shell


def no_vip(shell: Shell, name: str = "web2") -> None:
    del shell.world.servers[name].machine.links["lo"].addresses[VIP]


# --- status ----------------------------------------------------------------------------------------------------------


def keys(document: Any) -> Any:
    """The document with every value replaced by nothing: its names alone."""
    if isinstance(document, dict):
        return {name: keys(value) for name, value in document.items()}
    return [keys(value) for value in document[:1]] if isinstance(document, list) else None


def test_status_json_is_the_live_pane_once_and_has_every_key_always(farm: Shell) -> None:
    file = str(farm.file)
    farm.world.requests(6)
    assert farm("status", file, "--json") == 0
    healthy = farm.document()
    assert set(healthy) == {
        "deployment", "at", "read_at", "read_milliseconds", "services", "happenings", "problem", "read_problem",
        "audit_age", "drift_age", "proof_age", "verdict", "faults", "unseen", "round", "bypass", "guard", "directors",
    }  # fmt: skip
    (shop,) = healthy["services"]
    assert {
        "vip", "service", "scheduler", "persistence", "present", "active", "inactive", "rates", "totals", "owner",
        "rows",
    } <= set(shop)  # fmt: skip
    assert shop["totals"]["connections"] == 6
    assert {
        "server", "address", "vip", "service", "wanted_weight", "weight", "active", "inactive", "rates", "totals",
        "state", "since", "cause", "message", "fix", "probe", "probe_age", "latency", "arp",
    } <= set(shop["rows"][0])  # fmt: skip
    no_vip(farm)
    farm.world.strangers[VIP] = ["02:00:0a:00:00:99"]
    assert farm("status", file, "--json") == 1
    faulty = farm.document()
    assert {row["server"]: row["state"] for row in faulty["services"][0]["rows"]}["web2"] == "vip-dead"
    assert keys(faulty["services"][0]) == keys(shop)
    farm.world.unload_ipvs()
    assert farm("status", file, "--json") == 3
    blind = farm.document()
    assert set(blind) == set(healthy)
    assert "modprobe" in blind["read_problem"]


def test_status_tells_state_cause_since_latency_and_totals(farm: Shell) -> None:
    farm.world.requests(6)
    no_vip(farm)
    began = time.time() - 7300
    Timeline(state_dir() / "events", "shop").append(
        Happening(at=began, host="web2", message="", state="vip-dead", before="up", vip=VIP, service="tcp/80")
    )
    assert farm("status", str(farm.file)) == 1
    lines = farm.out.splitlines()
    dead = next(number for number, line in enumerate(lines) if line.startswith("  web2"))
    assert "vip-dead" in lines[dead]
    about = "\n".join(lines[dead + 1 : dead + 6])
    assert "(2 h 1 min)" in about
    assert "vip-missing: " in about
    assert "fix: " in about
    assert "1 of 1 probes lost" in about
    assert re.search(r"answers in \d+\.\d .* ms \(minimum / median / maximum\), 0 of 1 probes lost", farm.out)
    assert "2 connections, " in about
    assert "6 connections, " in farm.out
    assert farm("status", str(farm.file), "--json") == 1
    row = next(row for row in farm.document()["services"][0]["rows"] if row["server"] == "web2")
    assert row["since"] == began


def test_status_as_an_incident(farm: Shell) -> None:
    no_vip(farm)
    assert farm("status", str(farm.file), "--incident") == 1
    assert farm.out.startswith("Incident: Direct Server Return deployment shop\n")
    assert "Hosts: web2" in farm.out
    assert re.search(r"web3 +apply: \d+ steps, \d+ changed", farm.out), "what the operator did is among the events"
    assert "→" not in farm.out, "what was worked out within one look did not happen"
    assert farm("status", str(farm.file), "--incident", "--json") == 2


def test_looking_once_leaves_no_line_in_the_timeline(farm: Shell) -> None:
    no_vip(farm)
    farm("status", str(farm.file))
    assert Timeline(state_dir() / "events", "shop").read() == ()


# --- events ----------------------------------------------------------------------------------------------------------


def test_events_of_disk_and_operator_as_text_and_as_one_document(farm: Shell) -> None:
    file = str(farm.file)
    seen = Happening(
        at=time.time() - 7200, host="web2", message="10.0.0.10 tcp/80: up → vip-dead.", state="vip-dead", before="up",
        vip=VIP, service="tcp/80", cause="vip-missing",
    )  # fmt: skip
    Timeline(state_dir() / "events", "shop").append(seen)
    assert farm("events", file) == 0
    first, *rest = farm.out.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}  web2 ", first)
    assert "vip-dead" in first
    assert "[vip-missing]" in first
    assert {line.split()[3] for line in rest} == {"director", "web1", "web2", "web3"}
    assert farm("events", file, "--json") == 0
    document = farm.document()
    assert document["deployment"] == "shop"
    assert document["events"][0] == msgspec.to_builtins(seen)
    assert {len(event) for event in document["events"]} == {8}
    assert farm("events", file, "--since", "1h", "--json") == 0
    assert len(farm.document()["events"]) == len(document["events"]) - 1
    assert farm("events", file, "--since", "3h", "--host", "web2", "--json") == 0
    assert {event["host"] for event in farm.document()["events"]} == {"web2"}


def test_no_events_are_no_error(shell: Shell) -> None:
    assert shell("events", str(shell.file)) == 0
    assert shell.out == "No events.\n"
    assert shell("events", str(shell.file), "--json") == 0
    assert shell.document() == {"deployment": "shop", "events": []}


def test_a_wrong_time_and_an_unknown_host_are_refused(shell: Shell) -> None:
    assert shell("events", str(shell.file), "--since", "yesterday") == 2
    assert "2h" in shell.err
    assert shell("events", str(shell.file), "--host", "web9") == 2
    assert "web1, web2, web3" in shell.err


# --- a line for each change: what is said ----------------------------------------------------------------------------


def farm_of(*rows: Any, at: float = AT, **others: Any) -> Snapshot:
    return msgspec.structs.replace(picture((service(VIP, rows),)), at=at, **others)


def test_the_whole_picture_first_then_only_what_changes() -> None:
    stream = WatchLines()
    (first,) = stream.lines(farm_of(destination("web1"), destination("web2")))
    assert first["type"] == "snapshot"
    assert [server["state"] for server in first["services"][0]["servers"]] == ["up", "up"]
    assert stream.lines(farm_of(destination("web1"), destination("web2"), at=AT + 1)) == []
    dead = msgspec.structs.replace(destination("web2", state="vip-dead", message="Gone."), cause="vip-missing")
    (change,) = stream.lines(farm_of(destination("web1"), dead, at=AT + 2))
    assert change == {
        "type": "change", "at": AT + 2, "host": "web2", "vip": VIP, "service": "tcp/80", "before": "up",
        "state": "vip-dead", "cause": "vip-missing", "message": "Gone.",
    }  # fmt: skip
    (back,) = stream.lines(farm_of(destination("web1"), destination("web2"), at=AT + 3))
    assert (back["before"], back["state"], back["cause"]) == ("vip-dead", "up", "")


def test_another_cause_of_the_same_state_is_a_change() -> None:
    stream = WatchLines()
    one, other = (
        msgspec.structs.replace(destination("web1", state="vip-dead"), cause=cause)
        for cause in ("vip-missing", "firewall")
    )
    stream.lines(farm_of(one))
    (change,) = stream.lines(farm_of(other))
    assert (change["before"], change["state"], change["cause"]) == ("vip-dead", "vip-dead", "firewall")


def test_weights_owners_and_services_that_vanish() -> None:
    stream = WatchLines()
    http = service(VIP, (destination("web1"),))
    https = msgspec.structs.replace(
        http, service="tcp/443", rows=(msgspec.structs.replace(destination("web1"), service="tcp/443"),)
    )
    stream.lines(picture((http, https)))
    http = msgspec.structs.replace(http, rows=(destination("web1", weight=5),))
    (weight,) = stream.lines(picture((http, https)))
    assert (weight["type"], weight["before"], weight["weight"]) == ("weight", 1, 5)
    stolen = tuple(msgspec.structs.replace(one, owner="02:00:0a:00:00:99") for one in (http, https))
    (owner,) = stream.lines(picture(stolen))
    assert owner["type"] == "owner", "it is the VIP's, so it is told once"
    assert (owner["vip"], owner["before"], owner["owner"]) == (VIP, "director", "02:00:0a:00:00:99")
    gone = (msgspec.structs.replace(stolen[0], present=False), stolen[1])
    (missing,) = stream.lines(picture(gone))
    assert (missing["host"], missing["before"], missing["state"]) == ("director", "present", "missing")
    assert missing["cause"] == "ipvs-missing"


def test_looking_that_fails_is_told_once_and_so_is_that_it_works_again() -> None:
    stream = WatchLines()
    rows = (destination("web1"),)
    stream.lines(farm_of(*rows))
    (line,) = stream.lines(farm_of(*rows, problem="No permission.", at=AT + 1))
    assert line == {"type": "problem", "at": AT + 1, "message": "No permission."}
    assert stream.problem
    assert stream.lines(farm_of(*rows, problem="No permission.", at=AT + 2)) == []
    assert stream.lines(msgspec.structs.replace(picture(()), problem="No permission.")) == [], "no rows: no news"
    (line,) = stream.lines(farm_of(*rows, at=AT + 3))
    assert line == {"type": "problem", "at": AT + 3, "message": ""}


def test_the_first_verification_that_ends_is_a_line_and_so_is_another_verdict() -> None:
    stream = WatchLines()
    rows = (destination("web1"),)
    (first,) = stream.lines(farm_of(*rows, verdict="", proof_age=None))
    assert first["verdict"] == "", "green so far, and nothing verified"
    (line,) = stream.lines(farm_of(*rows, verdict="pass", at=AT + 1))
    assert line == {"type": "verify", "at": AT + 1, "before": "", "verdict": "pass"}
    assert stream.lines(farm_of(*rows, verdict="pass", at=AT + 2)) == []
    (line,) = stream.lines(farm_of(*rows, verdict="fail", at=AT + 3))
    assert (line["before"], line["verdict"]) == ("pass", "fail")


@pytest.mark.parametrize("verdict", ["", "pass"])
def test_status_says_that_nothing_is_verified_yet(verdict: str, capsys: pytest.CaptureFixture[str]) -> None:
    printing.snapshot(farm_of(destination("web1"), verdict=verdict))
    assert ("Not verified yet" in capsys.readouterr().out) == (not verdict)


# --- a line for each change: the command -----------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from dsrwizard.cli import wiring
from dsrwizard.__main__ import main
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.world import World
import threading
world = World.lab()
folder = Path(sys.argv.pop(1))
wiring.build_engine = lambda asker: engine_of(world, Nobody(), folder / "journal", folder / "events")
def obey():
    for line in sys.stdin:
        match line.split():
            case ["break"]:
                del world.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
            case ["unload"]:
                world.unload_ipvs()
engine = wiring.build_engine(None)
shop = world.deployment()
engine.apply(shop, engine.plan(shop, engine.observe(shop)), lambda event: None)
engine.close()
threading.Thread(target=obey, daemon=True).start()
main()
"""


class Child:
    """`dsrwizard watch FILE --json` over a farm in its memory, whose faults are made by words on standard input."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.process = subprocess.Popen(
            started([sys.executable, "-c", CHILD, str(folder), "watch", str(file), "--json", "--interval", "0.2"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1,
            env=os.environ | {"XDG_STATE_HOME": str(folder)},
        )  # fmt: skip
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(self._pipe(self.process.stdout),), daemon=True).start()

    def _pipe(self, stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream

    def _read(self, stream: IO[str]) -> None:
        for line in stream:
            self._lines.put(line)

    def say(self, word: str) -> None:
        self._pipe(self.process.stdin).write(word + "\n")

    def line(self, wanted: Callable[[Any], bool] = lambda line: True) -> Any:
        """The next line that is wanted."""
        while True:
            line = json.loads(self._lines.get(timeout=30))
            if wanted(line):
                return line

    def ends(self) -> int:
        code = self.process.wait(30)
        assert self._pipe(self.process.stderr).read() == ""
        return code


@pytest.fixture
def child(tmp_path: Path, shell: Shell) -> Iterator[Child]:
    made = Child(tmp_path / "child", shell.file)
    yield made
    made.process.kill()
    made.process.wait()


def test_watch_json_streams_changes_and_ends_well_when_asked(child: Child) -> None:
    first = child.line()
    assert first["type"] == "snapshot"
    assert {server["state"] for server in first["services"][0]["servers"]} == {"up"}
    child.say("break")
    change = child.line(lambda line: line["type"] == "change")
    assert (change["host"], change["before"], change["state"]) == ("web2", "up", "vip-dead")
    child.process.send_signal(signal.SIGTERM)
    assert child.ends() == 0


def test_watch_json_says_at_its_end_that_it_could_not_look(child: Child) -> None:
    child.line()
    child.say("unload")
    assert "modprobe" in child.line(lambda line: line["type"] == "problem")["message"]
    child.process.send_signal(signal.SIGINT)
    assert child.ends() == 3


def test_watch_json_ends_when_nobody_reads_any_more(tmp_path: Path, shell: Shell) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen(
        started([sys.executable, "-c", CHILD, str(tmp_path / "child"), "watch", str(shell.file), "--json"]),
        stdin=subprocess.PIPE, stdout=writing, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        os.close(writing)
        assert select.select([reading], [], [], 30)[0]
        os.close(reading)  # nothing changes from now on: it notices all the same
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(30) == 0


def test_the_pane_without_a_terminal_names_what_needs_none(shell: Shell) -> None:
    assert shell("watch", str(shell.file)) == 2
    assert "--json" in shell.err
    assert "status" in shell.err


def test_the_pane_gets_the_interval_and_read_only(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsrwizard import app
    from dsrwizard.cli import main as cli

    given: list[dict[str, Any]] = []
    monkeypatch.setattr(cli, "_terminal_or_refuse", lambda instead: None)
    monkeypatch.setattr(cli, "_screen", lambda app: 0)
    monkeypatch.setattr(app, "DsrApp", lambda factory, **options: given.append(options))
    assert shell("watch", str(shell.file), "--read-only", "--interval", "5") == 0
    assert shell("watch", str(shell.file)) == 0
    assert [(options["read_only"], options["interval"]) for options in given] == [(True, 5.0), (False, 1.0)]
    assert shell("watch", str(shell.file), "--interval", "0.01") == 2
