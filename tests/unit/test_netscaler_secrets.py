"""A NetScaler's certificate and password: asked for once, never sent to another box, never written or told."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backends.netscaler import door
from backends.netscaler.nitro import Nitro
from backends.netscaler.port import NetScaler
from backends.winrm.trust import Trust
from dsrwizard.core.model.deployment import Balancer
from dsrwizard.core.model.errors import DsrError, HostKeyChanged, HostKeyUnknown, LoginRefused
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion
from dsrwizard.core.tell.trust import compared_with
from tests.fakes.box_shop import BoxShop, Operator
from tests.fakes.netscaler import PASSWORD, FakeNetScaler
from tests.windows.certificates import issue


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BoxShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = BoxShop(tmp_path)
    yield made
    made.close()
    assert not made.box.errors


def test_the_certificate_is_asked_about_once_and_then_pinned(shop: BoxShop, tmp_path: Path) -> None:
    deployment = shop.deployment()
    shop.engine.observe(deployment)
    shop.engine.close()
    shop.engine = shop.fresh()
    shop.engine.observe(deployment)
    (question,) = (one for one in shop.operator.asked if isinstance(one, HostKeyQuestion))
    assert question.certificate_of == "netscaler"
    assert "/nsconfig/ssl/ns-server.cert" in compared_with(question)
    another = issue(tmp_path / "another.pem", "ns.example").file
    false = FakeNetScaler(another, another)
    try:
        there = msgspec.structs.replace(deployment.balancer or Balancer(), port=false.port)
        here = msgspec.structs.replace(deployment, balancer=there)
        known = tmp_path / "state/dsrwizard/known_certificates"
        known.write_text(known.read_text().replace(str(shop.box.port), str(false.port)))
        with pytest.raises(HostKeyChanged):
            NetScaler(here, shop.operator).observe(here)
        assert not false.log, "nothing was sent to it, no password either"
    finally:
        false.close()


def test_one_that_changes_between_two_connections_gets_no_password(shop: BoxShop) -> None:
    place = door.management(shop.deployment().balancer or Balancer(), "127.0.0.1")
    with pytest.raises(HostKeyChanged, match="is not the one that was shown before"):
        Nitro(place, Trust(fingerprint="00" * 32)).log_in(Secret(PASSWORD))
    assert not shop.box.log


def test_a_certificate_that_is_not_accepted_gets_no_password(shop: BoxShop) -> None:
    shop.operator.accepts = False
    with pytest.raises(HostKeyUnknown):
        NetScaler(shop.deployment(), shop.operator).observe(shop.deployment())
    assert not shop.box.log


def test_a_wrong_password_is_asked_for_again_and_no_more_often(shop: BoxShop) -> None:
    operator = Operator("wrong", PASSWORD)
    port = NetScaler(shop.deployment(), operator)
    assert port.observe(shop.deployment()).product == "NetScaler"
    port.close()
    with pytest.raises(LoginRefused, match="2 passwords were tried"):
        NetScaler(shop.deployment(), Operator("wrong", "wrong again", "third")).observe(shop.deployment())


def test_no_secret_is_written_or_told_anywhere(
    shop: BoxShop, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    deployment = shop.deployment()
    tokens: set[str] = set()
    shop.box.on_change = lambda method, path, body: tokens.update(shop.box.sessions)
    shop.box.faults = [(lambda method, path: path == "config/lbvserver", "page")]
    shop.apply(deployment)
    assert shop.apply(deployment).ok
    problems: list[str] = []
    for kind in ("busy", "cut", "drop"):
        shop.box.faults = [(lambda method, path: path.startswith("config/login"), kind)]
        try:
            NetScaler(deployment, Operator(PASSWORD)).observe(deployment)
        except DsrError as problem:
            problems.append(repr(problem) + " ".join(problem.lines()))
    assert shop.teardown(deployment).ok
    assert problems
    assert tokens
    out = capfd.readouterr()
    told = [caplog.text, out.out, out.err, repr(shop.events), *problems]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pem"]
    told += [path.read_text(errors="replace") for path in files]
    for secret in (PASSWORD, *tokens):
        assert not any(secret in text for text in told)
