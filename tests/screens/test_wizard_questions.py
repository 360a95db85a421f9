"""What the wizard keeps over its end, and what worker threads ask through it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from textual.widgets import Button, Input, SelectionList, Static

from dsrwizard.app import DsrApp
from dsrwizard.core.intake.draft import Draft
from dsrwizard.core.model.in_dns import DnsSays
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.session import Session
from screens.background import in_thread
from screens.questions import dns_answers
from screens.questions.host_keys import HostKeysModal
from screens.questions.modals import Choice, HostKeyModal, Question, SecretModal
from tests.fakes.world import FINGERPRINT, World
from tests.screens.driving import laid_out, seen, settled, told, type_text, typed, until, wizard, wizard_draft

Make = Callable[..., DsrApp]


@pytest.fixture
def damaged(state: Path) -> Path:
    """A state directory whose session was torn."""
    state.mkdir(parents=True)
    (state / "session.json").write_text("{torn")
    return state


class TestSession:
    async def test_a_killed_wizard_is_resumed(self, make_app: Make, lab: World) -> None:
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n")
            await pilot.press("a")
            await type_text(pilot, "web9\n10.0.0.109")
            await pilot.press("ctrl+n")
            # It is written half a second after an edit; no way out is taken here.
            await until(
                pilot, lambda: "web9" in [server.name for server in (Session.load() or Session()).draft.servers]
            )
            found = Session.load()
        assert found is not None
        again = make_app(session=found)
        async with again.run_test(size=(80, 24)) as pilot:
            assert isinstance(again.screen, Question)
            assert "at the step Servers" in seen(again).replace("\n", " ")
            await pilot.press("enter")
            await pilot.pause()
            assert wizard(again).step == "servers"
            assert "web9" in seen(again)
            await pilot.press("alt+1")
            assert wizard(again).step == "vip"

    async def test_what_befell_the_last_session_is_told(self, make_app: Make, damaged: Path) -> None:
        notices: list[str] = []
        app = make_app(session=Session.load(damaged, notices.append), notices=notices)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.pause()
            assert wizard(app).step == "vip"
            assert "session of the last run is damaged" in told(app)

    async def test_starting_anew_forgets(self, make_app: Make, state: Path) -> None:
        draft = Draft(name="old")
        session = Session(draft=draft, step="director", visited={"vip", "director"})
        session.save()
        app = make_app(session=session)
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("right", "enter")
            await settled(pilot)
            assert wizard(app).step == "vip"
            assert wizard_draft(app).name == "dsr"
            assert typed(app, "name") == "dsr"

    async def test_a_full_disk_is_told_and_stops_nothing(
        self, make_app: Make, lab: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        (tmp_path / "state").write_text("a file where the directory should be")
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await until(pilot, lambda: "could not be saved" in told(app))
            assert wizard(app).step == "director"
            assert told(app).count("could not be saved") == 1, "once, however often it is tried"


class TestQuestions:
    async def test_an_unknown_host_key_is_accepted_by_the_operator_only(self, make_app: Make, lab: World) -> None:
        lab.servers["web1"].key = "unknown"
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "t")
            await until(pilot, lambda: isinstance(app.screen, HostKeyModal) and "Refuse" in seen(app))
            assert FINGERPRINT in seen(app)
            assert isinstance(app.screen.focused, Button)
            assert app.screen.focused.id == "choice-refuse"
            assert "esc Refuse" in seen(app), "Esc is called what its button is"
            await pilot.press("enter")
            await settled(pilot)
            assert "✗ Login" in seen(app)
            await pilot.press("t")
            await until(pilot, lambda: isinstance(app.screen, HostKeyModal) and "Refuse" in seen(app))
            await pilot.press("right", "enter")
            await settled(pilot)
            assert "Debian" in seen(app)

    async def test_unknown_keys_of_several_hosts_are_one_list_and_only_the_ticked_are_accepted(
        self, make_app: Make, lab: World
    ) -> None:
        for server in lab.servers.values():
            server.key = "unknown"
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "T")
            await until(pilot, lambda: "Unknown host keys of 3 servers" in seen(app))
            assert "Unknown host keys of 3 servers" in seen(app)
            assert seen(app).count(FINGERPRINT) == 3
            assert (seen(app).count("[ ]"), seen(app).count("[x]")) == (3, 0)
            await pilot.press("ctrl+n")
            await pilot.pause()
            assert "None is ticked." in seen(app), "nothing is accepted that nobody chose"
            chosen = app.screen.query_one(SelectionList)
            chosen.focus()
            await pilot.press("home", "space")
            await pilot.pause()
            assert "Accept 1 ticked" in seen(app)
            assert (seen(app).count("[ ]"), seen(app).count("[x]")) == (2, 1), "it reads without colour"
            (number,) = chosen.selected
            modal = app.screen
            assert isinstance(modal, HostKeysModal)
            name = modal._questions[number].host
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert {one for one in lab.servers if lab.servers[one].key == "known"} == {name}
            assert seen(app).count("host key unknown") == 2

    async def test_keys_are_compared_with_a_file_and_one_that_differs_cannot_be_accepted(
        self, make_app: Make, lab: World, tmp_path: Path
    ) -> None:
        for server in lab.servers.values():
            server.key = "unknown"
        other = "SHA256:" + "A" * 43
        (tmp_path / "keys").write_text(f"256 {FINGERPRINT} root@web1 (ED25519)\n256 {other} root@web2 (ED25519)\n")
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "T")
            await until(pilot, lambda: "Unknown host keys of 3 servers" in seen(app))
            app.screen.query_one("#keys-file", Input).value = str(tmp_path / "keys")
            await pilot.press("enter")
            await until(pilot, lambda: "has 1 of these keys; they are ticked." in unframed(app))
            assert "1 differ from it" in unframed(app)
            await pilot.press("f2")
            await pilot.pause()
            assert "Accept 2 ticked" in seen(app)
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert {name: lab.servers[name].key for name in ("web1", "web2", "web3")} == {
                "web1": "known", "web2": "unknown", "web3": "known",
            }  # fmt: skip

    @pytest.mark.parametrize("size", [(80, 24), (120, 40)])
    async def test_fifty_keys_fit_in_one_list_with_its_buttons_in_sight(
        self, make_app: Make, size: tuple[int, int]
    ) -> None:
        app = make_app()
        questions = [
            HostKeyQuestion(host=f"web{n}", address=f"10.0.0.{n}", key_type="ssh-ed25519", fingerprint=FINGERPRINT)
            for n in range(1, 51)
        ]
        async with app.run_test(size=size) as pilot:
            asked = [asyncio.create_task(in_thread(partial(app.asker.accept_key, one))) for one in questions]
            await until(pilot, lambda: "Unknown host keys of 50 servers" in seen(app))
            await laid_out(pilot)
            assert all(button.region.bottom < size[1] for button in app.screen.query(Button))
            assert "Accept 0 ticked" in seen(app)
            await pilot.press("f2")
            await pilot.pause()
            await pilot.press("ctrl+n")
            assert await asyncio.gather(*asked) == [True] * 50

    @pytest.mark.parametrize("size", [(80, 24), (120, 40)])
    async def test_what_dns_says_fills_the_list_and_another_key_cannot_be_accepted(
        self, make_app: Make, size: tuple[int, int]
    ) -> None:
        app = make_app()
        answers = [Said() for _ in range(14)]
        questions = [
            HostKeyQuestion(
                host=f"web{n}", address=f"web{n}.example", key_type="ssh-ed25519", fingerprint=FINGERPRINT, in_dns=one
            )
            for n, one in enumerate(answers, 1)
        ]
        async with app.run_test(size=size) as pilot:
            asked = [asyncio.create_task(in_thread(partial(app.asker.accept_key, one))) for one in questions]
            await until(pilot, lambda: "Unknown host keys of 14 servers" in seen(app))
            assert "Accept 0 ticked" in seen(app)
            await pilot.press("f2")
            await until(pilot, lambda: "Accept 14 ticked" in seen(app))
            said: list[DnsSays] = ["signed", "unsigned", "weak", "differs", "none"]
            for one, says in zip(answers, said, strict=False):
                one.says = says
            await until(pilot, lambda: "DNS has another key for 1: maybe impostors." in unframed(app))
            assert "DNS has 1, signed: ticked." in unframed(app)
            assert "2 unsigned or by SHA-1 only: compare." in unframed(app)
            await until(pilot, lambda: "No answer about 9." in unframed(app))
            assert "Accept 13 ticked" in seen(app)
            await pilot.press("f2")
            await pilot.pause()
            assert "Accept 13 ticked" in seen(app), "all but the one that DNS contradicts"
            assert "Refuse all Accept 13 ticked" in unframed(app), "the buttons are in sight"
            await laid_out(pilot)
            assert all(button.region.bottom < size[1] for button in app.screen.query(Button))
            await pilot.press("ctrl+n")
            assert await asyncio.gather(*asked) == [True] * 3 + [False] + [True] * 10

    async def test_a_signed_key_is_ticked_by_itself_and_an_unsigned_one_is_not(self, make_app: Make) -> None:
        app = make_app()
        answers = [Said("signed"), Said("unsigned"), Said("weak")]
        questions = [
            HostKeyQuestion(
                host=f"web{n}", address=f"web{n}.example", key_type="ssh-ed25519", fingerprint=FINGERPRINT, in_dns=one
            )
            for n, one in enumerate(answers, 1)
        ]
        async with app.run_test(size=(80, 24)) as pilot:
            asked = [asyncio.create_task(in_thread(partial(app.asker.accept_key, one))) for one in questions]
            await until(pilot, lambda: "Accept 1 ticked" in seen(app))
            await until(pilot, lambda: "2 unsigned or by SHA-1 only: compare." in unframed(app))
            await pilot.press("ctrl+n")
            assert await asyncio.gather(*asked) == [True, False, False]

    async def test_an_answer_of_dns_that_comes_late_counts_all_the_same(
        self, make_app: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(dns_answers, "LONGEST", 0.0)
        app, answers = make_app(), [Said(), Said()]
        questions = [
            HostKeyQuestion(
                host=f"web{n}", address=f"web{n}.example", key_type="ssh-ed25519", fingerprint=FINGERPRINT, in_dns=one
            )
            for n, one in enumerate(answers, 1)
        ]
        async with app.run_test(size=(80, 24)) as pilot:
            asked = [asyncio.create_task(in_thread(partial(app.asker.accept_key, one))) for one in questions]
            await until(pilot, lambda: "No answer about 2." in unframed(app))
            answers[0].says = "differs"
            await until(pilot, lambda: "maybe impostors. No answer about 1." in unframed(app))
            await pilot.press("f2")
            await until(pilot, lambda: "Accept 1 ticked" in seen(app))
            answers[1].says = "signed"
            await until(pilot, lambda: "DNS has 1, signed: ticked." in unframed(app))
            await pilot.press("ctrl+n")
            assert await asyncio.gather(*asked) == [False, True]

    async def test_a_single_key_has_what_dns_says_beside_it(self, make_app: Make) -> None:
        app = make_app()
        question = HostKeyQuestion(
            host="web1", address="web1.example", key_type="ssh-ed25519", fingerprint=FINGERPRINT, in_dns=Said("differs")
        )
        async with app.run_test(size=(80, 24)) as pilot:
            asked = asyncio.create_task(in_thread(lambda: app.asker.accept_key(question)))
            await until(pilot, lambda: "ANOTHER KEY: this may be an impostor" in seen(app))
            await laid_out(pilot)
            assert all(button.region.bottom < 24 for button in app.screen.query(Button))
            await pilot.press("escape")
            assert await asked is False

    async def test_escape_accepts_none_of_many_keys(self, make_app: Make, lab: World) -> None:
        for server in lab.servers.values():
            server.key = "unknown"
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n", "ctrl+n", "T")
            await until(pilot, lambda: "Unknown host keys of 3 servers" in seen(app))
            await pilot.press("f2", "escape")
            await settled(pilot)
            assert {server.key for server in lab.servers.values()} == {"unknown"}

    async def test_a_secret_is_masked_and_can_serve_all(self, make_app: Make) -> None:
        app = make_app()
        canary = "c4n4ry"
        question = SecretQuestion(kind="sudo", host="web1", user="ops")
        async with app.run_test(size=(80, 24)) as pilot:
            asked = asyncio.create_task(in_thread(lambda: app.asker.secret(question)))
            await until(pilot, lambda: isinstance(app.screen, SecretModal))
            await type_text(pilot, canary)
            assert canary not in seen(app)
            assert canary not in app.export_screenshot()
            await pilot.press("tab", "space", "tab", "enter")
            secret = await asked
            assert secret is not None
            assert secret.reveal() == canary
            same = SecretQuestion(kind="sudo", host="web2", user="ops")
            second = await in_thread(lambda: app.asker.secret(same))
            assert second is not None
            assert second.reveal() == canary
            refused = SecretQuestion(kind="sudo", host="web2", user="ops", refused=True)
            third = asyncio.create_task(in_thread(lambda: app.asker.secret(refused)))
            await until(pilot, lambda: isinstance(app.screen, SecretModal))
            await pilot.pause()
            assert "did not work" in seen(app)
            await pilot.press("escape")
            assert await third is None

    async def test_a_servers_own_question_is_a_quotation_that_nothing_remembered_answers(self, make_app: Make) -> None:
        app = make_app()
        canary = "c0d3-c4n4ry"
        words = "Password of root on db-master:"
        async with app.run_test(size=(80, 24)) as pilot:
            every = SecretQuestion(kind="password", host="web1", user="root")
            asked = asyncio.create_task(in_thread(lambda: app.asker.secret(every)))
            await until(pilot, lambda: isinstance(app.screen, SecretModal))
            await type_text(pilot, "for-all")
            await pilot.press("tab", "space", "tab", "enter")
            assert (await asked) is not None
            own = SecretQuestion(kind="prompt", host="web1", user="root", asked=f"Two-factor login\n{words}")
            for _ in range(2):
                told = asyncio.create_task(in_thread(lambda: app.asker.secret(own)))
                await until(pilot, lambda: isinstance(app.screen, SecretModal))
                await pilot.pause()
                assert "web1 asks:" in seen(app)
                assert "is sent to root@web1 only" in seen(app)
                quoted = app.screen.query_one(".modal-quote")
                assert words in str(quoted.query_one(Static).render())
                assert quoted.styles.border_left[0], "marked at its side"
                assert not app.screen.query("#for-all")
                await type_text(pilot, canary)
                assert canary not in app.export_screenshot()
                await pilot.press("enter")
                secret = await told
                assert secret is not None
                assert secret.reveal() == canary

    async def test_a_certificate_is_shown_with_why_and_how_to_compare(self, make_app: Make) -> None:
        digits = "0123456789ABCDEF" * 4
        question = HostKeyQuestion(
            host="win1",
            address="10.0.0.101 port 5986",
            key_type="certificate for WIN1, valid until 2030-01-01",
            fingerprint=f"SHA256:{digits}",
            untrusted="It is self-signed: no authority vouches for it.",
        )
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            asked = asyncio.create_task(in_thread(lambda: app.asker.accept_key(question)))
            await until(pilot, lambda: isinstance(app.screen, HostKeyModal) and "Refuse" in seen(app))
            await pilot.pause()
            shown = seen(app)
            assert "Untrusted certificate: win1" in shown
            assert "self-signed" in shown
            assert digits in shown, "in one piece, to be compared"
            assert "LocalMachine" in shown
            assert "ssh-keygen" not in shown
            await pilot.press("right", "enter")
            assert await asyncio.wait_for(asked, 5) is True

    async def test_leaving_answers_no(self, make_app: Make) -> None:
        app = make_app()
        question = HostKeyQuestion(host="web1", address="10.0.0.101", key_type="ssh-ed25519", fingerprint=FINGERPRINT)
        async with app.run_test(size=(80, 24)) as pilot:
            asked = asyncio.create_task(in_thread(lambda: app.asker.accept_key(question)))
            await until(pilot, lambda: isinstance(app.screen, HostKeyModal) and "Refuse" in seen(app))
            await pilot.press("ctrl+q")
            assert await asyncio.wait_for(asked, 5) is False
        assert app.asker.accept_key(question) is False

    async def test_a_defect_of_the_engine_is_told_and_the_wizard_lives(
        self, make_app: Make, lab: World, state: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise KeyError("s3" + "cret")

        monkeypatch.setattr(World, "director", broken)
        app = make_app()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("ctrl+n")
            await settled(pilot)
            assert "dsrwizard itself failed" in seen(app)
            assert typed(app, "director.interface") == "eth0", "the interface can be typed then"
            assert "s3cret" not in seen(app)
        assert "s3cret" not in (state / "defects.log").read_text()


class Said:
    """What DNS says, as a test lets it come."""

    def __init__(self, says: DnsSays | None = None) -> None:
        self.says = says

    def said(self, within: float = 0.0) -> DnsSays | None:
        return self.says


def unframed(app: DsrApp) -> str:
    """What is seen as one line, without frames."""
    return " ".join(seen(app).replace("│", " ").split())


@pytest.mark.parametrize(("safe", "said"), [("stay", "esc Stay"), ("go", "esc Leave it")])
async def test_the_key_bar_calls_esc_what_the_button_is_that_it_presses(make_app: Make, safe: str, said: str) -> None:
    app = make_app()
    async with app.run_test(size=(80, 24)) as pilot:
        answers: list[str | None] = []
        choices = (Choice("stay", "Stay", "primary"), Choice("go", "Leave it", "warning"))
        app.push_screen(Question("Quit?", "Something.", choices, safe=safe), answers.append)
        await settled(pilot)
        assert said in seen(app)
        await pilot.press("escape")
        assert answers == [safe]
