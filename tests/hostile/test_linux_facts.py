"""One of three Linux servers, or the client host, answers nonsense: the others come out as if it could not be reached.

Every command runs over real scripts' answers, spoiled by a seed; what is told of the other hosts is compared with a run
in which the spoiled one does not let anybody in.
"""

from __future__ import annotations

import json
import re
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from dsrwizard.cli import main as cli
from dsrwizard.cli import wiring
from dsrwizard.core.dialects.linux.observe import parse
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, ConnectTimeout
from dsrwizard.core.ports import Answer, Asker, OnLine, ServerPort
from dsrwizard.engine import client_looks as rounds
from dsrwizard.engine.defects import LOG
from dsrwizard.engine.engine import Engine
from dsrwizard.session import state_dir
from tests.fakes.client_host import FakeClientHost
from tests.fakes.engine import engine_of
from tests.fakes.linux_host import Spoil, text_server
from tests.fakes.operator import Nobody
from tests.fakes.world import World
from tests.hostile.conftest import Tally
from tests.hostile.spoiling import Spoiler

HOSTILE = "web2"
GUARD = "net.ipv4.conf.all.arp_ignore"
RAW = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2028\u2029\u2066-\u2069]")
SECONDS = 60.0
"""A case takes two on an idle machine."""
MEGABYTES = 400
"""Of memory at most, for an answer of eight: each of its lines may become an object of its own."""

Doc = Any
Filter = Callable[[Doc], Doc]


class Honest:
    def __call__(self, text: str) -> str:
        return text


class Farm:
    """Three servers, of which one's answers are spoiled from a moment on, and the commands over them."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.world = World.lab()
        self.file = folder / "shop.toml"
        self.capture = capture
        self.deployment = self.world.deployment()
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(dumps(self.deployment))
        self.spoil: Spoil = Honest()
        self.spoil_client: Spoil | None = None
        """None: the client host cannot be reached."""
        self.client = FakeClientHost(self.world)
        self.printed = ""
        monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
        monkeypatch.setattr(wiring, "build_engine", lambda asker: self.engine())

    def with_client(self) -> None:
        self.deployment = msgspec.structs.replace(self.deployment, client=Client(address="203.0.113.10"))
        self.file.write_text(dumps(self.deployment))

    def engine(self) -> Engine:
        journals, events = state_dir() / "journal", state_dir() / "events"
        return engine_of(self.world, Nobody(), journals, events, open_server=self._open, connect=self._to_client)

    def _open(self, server: RealServer, asker: Asker) -> ServerPort:
        spoil = self.spoil if server.name == HOSTILE else Honest()
        return text_server(self.world, server, asker, spoil)

    def _to_client(self, host: str, target: object, asker: object) -> SpoiledClient:
        if self.spoil_client is None:
            raise ConnectTimeout(f"{host} does not answer at 203.0.113.10 port 22.", "No answer within 8 seconds.")
        return SpoiledClient(self.client, self.spoil_client)

    def __call__(self, *arguments: str) -> Doc:
        """The command's one JSON document; None for text."""
        cli.run((arguments[0], str(self.file), *arguments[1:]))
        out, err = self.capture.readouterr()
        self.printed += out + err
        assert "itself failed" not in out + err, f"{arguments}: {out + err}"
        assert "Traceback" not in out + err, arguments
        assert not (found := RAW.search(out + err)), f"{arguments}: {found} in {(out + err)[:2000]!r}"
        return json.loads(out) if "--json" in arguments else None

    def looks(self, count: int) -> list[Doc]:
        """What a watch tells of the others, look by look."""
        told = []
        with closing(self.engine()) as engine, closing(engine.watch(self.deployment)) as watcher:
            for _ in range(count):
                shot = watcher.once()
                text = repr(shot.unseen) + shot.problem
                assert "itself failed" not in text, text
                told.append(
                    {"services": msgspec.to_builtins(shot.services), "unseen": shot.unseen, "problem": shot.problem}
                )
        return told


class SpoiledClient:
    def __init__(self, host: FakeClientHost, spoil: Spoil) -> None:
        self._host, self._spoil = host, spoil

    def run(self, script: str, *, deadline: float, on_line: OnLine | None = None) -> Answer:
        if "connections" not in script:
            return Answer(status=0, stdout="", stderr="")
        answer = self._host.run(script, deadline=deadline, on_line=on_line)
        return Answer(status=answer.status, stdout=self._spoil(answer.stdout), stderr="")

    def close(self) -> None:
        pass


# --- what is told of the others


