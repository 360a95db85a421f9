"""Scripts that are sent to Linux and client hosts: what of a file is sent, its holes, and what linters find."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from importlib.resources import files
from io import BytesIO
from pathlib import Path

import pytest

from dsrwizard.core.dialects.client import script as client_script
from dsrwizard.core.dialects.client import shell
from dsrwizard.core.dialects.linux import apply, half_open, observe
from dsrwizard.core.dialects.script_files import body, filled
from dsrwizard.core.model.changes import AddressChange, FileChange, FileState, SysctlChange
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.steps import Step
from tests.unit.planned import shop

ROOT = Path(__file__).parents[2]
SHELLCHECK = Path(sys.executable).with_name("shellcheck")
FILES = sorted(path for package in ("dsrwizard", "backends") for path in (ROOT / package).rglob("scripts/*.*"))
HOLE = re.compile(r"@[A-Z]+@|__[A-Z]+__")
PROGRAMS = [path for path in FILES if path.suffix == ".py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_script_says_at_its_head_what_it_is_and_the_head_is_not_sent(path: Path) -> None:
    package = ".".join(path.parent.parent.relative_to(ROOT).parts)
    head, _, rest = path.read_text("utf-8").partition("\n\n")
    mark = {".cs": "//", ".py": '"""'}.get(path.suffix, "#")
    if path.suffix == ".py":
        assert head.startswith(mark)
        assert head.endswith(mark)
    else:
        assert all(line.startswith(mark) for line in head.splitlines())
    sent = body(package, path.name)
    assert sent.startswith("\n")
    assert head not in sent
    assert [line for line in sent.splitlines() if "shellcheck" not in line] == [
        line for line in ("\n" + rest).splitlines() if "shellcheck" not in line
    ]
    assert "shellcheck" not in sent
    assert sent.isascii()


def test_holes_are_filled_at_once_and_what_fills_one_is_no_hole() -> None:
    holes = {"@ONE@": "@TWO@", "@TWO@": "2", "'@LITERAL@'": "@()", "__N__": "3"}
    text = "a @ONE@ @TWO@ '@LITERAL@' $((1 + __N__)) @ONE@"
    assert filled(text, holes) == "a @TWO@ 2 @() $((1 + 3)) @TWO@"
    with pytest.raises(KeyError, match="@GONE@"):
        filled("nothing", {"@GONE@": ""})


STEP = Step(
    id="all", host="web1", phase="vip", title="All", why="",
    changes=(
        SysctlChange(key="net.ipv4.conf.eth0/5.arp_ignore", old="0", new="1"),
        FileChange(path="/etc/a b", old=None, new=FileState(content="it's\n", mode=0o644)),
        FileChange(path="/etc/c", old=FileState(content="x", mode=0o600), new=FileState(content="y", mode=0o600)),
        FileChange(path="/etc/d", old=FileState(target="/dev/null"), new=FileState(content="y\n", mode=0o600)),
        AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=False, new=True),
    ),
)  # fmt: skip
VIPS = [Vip(address="10.0.0.10", services=(Service(port=80),)), Vip(address="2001:db8::10", services=())]
LOOK = observe.observe_script("n0", ["/etc/a b", "/etc/c"], closely=True, vips=VIPS, clients=["203.0.113.10"])
SENT = {
    "observe": LOOK,
    "apply": apply.apply_script("n0", [STEP, STEP], LOOK),
    "half-open": half_open.script("n0", ["192.0.2.7", "2001:db8::7"], 2),
    "client": client_script(shop(), "n0", {("10.0.0.10", 80): 5}),
}


@pytest.mark.parametrize("name", SENT)
def test_a_whole_script_has_no_hole_left_and_shellcheck_finds_nothing(name: str) -> None:
    """As it is sent: the parts put together, with the lines that are made for a host. SC2046, words that are to be
    parted, is left to the files, which name each place."""
    assert not HOLE.findall(SENT[name])
    ran = subprocess.run(
        [str(SHELLCHECK), "--shell=sh", "--severity=warning", "--exclude=SC2046", "-"],
        input=SENT[name], capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stdout + ran.stderr == ""


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: path.name)
def test_a_program_for_the_client_host_is_read_by_an_old_python_3(path: Path) -> None:
    """Python 3.4 is the oldest whose grammar the parser knows; f-strings came with 3.6."""
    text = path.read_text()
    ast.parse(text, feature_version=(3, 4))
    tokens = list(tokenize.tokenize(BytesIO(text.encode()).readline))
    assert not [token.string for token in tokens if re.match(r"[bru]*f[bru]*['\"]", token.string, re.IGNORECASE)]
    assert not [token for token in tokens if tokenize.tok_name[token.type].startswith("FSTRING")]
    assert ":=" not in text


def test_the_programs_reach_python_as_they_stand_in_their_files() -> None:
    """Through the quotes of the shell."""
    text = client_script(shop(), "n0", {})
    for name, variable in (("connect.py", "many"), ("ping.py", "echo")):
        begin = text.index(f"\n{variable}='") + 1
        ran = subprocess.run(
            ["sh"], input=text[begin:].partition("\n'\n")[0] + f"\n'\nprintf %s \"${variable}\"",
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        file = files("dsrwizard.core.dialects.client").joinpath("scripts", name)
        assert ran.stdout.strip() == file.read_text("utf-8").partition("\n\n")[2].strip()
    assert shell.CONNECT != shell.PING
