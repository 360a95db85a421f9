"""The wording of user-facing texts: phrases that no operator would say do not come back."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STILTED = re.compile(
    r"""taken\ over | took\ over | it\ is\ so\b | could\ not\ look\b | who\ balances | to\ mend\ first
    | it\ does\ not\ all | from\ here\ on | from\ then\ on | asked\ about\ no\ more | stand\ in\ between
    | somebody\ else | made\ anew | plans?\ anew | whoever | whether\b.{1,40}\bor\ no\b | nobody\ can\ be
    | what\ is\ owed | was\ owed | is\ finished,\ nothing\ new | leads\ back | goes\ on\ without
    | there\ is\ no\ (host|cause|key)\b | \bis\ no\ (number|time|address|text|name|path)\b""",
    re.IGNORECASE | re.VERBOSE,
)
FILES = sorted(
    path
    for folder in ("screens", "dsrwizard/cli", "dsrwizard/core/intake", "dsrwizard/core/tell")
    for path in (ROOT / folder).rglob("*.py")
)


def texts(source: str) -> list[str]:
    """Every text of a module but its comments and internal docstrings; a command's docstring is its help."""
    tree = ast.parse(source)
    docstrings = {
        node.body[0].value
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and not any("command" in ast.unparse(one) for one in getattr(node, "decorator_list", []))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
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
