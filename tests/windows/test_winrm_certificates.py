"""The certificate of a WinRM listener: trusted by an authority, decided by the operator, remembered, changed."""

from __future__ import annotations

import hashlib
import ssl
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.winrm import open_winrm
from dsrwizard.core.model.errors import HostError, HostKeyChanged, HostKeyUnknown
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, server
from tests.windows.certificates import Certificate, issue
from tests.windows.conftest import PASSWORD
from tests.windows.endpoint import Endpoint

Listen = Callable[..., Endpoint]


def hello(endpoint: Endpoint, operator: Operator, **options: object) -> int:
    connection = open_winrm("win1", server(endpoint, **options), operator)
    try:
        return connection.run("exit 0", deadline=60).status
    finally:
        connection.close()


def sha256(certificate: Certificate) -> str:
    return hashlib.sha256(certificate.der).hexdigest().upper()


def swap(endpoint: Endpoint, certificate: Certificate) -> None:
    """The same listener with another certificate."""
    port, runner = endpoint.port, endpoint.runner
    endpoint.stop()
    endpoint.__init__(  # type: ignore[misc]
        runner, users=endpoint.users, tls=certificate.context(), certificate=certificate.der, port=port
    )
    endpoint.start()


@pytest.fixture
def authority(tmp_path: Path) -> Certificate:
    return issue(tmp_path / "authority.pem", "Example CA", authority=True)


def test_one_signed_by_the_authority_for_this_address_is_no_question(
    listen: Listen, operator: Operator, authority: Certificate, tmp_path: Path, state: Path
) -> None:
    signed = issue(tmp_path / "signed.pem", "win1.example", addresses=("127.0.0.1",), by=authority)
    assert hello(listen(Behaving(), certificate=signed), operator, ca_file=str(authority.file)) == 0
    assert operator.keys == []
    assert not (state / "known_certificates").exists()


def test_a_self_signed_one_is_shown_and_remembered(
    listen: Listen, operator: Operator, self_signed: Certificate, state: Path
) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    assert hello(endpoint, operator) == 0
    (question,) = operator.keys
    assert question.fingerprint == f"SHA256:{sha256(self_signed)}"
    assert "self-signed" in question.untrusted
    assert "WIN1" in question.key_type
    known = state / "known_certificates"
    assert known.read_text() == f"127.0.0.1 {endpoint.port} {sha256(self_signed)}\n"
    assert stat.S_IMODE(known.stat().st_mode) == 0o600
    again = Operator(answers=[PASSWORD], accepts=False)
    assert hello(endpoint, again) == 0
    assert again.keys == []


def test_one_that_is_not_accepted_gets_no_password(listen: Listen, self_signed: Certificate, state: Path) -> None:
    endpoint, operator = listen(Behaving(), certificate=self_signed), Operator(answers=[PASSWORD], accepts=False)
    with pytest.raises(HostKeyUnknown) as caught:
        hello(endpoint, operator)
    assert "self-signed" in caught.value.why
    assert sha256(self_signed) in caught.value.why
    assert "Cert:\\LocalMachine\\My" in caught.value.next
    assert (endpoint.logins, endpoint.log, operator.secrets) == ([], [], [])
    assert not (state / "known_certificates").exists()


def test_a_changed_one_is_refused_loudly_until_the_old_is_taken_out(
    listen: Listen, operator: Operator, self_signed: Certificate, tmp_path: Path
) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    hello(endpoint, operator)
    new = issue(tmp_path / "new.pem", "WIN1")
    swap(endpoint, new)
    other = Operator(answers=[PASSWORD], accepts=True)
    with pytest.raises(HostKeyChanged) as caught:
        hello(endpoint, other)
    assert "CHANGED" in caught.value.what
    assert sha256(self_signed) in caught.value.why
    assert sha256(new) in caught.value.why
    assert (other.keys, other.secrets) == ([], [])
    subprocess.run(caught.value.next.rpartition("matches, run: ")[2], shell=True, check=True)  # noqa: S602
    assert hello(endpoint, other) == 0
    assert len(other.keys) == 1


def test_one_that_changes_between_two_connections_gets_no_password(
    listen: Listen, operator: Operator, self_signed: Certificate, tmp_path: Path
) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    connection = open_winrm("win1", server(endpoint), operator)
    swap(endpoint, issue(tmp_path / "impostor.pem", "WIN1"))
    with pytest.raises(HostKeyChanged) as caught:
        connection.run("exit 0", deadline=60)
    assert "intercepting the connection" in caught.value.why
    assert (endpoint.logins, endpoint.log) == ([], [])


