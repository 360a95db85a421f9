"""The wizard's session and the deployments it keeps: what survives a kill, a damaged file and a full disk."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from dsrwizard import session
from dsrwizard.core.intake.deployment_file import load, loads
from dsrwizard.core.intake.draft import Draft, DraftServer, DraftService, DraftVip
from dsrwizard.core.model.errors import DsrError
from dsrwizard.session import Session

SHOP = """\
name = "shop"
director = { interface = "eth0" }
vips = [{ address = "10.0.0.10", services = [{ port = 80 }] }]
servers = [{ name = "web1", address = "10.0.0.101" }]
"""


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / "dsrwizard"


def half_typed() -> Draft:
    return Draft(
        name="shop",
        vips=[DraftVip(address="10.0.0.", services=[DraftService(port="eighty")])],
        servers=[DraftServer(name="wéb 1", vips=["x"])],
    )


def test_the_draft_comes_back_as_it_was_typed(state: Path) -> None:
    Session(draft=half_typed(), step="servers", visited={"vip", "director"}).save()
    back = Session.load()
    assert back is not None
    assert (back.draft, back.step, back.visited) == (half_typed(), "servers", {"vip", "director"})
    assert back.path == state / "session.json"


def test_another_directory_has_its_own_session(tmp_path: Path) -> None:
    Session(draft=half_typed(), path=tmp_path / "other" / "session.json").save()
    assert Session.load() is None
    assert Session.load(tmp_path / "other") is not None


def test_only_its_owner_may_read_it(state: Path) -> None:
    Session(draft=half_typed()).save()
    assert stat.S_IMODE((state / "session.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


def test_a_save_that_fails_leaves_the_last_one_and_no_rubbish(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Session(draft=half_typed(), step="vip").save()

    def full(_: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DsrError, match="No space left"):
        Session(draft=Draft(), step="review").save()
    kept = Session.load()
    assert kept is not None
    assert kept.step == "vip"
    assert [path.name for path in state.iterdir()] == ["session.json"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"draft": 1}',
        b'{"draft": {"servers": [{"vips": 5}]}}',
        b"\xff\xfe",
        b"\0" * 50,
        b"[" * 99_999,
    ],
    ids=["empty", "half", "list", "number", "inner", "utf-16", "nul", "deep"],
)
def test_a_damaged_session_is_set_aside_and_said(state: Path, content: bytes) -> None:
    state.mkdir()
    (state / "session.json").write_bytes(content)
    notices: list[str] = []
    assert Session.load(notice=notices.append) is None
    assert (state / "session.json.damaged").read_bytes() == content
    assert not (state / "session.json").exists()
    assert "session.json.damaged" in notices[0]
    assert Session.load(notice=notices.append) is None
    assert len(notices) == 1


def test_a_session_of_a_later_version_is_read_as_far_as_known(state: Path) -> None:
    state.mkdir()
    (state / "session.json").write_text('{"draft": {"name": "shop", "novelty": 1}, "step": "vip", "more": []}')
    back = Session.load()
    assert back is not None
    assert back.draft.name == "shop"


def test_an_unreadable_session_is_left_where_it_is(state: Path) -> None:
    (state / "session.json").mkdir(parents=True)
    notices: list[str] = []
    assert Session.load(notice=notices.append) is None
    assert "cannot be read" in notices[0]
    assert (state / "session.json").is_dir()


def test_what_cannot_be_saved_is_said_plainly() -> None:
    draft = Draft()
    draft.name = "\ud800"  # as a field sets it
    with pytest.raises(DsrError, match="not text"):
        Session(draft=draft).save()


def test_discard_forgets_and_may_be_repeated() -> None:
    kept = Session(draft=half_typed())
    kept.save()
    kept.discard()
    kept.discard()
    assert Session.load() is None


def test_applied_deployments_are_kept_until_forgotten(state: Path) -> None:
    shop = loads(SHOP)
    first = session.save_deployment(shop)
    second = session.save_deployment(loads(SHOP.replace("shop", "mail")))
    assert first == state / "deployments" / "shop.toml"
    assert load(first) == shop
    session.forget_deployment("shop")
    session.forget_deployment("shop")
    assert list((state / "deployments").iterdir()) == [second]
