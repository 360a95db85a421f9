"""What stopped PowerShell is recognised by ids and codes, in whatever language Windows speaks, and by English texts."""

from __future__ import annotations

import pytest

from dsrwizard.core.dialects.windows.answer import parse
from dsrwizard.core.dialects.windows.blocked import KNOWN, blocked, explained
from dsrwizard.core.model.errors import AnswerUnreadable

SAID = {
    "antivirus": (
        "This script contains malicious content and has been blocked by your antivirus software.",
        "Dieses Skript enthält schädliche Inhalte.\n    + FullyQualifiedErrorId : ScriptContainedMaliciousCont\n   ent",
        "Der Vorgang konnte nicht abgeschlossen werden. (Exception from HRESULT: 0x800700E1)",
    ),
    "attack-surface-reduction": ("Blocked. Rule 5BEB7EFE-FD9A-4556-801D-275E5FFC04CC",),
    "constrained-language": (
        "Cannot invoke method. Method invocation is supported only on core types in this language mode.",
        "Methode kann nicht aufgerufen werden. (MethodInvocationNotSupportedInConstrainedLanguage)",
        "Der Typ kann nicht hinzugefügt werden. (CannotDefineNewType,Microsoft.PowerShell.Commands.AddTypeCommand)",
    ),
    "application-control": (
        "This program is blocked by group policy. For more information, contact your system administrator.",
        "Dieses Programm wurde gesperrt. (Ausnahme von HRESULT: 0x800704EC)",
        "Die Datei wurde blockiert. (0x800711C7)",
    ),
    "execution-policy": (
        "Die Datei kann nicht geladen werden. Siehe about_Execution_Policies unter https://go.microsoft.com/fwlink",
        "UnauthorizedAccess,Microsoft.PowerShell.Commands.ImportModuleCommand System.Management.Automation.PSSecurity\n"
        "Exception",
    ),
    "memory": (
        "Eine Ausnahme vom Typ \"System.OutOfMemoryException\" wurde ausgelöst.",
        "Für diesen Vorgang ist nicht genügend Speicher verfügbar. (0x8007000E)",
    ),
    "quota": ("Kontingentverletzung (Exception from HRESULT: 0x8004106C)", "Quota violation"),
    "denied": ("Zugriff verweigert (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))",),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "said"), [(kind, one) for kind, texts in SAID.items() for one in texts])
def test_each_is_its_own_reason(kind: str, said: str) -> None:
    found = blocked(said)
    assert found is not None
    assert found.kind == kind
    assert found.why in explained(said)
    assert said in explained(said)


def test_each_reason_has_its_own_advice() -> None:
    assert set(SAID) == {one.kind for one in KNOWN}
    assert len({one.next for one in KNOWN}) == len(KNOWN)


@pytest.mark.parametrize("said", ["", "The network was busy.", "No matching MSFT_NetIPAddress objects found."])
def test_anything_else_stays_as_it_was_said(said: str) -> None:
    assert blocked(said) is None
    assert explained(said) == said


def test_memory_names_the_hotfix_and_the_limit() -> None:
    found = blocked("OutOfMemoryException")
    assert found is not None
    assert "KB2842230" in found.next
    assert "150 MB" in found.next


def test_a_look_that_antivirus_ended_says_so_in_the_hosts_words() -> None:
    said = SAID["antivirus"][1]
    with pytest.raises(AnswerUnreadable) as caught:
        parse("win1", "n", "", now=0.0, reached="10.0.0.101", said=said)
    assert "Security software" in caught.value.why
    assert "schädliche Inhalte" in caught.value.why
    assert "1116" in caught.value.next