def test_one_for_another_name_is_said_to_be_so(
    listen: Listen, operator: Operator, authority: Certificate, tmp_path: Path
) -> None:
    """Windows certificates bear names, servers are reached by address: usual with an authority of one's own."""
    signed = issue(tmp_path / "signed.pem", "win1.example", by=authority)
    assert hello(listen(Behaving(), certificate=signed), operator, ca_file=str(authority.file)) == 0
    (question,) = operator.keys
    assert question.untrusted == 'A trusted authority signed it, but for "win1.example", not for 127.0.0.1.'


def test_a_forged_issuer_with_another_name_does_not_pass_as_signed(
    listen: Listen, operator: Operator, authority: Certificate, tmp_path: Path
) -> None:
    forger = issue(tmp_path / "forger.pem", "Example CA", authority=True)
    forged = issue(tmp_path / "forged.pem", "win1.example", by=forger)
    with pytest.raises(HostKeyUnknown):
        hello(listen(Behaving(), certificate=forged), operator, ca_file=str(authority.file))
    assert operator.keys == []


def test_one_of_another_authority_than_the_named_one_is_refused_without_a_question(
    listen: Listen, operator: Operator, self_signed: Certificate, authority: Certificate
) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    with pytest.raises(HostKeyUnknown) as caught:
        hello(endpoint, operator, ca_file=str(authority.file))
    assert f"not signed by {authority.file}" in caught.value.what
    assert (operator.keys, operator.secrets, endpoint.logins) == ([], [], [])


def test_an_unknown_authority_is_named(
    listen: Listen, operator: Operator, authority: Certificate, tmp_path: Path
) -> None:
    signed = issue(tmp_path / "signed.pem", "win1.example", addresses=("127.0.0.1",), by=authority)
    assert hello(listen(Behaving(), certificate=signed), operator) == 0
    assert operator.keys[0].untrusted == 'Its issuer, "Example CA", is not trusted here.'


def test_an_expired_one_says_since_when(
    listen: Listen, operator: Operator, authority: Certificate, tmp_path: Path
) -> None:
    old = issue(tmp_path / "old.pem", "win1.example", addresses=("127.0.0.1",), by=authority, days=(-30, -2))
    assert hello(listen(Behaving(), certificate=old), operator, ca_file=str(authority.file)) == 0
    assert operator.keys[0].untrusted.startswith(f"It expired on {old.certificate.not_valid_after_utc:%Y-%m-%d}")


@pytest.mark.parametrize(("text", "said"), [(None, "No such file"), ("nothing here", "no certificate in PEM form")])
def test_a_ca_file_that_cannot_be_used(
    listen: Listen, operator: Operator, self_signed: Certificate, tmp_path: Path, text: str | None, said: str
) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    with pytest.raises(HostError) as caught:
        hello(listen(Behaving(), certificate=self_signed), operator, ca_file=str(file))
    assert str(file) in caught.value.what
    assert said in caught.value.why


def test_the_http_port_written_as_https(listen: Listen, operator: Operator) -> None:
    endpoint = listen(Behaving())
    with pytest.raises(HostError) as caught:
        hello(endpoint, operator, winrm="https")
    assert "does not speak TLS" in caught.value.what
    assert 'winrm = "http"' in caught.value.next


def test_the_https_port_written_as_http(listen: Listen, operator: Operator, self_signed: Certificate) -> None:
    endpoint = listen(Behaving(), certificate=self_signed)
    with pytest.raises(HostError) as caught:
        hello(endpoint, operator, winrm="http")
    assert "HTTPS listener" in caught.value.why
    assert 'winrm = "https"' in caught.value.next


def test_a_windows_with_old_tls_only(listen: Listen, operator: Operator, self_signed: Certificate) -> None:
    context = self_signed.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1
    endpoint = listen(Behaving(), tls=context)
    with pytest.raises(HostError) as caught:
        hello(endpoint, operator)
    assert "no TLS version or cipher in common" in caught.value.what
    assert "TLS 1.2" in caught.value.next


def test_a_listener_whose_certificate_is_gone(listen: Listen, operator: Operator, self_signed: Certificate) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)  # no certificate at all: as Windows, it ends the handshake
    endpoint = listen(Behaving(), tls=context)
    with pytest.raises(HostError) as caught:
        hello(endpoint, operator)
    assert "TLS" in caught.value.what
    assert caught.value.next


def test_ntlm_is_bound_to_the_certificate(
    listen: Listen, operator: Operator, self_signed: Certificate, tmp_path: Path
) -> None:
    """Who passes the login on to the real host, from behind another certificate, is refused there."""
    endpoint = listen(Behaving(), certificate=self_signed)
    other = issue(tmp_path / "other.pem", "WIN1")
    endpoint.binding = listen(Behaving(), certificate=other).binding
    with pytest.raises(HostError):
        hello(endpoint, operator)
    assert [good for _, good in endpoint.logins] == [False]
