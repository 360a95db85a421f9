"""Logging in to Windows: what is refused before anything is sent, which passwords are tried where, and how often."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from backends.memory import Memory, forget
from backends.winrm import open_winrm
from backends.winrm.gssapi import library
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import ConnectionRefused, ConnectTimeout, HostError, LoginRefused, NameUnknown
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import SecretQuestion
from tests.fakes.clock import Clock
from tests.ports import free_port
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, server
from tests.windows.certificates import Certificate
from tests.windows.conftest import PASSWORD
from tests.windows.endpoint import Endpoint

Listen = Callable[..., Endpoint]


def hello(endpoint: Endpoint, operator: Operator, name: str = "win1", **options: object) -> int:
    connection = open_winrm(name, server(endpoint, name=name, **options), operator)
    try:
        return connection.run("exit 0", deadline=60).status
    finally:
        connection.close()


@pytest.mark.parametrize("user", ["Administrator", "CORP\\deploy", "deploy@corp.example"])
@pytest.mark.parametrize("tls", [False, True])
def test_the_ways_to_write_an_account(
    listen: Listen, operator: Operator, self_signed: Certificate, user: str, tls: bool
) -> None:
    runner = Behaving()
    endpoint = listen(runner, users={user: PASSWORD}, certificate=self_signed if tls else None)
    assert hello(endpoint, operator, user=user) == 0
    assert runner.users == [user]


def test_basic_goes_over_tls_only(listen: Listen, operator: Operator, self_signed: Certificate) -> None:
    safe, open_ = listen(Behaving(), certificate=self_signed), listen(Behaving())
    safe.basic = open_.basic = True
    assert hello(safe, operator, auth="basic") == 0
    with pytest.raises(HostError) as caught:
        hello(open_, operator, auth="basic")
    assert "Basic authentication over HTTP is refused" in caught.value.what
    assert 'auth = "ntlm"' in caught.value.next
    assert not open_.seen, "nothing was sent"


def test_kerberos_without_its_library_is_refused_before_anything_is_sent(
    listen: Listen, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.winrm.gssapi.LIBRARY", "libgssapi_krb5.so.no")
    library.cache_clear()
    endpoint = listen(Behaving())
    with pytest.raises(HostError) as caught:
        hello(endpoint, operator, auth="kerberos")
    assert "apt install libgssapi-krb5-2" in caught.value.next
    assert not endpoint.seen


@pytest.mark.parametrize("auth", ["basic", "ntlm"])
def test_a_way_to_log_in_that_is_turned_off_asks_for_no_second_password(
    listen: Listen, operator: Operator, self_signed: Certificate, auth: str
) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    endpoint.basic, endpoint.negotiate = auth == "ntlm", auth == "basic"
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, operator, auth=auth)
    assert f"does not accept {auth} logins" in caught.value.what
    assert "winrm set winrm/config/service/auth" in caught.value.next
    assert len(operator.secrets) == 1


def test_a_wrong_password_is_asked_for_again(listen: Listen) -> None:
    endpoint, operator = listen(Behaving()), Operator(answers=["wrong", PASSWORD])
    assert hello(endpoint, operator) == 0
    assert [question.refused for question in operator.secrets] == [False, True]
    assert [good for _, good in endpoint.logins] == [False, True]


@pytest.mark.parametrize("auth", ["ntlm", "basic"])
def test_two_wrong_passwords_are_enough(listen: Listen, self_signed: Certificate, auth: str) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    endpoint.basic = True
    operator = Operator(answers=["wrong", "worse", PASSWORD], accepts=True)
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, operator, auth=auth)
    assert "login as Administrator" in caught.value.what
    assert "might lock the account" in caught.value.why
    assert "event 4625" in caught.value.next
    assert len(endpoint.logins) == 2
    assert hello(endpoint, operator, auth=auth) == 0, "whoever tries again is asked again"


def test_no_password_given(listen: Listen) -> None:
    endpoint = listen(Behaving())
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, Operator())
    assert caught.value.why.startswith("No password was given.")
    assert endpoint.logins == []


def test_a_domain_accounts_wrong_password_is_tried_on_one_host_of_many(listen: Listen) -> None:
    user = "CORP\\deploy"
    endpoints = [listen(Behaving(), users={user: PASSWORD}) for _ in range(8)]
    operator = Operator(answers=["typing error", PASSWORD])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda at: hello(endpoints[at], operator, f"win{at}", user=user), range(8)))
    assert found == [0] * 8
    assert len(operator.secrets) == 2
    assert [good for endpoint in endpoints for _, good in endpoint.logins].count(False) == 1


def test_a_domain_account_is_not_locked_by_many_hosts(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    user = "CORP\\deploy"
    endpoints = [listen(Behaving(), users={user: PASSWORD}) for _ in range(8)]
    came = threading.Semaphore(0)
    obtain = Memory.obtain

    class Slow(Operator):
        """As people are: meanwhile all hosts have come to the question."""

        __hash__ = object.__hash__

        def secret(self, question: SecretQuestion) -> Secret | None:
            if not self.secrets:
                assert all(came.acquire(timeout=60) for _ in endpoints)
            return super().secret(question)

    def obtained(*given: Any) -> Secret | None:
        came.release()
        return obtain(*given)

    monkeypatch.setattr(Memory, "obtain", obtained)
    operator = Slow(answers=["wrong", "worse", "worst"])

    def one(number: int) -> str:
        with pytest.raises(LoginRefused) as caught:
            hello(endpoints[number], operator, f"win{number}", user=user)
        return caught.value.what

    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(one, range(8)))
    assert all(what.startswith(f"win{number}: login as") for number, what in enumerate(said))
    assert sum(len(endpoint.logins) for endpoint in endpoints) == 2
    assert len(operator.secrets) == 2


def test_a_local_account_has_a_password_of_its_own_on_each_host(listen: Listen) -> None:
    first = listen(Behaving())
    second = listen(Behaving(), users={"Administrator": "another"})
    operator = Operator(answers=[PASSWORD, "another"])
    assert hello(first, operator) == hello(second, operator, "win2") == 0
    assert hello(first, operator) == 0
    assert [question.host for question in operator.secrets] == ["win1", "win2"]
    forget(operator)
    operator.answers = [PASSWORD]
    assert hello(first, operator) == 0, "what was forgotten is asked again"
    assert len(operator.secrets) == 3


def test_a_password_changed_meanwhile(listen: Listen) -> None:
    endpoint, operator = listen(Behaving()), Operator(answers=[PASSWORD, "new"])
    connection = open_winrm("win1", server(endpoint), operator)
    connection.run("exit 0", deadline=60)
    endpoint.users["Administrator"] = "new"
    endpoint.drop()
    assert connection.run("exit 0", deadline=60).status == 0
    assert [question.refused for question in operator.secrets] == [False, True]


def test_the_time_of_the_operator_is_not_the_hosts(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()

    class Slow(Operator):
        __hash__ = object.__hash__

        def secret(self, question: SecretQuestion) -> Secret | None:
            clock.ahead += 600
            return super().secret(question)

    monkeypatch.setattr("backends.winrm.connector.time", clock)
    connection = open_winrm("win1", server(listen(Behaving())), Slow(answers=[PASSWORD]))
    assert connection.run("exit 0", deadline=60).status == 0
    assert clock.ahead == 600


def test_no_listener(operator: Operator) -> None:
    for winrm in ("http", "https"):
        place = RealServer(name="win1", address="127.0.0.1", connect="winrm", winrm=winrm, port=free_port())
        with pytest.raises(ConnectionRefused) as caught:
            open_winrm("win1", place, operator)
        assert "no listener on that port" in caught.value.why
        assert "dsrwizard prepare" in caught.value.next
        assert "quickconfig" not in caught.value.next, (
            "it opens more than it must, and refuses self-signed certificates"
        )


def test_a_name_without_address(operator: Operator) -> None:
    place = RealServer(name="win1", address="no-such-host.invalid", connect="winrm")
    with pytest.raises(NameUnknown):
        open_winrm("win1", place, operator)


def test_a_silent_host(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.winrm.reach.CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0), backlog=8) as mute:
        place = RealServer(name="win1", address="127.0.0.1", connect="winrm", port=mute.getsockname()[1])
        with pytest.raises(ConnectTimeout) as caught:
            open_winrm("win1", place, operator)
    assert "did not answer within 0.5 s" in caught.value.what


def test_proxies_and_netrc_of_the_environment_do_not_count(
    listen: Listen, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert hello(listen(Behaving()), operator) == 0


def test_nothing_goes_out_readable_after_sealing_failed(listen: Listen, operator: Operator) -> None:
    """pywinrm goes on without when the first attempt to set it up was cut off."""
    endpoint = listen(Behaving())
    connection = open_winrm("win1", server(endpoint), operator)
    endpoint.status = 503
    with pytest.raises(HostError):
        connection.run("exit 0 # canary", deadline=60)
    endpoint.status = 0
    operator.answers = [PASSWORD]
    assert connection.run("exit 0 # canary", deadline=60).status == 0
    assert b"canary" not in endpoint.seen
    assert b"wsman/1/windows/shell" not in endpoint.seen, "every message was sealed"


REASONS = {
    "Administrator": ["wrong password or name", "renamed", "Deny access to this computer from the network"],
    "deploy": ["wrong password or name", "not an administrator", "rights Windows filters", "Deny access"],
    ".\\deploy": ["wrong password or name", "not an administrator", "rights Windows filters", "Deny access"],
    "CORP\\deploy": [
        "wrong password or name",
        "locked",
        "not an administrator",
        "Domain Admins",
        "Protected Users",
    ],
    "deploy@corp.example": ["wrong password or name", "has to be changed", "Domain Admins", "NTLM"],
}


@pytest.mark.parametrize("user", REASONS)
def test_a_right_password_that_is_refused_is_told_by_what_it_can_be_for_that_account(listen: Listen, user: str) -> None:
    endpoint = listen(Behaving(), users={user.removeprefix(".\\"): PASSWORD})
    endpoint.denied = dict.fromkeys([user, user.removeprefix(".\\")], "network logon")
    operator = Operator(answers=[PASSWORD, PASSWORD, PASSWORD])
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, operator, user=user)
    places = [caught.value.why.index(reason) for reason in REASONS[user]]
    assert places == sorted(places), "the likeliest first"
    assert "The same password was given again, and not sent a second time." in caught.value.why
    assert len(operator.secrets) == 2
    assert len(endpoint.logins) == 1, "each one that is sent counts towards a lock"


def test_the_second_question_says_why_it_is_the_last(listen: Listen) -> None:
    endpoint, operator = listen(Behaving()), Operator(answers=["wrong", "worse", "worst"])
    with pytest.raises(LoginRefused):
        hello(endpoint, operator)
    first, second = operator.secrets
    assert "lock" not in first.detail
    assert "more tries might lock the account" in second.detail
    assert "refused for another reason" in second.detail


def test_a_user_that_was_not_set_is_not_taken_for_granted(listen: Listen) -> None:
    """S-1-5-21-...-500 is Administrateur, Administrador, Järjestelmänvalvoja elsewhere."""
    endpoint = listen(Behaving(), users={"Administrateur": PASSWORD})
    operator = Operator(answers=[PASSWORD, "another"])
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, operator)
    assert "no user is set" in operator.secrets[0].detail
    assert caught.value.why.index("not called Administrator") < caught.value.why.index("wrong password")
    assert "Set user for this server" in caught.value.next
    assert "*-500" in caught.value.next
    named = Operator(answers=["wrong", "worse"])
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, named, user="Administrator")
    assert "not called" not in caught.value.why
    assert "no user" not in named.secrets[0].detail
