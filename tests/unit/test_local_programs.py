"""Where the product starts a program on the operator's own machine: few places, and fewer shells."""

from __future__ import annotations

import ast

from tests.parsing import parsed
from tests.unit.test_architecture import MODULES, ROOT

STARTS = {
    "backends/director/port.py": "modprobe -n",
    "backends/director/changes.py": "modprobe, systemctl, and the script that has keepalived check and read its files",
    "backends/director/keepalived.py": "the script that looks at keepalived",
    "backends/director/bird.py": "bird -p and birdc",
    "backends/lab/confine.py": "the lab's kernel, confined",
    "backends/lab/guest.py": "the lab's kernel",
    "backends/lab/inside/agent.py": "what `dsrwizard lab -- COMMAND` names, in the lab",
    "backends/director/look.py": "the script that lists the packet filter",
    "backends/lab/inside/init.py": "sshd and the lab's own commands, in the lab",
    "backends/lab/inside/mending.py": "the lab's own scripts, in the lab",
    "backends/lab/recipe.py": "ssh-keygen",
    "backends/ssh/reach.py": "ProxyCommand",
}
RUNNERS = {
    "subprocess": None,
    "os": ("system", "popen", "exec", "spawn", "posix_spawn"),
    "pty": ("spawn",),
    "webbrowser": None,
}


def starts(tree: ast.AST) -> list[ast.Call]:
    """Calls that start a program."""
    found = []
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
        if owner not in RUNNERS:
            continue
        names = RUNNERS[owner]
        if names is None or node.func.attr.startswith(names):
            found.append(node)
    return found


def test_programs_are_started_in_known_places() -> None:
    found = {str(path.relative_to(ROOT)) for path in MODULES if starts(parsed(path.read_text()))}
    assert found == set(STARTS)


def test_python_puts_no_shell_in_between() -> None:
    for path in MODULES:
        for call in starts(parsed(path.read_text())):
            assert not [word for word in call.keywords if word.arg == "shell"], path
            assert isinstance(call.func, ast.Attribute)
            assert not call.func.attr.startswith(("system", "popen")), path


def test_one_place_hands_text_to_a_shell() -> None:
    """A module that starts programs names `sh` nowhere but where ProxyCommand is run, where the director's packet
    filter is listed, where keepalived is looked at and told to read its files, and in the lab's guest."""
    named = set()
    for place in STARTS:
        for node in ast.walk(parsed((ROOT / place).read_text())):
            if isinstance(node, ast.Constant) and node.value in ("sh", "/bin/sh"):
                named.add(place)
    director = {f"backends/director/{name}.py" for name in ("look", "keepalived", "changes")}
    assert named == {"backends/ssh/reach.py", "backends/lab/inside/mending.py"} | director