def _plan(document: Doc) -> Doc:
    hosts = [host for host in document["hosts"] if host["host"] != HOSTILE]
    return [
        (host["host"], host["problem"], [note for note in host["notes"] if HOSTILE not in note],
         [step for step in host["steps"] if HOSTILE not in json.dumps(step)])
        for host in hosts
    ]  # fmt: skip


def _run(document: Doc) -> Doc:
    """The director's outcome is left out, for steps about the hostile server may be among its own. So is the order of
    hosts and of the director's steps: servers take their turns there as they come."""
    found = []
    for host in document["hosts"]:
        if host["host"] == HOSTILE:
            continue
        steps = [
            (step["step"], step["outcome"], step["detail"]) for step in host["steps"] if HOSTILE not in step["step"]
        ]
        director = host["host"] == "director"
        found.append((host["host"], director or host["outcome"], host["failure"], sorted(steps) if director else steps))
    return sorted(found, key=lambda one: str(one[0]))


def _checks(checks: Doc) -> Doc:
    found = []
    for check in checks:
        if HOSTILE in (check["host"], check["server"]):
            continue
        sent = re.sub(r"SYN from \S+", "SYN", check["evidence"])  # from a random source
        found.append({**check, "evidence": sent})
    return found


def _verify(document: Doc) -> Doc:
    return _checks(document["checks"])


def _snapshot(document: Doc) -> Doc:
    rows = [
        {key: row[key] for key in ("server", "state", "cause", "message", "fix", "weight", "arp")}
        for service in document["services"]
        for row in service["rows"]
        if row["server"] != HOSTILE
    ]
    unseen = [line for line in document["unseen"] if HOSTILE not in line]
    return rows, unseen, document["problem"], [service["owner"] for service in document["services"]]


def _mend(document: Doc) -> Doc:
    faults = [
        (
            fault["before"]["host"],
            fault["before"]["cause"],
            fault["cured"],
            _checks([fault["after"]] if fault["after"] else []),
        )
        for fault in document["faults"]
        if HOSTILE not in (fault["before"]["host"], fault["before"]["server"])
    ]
    return faults, _run(document), _checks(document["left"])


Told = list[tuple[str, Doc]]


def from_the_start(farm: Farm, turn: Callable[[], None]) -> Iterator[tuple[str, Doc]]:
    """The host is hostile before anything is done."""
    turn()
    yield "plan", _plan(farm("plan", "--json"))
    farm("plan")
    yield "apply", _run(farm("apply", "--yes", "--json"))
    yield "apply again", _run(farm("apply", "--yes", "--json"))
    yield from afterwards(farm)


def once_deployed(farm: Farm, turn: Callable[[], None]) -> Iterator[tuple[str, Doc]]:
    """It turns hostile when it serves already."""
    yield "apply", _run(farm("apply", "--yes", "--json"))
    turn()
    yield "plan", _plan(farm("plan", "--json"))
    yield from afterwards(farm)


def afterwards(farm: Farm) -> Iterator[tuple[str, Doc]]:
    farm.world.servers["web3"].machine.sysctls[GUARD] = "0"
    for number, shot in enumerate(farm.looks(2)):
        yield f"watch {number}", _snapshot(shot)
    verified = farm("verify", "--json")
    yield "verify", _verify(verified)
    farm("verify")
    farm("status")
    farm("status", "--incident")
    yield "mend", _mend(farm("mend", "--yes", "--json"))
    verified = farm("verify", "--json")
    yield "verify again", _verify(verified)
    access = next(one for one in verified["checks"] if (one["host"], one["check"]) == (HOSTILE, "server.access"))
    assert access["outcome"] == "pass" or verified["verdict"] != "pass", "an unreadable host passes"
    yield "status", _snapshot(farm("status", "--json"))
    yield "teardown", _run(farm("teardown", "--yes", "--json"))
    yield (
        "left",
        sorted(
            name for name, state in farm.world.servers.items() if name != HOSTILE and state.machine.holds("10.0.0.10")
        ),
    )


def as_seen_by_a_client(farm: Farm, turn: Callable[[], None]) -> Iterator[tuple[str, Doc]]:
    """The client host is the hostile one."""
    farm.with_client()
    farm("apply", "--yes", "--json")
    turn()
    farm.world.servers["web3"].machine.sysctls[GUARD] = "0"
    for command in (("verify", "--json"), ("verify", "--json")):
        verified = farm(*command)
        # What it connects to is in the director's table, whatever it tells of it.
        felt = {"server.half_open"}
        yield (
            "verify",
            [one for one in _verify(verified) if not one["check"].startswith("client.") and one["check"] not in felt],
        )
    farm("verify")
    mended = farm("mend", "--yes", "--json")
    yield "mend", [one for one in _run(mended) if one[0] != "client"]
    rows, unseen, *rest = _snapshot(farm("status", "--json"))
    yield "status", (rows, [line for line in unseen if "client host" not in line], *rest)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a kernel's counters where there is no kernel."""
    monkeypatch.setattr("dsrwizard.engine.watch.poller.KERNEL_SECONDS", 0.0)
    monkeypatch.setattr(rounds.look, "__defaults__", (None, 15.0, 0.0))


