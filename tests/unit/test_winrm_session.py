"""The session of a WinRM login: no proxy of the environment, and nothing that all threads of the process share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import requests.utils

from backends.winrm.place import WinrmListener
from backends.winrm.transport import WinrmChannel
from backends.winrm.trust import Trust
from dsrwizard.core.model.secret import Secret


def test_many_logins_at_once_share_no_variable_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """requests sets no_proxy for a moment, and what one thread has set another one takes away: a KeyError."""
    shared: list[str] = []

    @contextlib.contextmanager
    def set_environ(name: str, value: str | None) -> Iterator[None]:
        if value is not None:
            shared.append(name)
        yield

    monkeypatch.setattr(requests.utils, "set_environ", set_environ)
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    place = WinrmListener("web1", "10.0.0.101", 5986, True, "Administrator", "ntlm", None, "")
    session = WinrmChannel(place, Trust(), Secret("s")).transport.build_session()
    assert shared == []
    assert session.proxies == {}
    assert session.trust_env is False
