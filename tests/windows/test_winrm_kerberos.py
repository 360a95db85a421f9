"""Kerberos: a real KDC, a ticket at hand, and a WinRM endpoint that has the host's keytab."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from backends.winrm import open_winrm
from backends.winrm.gssapi import GssError, Ticket
from dsrwizard.core.model.errors import ConnectionLost, HostError, HostKeyUnknown, LoginRefused
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, server
from tests.windows.certificates import Certificate, issue
from tests.windows.endpoint import Endpoint
from tests.windows.kdc import REALM, Kdc

Listen = Callable[..., Endpoint]
NAME = "win1.corp.example"
PASSWORD = "canary-Pa55word"
DEPLOY = f"deploy@{REALM}"


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    kdc = Kdc(tmp_path_factory.mktemp("kdc"))
    kdc.user("deploy", PASSWORD)
    kdc.user("other", PASSWORD)
    kdc.keytab(f"WSMAN/{NAME}", f"HTTP/{NAME}", "WSMAN/win2.corp.example")
    kdc.keytab("HTTP/web.corp.example", "WSMAN/stolen.corp.example")
    kdc.keytab("WSMAN/elsewhere.corp.example", "WSMAN/pool.corp.example", file="elsewhere.keytab")
    kdc.keytab("HTTP/pool.corp.example")
    yield kdc
    kdc.stop()


@pytest.fixture
def kdc(domain: Kdc, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kdc]:
    """The domain, without a ticket at hand."""
    for name, value in domain.environment.items():
        monkeypatch.setenv(name, value)
    yield domain
    domain.kdestroy()


@pytest.fixture
def host(listen: Listen, kdc: Kdc) -> Endpoint:
    """A Windows that is in the domain, over plain HTTP."""
    return in_domain(listen(Behaving()), kdc)


def in_domain(endpoint: Endpoint, kdc: Kdc) -> Endpoint:
    endpoint.keytab = kdc.keytab()
    endpoint.administrators = {DEPLOY}
    return endpoint


def hello(endpoint: Endpoint, **options: object) -> int:
    wanted = {"auth": "kerberos", "dns_name": NAME} | options
    connection = open_winrm("win1", server(endpoint, **wanted), Operator(accepts=True))
    try:
        return connection.run("exit 0 # canary", deadline=60).status
    finally:
        connection.close()


def refused(endpoint: Endpoint, **options: object) -> LoginRefused:
    with pytest.raises(LoginRefused) as caught:
        hello(endpoint, **options)
    assert endpoint.actions() == [], "nothing was asked of the host"
    return caught.value


@pytest.mark.parametrize(
    "user",
    [None, "deploy@CORP.EXAMPLE", "deploy@corp.example", "CORP\\deploy", "corp.example\\Deploy", "deploy"],
)
def test_the_ticket_at_hand_logs_in_however_its_account_is_written(host: Endpoint, kdc: Kdc, user: str | None) -> None:
    kdc.kinit("deploy", PASSWORD)
    assert hello(host, user=user) == 0
    assert {name for name, _ in host.log} == {DEPLOY}


def test_nothing_goes_out_readable_over_plain_http(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    assert hello(host) == 0
    assert b"multipart/encrypted" in host.seen
    assert b"canary" not in host.seen
    assert b"wsman/1/windows/shell" not in host.seen, "every message was sealed"


def test_another_accounts_ticket_is_not_used(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("other", PASSWORD)
    for user in (DEPLOY, "CORP\\deploy", "deploy"):
        error = refused(host, user=user)
        assert f"other@{REALM}" in error.why
    assert not host.seen


def test_a_domain_that_the_ticket_is_not_of_is_told_apart(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    error = refused(host, user="SALES\\deploy")
    assert "short name of a domain" in error.why
    assert "name@REALM" in error.next
    assert "deploy@OTHER.EXAMPLE" in refused(host, user="deploy@other.example").next


def test_no_ticket(host: Endpoint, kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    error = refused(host)
    assert "no ticket to log in with" in error.what
    assert "kinit user@REALM" in error.next
    assert f"kinit {DEPLOY}" in refused(host, user="deploy@corp.example").next
    monkeypatch.setenv("SUDO_UID", "1000")
    monkeypatch.delenv("KRB5CCNAME")
    monkeypatch.setenv("HOME", "/nonexistent")
    assert "root's cache, not yours" in refused(host).why


def test_an_expired_ticket(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD, "-l", "1s")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            Ticket()
        except GssError:
            break
        time.sleep(0.1)
    error = refused(host)
    assert "expired" in error.why
    assert "kinit" in error.next


def test_wsman_is_asked_for_first_and_http_where_the_domain_has_no_wsman(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    connection = open_winrm("win1", server(host, auth="kerberos", dns_name="web.corp.example"), Operator())
    assert connection.run("exit 0", deadline=60).status == 0
    told = getattr(connection, "login")  # noqa: B009 - beyond what every connection has
    connection.close()
    assert f"as {DEPLOY}, by a ticket for HTTP/web.corp.example" in told
    assert "knows no WSMAN/web.corp.example" in told, "the fall-back is told"
    error = refused(host_again(host), dns_name="web.corp.example", kerberos_service="WSMAN")
    assert "knows no WSMAN/web.corp.example" in error.why


def host_again(endpoint: Endpoint) -> Endpoint:
    endpoint.log.clear()
    return endpoint


def test_http_where_the_host_has_not_the_keys_of_wsman(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    assert hello(host, dns_name="pool.corp.example") == 0
    assert [good for _, good in host.logins] == [False, True]


def test_neither_service_is_known_and_both_are_told(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    error = refused(host, dns_name="nobody.corp.example")
    assert "WSMAN/nobody.corp.example" in error.why
    assert "HTTP/nobody.corp.example" in error.why
    assert "setspn -L nobody" in error.next


def test_a_name_that_is_another_hosts(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    error = refused(host, dns_name="elsewhere.corp.example", kerberos_service="WSMAN")
    assert "did not take the ticket for WSMAN/elsewhere.corp.example" in error.why
    assert "clock" in error.why
    assert [good for _, good in host.logins] == [False], "once is enough"


def test_a_realm_that_nobody_answers_for(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    error = refused(host, dns_name="win1.other.example")
    assert "WSMAN/win1.other.example" in error.why


def test_a_host_that_does_not_prove_itself_is_told_nothing(
    host: Endpoint, kdc: Kdc, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever takes a host's address takes any ticket, but has no key to answer with."""
    kdc.kinit("deploy", PASSWORD)
    for proof in (b"", b"`nonsense"):
        monkeypatch.setattr("tests.windows.acceptor.Acceptor.step", lambda self, token, proof=proof: proof)
        with pytest.raises(LoginRefused) as caught:
            hello(host)
        assert f"did not prove to be {NAME}" in caught.value.what
    assert b"canary" not in host.seen
    assert host.actions() == []


