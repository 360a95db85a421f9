"""Nothing a host, a file, a neighbour or a library said leaves for a terminal or a file raw, and no line of it passes
for one of dsrwizard's own: every command, as text and as JSON, with a hostile text in every field of what it prints."""

from __future__ import annotations

import inspect
import io
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
import pytest
from markdown_it import MarkdownIt
from prometheus_client.parser import text_string_to_metric_families

from dsrwizard import out
from dsrwizard.cli import changing, printing, wiring
from dsrwizard.cli import forget as forgetting
from dsrwizard.cli import main as cli
from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.dialects.aloha.compare import text_differences
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model import errors
from dsrwizard.core.model.balancer_facts import ApplianceAnswer
from dsrwizard.core.model.checks import Check, Report
from dsrwizard.core.model.deployment import Balancer
from dsrwizard.core.model.errors import DsrError, LookError
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.model.steps import HostPlan, Plan
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.core.record.owed import Entry, RunBegan
from dsrwizard.core.record.reading import FORMAT
from dsrwizard.core.tell.incident import incident
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.core.tell.runbook import Runbook, html, markdown
from dsrwizard.core.tell.runbook import text as runbook_text
from dsrwizard.core.tell.runbook.balancer import balancer_book, balancer_proofs, contradictions
from dsrwizard.core.tell.ticket import ticket
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.timeline import Timeline
from dsrwizard.session import state_dir
from tests.fakes.world import World
from tests.hostile.engine import Hostile
from tests.hostile.filling import Filler, with_deployment
from tests.hostile.texts import FORGED, harmless, unforged

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
DEPLOYMENT = World.lab().deployment()
Each = Callable[[str, Callable[[str], None]], None]
OWN_COLOUR = re.compile(r"\x1b\[(3[0-7]|0)m")


class Shell:
    """Commands over a hostile engine, and what they print."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self.capture = capture
        self.out = ""
        self.file = folder / "shop.toml"
        self.file.write_text(dumps(DEPLOYMENT))
        self.farm = folder / "keepalived.conf"
        self.engine = Hostile(with_deployment("", DEPLOYMENT))
        monkeypatch.setattr(wiring, "build_engine", lambda *_, **__: self.engine)

    def __call__(self, text: str, *arguments: str) -> str:
        """All that was printed, after it was looked at."""
        self.engine.fill = with_deployment(text, DEPLOYMENT)
        if "FARM" in arguments:
            self.farm.write_text(FARM.format(text.replace("\0", "")), errors="replace")  # with NUL it is refused
        code = cli.run([one.replace("FILE", str(self.file)).replace("FARM", str(self.farm)) for one in arguments])
        assert code in (0, 1, 2, 3)
        said, complained = self.capture.readouterr()
        assert "Traceback" not in said + complained
        assert "itself failed" not in complained, complained
        for part in (said, complained):
            harmless(part, but="\n" if "--json" in arguments else "\n\t")
            unforged(part)
        self.out = said
        return said + complained


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Shell(tmp_path, capsys, monkeypatch)


# --- the commands ----------------------------------------------------------------------------------------------------

FARM = """\
virtual_server 10.0.0.10 80 {{
 lb_algo rr
 lb_kind DR
 real_server 10.0.0.101 80 {{ weight 1 }}
}}
virtual_server 10.0.0.11 80 {{
 lb_kind DR
 persistence_engine {0}
 sorry_server "{0}" 80
 real_server 10.0.0.101 80 {{ weight "{0}" }}
 real_server 10.0.0.102 80 {{ lb_kind "{0}"
 }}
 lb_algo "{0}"
}}
include "{0}"
vrrp_instance "{0}" {{ interface "{0}"
 virtual_ipaddress {{
 10.0.0.10 dev "{0}"
}} }}
"{0}" {{
 }}
