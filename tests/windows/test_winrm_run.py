"""Scripts over WinRM: whole, in lines as they come, within a deadline, once only, and with every shell closed."""

from __future__ import annotations

import base64
import contextlib
import threading
import time
from collections.abc import Callable

import pytest

from backends.winrm import connector, open_winrm
from backends.winrm.script import PART, POWERSHELL, pack
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import AnswerUnreadable, ConnectionLost, HostError, NoPrivilege
from dsrwizard.core.ports import Connector
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, Say, server
from tests.windows.endpoint import Endpoint
from tests.windows.host import WindowsHost
from tests.windows.lint import lint

Listen = Callable[..., Endpoint]


def opened(endpoint: Endpoint, operator: Operator) -> Connector:
    return open_winrm("win1", server(endpoint), operator)


@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_output_status_and_errors_of_powershell(listen: Listen, operator: Operator, version: str) -> None:
    script = "[Console]::Out.WriteLine('one <&> 1')\n[Console]::Out.WriteLine('two')\nexit 7"
    connection = opened(listen(WindowsHost(version)), operator)
    answer = connection.run(script, deadline=60)
    assert (answer.status, answer.stdout, answer.stderr) == (7, "one <&> 1\ntwo\n", "")
    failed = connection.run("throw 'not <this> & that'", deadline=60)
    # Its id follows in brackets; that of a text that was thrown is the text.
    assert (failed.status, failed.stdout, failed.stderr) == (1, "", "not <this> & that (not <this> & that)")
    broken = connection.run("if ($true) {", deadline=60)
    assert broken.status == 1
    assert "Missing closing '}'" in broken.stderr


def test_lines_arrive_while_the_script_runs(listen: Listen, operator: Operator) -> None:
    gate, lines = threading.Event(), []

    def behaviour(script: str, out: Say, err: Say) -> int:
        out("one\r\ntw")
        assert gate.wait(60)
        out("o\r\nthree")
        return 0

    def line(text: str) -> None:
        lines.append(text)
        gate.set()

    answer = opened(listen(Behaving(behaviour)), operator).run("x", deadline=60, on_line=line)
    assert lines == ["one", "two", "three"]
    assert answer.stdout == "one\ntwo\nthree\n"


def test_a_long_script_and_a_long_answer(listen: Listen, operator: Operator) -> None:
    runner = Behaving(lambda script, out, err: out("x" * 350_000 + "\r\n") or 0)  # type: ignore[func-returns-value]
    noise = base64.b64encode(noise_of(30_000)).decode()
    script = f"# {noise}\n[Console]::Out.WriteLine('end')"
    assert len(pack(script, "m").environment) > 1, "it needs more than one variable"
    answer = opened(listen(runner, generation="2008 R2"), operator).run(script, deadline=60)
    assert runner.scripts == [script]
    assert answer.stdout == "x" * 350_000 + "\n"


def test_a_script_too_long_to_be_sent_is_refused(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving())
    random = "# <" * 40_000  # more as XML than as text
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run(random, deadline=60)
    assert "too long" in caught.value.what
    assert endpoint.actions() == []


def noise_of(size: int) -> bytes:
    state, found = 1, bytearray()
    for _ in range(size):
        state = (state * 1103515245 + 12345) % 2**31
        found.append(state >> 16 & 255)
    return bytes(found)


def test_the_bootstrap_is_powershell_2_and_fits_every_command_line() -> None:
    packed = pack("exit 0\n" * 5000 + "x" * 10, "dsrwizard-0123456789abcdef")
    known = {"program ([ScriptBlock]::Create([Regex]::Unescape($text)))"}
    assert {problem.partition(": ")[2] for problem in lint(packed.bootstrap, "2008")} == known
    assert all(len(value) <= PART for value in packed.environment.values())
    line = " ".join((POWERSHELL, *packed.arguments))
    assert len(line) < 8191 - 100
    assert not set(line.removeprefix("%SystemRoot%")) & set('"%&|<>^\r\n'), "cmd.exe would make something of it"


