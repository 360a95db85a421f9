"""`dsrwizard balancer record`: reads alone, and a transcript that tells of nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard import __version__
from dsrwizard.cli import main as cli
from dsrwizard.cli import recording
from dsrwizard.cli.asking import TerminalAsker
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.model.balancer_facts import ApplianceAnswer
from dsrwizard.core.tell.transcript import BY_HAND, DEEPEST, Transcript, transcript
from tests.fakes.box_shop import ApplianceShop, BoxShop
from tests.fakes.loadbalancer_org import ORG_KEY, ORG_PASSWORD, ORG_USER
from tests.fakes.netscaler import PASSWORD, USER
from tests.fakes.org_shop import OrgShop
from tests.fakes.world import World

Capture = pytest.CaptureFixture[str]
Shop = ApplianceShop[Any]
THEIRS = (
    "10.0.0.", "10.0.9.", "web1", "web2", "web3", "Web-Two", "two_ssl", "mail", "theirs", "shop", "farm",
    USER, PASSWORD, ORG_USER, ORG_PASSWORD, ORG_KEY,
)  # fmt: skip


@pytest.fixture(params=[BoxShop, OrgShop], ids=["netscaler", "loadbalancer.org"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    yield from made(request.param, tmp_path, monkeypatch)


@pytest.fixture
def netscaler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoxShop]:
    for one in made(BoxShop, tmp_path, monkeypatch):
        assert isinstance(one, BoxShop)
        yield one


def made(kind: Callable[[Path], Shop], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    found = kind(folder)
    assert found.apply(found.deployment()).ok
    found.engine.close()
    found.box.changed.clear()
    found.box.log.clear()
    (folder / "shop.toml").write_text(dumps(found.deployment()))
    monkeypatch.setattr(recording, "load", lambda file: found.deployment())  # loopback is refused in a file
    monkeypatch.setattr(recording, "TerminalAsker", lambda: found.operator)
    yield found
    found.close()
    assert not found.box.errors


def record(shop: Shop, *arguments: str) -> int:
    return cli.run(["balancer", "record", str(shop.folder / "shop.toml"), *arguments])


def strings(value: Any) -> Iterator[str]:
    """Every key and value as text, texts that are JSON gone through, too."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield key
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    else:
        yield str(value)
        if isinstance(value, str) and value[:1] in ("{", "["):
            with suppress(ValueError):
                yield from strings(json.loads(value))


# --- the command -----------------------------------------------------------------------------------------------------


def test_it_reads_what_a_run_reads_and_writes_nothing_there(shop: Shop, capsys: Capture) -> None:
    before = shop.box.snapshot()
    assert record(shop) == 0
    said, told = capsys.readouterr()
    assert shop.box.snapshot() == before
    assert shop.box.changed == []
    document = json.loads(said)
    assert document["dsrwizard"] == __version__
    assert len(document["answers"]) >= 2
    assert all(answer["status"] == 200 and answer["body"] for answer in document["answers"])
    assert "Nothing is changed there." in told
    assert "to standard output" in told
    assert f"{len(document['answers'])} answers" in told
    assert "Read the transcript before you send it." in told


def test_nothing_that_is_theirs_is_in_it(shop: Shop, capsys: Capture) -> None:
    assert record(shop) == 0
    said = capsys.readouterr().out
    found = list(strings(json.loads(said)["answers"]))
    for one in (*THEIRS, *getattr(shop.box, "sessions", ())):
        assert not any(one in text for text in found if text != "default"), one