"""
"""A keepalived.conf with the text in it. What comes before it is a farm, whatever the text breaks."""
PRINTED: dict[str, list[tuple[str, ...]]] = {
    "adopt": [
        ("--from", "FARM", "--interface", "eth0"),
        ("--from", "FARM", "--interface", "eth0", "-o", "FARM.toml", "--force"),
        ("--from", "FARM", "--interface", "eth0", "--json"), (),
    ],
    "plan": [("FILE",), ("FILE", "--json"), ("FILE", "--scripts"), ("FILE", "--scripts", "--json")],
    "apply": [("FILE", "--yes"), ("FILE", "--yes", "--json")],
    "teardown": [("FILE", "--yes"), ("FILE", "--yes", "--json")],
    "verify": [("FILE",), ("FILE", "--json")],
    "mend": [("FILE", "--yes"), ("FILE", "--yes", "--json")],
    "status": [("FILE",), ("FILE", "--json"), ("FILE", "--incident")],
    "events": [("FILE",), ("FILE", "--json")],
    "watch": [("FILE", "--json")],
    "forget": [("FILE", "web1", "--yes"), ("FILE", "web1", "--yes", "--json")],
    "runbook": [
        ("FILE", "--host", "web1"), ("FILE", "--host", "web1", "--format", "md"),
        ("FILE", "--host", "web1", "--report", "FARM"),
    ],
}  # fmt: skip
SHOWN_ELSEWHERE = {
    "metrics": "test_the_page_for_prometheus",
    "balancer": "test_a_transcript_says_nothing_raw",
    "explain": "prints pages of dsrwizard's own",
    "answer": "reads what another director asks: tests/unit/test_spread_directors.py",
    "restore": "reads a file of root's own: tests/unit/test_restoring.py",
    "prepare": "prints blocks of dsrwizard's own",
    "rehearse": "for Windows servers alone: tests/windows/test_rehearsal.py",
    "guard": "prints addresses and names of the deployment file, and the words of dsrwizard's own probes",
    "lab": "passes a terminal on; its own words are errors",
}


def test_no_command_is_left_out() -> None:
    assert set(cli.commands.commands) == {*PRINTED, *SHOWN_ELSEWHERE}


@pytest.mark.parametrize("command", PRINTED)
def test_a_command_prints_nothing_raw(shell: Shell, command: str, each: Each) -> None:
    def case(text: str) -> None:
        for arguments in PRINTED[command]:
            said = shell(text, command, *arguments)
            if "--json" in arguments:
                lines = shell.out.splitlines()
                found = [json.loads(line) for line in lines] if command == "watch" else json.loads(shell.out)
                assert found
            assert len(said) < 30_000_000

    each(f"dsrwizard {command}", case)


def test_every_function_that_prints_is_called_by_a_command() -> None:
    """And so is printed from above: one that is new belongs to a command there."""
    told = {
        name
        for name, made in vars(printing).items()
        if inspect.isfunction(made) and made.__module__ == printing.__name__
    }
    sources = "".join(inspect.getsource(one) for one in (cli, changing, forgetting, printing))
    assert {
        name for name in told if not re.search(rf"(printing\.|\b){name}\(", sources.replace(f"def {name}(", ""))
    } == set()


def test_in_colour_only_the_colour_is_an_escape(shell: Shell, each: Each, monkeypatch: pytest.MonkeyPatch) -> None:
    def case(text: str) -> None:
        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        monkeypatch.delenv("NO_COLOR", raising=False)
        for command in ("verify", "status", "apply", "mend"):
            terminal = Terminal()
            monkeypatch.setattr(sys, "stdout", terminal)
            shell.engine.fill = with_deployment(text, DEPLOYMENT)
            cli.run([command, str(shell.file), *(["--yes"] if command in ("apply", "mend") else [])])
            said = terminal.getvalue()
            assert OWN_COLOUR.search(said), command
            harmless(OWN_COLOUR.sub("", said), but="\n\t")
            unforged(OWN_COLOUR.sub("", said))

    each("commands in colour", case)


# --- errors ----------------------------------------------------------------------------------------------------------

ERRORS = [made for made in vars(errors).values() if inspect.isclass(made) and issubclass(made, DsrError)]


def test_an_error_says_nothing_raw(shell: Shell, each: Each) -> None:
    def case(text: str) -> None:
        for kind in ERRORS:
            shell.engine.raises = kind(text, text, text)
            shell(text, "plan", "FILE")
            harmless(str(shell.engine.raises), but="")
            harmless(str(kind(text).args), but="")

    each("errors", case)


def test_a_crash_says_nothing_raw(shell: Shell, each: Each, capsys: pytest.CaptureFixture[str]) -> None:
    def case(text: str) -> None:
        shell.engine.raises = RuntimeError(text)
        assert cli.run(["plan", str(shell.file)]) == 3
        harmless("".join(capsys.readouterr()))
        harmless((state_dir() / "crash.txt").read_text(), but="\n\t")

    each("crashes", case)


def test_what_was_typed_is_told_back_harmless(shell: Shell, each: Each) -> None:
    def case(text: str) -> None:
        text = text.replace("\0", "").replace("\ud800", "")  # no argument can hold these
        for arguments in (
            ("plan", text), ("mend", "FILE", "--host", text), ("mend", "FILE", "--cause", text), (text,),
            ("events", "FILE", "--since", text), ("events", "FILE", "--host", text), (f"--{text}",),
            ("runbook", "FILE", "--host", text), ("runbook", "FILE", "--format", text),
            ("runbook", "FILE", "--system", text), ("explain", text), ("runbook", "FILE", "--balancer", text),
            ("runbook", "FILE", "--host", "web1", "--report", text), ("runbook", "FILE", "--compare", text),
            ("metrics", "FILE", "--listen", text), ("lab", "fault", text), ("balancer", text, "FILE"),
            ("balancer", "record", text), ("balancer", "look", text), ("adopt", "--netscaler", text),
            ("adopt", "--loadbalancer-org", text),
        ):  # fmt: skip
            shell("", *arguments)

    each("arguments told back", case)


# --- files and pages -------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """The tags of a page, in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[Any] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, attrs))

    def handle_comment(self, data: str) -> None:
        self.found.append("comment")


