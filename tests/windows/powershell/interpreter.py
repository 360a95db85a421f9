"""Runs a script over the tree of tree-sitter-powershell."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Tree
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import tree_sitter_powershell
from tree_sitter import Language, Node, Parser

from tests.windows.powershell.values import (
    Char,
    Collection,
    Hash,
    NotModelled,
    Object,
    PowerShellError,
    Static,
    Version,
    same,
    text_of,
    truth,
    wildcard,
)

_LANGUAGE = Language(tree_sitter_powershell.language())
CHAIN = frozenset(
    {
        "logical_expression", "bitwise_expression", "comparison_expression", "additive_expression",
        "multiplicative_expression", "format_expression", "range_expression", "argument_expression",
        "logical_argument_expression", "bitwise_argument_expression", "comparison_argument_expression",
        "additive_argument_expression", "multiplicative_argument_expression", "format_argument_expression",
        "range_argument_expression", "unary_expression", "expression_with_unary_operator", "pipeline_chain",
        "while_condition", "array_literal_expression", "pipeline", "left_assignment_expression",
    }
)  # fmt: skip


class Machine(Protocol):
    """What a script sees of its host."""

    powershell: tuple[int, int]

    def cmdlet(self, name: str, parameters: dict[str, Any], positional: list[Any]) -> list[Any]:
        """Runs a cmdlet. Raises PowerShellError, or NotModelled."""
        ...

    def native(self, name: str, arguments: list[str]) -> tuple[int, list[str]]: ...

    def static(self, name: str) -> Static: ...

    def environment(self, name: str) -> str | None: ...

    def add_type(self, source: str) -> None: ...


class _Return(Exception):
    pass


class _Exit(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _Scope:
    def __init__(self, parent: _Scope | None = None) -> None:
        self.parent = parent
        self.names: dict[str, Any] = {}

    def get(self, name: str) -> tuple[bool, Any]:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names:
                return True, scope.names[name]
            scope = scope.parent
        return False, None


class PowerShell:
    """One process. `run` returns its exit status; `out` and `err` get lines of text."""

    def __init__(
        self,
        machine: Machine,
        out: Callable[[str], None],
        err: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._machine = machine
        self._environment = {name.lower(): value for name, value in (environment or {}).items()}
        self._out = out
        self._err = err
        self._functions: dict[str, Node] = {}
        self._inner: dict[int, tuple[Node, Node]] = {}
        self._scope = _Scope()
        self._scope.names["psversiontable"] = Hash({"PSVersion": Version(machine.powershell)})

    def run(self, script: str) -> int:
        """Raises NotModelled where the script leaves what is known."""
        tree = Parser(_LANGUAGE).parse(script.encode())
        bad = _broken(tree.root_node)
        if bad is not None:
            self._err(f"ParserError at line {bad.start_point[0] + 1}: {_text(bad)[:80]}")
            return 1
        try:
            for value in self._block(tree.root_node):
                self._out(text_of(value))
        except _Exit as end:
            return end.status
        except _Return:
            return 0
        except PowerShellError as error:
            self._err(str(error))
            return 1
        return 0

    # -- statements: each gives the list of what it put out

    def _block(self, node: Node) -> list[Any]:
        found: list[Any] = []
        for child in node.named_children:
            if child.type in ("statement_list", "script_block_body", "statement_block", "script_block"):
                found += self._block(child)
            elif child.type in ("comment", "param_block"):
                continue
            else:
                try:
                    found += self._statement(child)
                except _Return as back:
                    found += back.args[0]
                    raise _Return(found) from None
        return found

    def _statement(self, node: Node) -> list[Any]:
        match node.type:
            case "pipeline":
                return self._pipeline(node)
            case "function_statement":
                name = _text(node.child(1)).lower()
                self._functions[name] = _child(node, "script_block")
                return []
            case "if_statement":
                return self._if(node)
            case "foreach_statement":
                return self._foreach(node)
            case "while_statement":
                return self._while(node)
            case "try_statement":
                return self._try(node)
            case "flow_control_statement":
                return self._flow(node)
            case "empty_statement":
                return []
            case _:
                raise NotModelled(f"statement {node.type}: {_text(node)[:60]}")

    def _if(self, node: Node) -> list[Any]:
        if truth(self._value(_child(node, "pipeline"))):
            return self._block(_child(node, "statement_block"))
        for clause in node.named_children:
            if clause.type == "elseif_clauses":
                raise NotModelled("elseif")
            if clause.type == "else_clause":
                return self._block(_child(clause, "statement_block"))
        return []

    def _foreach(self, node: Node) -> list[Any]:
        name = _text(_child(node, "variable"))[1:].lower()
        values = self._pipeline(_child(node, "pipeline"))
        if values == [None]:  # PowerShell 3 and later pass over nothing; 2.0 would run once
            values = [] if self._machine.powershell[0] >= 3 else values
        found: list[Any] = []
        for value in values:
            self._scope.names[name] = value
            found += self._block(_child(node, "statement_block"))
        return found

    def _while(self, node: Node) -> list[Any]:
        found: list[Any] = []
        for _ in range(100_000):
            if not truth(self._value(_child(node, "while_condition"))):
                return found
            found += self._block(_child(node, "statement_block"))
        raise NotModelled("a loop without end")

    def _try(self, node: Node) -> list[Any]:
        try:
            return self._block(_child(node, "statement_block"))
        except PowerShellError as error:
            clauses = next((child for child in node.named_children if child.type == "catch_clauses"), None)
            if clauses is None:
                raise
            record = Object("ErrorRecord", {"Exception": Object("Exception", {"Message": str(error)})})
            kept = self._scope.names.get("_")
            self._scope.names["_"] = record
            try:
                return self._block(_child(_child(clauses, "catch_clause"), "statement_block"))
            finally:
                self._scope.names["_"] = kept

    def _flow(self, node: Node) -> list[Any]:
        word = _text(node.child(0)).lower()
        inner = node.named_children[0] if node.named_children else None
        match word:
            case "return":
                raise _Return(self._pipeline(inner) if inner is not None else [])
            case "throw":
                raise PowerShellError(text_of(self._value(inner)) if inner is not None else "ScriptHalted")
            case "exit":
                raise _Exit(int(self._value(inner)) if inner is not None else 0)
            case _:
                raise NotModelled(word)

    # -- pipelines

    def _pipeline(self, node: Node) -> list[Any]:
        inner = node.named_children[0]
        if inner.type == "assignment_expression":
            self._assign(inner)
            return []
        if inner.type != "pipeline_chain":
            raise NotModelled(f"pipeline of {inner.type}")
        stages = inner.named_children
        if len(stages) == 2 and _text(stages[1]).strip().lower() == "out-null":
            self._stage(stages[0])
            return []
        if len(stages) != 1:
            raise NotModelled(f"pipeline {_text(inner)[:60]}")
        return self._stage(stages[0])

    def _stage(self, node: Node) -> list[Any]:
        if node.type == "command":
            return self._command(node)
        value = self._expression(node)
        if isinstance(value, Collection):
            return value.entries()
        return list(value) if isinstance(value, list) else [] if value is _NOTHING else [value]

    def _value(self, node: Node) -> Any:
        """A pipeline as a value: nothing, the one thing, or the array of them."""
        if node.type == "while_condition":
            node = node.named_children[0]
        if node.type == "pipeline":
            inner = node.named_children[0]
            if inner.type == "pipeline_chain" and len(inner.named_children) == 1:
                only = inner.named_children[0]
                if only.type != "command":
                    value = self._expression(only)
                    return None if value is _NOTHING else value
            found = self._pipeline(node)
            return None if not found else found[0] if len(found) == 1 else found
        value = self._expression(node)
        return None if value is _NOTHING else value

    def _assign(self, node: Node) -> None:
        left, operator, right = node.named_children
        value = self._value(right)
        target = _innermost(left)
        if _text(operator) == "+=":
            value = _add(self._value_of_target(target), value)
        elif _text(operator) != "=":
            raise NotModelled(f"operator {_text(operator)}")
        match target.type:
            case "variable":
                self._scope.names[_text(target)[1:].lower()] = value
            case "element_access":
                holder, index = target.named_children
                container, key = self._expression(holder), self._expression(index)
                if isinstance(container, Hash | list):
                    container[key] = value
                else:
                    raise NotModelled(f"assignment to {_text(target)}")
            case "member_access":
                holder, name = target.named_children
                thing = self._expression(holder)
                if not isinstance(thing, Object):
                    raise NotModelled(f"assignment to {_text(target)}")
                thing.assign(self._member_name(name), value)
            case _:
                raise NotModelled(f"assignment to {target.type}")

    def _value_of_target(self, target: Node) -> Any:
        if target.type == "variable":
            return self._scope.get(_text(target)[1:].lower())[1]
        return self._expression(target)

    # -- commands

    def _command(self, node: Node) -> list[Any]:
        head = node.named_children[0]
        elements = next((child for child in node.named_children if child.type == "command_elements"), None)
        if head.type == "command_invokation_operator":
            name = text_of(self._expression(_innermost(node.named_children[1])))
            _, positional = self._arguments(elements)
            words: list[str] = []
            for argument in positional:
                words += [text_of(one) for one in (argument if isinstance(argument, list) else [argument])]
            status, lines = self._machine.native(name, words)
            self._global("lastexitcode", status)
            return list(lines)
        name = _text(head)
        named, positional = self._arguments(elements)
        if name.lower() in self._functions:
            return self._call(name, named, positional)
        if name.lower() == "add-type":
            self._machine.add_type(text_of(named["typedefinition"]))
            return []
        if name.lower() == "invoke-expression":
            return self._evaluate(text_of(named["command"]))
        if name.lower() == "write-output":
            return [entry for one in positional for entry in (one if isinstance(one, list) else [one])]
        quiet = text_of(named.pop("erroraction", "")).lower() == "silentlycontinue"
        try:
            return self._machine.cmdlet(name, named, positional)
        except PowerShellError:
            if quiet:
                return []
            raise

    def _evaluate(self, script: str) -> list[Any]:
        """Text as a part of the script that runs."""
        root = Parser(_LANGUAGE).parse(script.encode()).root_node
        bad = _broken(root)
        if bad is not None:
            raise PowerShellError(f"ParserError at line {bad.start_point[0] + 1}: {_text(bad)[:80]}")
        return self._block(root)

    def _global(self, name: str, value: Any) -> None:
        scope = self._scope
        while scope.parent is not None:
            scope = scope.parent
        scope.names[name] = value

    def _arguments(self, elements: Node | None) -> tuple[dict[str, Any], list[Any]]:
        named: dict[str, Any] = {}
        positional: list[Any] = []
        pending = ""
        for child in elements.named_children if elements is not None else ():
            if child.type == "command_argument_sep":
                continue
            if child.type == "command_parameter":
                if pending:
                    named[pending] = True
                pending = _text(child)[1:].rstrip(":").lower()
                continue
            value = _text(child) if child.type == "generic_token" else self._expression(child)
            if pending:
                named[pending], pending = value, ""
            else:
                positional.append(value)
        if pending:
            named[pending] = True
        return named, positional

    def _call(self, name: str, named: dict[str, Any], positional: list[Any]) -> list[Any]:
        body = self._functions[name.lower()]
        block = next((child for child in body.named_children if child.type == "param_block"), None)
        parameters: list[str] = []
        if block is not None:
            listed = _child(block, "parameter_list")
            parameters = [_text(_child(one, "variable"))[1:].lower() for one in listed.named_children]
        unknown = set(named) - set(parameters)
        if unknown:
            raise PowerShellError(f"{name}: A parameter cannot be found that matches parameter name '{min(unknown)}'.")
        scope = _Scope(self._scope)
        scope.names |= dict.fromkeys(parameters) | named
        free = [parameter for parameter in parameters if parameter not in named]
        if len(positional) > len(free):
            raise PowerShellError(f"{name}: A positional parameter cannot be found that accepts argument.")
        scope.names |= dict(zip(free, positional, strict=False))
        outer, self._scope = self._scope, scope
        try:
            return self._block(body)
        except _Return as back:
            return list(back.args[0])
        finally:
            self._scope = outer

    # -- expressions

    def _passed(self, node: Node) -> Node:
        """What the levels of precedence that hold one thing alone come down to; remembered, for the sake of loops."""
        found = self._inner.get(node.id)
        if found is None:
            inner = node
            while inner.child_count == 1 and inner.type in CHAIN:
                inner = inner.children[0]
            found = self._inner[node.id] = (node, inner)  # the node, too: while it lives, nobody else has its id
        return found[1]

    def _expression(self, node: Node) -> Any:
        node = self._passed(node)
        if node.type in CHAIN:
            return self._chain(node)
        match node.type:
            case "variable":
                return self._variable(node)
            case "string_literal":
                return self._string(node)
            case "integer_literal":
                return int(_text(node))
            case "parenthesized_expression":
                return self._value(_child(node, "pipeline"))
            case "array_expression":
                return self._block(node)
            case "hash_literal_expression":
                return self._hash(node)
            case "element_access":
                return self._element(node)
            case "member_access":
                return self._member(node)
            case "invokation_expression":
                return self._invoke(node)
            case "cast_expression":
                return self._cast(node)
            case "type_literal":
                return self._machine.static(_text(node)[1:-1])
            case "command":
                found = self._command(node)
                return _NOTHING if not found else found[0] if len(found) == 1 else found
            case "path_command_name":
                return self._expression(node.named_children[0])
            case _:
                raise NotModelled(f"expression {node.type}: {_text(node)[:60]}")

    def _chain(self, node: Node) -> Any:
        """The levels of precedence: most hold one thing and pass it on."""
        children = [child for child in node.children if child.type not in (";",)]
        if node.type == "array_literal_expression" and len(node.named_children) > 1:
            return [self._expression(child) for child in node.named_children]
        if len(children) == 1:
            return self._expression(children[0])
        if len(children) == 2:
            return _unary(_text(children[0]).lower(), self._expression(children[1]))
        if len(children) != 3:
            raise NotModelled(f"expression {_text(node)[:60]}")
        left, operator, right = children
        word = _text(operator).lower()
        if word == "-and":
            return truth(self._expression(left)) and truth(self._expression(right))
        if word == "-or":
            return truth(self._expression(left)) or truth(self._expression(right))
        if word == "-is":
            return _is(self._expression(left), _text(right).strip("[]").lower())
        return _binary(word, self._expression(left), self._expression(right))

    def _variable(self, node: Node) -> Any:
        name = _text(node)[1:].lower()
        if name.startswith("env:"):
            own = self._environment.get(name[4:])
            return self._machine.environment(name[4:]) if own is None else own
        if name in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[name]
        known, value = self._scope.get(name)
        if not known:
            raise NotModelled(f"variable ${name} is read before it is set")
        return value

    def _string(self, node: Node) -> str:
        inner = node.named_children[0]
        text = _text(inner)
        match inner.type:
            case "verbatim_string_characters":
                return text[1:-1].replace("''", "'")
            case "verbatim_here_string_characters":
                return text[2:-2].strip("\r\n")
            case "expandable_string_literal":
                if "$" in text:
                    raise NotModelled(f"expansion in {text}")
                return text[1:-1].replace("`n", "\n").replace('""', '"')
            case _:
                raise NotModelled(f"string {inner.type}")

    def _hash(self, node: Node) -> Hash:
        found = Hash()
        body = next((child for child in node.named_children if child.type == "hash_literal_body"), None)
        for entry in body.named_children if body is not None else ():
            if entry.type != "hash_entry":
                continue
            key, value = entry.named_children[0], entry.named_children[1]
            inner = key.named_children[0]
            name = _text(inner) if inner.type == "simple_name" else text_of(self._expression(inner))
            found[name] = self._value(value)
        return found

    def _element(self, node: Node) -> Any:
        holder, index = (self._expression(child) for child in node.named_children)
        if isinstance(holder, Hash):
            return holder[index]
        if isinstance(holder, list):
            return holder[int(index)] if -len(holder) <= int(index) < len(holder) else None
        if isinstance(holder, str):
            return holder[int(index)]
        if holder is None:
            raise PowerShellError("Cannot index into a null array.")
        return holder if int(index) == 0 else None

    def _member_name(self, node: Node) -> str:
        inner = node.named_children[0]
        return text_of(self._expression(inner)) if inner.type == "variable" else _text(inner)

    def _member(self, node: Node) -> Any:
        holder, name = self._expression(node.named_children[0]), self._member_name(node.named_children[1])
        return member(holder, name)

    def _invoke(self, node: Node) -> Any:
        holder, name = self._expression(node.named_children[0]), self._member_name(node.named_children[1])
        arguments: list[Any] = []
        for child in _child(node, "argument_list").named_children:
            arguments += [self._expression(one) for one in child.named_children]
        if name.lower() == "writeline" and isinstance(holder, Object) and holder.kind == "TextWriter":
            self._out(text_of(arguments[0]))
            return _NOTHING
        found = invoke(holder, name, arguments)
        return _NOTHING if found is None and not isinstance(holder, str) else found

    def _cast(self, node: Node) -> Any:
        kind, value = _text(node.named_children[0])[1:-1].lower(), self._expression(node.named_children[1])
        value = None if value is _NOTHING else value
        match kind:
            case "string":
                return text_of(value)
            case "int" | "int64":
                return _fitting(_integer(value), 31 if kind == "int" else 63, value)
            case "bool":
                return truth(value)
            case "version":
                return Version.of(text_of(value))
            case "xml":
                return _document(text_of(value))
            case _:
                raise NotModelled(f"cast to {kind}")


class _Nothing:
    """No output at all, which is less than $null."""


_NOTHING = _Nothing()


def _text(node: Node | None) -> str:
    return node.text.decode() if node is not None and node.text is not None else ""


def _child(node: Node, kind: str) -> Node:
    for child in node.children:
        if child.type == kind:
            return child
    raise NotModelled(f"{node.type} without {kind}: {_text(node)[:60]}")


def _innermost(node: Node) -> Node:
    while len(node.children) == 1 and node.type not in (
        "variable",
        "string_literal",
        "element_access",
        "member_access",
    ):
        node = node.children[0]
    return node


def _broken(node: Node) -> Node | None:
    if node.type == "ERROR" or node.is_missing:
        return node
    return next((bad for child in node.children if (bad := _broken(child)) is not None), None)


def _integer(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, Char):
        return ord(value)
    try:
        return round(float(value)) if not isinstance(value, Object) else int(value.member("value__"))
    except (TypeError, ValueError):
        raise PowerShellError(f'Cannot convert value "{text_of(value)}" to type "System.Int32".') from None


def _document(text: str) -> Object:
    """`[xml]`, of which scripts ask for elements by name."""
    try:
        root = Tree.fromstring(text)  # noqa: S314 - of the model
    except Tree.ParseError as error:
        raise PowerShellError(f'Cannot convert value to type "System.Xml.XmlDocument". Error: "{error}"') from None

    def select(path: str) -> list[Object]:
        return [Object("XmlElement", {}, {"GetAttribute": one.get}) for one in root.iter(path.removeprefix("//"))]

    return Object("XmlDocument", {}, {"SelectNodes": select})


def _fitting(number: int, bits: int, value: Any) -> int:
    if not -(1 << bits) <= number < 1 << bits:
        raise PowerShellError(
            f'Cannot convert value "{text_of(value)}" to type "System.Int{bits + 1}". '
            f'Error: "Value was either too large or too small for an Int{bits + 1}."'
        )
    return number


def _unary(word: str, value: Any) -> Any:
    match word:
        case "-not" | "!":
            return not truth(value)
        case "-":
            return -_integer(value)
        case _:
            raise NotModelled(f"operator {word}")


def _is(value: Any, kind: str) -> bool:
    kinds: dict[str, Any] = {
        "string": str, "bool": bool, "array": list, "collections.idictionary": Hash, "int": int,
    }  # fmt: skip
    if kind not in kinds:
        raise NotModelled(f"-is [{kind}]")
    if kind == "int" and isinstance(value, bool):
        return False
    return isinstance(value, kinds[kind])


def _add(left: Any, right: Any) -> Any:
    if left is None:
        return right
    if isinstance(left, list):
        return [*left, *(right if isinstance(right, list) else [right])]
    if isinstance(left, str):
        return left + text_of(right)
    if isinstance(left, int) and not isinstance(left, bool):
        return left + _integer(right)
    raise NotModelled(f"+ of {type(left).__name__}")


def _binary(word: str, left: Any, right: Any) -> Any:
    left = None if left is _NOTHING else left
    right = None if right is _NOTHING else right
    match word:
        case "+":
            return _add(left, right)
        case "-" if isinstance(left, datetime):
            return left - right
        case "-":
            return _integer(left) - _integer(right)
        case "*":
            return _integer(left) * _integer(right)
        case "/":
            return _integer(left) / _integer(right)
        case "-band":
            return _integer(left) & _integer(right)
        case "-split" if isinstance(right, list):
            return re.split(text_of(right[0]), text_of(left), maxsplit=_integer(right[1]) - 1, flags=re.I)
        case "-split":
            return re.split(text_of(right), text_of(left), flags=re.I)
        case "-join":
            return text_of(right).join(text_of(one) for one in (left if isinstance(left, list) else [left]))
        case "-replace":
            old, new = right
            return re.sub(text_of(old), text_of(new), text_of(left), flags=re.I)
        case "-contains" | "-notcontains":
            found = any(same(one, right) for one in (left if isinstance(left, list) else [left]))
            return found == (word == "-contains")
        case "-like":
            return bool(wildcard(text_of(right)).match(text_of(left)))
        case "-eq" | "-ne" if isinstance(left, list):
            return [one for one in left if same(one, right) == (word == "-eq")]
        case "-eq" | "-ne":
            return same(left, right) == (word == "-eq")
        case "-lt" | "-gt" | "-le" | "-ge":
            return _order(word, left, right)
        case _:
            raise NotModelled(f"operator {word}")


def _order(word: str, left: Any, right: Any) -> bool:
    if not isinstance(left, Version):
        left, right = _integer(left), _integer(right)
    results: dict[str, bool] = {"-lt": left < right, "-gt": left > right, "-le": left <= right, "-ge": left >= right}
    return results[word]


def member(holder: Any, name: str) -> Any:
    """`$holder.name`."""
    if isinstance(holder, Hash | Object | Static):
        return holder.member(name)
    lower = name.lower()
    if isinstance(holder, list):
        if lower in ("count", "length"):
            return len(holder)
        raise NotModelled(f"member {name} of an array")
    if isinstance(holder, str | bytes) and lower == "length":
        return len(holder)
    if isinstance(holder, Version) and lower in ("major", "minor"):
        return holder[0 if lower == "major" else 1]
    if isinstance(holder, timedelta) and lower == "totalseconds":
        return holder.total_seconds()
    if holder is None:
        return None
    raise NotModelled(f"member {name} of {type(holder).__name__}")


def invoke(holder: Any, name: str, arguments: list[Any]) -> Any:
    """`$holder.name(…)`."""
    if holder is None:
        raise PowerShellError("You cannot call a method on a null-valued expression.")
    if isinstance(holder, Object | Static):
        return holder.call(name, arguments)
    lower = name.lower()
    if isinstance(holder, str):
        match lower:
            case "tolower":
                return holder.lower()
            case "contains":
                return text_of(arguments[0]) in holder
            case "replace":
                return holder.replace(text_of(arguments[0]), text_of(arguments[1]))
            case "lastindexof":
                return holder.rfind(text_of(arguments[0]))
            case "substring":
                start = int(arguments[0])
                return holder[start:] if len(arguments) == 1 else holder[start : start + int(arguments[1])]
            case "tochararray":
                return [Char(letter) for letter in holder]
            case _:
                pass
    if isinstance(holder, int) and lower == "tostring" and arguments == ["x4"]:
        return f"{holder:04x}"
    if isinstance(holder, datetime) and lower == "addhours":
        return holder + timedelta(hours=float(arguments[0]))
    raise NotModelled(f"method {name} of {type(holder).__name__}")
