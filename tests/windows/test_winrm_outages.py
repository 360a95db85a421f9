"""A host that is out of reach while its script runs: nothing that it said is lost, and nothing is begun twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from backends.winrm import connector, open_winrm, transport
from dsrwizard.core.model.errors import ConnectionLost, HostError
from dsrwizard.core.ports import Connector
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, Say, server
from tests.windows.endpoint import Endpoint
from tests.windows.wsman import Fault

Listen = Callable[..., Endpoint]


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of half minutes."""
    monkeypatch.setattr(connector, "OPERATION_SECONDS", 1)
    monkeypatch.setattr(transport, "OPERATION_SECONDS", 1)
    monkeypatch.setattr(transport, "_GRACE", 1)


def opened(endpoint: Endpoint, operator: Operator) -> Connector:
    return open_winrm("win1", server(endpoint), operator)


@pytest.mark.parametrize("times", [1, 3])
def test_an_answer_that_was_lost_on_its_way_is_asked_for_again_by_its_message_id(
    listen: Listen, operator: Operator, times: int
) -> None:
    """The host took it out of the script's output: whoever asks anew gets only what comes after it."""

    def behaviour(script: str, out: Say, err: Say) -> int:
        out("first\r\n")
        while len(endpoint.repeated) < times:
            time.sleep(0.02)
        out("second\r\n")
        return 3

    runner = Behaving(behaviour)
    endpoint = listen(runner)
    endpoint.cut += [("Receive", "after")] * times
    answer = opened(endpoint, operator).run("x", deadline=60)
    assert (answer.status, answer.stdout) == (3, "first\nsecond\n")
    assert endpoint.repeated == ["Receive"] * times
    assert len(runner.scripts) == 1


def test_the_last_answer_is_lost_too_and_comes_again(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving(lambda script, out, err: out("all\r\n") or 7))  # type: ignore[func-returns-value]
    endpoint.cut += [("Receive", "after")] * 2
    answer = opened(endpoint, operator).run("x", deadline=60)
    assert (answer.status, answer.stdout) == (7, "all\n")


@pytest.mark.usefixtures("hasty")
def test_a_silent_host_is_told_and_asked_again_until_it_speaks(listen: Listen, operator: Operator) -> None:
    speaks, said = threading.Event(), []

    def line(text: str) -> None:
        said.append(text)
        if "has not answered" in text:
            speaks.set()

    endpoint = listen(Behaving(lambda script, out, err: out("there\r\n") or 0))  # type: ignore[func-returns-value]
    endpoint.sleeps.append(("Receive", speaks))
    answer = opened(endpoint, operator).run("x", deadline=60, on_line=line)
    assert (answer.status, answer.stdout) == (0, "there\n")
    assert any("win1 has not answered for" in text and "asked again" in text for text in said)
    assert "there" in said


@pytest.mark.usefixtures("hasty")
def test_silence_longer_than_the_tolerance_for_cuts_ends_nothing(
    listen: Listen, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "AWAY_SECONDS", 0.0)
    speaks, said = threading.Event(), []

    def line(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            speaks.set()

    endpoint = listen(Behaving(lambda script, out, err: int(speaks.wait(60)) and 4))
    endpoint.sleeps += [("Receive", speaks)] * 2
    assert opened(endpoint, operator).run("x", deadline=60, on_line=line).status == 4


@pytest.mark.usefixtures("hasty")
def test_silence_until_the_deadline_is_called_silence(listen: Listen, operator: Operator) -> None:
    speaks = threading.Event()
    endpoint = listen(Behaving(lambda script, out, err: int(speaks.wait(60))))
    endpoint.sleeps += [("Receive", speaks)] * 50
    with pytest.raises(ConnectionLost) as caught:
        opened(endpoint, operator).run("x", deadline=4)
    speaks.set()
    assert "it has not answered for" in caught.value.what
    assert "may still run" in caught.value.why
    assert caught.value.begun
    endpoint.shells.clear()


@pytest.mark.parametrize("code", [2150859179, 2150859237])
@pytest.mark.parametrize("generation", ["2008 R2", "2012"])
def test_too_many_users_are_not_too_many_shells(
    listen: Listen, operator: Operator, monkeypatch: pytest.MonkeyPatch, generation: str, code: int
) -> None:
    endpoint = listen(Behaving(), generation=generation)

    def refuse(*_: object) -> bytes:
        by_wmi = endpoint.generation.by_wmi
        raise Fault(code, "s:Sender", "w:QuotaLimit", "The maximum number of users was reached.", by_wmi=by_wmi)

    monkeypatch.setattr(endpoint, "_create", refuse)
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert "as many users" in caught.value.what
    assert "MaxConcurrentUsers" in caught.value.next
    assert "MaxShellsPerUser" not in caught.value.next


def test_a_shell_that_is_left_ends_within_what_winrm_2_allows(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving(), generation="2008 R2")
    opened(endpoint, operator).run("x", deadline=60)
    assert endpoint.idle_seconds
    assert all(seconds <= 180 for seconds in endpoint.idle_seconds)