def test_a_script_travels_as_text_that_anybody_can_read(listen: Listen, operator: Operator) -> None:
    """Nothing for which security software takes a script: no packing, no base64, no Invoke-Expression."""
    packed = pack("# dsrwizard: a look\n[Console]::Out.WriteLine('it reads')\n", "dsrwizard-0123456789abcdef")
    assert packed.environment == {"DSRWIZARD0": r"# dsrwizard: a look\n[Console]::Out.WriteLine('it reads')\n"}
    assert "$dsrwizard = 'dsrwizard: a look';" in packed.bootstrap, "the process list says what runs"
    line = " ".join(packed.arguments).lower()
    for suspicious in ("encodedcommand", "base64", "gzip", "invoke-expression", "iex", "hidden", "bypass"):
        assert suspicious not in line


AWKWARD = (
    "two  blanks   and\ttabs", " a line that begins and ends with blanks ", "",
    "C:\\new\\table \\u0041 \\\\", "<&>\"' %PATH% ^",
    "Подключение 完了 😀 \u2028", "@'\n  indented\n\n'@", " " * 20_000,
)  # fmt: skip


@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_every_sign_of_a_script_arrives(listen: Listen, operator: Operator, version: str) -> None:
    texts = [text.replace("'", "''") for text in AWKWARD]
    script = "\n".join(f"[Console]::Out.WriteLine('{text}' + '|')" for text in texts)
    answer = opened(listen(WindowsHost(version)), operator).run(script, deadline=60)
    assert answer.stdout == "".join(f"{text}|\n" for text in AWKWARD)


@pytest.mark.parametrize("version", ["2008 R2", "2022"])
def test_nothing_of_the_script_is_in_the_environment_of_what_it_starts(
    listen: Listen, operator: Operator, version: str
) -> None:
    script = "# x\n" * 5_000 + '[Console]::Out.WriteLine("[$env:DSRWIZARD0][$env:DSRWIZARD1]$env:windir")'
    assert len(pack(script, "m").environment) > 1
    answer = opened(listen(WindowsHost(version)), operator).run(script, deadline=60)
    assert answer.stdout == "[][]C:\\Windows\n"


def test_a_windows_that_is_not_in_its_usual_place(listen: Listen, operator: Operator) -> None:
    for generation in ("2008 R2", "2012"):
        endpoint = listen(WindowsHost(), windows=r"D:\Win", generation=generation)
        answer = opened(endpoint, operator).run("[Console]::Out.WriteLine('there')", deadline=60)
        assert answer.stdout == "there\n"
        operator.answers = ["canary-Pa55word"]


def test_a_32_bit_shell_is_refused_before_the_script_runs(listen: Listen, operator: Operator) -> None:
    host = WindowsHost()
    host.wow64 = True
    with pytest.raises(AnswerUnreadable) as caught:
        opened(listen(host), operator).run("[Console]::Out.WriteLine('it ran')", deadline=60)
    assert "32-bit PowerShell on a 64-bit Windows" in caught.value.what
    assert "was not run" in caught.value.why


def test_a_powershell_that_is_kept_from_running_it(listen: Listen, operator: Operator) -> None:
    class Constrained(Behaving):
        def run(self, script: str, **options: object) -> int:
            say = options["err"]
            assert callable(say)
            say(
                b'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="x"><Obj S="progress" RefId="0"></Obj><S S="Error">'
                b"Cannot create type. Only core types are supported in this language mode._x000D__x000A_</S></Objs>"
            )
            return 1

    with pytest.raises(AnswerUnreadable) as caught:
        opened(listen(Constrained()), operator).run("exit 0", deadline=60)
    assert "constrained language mode" in caught.value.why
    assert caught.value.why.endswith(
        "The host says: Cannot create type. Only core types are supported in this language mode."
    )
    assert "AppLocker" in caught.value.next


def test_a_deadline_ends_the_script_and_closes_its_shell(listen: Listen, operator: Operator) -> None:
    over = threading.Event()
    endpoint = listen(Behaving(lambda script, out, err: int(over.wait(60))))
    connection, begin = opened(endpoint, operator), time.monotonic()
    with pytest.raises(ConnectionLost) as caught:
        connection.run("x", deadline=3)
    assert time.monotonic() - begin < 40
    assert "3 s" in caught.value.what
    assert caught.value.begun
    assert endpoint.actions("Signal", "Delete") == ["Signal", "Delete"]
    over.set()
    assert connection.run("x", deadline=60).status == 1


def test_a_silent_script_outlives_the_operation_timeout(
    listen: Listen, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "OPERATION_SECONDS", 1)

    def behaviour(script: str, out: Say, err: Say) -> int:
        while len(endpoint.actions("Receive")) < 3:  # the third one is under way: two have ended without an answer
            time.sleep(0.05)
        return 5

    endpoint = listen(Behaving(behaviour))
    assert opened(endpoint, operator).run("x", deadline=120).status == 5


