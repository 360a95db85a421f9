"""Servers that are set up by hand: the wizard goes on with them; their runbook is walked, ticked and proved by keys."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.deployment_file import load
from dsrwizard.core.model.deployment import Deployment, Director, Service
from dsrwizard.session import Session
from screens.questions.modals import Question
from screens.runbook import RunbookScreen
from screens.widgets.rows import Rows
from tests.fakes.world import World
from tests.screens.driving import seen, settled, told, wizard, wizard_draft

pytestmark = pytest.mark.long

Make = Callable[..., DsrApp]
VIP = "10.0.0.10"


def manual(world: World, *names: str, system: str | None = "linux", **options: object) -> Deployment:
    """The lab's deployment with these servers set up by hand."""
    made = world.deployment(**options)  # type: ignore[arg-type]
    servers = tuple(
        msgspec.structs.replace(server, connect="manual", user=None, system=system) if server.name in names else server
        for server in made.servers
    )
    return msgspec.structs.replace(made, servers=servers)


def set_up(world: World, name: str) -> None:
    """Somebody does on the server what its runbook says."""
    machine = world.servers[name].machine
    machine.sysctls |= {"net.ipv4.conf.all.arp_ignore": "1", "net.ipv4.conf.all.arp_announce": "2"}
    machine.links["lo"].addresses[VIP] = 32


async def to_review(pilot: Pilot[int]) -> None:
    for _ in range(3):
        await settled(pilot)
        await pilot.press("ctrl+n")
    await settled(pilot)


async def applied(pilot: Pilot[int]) -> None:
    await to_review(pilot)
    await pilot.press("ctrl+n")
    await settled(pilot)
    await pilot.press("right", "enter")
    await settled(pilot)


def states(app: DsrApp) -> dict[str, str]:
    """Title of each step → the word beside it."""
    found = {}
    for text in app.screen.query_one("#book-rows", Rows).texts():
        words = text.replace("›", " ").split()
        if words and words[0] in "✓✗◉○":
            number = next(place for place, word in enumerate(words) if word.isdigit())
            found[" ".join(words[number + 1 :])] = " ".join(words[1:number])
    return found


