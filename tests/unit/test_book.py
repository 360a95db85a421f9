"""The book: every page has its place, every command, option, key and cause its line, every citation its source."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import click
import msgspec.inspect as types
import pytest
import yaml

from dsrwizard.cli.front import EXIT_CODES
from dsrwizard.cli.main import commands
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.causes import CAUSES
from dsrwizard.core.model.checks import Check, CheckOutcome
from dsrwizard.core.model.deployment import SCHEDULERS, Deployment
from dsrwizard.core.model.snapshot import State

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = sorted(
    path
    for part in ("dsrwizard", "screens", "backends", "tests")
    for path in (ROOT / part).rglob("*")
    if path.suffix in (".py", ".sh", ".ps1", ".cs")
)
ELSEWHERE = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md", "reporting.md": "SECURITY.md"}
"""Pages of the site that lie at the root of the repository, as docs/hooks.py takes them in."""


def section(page: str, title: str) -> str:
    """What stands below a heading of the second level, up to the next."""
    text = (DOCS / page).read_text()
    assert f"\n## {title}\n" in text, f"{page} has no section {title}"
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def rows(text: str) -> dict[str, list[str]]:
    """First cell → the other cells, for every row of every table but its head."""
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in cells if row[0].startswith("`")}


# --- pages ---------------------------------------------------------------------------------------------------------


def listed(nav: object) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, dict):
        for inner in nav.values():
            yield from listed(inner)
    elif isinstance(nav, list):
        for inner in nav:
            yield from listed(inner)


def test_the_site_lists_every_page_once() -> None:
    named = list(listed(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]))
    pages = {path.name for path in DOCS.glob("*.md")} | {f"causes/{cause}.md" for cause in CAUSES} | set(ELSEWHERE)
    assert sorted(named) == sorted(pages)


def test_the_list_of_causes_has_each_with_its_words_and_its_page() -> None:
    found = re.findall(
        r"^\| \[([\w-]+)\]\(\.\./dsrwizard/pages/([\w-]+)\.md\) \| (.+) \|$", (DOCS / "causes.md").read_text(), re.M
    )
    assert found == [(cause, cause, row.words) for cause, row in CAUSES.items()]


# --- commands ------------------------------------------------------------------------------------------------------


def spellings(options: list[click.Option]) -> set[frozenset[str]]:
    return {frozenset([*option.opts, *option.secondary_opts]) for option in options}


@pytest.mark.parametrize("name", sorted(commands.commands))
def test_a_command_has_its_section_with_each_option_and_no_other(name: str) -> None:
    command = commands.commands[name]
    text = section("commands.md", name)
    usage = re.search(rf"^    dsrwizard {name}\b(.*)$", text, re.MULTILINE)
    assert usage
    options = [each for each in command.params if isinstance(each, click.Option)]
    told = {
        frozenset(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", first)) for first in rows(text) if first.startswith("`-")
    }
    assert told == spellings(options)
    for option in options:
        assert option.opts[0] in usage[1]
        assert not option.metavar or f"{option.opts[0]} {option.metavar}" in usage[1]
    for argument in (each for each in command.params if isinstance(each, click.Argument)):
        words = argument.type.choices if isinstance(argument.type, click.Choice) else ()
        assert (argument.name or "").upper() in usage[1] or (words and all(word in usage[1] for word in words))


def test_the_options_of_no_command_are_there() -> None:
    top = (DOCS / "commands.md").read_text().partition("\n## ")[0]
    options = [each for each in commands.params if isinstance(each, click.Option)]
    assert {frozenset(re.findall(r"(?<![\w-])--?[a-zA-Z][a-z-]*", first)) for first in rows(top)} == spellings(options)


def test_the_words_of_json_are_those_of_the_program() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", section("commands.md", "verify"), re.DOTALL)
    (check,) = json.loads(shown)["checks"]
    assert tuple(check) == Check.__struct_fields__
    told = section("commands.md", "verify")
    assert all(f"`{outcome}`" in told for outcome in get_args(CheckOutcome))
    assert [state.strip("`") for state in rows(section("commands.md", "status")) if state[1] != "-"] == list(
        get_args(State)
    )


def test_the_exit_codes_are_told_as_the_help_tells_them() -> None:
    told = re.findall(r"^\| (\d) \| (.+) \|$", section("commands.md", "Exit codes"), re.MULTILINE)
    assert told == [(str(code), words) for code, words in EXIT_CODES]


# --- the deployment file -------------------------------------------------------------------------------------------


def tables(info: types.Type, title: str = "Top of the file", key: str = "") -> Iterator[tuple[str, types.StructType]]:
    """Every table of the file with the heading of its section."""
    if isinstance(info, types.UnionType):
        info = next(each for each in info.types if not isinstance(each, types.NoneType))
    several = isinstance(info, types.VarTupleType)
    inner = info.item_type if isinstance(info, types.VarTupleType) else info
    if isinstance(inner, types.StructType):
        yield (title if not key else f"`[[{key}]]`" if several else f"`[{key}]`"), inner
        for field in inner.fields:
            yield from tables(field.type, title, f"{key}.{field.encode_name}".strip("."))


TABLES = dict(tables(types.type_info(Deployment)))


def test_the_file_has_the_tables_that_the_book_tells() -> None:
    headings = re.findall(r"^## (.+)$", (DOCS / "deployment-file.md").read_text(), re.MULTILINE)
    assert [each for each in headings if each.startswith("`")] == [each for each in TABLES if each.startswith("`")]


@pytest.mark.parametrize("title", TABLES)
def test_a_table_has_a_line_for_each_key_with_its_default(title: str) -> None:
    told = rows(section("deployment-file.md", title))
    assert list(told) == [f"`{field.encode_name}`" for field in TABLES[title].fields]
    for field in TABLES[title].fields:
        default, meaning = told[f"`{field.encode_name}`"]
        assert (default == "required") is field.required, field.name
        if not field.required and field.default not in (None, ()):
            written = f'"{field.default}"' if isinstance(field.default, str) else str(field.default)
            written = written.lower() if isinstance(field.default, bool) else written  # as TOML writes it
            assert default == f"`{written}`", field.name
        for choice in choices(field.type):
            assert f'"{choice}"' in meaning, f"{field.name} may be {choice}"


def choices(info: types.Type) -> tuple[object, ...]:
    if isinstance(info, types.UnionType):
        return tuple(each for inner in info.types for each in choices(inner))
    return info.values if isinstance(info, types.LiteralType) else ()


def test_every_scheduler_is_told() -> None:
    meaning = rows(section("deployment-file.md", "`[[vips.services]]`"))["`scheduler`"][1]
    assert re.findall(r"`(\w+)`", meaning) == list(SCHEDULERS)


@pytest.mark.parametrize("page", [path.name for path in DOCS.glob("*.md") if "```toml" in path.read_text()])
def test_every_deployment_file_that_is_shown_is_one(page: str) -> None:
    for text in re.findall(r"```toml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL):
        assert loads(text).servers


@pytest.mark.parametrize("page", [path.name for path in DOCS.glob("*.md")])
def test_every_command_line_that_is_shown_is_one(page: str) -> None:
    """Lines that begin with dsrwizard: the command exists and takes these options."""
    text = (DOCS / page).read_text()
    for line in re.findall(r"^(?:    |\$ )(?:sudo |\.venv/bin/)?dsrwizard ([a-z].*)$", text, re.MULTILINE):
        words = line.replace("[", " ").replace("]", " ").partition(" -- ")[0].split()
        command = commands.commands[words[0]]
        known = {spelling for each in command.params for spelling in each.opts} | {"--help"}
        assert {word for word in words[1:] if word.startswith("--")} <= known, line


# --- citations -----------------------------------------------------------------------------------------------------


CITED = re.compile(r"field guide[ ,(]+((?:and |to |sections? \d+|probes? [A-E]\d?|[A-G]\d+|, )[^).;:]*)")


def cited() -> Iterator[tuple[str, str]]:
    """File and mark (`A7`, `probe E`, `section 2`) of every citation of the field guide in the code."""
    for path in SOURCES:
        text = re.sub(r"\s+", " ", path.read_text())
        if path == Path(__file__):
            continue
        for places in CITED.findall(text):
            kind = ""
            for word in re.findall(r"sections?|probes?|[A-G]\d+|[A-E]\b|\d+", places):
                if word.rstrip("s") in ("section", "probe"):
                    kind = word.rstrip("s")
                elif re.fullmatch(r"[A-G]\d+", word):
                    yield str(path.relative_to(ROOT)), word
                elif (kind == "probe") is word.isalpha():
                    yield str(path.relative_to(ROOT)), f"{kind} {word}"


def heading(mark: str) -> str:
    """How the heading in the field guide begins that a mark stands for."""
    kind, _, name = mark.rpartition(" ")
    return {"section": f"## {name}. ", "probe": f"### Probe {name}: "}.get(kind, f"#### {name} ")


def test_the_field_guide_has_what_the_code_cites() -> None:
    guide = (DOCS / "field-guide.md").read_text()
    found = set(cited())
    assert {mark for _, mark in found} >= {"A7", "B5", "C11", "probe E", "section 2"}  # the search finds citations
    assert [(path, mark) for path, mark in sorted(found) if f"\n{heading(mark)}" not in guide] == []


def test_the_code_cites_nothing_that_is_not_in_the_repository() -> None:
    for path in SOURCES:
        if path == Path(__file__):
            continue
        text = re.sub(r"\s+", " ", path.read_text())
        assert not re.search(r"\bdesign(\.md)?,? sections? \d", text), path
        for page in re.findall(r"\bdocs/[\w/.-]+\.md\b", text):
            assert (ROOT / page).is_file(), f"{path.relative_to(ROOT)} cites {page}"


# --- the code that the book speaks of ------------------------------------------------------------------------------


def in_code(page: str) -> list[str]:
    """What stands between backticks outside of fences."""
    return re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", (DOCS / page).read_text(), flags=re.M | re.S))


@pytest.mark.parametrize("page", [path.name for path in DOCS.glob("*.md")])
def test_every_place_in_the_repository_that_is_named_is_there(page: str) -> None:
    """Paths of the core, the engine and the screens may be written from dsrwizard/ on."""
    for word in in_code(page):
        path = word.removesuffix("/")
        ours = re.fullmatch(r"(?:core|engine|cli|dsrwizard|screens|backends|tests|docs)/[\w./]+", path)
        if ours and not re.search(r"\b(NAME|ID)\b", path):
            assert any((root / path).exists() for root in (ROOT, ROOT / "dsrwizard")), f"{page} names {word}"


@pytest.mark.parametrize("page", ["architecture.md", "adding-a-cause.md", "adding-a-step.md", "adding-a-dialect.md"])
def test_every_name_of_the_code_that_is_told_is_one(page: str) -> None:
    known = {word for path in SOURCES if "unit" not in path.parts for word in re.findall(r"\w+", path.read_text())}
    for word in in_code(page):
        if re.fullmatch(r"[A-Za-z]\w*(?:\.[a-z]\w*)?", word) and not (ROOT / word).exists() and word != "NAME":
            assert set(word.split(".")) <= known, f"{page} names {word}"
