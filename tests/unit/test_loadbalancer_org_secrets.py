"""A Loadbalancer.org's certificate, password and key: asked for once, never sent elsewhere, never written or told."""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from backends.appliance import door
from backends.loadbalancer_org.lbcli import DUMP, LBCLI_API, Lbcli
from backends.loadbalancer_org.port import LoadbalancerOrg
from backends.winrm.trust import Trust
from dsrwizard.core.model.deployment import Balancer
from dsrwizard.core.model.errors import DsrError, HostKeyChanged, HostKeyUnknown, LoginRefused
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.core.tell.trust import compared_with
from tests.fakes.box_shop import Operator
from tests.fakes.loadbalancer_org import ORG_KEY, ORG_PASSWORD, ORG_USER, FakeLoadbalancerOrg
from tests.fakes.org_shop import OrgShop
from tests.windows.certificates import issue


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[OrgShop]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = OrgShop(tmp_path)
    yield made
    made.close()
    assert not made.box.errors


def test_the_certificate_is_asked_about_once_and_then_pinned(shop: OrgShop, tmp_path: Path) -> None:
    deployment = shop.deployment()
    shop.engine.observe(deployment)
    shop.engine.close()
    shop.engine = shop.fresh()
    shop.engine.observe(deployment)
    (question,) = (one for one in shop.operator.asked if isinstance(one, HostKeyQuestion))
    assert "openssl s_client -connect 127.0.0.1:9443" in compared_with(question)
    another = issue(tmp_path / "another.pem", "lb.example").file
    false = FakeLoadbalancerOrg(another, another)
    try:
        there = msgspec.structs.replace(deployment.balancer or Balancer(), port=false.port)
        here = msgspec.structs.replace(deployment, balancer=there)
        known = tmp_path / "state/dsrwizard/known_certificates"
        known.write_text(known.read_text().replace(str(shop.box.port), str(false.port)))
        with pytest.raises(HostKeyChanged):
            LoadbalancerOrg(here, shop.operator).observe(here)
        assert not false.requests, "nothing was sent to it, no password and no key either"
    finally:
        false.close()


def test_one_that_changes_between_two_connections_gets_no_password(shop: OrgShop) -> None:
    place = door.management(LBCLI_API, shop.deployment().balancer or Balancer(), "127.0.0.1")
    with pytest.raises(HostKeyChanged, match="is not the one that was shown before"):
        Lbcli(place, Trust(fingerprint="00" * 32), Secret(ORG_PASSWORD), Secret(ORG_KEY)).read(DUMP)
    assert not shop.box.requests


def test_a_certificate_that_is_not_accepted_gets_no_password(shop: OrgShop) -> None:
    shop.operator.accepts = False
    with pytest.raises(HostKeyUnknown):
        LoadbalancerOrg(shop.deployment(), shop.operator).observe(shop.deployment())
    assert not shop.box.requests


def test_password_and_key_are_two_questions_that_are_asked_again_once(shop: OrgShop) -> None:
    operator = Operator("wrong", ORG_PASSWORD, key=ORG_KEY)
    port = LoadbalancerOrg(shop.deployment(), operator)
    assert port.observe(shop.deployment()).product == "Loadbalancer.org"
    port.close()
    asked = [(one.kind, one.refused) for one in operator.asked if isinstance(one, SecretQuestion)]
    assert asked == [("balancer", False), ("api-key", False), ("balancer", True), ("api-key", True)]
    with pytest.raises(LoginRefused, match="login as loadbalancer") as refused:
        LoadbalancerOrg(shop.deployment(), Operator(ORG_PASSWORD, key="wrong")).observe(shop.deployment())
    assert "does not say which is wrong" in refused.value.why
    assert shop.box.refused == 1 + 2


def test_without_a_password_nothing_is_sent(shop: OrgShop) -> None:
    class Silent(Operator):
        def secret(self, question: SecretQuestion) -> Secret | None:
            return None

    with pytest.raises(LoginRefused) as refused:
        LoadbalancerOrg(shop.deployment(), Silent()).observe(shop.deployment())
    assert "No password or no key was given." in refused.value.why
    assert not shop.box.requests


def test_no_secret_is_written_or_told_anywhere(
    shop: OrgShop, tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    deployment = shop.deployment()
    shop.box.faults = [(lambda one: one["action"] == "add-vip", "page")]
    shop.apply(deployment)
    assert shop.apply(deployment).ok
    problems: list[str] = []
    for kind in ("busy", "cut", "page"):
        shop.box.faults = [(lambda one: one["action"] == "list", kind)] * 3
        try:
            LoadbalancerOrg(deployment, Operator(ORG_PASSWORD, key=ORG_KEY)).observe(deployment)
        except DsrError as problem:
            problems.append(repr(problem) + " ".join(problem.lines()))
    try:
        LoadbalancerOrg(deployment, Operator(ORG_PASSWORD, key=ORG_KEY + "x")).observe(deployment)
    except DsrError as problem:
        problems.append(repr(problem) + " ".join(problem.lines()))
    shop.box.faults = []
    assert shop.teardown(deployment).ok
    assert len(problems) == 4
    out = capfd.readouterr()
    told = [caplog.text, out.out, out.err, repr(shop.events), *problems]
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pem"]
    told += [path.read_text(errors="replace") for path in files]
    basic = b64encode(f"{ORG_USER}:{ORG_PASSWORD}".encode()).decode()
    for secret in (ORG_PASSWORD, ORG_KEY, basic, b64encode(ORG_KEY.encode()).decode()):
        assert not any(secret in text for text in told)