class TestWizard:
    async def test_with_manual_servers_alone_the_director_is_configured_and_it_ends_in_verify(
        self, make_app: Make, world: World
    ) -> None:
        app = make_app(deployment=manual(world, "web1", "web2", "web3"))
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            assert "at weight 0 until set up by hand: web1, web2, web3" in seen(app)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert wizard(app).step == "verify", "no decision is asked for a server that only waits"
            assert "web1, web2, web3 are set up by hand: press h for the steps to do there" in seen(app)
            assert world.requests(1) == [""]
            for name in ("web1", "web2", "web3"):
                set_up(world, name)
            await pilot.press("a")
            await settled(pilot)
            assert "Type 10.0.0.10 to confirm" in seen(app), "on 24 lines, too"
            await pilot.press("right", "enter", *VIP, "enter")
            await settled(pilot)
            assert "failed" not in seen(app)
            assert "Mended: 4 changes made" in seen(app), (
                "the three weights, and the VIP, which waited for a proved server"
            )
        assert sorted(world.requests(3)) == ["web1", "web2", "web3"]
        assert {host for host, _ in world.done} == {"director"}, "nothing is done on a server set up by hand"

    async def test_the_key_is_there_only_where_it_applies(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            assert "Runbook" not in seen(app)
            await pilot.press("h")
            assert not isinstance(app.screen, RunbookScreen)

    async def test_the_runbook_is_that_of_the_chosen_server(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=manual(world, "web2", "web3"))
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            assert "h Runbook" in seen(app)
            assert "runbook: Runbook" in {command.title for command in app.get_system_commands(app.screen)}
            app.screen.query_one("#review-rows", Rows).put_cursor(
                "note web3 Configured by hand. dsrwizard only proves that it works."
            )
            await pilot.pause()
            assert "Press h for the steps to do on it" in seen(app)
            await pilot.press("h")
            await pilot.pause()
            assert "Runbook: web3 (10.0.0.103), by hand" in seen(app)
            await pilot.press("n")
            await pilot.pause()
            assert "Runbook: web2 (10.0.0.102), by hand" in seen(app)
            await pilot.press("escape")
            await pilot.pause()
            assert wizard(app).step == "review"

    async def test_a_server_that_fails_otherwise_still_needs_a_decision(self, make_app: Make, world: World) -> None:
        world.servers["web1"].fails["guard"] = "sysctl: permission denied"
        app = make_app(deployment=manual(world, "web2"))
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert wizard(app).step == "apply"
            assert "failed: web1" in seen(app)
            assert str(getattr(app.focused, "label", "")) == "Retry"


class TestProof:
    async def test_what_is_done_there_is_proved_and_what_is_not_says_what_was_seen(
        self, make_app: Make, world: World
    ) -> None:
        app = make_app(deployment=manual(world, "web1"))
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            await pilot.press("h", "v")
            await settled(pilot)
            shown = states(app)
            assert shown["VIP 10.0.0.10/32 on lo"] == "FAIL"
            assert shown["ARP guard: do not answer for the VIP"] == "to do", (
                "a server without the VIP is silent, which proves no guard"
            )
            await pilot.press("down", "down")
            await pilot.pause()
            assert "Seen: 10.0.0.10 is most likely not on web1" in seen(app)
            set_up(world, "web1")
            await pilot.press("v")
            await settled(pilot)
            shown = states(app)
            assert shown["VIP 10.0.0.10/32 on lo"] == "proved"
            assert shown["ARP guard: do not answer for the VIP"] == "proved"
            assert shown["The VIP after a reboot"] == "to do", "what cannot be seen from outside stays open"
            assert "3 proved from outside" in seen(app)
            assert "web1 is at weight 0. To give it its weight, press r in Apply" in seen(app)
            await pilot.press("escape", "r")
            await settled(pilot)
            assert "Done: all 4 hosts" in seen(app)
        assert sorted(world.requests(3)) == ["web1", "web2", "web3"]

    async def test_a_leak_is_shown_at_the_guard(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=manual(world, "web1"))
        set_up(world, "web1")
        world.servers["web1"].machine.sysctls["net.ipv4.conf.all.arp_ignore"] = "0"
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            await pilot.press("h", "down", "space", "up", "v")
            await settled(pilot)
            assert states(app)["ARP guard: do not answer for the VIP"] == "FAIL"
            assert "web1 answers ARP for 10.0.0.10" in seen(app)
            assert "The step is ticked, but the check failed." in seen(app)

    async def test_each_port_has_its_own_proof(self, make_app: Make, world: World) -> None:
        services = (Service(port=80), Service(port=443))
        app = make_app(deployment=manual(world, "web1", system="windows-2012", services=services))
        set_up(world, "web1")
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("h", "v")
            await settled(pilot)
            shown = states(app)
            assert shown["Firewall rule for 10.0.0.10 tcp/80"] == "proved"
            assert shown["IIS listens on the VIP"] == "FAIL", "nobody listens on 443 there"
            assert shown["Firewall rule for 10.0.0.10 tcp/443"] == "to do", "a refusal says nothing against the rule"
            assert shown["VIP 10.0.0.10/32"] == "proved", "an answer on one port is enough for the address"
            assert shown["Weak-host model"] == "proved"
            world.servers["web1"].dropped.add(("tcp", 80))
            await pilot.press("v")
            await settled(pilot)
            silent = "silence from outside is no evidence of the rule, but the proof is gone"
            assert states(app)["Firewall rule for 10.0.0.10 tcp/80"] == "to do", silent


class TestByHand:
    async def test_ticks_outlive_the_program(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=manual(world, "web1", "web2"))
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("h", "down", "space", "space")
            assert list(states(app).values()).count("ticked") == 2, "a tick leads on to the next step"
            await pilot.press("up", "space")
            assert list(states(app).values()).count("ticked") == 1, "and is taken back the same way"
        again = make_app(session=Session.load())
        async with again.run_test(size=(80, 24)) as pilot:
            await settled(pilot)
            await pilot.press("enter")
            await settled(pilot)
            await pilot.press("h")
            await pilot.pause()
            assert states(again)["ARP guard: do not answer for the VIP"] == "ticked"
            assert "1 of 5 steps done" in seen(again)
            await pilot.press("n")
            await pilot.pause()
            assert "0 of 5 steps done" in seen(again), "each server has its own"

    async def test_the_system_is_asked_once_and_kept(self, make_app: Make, world: World, state: Path) -> None:
        app = make_app(deployment=manual(world, "web1", system=None))
        async with app.run_test(size=(80, 24)) as pilot:
            await applied(pilot)
            await pilot.press("h")
            await pilot.pause()
            assert isinstance(app.screen, Question)
            for answer in ("Linux", "2003", "2008 / R2", "2012 to 2025", "Not now"):
                assert answer in seen(app)
            await pilot.press("escape")
            await pilot.pause()
            assert "Linux is assumed" in seen(app)
            assert wizard_draft(app).servers[0].system == "", "no answer writes nothing"
            await pilot.press("s", "left", "enter")
            await pilot.pause()
            assert "Windows Server 2012 to 2025. 0 of 6 steps done" in seen(app)
            assert wizard_draft(app).servers[0].system == "windows-2012"
            assert load(state / "deployments" / "shop.toml").servers[0].system == "windows-2012"
            await pilot.press("escape", "h")
            await pilot.pause()
            assert isinstance(app.screen, RunbookScreen), "not asked again"
            await pilot.press("escape", "escape")
            await settled(pilot)
            assert wizard(app).step == "review"
            assert "out of date" not in seen(app), "no step of the plan depends on it"

    async def test_the_commands_are_copied_as_they_stand(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=manual(world, "web1", system="windows-2012"))
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("h", "c")
            assert "Select a step first" in told(app)
            await pilot.press("end", "c")
            assert "no commands" in told(app)
            await pilot.press("up", "up", "c")
            assert app.clipboard == (
                "New-NetIPAddress -InterfaceAlias dsr -IPAddress 10.0.0.10 -PrefixLength 32 -SkipAsSource $true\n"
            )

    async def test_it_is_written_in_both_forms(self, make_app: Make, world: World, state: Path) -> None:
        app = make_app(deployment=manual(world, "web1", system="windows-2008"))
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("h", "e", "enter")
            await pilot.pause()
            folder = state / "runbooks"
            assert str(folder / "shop-web1.html") in told(app)
        assert "weakhostsend=enabled" in (folder / "shop-web1.md").read_text()
        assert "<html" in (folder / "shop-web1.html").read_text()

    @pytest.mark.parametrize("path", ["/proc/nowhere/book.md"])
    async def test_a_place_that_cannot_be_written_is_told(self, make_app: Make, world: World, path: str) -> None:
        app = make_app(deployment=manual(world, "web1"))
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            await pilot.press("h", "e", "ctrl+u", *path, "enter")
            await pilot.pause()
            assert "could not be written" in told(app)


class TestLoadBalancer:
    @pytest.mark.parametrize(("engine", "title"), [("external", "Load balancer as"), ("aloha", "ALOHA as")])
    async def test_its_runbook_is_written_and_ticked_by_the_last_verification(
        self, make_app: Make, world: World, state: Path, engine: str, title: str
    ) -> None:
        world.strangers[VIP] = ["02:00:0a:00:00:42"]
        made = msgspec.structs.replace(world.deployment(), director=Director(interface="eth0", engine=engine))  # type: ignore[arg-type]
        app = make_app(deployment=made)
        page = state / "runbooks" / "shop-load-balancer.md"
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            assert "l Balancer" in seen(app)
            await pilot.press("l", "enter")
            await pilot.pause()
            assert page.read_text().startswith(f"# {title} the load balancer of shop")
            assert "- [x] done" not in page.read_text()
            await pilot.press("ctrl+n")
            await settled(pilot)
            await pilot.press("right", "enter")
            await settled(pilot)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert wizard(app).step == "verify"
            await pilot.press("l", "enter")
            await pilot.pause()
            assert str(page.with_suffix(".html")) in told(app)
        assert page.read_text().count("- [x] done") >= 4, "each server was proved, and who has the VIP"

    async def test_it_is_there_only_where_another_machine_balances(self, make_app: Make, world: World) -> None:
        app = make_app(deployment=world.deployment())
        async with app.run_test(size=(80, 24)) as pilot:
            await to_review(pilot)
            assert "Balancer" not in seen(app)
            await pilot.press("l")
            assert len(app.screen_stack) == 1, "no dialog"


def test_picture(snap_compare: Callable[..., bool], make_app: Make, world: World) -> None:
    """One step ticked, one port proved, the other failed."""

    async def before(pilot: Pilot[int]) -> None:
        await to_review(pilot)
        await pilot.press("h", "down", "down", "space", "v")
        await settled(pilot)
        await pilot.press("end")
        for _ in range(3):
            await pilot.pause()

    set_up(world, "web1")
    services = (Service(port=80), Service(port=443))
    app = make_app(deployment=manual(world, "web1", system="windows-2012", services=services))
    assert snap_compare(app, terminal_size=(80, 24), run_before=before)
