"""What is read from a file or a list has bounds: nothing takes long, fills the memory or waits, and it is said why."""

from __future__ import annotations

import os
import resource
import threading
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard import session
from dsrwizard.core.intake import importers
from dsrwizard.core.intake.deployment_file import MAX_BYTES, FileRefused, load, loads
from dsrwizard.core.intake.importers import ListKind, ansible, ssh_config
from dsrwizard.core.intake.validate import MOST_PAIRS, MOST_SERVERS, MOST_VIPS
from dsrwizard.core.model.errors import DsrError
from screens.wizard.import_servers import _read

HEAD = 'name = "shop"\ndirector = { interface = "eth0" }\n'
VIP = '[[vips]]\naddress = "10.0.0.10"\nservices = [{ port = 80 }]\n'
SERVER = '[[servers]]\nname = "web1"\naddress = "10.0.0.101"\n'
PATIENCE = 20.0
"""Seconds on a loaded machine for what takes a tenth of one; quadratic it is minutes."""


def filled(line: Callable[[int], str], characters: int) -> str:
    lines: list[str] = []
    size = 0
    while size < characters:
        lines.append(line(len(lines)))
        size += len(lines[-1])
    return "".join(lines)


def refused(text: str) -> FileRefused:
    began = time.monotonic()
    with pytest.raises(FileRefused) as caught:
        loads(text, "shop.toml")
    assert time.monotonic() - began < PATIENCE
    return caught.value


# -- deployment files


@pytest.mark.parametrize(
    "key",
    [
        "a" + ".a" * 40_000, '"a"' + '."a"' * 40_000, "'a'" + " . 'a'" * 40_000, "a" + "\t.\ta" * 40_000,
        '"a.b"' + ".a" * 40_000,
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["{} = 1", "[{}]", "[[{}]]", "x = {{ {} = 1 }}", "x = [1, {{ y = 2, {} = 1 }}]"])
def test_a_key_of_many_parts_is_refused_before_it_is_read(key: str, form: str) -> None:
    tracemalloc.start()
    error = refused(f'{HEAD}# a comment\nmore = """\n[a.b]\n"""\n{form.format(key)}\n')
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100_000_000
    assert error.what.startswith("shop.toml, line 7: A key has more than 8 parts")
    assert "[table]" in error.next


@pytest.mark.parametrize("value", ["[" * 50_000, "{ a = " * 50_000, "[" * 50_000 + "]" * 50_000, "[{ a = " * 20_000])
def test_brackets_without_end_are_refused_with_their_line(value: str) -> None:
    error = refused(f"{HEAD}\nx = {value}")
    assert error.what == "shop.toml, line 4: Brackets are nested too deeply for a deployment file."
    assert "[[vips.services]]" in error.next


@pytest.mark.parametrize(
    "text",
    [
        'payload = "' + ".a" * 5000 + '"', "payload = '" + ".a" * 5000 + "'", 'payload = """' + ".a\n" * 5000 + '"""',
        "# " + "a." * 5000, 'payload = "\\"" # ' + "a." * 5000, "x.y.z = 1",
    ],
)  # fmt: skip
def test_dots_in_texts_and_comments_are_no_keys(text: str) -> None:
    for problem in refused(f"{HEAD}{text}\n").problems:
        assert "parts" not in problem.message


@pytest.mark.parametrize(
    "text",
    [
        '"""' + '\\"""' * 100_000, '"""' + '\\"""' * 100_000 + "\\", "'''" + "''" * 100_000, '"' + '\\"' * 200_000,
        '"' * 300_000, "\\" * 300_000, "a" * 900_000, "a" + " " * 900_000, "=" * 900_000, "x = " + "1" * 900_000,
        filled(lambda n: f"k{n} = 1\n", 900_000), filled(lambda n: f'"k{n}" = 1\n', 900_000),
        filled(lambda _: "[[servers]]\nnam = 1\n", 900_000), filled(lambda n: f"a.b.c.d.e.f.g{n} = 1\n", 900_000),
        filled(lambda _: '[[servers]]\nname = "w"\naddress = "10.0.0.101"\n', 900_000),
    ],
    ids=range(15),
)  # fmt: skip
def test_nothing_in_a_megabyte_takes_long(text: str) -> None:
    assert refused(text).next


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (filled(lambda n: f'[[servers]]\nname="w{n}"\naddress="10.{n // 65536 + 1}.{n // 256 % 256}.{n % 256}"\n',
                48 * (MOST_SERVERS + 1000)) + VIP, "servers", f"at most {MOST_SERVERS}"),
        (filled(lambda n: f'[[vips]]\naddress="10.1.{n // 256}.{n % 256}"\nservices=[{{port=80}}]\n',
                50 * (MOST_VIPS + 400)) + SERVER, "vips", f"at most {MOST_VIPS}"),
        (filled(lambda n: f'[[vips]]\naddress="10.1.{n // 256}.{n % 256}"\nservices=[{{port=80}}]\n', 45_000)
         + filled(lambda n: f'[[servers]]\nname="w{n}"\naddress="10.2.{n // 256}.{n % 256}"\n', 45_000),
         "servers", f"at most {MOST_PAIRS}"),
    ],
    ids=["servers", "vips", "pairs"],
)  # fmt: skip
def test_what_nobody_can_balance_is_refused_with_the_number(text: str, key: str, words: str) -> None:
    problem = refused(HEAD + text).problems[0]
    assert problem.key == key
    assert words in problem.message
    assert "two deployments" in problem.hint


