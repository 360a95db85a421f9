"""The alert rules and the dashboard below contrib/: Prometheus takes them, they fire when they should and at no other
time, and what they name is what `dsrwizard metrics` serves."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dsrwizard.core.model.causes import CAUSES
from dsrwizard.core.model.guarding import DestinationPlace, GuardState, HeldOut
from dsrwizard.core.model.snapshot import DirectorRow, FarmFault, Round, Snapshot, State
from dsrwizard.core.tell.metrics import exposition
from tests.fakes.pictures import AT, destination, picture, service

CONTRIB = Path(__file__).parents[2] / "contrib"
RULES = CONTRIB / "prometheus" / "dsrwizard.rules.yml"
TRIALS = CONTRIB / "prometheus" / "dsrwizard.rules.test.yml"
DASHBOARD = json.loads((CONTRIB / "grafana" / "dsrwizard.json").read_text())
VARIABLES = {"$__rate_interval": "5m", "$instance": ".*", "$vip": ".*"}


def everything() -> Snapshot:
    """A moment at which every metric has a sample."""
    rows = (destination("web1"), destination("web2", state="vip-dead", cause="vip-missing"))
    fault = FarmFault(
        host="director", cause="ipvs-differs", vip="10.0.0.10", service="tcp/80", message="", evidence="", fix="",
        since=AT,
    )  # fmt: skip
    guard = GuardState(
        deployment="shop", pid=1, since=AT, at=AT, every=0.5, floor=50, rounds=9, round_seconds=0.1, announces=True,
        held=(HeldOut(place=DestinationPlace("10.0.0.10", "tcp/80", "web2"), since=AT, why="silent", weight=1),),
    )  # fmt: skip
    return msgspec.structs.replace(
        picture((service("10.0.0.10", rows),)),
        read_milliseconds=0.4, drift_age=5.0, audit_age=1.0, proof_age=9.0, verdict="fail", faults=(fault,),
        round=Round(seconds=1.5, pairs=3), guard=guard,
        directors=(DirectorRow(name="director", seen=True, holds=("10.0.0.10",)),),
    )  # fmt: skip


SERVED = {
    sample.name: set(sample.labels) | {"instance", "job"}
    for family in text_string_to_metric_families(exposition(everything(), AT))
    for sample in family.samples
} | {"up": {"instance", "job"}}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def shown() -> list[tuple[str, str, str]]:
    """Every query of the dashboard: its panel, the query, what its legend is made of."""
    return [
        (panel["title"], target["expr"], target["legendFormat"])
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    ]


def metrics_of(expression: str) -> set[str]:
    return set(re.findall(r"\bdsrwizard_\w+|\bup\b(?=[{ ])", re.sub(r'"[^"]*"', '""', expression)))


def promtool(*arguments: str, fed: str | None = None) -> str:
    program = shutil.which("promtool")
    assert program, "make test installs it: Debian's package prometheus"
    done = subprocess.run([program, *arguments], input=fed, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- alerts ----------------------------------------------------------------------------------------------------------


def test_prometheus_takes_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(RULES))


def test_each_alert_fires_when_it_should_and_at_no_other_time() -> None:
    assert "SUCCESS" in promtool("test", "rules", str(TRIALS))


def test_each_alert_is_tried_firing_and_quiet() -> None:
    trials = [one for trial in yaml.safe_load(TRIALS.read_text())["tests"] for one in trial["alert_rule_test"]]
    for rule in rules():
        asked = [bool(one["exp_alerts"]) for one in trials if one["alertname"] == rule["alert"]]
        assert True in asked, rule["alert"]
        assert False in asked, rule["alert"]


def test_a_rule_that_is_broken_fails_its_trial(tmp_path: Path) -> None:
    (tmp_path / TRIALS.name).write_text(TRIALS.read_text())
    (tmp_path / RULES.name).write_text(RULES.read_text().replace("dsrwizard_arp_leak == 1", "dsrwizard_arp_leak == 2"))
    with pytest.raises(AssertionError, match="DsrArpLeak"):
        promtool("test", "rules", str(tmp_path / TRIALS.name))


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_an_alert_names_what_is_served_and_says_what_to_do(rule: dict[str, Any]) -> None:
    named = metrics_of(rule["expr"])
    assert named
    assert named <= set(SERVED)
    text = " ".join(rule["annotations"].values())
    labels = set(re.findall(r"\$labels\.(\w+)", text))
    assert labels <= set.union(*(SERVED[name] for name in named))
    assert "dsrwizard" in rule["annotations"]["description"]
    assert set(re.findall(r"dsrwizard explain ([a-z-]+)", text)) <= set(CAUSES)
    assert rule["labels"]["severity"] in ("critical", "warning")


# --- the dashboard ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("title", "expression", "legend"), shown())
def test_a_panel_names_metrics_and_labels_that_are_served(title: str, expression: str, legend: str) -> None:
    named = metrics_of(expression)
    assert named, title
    assert named <= set(SERVED)
    labels = {*re.findall(r"\{\{(\w+)\}\}", legend), *re.findall(r"[{,]\s*(\w+)=~?\"", expression)}
    for grouped in re.findall(r"\b(?:by|on)\s*\(([^)]+)\)", expression):
        labels |= {word.strip() for word in grouped.split(",")}
    assert labels <= set.union(*(SERVED[name] for name in named))


def test_prometheus_takes_every_query_of_the_dashboard(tmp_path: Path) -> None:
    queries = [expression for _, expression, _ in shown()]
    for variable, value in VARIABLES.items():
        queries = [query.replace(variable, value) for query in queries]
    assert not any("$" in query for query in queries)
    file = tmp_path / "queries.yml"
    recorded = [{"record": f"panel:{number}", "expr": query} for number, query in enumerate(queries)]
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    assert f"{len(queries)} rules found" in promtool("check", "rules", str(file))


def test_every_state_has_its_line_and_its_word_on_the_dashboard() -> None:
    (panel,) = (one for one in DASHBOARD["panels"] if one["type"] == "state-timeline")
    (query,) = (target["expr"] for target in panel["targets"])
    told = set(re.findall(r'state="([a-z-]+)"', query)) | {"up"}
    assert told == set(get_args(State))
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert len(mapping["options"]) == len(told)
    numbers = {int(number) for number in re.findall(r"(\d) \* max", query)} | {0}
    assert {int(number) for number in mapping["options"]} == numbers


def test_the_panels_stand_side_by_side_and_the_variables_are_its_own() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["description"]
    variables = {one["name"] for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD))) - {"__rate_interval", "__all"}
    assert used == variables


def test_promtool_has_no_complaint_about_the_metrics_themselves() -> None:
    assert promtool("check", "metrics", fed=exposition(everything(), AT)).strip() == ""