Make = Callable[[str], Farm]


@pytest.fixture
def make(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Make:
    return lambda name: Farm(tmp_path / name, capsys, monkeypatch)


def differing(told: Told, reference: Told) -> str:
    for (name, one), (_, other) in zip(told, reference, strict=True):
        if one != other:
            first, second = json.dumps(one, default=str), json.dumps(other, default=str)
            at = next((at for at, pair in enumerate(zip(first, second, strict=False)) if pair[0] != pair[1]), 0)
            return (
                f"{name}: …{first[max(0, at - 150) : at + 200]}… is …{second[max(0, at - 150) : at + 200]}… without it"
            )
    return ""


STORIES = {"from the start": from_the_start, "once deployed": once_deployed}


@pytest.mark.parametrize("story", STORIES)
def test_a_hostile_server_concerns_no_other(
    story: str, make: Make, scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    away = make("away")
    tell = STORIES[story]

    def cut() -> None:
        away.world.servers[HOSTILE].ssh = False

    reference = list(tell(away, cut))
    assert {name for name, _ in reference} > {"plan", "apply", "verify", "mend", "teardown"}
    cases = tally(f"Linux servers, hostile {story}")
    for seed in range(scale(20, 300)):
        with cases.case(f"seed {seed}"):
            farm, began = make(f"farm{seed}"), time.monotonic()

            def turn(farm: Farm = farm, seed: int = seed) -> None:
                farm.spoil = Spoiler(seed)

            told = list(tell(farm, turn))
            assert not (found := differing(told, reference)), found
            assert not (state_dir() / LOG).exists(), (state_dir() / LOG).read_text()
            assert time.monotonic() - began < SECONDS
    cases.settle()


OWN_MAC = "02:00:0a:00:00:66"
LIES: dict[str, tuple[str, str]] = {
    "web3's MAC": (OWN_MAC, "02:00:0a:00:00:67"),
    "web1's MAC": (OWN_MAC, "02:00:0a:00:00:65"),
    "the director's MAC": (OWN_MAC, "02:00:0a:00:00:02"),
    "the router's gateway is the director": ('"gateway":"10.0.0.1"', '"gateway":"10.0.0.2"'),
    "web1's address": ('"local":"::1","prefixlen":128', '"local":"10.0.0.101","prefixlen":24'),
    "the director's address": ('"local":"::1","prefixlen":128', '"local":"10.0.0.2","prefixlen":8'),
    "the VIP for everybody": ('"local":"::1","prefixlen":128', '"local":"10.0.0.10","prefixlen":0'),
    "both networks of nowhere": (
        '"local":"::1","prefixlen":128', '"local":"192.0.2.1","prefixlen":24},{"local":"198.51.100.1","prefixlen":24',
    ),
    "no root": ("\nyes\n", "\nno\n"),
    "a deaf service": (":80", ":81"),
    "every counter rose": ("TcpExt: 7", "TcpExt: 99999"),
}  # fmt: skip


@pytest.mark.parametrize("story", STORIES)
def test_a_server_that_lies_concerns_no_other(
    story: str, make: Make, scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    away, tell = make("away"), STORIES[story]

    def cut() -> None:
        away.world.servers[HOSTILE].ssh = False

    reference = list(tell(away, cut))
    cases = tally(f"Linux servers, lying {story}")
    for number, (lie, (truth, told_)) in enumerate(list(LIES.items())[: scale(3, len(LIES))]):
        with cases.case(lie):
            farm = make(f"farm{number}")
            heard: list[bool] = []

            def spoil(text: str, truth: str = truth, told_: str = told_, heard: list[bool] = heard) -> str:
                heard.append(truth in text)
                return text.replace(truth, told_)

            told = list(tell(farm, lambda farm=farm, spoil=spoil: setattr(farm, "spoil", spoil)))  # type: ignore[misc]
            assert any(heard), "it was never told"
            assert not (found := differing(told, reference)), found
    cases.settle()


def test_a_hostile_client_host_concerns_no_other(
    make: Make, scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    reference = list(as_seen_by_a_client(make("away"), lambda: None))
    cases = tally("client hosts, hostile")
    for seed in range(scale(10, 100)):
        with cases.case(f"seed {seed}"):
            farm, began = make(f"farm{seed}"), time.monotonic()

            def turn(farm: Farm = farm, seed: int = seed) -> None:
                farm.spoil_client = Spoiler(seed)

            told = list(as_seen_by_a_client(farm, turn))
            assert not (found := differing(told, reference)), found
            assert not (state_dir() / LOG).exists(), (state_dir() / LOG).read_text()
            assert time.monotonic() - began < SECONDS
    cases.settle()


RULES = "boot\n==dsr:@N@:nft==\nnft\n"
TABLE = "table inet x {\n"
FLOODS: dict[str, str] = {
    "interfaces": "addr\n[" + '{"ifname":"a"},' * 600_000 + '{"ifname":"a"}]',
    "addresses": 'addr\n[{"ifname":"a","addr_info":[' + '{"local":"10.0.0.1","prefixlen":9},' * 250_000 + "{}]}]",
    "empty objects": "addr\n[" + "{}," * 2_800_000 + "{}]",
    "empty lists": "addr\n[" + "[]," * 2_800_000 + "[]]",
    "one long name": 'addr\n[{"ifname":"' + "x" * 8_000_000 + '"}]',
    "depth": "addr\n" + "[" * 8_000_000,
    "digits": "addr\n[" + "9" * 8_000_000 + "]",
    "a long address": 'route4\n[{"gateway":"' + "1" * 8_000_000 + '"}]',
    "routes": "route4\n[" + '{"dev":"a"},' * 690_000 + "{}]",
    "listeners": "listeners\nss\n" + "tcp LISTEN 0 1 *:80 *:*\n" * 330_000,
    "no listeners": "listeners\nss\n" + "tcp\n" * 2_000_000,
    "a listener that is one word": "listeners\nss\ntcp LISTEN 0 0 " + "a" * 8_000_000,
    "a listener of colons": "listeners\nss\ntcp LISTEN 0 0 " + ":" * 8_000_000,
    "a program's name": 'listeners\nss\ntcp LISTEN 0 0 *:80 *:* users:(("' + "\x1b" * 8_000_000,
    "settings": "texts\n" + "/proc/sys/net/ipv4/conf/a/rp_filter:1\n" * 210_000,
    "a system's name": "texts\n/etc/os-release:PRETTY_NAME=" + "x" * 8_000_000,
    "chains": f"{RULES}{TABLE}" + "".join(f"chain c{n} {{\n jump c{n + 1}\n" for n in range(280_000)),
    "a rule": f"{RULES}{TABLE}chain a {{\ntype filter hook input priority 0\n" + "drop " * 1_600_000,
    "sets": f"{RULES}{TABLE}"
    + "".join(f"set s{n} {{\nelements = {{ 10.0.0.1 }}\n}}\n" for n in range(6_000))
    + "".join(f"chain c{n} {{\ntype filter hook input priority 0\nip saddr @s{n} drop\n}}\n" for n in range(400)),
    "members": "boot\n==dsr:@N@:ipset==\ncreate x hash:ip\n" + "add x 10.0.0.1\n" * 500_000,
    "a file": "file:/etc/x\nfile\n" + "YWFh" * 2_000_000,
    "sections": "x\n" + "".join(f"==dsr:@N@:{n}==\n" for n in range(450_000)),
    "a way": "way:10.0.0.10\n" + "unreachable " * 660_000,
}


def test_eight_megabytes_of_anything_are_read_in_bounds(
    scale: Callable[[int, int], int], tally: Callable[[str], Tally]
) -> None:
    cases = tally("Linux servers, floods")
    for flood in list(FLOODS)[: scale(2, len(FLOODS))]:
        section, _, body = FLOODS[flood].partition("\n")
        text = f"==dsr:N:begin==\n==dsr:N:{section}==\n{body.replace('@N@', 'N')}\n==dsr:N:end==\n"
        text += "" if section == "addr" else "==dsr:N:addr==\n[]\n"
        with cases.case(flood):
            began = time.monotonic()
            tracemalloc.start()
            try:
                told = len(parse("web2", "N", text).interfaces)
            except AnswerUnreadable as error:
                told = len(str(error))
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
            assert told < 400
            assert peak < MEGABYTES * 1024**2, f"{peak / 1024**2:.0f} MB"
            assert time.monotonic() - began < SECONDS
    cases.settle()
