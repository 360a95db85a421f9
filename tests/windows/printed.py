"""Every text of the product that holds a command of Windows, found in its sources: each as a pattern of values."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.parsing import parsed

ROOT = Path(__file__).resolve().parents[2]
COMMAND = re.compile(
    r"\b(?:netsh|appcmd|wlbs|nlb|pnputil|devcon|ipconfig|netstat|setspn) |\bwinrm (?:quickconfig|set|create|get|enum)"
    r"|\barp -d|\breg (?:add|delete)\b|\bipconfig\b"
    r"|\b(?:Get|Set|New|Remove|Enable|Disable|Rename|Restart|Start|Stop|Add|Invoke|Register|Unregister)-"
    r"(?:Net|Dns|Cim|Wmi|WinEvent|Event|Item|PSRemoting|Service|SelfSigned|LocalGroup|ScheduledTask|Type|Nlb|Website|Web)\w*"
)


@dataclass(frozen=True)
class Template:
    """`place` is file and line; `pattern` is what the text looks like once its values are put in."""

    place: str
    text: str
    pattern: re.Pattern[str]


def templates() -> list[Template]:
    """Those of every Python source that prints."""
    found = []
    for top in ("dsrwizard", "backends", "screens"):
        for path in sorted((ROOT / top).rglob("*.py")):
            source = path.read_text("utf-8")
            if COMMAND.search(source):
                found += [_template(path, node) for node in _texts(parsed(source))]
    return [one for one in found if COMMAND.search(one.text)]


def _texts(tree: ast.AST) -> Iterator[ast.expr]:
    """Texts that are no docstrings and no parts of others."""
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.JoinedStr):
            yield node
            pending += [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node
        else:
            pending += list(ast.iter_child_nodes(node))


def _template(path: Path, node: ast.expr) -> Template:
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [str(part.value) if isinstance(part, ast.Constant) else "" for part in parts]
    pattern = "".join(re.escape(text) if text else ".*?" for text in texts)
    place = f"{path.relative_to(ROOT)}:{node.lineno}"
    return Template(place, "…".join(texts), re.compile(pattern, re.DOTALL))