def structure(page: str) -> list[Any]:
    """What a reader of Markdown sees besides words: headings, lists, links, HTML, fences, in order."""
    reader = MarkdownIt("gfm-like")
    found: list[Any] = []
    for token in reader.parse(page):
        found.append((token.type, token.tag, token.level))
        found += [one.type for one in token.children or () if one.type not in ("text", "text_special", "code_inline")]
    return found


def test_a_ticket_takes_no_markup_from_what_hosts_say(each: Each) -> None:
    def case(text: str) -> None:
        def made(text: str) -> str:
            fill = with_deployment(text, DEPLOYMENT)
            plan = fill.of(Plan, hosts=tuple(fill.of(HostPlan, host=host) for host in ("director", "web1", text)))
            return ticket(DEPLOYMENT, plan, "today")

        page = made(text)
        harmless(page, but="\n\t")
        assert structure(page) == structure(made("plain"))

    each("tickets", case)


def test_a_runbook_takes_no_markup_from_names(each: Each) -> None:
    def case(text: str) -> None:
        def made(text: str) -> Runbook:
            return with_deployment(text, DEPLOYMENT).of(Runbook)

        book, plain = made(text), made("plain")
        for write in (runbook_text, markdown, html):
            harmless(write(book))
        assert structure(markdown(book)) == structure(markdown(plain))
        assert Tags(html(book)).found == Tags(html(plain)).found

    each("runbooks", case)


def test_a_load_balancers_runbook_takes_no_markup_from_reports_and_texts_of_the_box(each: Each) -> None:
    external = msgspec.structs.replace(
        DEPLOYMENT, director=msgspec.structs.replace(DEPLOYMENT.director, engine="external")
    )
    vip = external.vips[0].address
    found = {"arp.audit": "director", "vip.probe": "web1", "server.port": "web1", "client.bypass": "client"}

    def case(text: str) -> None:
        def made(text: str) -> list[str]:
            checks = tuple(
                Check(
                    check=check, host=host, vip=vip, service="tcp/80", cause=text, message=text, evidence=text,
                    fix=text, outcome="pass" if check == "server.port" else "fail",
                )
                for check, host in found.items()
            )  # fmt: skip
            report = Report(deployment=external.name, verdict="fail", checks=checks)
            tab = f"director a {vip}:80 TCP\n mode gateway\n {text}\n server {text} 10.0.0.101 {text} check\n{text}"
            book = balancer_book(external, "aloha")
            said = contradictions(external, report, text)
            assert said
            book = msgspec.structs.replace(book, outside=(*said, *book.outside))
            differences = text_differences(external, tab)
            proofs = balancer_proofs(book, external, report, differences)
            assert {proof.outcome for proof in proofs} == {"failed", "open"}
            return [write(book, proofs) for write in (runbook_text, markdown, html)]

        pages, plain = made(text), made("plain")
        for page in pages:
            harmless(page)
        assert structure(pages[1]) == structure(plain[1])
        assert Tags(pages[2]).found == Tags(plain[2]).found

    each("runbooks of load balancers", case)