def test_the_words_of_the_product_stay_and_a_thing_has_one_name(netscaler: BoxShop, capsys: Capture) -> None:
    assert record(netscaler) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["product"] == "NetScaler"
    assert document["version"] == "NetScaler NS14.1 Build 73.37.nc"
    answers = {answer["request"]: answer["body"] for answer in document["answers"]}
    by_kind = {re.sub(r"\?.*", "", path): body for path, body in answers.items()}
    assert "Jun" not in by_kind["GET /nitro/v1/config/nsversion"]["nsversion"]["version"]
    (feature,) = by_kind["GET /nitro/v1/config/nsfeature"]["nsfeature"]
    assert feature == {"feature": ["LB"], "lb": True}
    ours = [one for one in by_kind["GET /nitro/v1/config/lbvserver"]["lbvserver"] if one["name"].startswith("dsr_")]
    assert [(one["m"], one["lbmethod"], one["port"], one["servicetype"]) for one in ours] == [
        ("MAC", "SOURCEIPHASH", "80", "ANY")
    ]
    assert re.fullmatch(r"198\.18\.\d+\.\d+", ours[0]["ipv46"])
    assert re.fullmatch(r"dsrwizard name-\d+", ours[0]["comment"])
    bound = by_kind[f"GET /nitro/v1/config/lbvserver_service_binding/{ours[0]['name']}"]["lbvserver_service_binding"]
    services = {one["name"] for one in by_kind["GET /nitro/v1/config/service"]["service"]}
    assert {row["servicename"] for row in bound} <= services
    assert {row["name"] for row in bound} == {ours[0]["name"]}
    assert sum(path.startswith("GET /nitro/v1/config/lbvserver?attrs=name,servicetype,") for path in answers) == 1


def test_the_dump_of_a_loadbalancer_org_keeps_its_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    for shop in made(OrgShop, tmp_path, monkeypatch):
        assert record(shop) == 0
        document = json.loads(capsys.readouterr().out)
        assert [answer["sent"]["lbcli"][0]["function"] for answer in document["answers"]] == [
            "dumpconfig", "floatingip"
        ]  # fmt: skip
        (dump,) = [one for answer in document["answers"] for one in [answer["body"]] if "ldirectord" in json.dumps(one)]
        config = dump["lbapi"][0]["itteration"][0]["lbcli"][0]
        virtuals = config["ldirectord"]["virtual"]
        assert [one["forwardingmethod"] for one in virtuals] == ["masq", "gate"]
        assert [one["scheduler"] for one in virtuals] == ["wrr", "wlc"]
        assert virtuals[1]["label"].startswith("dsr_name-")
        assert [one["weight"] for one in virtuals[1]["real"]] == ["1", "1", "1"]
        assert config["haproxy"]["virtual"]["ports"] == "443"


