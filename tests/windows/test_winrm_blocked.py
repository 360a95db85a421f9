"""What stops PowerShell on a host reaches the operator in the host's words, before the script begins and after."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backends.winrm import open_winrm
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.engine.servers.windows import WindowsServer
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, server
from tests.windows.conftest import shop
from tests.windows.endpoint import Endpoint
from tests.windows.host import WindowsHost

MALICIOUS = (
    "Dieses Skript enthält schädliche Inhalte und wurde durch Ihre Antivirensoftware gesperrt. "
    "(ScriptContainedMaliciousContent,Microsoft.PowerShell.Commands.InvokeExpressionCommand)"
)
CONSTRAINED = (
    "Der Methodenaufruf wird in diesem Sprachmodus nur für Kerntypen unterstützt.\r\n"
    "    + CategoryInfo          : InvalidOperation: (:) [], RuntimeException\r\n"
    "    + FullyQualifiedErrorId : MethodInvocationNotSupportedInConstrainedLan\r\n   guage"
)


class Stopped:
    """PowerShell that says this and never gets to the marker."""

    def __init__(self, said: str) -> None:
        self.said = said

    def run(self, script: str, *, err: Callable[[bytes], None], **_: Any) -> int:
        err(self.said.encode())
        return 1


def looked(endpoint: Endpoint, operator: Operator) -> AnswerUnreadable:
    one = server(endpoint)
    port = WindowsServer(one, lambda: open_winrm("win1", one, operator))
    try:
        with pytest.raises(AnswerUnreadable) as caught:
            port.observe(shop())
    finally:
        port.close()
    return caught.value


def test_antivirus_that_blocks_the_script_after_its_marker(listen: Callable[..., Endpoint], operator: Operator) -> None:
    def blocked(script: str, out: Callable[[str], None], err: Callable[[str], None]) -> int:
        err(MALICIOUS)
        return 1

    found = looked(listen(Behaving(blocked)), operator)
    assert "Security software" in found.why
    assert "schädliche Inhalte" in found.why
    assert "1116" in found.next


def test_constrained_language_that_lets_nothing_begin(listen: Callable[..., Endpoint], operator: Operator) -> None:
    found = looked(listen(Stopped(CONSTRAINED)), operator)
    assert "constrained language mode" in found.why
    assert "in diesem Sprachmodus" in found.why
    assert "FullLanguage" in found.next


def test_something_unknown_is_quoted(listen: Callable[..., Endpoint], operator: Operator) -> None:
    found = looked(listen(Stopped("Es ist ein Fehler aufgetreten.")), operator)
    assert "Es ist ein Fehler aufgetreten." in found.why


def test_the_bootstrap_passes_on_the_id_of_what_ended_the_script() -> None:
    """Windows' texts are translated, its ids are not."""
    from backends.winrm.script import pack

    packed = pack("$x = [DsrNoSuchType]::Value", "dsrwizard-0123")
    status, _, err = WindowsHost("2022").run(packed.bootstrap, environment=packed.environment)
    assert status == 1
    assert "TypeNotFound" in "".join(err)
