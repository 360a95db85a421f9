"""Every test here has a HOME of its own, no agent, and nothing of this machine's SSH configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from backends.ssh import config, route
from tests.ssh.sshd import Operator, Sshd, keygen


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "home"
    (place / ".ssh").mkdir(parents=True, mode=0o700)
    monkeypatch.setenv("HOME", str(place))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(config, "SYSTEM_CONFIG", tmp_path / "no-such-etc" / "ssh_config")
    monkeypatch.setattr(route, "_GLOBAL_KNOWN", (tmp_path / "ssh_known_hosts",))
    return place


@pytest.fixture
def key(home: Path) -> Path:
    return keygen(home / "work_key")


@pytest.fixture
def operator() -> Operator:
    return Operator(accepts=True)


@pytest.fixture
def make_sshd(tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    servers: list[Sshd] = []

    def make(**options: Any) -> Sshd:
        server = Sshd(tmp_path / f"sshd{len(servers)}", **options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def sshd(make_sshd: Callable[..., Sshd], key: Path) -> Sshd:
    server = make_sshd()
    server.allow(key)
    return server