def test_over_tls_the_ticket_is_bound_to_the_certificate(
    listen: Listen, kdc: Kdc, tmp_path: Path, self_signed: Certificate
) -> None:
    authority = issue(tmp_path / "authority.pem", "Example CA", authority=True)
    signed = issue(tmp_path / "signed.pem", NAME, by=authority)
    endpoint = in_domain(listen(Behaving(), certificate=signed), kdc)
    kdc.kinit("deploy", PASSWORD)
    assert hello(endpoint, ca_file=str(authority.file)) == 0
    wrong = in_domain(listen(Behaving(), certificate=self_signed), kdc)
    assert hello(wrong) == 0
    other = listen(Behaving(), certificate=signed)
    wrong.binding = other.binding
    assert "did not take the ticket" in refused(host_again(wrong)).why


def test_the_connection_is_taken_up_again_with_a_new_login(host: Endpoint, kdc: Kdc) -> None:
    kdc.kinit("deploy", PASSWORD)
    connection = open_winrm("win1", server(host, auth="kerberos", dns_name=NAME), Operator())
    try:
        assert connection.run("exit 0", deadline=60).status == 0
        host.drop()
        assert connection.run("exit 0", deadline=60).status == 0
    finally:
        connection.close()
    assert [good for _, good in host.logins] == [True, True]