def test_ten_thousand_real_servers_are_read() -> None:
    servers = "".join(f'[[servers]]\nname="w{n}"\naddress="10.1.{n // 256}.{n % 256}"\n' for n in range(MOST_SERVERS))
    assert len(loads(HEAD + VIP + servers).servers) == MOST_SERVERS


def test_a_file_that_could_not_be_read_again_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    deployment = loads(HEAD + VIP + SERVER)
    many = tuple(
        msgspec.structs.replace(deployment.servers[0], name=f"w{n}", identity_file="/" + "k" * 100) for n in range(9000)
    )
    with pytest.raises(DsrError, match="larger than 1 MB"):
        session.save_deployment(msgspec.structs.replace(deployment, servers=many))


# -- what is no file


def test_a_file_too_big_a_device_and_a_pipe_that_gives_nothing_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dsrwizard.core.intake.deployment_file.PIPE_SECONDS", 0.2)
    (tmp_path / "big").write_bytes(b"#" * (MAX_BYTES + 1))
    os.mkfifo(tmp_path / "pipe")
    for path, words in (
        (tmp_path / "big", "too large"), (Path("/dev/zero"), "neither a file nor a pipe"),
        (tmp_path / "pipe", "cannot be read"),
    ):  # fmt: skip
        began = time.monotonic()
        with pytest.raises(FileRefused, match=words):
            load(path)
        assert time.monotonic() - began < PATIENCE


def test_a_pipe_without_end_is_read_no_further_than_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    def pour() -> None:
        with (tmp_path / "pipe").open("wb", buffering=0) as pipe:
            try:
                while True:
                    pipe.write(b"#" * 60_000)
            except BrokenPipeError:
                pass

    pouring = threading.Thread(target=pour, daemon=True)
    pouring.start()
    with pytest.raises(FileRefused, match="too large"):
        load(tmp_path / "pipe")
    pouring.join(PATIENCE)
    assert not pouring.is_alive()


def test_a_list_is_read_from_an_ordinary_file_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"x" * 1_000_001)
    for path, words in ((tmp_path / "pipe", "not a regular file"), (Path("/dev/zero"), "not a regular file"),
                        (tmp_path / "big", "larger than 1 MB")):  # fmt: skip
        with pytest.raises(OSError, match=words):
            _read(str(path))


# -- lists


def listed(text: str, kind: ListKind, choice: str = "") -> importers.Imported:
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = importers.read(text, "", kind, choice)
    assert time.monotonic() - began < PATIENCE
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB
    return found


