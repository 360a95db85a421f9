"""Metrics as Prometheus gets them: scraped over HTTP and read with prometheus_client's own parser."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from backends.metrics import MetricsServer
from dsrwizard.cli import wiring
from dsrwizard.cli.streaming import listen_at
from dsrwizard.core.model.errors import DsrError, UsageError
from dsrwizard.core.model.snapshot import Round, Snapshot, Totals
from dsrwizard.core.tell.metrics import STALE_SECONDS, escaped, exposition
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.fakes.pictures import AT, destination, picture, service
from tests.fakes.started import heeding
from tests.fakes.world import World
from tests.unit.test_cli import Shell, shell

__all__ = ["shell"]
SERVICE = {"vip": "10.0.0.10", "port": "80", "protocol": "tcp"}


class Scrape:
    """What one scrape brought."""

    def __init__(self, text: str) -> None:
        self.families = {family.name: family for family in text_string_to_metric_families(text)}
        self.samples: list[Sample] = [one for family in self.families.values() for one in family.samples]

    def all(self, name: str) -> dict[frozenset[tuple[str, str]], float]:
        """Every sample of one metric by its labels."""
        found = {frozenset(one.labels.items()): one.value for one in self.samples if one.name == f"dsrwizard_{name}"}
        assert len(found) == sum(one.name == f"dsrwizard_{name}" for one in self.samples), "a sample came twice"
        return found

    def one(self, name: str, **labels: str) -> float:
        return self.all(name)[frozenset(labels.items())]

    def state(self, server: str) -> str:
        """The one state that is 1."""
        (found,) = (
            dict(labels)["state"]
            for labels, value in self.all("real_server_state").items()
            if value and dict(labels)["server"] == server
        )
        return found


def scraped(snapshot: Snapshot | None, now: float = AT) -> Scrape:
    return Scrape(exposition(snapshot, now))


@contextlib.contextmanager
def served(text: Callable[[], str], address: str = "127.0.0.1") -> Iterator[MetricsServer]:
    server = MetricsServer(address, 0, text)
    try:
        yield server
    finally:
        server.close()


def fetch(port: int, path: str = "/metrics", method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


# --- the text --------------------------------------------------------------------------------------------------------


def test_services_and_real_servers_have_the_counters_of_ipvs_in_base_units() -> None:
    totals = Totals(connections=81_000, in_packets=486_000, in_bytes=38_880_000)
    rows = (destination("web1", active=12), destination("web2", state="draining", weight=0))
    shop = msgspec.structs.replace(service("10.0.0.10", rows), totals=totals)
    got = scraped(msgspec.structs.replace(picture((shop,)), read_milliseconds=0.4))
    assert got.one("ipvs_connections_total", **SERVICE) == 81_000
    assert got.one("ipvs_incoming_packets_total", **SERVICE) == 486_000
    assert got.one("ipvs_incoming_bytes_total", **SERVICE) == 38_880_000
    assert got.one("ipvs_outgoing_packets_total", **SERVICE) == 0
    assert got.one("ipvs_backend_weight", **SERVICE, server="web2") == 0
    assert got.one("ipvs_backend_connections_active", **SERVICE, server="web1") == 12
    assert got.one("ipvs_read_duration_seconds") == pytest.approx(0.0004)
    assert got.one("probe_duration_seconds", **SERVICE, server="web1") == pytest.approx(0.0008)
    assert got.one("last_read_timestamp_seconds") == AT
    assert got.one("up") == got.one("ipvs_up") == 1


def test_names_types_and_help_are_as_prometheus_wants_them() -> None:
    full = msgspec.structs.replace(picture(), drift_age=5.0, round=Round(seconds=1.5, pairs=3))
    for family in scraped(full).families.values():
        assert family.documentation
        assert family.name.startswith("dsrwizard_")
        assert family.type == ("counter" if family.samples[0].name.endswith("_total") else "gauge")
        assert not family.name.endswith(("_milliseconds", "_ms", "_kilobytes"))


def test_each_real_server_is_in_one_state_and_the_cause_is_named() -> None:
    rows = (
        destination("web1"),
        destination("web2", state="draining", weight=0),
        msgspec.structs.replace(destination("web3", state="vip-dead"), cause="vip-missing", since=AT - 60),
        msgspec.structs.replace(destination("web4", state="leaking"), cause="arp-leak"),
    )
    got = scraped(picture((service("10.0.0.10", rows),)))
    assert [got.state(f"web{number}") for number in (1, 2, 3, 4)] == ["up", "draining", "vip-dead", "leaking"]
    assert set(got.all("real_server_cause")) == {
        frozenset((SERVICE | {"server": "web3", "cause": "vip-missing"}).items()),
        frozenset((SERVICE | {"server": "web4", "cause": "arp-leak"}).items()),
    }
    assert got.one("probe_success", **SERVICE, server="web1") == 1
    assert got.one("probe_success", **SERVICE, server="web3") == 0
    assert got.one("arp_leak", vip="10.0.0.10", server="web1") == 0
    assert got.one("arp_leak", vip="10.0.0.10", server="web4") == 1
    assert got.one("real_server_state_since_timestamp_seconds", **SERVICE, server="web3") == AT - 60


def test_who_owns_the_vip() -> None:
    mine, theirs, nobody = (service(f"10.0.0.{number}", (destination("web1"),)) for number in (10, 11, 12))
    theirs = msgspec.structs.replace(theirs, owner="02:00:0a:00:00:99")
    nobody = msgspec.structs.replace(nobody, owner="")
    got = scraped(picture((mine, theirs, nobody)))
    assert got.all("vip_owner_director") == {
        frozenset({("vip", "10.0.0.10")}): 1,
        frozenset({("vip", "10.0.0.11")}): 0,
    }, "what is not known has no sample"


def test_what_is_not_known_has_no_sample() -> None:
    row = msgspec.structs.replace(destination("web1", state="unknown"), weight=None, arp="unknown", since=0.0)
    got = scraped(msgspec.structs.replace(picture((service("10.0.0.10", (row,)),)), drift_age=None))
    absent = (
        "ipvs_backend_weight", "ipvs_backend_connections_total", "probe_success", "probe_duration_seconds", "arp_leak",
        "real_server_state_since_timestamp_seconds", "drift_timestamp_seconds",
    )  # fmt: skip
    assert {name: got.all(name) for name in absent if got.all(name)} == {}
    assert got.state("web1") == "unknown"


def test_old_counters_are_not_shown_as_if_they_were_new() -> None:
    failed = msgspec.structs.replace(
        picture(), problem="No permission.", read_problem="No permission.", read_at=AT - 90, at=AT
    )
    got = scraped(failed)
    assert got.one("ipvs_up") == got.one("up") == 0
    assert not [one.name for one in got.samples if "_ipvs_" in one.name and one.name != "dsrwizard_ipvs_up"]
    assert got.one("last_read_timestamp_seconds") == AT - 90
    assert got.state("web1") == "up", "probes still work"


def test_a_watch_that_hangs_is_seen() -> None:
    got = scraped(picture(), AT + STALE_SECONDS + 1)
    assert got.one("up") == got.one("ipvs_up") == 0
    assert {one.name for one in got.samples} == {
        "dsrwizard_up", "dsrwizard_ipvs_up", "dsrwizard_build_info", "dsrwizard_last_read_timestamp_seconds",
    }  # fmt: skip
    assert scraped(None).one("up") == 0


def test_where_another_product_balances_nothing_is_said_about_ipvs() -> None:
    row = msgspec.structs.replace(destination("web1"), weight=None)
    external = msgspec.structs.replace(service("10.0.0.10", (row,)), present=None, totals=Totals())
    got = scraped(msgspec.structs.replace(picture((external,)), read_milliseconds=None))
    assert not [one.name for one in got.samples if "_ipvs_" in one.name]
    assert got.one("up") == 1


@given(st.text(max_size=40))
def test_no_label_breaks_the_text(name: str) -> None:
    (family,) = text_string_to_metric_families(f'x{{server="{escaped(name)}"}} 1\n')
    assert family.samples[0].labels["server"] == name


# --- over HTTP -------------------------------------------------------------------------------------------------------


def test_a_scrape_sees_the_farm_as_it_is_now(tmp_path: Path) -> None:
    world = World.lab()
    engine = engine_of(world, Nobody(), tmp_path)
    deployment = world.deployment()
    engine.apply(deployment, engine.plan(deployment, engine.observe(deployment)), lambda event: None)
    watcher = engine.watch(deployment)
    with contextlib.closing(engine), served(lambda: exposition(watcher.once(), time.time())) as server:
        world.requests(6)
        got = Scrape(fetch(server.port).read().decode())
        assert got.one("ipvs_connections_total", **SERVICE) == 6
        assert [got.state(f"web{number}") for number in (1, 2, 3)] == ["up", "up", "up"]
        assert got.one("vip_owner_director", vip="10.0.0.10") == 1
        assert "process_cpu_seconds" in got.families
        del world.servers["web2"].machine.links["lo"].addresses["10.0.0.10"]
        got = Scrape(fetch(server.port).read().decode())
        assert got.state("web2") == "vip-dead"
        world.unload_ipvs()
        got = Scrape(fetch(server.port).read().decode())
        assert got.one("ipvs_up") == 0
        assert got.all("ipvs_connections_total") == {}


def test_ten_thousand_real_servers_in_one_compressed_answer() -> None:
    rows = tuple(destination(f"web{number}") for number in range(100))
    farm = picture(
        tuple(
            service(vip, tuple(msgspec.structs.replace(row, vip=vip) for row in rows))
            for vip in (f"10.0.{number}.10" for number in range(100))
        )
    )
    with served(lambda: exposition(farm, AT)) as server:
        answer = fetch(server.port, **{"Accept-Encoding": "gzip"})
        body = answer.read()
    assert answer.headers["Content-Encoding"] == "gzip"
    assert len(body) < 2_000_000
    text = gzip.decompress(body).decode()
    samples = [line for line in text.splitlines() if line.startswith("dsrwizard_probe_success{")]
    assert len(set(samples)) == 10_000


def test_only_metrics_are_there_and_nothing_can_be_posted() -> None:
    with served(lambda: exposition(picture(), AT)) as server:
        answer = fetch(server.port)
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert fetch(server.port, "/").status == 404
        assert fetch(server.port, "/../etc/passwd").status == 404
        assert fetch(server.port, method="POST").status == 405
        head = fetch(server.port, method="HEAD")
        assert (head.status, head.read()) == (200, b"")


def test_a_client_that_goes_away_disturbs_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with served(lambda: exposition(picture(), AT)) as server:
        for said in (b"", b"\xff\xfe\r\n\r\n", b"GET /metrics HTTP/1.1\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # close by a reset
                client.sendall(said)
        assert fetch(server.port).status == 200
    assert "Traceback" not in capfd.readouterr().err


def test_an_address_in_use_is_told_with_what_to_do() -> None:
    with served(lambda: "") as server, pytest.raises(DsrError, match="in use") as caught:
        MetricsServer("127.0.0.1", server.port, lambda: "")
    assert "--listen" in caught.value.next


def test_loopback_is_told_from_everyone() -> None:
    with served(lambda: "", "127.0.0.1") as here, served(lambda: "", "0.0.0.0") as everyone:
        assert here.loopback
        assert not everyone.loopback


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:9749", ("127.0.0.1", 9749)),
        ("9749", ("127.0.0.1", 9749)),
        ("[::1]:80", ("::1", 80)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("localhost:9749", ("localhost", 9749)),
    ],
)
def test_where_to_listen(text: str, meant: tuple[str, int]) -> None:
    assert listen_at(text) == meant


@pytest.mark.parametrize(
    "text", ["", ":9749", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:70000", "::1", "a:b:80", "x:²"]
)
def test_where_nobody_can_listen(text: str) -> None:
    with pytest.raises(UsageError):
        listen_at(text)


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("listen", "warned"), [("127.0.0.1:0", False), ("0.0.0.0:0", True)])
def test_the_command_serves_until_it_is_stopped(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, listen: str, warned: bool
) -> None:
    shell("apply", str(shell.file), "--yes")
    make = wiring.metrics_server
    states: list[str] = []

    def serve(address: str, port: int, text: Callable[[], str], *access: Any) -> MetricsServer:
        server = make(address, port, text, *access)

        def scrape() -> None:
            try:
                while Scrape(fetch(server.port).read().decode()).one("up") == 0:  # there was no look yet
                    time.sleep(0.05)
                states.append(Scrape(fetch(server.port).read().decode()).state("web1"))
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=scrape, daemon=True).start()
        return server

    monkeypatch.setattr(wiring, "metrics_server", serve)
    with heeding():
        assert shell("metrics", str(shell.file), "--listen", listen) == 0
    assert states
    assert states[0] in ("up", "unknown")
    assert shell.out == ""
    assert "/metrics" in shell.err
    assert ("no password" in shell.err) is warned


def test_the_command_refuses_what_is_no_address(shell: Shell) -> None:
    assert shell("metrics", str(shell.file), "--listen", ":9749") == 2
    assert "0.0.0.0:9749" in shell.err
    assert shell("metrics", str(shell.file), "--interval", "0") == 2
