"""The engine over real WinRM (HTTP and TLS, sealed NTLM) to modelled Windows hosts: set up, again, taken back."""

from __future__ import annotations

import logging
import re
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from backends.winrm import connector, open_winrm
from dsrwizard.core.model.deployment import Client, Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.ports import Asker, Connector
from dsrwizard.engine.engine import Engine
from dsrwizard.engine.journal import Journals
from dsrwizard.engine.locks import Lease
from dsrwizard.engine.silent_asker import Quiet
from tests.fakes.world import World
from tests.ssh.sshd import Operator
from tests.windows.behaving import Behaving, Say, server
from tests.windows.certificates import Certificate
from tests.windows.conftest import PASSWORD, VIP
from tests.windows.endpoint import Endpoint
from tests.windows.host import WindowsHost

Listen = Callable[..., Endpoint]


def engine_of(folder: Path, asker: Asker) -> Engine:
    def connect(host: str, target: RealServer | Client, asker: Asker) -> Connector:
        assert isinstance(target, RealServer)
        return open_winrm(host, target, asker)

    world = World.lab()
    return Engine(
        director=lambda interface: world.director(),
        wire=world.wire(),
        connect=connect,
        asker=asker,
        journals=Journals(folder / "journal"),
    )


def farm_of(*servers: RealServer) -> Deployment:
    vips = (Vip(address=VIP, services=(Service(port=80),)),)
    return Deployment(
        name="shop", director=Director(interface="eth0", engine="external"), vips=vips, servers=tuple(servers)
    )


def windows(version: str = "2022") -> WindowsHost:
    return WindowsHost(version, address="127.0.0.1")


@pytest.mark.parametrize(("version", "tls"), [("2008 R2", False), ("2022", True)])
def test_set_up_again_and_taken_back(
    listen: Listen, self_signed: Certificate, operator: Operator, tmp_path: Path, version: str, tls: bool
) -> None:
    host = windows(version)
    before = host.state()
    endpoint = listen(
        host, certificate=self_signed if tls else None, generation="2008 R2" if version == "2008 R2" else "2012"
    )
    asker = Quiet(operator)  # as the product has it: what is remembered is remembered for this very one
    deployment, engine = farm_of(server(endpoint)), engine_of(tmp_path, asker)
    plan = engine.plan(deployment, engine.observe(deployment))
    result = engine.apply(deployment, plan, lambda event: None, None, Lease())
    assert result.ok, [one.failure for one in result.hosts]
    assert host.accepts(VIP)
    assert host.admits(VIP, "tcp", 80)
    again = engine_of(tmp_path, asker)
    assert again.plan(deployment, again.observe(deployment)).steps == ()
    assert engine.teardown(deployment, engine.teardown_plan(deployment), lambda event: None).ok
    assert host.state() == before
    assert host.not_modelled == []
    assert endpoint.actions("Create") == ["Create"] * len(endpoint.actions("Delete"))
    assert len(operator.secrets) == 1, "one password for the whole run"


def test_one_observation_is_one_shell_and_one_login(listen: Listen, operator: Operator, tmp_path: Path) -> None:
    endpoint = listen(windows())
    deployment, engine = farm_of(server(endpoint)), engine_of(tmp_path, operator)
    engine.observe(deployment)
    engine.observe(deployment)
    one = ["Create", "Command", "Receive", "Delete"]
    assert [action for number, action in enumerate(endpoint.actions()) if action != endpoint.actions()[number - 1]] == [
        *one, *one
    ]  # fmt: skip
    assert endpoint.logins == [("Administrator", True)]


def test_twenty_at_once(listen: Listen) -> None:
    barrier = threading.Barrier(20, timeout=30)

    def meets(script: str, out: Say, err: Say) -> int:
        barrier.wait()  # passed only when all twenty scripts run at the same time
        out(f"{script}\r\n")
        return 0

    endpoints = [listen(Behaving(meets)) for _ in range(20)]

    def one(number: int) -> str:
        opened = open_winrm(f"win{number}", server(endpoints[number]), Operator(answers=[PASSWORD]))
        try:
            return opened.run(f"# {number}", deadline=60).stdout
        finally:
            opened.close()

    with ThreadPoolExecutor(20) as pool:
        assert list(pool.map(one, range(20))) == [f"# {number}\n" for number in range(20)]