def test_a_listener_of_lines_that_raises_ends_the_script(listen: Listen, operator: Operator) -> None:
    def behaviour(script: str, out: Say, err: Say) -> int:
        out("line\r\n")
        time.sleep(20)
        return 0

    def stop(line: str) -> None:
        raise KeyboardInterrupt

    endpoint = listen(Behaving(behaviour))
    with pytest.raises(KeyboardInterrupt):
        opened(endpoint, operator).run("x", deadline=60, on_line=stop)
    assert endpoint.actions("Signal", "Delete") == ["Signal", "Delete"]


def test_a_connection_cut_while_the_script_runs_is_taken_up_again(listen: Listen, operator: Operator) -> None:
    def behaviour(script: str, out: Say, err: Say) -> int:
        out("before\r\n")
        time.sleep(0.3)
        endpoint.drop()  # as when the script has changed the adapter
        time.sleep(0.3)
        out("after\r\n")
        return 3

    runner = Behaving(behaviour)
    endpoint = listen(runner)
    answer = opened(endpoint, operator).run("x", deadline=60)
    assert (answer.status, answer.stdout) == (3, "before\nafter\n")
    assert len(runner.scripts) == 1
    assert len(endpoint.logins) == 2


def test_an_idle_connection_that_was_dropped_is_made_anew(listen: Listen, operator: Operator) -> None:
    runner = Behaving()
    endpoint = listen(runner)
    connection = opened(endpoint, operator)
    for _ in range(3):
        connection.run("x", deadline=60)
        endpoint.drop()
    assert len(runner.scripts) == 3
    assert len(operator.secrets) == 1


@pytest.mark.parametrize(("when", "begun"), [("before", 0), ("after", 1)])
def test_a_script_that_may_have_begun_is_never_begun_again(
    listen: Listen, operator: Operator, when: str, begun: int
) -> None:
    runner = Behaving()
    endpoint = listen(runner)
    connection = opened(endpoint, operator)
    connection.run("first", deadline=60)
    endpoint.cut.append(("Command", when))
    with pytest.raises(ConnectionLost) as caught:
        connection.run("second", deadline=60)
    assert caught.value.begun
    assert "not known" in caught.value.why
    until = time.monotonic() + 60
    while len(runner.scripts) < 1 + begun and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.5)  # the host runs on without being asked: another one would have begun by then
    assert runner.scripts == ["first", *["second"] * begun]
    endpoint.shells.clear()  # a shell whose connection is lost ends by its idle timeout


def test_a_host_that_was_restarted_in_the_middle(listen: Listen, operator: Operator) -> None:
    over = threading.Event()

    def behaviour(script: str, out: Say, err: Say) -> int:
        endpoint.shells.clear()
        return int(over.wait(60))

    endpoint = listen(Behaving(behaviour))
    with pytest.raises(ConnectionLost) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    over.set()
    assert "restarted" in caught.value.what
    assert caught.value.begun


def test_a_host_that_dies_is_waited_for_a_while_only(
    listen: Listen, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "AWAY_SECONDS", 0.5)
    over = threading.Event()
    endpoint = listen(Behaving(lambda script, out, err: out("begun\r\n") or int(over.wait(60))))  # type: ignore[func-returns-value]
    begin = time.monotonic()
    connection = opened(endpoint, operator)
    with pytest.raises(ConnectionLost) as caught:
        connection.run("x", deadline=60, on_line=lambda line: endpoint.stop())
    assert time.monotonic() - begin < 40
    assert caught.value.begun
    with pytest.raises(ConnectionLost) as later:
        connection.run("x", deadline=5)
    assert not later.value.begun
    over.set()
    connection.close()


@pytest.mark.parametrize("generation", ["2008 R2", "2012"])
def test_shells_that_others_left_open(listen: Listen, operator: Operator, generation: str) -> None:
    endpoint = listen(Behaving(), generation=generation)
    endpoint.generation = type(endpoint.generation)(0, 0, endpoint.generation.by_wmi)
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert "as many shells open there as WinRM allows" in caught.value.what
    assert "MaxShellsPerUser" in caught.value.next
    endpoint.generation = type(endpoint.generation)(5, 0, endpoint.generation.by_wmi)
    operator.answers = ["canary-Pa55word"]
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert "as many operations open" in caught.value.what
    assert "MaxConcurrentOperationsPerUser" in caught.value.next


