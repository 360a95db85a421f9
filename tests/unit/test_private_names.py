"""Which private names of other packages the product leans on: all are listed here, exist, and their package is held.

A package may change a private name in any release. So each use is a decision: it is written down here, and
pyproject.toml lets that package change no further than was tried.
"""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import paramiko
import pytest
import winrm.transport
from packaging.requirements import Requirement
from pyroute2.netlink.generic import AsyncGenericNetlinkSocket, GenericNetlinkSocket
from textual.app import App
from textual.command import CommandPalette
from textual.dom import DOMNode
from textual.drivers.linux_driver import LinuxDriver
from textual.widgets._toggle_button import ToggleButton

from tests.parsing import parsed

ROOT = Path(__file__).parents[2]
PACKAGES = ("dsrwizard", "screens", "backends")
MODULES = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path.parent.name != "scripts"
)
"""Without the scripts that are sent to hosts: they run where they are imported."""

USED: dict[type, set[str]] = {
    GenericNetlinkSocket: {"_run_with_cleanup"},
    AsyncGenericNetlinkSocket: {"_do_request"},
    App: {"_close_messages_no_wait", "_driver", "_exception", "_exit_renderables"},
    paramiko.Transport: {"_kex_info"},
}
REPLACED: dict[type, set[str]] = {
    App: {"_fatal_error"},
    DOMNode: {"_inherit_bindings"},
    CommandPalette: {"_action_command_list"},
    ToggleButton: {"_button"},
    LinuxDriver: {"_file"},
    winrm.transport.Transport: {"_get_message_response_text"},
    paramiko.Transport: {"_kex_info"},
}
LIST_IT = "list it above and hold its package in pyproject.toml"
PLAIN = {"_exit"}  # of os, documented there
DISTRIBUTIONS = {"winrm": "pywinrm", "pyroute2": "pyroute2", "textual": "textual", "paramiko": "paramiko"}


def private(name: object) -> bool:
    return isinstance(name, str) and name.startswith("_") and not name.startswith("__")


def attributes(tree: ast.AST, context: type[ast.expr_context]) -> set[str]:
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.ctx, context)}


def by_text(tree: ast.AST) -> set[str]:
    """Names reached by getattr and its like."""
    reached = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("attr"):
            reached |= {argument.value for argument in node.args if isinstance(argument, ast.Constant)}
    return {name for name in reached if isinstance(name, str)}


@functools.cache
def defined(tree: ast.AST) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    names = {node.name for node in ast.walk(tree) if isinstance(node, kinds)}
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    return names | attributes(tree, ast.Store)


@functools.cache
def module_classes(path: str) -> dict[str, ast.ClassDef]:
    tree = parsed(Path(path).read_text())
    return {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}


def source(kind: type) -> ast.AST | None:
    """The statement that makes a class; None where it is built in."""
    try:
        path = inspect.getsourcefile(kind)
    except TypeError:
        return None
    return module_classes(path).get(kind.__name__) if path else None


def classes() -> Iterator[type]:
    for path in MODULES:
        if "__main__" in path.name or "inside" in path.parts:
            continue
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for kind in vars(importlib.import_module(name)).values():
            if inspect.isclass(kind) and kind.__module__ == name:
                yield kind


def members(kind: type) -> set[str]:
    """What a class of ours itself defines: methods, class attributes, attributes set by its methods."""
    tree = source(kind)
    return defined(tree) if tree is not None else set()


@functools.cache
def assigned(kind: type) -> set[str]:
    """The attributes that a class's methods set."""
    tree = source(kind)
    return attributes(tree, ast.Store) if tree is not None else set()


def test_every_private_name_of_another_package_is_listed() -> None:
    trees = [parsed(path.read_text()) for path in MODULES]
    ours = set().union(*map(defined, trees))
    read = set().union(*(attributes(tree, ast.Load) | by_text(tree) for tree in trees))
    named = set().union(*USED.values())
    unlisted = {name for name in read - ours if private(name)} - PLAIN - named
    assert unlisted == set(), f"find a public way, or {LIST_IT}"
    assert named <= read, "listed, but nobody uses it any more"


def test_no_module_of_ours_imports_a_private_one() -> None:
    found = set()
    for path in MODULES:
        for node in ast.walk(parsed(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.partition(".")[0] not in PACKAGES:
                words = [*node.module.split("."), *(alias.name for alias in node.names)]
                found |= {f"{path.name}: {node.module}" for word in words if private(word)}
    assert {name for name in found if "_typeshed" not in name} == set(), "types alone may be"


def test_every_private_name_that_a_class_of_ours_replaces_is_listed() -> None:
    """A name of ours that happens to be one of the base class's breaks it in ways that no type checker sees."""
    replaced: dict[type, set[str]] = {}
    for kind in classes():
        bases = [base for base in kind.__mro__[1:-1] if base.__module__.partition(".")[0] not in PACKAGES]
        for name in filter(private, members(kind)):
            if owners := [base for base in bases if name in vars(base) or name in assigned(base)]:
                replaced.setdefault(owners[-1], set()).add(name)
    assert replaced == REPLACED, f"choose another name, or {LIST_IT}"


@pytest.mark.parametrize(
    ("kind", "name"),
    sorted(((kind, name) for table in (USED, REPLACED) for kind in table for name in table[kind]), key=str),
)
def test_it_is_there(kind: type, name: str) -> None:
    assert hasattr(kind, name) or any(name in assigned(base) for base in kind.__mro__), (
        f"{kind.__module__}.{kind.__name__} has no {name} any more: see what took its place before locking this version"
    )


def test_os_documents_the_plain_ones() -> None:
    assert all(hasattr(os, name) for name in PLAIN)


@pytest.mark.parametrize("module", sorted({kind.__module__.partition(".")[0] for kind in [*USED, *REPLACED]}))
def test_its_package_is_held_back(module: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (asked,) = (wanted for wanted in map(Requirement, project["dependencies"]) if wanted.name == DISTRIBUTIONS[module])
    operators = {each.operator for each in asked.specifier}
    assert operators & {"==", "<", "~="}, f"{asked}: a newer one may lack what is used here"
