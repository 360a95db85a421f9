"""The layers hold, the three packages are ours, and nothing but a backend touches the outside world."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from dsrwizard.core.dialects.advice import Advice
from dsrwizard.core.dialects.linux.advice import LinuxAdvice
from dsrwizard.core.dialects.windows.advice import WindowsAdvice
from tests.parsing import parsed

ROOT = Path(__file__).parents[2]
PACKAGES = ("dsrwizard", "screens", "backends")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def test_the_import_contracts_hold() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_no_other_distribution_owns_our_names(package: str) -> None:
    """`screens` and `backends` are plain words; an editable install reports nothing for them."""
    owners = importlib.metadata.packages_distributions().get(package, [])
    assert set(owners) <= {"dsrwizard"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_says_what_it_contains(path: Path) -> None:
    tree = parsed(path.read_text())
    docstring = ast.get_docstring(tree)
    assert docstring
    assert len(path.read_text().splitlines()) <= 500, "over 500 lines means it is two things"


def test_the_core_is_pure() -> None:
    """Planning reads no clock, no disk, no environment, and throws no dice: facts in, steps out."""
    impure = {"os", "time", "random", "secrets", "threading", "subprocess", "socket", "tempfile", "shutil"}
    found = {}
    for path in (ROOT / "dsrwizard/core").rglob("*.py"):
        if path.parent.name == "scripts":
            continue  # sent to hosts as text; the test below holds that nothing here runs it
        names = set()
        for node in ast.walk(parsed(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.partition(".")[0])
        if names & impure:
            found[str(path.relative_to(ROOT))] = names & impure
    allowed = {"dsrwizard/core/api.py": {"threading"}}  # the type of the stop flag
    assert {path: names for path, names in found.items() if names - allowed.get(path, set())} == {}


SAME_NAME = {
    "Engine": "the protocol in core/api that screens and commands know, and the one class that fulfils it",
}


def _defined(node: ast.stmt) -> list[str]:
    """The class, or the names that are assigned to."""
    if isinstance(node, ast.ClassDef):
        return [node.name]
    return [target.id for target in getattr(node, "targets", ()) if isinstance(target, ast.Name)]


def _names_a_type(name: str) -> bool:
    """A class or an alias of a type, and neither a constant nor a type variable."""
    return name[0].isupper() and not name.isupper()


def test_the_name_of_a_type_means_one_thing() -> None:
    """Whoever reads `Fault` in a traceback or in a search knows which one it is."""
    places: dict[str, list[str]] = {}
    for path in MODULES:
        if path.parent.name == "scripts":
            continue  # programs of their own, on other machines
        for node in parsed(path.read_text()).body:
            for name in filter(_names_a_type, _defined(node)):
                places.setdefault(name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in SAME_NAME} == {}
    assert all(len(places[name]) > 1 for name in SAME_NAME), "an exception that is none any more"


def test_what_is_sent_to_hosts_is_never_run_here() -> None:
    """A folder `scripts` holds other languages and programs for other machines' python3: no package, imported by none,
    and read in one place."""
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("scripts/*")}
    assert {str(folder.relative_to(ROOT)) for folder in folders} >= {
        f"dsrwizard/core/dialects/{dialect}/scripts" for dialect in ("linux", "windows", "client")
    }
    assert not [folder for folder in folders if (folder / "__init__.py").exists()]
    readers = set()
    for path in MODULES:
        for node in ast.walk(parsed(path.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                named = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
                assert not any("scripts" in name.split(".") for name in named), path
                if path.is_relative_to(ROOT / "dsrwizard/core") and "importlib.resources" in named:
                    readers.add(str(path.relative_to(ROOT)))
    assert readers == {"dsrwizard/core/dialects/script_files.py"}


CHOOSES = "systems.py"
"""The module of the diagnosis that finds out what a server runs; `windows/` holds what only Windows' evidence says."""


def _asks_for_the_system(tree: ast.AST) -> set[str]:
    """Code that tells Windows from Linux: names with Windows in them, and the values that give it away."""
    found = set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=text) | ast.Attribute(attr=text) | ast.alias(name=text):
                found |= {text} if "windows" in text.lower() else set()
            case ast.ImportFrom(module=str(text)):
                found |= {text} if "windows" in text else set()
            case ast.Constant(value=str(text)):
                found |= {text} if text in ("winrm", "windows") or text.startswith("windows-20") else set()
    return found


def test_one_module_of_the_diagnosis_asks_what_a_server_runs() -> None:
    """A third system is a platform and an advice of its own, and no question in any rule."""
    folder = ROOT / "dsrwizard/core/diagnosis"
    asking = {
        str(path.relative_to(folder)): sorted(found)
        for path in folder.rglob("*.py")
        if path.parent.name != "windows" and (found := _asks_for_the_system(parsed(path.read_text())))
    }
    assert set(asking) == {CHOOSES}, asking


def test_an_advice_for_each_system_has_the_whole_port() -> None:
    """mypy sees that each fits; this sees that no method of the port is left to one system alone."""
    port, linux, windows = (
        {name for name in vars(made) if not name.startswith("_")} for made in (Advice, LinuxAdvice, WindowsAdvice)
    )
    assert linux == port
    assert windows >= port
