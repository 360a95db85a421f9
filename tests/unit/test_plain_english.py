"""The wording of user-facing texts: phrases that no operator would say do not come back."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.parsing import parsed

ROOT = Path(__file__).parents[2]
STILTED = re.compile(
    r"""taken\ over | took\ over | it\ is\ so\b | could\ not\ look\b | who\ balances | to\ mend\ first
    | it\ does\ not\ all | from\ here\ on | from\ then\ on | asked\ about\ no\ more | stand\ in\ between
    | somebody\ else | made\ anew | plans?\ anew | whoever | whether\b.{1,40}\bor\ no\b | nobody\ can\ be
    | what\ is\ owed | was\ owed | is\ finished,\ nothing\ new | leads\ back | goes\ on\ without
    | there\ is\ no\ (host|cause|key)\b | \bis\ no\ (number|time|address|text|name|path|port|adapter|dummy|loopback)\b
    | it\ stays\ as | (is|was)\ not\ looked\ at\b | looked\ after\ by | (put|taken|take)\ back | gone\ already
    | somebody\ (put|since) | by\ somebody | of\ others\b | \bnot\ ours\b | its\ end\ is | known\ end\b | asks\ for\ it
    | keeps\ to\ itself | what\ helps\b | (?-i:\bStrict,)
    | begins?\ anew | was\ let\ go | not\ begun | \bis\ no\ (weight|token|kernel|ordinary|administrator)\b | mend\ that
    | stands\ in\ between | for\ its\ own\.$ | seen\ to\ answer | so\ did\ taking | anybody\ (needs|can)
    | is\ made\ already""",
    re.IGNORECASE | re.VERBOSE,
)
ROOMS = (
    "intake", "tell", "plan", "model", "record", "api.py", "ports.py", "dialects/linux/plan.py",
    "dialects/windows/plan.py",
)  # fmt: skip
HOUSE = ("screens", "backends", "dsrwizard/cli", "dsrwizard/engine", "dsrwizard/files.py", "dsrwizard/session.py")
FILES = sorted(
    path
    for place in (*HOUSE, *(f"dsrwizard/core/{room}" for room in ROOMS))
    for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
)


def texts(source: str) -> list[str]:
    """Every text of a module but its comments and internal docstrings; a command's docstring is its help."""
    tree = parsed(source)
    helps = {
        node.body[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and any("command" in ast.unparse(one) for one in node.decorator_list)
    }
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr) and node not in helps}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings:
            found.append(node.value)
    return [" ".join(text.split()) for text in found]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_texts_are_plain_english(path: Path) -> None:
    assert [text for text in texts(path.read_text()) if STILTED.search(text)] == []
