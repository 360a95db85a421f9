"""What is done from a watch, and what others did: weights, verifications, a read-only watch."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.checks import Report
from dsrwizard.core.model.errors import DsrError, UsageError
from dsrwizard.core.model.snapshot import Bypass
from dsrwizard.core.record.owed import owed
from tests.fakes.engine import engine_of
from tests.fakes.operator import Nobody
from tests.unit.test_teardown import Farm
from tests.unit.test_watching_poller import Watch, watch

__all__ = ["watch"]


def test_drain_and_restore_leave_no_trace_and_are_told(watch: Watch) -> None:
    before = owed(watch.journal.entries())
    watch.poller.set_weight("web1", 0)
    watch.once()
    assert watch.states() == {
        ("tcp/80", "web1"): "draining", ("udp/7", "web1"): "draining",
        ("tcp/80", "web2"): "up", ("udp/7", "web2"): "up",
    }  # fmt: skip
    assert set(watch.world.requests(4)) == {"web2"}
    watch.poller.set_weight("web1", None)
    snapshot = watch.once()
    assert set(watch.states().values()) == {"up"}
    assert owed(watch.journal.entries()) == before
    told = [entry.message for entry in snapshot.happenings if entry.state == "info"]
    assert any("Weight 1 → 0 for web1" in message for message in told)
    assert any("up → draining" in entry.message for entry in snapshot.happenings)


def test_another_weight_is_set_in_one_service_only_and_is_drift(watch: Watch) -> None:
    watch.poller.set_weight("web1", 65535, "10.0.0.10", "udp/7")
    watch.once()
    weights = {(row.service, row.server): row.weight for one in watch.poller.snapshot().services for row in one.rows}
    assert weights == {("tcp/80", "web1"): 1, ("tcp/80", "web2"): 1, ("udp/7", "web1"): 65535, ("udp/7", "web2"): 1}
    assert watch.causes() == {("web1", "drifted", "ipvs-differs")}
    assert "65535, the deployment says 1" in watch.row(service="udp/7").message


@pytest.mark.parametrize("weight", [-1, 65536, True])
def test_a_weight_that_ipvs_would_not_take_is_refused_with_words(watch: Watch, weight: int) -> None:
    before = len(watch.journal.entries())
    with pytest.raises(UsageError, match=r"0 .* to 65535"):
        watch.poller.set_weight("web1", weight)
    assert len(watch.journal.entries()) == before


def test_servers_and_services_that_are_not_there_are_refused_with_words(watch: Watch) -> None:
    with pytest.raises(UsageError, match="web1, web2"):
        watch.poller.set_weight("web9", 1)
    with pytest.raises(DsrError, match=r"web1 is not in any IPVS service 10\.0\.0\.10 tcp/443"):
        watch.poller.set_weight("web1", 1, "10.0.0.10", "tcp/443")
    watch.world.ipvs.table.clear()
    with pytest.raises(DsrError, match="web1 is not in any IPVS service"):
        watch.poller.set_weight("web1", 0)


def test_a_read_only_watch_changes_nothing(tmp_path: Path) -> None:
    watch = Watch(tmp_path, read_only=True)
    with pytest.raises(DsrError, match="read-only"):
        watch.poller.set_weight("web1", 0)
    assert {row.state for service in watch.once().services for row in service.rows} == {"up"}


def test_the_weight_of_another_product_is_not_ours(tmp_path: Path) -> None:
    farm = Farm(tmp_path / "other")
    watch = Watch(tmp_path, deployment=farm.world.deployment(engine="external"))
    watch.world.strangers["10.0.0.10"] = ["02:00:0a:00:00:42"]
    with pytest.raises(UsageError):
        watch.poller.set_weight("web1", 0)
    assert {row.state for service in watch.once().services for row in service.rows} == {"up"}
    watch.world.strangers.clear()
    service = watch.once().services[0]
    assert service.cause == "director-vip"
    assert service.fix.endswith("dsrwizard runbook FILE --balancer other has the steps.")


def test_the_weights_of_keepalived_are_in_the_file(tmp_path: Path) -> None:
    watch = Watch(tmp_path, deployment=Farm(tmp_path / "other").world.deployment(engine="keepalived"))
    with pytest.raises(UsageError, match="keepalived owns the table") as told:
        watch.poller.set_weight("web1", 0)
    assert "weight = 0 for web1 in the file, then apply it" in " ".join(told.value.lines())


def test_what_the_operator_does_elsewhere_is_told_in_the_watch(tmp_path: Path) -> None:
    farm = Farm(tmp_path)
    engine = engine_of(farm.world, Nobody(), tmp_path)
    watcher = engine.watch(farm.deployment)
    engine.apply(farm.deployment, engine.plan(farm.deployment, engine.observe(farm.deployment)), lambda event: None)
    engine.verify(farm.deployment)
    told = [entry.message for entry in watcher.once().happenings if entry.state == "info"]
    assert any(message.startswith("apply: ") for message in told)
    assert any(message.startswith("verify: pass") for message in told)
    engine.close()


def test_the_bypass_is_that_of_the_last_verification_that_measured_it(watch: Watch) -> None:
    measured = Bypass(request_bytes=100, reply_bytes=5000, at=1000.0)
    report = Report(deployment="shop", verdict="pass", checks=(), bypass=measured)
    watch.poller.verified(report)
    watch.poller.verified(msgspec.structs.replace(report, bypass=None))
    assert watch.poller.snapshot().bypass == measured
