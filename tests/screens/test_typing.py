"""Keys that come in one piece, as from a slow link: they reach what they were typed for, and answer once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual import events
from textual.command import CommandList
from textual.pilot import Pilot
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from dsrwizard.app import DsrApp
from screens.live.effect import effects
from screens.live.table import LiveTable
from screens.live.view import LiveView
from screens.questions.export import PathModal
from screens.questions.modals import Choice, HelpModal, Question, SecretModal
from screens.questions.once import OneAnswer
from tests.fakes.pictures import destination, healthy, picture, service
from tests.screens.driving import NAMES, seen, settled, taken, until
from tests.screens.test_snapshots import live_app

Make = Callable[..., DsrApp]


async def burst(pilot: Pilot[int], *keys: str) -> None:
    """All at once, as a terminal hands over what came in one piece."""
    for key in keys:
        pilot.app.post_message(events.Key(NAMES.get(key, key), key if len(key) == 1 else None))
    await settled(pilot)
    await taken(pilot)


class TestTyping:
    @pytest.mark.parametrize("text", ["db1", "web2", "umad", "dwXa", "qq"])
    async def test_what_is_typed_with_the_slash_is_looked_for_and_acts_on_nothing(self, text: str) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "3/3 up" in seen(app))
            await pilot.press("home", "down")
            await burst(pilot, "/", *text)
            assert app.screen.query(LiveView), "no dialog has opened"
            assert app.screen.query_one("#live-find", Input).value == text

    async def test_after_enter_the_letters_are_keys_again(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "3/3 up" in seen(app))
            await burst(pilot, "/", *"web2", "enter", "down", "l", "escape", "d")
            assert "Drain web2?" in seen(app)

    async def test_a_number_typed_with_the_key_of_its_dialog_is_all_in_its_field(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "3/3 up" in seen(app))
            await pilot.press("home", "down")
            await burst(pilot, "w", *"250")
            assert app.screen.query_one("#weight", Input).value == "250"


class TestAnswersOnce:
    DIALOGS = (
        lambda: Question("Sure?", "Text", (Choice("no", "No"), Choice("yes", "Yes")), safe="no"),
        lambda: HelpModal("Help", "Text"),
        lambda: PathModal("Write", "A text.", Path("/nowhere/file")),
    )

    @pytest.mark.parametrize("make", DIALOGS)
    @pytest.mark.parametrize("keys", [("enter", "enter"), ("enter", "escape"), ("escape", "enter"), ("escape",) * 3])
    async def test_two_answers_in_one_piece_take_one_dialog_away(
        self, make: Callable[[], Screen[object]], keys: tuple[str, ...]
    ) -> None:
        app = live_app(healthy())
        given: list[object] = []
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "3/3 up" in seen(app))
            await app.push_screen(make(), given.append)
            await pilot.pause()
            top = app.screen
            for key in keys:  # past the queue: as they reach a dialog that is busy
                assert top.focused is not None
                top.focused._forward_event(events.Key(key, None))
            await settled(pilot)
            assert len(given) == 1
            assert app.screen_stack[0].query(LiveView), "the live view is still there"

    async def test_an_answer_on_a_covered_dialog_takes_nothing_away(self) -> None:
        app = live_app(healthy())
        async with app.run_test(size=(80, 24)) as pilot:
            lower, upper = HelpModal("Lower", "Text"), HelpModal("Upper", "Text")
            await app.push_screen(lower)
            await app.push_screen(upper)
            lower.dismiss(None)
            await pilot.pause()
            assert app.screen is upper

    def test_every_screen_that_can_be_left_answers_once(self) -> None:
        def below(kind: type[object]) -> set[type[object]]:
            found = {kind}
            one: type[object]
            for one in kind.__subclasses__():
                found |= below(one)
            return found

        import screens.live.screen
        import screens.questions.palette
        import screens.runbook
        import screens.runs.mend
        import screens.wizard.reapply  # noqa: F401 - known once imported

        ours = {kind for kind in below(Screen) if kind.__module__.startswith("screens.")}
        assert SecretModal in ours
        stays = {"WizardScreen", "LiveScreen"}
        assert {kind.__name__ for kind in ours if not issubclass(kind, OneAnswer)} == stays
        assert not any(ModalScreen in kind.__bases__ and kind.__name__ != "Dialog" for kind in ours)


@pytest.mark.parametrize("opens", ["command_palette", "change_theme"])
async def test_a_page_key_before_a_palette_is_drawn_ends_nothing(opens: str) -> None:
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await app.run_action(opens)
        await until(pilot, lambda: bool(app.screen.query(CommandList)))
        rows = app.screen.query_one(CommandList)
        rows._index_to_line.clear()  # as between two lists
        rows.highlighted = 0
        app.screen._action_command_list("page_down")  # type: ignore[attr-defined]
        await burst(pilot, "escape", "escape")
        assert app.screen.query(LiveView)


class TestEffects:
    """What a weight does is told by who answers."""

    def effect(self, states: dict[str, str], weight: int | None) -> str:
        rows = tuple(destination(name, state=state) for name, state in states.items())  # type: ignore[arg-type]
        farm = service("10.0.0.10", rows)
        return " ".join(effects([(farm, rows[0])], weight))

    def test_the_only_healthy_server_is_called_so_whatever_the_weights_of_the_dead(self) -> None:
        said = self.effect({"web1": "up", "web2": "vip-dead", "web3": "unreachable"}, 0)
        assert (
            "web1 is the only healthy server of 3 for 10.0.0.10 tcp/80. Without it, new clients get no answer." in said
        )

    def test_others_that_answer_are_named_and_so_are_those_that_do_not(self) -> None:
        said = self.effect({"web1": "up", "web2": "up", "web3": "vip-dead"}, 0)
        assert "new clients go to web2. web1 gets none." in said
        assert "50 % of them go to web3, which is not healthy." in said
        assert "About 12 open connections stay with web1" in said

    def test_a_weight_for_a_dead_server_sends_clients_nowhere(self) -> None:
        said = self.effect({"web1": "vip-dead", "web2": "up"}, 3)
        assert "web1 gets 75 % of the new clients of 10.0.0.10 tcp/80 (now 50 %)." in said
        assert "they get no answer" in said

    def test_many_services_have_a_sentence_each_and_the_rest_a_number(self) -> None:
        pairs = []
        for number in range(5):
            rows = (destination("web1", vip=f"10.0.0.{number}"), destination("web2", vip=f"10.0.0.{number}"))
            pairs.append((service(f"10.0.0.{number}", rows), rows[0]))
        said = effects(pairs, 0)
        assert len(said) == 4
        assert "2 more services" in said[-1]

    async def test_the_live_view_asks_with_these_words_and_enter_alone_changes_nothing(self) -> None:
        rows = (destination("web1"), destination("web2", state="vip-dead", address="10.0.0.102", message="No answer."))
        app = live_app(picture((service("10.0.0.10", rows),)))
        async with app.run_test(size=(80, 24)) as pilot:
            await until(pilot, lambda: "1/2 up" in seen(app))
            app.screen.query_one(LiveTable).put_cursor("10.0.0.10 tcp/80 web1")
            await burst(pilot, "d", "d", "enter", "d")
            assert "only healthy server of 2" in seen(app)


async def test_a_key_that_comes_back_when_no_screen_is_left_ends_nothing() -> None:
    app = live_app(healthy())
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        key = events.Key("x", "x")
        key._set_forwarded()
        stack, app._screen_stacks["_default"] = app._screen_stacks["_default"], []
        try:
            await app.on_event(key)
        finally:
            app._screen_stacks["_default"] = stack
        assert app._exception is None
