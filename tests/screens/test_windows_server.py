"""A Windows real server in the wizard: its form, and what the connection test finds on a modelled host."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.validate import deployment_of
from dsrwizard.core.model.contact import Contact, Door
from dsrwizard.core.model.deployment import RealServer
from screens.wizard.server_form import ServerForm
from screens.wizard.servers import ServersPane
from tests.fakes.world import World
from tests.screens.driving import field, focused_key, seen, settled, type_text, wizard_draft
from tests.windows.conftest import Farm, shop
from tests.windows.host import WindowsHost

pytestmark = pytest.mark.long

Make = Callable[..., DsrApp]


async def way(pilot: Pilot[int], app: DsrApp, keys: str) -> None:
    """Chooses another way of being reached, by keys in its list."""
    field(app, "servers[3].connect").take_focus()
    await pilot.press("space", *keys.split(), "enter")
    await pilot.pause()


async def test_a_windows_server_is_entered_by_keys(make_app: Make, lab: World) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+n", "ctrl+n", "a")
        await type_text(pilot, "win1\n10.0.0.104")
        await way(pilot, app, "down")
        keys = [one.key.partition(".")[2] for one in app.screen.query("Field")]  # type: ignore[attr-defined]
        assert keys[5:] == ["user", "winrm", "port", "auth", "dns_name", "ca_file", "vip_interface"]
        assert "root" not in seen(app), "the login of the Linux servers is none of Windows'"
        await pilot.press("enter")
        assert focused_key(app) == "servers[3].user"
        await type_text(pilot, "administrator\n")
        await pilot.press("space", "down", "enter")
        await pilot.press("enter")
        await type_text(pilot, "5985\n")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert not isinstance(app.screen, ServerForm)
        assert "winrm administr" in seen(app)
        server = deployment_of(wizard_draft(app)).servers[3]
    assert (server.connect, server.user, server.port, server.winrm) == ("winrm", "administrator", 5985, "http")
    assert (server.identity_file, server.auth, server.vip_interface) == (None, "ntlm", "lo")


async def test_basic_without_tls_is_refused_at_its_field(make_app: Make, lab: World) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+n", "ctrl+n", "a")
        await type_text(pilot, "win1\n10.0.0.104")
        await way(pilot, app, "down")
        for key, keys in (("winrm", ["down"]), ("auth", ["down", "down"])):
            field(app, f"servers[3].{key}").take_focus()
            await pilot.press("space", *keys, "enter")
        await pilot.press("ctrl+n")
        await pilot.pause()
        assert isinstance(app.screen, ServerForm)
        assert focused_key(app) == "servers[3].auth"
        assert "sends the password in clear" in " ".join(seen(app).split())


async def test_every_way_keeps_what_was_typed_in_its_own_fields(make_app: Make, lab: World) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+n", "ctrl+n", "a")
        await type_text(pilot, "any1\n10.0.0.104")
        field(app, "servers[3].identity_file").take_focus()
        await type_text(pilot, "~/.ssh/id")
        await way(pilot, app, "down down")
        assert "Key file" not in seen(app)
        assert "not set: the runbook will ask" in seen(app)
        await way(pilot, app, "up up")
        assert "~/.ssh/id" in seen(app)
        assert "root" in seen(app)
        await way(pilot, app, "down down")
        await pilot.press("enter", "space", "down", "down", "enter", "ctrl+n")
        await pilot.pause()
        assert "by hand" in seen(app)
        server = deployment_of(wizard_draft(app)).servers[3]
    assert (server.connect, server.system, server.identity_file) == ("manual", "windows-2003", None)


class TestFound:
    """`t` on a Windows server."""

    async def found(self, tmp_path: Path, host: WindowsHost, vip_interface: str = "lo") -> str:
        farm = Farm(tmp_path / "journal", host, shop(vip_interface=vip_interface))
        app = DsrApp(lambda asker: farm.fresh(), ascii_only=False, deployment=farm.deployment)
        async with app.run_test(size=(200, 50)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "t")
            await settled(pilot)
            return seen(app)

    @pytest.mark.parametrize("version", ["2008 R2", "2022"])
    async def test_what_it_is_and_what_would_be_installed(self, tmp_path: Path, version: str) -> None:
        text = await self.found(tmp_path, WindowsHost(version=version))
        assert "Windows Server" in text
        assert "PowerShell" in text
        assert "administrator" in text
        assert "not installed yet: apply installs dsrwizard" in text
        assert "listens on" in text

    async def test_after_an_apply_the_adapter_and_its_vip(self, tmp_path: Path) -> None:
        farm = Farm(tmp_path / "journal", WindowsHost(), shop())
        assert farm.apply().ok
        assert "dsrwizard exists, with 10.0.0.10/32" in await self.found(tmp_path, farm.host)

    async def test_what_stands_in_the_way(self, tmp_path: Path) -> None:
        host = WindowsHost()
        host.elevated = False
        assert "not an administrator: nothing can be changed there" in await self.found(tmp_path, host)
        host = WindowsHost()
        host.restriction = "DenyUnspecified"
        assert "a policy forbids installing devices" in await self.found(tmp_path, host)
        assert "the built-in pseudo-interface holds the VIP" in await self.found(tmp_path, host, "pseudo")


class TestFindWinrm:
    """F3 and F2 in the form of a Windows server."""

    HTTP = Door(port=5985, state="open", tls=False, winrm=True, schemes=("negotiate",))
    SILENT = Door(port=5986, state="silent")

    async def form(self, pilot: Pilot[int], app: DsrApp, *doors: Door) -> list[RealServer]:
        """The form of a new Windows server, on a network where these ports answer; who was looked for."""
        asked: list[RealServer] = []

        def find(server: RealServer) -> Contact:
            asked.append(server)
            return Contact(address=server.address, doors=doors)

        await pilot.press("ctrl+n", "ctrl+n")
        app.screen.query_one(ServersPane)._find = find  # type: ignore[method-assign]
        await pilot.press("a")
        await type_text(pilot, "win1\n10.0.0.104")
        await way(pilot, app, "down")
        return asked

    async def test_the_port_that_answers_is_offered_and_enter_takes_it(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            asked = await self.form(pilot, app, self.SILENT, self.HTTP)
            assert "f3 Find WinRM" in " ".join(seen(app).split())
            await pilot.press("f3")
            await settled(pilot)
            text = " ".join(seen(app).split())
            assert "Port 5986 does not answer" in text
            assert "Port 5985 answers as WinRM over HTTP; takes NTLM and Kerberos" in text
            assert "This fits: transport http, login method ntlm." in text
            await pilot.press("enter")
            await settled(pilot)
            assert isinstance(app.screen, ServerForm)
            assert "Transport http encrypted by NTLM or Kerberos" in seen(app)
            await pilot.press("ctrl+n")
            await pilot.pause()
            server = deployment_of(wizard_draft(app)).servers[3]
        assert [one.address for one in asked] == ["10.0.0.104"]
        assert (server.winrm, server.port, server.auth) == ("http", None, "ntlm")

    async def test_escape_changes_nothing(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await self.form(pilot, app, self.SILENT, self.HTTP)
            await pilot.press("f3")
            await settled(pilot)
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, ServerForm)
            await pilot.press("ctrl+n")
            await pilot.pause()
            server = deployment_of(wizard_draft(app)).servers[3]
        assert (server.winrm, server.port) == ("https", None)

    async def test_where_nothing_answers_the_way_to_prepare_it_is_shown(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await self.form(pilot, app, self.SILENT, Door(port=5985, state="silent"))
            await pilot.press("f3")
            await settled(pilot)
            assert "Press F2 in the form" in " ".join(seen(app).split())
            await pilot.press("escape", "f2")
            await pilot.pause()
            text = " ".join(seen(app).split())
            assert "dsrwizard prepare prints this" in text
            assert "open PowerShell as administrator, paste" in text
            await pilot.press("escape")
            await pilot.pause()
            assert isinstance(app.screen, ServerForm), "back where one was"

    async def test_without_an_address_nothing_is_tried(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            asked = await self.form(pilot, app, self.HTTP)
            field(app, "servers[3].address").take_focus()
            await pilot.press("ctrl+u", "f3")
            await settled(pilot)
            assert "The address is missing." in seen(app)
        assert asked == []

    async def test_the_keys_are_of_windows_only(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "a")
            await pilot.pause()
            assert "f3 Find" not in " ".join(seen(app).split())
            await pilot.press("f2")
            await pilot.pause()
            assert isinstance(app.screen, ServerForm), "nothing to paste into a Linux"


def test_picture(snap_compare: Callable[..., bool], make_app: Make, lab: World) -> None:
    app = make_app()

    async def before(pilot: Pilot[int]) -> None:
        await pilot.press("ctrl+n", "ctrl+n", "a")
        await type_text(pilot, "win1\n10.0.0.104")
        await way(pilot, app, "down")
        await pilot.press("enter")
        await type_text(pilot, "administrator\n")
        for _ in range(3):
            await pilot.pause()

    assert snap_compare(app, terminal_size=(80, 24), run_before=before)
