"""Review, apply and verify, walked by keys over the real engine and a farm in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from dsrwizard.app import DsrApp
from dsrwizard.core.model.changes import ServiceKey, ServiceState
from dsrwizard.session import Session
from screens import clock
from screens.questions.confirm import ConfirmModal
from screens.questions.modals import HelpModal, Question
from screens.runs.view import RunView
from screens.widgets.rows import Rows
from tests.fakes.ipvs import Virtual
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, settled, until, wizard

Make = Callable[..., DsrApp]
VIP = "10.0.0.10"
KEY = ServiceKey(VIP, "tcp", 80)


async def to_review(pilot: Pilot[int]) -> None:
    """From the first step, whose values are there, to the review with its plan."""
    for _ in range(3):
        await settled(pilot)
        await pilot.press("ctrl+n")
    await settled(pilot)


async def to_confirm(pilot: Pilot[int]) -> None:
    await to_review(pilot)
    await pilot.press("ctrl+n")
    await settled(pilot)


async def applied(pilot: Pilot[int]) -> None:
    """Everything confirmed and carried out, as far as it goes."""
    await to_confirm(pilot)
    await pilot.press("right", "enter")
    await settled(pilot)


def rows(app: DsrApp, name: str) -> list[str]:
    return [" ".join(text.split()) for text in app.screen.query_one(name, Rows).texts()]


async def on_row(pilot: Pilot[int], name: str, text: str) -> None:
    """Walks down the list by keys to the first row with this text."""
    found = pilot.app.screen.query_one(name, Rows)
    await pilot.press("home")
    for _ in range(found.row_count()):
        if text in found.row_at(found.cursor).text:
            return
        await pilot.press("down")
    raise AssertionError(f"no row with {text!r} in {found.texts()}")


class TestReview:
    @pytest.mark.parametrize("size", SIZES)
    async def test_the_plan_is_shown_in_order_and_nothing_is_touched(
        self, make_app: Make, world: World, size: tuple[int, int]
    ) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=size) as pilot:
            await to_review(pilot)
            lines = rows(app, "#review-rows")
            assert "21 steps on 4 hosts." in seen(app)
            assert "+ new ~ changed > done once" in seen(app), "only the symbols that are used"
            assert "~ net.ipv4.conf.all.arp_ignore 0 → 1" in lines
            order = [lines.index(text) for text in ("director — 5 steps", "web1 — 3 steps", "web3 — 3 steps")]
            assert order == sorted(order)
            assert lines.index("director, as each server is ready — 7 steps") > order[-1]
        assert world.done == []

    async def test_enter_shows_the_exact_commands_and_their_undo(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(120, 40)) as pilot:
            await to_review(pilot)
            await on_row(pilot, "#review-rows", "VIP 10.0.0.10/32 on lo")
            await pilot.press("enter")
            assert isinstance(app.screen, HelpModal)
            assert "ip addr add 10.0.0.10/32 dev lo" in seen(app)
            assert "ip addr del 10.0.0.10/32 dev lo" in seen(app)

    async def test_what_cannot_be_undone_is_said_in_whole_sentences(self, make_app: Make, world: World) -> None:
        world.unload_ipvs()
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(120, 40)) as pilot:
            await to_review(pilot)
            await on_row(pilot, "#review-rows", "Load the kernel module ip_vs")
            await pilot.press("enter")
            assert "Cannot be undone: the module stays loaded. Without" in seen(app)

    async def test_a_dead_host_is_shown_with_what_to_do_and_planned_once_it_is_back(
        self, make_app: Make, world: World
    ) -> None:
        world.servers["web2"].reachable = False
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            assert "1 host cannot be planned" in seen(app)
            await on_row(pilot, "#review-rows", "cannot be planned")
            assert "No answer within 8 seconds" in seen(app)
            assert "Check that the machine is up" in seen(app)
            world.servers["web2"].reachable = True
            await pilot.press("r")
            await settled(pilot)
            assert "21 steps on 4 hosts" in seen(app)
            assert "out of date" in seen(app), "what moved since the first look is told"

    async def test_the_plan_is_written_as_markdown(self, make_app: Make, world: World, tmp_path: Path) -> None:
        app = make_app(deployment=world.deployment())
        target = tmp_path / "ticket.md"
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("e")
            app.screen.query_one(Input).value = str(target)
            await pilot.press("enter")
        text = target.read_text()
        assert "ipvsadm -A -t 10.0.0.10:80 -s wlc" in text
        assert "## Undo" in text
        assert "ipvsadm -D -t 10.0.0.10:80" in text

    async def test_an_unwritable_path_is_told_and_asked_again_by_the_same_key(
        self, make_app: Make, world: World
    ) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("e")
            app.screen.query_one(Input).value = "/proc/nowhere/ticket.md"
            await pilot.press("enter")
            await pilot.pause()
            assert any("could not be written" in note.message for note in app._notifications)


class TestConfirm:
    async def test_enter_on_the_first_focus_changes_nothing(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            assert isinstance(app.screen, ConfirmModal)
            assert isinstance(app.focused, Button)
            assert str(app.focused.label) == "Cancel"
            await pilot.press("enter")
            await settled(pilot)
            assert "Nothing has been applied yet" in seen(app)
        assert world.done == []

    async def test_replacing_what_exists_asks_for_the_vip(self, make_app: Make, world: World) -> None:
        world.ipvs.table[KEY] = Virtual(ServiceState("rr"))
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            assert "service 10.0.0.10 tcp/80 rr → wlc" in seen(app)
            await pilot.press("right", "right", "enter")
            await pilot.press("1", "enter")
            assert isinstance(app.screen, ConfirmModal), "a wrong VIP does not go through"
            assert "Type 10.0.0.10 exactly" in seen(app)
            assert world.done == []
            app.screen.query_one(Input).value = VIP
            await pilot.press("enter")
            await settled(pilot)
        assert world.ipvs.table[KEY].state.scheduler == "wlc"


class TestApply:
    @pytest.mark.parametrize("size", SIZES)
    async def test_requests_reach_every_server_afterwards(
        self, make_app: Make, world: World, size: tuple[int, int]
    ) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=size) as pilot:
            await applied(pilot)
            assert "Done: all 4 hosts" in seen(app)
            assert [row for row in rows(app, "#run-rows") if "✓ done 3/3" in row]
            await on_row(pilot, "#run-rows", "web1")
            assert "VIP 10.0.0.10/32 on lo" in seen(app), "The log of the selected host"
        assert sorted(world.requests(3)) == ["web1", "web2", "web3"]

    async def test_a_second_walk_has_nothing_to_do(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            before = len(world.done)
            await pilot.press("escape")
            await pilot.press("r")
            await settled(pilot)
            assert "Nothing to do" in seen(app)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "every host already matches the deployment" in seen(app)
            await pilot.press("ctrl+n")
            assert wizard(app).step == "verify"
        assert len(world.done) == before

    async def test_a_failed_host_says_why_and_a_retry_mends_it(self, make_app: Make, world: World) -> None:
        world.servers["web2"].fails["guard"] = "sysctl: permission denied on key [/foo]"
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            states = " | ".join(rows(app, "#run-rows"))
            assert "web1 ✓ done" in states
            assert "web3 ✓ done" in states
            assert "web2 ✗ FAILED" in states
            assert "director ! in part" in states, "what waits for web2 is no fault of the director"
            assert "permission denied on key [/foo]" in seen(app), "the host's words, brackets and all"
            await pilot.press("ctrl+n")
            assert wizard(app).step == "apply", "a failure needs a decision first"
            world.servers["web2"].fails.clear()
            await pilot.press("r")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(app)
        assert sorted(world.requests(3)) == ["web1", "web2", "web3"]

    async def test_a_failed_host_can_be_left_out(self, make_app: Make, world: World) -> None:
        world.servers["web2"].reachable = False
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            assert "web2 does not answer" in seen(app)
            await pilot.press("k")
            assert "web2 — skipped" in " ".join(rows(app, "#run-rows"))
            assert "3 of 4 hosts done; 1 skipped" in seen(app)
            await pilot.press("ctrl+n")
            assert wizard(app).step == "verify"
            await settled(pilot)
            assert "web2 was left out at apply" in seen(app)
        assert set(world.requests(4)) == {"web1", "web3"}

    async def test_a_failed_host_can_be_rolled_back(self, make_app: Make, world: World) -> None:
        web2 = world.servers["web2"]
        before = dict(web2.machine.sysctls), dict(web2.machine.files), web2.machine.holds(VIP)
        web2.fails["persistence"] = "No space left on device"
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            assert web2.machine.holds(VIP) == "lo"
            await pilot.press("b")
            assert isinstance(app.screen, Question)
            await pilot.press("right", "enter")
            await settled(pilot)
            assert "web2 ↻ rolled back" in " ".join(rows(app, "#run-rows"))
        assert (dict(web2.machine.sysctls), dict(web2.machine.files), web2.machine.holds(VIP)) == before

    async def test_edit_leads_to_the_servers_entry(self, make_app: Make, world: World) -> None:
        world.servers["web3"].reachable = False
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(120, 40)) as pilot:
            await applied(pilot)
            await pilot.press("g")
            await pilot.pause()
            assert wizard(app).step == "servers"

    async def test_a_broken_connection_leaves_the_state_unknown_until_looked_at(
        self, make_app: Make, world: World
    ) -> None:
        world.servers["web1"].lost_at = "vip 10.0.0.10"
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(120, 40)) as pilot:
            await applied(pilot)
            assert "web1 ? UNKNOWN" in " ".join(rows(app, "#run-rows"))
            assert "A retry checks the host first" in seen(app)
            await pilot.press("r")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(app)

    async def test_stop_finishes_what_runs_and_begins_nothing_new(self, make_app: Make, world: World) -> None:
        world.hold("director")
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            await pilot.press("right", "enter")
            await pilot.pause()
            assert world.held("director")
            await pilot.press("s")
            assert "Stopping" in seen(app)
            world.release("director")
            await settled(pilot)
            states = " ".join(rows(app, "#run-rows"))
            assert "web1 — not started" in states
            assert len(world.done) == 1, "the one that ran"
            await pilot.press("home", "r")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(app), "retrying the director does what was left"

    async def test_quitting_in_the_middle_asks(self, make_app: Make, world: World) -> None:
        world.hold("web1")
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            await pilot.press("right", "enter")
            await pilot.pause()
            assert world.held("web1")
            await pilot.press("ctrl+q")
            assert isinstance(app.screen, Question)
            assert "Apply is running" in seen(app)
            await pilot.press("enter")
            assert app.is_running
            world.release("web1")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(app)

    async def test_stopped_and_quit_in_the_middle_it_resumes_with_what_is_left(
        self, make_app: Make, world: World, state: Path
    ) -> None:
        world.hold("director")
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            assert "Nothing has been changed yet" in seen(app)
            await pilot.press("right", "enter")
            await pilot.pause()
            assert world.held("director")
            assert "Changing hosts" in seen(app), "what is so now stands under the frame"
            await pilot.press("ctrl+q", "right", "enter")
            await pilot.pause()
            assert app.is_running, "what runs now is finished first"
            world.release("director")
            await until(pilot, lambda: not app.is_running)
        assert len(world.done) == 1, "the step that ran"
        again = make_app(session=Session.load(state))
        async with again.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert "Resume?" in seen(again)
            await pilot.press("enter")
            await settled(pilot)
            assert wizard(again).step == "review", "the plan is made from what is there now"
            await pilot.press("ctrl+n")
            await settled(pilot)
            await pilot.press("right", "enter")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(again)
            assert "Next checks each real server" in seen(again)
        assert sorted(world.requests(3)) == ["web1", "web2", "web3"]

    async def test_a_key_works_while_a_host_is_slow(self, make_app: Make, world: World) -> None:
        world.hold("web2")
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            await pilot.press("right", "enter")
            await pilot.pause()
            assert world.held("web2")
            await pilot.press("home", "down", "down", "down")
            assert app.screen.query_one("#run-rows", Rows).key == "web3"
            world.release("web2")
            await settled(pilot)

    async def test_a_plan_that_grew_old_and_false_is_shown_anew(
        self, make_app: Make, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_confirm(pilot)
            then = clock.running()
            monkeypatch.setattr(clock, "running", lambda: then + 600)
            world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "1"
            await pilot.press("right", "enter")
            await settled(pilot)
            assert wizard(app).step == "review"
            assert "The plan was out of date" in seen(app)
            assert world.done == []

    async def test_a_host_changed_by_somebody_else_is_told_as_such(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(120, 40)) as pilot:
            await to_confirm(pilot)
            world.hold("web1")
            await pilot.press("right", "enter")
            await until(pilot, lambda: world.held("web1", 0))  # the hosts were looked at again
            world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "2"
            world.release("web1")
            await settled(pilot)
            assert "Someone else changed the host" in seen(app)
            await pilot.press("r")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(app)
        assert world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] == "2", "it guards as well"

    async def test_events_of_the_engine_come_in_as_messages_of_one_kind(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        log: list[object] = []
        async with app.run_test(size=(80, 24), message_hook=log.append) as pilot:
            await applied(pilot)
        told = [message for message in log if isinstance(message, RunView.Told)]
        assert {message.event.host for message in told} == {"director", "web1", "web2", "web3"}
        assert len({id(message) for message in log if isinstance(message, RunView.Ended)}) == 1


class TestVerify:
    @pytest.mark.parametrize("size", SIZES)
    async def test_a_sound_farm_passes(self, make_app: Make, world: World, size: tuple[int, int]) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=size) as pilot:
            await applied(pilot)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "✓ Everything works" in seen(app)
            assert not [row for row in rows(app, "#verify-rows") if "FAIL" in row]

    async def test_the_live_view_that_follows_knows_what_was_proved(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "✓ Everything works" in seen(app)
            await pilot.press("ctrl+n")
            await until(pilot, lambda: "3/3 up" in seen(app))
            assert "not verified yet" not in seen(app)
            assert "verify pass" in seen(app)

    async def test_a_fault_is_found_with_cause_and_fix_and_mended(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        web2 = world.servers["web2"].machine
        async with app.run_test(size=(120, 40)) as pilot:
            await applied(pilot)
            del web2.links["lo"].addresses[VIP]
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "failed," in seen(app)
            assert "vip-missing" in seen(app), "the cursor is on the first fault"
            assert "ip addr add 10.0.0.10/32 dev lo" in seen(app)
            await pilot.press("a")
            await settled(pilot)
            assert isinstance(app.screen, ConfirmModal)
            assert "+ VIP 10.0.0.10/32 on lo" in seen(app), "what is missing is shown before"
            assert web2.holds(VIP) is None
            await on_button(pilot, "Mend")
            await settled(pilot)
            assert "✓ Everything works" in seen(app)
            assert "Mended: 1 change made." in seen(app)
        assert web2.holds(VIP) == "lo"

    async def test_what_could_not_be_looked_at_is_no_failure(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(120, 40)) as pilot:
            await applied(pilot)
            world.privileged = False
            await pilot.press("ctrl+n")
            await settled(pilot)
            unseen = [row for row in rows(app, "#verify-rows") if "? unseen" in row]
            assert unseen
            await pilot.press("f")
            chosen = app.screen.query_one("#verify-rows", Rows)
            assert "FAIL" in chosen.row_at(chosen.cursor).text or "unseen" in chosen.row_at(chosen.cursor).text

    async def test_nothing_to_mend_says_so(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            await pilot.press("ctrl+n")
            await settled(pilot)
            await pilot.press("a")
            await settled(pilot)
            assert "Everything that dsrwizard sets up is in place" in seen(app)


async def on_button(pilot: Pilot[int], label: str) -> None:
    """Walks by Tab to the button with this label and presses it."""
    for _ in range(12):
        focused = pilot.app.focused
        if isinstance(focused, Button) and str(focused.label) == label:
            await pilot.press("enter")
            return
        await pilot.press("tab")
    raise AssertionError(f"Tab does not reach {label!r}")