def test_a_host_that_dies_during_the_apply_is_told_and_the_other_is_done(
    listen: Listen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connector, "AWAY_SECONDS", 0.3)
    doomed, well = windows(), windows()
    endpoints = [listen(doomed), listen(well)]
    servers = [server(endpoint, name=f"win{number}") for number, endpoint in enumerate(endpoints)]
    operator = Operator(answers=[PASSWORD] * 2, accepts=True)
    deployment, engine = farm_of(*servers), engine_of(tmp_path, operator)
    plan = engine.plan(deployment, engine.observe(deployment))
    register = doomed.register

    def dies(mark: str) -> str:
        endpoints[0].stop()
        return register(mark)

    doomed.register = dies  # type: ignore[method-assign]
    result = engine.apply(deployment, plan, lambda event: None, None, Lease())
    by_name = {one.host: one for one in result.hosts}
    assert by_name["win1"].outcome is Outcome.CHANGED
    assert by_name["win0"].outcome is Outcome.UNKNOWN
    failure = by_name["win0"].failure
    assert failure is not None
    assert "win0: the connection broke while the script ran." in failure.what
    assert "unknown" in failure.why
    assert well.accepts(VIP)
    assert not endpoints[0].actions("Command")[2:], "a script that may have begun is not begun again"


def test_the_password_is_written_nowhere(
    listen: Listen,
    self_signed: Certificate,
    tmp_path: Path,
    state: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    endpoints = [
        listen(windows()),
        listen(windows(), certificate=self_signed),
        listen(windows(), certificate=self_signed),
    ]
    endpoints[2].basic, endpoints[2].negotiate = True, False
    servers = [server(endpoint, name=f"win{number}") for number, endpoint in enumerate(endpoints)]
    servers[2] = msgspec.structs.replace(servers[2], auth="basic")
    operator = Operator(answers=[PASSWORD] * 3, accepts=True)
    deployment, engine = farm_of(*servers), engine_of(tmp_path, operator)
    result = engine.apply(
        deployment, engine.plan(deployment, engine.observe(deployment)), lambda e: told.append(repr(e))
    )
    assert result.ok, [one.failure for one in result.hosts if one.failure]
    wrong = Operator(answers=[f"{PASSWORD}-{number}" for number in range(4)], accepts=True)
    for one in servers[::2]:
        with pytest.raises(HostError) as caught:
            open_winrm(one.name, one, wrong).run("exit 0", deadline=60)
        told.append("".join(traceback.format_exception(caught.value)) + repr(vars(caught.value)))
    opened = open_winrm("win1", servers[1], Operator(answers=[PASSWORD], accepts=True))
    opened.run("exit 0", deadline=60)
    told += [repr(opened), repr(vars(opened)), str(vars(opened))]
    written = "".join(
        file.read_text(errors="replace")
        for place in (tmp_path / "journal", state)
        for file in place.rglob("*")
        if file.is_file()
    )
    assert "win1" in written, "there is a journal to look into"
    everything = "".join(told) + written + caplog.text + "".join(capfd.readouterr())
    assert PASSWORD not in everything
    assert PASSWORD.encode() not in endpoints[0].seen
    assert PASSWORD.encode("utf-16-le") not in endpoints[0].seen
    assert b"DSRWIZARD" not in endpoints[0].seen, "the script is sealed over HTTP, too"
    assert re.findall(rb"/wsman[^\n]*", bytes(endpoints[0].seen)) == [b"/wsman"] * bytes(endpoints[0].seen).count(
        b"/wsman"
    )


def test_many_threads_do_not_disturb_each_other(listen: Listen, tmp_path: Path) -> None:
    endpoint = listen(windows())

    def one(number: int) -> str:
        opened = open_winrm("win1", server(endpoint), Operator(answers=[PASSWORD]))
        try:
            script = f"[Console]::Out.WriteLine('{number}')"
            return "".join(opened.run(script, deadline=60).stdout for _ in range(3))
        finally:
            opened.close()

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(one, range(8))) == [f"{number}\n" * 3 for number in range(8)]
