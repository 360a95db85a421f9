"""Nobody can forget to make a text harmless: what outlets are given is so by its base, and one writer lets it out."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import threading
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from dsrwizard import out
from dsrwizard.cli import printing
from dsrwizard.core import api, ports
from dsrwizard.core.intake.importers import Imported
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import Failure
from dsrwizard.core.model.foreign import BLOCK
from dsrwizard.core.model.outcome import RunResult
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.shown import Harmless
from dsrwizard.core.model.snapshot import Happening, Snapshot
from dsrwizard.core.model.steps import Plan
from dsrwizard.core.plan.mend import MendResult
from dsrwizard.core.ports import HostKeyQuestion
from dsrwizard.core.tell.incident import incident
from dsrwizard.core.tell.metrics import exposition
from dsrwizard.core.tell.runbook import html
from dsrwizard.core.tell.ticket import ticket
from dsrwizard.session import Session
from tests.fakes.world import World
from tests.hostile.filling import with_deployment
from tests.hostile.texts import HOSTILE, harmless
from tests.parsing import parsed

ROOT = Path(__file__).parents[2]
DEPLOYMENT = World.lab().deployment()
Each = Callable[[str, Callable[[str], None]], None]
OWN_COLOUR = re.compile(r"\x1b\[(3[0-7]|0)m")


RAW = {
    "changes": "what commands and journals need exactly as it is on the host; whoever shows one makes a document of it",
    "deployment": "looked at when a deployment file is read",
    "intake.draft.DraftService": "a datagram as it was typed",
    "model.facts.VirtualService": "the kernel's own", "model.facts.Destination": "the kernel's own",
    "model.facts.Connection": "the kernel's own: addresses as they were parsed, states in its words",
}  # fmt: skip
"""Structs of the core, or whole modules, that may hold a text as it is, and why."""
ROOTS = (api.Engine, api.Watcher, ports.Asker, printing, ticket, incident, exposition, html, Imported, Problem, Session)


def mentioned(thing: Any) -> Iterator[Any]:
    """The types in the signatures of a function, or of all functions of a module or class; a struct itself."""
    if inspect.ismodule(thing) or inspect.isclass(thing):
        if inspect.isclass(thing) and issubclass(thing, msgspec.Struct):
            yield thing
            return
        for made in vars(thing).values():
            if inspect.isfunction(made) and made.__module__ == getattr(thing, "__module__", thing.__name__):
                yield from mentioned(made)
        if dataclasses.is_dataclass(thing):
            yield from typing.get_type_hints(thing).values()
    else:
        yield from typing.get_type_hints(thing, {**vars(inspect.getmodule(thing)), **NAMES}).values()


NAMES = {"Deployment": Deployment, "Plan": Plan, "Engine": api.Engine, "Flag": threading.Event}


def reached() -> set[type[msgspec.Struct]]:
    """Every struct that an outlet is given, and every struct within those."""
    found: set[type[msgspec.Struct]] = set()
    waiting = [hint for root in ROOTS for hint in mentioned(root)]
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, list):
            waiting += hint
        elif get_args(hint):
            waiting += get_args(hint)
        elif inspect.isclass(hint) and issubclass(hint, msgspec.Struct) and hint not in found:
            found.add(hint)
            waiting += [field.type for field in msgspec.structs.fields(hint)]
    return found


def test_what_the_outlets_are_given_is_harmless_by_its_base() -> None:
    """A struct that is new, or a text in one that had none: it is a document, or it stands in `RAW` with the reason."""
    kinds = reached()
    assert {Plan, Report, Snapshot, Happening, Failure, HostKeyQuestion, RunResult, MendResult} <= kinds
    assert len(kinds) > 60, "else something is no longer followed"
    open_ = set()
    for kind in kinds:
        place = f"{kind.__module__.removeprefix('dsrwizard.core.')}.{kind.__name__}"
        texts = [field.name for field in msgspec.structs.fields(kind) if "str" in str(field.type)]
        if (
            texts
            and not issubclass(kind, Harmless)
            and place not in RAW
            and kind.__module__.rpartition(".")[2] not in RAW
        ):
            open_.add(place)
    assert open_ == set()


@pytest.mark.parametrize("name", ["all of it", "long"])
def test_every_text_of_every_document_is_harmless_once_made(name: str) -> None:
    fill = with_deployment(HOSTILE[name], DEPLOYMENT, address="10.0.0.1")
    for kind in (kind for kind in reached() if issubclass(kind, Harmless)):
        try:
            made = fill.of(kind)
        except ValueError:  # refused
            continue
        for field in msgspec.structs.fields(kind):
            value = getattr(made, field.name)
            for text in value if isinstance(value, tuple | list) else [value]:
                if isinstance(text, str):
                    harmless(text, but="\n\t" if field.name in kind.SEVERAL_LINES else "")
                    assert len(text) <= BLOCK


def test_nobody_writes_to_the_terminal_but_the_writer() -> None:
    """`click.echo` and the like are refused by ruff; this is what it cannot see."""
    allowed = {
        "dsrwizard/__main__.py": "its version",
        "dsrwizard/out.py": "the writer",
        "backends/lab/launch.py": "words of its own, and a terminal passed on",
        "dsrwizard/core/dialects/client/scripts/connect.py": "runs on the client host",
        "dsrwizard/core/dialects/client/scripts/ping.py": "runs on the client host",
    }
    found = set()
    for package in ("dsrwizard", "screens", "backends"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(parsed(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                called = ast.unparse(node.func)
                if called == "print" or re.search(
                    r"\b(stdout|stderr|__stdout__|__stderr__)(\.buffer)?\.write(lines)?$", called
                ):
                    found.add(str(path.relative_to(ROOT)))
    assert {path for path in found - set(allowed) if not path.startswith("backends/lab/inside/")} == set()


def test_the_writers_gate_is_what_keeps_it_out(capsys: pytest.CaptureFixture[str]) -> None:
    text = HOSTILE["all of it"]
    out.line(text, out.Word(text, "red"), said=text)
    out.command("$ ", text)
    out.text(text)
    out.document({text: [text, {"x": (text, Secret(text).__str__())}]})
    out.question(text)
    out.complaint(text)
    for part in capsys.readouterr():
        harmless(part, but="\n\t")