SIZE = 100_000
LISTS: dict[str, tuple[ListKind, str]] = {
    "ssh hosts": ("ssh_config", filled(lambda n: f"Host w{n}\nUser r\n", SIZE)),
    "ssh wildcards": ("ssh_config", filled(lambda n: f"Host w{n}*\nUser r\nHost a{n}\n", SIZE)),
    "a chain of groups": ("ansible", filled(lambda n: f"[g{n}:children]\ng{n + 1}\n", SIZE) + "[g0]\nh\n"),
    "groups": ("ansible", filled(lambda n: f"[g{n}]\nh{n}\n", SIZE)),
    "variables of a range": ("ansible", "h[1:4096] " + filled(lambda n: f"a{n}=1 ", 3900)),
    "a long value of a range": ("ansible", f"h[1:4096] ansible_user={'x' * 3900}"),
    "a long name in a range": ("ansible", f"{'x' * 3900}[1:4096]"),
    "a long name in a range of YAML": ("ansible", f"all:\n  hosts:\n    {'x' * 100_000}[1:4096]:\n"),
    "plain": ("plain", filled(lambda n: f"w{n} 10.0.{n // 256 % 256}.{n % 256}\n", SIZE)),
    "garbage": ("plain", filled(lambda _: "one two three four\n", SIZE)),
    "one line": ("plain", "a " * (SIZE // 2)),
    "YAML": ("ansible", "all:\n  hosts:\n" + filled(lambda n: f"    w{n}:\n      ansible_host: 10.0.0.1\n", SIZE)),
    "YAML nested": ("ansible", "a: " + "[" * SIZE),
    "YAML flow": ("ansible", "a: [" + "[]," * (SIZE // 3) + "]"),
    "YAML indented": ("ansible", "".join(f"{' ' * n}a:\n" for n in range(700))),
    "empty lines": ("ansible", "\n" * SIZE),
    "blanks in values": ("ansible", "[w:vars]\n" + filled(lambda _: f"a={' ' * 3900}b\n", SIZE)),
    "blanks in settings": ("ssh_config", filled(lambda _: f"User a{' ' * 3900}b\n", SIZE)),
    "blanks in a list": ("plain", filled(lambda _: f"a{' ' * 3900}#\n", SIZE)),
    "words that look like variables": ("ansible", filled(lambda _: "ansible_" * 480 + "\n", SIZE)),
    "YAML merges": ("ansible", "a0: &a0 {x: y}\n" + "".join(
        f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], vars: *a{n - 1}}}\n" for n in range(1, 3000))),
}  # fmt: skip


@pytest.mark.parametrize("name", LISTS)
def test_no_list_takes_long_or_much_memory(name: str) -> None:
    kind, text = LISTS[name]
    found = listed(text, kind)
    assert found.servers or found.notes or not text.strip() or "blanks" in name
    began = time.monotonic()
    assert importers.detect(text)
    assert time.monotonic() - began < PATIENCE


@pytest.mark.parametrize("kind", ["plain", "ansible", "ssh_config"])
def test_what_is_too_big_or_no_text_is_said_to_be(kind: ListKind) -> None:
    for text, words in (("web1 10.0.0.1\n" * 80_000, "too large"), ("web1 10.0.0.1\n\0\n", "binary"),
                        ("---\n" + "a: b\n" * 250_000, "too large"), ("all: {hosts: {a: \0}}", "binary")):  # fmt: skip
        found = importers.read(text, "", kind)
        assert found.servers == []
        assert words in found.notes[0]


def test_a_line_that_is_too_long_is_left_out_and_the_others_are_taken() -> None:
    long = "x" * 5000
    for kind, text in (("plain", f"web1 10.0.0.1\n{long}\nweb2 10.0.0.2\n"), ("ansible", f"[w]\nweb1\n{long}\nweb2\n"),
                       ("ssh_config", f"Host web1\nUser {long}\nHost web2\n")):  # fmt: skip
        found = importers.read(text, "", kind)  # type: ignore[arg-type]
        assert [server.name for server in found.servers] == ["web1", "web2"]
        assert any("longer than 4000 characters" in note for note in found.notes)


def test_settings_are_inherited_as_before_however_many_groups_there_are() -> None:
    chain = "".join(f"[g{n}:children]\ng{n + 1}\n" for n in range(300))
    found = ansible.parse(
        f"{chain}[g300]\nh\n[g0:vars]\nansible_user=outer\nansible_port=1\n[g200:vars]\nansible_user=inner\n"
    )
    assert [(server.user, server.port) for server in found.servers] == [("inner", "1")]
    assert len(ansible.groups(f"{chain}[g300]\nh\n")) == 302


def test_a_host_of_an_ssh_config_takes_the_first_value_of_all_its_sections_in_the_order_of_the_file() -> None:
    text = "Host w* !web9\nUser first\nHost w1\nUser second\nHost other w1\nPort 33\nHost *\nPort 44\nUser last\n"
    found = {server.name: (server.user, server.port) for server in ssh_config.parse(text).servers}
    assert found == {"w1": ("first", "33"), "other": ("last", "33")}
    negated = ssh_config.parse("Host * !w2\nUser most\nHost w1 w2 W3\nHost [w]\n")
    assert [(server.name, server.user) for server in negated.servers] == [
        ("w1", "most"), ("w2", ""), ("W3", "most"), ("[w]", "most")
    ]  # fmt: skip


def test_too_many_groups_and_wildcards_are_told() -> None:
    assert any("too many groups" in note for note in ansible.parse(LISTS["groups"][1]).notes)
    assert any("wildcards were left out" in note for note in ssh_config.parse(LISTS["ssh wildcards"][1]).notes)