def test_a_transcript_says_nothing_raw(
    shell: Shell, each: Each, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    driven = msgspec.structs.replace(
        DEPLOYMENT, director=msgspec.structs.replace(DEPLOYMENT.director, engine="netscaler"),
        balancer=Balancer(addresses=("10.1.0.5",), user="nsroot"),
    )  # fmt: skip
    shell.file.write_text(dumps(driven))

    def case(text: str) -> None:
        word = text.encode("utf-8", "backslashreplace").decode()
        row = {"name": text, text: text, "message": text, "version": text, "state": f"UP {text}"}

        def read(deployment: Any, asker: Any, heard: Callable[[ApplianceAnswer], None]) -> None:
            del deployment, asker
            for path, body in ((f"/config/{word}", json.dumps({"service": [row]})), ("/config/service", word)):
                heard(ApplianceAnswer(method="GET", base="/api", path=path, sent=None, status=200, body=body.encode()))
            raise LookError(text, text, text)

        monkeypatch.setattr(wiring, "read_balancer", read)
        shell("", "balancer", "record", "FILE", "--output", str(tmp_path / "answers.json"))
        harmless((tmp_path / "answers.json").read_text(), but="\n")
        shell("", "balancer", "record", "FILE")
        harmless(shell.out, but="\n")
        assert len(json.loads(shell.out)["answers"]) == 2

    each("transcripts", case)


def test_an_incident_says_nothing_raw(each: Each) -> None:
    def case(text: str) -> None:
        fill = with_deployment(text, DEPLOYMENT)
        page = incident(
            fill.of(Snapshot), fill.of(Report, verdict="fail"), events=fill.each(Happening), versions=(text, text)
        )
        harmless(page)
        unforged(page)

    each("incidents", case)


def test_the_page_for_prometheus(each: Each) -> None:
    def case(text: str) -> None:
        def made(text: str) -> str:
            return exposition(with_deployment(text, DEPLOYMENT, at=1.5, problem="", read_problem="").of(Snapshot), 2.0)

        page, plain = made(text), made("plain")
        harmless(page)
        unforged(page)
        assert len(page.splitlines()) == len(plain.splitlines())
        assert [one.name for one in text_string_to_metric_families(page)] == [
            one.name for one in text_string_to_metric_families(plain)
        ]

    each("metrics", case)


def test_journal_and_timeline_keep_nothing_raw_and_give_nothing_raw_back(each: Each, tmp_path: Path) -> None:
    def case(text: str) -> None:
        text = "".join(sign for sign in text if not "\ud800" <= sign <= "\udfff")  # a decoder has replaced them
        fill = with_deployment(text, DEPLOYMENT)
        folder = tmp_path / str(len([*tmp_path.iterdir()]))
        journal = Journals(folder).of("shop")
        filled = [entry for kind in get_args(Entry) for entry in fill.each(kind)]
        newer = Journals(folder).of("newer")
        newer.append(*(msgspec.structs.replace(one, format=FORMAT + 1) for one in filled if isinstance(one, RunBegan)))
        with pytest.raises(LookError) as refused:
            newer.entries()
        harmless("\n".join(refused.value.lines()))
        entries = [msgspec.structs.replace(one, format=FORMAT) if isinstance(one, RunBegan) else one for one in filled]
        journal.append(*entries)
        assert journal.entries() == entries, "what is owed is known to the letter"
        timeline = Timeline(folder, "shop events")
        for happening in fill.each(Happening):
            timeline.append(happening)
        for path in (journal.path, timeline.path):
            harmless(path.read_text())
        with timeline.path.open("ab") as file:  # somebody else's
            file.write(msgspec.json.encode({"at": 1.0, "host": text, "message": text}) + b"\n")
        assert timeline.read()
        for happening in timeline.read():
            harmless(happening.message + happening.host + happening.cause, but="")

    each("journal and timeline", case)


# --- questions -------------------------------------------------------------------------------------------------------


class Terminal(TerminalAsker):
    """Keeps what would be written to the terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.shown = ""
        monkeypatch.setattr(click, "echo", self._echo)

    def _line(self, text: str, *, echo: bool) -> str:
        out.question(text)
        return ""

    def _echo(self, text: str = "", nl: bool = True, err: bool = False) -> None:
        self.shown += text + ("\n" if nl else "")


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_question_says_nothing_raw_and_nothing_stands_for_the_fingerprint(
    each: Each, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def case(text: str) -> None:
        import pyte

        monkeypatch.setenv("COLUMNS", str(columns))
        fill = Filler(f"{text}{' ' * 30}    SHA256:GOOD{FORGED}", {"fingerprint": "SHA256:TRUE"})
        for question in (*fill.each(HostKeyQuestion), fill.of(HostKeyQuestion, untrusted="")):
            terminal = Terminal(monkeypatch)
            assert not terminal.accept_key(question)
            harmless(terminal.shown)
            unforged(terminal.shown, ("  | ",))
            screen = pyte.Screen(columns, 100)
            pyte.Stream(screen).feed(terminal.shown.replace("\n", "\r\n"))
            rows = [row.strip() for row in screen.display]
            assert [row for row in rows if row.startswith("SHA256:")] == ["SHA256:TRUE"]
            assert not [row for row in rows if FORGED in row and "|" not in row]
        for secret in fill.each(SecretQuestion):
            terminal = Terminal(monkeypatch)
            assert terminal.secret(secret) is None
            harmless(terminal.shown)
            unforged(terminal.shown)

    each(f"questions in {columns} columns", case)