@pytest.mark.parametrize("generation", ["2008 R2", "2012"])
def test_too_many_users_are_not_too_many_shells_of_this_one(
    listen: Listen, operator: Operator, generation: str
) -> None:
    endpoint = listen(Behaving(), generation=generation)
    endpoint.crowded = True
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert "as many users have shells open there" in caught.value.what
    assert "MaxConcurrentUsers" in caught.value.next
    assert "MaxShellsPerUser" not in caught.value.next


def test_twenty_scripts_need_one_operation_each(listen: Listen, operator: Operator) -> None:
    """An operation is given back by the end of its shell only; 2008 R2 has 15."""
    connection = opened(listen(Behaving(), generation="2008 R2"), operator)
    assert [connection.run("x", deadline=60).status for _ in range(20)] == [0] * 20


def test_no_administrator(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving())
    endpoint.administrators.clear()
    with pytest.raises(NoPrivilege) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert "access is denied" in caught.value.what
    assert "filtered rights" in caught.value.why
    assert "LocalAccountTokenFilterPolicy /t REG_DWORD /d 1" in caught.value.next
    assert "opens them all" in caught.value.next, "what that opens"
    assert caught.value.next.index("domain account") < caught.value.next.index("reg add"), "what is better comes first"
    assert len(operator.secrets) == 1, "the password was right: it is not asked for again"


def test_a_policy_against_remote_shells(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving())
    endpoint.remote_shells = False
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert "Allow Remote Shell Access" in caught.value.why


@pytest.mark.parametrize(
    ("status", "said"),
    [(404, "no WinRM at /wsman"), (502, "proxy"), (407, "proxy"), (503, "service does not run"), (500, "not encrypted"),
     (302, "proxy"), (418, "another service")],
)  # fmt: skip
def test_what_is_not_winrm(listen: Listen, operator: Operator, status: int, said: str) -> None:
    endpoint = listen(Behaving())
    endpoint.status = status
    with pytest.raises(HostError) as caught:
        opened(endpoint, operator).run("x", deadline=60)
    assert said in caught.value.why
    assert caught.value.what.startswith("win1: 127.0.0.1 port")
    assert caught.value.next


def test_a_closed_connection_says_so(listen: Listen, operator: Operator) -> None:
    connection = opened(listen(Behaving()), operator)
    connection.close()
    connection.close()
    with pytest.raises(ConnectionLost) as caught:
        connection.run("x", deadline=5)
    assert not caught.value.begun


def test_closing_leaves_no_shell_though_the_script_says_nothing(listen: Listen, operator: Operator) -> None:
    begun, over = threading.Event(), threading.Event()

    def behave(script: str, out: Say, err: Say) -> int:
        begun.set()
        over.wait(60)
        return 0

    endpoint = listen(Behaving(behave))
    connection = opened(endpoint, operator)

    def run() -> None:
        with contextlib.suppress(HostError):  # or it gets the script's last word: which comes first is open
            connection.run("x", deadline=60)

    running = threading.Thread(target=run)
    running.start()
    assert begun.wait(30)
    connection.close()
    assert endpoint.shells == {}, "a user may have few shells open on a host"
    over.set()
    running.join(60)
    assert not running.is_alive()


def test_closing_lets_a_running_script_go(listen: Listen, operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connector, "OPERATION_SECONDS", 1)
    over = threading.Event()
    endpoint = listen(Behaving(lambda script, out, err: out("begun\r\n") or int(over.wait(60))))  # type: ignore[func-returns-value]
    connection = opened(endpoint, operator)
    with pytest.raises(ConnectionLost) as caught:
        connection.run("x", deadline=60, on_line=lambda line: connection.close())
    over.set()
    assert "stopped waiting" in caught.value.what
    assert endpoint.actions("Delete")
    assert endpoint.shells == {}


def test_ipv6(operator: Operator, state: object) -> None:
    runner = Behaving()
    endpoint = Endpoint(runner, users={"Administrator": "canary-Pa55word"}, address="::1").start()
    try:
        place = RealServer(name="win1", address="::1", connect="winrm", winrm="http", port=endpoint.port)
        assert open_winrm("win1", place, operator).run("x", deadline=60).status == 0
    finally:
        endpoint.stop()
