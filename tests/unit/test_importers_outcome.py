"""What an import says of each line before anything is imported."""

from __future__ import annotations

import pytest

from dsrwizard.core.intake.importers import read
from dsrwizard.core.intake.importers.outcome import outcomes


@pytest.mark.parametrize(
    ("line", "becomes", "says"),
    [
        ("web1 10.0.0.101", "new", "web1 10.0.0.101"),
        ("web1 10.0.0.101 5", "new", "web1 10.0.0.101, weight 5"),
        ("web1 fd00::101", "new", "web1 fd00::101"),
        ("bad 10.0.0.999", "refused", "bad 10.0.0.999: not imported."),
        ("bad 10.0.0", "refused", "not imported."),
        ("old 10.0.0.7", "there", "old is in the list already"),
        ("web3.example", "incomplete", "a host name; give it its IP address"),
    ],
)
def test_each_line_is_told_what_becomes_of_it(line: str, becomes: str, says: str) -> None:
    (told,) = outcomes(read(line, kind="plain"), {"old"})
    assert told.becomes == becomes
    assert says in told.says


@pytest.mark.parametrize("text", ["/nope.txt", "/etc/hosts", "./list", "..", "10.0.0.999/24"])
def test_a_path_or_what_is_no_address_is_no_server(text: str) -> None:
    assert [one for one in outcomes(read(text)) if one.becomes != "refused"] == []