def test_no_name_for_the_host(host: Endpoint, kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(address: str) -> None:
        raise OSError(f"{address}: not found")

    monkeypatch.setattr("socket.gethostbyaddr", nobody)
    kdc.kinit("deploy", PASSWORD)
    with pytest.raises(HostError) as caught:
        hello(host, dns_name=None)
    assert "dns_name" in caught.value.next
    assert not host.seen


def test_a_host_that_is_in_no_domain(listen: Listen, kdc: Kdc) -> None:
    endpoint = listen(Behaving())
    endpoint.negotiate, endpoint.basic = False, True
    kdc.kinit("deploy", PASSWORD)
    assert "does not accept kerberos logins" in refused(endpoint).what


def test_a_certificate_that_verifies_by_the_name_is_not_asked_about_and_may_be_renewed(
    listen: Listen, tmp_path: Path, state: Path
) -> None:
    authority = issue(tmp_path / "authority.pem", "Example CA", authority=True)
    options = {"dns_name": NAME, "ca_file": str(authority.file), "auth": "ntlm"}
    for number in range(2):
        operator = Operator(answers=[PASSWORD])
        signed = issue(tmp_path / f"signed{number}.pem", NAME, by=authority)
        endpoint = listen(Behaving(), certificate=signed)
        connection = open_winrm("win1", server(endpoint, **options), operator)
        assert connection.run("exit 0", deadline=60).status == 0
        connection.close()
        assert operator.keys == []
    assert not (state / "known_certificates").exists()


def test_a_certificate_for_another_name_is_the_operators_decision(listen: Listen, tmp_path: Path) -> None:
    authority = issue(tmp_path / "authority.pem", "Example CA", authority=True)
    signed = issue(tmp_path / "signed.pem", "win9.corp.example", by=authority)
    endpoint = listen(Behaving(), certificate=signed)
    operator = Operator(answers=[PASSWORD])
    with pytest.raises(HostKeyUnknown) as caught:
        open_winrm("win1", server(endpoint, dns_name=NAME, ca_file=str(authority.file)), operator)
    assert f'for "win9.corp.example", not for {NAME}' in caught.value.why
    assert 'set dns_name to the name it is for, "win9.corp.example"' in caught.value.next


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (-1765328347, "more than five minutes apart"),  # KRB5KRB_AP_ERR_SKEW
        (-1765328228, "No domain controller could be asked"),  # KRB5_KDC_UNREACH
        (-1765328352, "has expired"),  # KRB5KRB_AP_ERR_TKT_EXPIRED
    ],
)
def test_what_the_domain_refuses_is_told_by_its_code(
    host: Endpoint, kdc: Kdc, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def step(self: object, token: bytes = b"") -> bytes:
        raise GssError(13 << 16, code & 0xFFFFFFFF, "in the library's own words")

    kdc.kinit("deploy", PASSWORD)
    monkeypatch.setattr("backends.winrm.gssapi.ClientContext.step", step)
    assert said in refused(host).why


def test_where_ntlm_is_denied_kerberos_serves(host: Endpoint, kdc: Kdc) -> None:
    """As for members of Protected Users."""
    host.users, host.denied = {DEPLOY: PASSWORD}, {DEPLOY: "ntlm"}
    operator = Operator(answers=[PASSWORD, PASSWORD])
    with pytest.raises(LoginRefused) as caught:
        open_winrm("win1", server(host, user=DEPLOY), operator).run("exit 0", deadline=60)
    assert "Protected Users" in caught.value.why
    assert 'auth = "kerberos"' in caught.value.next
    kdc.kinit("deploy", PASSWORD)
    assert hello(host, user=DEPLOY) == 0


def test_an_account_that_may_not_log_in_from_the_network(host: Endpoint, kdc: Kdc) -> None:
    host.denied = {DEPLOY: "network logon"}
    kdc.kinit("deploy", PASSWORD)
    assert "denied access to it from the network" in refused(host).why


def test_a_ticket_that_is_gone_when_the_connection_breaks_is_told_as_such(host: Endpoint, kdc: Kdc) -> None:
    def behave(script: str, out: object, err: object) -> int:
        while host.log[-1][1] != "Receive":  # the answer to the command is on its way before that
            time.sleep(0.01)
        kdc.kdestroy()
        host.drop()
        return 0

    host.runner = Behaving(behave)
    kdc.kinit("deploy", PASSWORD)
    connection = open_winrm("win1", server(host, auth="kerberos", dns_name=NAME), Operator())
    try:
        with pytest.raises(ConnectionLost) as caught:
            connection.run("exit 0", deadline=60)
    finally:
        connection.close()
        host.shells.clear()
    assert "could not be taken up again" in caught.value.what
    assert caught.value.begun
