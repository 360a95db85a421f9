"""Bounds of what a Windows host may answer: where they are, and what an apply makes of a host beyond them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.winrm import open_winrm
from backends.winrm.bounds import LARGEST_OUTPUT, MOST_LINES, OutOfBounds, envelope
from backends.winrm.script import Lines, error_text
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.foreign import harmless
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.engine.locks import Lease
from tests.ssh.sshd import Operator
from tests.windows.answers import facts
from tests.windows.behaving import Behaving, Say, server
from tests.windows.conftest import PASSWORD, VIP
from tests.windows.endpoint import Endpoint
from tests.windows.host.runner import ModelRunner
from tests.windows.test_winrm_deploy import engine_of, farm_of, windows

Listen = Callable[..., Endpoint]


def flooding(script: str, out: Say, err: Say) -> int:
    for _ in range(LARGEST_OUTPUT // 100_000 + 1):
        out("x" * 100_000)
    return 0


def fed(feed: Callable[[bytes], None], piece: bytes) -> None:
    """More than one script may print."""
    for _ in range(LARGEST_OUTPUT // len(piece) + 2):
        feed(piece)


def fine(script: str, out: Say, err: Say) -> int:
    out("fine\r\n")
    return 0


class TestLines:
    def test_many_small_pieces_of_one_line_take_little_time(self) -> None:
        heard: list[str] = []
        lines, began = Lines("begin", heard.append), time.process_time()
        lines.feed(b"begin\n")
        for _ in range(80_000):
            lines.feed(b"x" * 100)
        lines.feed(b"\r\n")
        assert [len(line) for line in heard] == [8_000_000]
        assert time.process_time() - began < 5

    def test_more_than_the_bound_is_refused_whatever_its_form(self) -> None:
        for piece in (b"x" * 65_536, b"x\n" * 8_192):
            lines = Lines("begin", None)
            with pytest.raises(OutOfBounds):
                fed(lines.feed, piece)
            with pytest.raises(OutOfBounds):
                fed(lines.feed_errors, piece)

    def test_empty_lines_count_too(self) -> None:
        with pytest.raises(OutOfBounds, match="lines"):
            Lines("begin", None).feed(b"\n" * (MOST_LINES + 2))

    def test_errors_keep_their_beginning(self) -> None:
        lines = Lines("begin", None)
        lines.feed_errors(b"first " + b"x" * 500_000)
        assert lines.errors.startswith("first")
        assert len(lines.errors) < 100_000


def test_errors_that_never_end_a_string_take_little_time() -> None:
    began = time.process_time()
    assert error_text(b"#< CLIXML" + b'<S S="Error">' * 500_000) == ""
    assert error_text(b'#< CLIXML<Objs><S S="Error">a_x001B_[31m_x000A_</S><S S="progress">b</S>') == r"a\x1b[31m"
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE a><a/>", b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', '<!DOCTYPE a><a/>'.encode("utf-16"), b"",
        b"<a>",         b"<a>" * 65 + b"</a>" * 65, b"<a>" + b"<b/>" * 5_000 + b"</a>", b"\xff\xfe", b"plain text",
    ],
    ids=range(9),
)  # fmt: skip
def test_what_is_no_message_is_not_made_into_a_tree(body: bytes) -> None:
    with pytest.raises(OutOfBounds):
        envelope(body)


def test_a_flood_is_said_and_its_shell_closed(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving(flooding))
    connection = open_winrm("win1", server(endpoint), operator)
    with pytest.raises(AnswerUnreadable, match="more than 8 MB") as caught:
        connection.run("anything", deadline=60)
    assert caught.value.begun
    assert endpoint.actions("Signal", "Delete") == ["Signal", "Delete"]
    endpoint.runner = Behaving(fine)
    assert connection.run("anything", deadline=60).stdout == "fine\n"
    connection.close()


@pytest.mark.parametrize("told", [False, True])
def test_an_apply_that_floods_leaves_it_open_what_was_done(listen: Listen, tmp_path: Path, told: bool) -> None:
    """The script may have run: nothing of it counts as not attempted, and the other host is done."""
    flood, well = windows(), windows()
    endpoints = [listen(flood), listen(well)]
    servers = [server(endpoint, name=f"win{number}") for number, endpoint in enumerate(endpoints)]
    operator = Operator(answers=[PASSWORD] * 2, accepts=True)
    deployment, engine = farm_of(*servers), engine_of(tmp_path, operator)
    plan = engine.plan(deployment, engine.observe(deployment))

    class Both(ModelRunner):
        """Does what it is told, and floods: afterwards, or instead of a word."""

        def run(self, script, *, environment, stdin, out, err, user):  # type: ignore[no-untyped-def]
            heard: list[bytes] = []
            status = super().run(script, environment=environment, stdin=stdin, out=heard.append, err=err, user=user)
            for line in heard if told else heard[:1]:
                out(line)
            flooding(script, lambda text: out(text.encode()), lambda text: None)
            return status

    endpoints[0].runner = Both(flood)
    result = engine.apply(deployment, plan, lambda event: None, None, Lease())
    by_name = {one.host: one for one in result.hosts}
    assert by_name["win1"].outcome is Outcome.CHANGED
    assert well.accepts(VIP)
    assert by_name["win0"].failure is not None
    assert "more than 8 MB" in by_name["win0"].failure.why
    assert Outcome.NOT_ATTEMPTED not in {step.outcome for step in by_name["win0"].steps}
    if not told:
        assert by_name["win0"].outcome is Outcome.UNKNOWN
    endpoints[0].runner = ModelRunner(flood)
    assert engine.teardown(deployment, engine.teardown_plan(deployment), lambda event: None).ok
    assert not flood.accepts(VIP)


def test_a_fault_of_the_host_is_quoted_on_one_harmless_line(listen: Listen, operator: Operator) -> None:
    def errors(script: str, out: Say, err: Say) -> int:
        err("\x1b]0;owned\x07 no\r\n\x9b2J \u202e" + "y" * 10_000)
        return 1

    connection = open_winrm("win1", server(listen(Behaving(errors))), operator)
    answer = connection.run("anything", deadline=60)
    connection.close()
    assert all(harmless(line) for line in answer.stderr.split("\n"))


def test_a_host_with_many_firewall_rules_is_within_the_bounds() -> None:
    """A session host has tens of thousands."""

    def change(document: dict[str, object]) -> None:
        rule = {
            "name": "App of a user who logged on once, long ago", "enabled": True, "protocol": 256,
            "ports": "*", "addresses": "*", "profiles": 7, "allow": True, "group": "@{Microsoft.Windows.App_1.0}",
        }  # fmt: skip
        document["rules"] = [rule] * 30_000

    windows_facts = facts(change).windows
    assert windows_facts is not None
    assert len(windows_facts.rules or ()) == 30_000
