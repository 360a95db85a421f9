"""One lost look at a server changes no state; the next one decides."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.live.findings import Findings
from dsrwizard.core.live.last_seen import Heard
from dsrwizard.core.live.table import LiveRows
from dsrwizard.core.model.answers import Owners
from dsrwizard.core.model.snapshot import State
from tests.unit.test_watching import MAC, PLACE, SHOP, STRANGE, heard, probed, reading, rows

LOOKS = {
    "+": probed(), "s": probed("silence", answered_by=""), "g": probed("no-mac", mac="", answered_by=""),
    "r": probed("rst"), "?": probed("unknown", problem="No buffer space."),
}  # fmt: skip
IN_STATE = {"up": "+", "vip-dead": "sr", "unreachable": "g", "unknown": "?"}


class TestOneLostLook:
    """`+` good, `s` silence, `g` no MAC, `r` refused, `?` could not be sent: a look each second."""

    def states(self, looks: str) -> list[tuple[str, str, float]]:
        heard_, table = msgspec.structs.replace(heard(), probes={}, owners={}), LiveRows(SHOP)
        found: list[tuple[str, str, float]] = []
        for second, look in enumerate(looks, 1):
            heard_ = heard_.with_probes(float(second), {PLACE: LOOKS[look]}, {})
            (service,) = table.rows(float(second), reading(float(second)), None, heard_, Findings())
            (row,) = service.rows
            found.append((row.state, row.missed, row.since))
        return found

    @pytest.mark.parametrize(
        ("looks", "state"),
        [
            ("+s", "up"), ("+g", "up"), ("+?", "up"), ("+s+s+s", "up"), ("+ss", "vip-dead"), ("+sg", "unreachable"),
            ("+gs", "vip-dead"), ("s", "vip-dead"), ("?s", "vip-dead"), ("sg", "vip-dead"), ("sgsgsg", "vip-dead"),
            ("sgg", "unreachable"), ("ggs", "unreachable"), ("ss+", "up"), ("+??", "unknown"), ("+s?", "unknown"),
        ],
    )  # fmt: skip
    def test_the_second_in_a_row_decides_and_a_good_one_at_once(self, looks: str, state: State) -> None:
        assert self.states(looks)[-1][0] == state

    def test_it_is_told_with_its_moment_until_the_next_look(self) -> None:
        assert [missed for _, missed, _ in self.states("+s+ssr")] == ["", "silence", "", "silence", "", "rst"]

    def test_since_stays_what_it_was(self) -> None:
        assert {since for _, _, since in self.states("+s+g+s+")} == {1.0}
        assert {since for _, _, since in self.states("sgsgs")} == {1.0}

    @given(st.text("+sgr", min_size=3, max_size=30))
    def test_no_state_outlives_two_looks_that_say_otherwise(self, looks: str) -> None:
        states = [state for state, _, _ in self.states(looks)]
        for number in range(2, len(looks)):
            assert any(look in IN_STATE[states[number]] for look in looks[number - 1 : number + 1])

    def test_a_server_that_leaks_does_so_until_two_questions_do_not_hear_it(self) -> None:
        def asked(*macs: str) -> dict[str, Owners]:
            return {"10.0.0.10": Owners(address="10.0.0.10", macs=macs)}

        def state(of: Heard, at: float) -> str:
            return rows(reading(at), heard=of).rows[0].state

        first = msgspec.structs.replace(heard(), owners={}).with_probes(1.0, {PLACE: probed()}, {})
        leaks = first.with_owners(2.0, asked(MAC))
        one, back = leaks.with_owners(3.0, asked()), leaks.with_owners(3.0, asked()).with_owners(4.0, asked(MAC))
        two = one.with_owners(4.0, asked())
        assert [state(this, 5.0) for this in (first, leaks, one, back, two)] == ["up", *["leaking"] * 3, "up"]
        stranger = first.with_owners(2.0, asked(STRANGE)).with_owners(3.0, asked())
        assert rows(reading(4.0), heard=stranger).owner == "director", "who is no real server is gone at once"