def test_it_is_written_to_a_file_that_it_names(shop: Shop, tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "answers.json"
    assert record(shop, "--output", str(out)) == 0
    said, told = capsys.readouterr()
    assert said == ""
    assert told.count(str(out)) == 2
    assert json.loads(out.read_text())["answers"]


def test_the_deployment_file_is_not_written_over_and_a_path_that_cannot_be_is_told(shop: Shop, capsys: Capture) -> None:
    file = shop.folder / "shop.toml"
    before = file.read_text()
    assert record(shop, "-o", str(file)) == 2
    assert file.read_text() == before
    assert shop.box.log == [], "nothing was asked"
    assert record(shop, "-o", "/proc/none/answers.json") == 3
    assert "Choose another path with --output." in capsys.readouterr().err


def test_without_a_password_nothing_is_written(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr(recording, "TerminalAsker", TerminalAsker)
    assert record(shop, "-o", str(tmp_path / "answers.json")) == 1
    assert "was refused" in capsys.readouterr().err
    assert not (tmp_path / "answers.json").exists()


@pytest.mark.parametrize("fault", ["page", "cut", "busy"])
def test_what_cannot_be_read_is_in_it_and_the_exit_code_says_so(
    netscaler: BoxShop, capsys: Capture, fault: str
) -> None:
    """The answer that dsrwizard does not understand is the one that is wanted."""
    netscaler.box.faults = [(lambda method, path: path.startswith("config/lbmonitor"), fault)] * 2
    code = record(netscaler)
    said, told = capsys.readouterr()
    document = json.loads(said)
    last = document["answers"][-1]
    assert code == 1
    assert document["ended_by"]
    assert last["request"].startswith("GET /nitro/v1/config/lbmonitor")
    assert "until it failed" in told
    if fault == "page":
        assert last["body"].startswith("<name-")
    assert netscaler.box.changed == []
    assert not netscaler.box.sessions, "logged out"


@pytest.mark.parametrize("how", ["empty", "page", "cut"])
def test_a_version_that_is_not_told_costs_nothing(netscaler: BoxShop, capsys: Capture, how: str) -> None:
    netscaler.box.version = ""
    if how != "empty":
        netscaler.box.faults = [(lambda method, path: path == "config/nsversion", how)]
    assert record(netscaler) == 0
    said, told = capsys.readouterr()
    assert "please add it" in told
    assert any("stat/service" in answer["request"] for answer in json.loads(said)["answers"])


@pytest.mark.parametrize("engine", ["aloha", "barracuda", "external", "netlink"])
def test_of_other_products_it_says_what_to_send(tmp_path: Path, engine: Any, capsys: Capture) -> None:
    world = World.lab().deployment()
    director = msgspec.structs.replace(world.director, engine=engine)
    file = tmp_path / "shop.toml"
    services = (msgspec.structs.replace(world.vips[0].services[0], scheduler="wlc"),)
    vips = (msgspec.structs.replace(world.vips[0], services=services),)
    file.write_text(dumps(msgspec.structs.replace(world, director=director, vips=vips)))
    assert cli.run(["balancer", "record", str(file)]) == 2
    said, told = capsys.readouterr()
    assert said == ""
    assert BY_HAND.get(engine, "--incident") in told


def test_the_book_asks_for_the_same() -> None:
    book = (Path(__file__).parents[2] / "docs/load-balancers.md").read_text()
    for text in BY_HAND.values():
        assert f"| {text} |" in book


# --- what stays ------------------------------------------------------------------------------------------------------

REAL = (
    "web-frontend-03", "Müller & Söhne GmbH", "fra1-lb.corp.example", "ops@corp.example", "10.20.30.40",
    "10.20.30.0/24", "10.20.30.40:8443", "2a02:26f0::53", "[2a02:26f0::53]:443", "fe80::1%eth3", "00:1b:21:aa:0f:3c",
    "00-1B-21-AA-0F-3C", "HE2H81UJ47", "20170911082", "S3cret/of=the\\box", "##0f3A/session+9=",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END", "CN=lb.corp,O=Corp", "$6$rounds$abc", "Tue Jun  2 2026", "4711-0815",
    "/C=DE/L=Fulda", "dsr_geheim", "dsrwizard geheim",
)  # fmt: skip
PLANTED = st.one_of(
    st.sampled_from(REAL),
    st.text(min_size=1, max_size=30).map(lambda text: f"zq{text}qz"),
    st.text("abcdefXYZ0123456789-._@:/\\ \n", min_size=3, max_size=40).map(lambda text: f"zq{text}"),
)
NAMES = st.sampled_from(
    ["name", "ipv46", "servicename", "state", "comment", "message", "lastresponse", "version", "port", "ports",
     "weight", "label", "server", "output", "error", "sessionid", "password", "feature", "id"]
)  # fmt: skip


def leaf(secret: str) -> st.SearchStrategy[Any]:
    return st.one_of(
        st.just(secret), st.just(f"No such resource [{secret}]"), st.just(f"up,{secret}"), st.just(f" {secret} "),
        st.just(json.dumps({"config": {secret: [secret]}})), st.booleans(), st.none(),
        st.integers(10**6, 8 * 10**8), st.floats(10**6, 10**7),
    )  # fmt: skip


def body(secret: str) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaf(secret),
        lambda inner: (
            st.lists(inner, max_size=4) | st.dictionaries(st.one_of(NAMES, st.just(secret)), inner, max_size=5)
        ),
        max_leaves=12,
    )


def answer(body: bytes, path: str = "/config/service", sent: str | None = None) -> ApplianceAnswer:
    return ApplianceAnswer(method="GET", base="/nitro/v1", path=path, sent=sent, status=200, body=body)


def of(*bodies: Any) -> Transcript:
    return transcript("NetScaler", "1", [answer(json.dumps(one).encode()) for one in bodies])


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [shape(one) for one in value.values()]
    return [shape(one) for one in value] if isinstance(value, list) else type(value)


def bare(secret: str) -> str:
    """What of it tells of somebody: what dsrwizard puts before its own names does not."""
    return secret.strip().removeprefix("dsr_").removeprefix("dsrwizard ")


@given(st.data())
def test_no_secret_that_stands_anywhere_is_in_it(data: st.DataObject) -> None:
    secret = data.draw(PLANTED)
    planted = data.draw(body(secret))
    raw = data.draw(
        st.sampled_from(
            [b"", f"<b>{secret}</b>".encode("utf-8", "replace"), b"\xff" + secret.encode("utf-8", "replace")]
        )
    )
    quoted = "".join(f"%{byte:02x}" for byte in secret.encode("utf-8", "replace"))
    answers = [
        answer(json.dumps(planted).encode()), answer(raw), answer(b"{}", f"/config/service/{quoted}"),
        answer(b"{}", f"/config/service?filter=name:{quoted}", json.dumps({"lbcli": [{"vip": secret}]})),
    ]  # fmt: skip
    document = json.loads(transcript("NetScaler", "1", answers).text)
    found = list(strings(document))
    assert not any(bare(secret) in text for text in found), secret
    numbers = {str(one) for one in strings(planted) if re.fullmatch(r"[0-9.]{7,}", one)}
    assert not numbers & set(found)
    assert shape(document["answers"][0]["body"]) == shape(json.loads(json.dumps(planted)))


@given(st.lists(PLANTED.filter(lambda text: bare(text) not in ("", "0", "1")), min_size=1, max_size=6))
def test_the_same_thing_has_the_same_placeholder_and_another_has_another(things: Sequence[str]) -> None:
    rows = [{"name": one, "servicename": one} for one in things]
    told = of({"service": rows}).document["answers"][0]["body"]["service"]
    assert all(row["name"] == row["servicename"] for row in told)
    by_thing = {one.strip(): row["name"] for one, row in zip(things, told, strict=True)}
    assert len(set(by_thing.values())) >= len({bare(one).lower().replace("-", ":") for one in by_thing})


def test_settings_stay_and_other_numbers_do_not() -> None:
    row = {"port": "80", "weight": 10, "timeout": "120", "serialno": 8_912_345, "totalrequestbytes": "77123",
           "vlan": 42, "ports": "80:90-100", "netmask": "255.255.255.0", "ipaddress": "0.0.0.0",
           "healthmonitor": "YES"}  # fmt: skip
    (told,) = of({"service": [row]}).document["answers"][0]["body"]["service"]
    assert told == row | {"serialno": 900_000_001, "totalrequestbytes": "900000002", "vlan": 900_000_003}


def test_a_field_that_nobody_knows_is_told_by_a_placeholder_and_keeps_its_place() -> None:
    told = of({"service": {"web1": {"state": "UP", "hacurmasterstate": "Primary"}, "name": "web1"}})
    assert told.document["answers"][0]["body"] == {
        "service": {"name-1": {"state": "UP", "hacurmasterstate": "Primary"}, "name": "name-1"}
    }


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 200_000, b'{"a":' * 200_000, b"9" * 100_000, b'{"a": NaN, "b": Infinity, "c": 1e999}',
        b"\x00\xff" * 5_000, b'"' + b"x" * 3_000_000 + b'"', b'{"name": "\\ud800 \\u202e \\u001b[2J"}',
        b"<html>" * 100_000,
        ("[" * (DEEPEST + 9) + '"web1"' + "]" * (DEEPEST + 9)).encode(), b'{"message": "' + b"dsr_" * 100_000 + b'"}',
        json.dumps({"a": json.dumps({"a": json.dumps(["web1"] * 3)})}).encode(),
    ],
    ids=range(11),
)  # fmt: skip
def test_whatever_comes_is_told_and_harmless(raw: bytes) -> None:
    made = transcript("NetScaler", "1", [answer(raw)])
    assert made.answers == 1
    text = made.text
    assert json.loads(text)["answers"][0]["status"] == 200
    assert "web1" not in text
    assert text.isascii()
    assert "\x1b" not in text
    assert len(text) < 400_000


def test_what_is_nested_without_end_is_left_out() -> None:
    depth = 300
    told = transcript("NetScaler", "1", [answer(b'{"state": ' * depth + b"1" + b"}" * depth)]).text
    assert told.count('"state"') == DEEPEST + 1
    assert "left out: too deep" in told


def test_thousands_of_rows_are_hidden_in_seconds() -> None:
    rows = [{"name": f"svc{number}", "ipaddress": f"10.1.{number // 250}.{number % 250}", "state": "UP"}
            for number in range(20_000)]  # fmt: skip
    told = of({"service": rows})
    assert told.replaced == {"name": 20_000, "address": 20_000}
    assert len({row["name"] for row in told.document["answers"][0]["body"]["service"]}) == 20_000
