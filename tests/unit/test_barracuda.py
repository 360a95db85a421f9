"""`dsrwizard balancer look`: what a Barracuda says over REST is held against the deployment, and nothing is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.cli import box_look, wiring
from dsrwizard.cli import main as cli
from dsrwizard.core.dialects.barracuda.reading import held_against
from dsrwizard.core.intake.deployment_file import loads
from dsrwizard.core.model.deployment import Balancer
from tests.fakes.barracuda import BARRACUDA_PASSWORD, BARRACUDA_USER, BarracudaManners, BarracudaServer, FakeBarracuda
from tests.fakes.box_shop import Operator
from tests.windows.certificates import issue

FILE = f"""\
name = "shop"
[director]
interface = "eth0"
engine = "barracuda"
[balancer]
addresses = ["10.1.0.5"]
user = "{BARRACUDA_USER}"
[[vips]]
address = "10.0.0.10"
[[vips.services]]
port = 80
scheduler = "wlc"
[[servers]]
name = "web1"
address = "10.0.0.101"
connect = "manual"
[[servers]]
name = "web2"
address = "10.0.0.102"
connect = "manual"
"""
Capture = pytest.CaptureFixture[str]


class Look:
    """A fake, and runs of the command on it."""

    def __init__(self, folder: Path, manners: BarracudaManners, patch: pytest.MonkeyPatch) -> None:
        self.box = FakeBarracuda(issue(folder / "box.pem", "lb.example").file, manners)
        self.box.servers = [BarracudaServer("web1", "10.0.0.101"), BarracudaServer("two", "10.0.0.102")]
        self.operator = Operator(BARRACUDA_PASSWORD)
        self.file = folder / "shop.toml"
        self.file.write_text(FILE)
        honest = wiring.read_barracuda

        def there(place: Balancer, asker: Any) -> Any:
            """The fake is on loopback, which a deployment file does not take."""
            return honest(msgspec.structs.replace(place, addresses=(self.box.address,), port=self.box.port), asker)

        patch.setattr(wiring, "read_barracuda", there)
        patch.setattr(box_look, "TerminalAsker", lambda: self.operator)

    def run(self, *arguments: str) -> int:
        return cli.run(["balancer", "look", str(self.file), *arguments])


MANNERS = {
    "as its scripts have it": BarracudaManners(),
    "otherwise": BarracudaManners(form=True, words=("Yes", "No"), wrapped=False, dashes=True, number=True),
}


@pytest.fixture(params=[*MANNERS])
def look(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Look]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = Look(tmp_path, msgspec.convert(vars(MANNERS[request.param]), BarracudaManners), monkeypatch)
    yield made
    made.box.close()
    assert made.box.errors == [], "something was written, or asked for that nobody knows"
    assert {method for method, path in made.box.requests if not path.endswith("/login")} <= {"GET"}


def test_what_agrees_is_said_and_what_no_document_names_stays_unverified(look: Look, capsys: Capture) -> None:
    assert look.run() == 0
    said = capsys.readouterr().out
    assert "= 10.0.0.10:80 tcp: It is of type layer 4 - tcp." in said
    assert "= web2 of 10.0.0.10:80 tcp: Its status is enable." in said
    assert "? web1 of 10.0.0.10:80 tcp: direct_server_return is " in said
    assert "0 differ, 2 unverified. Nothing was changed there." in said


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda box: setattr(box, "kind", "TCP Proxy"), "It is of type tcp proxy: Direct Server Return needs Layer 4"),
        (lambda box: setattr(box, "vip", "10.0.0.77"), "none was seen with this address and port"),
        (lambda box: setattr(box, "port_of_service", 81), "none was seen with this address and port"),
        (lambda box: setattr(box.servers[1], "status", "maintenance"), "web2 of 10.0.0.10:80 tcp: Its status is maint"),
        (lambda box: setattr(box.servers[1], "weight", 7), "Its weight is 7; the deployment has 1."),
        (lambda box: setattr(box.servers[1], "direct", False), "its replies go through the Barracuda, as it seems"),
        (lambda box: box.servers.pop(), "10.0.0.102 is not behind it."),
        (lambda box: box.servers.append(BarracudaServer("x", "10.0.0.99")), "It sends clients to 10.0.0.99, too"),
    ],
)  # fmt: skip
def test_what_differs_is_said_and_the_exit_code_says_so(look: Look, capsys: Capture, spoil: Any, told: str) -> None:
    spoil(look.box)
    assert look.run() == 1
    said = capsys.readouterr().out
    assert [line for line in said.splitlines() if line.startswith("! ") and told in line], said


def test_a_switch_of_another_name_shows_as_what_the_servers_are_unlike_in(look: Look, capsys: Capture) -> None:
    look.box.manners.switch = "nobody_knows"
    look.box.servers[1].direct = False
    assert look.run("--json") == 0
    document = json.loads(capsys.readouterr().out)
    told = [one["message"] for one in document["lines"] if one["said"] == "unverified"]
    assert [one for one in told if one.startswith("Its servers are unlike in nobody_knows: web1 ")]
    assert sum(one.startswith("No field of Direct Server Return was seen") for one in told) == 2


def test_passwords_are_asked_for_twice_and_shown_never(look: Look, capsys: Capture) -> None:
    look.operator = Operator("canary-wrong", "canary-wrong-too")
    assert look.run() == 1
    said = "".join(capsys.readouterr())
    assert "login as api-reader" in said
    assert "canary" not in said
    assert "secret-token" not in said
    assert [one for one in look.box.requests if one[0] == "GET"] == []


@pytest.mark.parametrize("how", ["no api", "no rights", "a page", "a fault"])
def test_a_box_that_shows_nothing_is_an_error_that_says_why(look: Look, capsys: Capture, how: str) -> None:
    look.box.missing = how == "no api"
    look.box.status = {"no rights": 403, "a fault": 503}.get(how, 200)
    look.box.page = b"<html>log in</html>" if how == "a page" else b""
    assert look.run() == 1
    said = capsys.readouterr().err
    assert {"no api": "has no REST API v2", "no rights": "did not show its services", "a page": "is not JSON",
            "a fault": "HTTP status 503"}[how] in said  # fmt: skip


def test_another_product_and_a_file_without_its_place_are_refused_before_anything_is_asked(
    look: Look, capsys: Capture
) -> None:
    look.file.write_text(FILE.replace('addresses = ["10.1.0.5"]\n', "").replace(f'user = "{BARRACUDA_USER}"\n', ""))
    assert look.run() == 2
    assert "Nothing says where the Barracuda is" in capsys.readouterr().err
    look.file.write_text(FILE.replace('"barracuda"', '"netscaler"'))
    assert look.run() == 2
    assert look.box.requests == []


KEYS = st.sampled_from(["ip_address", "port", "type", "status", "weight", "servers", "dsr", "\x1b[2J", "n" * 9_000])
LEAVES = st.sampled_from(["10.0.0.10", "10.0.0.101", "80", "Layer 4 - TCP", "enable", "\x1b[2J\u202e\r\n", "9" * 5_000,
                          80, True, None, 1e300])  # fmt: skip


@given(st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4)))
def test_whatever_it_answers_is_lines_that_are_harmless(answer: Any) -> None:
    lines = held_against(loads(FILE), answer)
    assert lines
    assert all(one.message.isprintable() and len(one.message) < 3_000 for one in lines)
