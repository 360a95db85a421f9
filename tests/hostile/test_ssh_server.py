"""Hostile SSH servers on real sockets: each ends in an error for that host, soon, in little memory, and says nothing
to the terminal that a terminal obeys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dsrwizard.core.model.foreign import harmless
from tests.hostile import ssh_server as ways
from tests.hostile.conftest import Tally
from tests.hostile.ssh_server import CODE, ESCAPES, PASSWORD, Server, Way

Scale = Callable[[int, int], int]
Tallies = Callable[[str], Tally]
MEMORY = 64 * 1024
"""KiB for one host."""


class Client:
    """The process with the product in it."""

    def __init__(self, home: Path) -> None:
        (home / ".ssh").mkdir(mode=0o700)
        self._log = (home / "log").open("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.hostile.ssh_client"],
            cwd=Path(__file__).parents[2],
            env={"HOME": str(home), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )
        self.known = home / ".ssh" / "known_hosts"

    def meets(self, *jobs: tuple[Way, dict[str, Any]]) -> list[dict[str, Any]]:
        """What happened with each, side by side."""
        servers = [Server(way) for way, _ in jobs]
        try:
            sent = [
                {"port": server.port, "deadline": 4.0} | more for server, (_, more) in zip(servers, jobs, strict=True)
            ]
            assert self._process.stdin
            assert self._process.stdout
            self._process.stdin.write(json.dumps(sent) + "\n")
            self._process.stdin.flush()
            told: list[dict[str, Any]] = json.loads(self._process.stdout.readline())
        finally:
            for server in servers:
                server.close()
        for one, server in zip(told, servers, strict=True):
            one["learnt"] = [word for served in server.served for word in served.learnt]
            one["dialled"] = len(server.served)
        return told

    @property
    def log(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def close(self) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()
        self._log.close()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    made = Client(tmp_path_factory.mktemp("operator"))
    yield made
    made.close()


def sound(told: dict[str, Any], says: str, seconds: float, kind: str = "") -> None:
    """An error in words, in time, in little memory; nothing in it that a terminal would obey."""
    assert not told["defect"], told["defect"]
    assert told["grown"] < MEMORY, f"{told['grown'] // 1024} MiB more"
    assert told["seconds"] < seconds, f"{told['seconds']:.1f} s"
    assert re.search(says, told["message"]), told["message"]
    assert told["message"].startswith("web1: ")
    assert harmless(told["message"]), told["message"]
    assert len(told["message"]) < 1500
    assert not kind or told["kind"] == kind, told["kind"]


GREETINGS: dict[str, tuple[Way, str]] = {
    "silence after the connection": (ways.silent, "did not speak SSH within 2 s"),
    "a greeting by drops": (ways.greeting_by_drops, "did not speak SSH|n(ot an|o) SSH server"),
    "silence after the greeting": (ways.greeting_alone, "did not finish the key exchange"),
    "silence in the key exchange": (ways.keys_and_then_silence, "did not finish the key exchange"),
    "garbage": (ways.garbage, "not an SSH server|does what no SSH server does"),
    "garbage after the greeting": (ways.garbage_after_the_greeting, "key exchange|does what no SSH server"),
    "another protocol": (ways.another_protocol, "not an SSH server"),
    "an old protocol": (ways.old_protocol, "could not agree on how to connect"),
    "foul names of algorithms": (ways.foul_names, r"offers no .* that is allowed"),
    "names that are no text": (ways.names_that_are_no_text, "did not finish the key exchange"),
    "the end with a foul reason": (ways.ends_with_a_reason, "did not finish the key exchange"),
    "too many names of algorithms": (ways.many_names, r"offers no .* that is allowed"),
    "a huge host key": (ways.huge_host_key, "does what no SSH server does.*too large"),
}

LOGINS: dict[str, tuple[Way, str]] = {
    "silence at the login": (ways.logging_in(lambda host: host.hush()), "did not answer the login|refused"),
    "silence at the questions": (ways.questioning(lambda host: host.hush()), "did not answer the login"),
    "foul ways to log in": (
        ways.logging_in(lambda host: host.say(ways.failure(f"publickey,{ESCAPES}".encode()))),
        "login as root .* was refused",
    ),
    "ten thousand ways to log in": (
        ways.logging_in(lambda host: host.say(ways.failure(b"way," * 10_000))),
        "login as root .* was refused",
    ),
    "ways to log in that are no text": (
        ways.logging_in(lambda host: host.say(ways.failure(b"\xff\xfe,password"))),
        "closed the connection during login|refused",
    ),
    "banners without end": (ways.logging_in(ways.banners_without_end), "far more than needed"),
    "the end with a foul reason": (
        ways.logging_in(lambda host: host.say(b"\x01" + bytes(4) + ways.string(ESCAPES.encode()) + ways.string(b""))),
        "closed the connection during login",
    ),
    "extensions without end": (
        ways.logging_in(lambda host: host.say(b"\x07\xff\xff\xff\xff")),
        "more extensions than there are",
    ),
    "a message nobody knows": (ways.logging_in(lambda host: host.say(b"\xc7" + bytes(100))), "during login|refused"),
    "four thousand million questions": (
        ways.questioning(lambda host: host.say(ways.info_request(0xFFFFFFFF))),
        "more than 8 questions at once",
    ),
    "questions that are not whole": (
        ways.questioning(lambda host: host.say(ways.info_request(8) + (b"\x00\x0f\xff\xff" * 8))),
        "incomplete",
    ),
    "a question of half a megabyte": (
        ways.questioning(lambda host: host.say(ways.info_request(1, b"x" * 200_000))),
        "questions are too long",
    ),
    "questions without end": (ways.asking(("", "", (("Code: ", False),)), without_end=True), "more questions than"),
    "rounds without a question": (ways.asking(("", ESCAPES, ()), without_end=True), "more questions than"),
}

RUNS: dict[str, tuple[Way, str]] = {
    "silence at the script": (ways.executing(ways.hush), "did not finish within 4 s|was not started"),
    "silence in the midst": (ways.executing(ways.after(ways.hush)), "did not finish within 4 s"),
    "output by drops": (ways.executing(ways.after(ways.dripping)), "did not finish within 4 s"),
    "keys anew and then silence": (
        ways.executing(ways.after(ways.keys_anew_and_then_silence)),
        "did not finish within 4 s|the connection broke",
    ),
    "nobody reads the script": (ways.executing(ways.deaf), "did not finish within 4 s"),
    "nobody takes the script from the network": (
        ways.executing(ways.without_ears),
        "does not read what is sent|did not finish within 4 s|broke while the script was being sent",
    ),
    "the end without a status": (ways.executing(ways.after(ways.status())), "the connection broke, or the shell"),
    "a foul signal": (ways.executing(ways.after(ways.status(signal=b"KILL\x1b[2J"))), "the connection broke, or"),
    "a foul refusal": (
        ways.executing(ways.status(1, text=f"sudo: {ESCAPES}\n".encode())),
        "gets no shell",
    ),
}

SCRIPTS = {"nobody reads the script": 3_000_000, "nobody takes the script from the network": 6_000_000}
"""Bytes of a script that is longer than what may be under way."""

FLOODS: dict[str, tuple[Way, str]] = {
    "output without end": (ways.executing(ways.after(ways.flood(b"line\n" * 6000))), "printed more than 8 MiB"),
    "a line without end": (ways.executing(ways.after(ways.flood(b"x" * 30000))), "printed more than 8 MiB"),
    "errors without end": (
        ways.executing(ways.after(ways.flood(b"x" * 30000, errors=True))),
        "printed more than 8 MiB",
    ),
    "noise without end": (ways.executing(ways.flood(b"x" * 30000)), "before it began"),
    "noise of errors without end": (
        ways.executing(ways.flood(b"y\n" * 15000, errors=True)),
        "before it began",
    ),
    "output beyond the window": (ways.executing(ways.beyond_the_window), "not asked for|before it began"),
    "errors beyond the window": (
        ways.executing(ways.errors_beyond_the_window),
        "not asked for|before it began",
    ),
    "output for a channel of nobody": (ways.executing(ways.to_a_channel_of_nobody), "was not asked for"),
    "nothing to do, without end": (ways.executing(ways.after(ways.nothing_to_do)), "far more than needed|4 s"),
    "requests without end": (
        ways.executing(ways.after(ways.requests_without_end)),
        "did not finish within|more than needed",
    ),
    "wishes without end": (
        ways.executing(ways.after(ways.wishes_without_end)),
        "did not finish within|the connection broke",
    ),
    "a greeting without end": (ways.line_without_end, "greeting does not end"),
    "lines of greeting without end": (ways.lines_without_end, "greeting does not end|not an SSH server"),
    "a huge packet": (ways.huge_packet, "a packet of more than 256 KiB"),
    "nothing to do before the keys": (ways.nothing_to_do_before_the_keys, "far more than needed|key exchange"),
}


@pytest.mark.parametrize("table", [GREETINGS, LOGINS, RUNS], ids=["greetings", "logins", "runs"])
def test_each_ends_in_an_error_for_that_host(client: Client, tally: Tallies, table: dict[str, tuple[Way, str]]) -> None:
    counted = tally("SSH: servers that misbehave")
    answers = {"answers": [PASSWORD, *[CODE] * 30]}
    told = client.meets(*((way, answers | {"script": SCRIPTS.get(name, 0)}) for name, (way, _) in table.items()))
    for one, (name, (_, says)) in zip(told, table.items(), strict=True):
        with counted.case(name):
            # They are met side by side, on a machine with other things to do; what is waited for is 2 s and 4 s.
            sound(one, says, seconds=30)
            assert PASSWORD not in one["message"] + one["trace"]
            assert CODE not in one["message"] + one["trace"]
    counted.settle()


def test_no_flood_fills_the_memory(client: Client, tally: Tallies, scale: Scale) -> None:
    counted = tally("SSH: servers that flood")
    for name, (way, says) in [*FLOODS.items()][:: scale(2, 1)]:
        [told] = client.meets((way, {}))
        with counted.case(name):
            sound(told, says, seconds=30)
    counted.settle()


THROUGH = "Host 127.0.0.1\n  ProxyJump root@localhost:{port}\n"
JUMPS: dict[str, tuple[Way, str, str]] = {
    "a jump host that says nothing": (ways.silent, THROUGH, "jump host root@localhost:.*did not speak SSH"),
    "a jump host that leads to nowhere": (ways.executing(ways.hush), THROUGH, "did not speak SSH within 2 s"),
    "a jump host that speaks for the goal": (
        ways.executing(ways.flood(b"x" * 30000)),
        THROUGH,
        "greeting does not end",
    ),
    "a jump host that floods": (
        ways.executing(ways.beyond_the_window),
        THROUGH,
        "greeting does not end|no SSH server|cannot be reached",
    ),
    "a jump host that floods itself": (ways.executing(ways.nothing_to_do), THROUGH, "did not speak SSH within 2 s"),
    "a jump host that begins and stops": (
        ways.executing(lambda channel, _: channel.sendall(ways.BANNER + b"\x00\x00")),
        THROUGH,
        "did not finish the key exchange",
    ),
    "a ProxyCommand that complains without end": (
        ways.silent,
        "ProxyCommand yes $(printf '%%0500d' 1) >&2\n",
        "did not speak SSH within 2 s|ProxyCommand gave no connection",
    ),
    "a ProxyCommand that floods": (ways.silent, "ProxyCommand yes\n", "greeting does not end|no connection"),
    "a ProxyCommand with a foul complaint": (
        ways.silent,
        "ProxyCommand printf '\\033]0;PWNED\\007\\033[2J' >&2; exit 1\n",
        r"It said: \\x1b\]0;PWNED\\x07",
    ),
    "a ProxyCommand that ends for nobody": (
        ways.silent,
        "ProxyCommand sh -c \"trap '' TERM; sleep 77 & wait; sleep 77\"\n",
        "did not speak SSH within 2 s",
    ),
}


def test_what_stands_in_between_is_bounded_too(client: Client, tally: Tallies, scale: Scale) -> None:
    counted = tally("SSH: jump hosts and ProxyCommands that misbehave")
    for name, (way, text, says) in [*JUMPS.items()][:: scale(2, 1)]:
        [told] = client.meets((way, {"config": text}))
        with counted.case(name):
            sound(told, says, seconds=30)
    left = subprocess.run(["pgrep", "-f", "^sleep 77$"], capture_output=True, text=True, check=False)
    assert left.stdout == "", "a ProxyCommand ends with the connection, and all that it started"
    counted.settle()


@pytest.mark.parametrize(
    ("text", "characters"),
    [(b"x" * 29999 + b"\n", 8_000_000), ("é€😀\n".encode() * 3000, 3_200_000), (b"\n" * 30000, 8_000_000)],
    ids=["one byte each", "up to four bytes each", "empty lines"],
)
def test_the_longest_answer_that_is_taken_is_whole_and_fits(client: Client, text: bytes, characters: int) -> None:
    [told] = client.meets((ways.executing(ways.after(ways.exactly(text, 8_000_000))), {"deadline": 30.0}))
    assert not told["message"]
    assert told["status"] == 0
    assert told["sizes"] == [characters, 0]
    assert told["grown"] < MEMORY, f"{told['grown'] // 1024} MiB more"


@pytest.mark.parametrize(
    ("statuses", "status"), [((0,), 0), ((3,), 3), ((1, 0), 0), ((255,), 255), ((0x7FFFFFFF,), 0x7FFFFFFF)]
)
def test_odd_statuses(client: Client, statuses: tuple[int, ...], status: int) -> None:
    [told] = client.meets((ways.executing(ways.after(ways.status(*statuses))), {}))
    assert (told["status"], told["sizes"], told["message"]) == (status, [6, 0], "")


def test_nothing_is_left_behind(client: Client) -> None:
    """After all of the above: no thread, no word in a log, no secret."""
    told = client.meets((ways.executing(ways.after(ways.says_hello)), {}), (ways.silent, {}))
    assert told[0]["sizes"] == [6, 0]
    threads = [name for one in told for name in one["threads"] if not name.startswith(("MainThread", "ThreadPool"))]
    assert len(threads) <= 2, threads
    assert client.log == ""
