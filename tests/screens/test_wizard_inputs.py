"""The wizard's input steps, walked by keys alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual import events
from textual.widgets import Input, TextArea

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.facts import Listener
from dsrwizard.core.model.restoring import DirectorBoot
from dsrwizard.session import Session
from screens.questions.modals import Question
from screens.widgets.field import Field
from screens.wizard.server_form import ServerForm
from screens.wizard.stepper import Stepper
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import field, focused_key, seen, settled, told, type_text, typed, wizard, wizard_draft

pytestmark = pytest.mark.long

Make = Callable[..., DsrApp]


class TestWalk:
    @pytest.mark.parametrize("size", SIZES)
    async def test_from_an_empty_form_to_the_review_by_keys(self, make_app: Make, size: tuple[int, int]) -> None:
        app = make_app()
        async with app.run_test(size=size) as pilot:
            assert focused_key(app) == "vips[0].address"
            await type_text(pilot, "10.0.0.10\n\n80\n\n\n")
            assert wizard(app).step == "director", "Enter on the last field is Next"
            await settled(pilot)
            assert "eth0" in seen(app)
            assert "IPVS is loaded" in seen(app)
            await pilot.press("ctrl+n")
            assert wizard(app).step == "servers"
            for name, rip in (("web1", "10.0.0.101"), ("web2", "10.0.0.102")):
                await pilot.press("a")
                await type_text(pilot, f"{name}\n{rip}")
                await pilot.press("ctrl+n")
            assert "web2 10.0.0.102" in seen(app)
            await pilot.press("ctrl+n")
            assert wizard(app).step == "review"
            deployment = deployment_of(wizard_draft(app))
        assert [server.name for server in deployment.servers] == ["web1", "web2"]
        assert deployment.director.interface == "eth0"
        assert deployment.vips[0].services[0].port == 80

    async def test_the_lab_is_deployed_by_accepting(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            for step in ("director", "servers", "review"):
                await pilot.press("ctrl+n")
                assert wizard(app).step == step
            assert deployment_of(wizard_draft(app)) == lab.deployment()

    async def test_back_asks_nothing_and_loses_nothing(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await settled(pilot)
            await pilot.press("escape")
            app.set_focus(field(app, "vips[0].address").control_widget)
            await pilot.press("ctrl+u")
            await type_text(pilot, "not an address")
            await pilot.press("alt+2")
            assert wizard(app).step == "director", "only Next validates"
            await pilot.press("escape")
            assert typed(app, "vips[0].address") == "notanaddress"

    async def test_a_step_not_visited_cannot_be_jumped_to(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("alt+4")
            assert wizard(app).step == "vip"
            await pilot.press("ctrl+n", "ctrl+n", "alt+v")
            assert wizard(app).step == "vip"
            for key, step in (("alt+s", "servers"), ("alt+v", "vip"), ("alt+d", "director")):
                pilot.app.post_message(events.Key(key, key[-1]))  # as a terminal sends it: with the letter
                await pilot.pause()
                assert wizard(app).step == step
            assert wizard_draft(app).name == "shop", "no letter went into a field"

    async def test_results_are_out_of_date_after_an_edit(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "ctrl+n")
            await settled(pilot)
            await pilot.press("alt+1")
            await type_text(pilot, "2")
            await pilot.pause()
            marks = {mark.id: mark.state for mark in app.screen.query_one(Stepper).marks}
            assert marks["review"] == "out-of-date"
            assert marks["servers"] == "done"
            assert "out of date" in seen(app)

    async def test_review_is_not_reached_past_a_problem(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "ctrl+n", "alt+1")
            app.set_focus(field(app, "vips[0].address").control_widget)
            await pilot.press("ctrl+u", "alt+4")
            await pilot.pause()
            assert wizard(app).step == "vip"
            assert focused_key(app) == "vips[0].address"
            assert "The VIP is missing" in seen(app)


class TestValidation:
    async def test_next_counts_shows_all_and_goes_to_the_first(self, make_app: Make) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            assert "Next (2 problems)" in seen(app)
            await pilot.press("tab", "tab", "tab", "ctrl+n")
            await pilot.pause()
            assert wizard(app).step == "vip"
            assert focused_key(app) == "vips[0].address"
            assert "The VIP is missing" in seen(app)
            assert "The port is missing" in seen(app)

    async def test_quiet_while_typing_then_live(self, make_app: Make) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            vip = field(app, "vips[0].address")
            await type_text(pilot, "10.0.0.300")
            assert vip.problem == "", "no word before the field is left"
            await pilot.press("tab")
            await pilot.pause()
            assert vip.problem
            await pilot.press("shift+tab", "end", "backspace")
            await pilot.pause()
            assert vip.problem == "", "right the moment it is right"
            await type_text(pilot, "/24")
            await pilot.pause()
            assert "dsrwizard always uses /32" in vip.problem

    async def test_tabbing_through_an_empty_form_accuses_nobody(self, make_app: Make) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press(*["tab"] * 12)
            await pilot.pause()
            assert [one.key for one in app.screen.query(Field) if one.problem] == []

    async def test_a_port_takes_digits_only(self, make_app: Make) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            field(app, "vips[0].services[0].port").take_focus()
            await pilot.pause()
            await type_text(pilot, "8x0:")
            assert typed(app, "vips[0].services[0].port") == "80"

    async def test_a_vip_in_use_warns_and_does_not_block(self, make_app: Make, lab: World) -> None:
        lab.strangers["10.0.0.10"] = ["02:aa:00:00:00:01"]
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await settled(pilot)
            assert "in use: 02:aa:00:00:00:01" in seen(app)
            await pilot.press("ctrl+n")
            assert wizard(app).step == "director"

    @pytest.mark.parametrize("width", [80, 100, 110, 117, 120, 150])
    async def test_a_free_vip_is_said_to_be_free(self, make_app: Make, lab: World, width: int) -> None:
        """In words, whatever stands beside it: no column is so narrow that it breaks them."""
        app = make_app()
        async with app.run_test(size=(width, 24)) as pilot:
            await settled(pilot)
            assert "nobody else" in seen(app)
            assert "answers for it" in seen(app)


class TestVips:
    async def test_services_and_vips_are_added_and_removed(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(120, 40)) as pilot:
            await pilot.press("f2")
            await pilot.pause()
            assert focused_key(app) == "vips[0].services[1].port"
            await type_text(pilot, "443")
            await pilot.press("f3")
            await pilot.pause()
            assert focused_key(app) == "vips[1].address"
            await type_text(pilot, "10.0.0.11")
            field(app, "vips[1].services[0].port").take_focus()
            await pilot.pause()
            await type_text(pilot, "53")
            draft = wizard_draft(app)
            assert [[service.port for service in vip.services] for vip in draft.vips] == [["80", "443"], ["53"]]
            field(app, "vips[0].services[0].port").take_focus()
            await pilot.pause()
            await pilot.press("f8")
            await pilot.pause()
            assert [service.port for service in draft.vips[0].services] == ["443"]
            assert typed(app, "vips[0].services[0].port") == "443"
            await pilot.press("f8")
            await pilot.pause()
            assert [vip.address for vip in draft.vips] == ["10.0.0.11"]
            await pilot.press("f8")
            await pilot.pause()
            assert len(draft.vips) == 1, "the last one stays"
            assert "A deployment needs at least one VIP" in told(app)

    async def test_a_scheduler_is_chosen_by_key(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            field(app, "vips[0].services[0].scheduler").take_focus()
            await pilot.pause()
            await pilot.press("space")
            await type_text(pilot, "source")
            await pilot.press("enter")
            await pilot.pause()
            assert wizard_draft(app).vips[0].services[0].scheduler == "sh"
            assert "source hash" in seen(app)


class TestDirector:
    async def test_missing_ipvs_says_what_mends_it_and_another_product_needs_none(
        self, make_app: Make, lab: World
    ) -> None:
        lab.ipvs_problem = "The kernel module ip_vs is not loaded."
        lab.ipvs_next = "Load it: modprobe ip_vs"
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "modprobe ip_vs" in seen(app)
            await pilot.press("tab", "up", "space")
            await settled(pilot)
            assert wizard_draft(app).engine == "external"
            assert "IPVS is not needed" in seen(app)
            lab.ipvs_problem = ""
            await pilot.press("down", "space", "f5")
            await settled(pilot)
            assert "IPVS is loaded" in seen(app)

    async def test_the_guard_is_asked_for_with_what_follows_and_lands_in_the_file(
        self, make_app: Make, lab: World
    ) -> None:
        lab.boot = DirectorBoot(systemd=True)
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "A server that dies goes on getting clients" in seen(app), "the file says so, and nobody changed it"
            field(app, "director.guard").take_focus()
            await pilot.pause()
            await pilot.press("space")
            await settled(pilot)
            assert "A dead server gets no new clients after a second or two" in seen(app)
            assert deployment_of(wizard_draft(app)).director.guard
            assert "guard = true" in dumps(deployment_of(wizard_draft(app)))
            await pilot.press("down", "space")
            await settled(pilot)
            assert not wizard_draft(app).guard
            await pilot.press("up", "space", "shift+tab", "up", "space")
            await settled(pilot)
            draft = wizard_draft(app)
            assert (draft.engine, draft.guard) == ("external", False), "another product has its own health checks"
            assert "recommended" not in seen(app)

    @pytest.mark.parametrize(
        ("boot", "guarded"), [(DirectorBoot(systemd=True), True), (DirectorBoot(), False), (None, False)]
    )
    async def test_whoever_begins_is_given_a_guard_where_this_machine_can_run_it(
        self, make_app: Make, world: World, boot: DirectorBoot | None, guarded: bool
    ) -> None:
        world.boot = boot
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await type_text(pilot, "10.0.0.10\n\n80\n\n\n")
            await settled(pilot)
            assert wizard(app).step == "director"
            assert wizard_draft(app).guard is guarded
            text = seen(app)
            assert ("after a second or two" if guarded else "goes on getting clients") in text
            assert "recommended" in text

    async def test_a_module_that_apply_loads_is_no_error(self, make_app: Make, lab: World) -> None:
        lab.unload_ipvs()
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "not loaded yet. Apply will load it" in seen(app)
            assert "modprobe" not in seen(app)
            await pilot.press("ctrl+n", "ctrl+n")
            await settled(pilot)
            assert "Load the kernel module ip_vs" in seen(app)
            assert "the module stays loaded" in seen(app), "what taking it back would leave"

    async def test_an_interface_that_is_not_there(self, make_app: Make, lab: World) -> None:
        draft = Draft.from_deployment(lab.deployment())
        draft.interface = "eth7"
        app = make_app(session=Session(draft=draft, step="director", visited={"vip", "director"}))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("enter")
            await settled(pilot)
            assert "eth7" in seen(app).partition("Load balancer")[0]
            assert "no interface eth7" in seen(app)
            assert "It has: eth0" in seen(app)
            assert wizard_draft(app).interface == "eth7", "what was entered is not changed by what is offered"


class TestServers:
    async def test_the_test_shows_what_was_found(self, make_app: Make, lab: World) -> None:
        lab.servers["web2"].machine.listeners = [
            Listener(protocol="tcp", address="10.0.0.102", port=80, process="nginx")
        ]
        lab.servers["web3"].reachable = False
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "T")
            await settled(pilot)
            text = seen(app)
            for found in ("Debian", "eth0, MAC 02:00:0a:00:00:65", "same as the director's", "python3 listens on all",
                          "10.0.0.1 on eth0"):  # fmt: skip
                assert found in text
            await pilot.press("down")
            await pilot.pause()
            assert "nginx listens on 10.0.0.102 only, not on the VIP" in seen(app)
            await pilot.press("down")
            await pilot.pause()
            assert "✗ Login" in seen(app)
            assert "nobody answers ARP" in seen(app)

    async def test_edit_and_remove(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "enter")
            await pilot.pause()
            assert isinstance(app.screen, ServerForm)
            await pilot.press("end")
            await type_text(pilot, "b")
            await pilot.press("escape", "right", "enter")
            assert wizard_draft(app).servers[0].name == "web1", "Esc leaves it as it was, after a question"
            await pilot.press("enter")
            await pilot.pause()
            await pilot.press("end")
            await type_text(pilot, "b")
            await pilot.press("ctrl+n")
            assert wizard_draft(app).servers[0].name == "web1b"
            await pilot.press("d")
            await pilot.pause()
            assert isinstance(app.screen, Question)
            await pilot.press("enter")
            assert len(wizard_draft(app).servers) == 3, "the focus is on keeping"
            await pilot.press("d")
            await pilot.pause()
            await pilot.press("right", "enter")
            await pilot.pause()
            assert [server.name for server in wizard_draft(app).servers] == ["web2", "web3"]

    async def test_a_bad_server_is_refused_in_its_form(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "a")
            await type_text(pilot, "web4\n10.0.0.10")
            await pilot.press("ctrl+n")
            await pilot.pause()
            assert isinstance(app.screen, ServerForm)
            assert "10.0.0.10 is the VIP" in seen(app)
            assert focused_key(app) == "servers[3].address"

    async def test_a_list_is_imported(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "i")
            await pilot.pause()
            app.screen.query_one(TextArea).insert("web1 10.0.0.101\nweb7 10.0.0.107 5\n[/oops] what\n")
            await pilot.pause()
            assert "web7 10.0.0.107" in seen(app)
            await pilot.press("ctrl+n")
            await pilot.pause()
            servers = wizard_draft(app).servers
            assert [server.name for server in servers][:4] == ["web1", "web2", "web3", "web7"]
            assert servers[3].weight == "5"
            assert "1 server imported; 1 already in the list was left unchanged." in told(app)

    async def test_a_file_is_imported_with_a_pattern(self, make_app: Make, lab: World, tmp_path: Path) -> None:
        (tmp_path / "config").write_text(
            "Host web8\n  HostName 10.0.0.108\n  User admin\nHost db1\n  HostName 10.0.0.120\n"
        )
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "i")
            await pilot.pause()
            app.screen.query_one("#path", Input).value = str(tmp_path / "config")
            app.screen.query_one("#path", Input).focus()
            await pilot.press("enter")
            await pilot.pause()
            app.screen.query_one("#choice", Input).value = "web*"
            await pilot.pause()
            assert "1 server (ssh config): web8 10.0.0.108" in seen(app)
            await pilot.press("ctrl+n")
            await pilot.pause()
            last = wizard_draft(app).servers[-1]
            assert (last.name, last.address, last.user) == ("web8", "10.0.0.108", "admin")

    async def test_a_balancers_file_brings_its_vips(self, make_app: Make, lab: World, tmp_path: Path) -> None:
        (tmp_path / "keepalived.conf").write_text(
            "virtual_server 10.0.0.10 80 {\n lb_algo rr\n lb_kind DR\n real_server 10.0.0.101 80 { weight 1 }\n}\n"
            "virtual_server 10.0.0.20 443 {\n lb_algo sh\n lb_kind DR\n real_server 10.0.0.107 443 { weight 2 }\n}\n"
        )
        app = make_app()
        async with app.run_test(size=(80, 30)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "i")
            await pilot.pause()
            app.screen.query_one("#path", Input).value = str(tmp_path / "keepalived.conf")
            app.screen.query_one("#path", Input).focus()
            await pilot.press("enter")
            await pilot.pause()
            assert "2 servers (keepalived.conf)" in seen(app)
            assert "10.0.0.20 tcp/443" in seen(app)
            await pilot.press("ctrl+n")
            await pilot.pause()
            draft = wizard_draft(app)
            assert [vip.address for vip in draft.vips] == ["10.0.0.10", "10.0.0.20"]
            assert draft.vips[1].services[0].scheduler == "sh"
            assert "1 VIP imported" in told(app)
            await pilot.press("escape", "escape")
            await pilot.pause()
            assert "10.0.0.20" in seen(app)

    async def test_what_is_not_recognised_is_refused_in_words(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "i")
            await pilot.pause()
            before = len(wizard_draft(app).servers)
            app.screen.query_one(TextArea).insert("frontend www\n  bind 10.0.0.10:80\nbackend web\n  mode http\n")
            await pilot.pause()
            assert "0 servers (not recognised)" in seen(app)
            assert "haproxy.cfg" in seen(app)
            await pilot.press("ctrl+n", "escape")
            await pilot.pause()
            assert len(wizard_draft(app).servers) == before

    async def test_a_file_that_is_not_there(self, make_app: Make, lab: World, tmp_path: Path) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "i")
            await pilot.pause()
            app.screen.query_one("#path", Input).value = str(tmp_path / "nothing")
            app.screen.query_one("#path", Input).focus()
            await pilot.press("enter")
            await pilot.pause()
            assert "cannot be read: No such file or directory" in seen(app).replace("\n", " ")

    async def test_no_server_is_a_problem_said_in_words(self, make_app: Make) -> None:
        draft = Draft(interface="eth0")
        draft.vips[0].address, draft.vips[0].services[0].port = "10.0.0.10", "80"
        app = make_app(session=Session(draft=draft, step="servers", visited={"vip", "director", "servers"}))
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("enter", "ctrl+n")
            await pilot.pause()
            assert wizard(app).step == "servers"
            assert "There is no real server" in seen(app)
            assert "Press a to add one" in seen(app)
