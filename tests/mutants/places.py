"""The places of a Python file that can be changed, and the file with one of them changed. Pure."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass

from tests.parsing import parsed

_COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
_COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One change: bytes `start` to `end` of the file become `new`. `line` counts from 1."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str


def places(path: str, source: str) -> list[Place]:
    """Every change that can be made to this file, in the order of the file."""
    tree = parsed(source)
    lines = [0]
    data = source.encode()
    for line in data.splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    found = []
    for node in _code(tree):
        for new in _changed(node):
            start = lines[node.lineno - 1] + node.col_offset
            end = lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            text = ast.unparse(new)
            if isinstance(new, ast.expr):
                text = f"({text})"
            found.append(Place(path, node.lineno, start, end, data[start:end].decode(), text))
    return sorted(found, key=lambda place: (place.start, place.new))


def mutated(source: str, place: Place) -> str:
    """The file with this change."""
    data = source.encode()
    return (data[: place.start] + place.new.encode() + data[place.end :]).decode()


def _code(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Statements and expressions that run: no annotations, imports, decorators or parts of an f-string."""
    if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom):
        return
    if isinstance(node, ast.expr | ast.stmt):
        yield node
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _code(child)


def _changed(node: ast.expr | ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.Compare(ops=[operator]) if type(operator) in _COMPARED:
            yield _with(node, ops=[_COMPARED[type(operator)]()])
        case ast.BoolOp(op=ast.And()):
            yield _with(node, op=ast.Or())
        case ast.BoolOp(op=ast.Or()):
            yield _with(node, op=ast.And())
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(op=operator, right=right) if type(operator) in _COMPUTED and not _type(right):
            yield _with(node, op=_COMPUTED[type(operator)]())
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
        case ast.IfExp(body=body, orelse=orelse):
            yield _with(node, body=orelse, orelse=body)
        case ast.Return(value=value) if value is not None and not _nothing(value):
            yield ast.Return(ast.Constant(None))
        case ast.Expr(value=ast.Call() | ast.Yield() | ast.YieldFrom()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()


def _with(node: ast.AST, **fields: object) -> ast.AST:
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def _nothing(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _type(value: ast.expr) -> bool:
    """Whether `x | value` is a type, not a number."""
    return isinstance(value, ast.Name | ast.Attribute | ast.Subscript) or _nothing(value)
