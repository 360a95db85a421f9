"""What each load balancer cannot say is refused at its key, with the nearest that it has; what it can say passes.

The table is that of the products' manuals, written out a second time: scheduler by scheduler, word by word.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsrwizard.core.intake.deployment_file import FileRefused, loads
from dsrwizard.core.intake.draft import Draft, DraftServer, DraftService, DraftVip
from dsrwizard.core.intake.expressible import product_problems
from dsrwizard.core.intake.problems import Problem
from dsrwizard.core.model.deployment import SCHEDULERS
from dsrwizard.core.model.foreign import harmless
from dsrwizard.core.model.products import PRODUCTS

ENGINES = ("netscaler", "aloha", "loadbalancer.org", "barracuda")
NAMES = dict(zip(ENGINES, ("NetScaler", "ALOHA", "Loadbalancer.org", "Barracuda"), strict=True))
LACKS = ""
TABLE: dict[str, tuple[str, str, str, str]] = {
    "rr": ("ROUNDROBIN", "roundrobin", "wrr", "Weighted Round-Robin"),
    "wrr": ("ROUNDROBIN", "roundrobin", "wrr", "Weighted Round-Robin"),
    "lc": ("LEASTCONNECTION", "leastconn", "wlc", "Weighted Least Connections"),
    "wlc": ("LEASTCONNECTION", "leastconn", "wlc", "Weighted Least Connections"),
    "sh": ("SOURCEIPHASH", "source", LACKS, LACKS),
    "mh": ("SOURCEIPHASH", LACKS, LACKS, LACKS),
    "dh": ("DESTINATIONIPHASH", "dest", "dh", LACKS),
    "lblc": (LACKS, "leastconn localitybased", LACKS, LACKS),
    "lblcr": (LACKS, "leastconn localitybased replication", LACKS, LACKS),
    "sed": (LACKS, "shortestexpected", LACKS, LACKS),
    "nq": (LACKS, "neverqueue", LACKS, LACKS),
    "fo": (LACKS, LACKS, LACKS, LACKS),
    "ovf": (LACKS, LACKS, LACKS, LACKS),
    "twos": (LACKS, LACKS, LACKS, LACKS),
}  # fmt: skip
CELLS = [
    (engine, scheduler, word) for scheduler, words in TABLE.items() for engine, word in zip(ENGINES, words, strict=True)
]


def farm(engine: str, *services: DraftService, weights: tuple[str, ...] = ("1", "1")) -> Draft:
    return Draft(
        name="shop",
        interface="eth0",
        engine=engine,
        vips=[DraftVip(address="10.0.0.10", services=list(services) or [DraftService(port="80")])],
        servers=[
            DraftServer(name=f"web{number}", address=f"10.0.0.{100 + number}", weight=weight)
            for number, weight in enumerate(weights, 1)
        ],
    )


def told(draft: Draft) -> list[Problem]:
    return list(product_problems(draft))


def only(draft: Draft, key: str, *words: str) -> Problem:
    (problem,) = told(draft)
    assert problem.key == key
    for word in (NAMES[draft.engine], *words):
        assert word in problem.text, problem.text
    return problem


def test_the_table_has_every_scheduler_and_every_product() -> None:
    assert set(TABLE) == set(SCHEDULERS)
    assert set(ENGINES) == set(PRODUCTS)


@pytest.mark.parametrize(("engine", "scheduler", "word"), CELLS)
def test_a_scheduler_is_said_in_the_products_words_or_refused(engine: str, scheduler: str, word: str) -> None:
    draft = farm(engine, DraftService(port="80", scheduler=scheduler))
    if word:
        assert told(draft) == []
        assert PRODUCTS[engine].methods[scheduler] == word
        return
    problem = only(draft, "vips[0].services[0].scheduler", f"has no scheduler {scheduler}.")
    written = problem.hint.partition('scheduler = "')[2].partition('"')[0]
    again = farm(engine, DraftService(port="80", scheduler=written))
    assert told(again) == [], "what is told to be written is refused, too"


@pytest.mark.parametrize(("engine", "scheduler"), [("loadbalancer.org", "sh"), ("barracuda", "mh")])
def test_where_no_hash_is_had_persistence_is_offered(engine: str, scheduler: str) -> None:
    only(
        farm(engine, DraftService(port="80", scheduler=scheduler)), "vips[0].services[0].scheduler", "persistence = 300"
    )
    kept = DraftService(port="80", scheduler=scheduler, persistence="50")
    assert "with its persistence" in only(farm(engine, kept), "vips[0].services[0].scheduler").hint


UNWEIGHTED = {
    "netscaler": {"rr", "lc", "sh", "mh", "dh"},
    "aloha": {"rr", "lc", "dh"},
    "loadbalancer.org": {"rr", "lc", "dh"},
    "barracuda": {"rr", "lc"},
}


@pytest.mark.parametrize(("engine", "scheduler"), [(engine, name) for engine, name, word in CELLS if word])
def test_weights_go_with_the_schedulers_that_heed_them(engine: str, scheduler: str) -> None:
    service = DraftService(port="80", scheduler=scheduler)
    assert told(farm(engine, service, weights=("7", "7", "0"))) == [], "equal weights, and one that is held"
    draft = farm(engine, service, weights=("1", "1", "3"))
    if scheduler not in UNWEIGHTED[engine]:
        assert told(draft) == []
        return
    heeding = "wlc" if scheduler == "lc" else "wrr"
    only(draft, "servers[2].weight", "weights do nothing", "weight = 1", f'scheduler = "{heeding}"', "tcp/80")
    assert told(farm(engine, DraftService(port="80", scheduler=heeding), weights=("1", "1", "3"))) == []


def test_weights_of_servers_of_another_vip_do_not_count() -> None:
    draft = farm("netscaler", DraftService(port="80", scheduler="sh"), weights=("1", "5"))
    draft.vips.append(DraftVip(address="10.0.0.11", services=[DraftService(port="80", scheduler="wrr")]))
    draft.servers[0].vips, draft.servers[1].vips = ["10.0.0.10"], ["10.0.0.11"]
    assert told(draft) == []


@pytest.mark.parametrize(
    ("engine", "most"), [("netscaler", 100), ("aloha", 256), ("loadbalancer.org", 65_535), ("barracuda", None)]
)
def test_a_weight_beyond_what_the_product_takes_is_refused_with_the_ratio_kept(engine: str, most: int | None) -> None:
    assert told(farm(engine, weights=(str(most or 65_535), "1", "0"))) == []
    if most is None or most == 65_535:
        return
    only(
        farm(engine, weights=(str(2 * most), str(most))), "servers[0].weight", f"1 to {most}", "weight = 2; ", "web2 1"
    )
    odd = only(farm(engine, weights=(str(3 * most + 1), "1", "0")), "servers[0].weight", "web2 1", "web3 0")
    assert f"weight = {most};" in odd.hint


@pytest.mark.parametrize(
    ("seconds", "nearest"),
    [("0", ""), ("60", ""), ("120", ""), ("86400", ""), ("1", "60"), ("90", "120"), ("119", "120"), ("86401", "86400")],
)
def test_netscaler_counts_persistence_in_minutes(seconds: str, nearest: str) -> None:
    draft = farm("netscaler", DraftService(port="80", persistence=seconds))
    if not nearest:
        assert told(draft) == []
        return
    only(draft, "vips[0].services[0].persistence", f"persistence = {nearest}.")
    for other in ENGINES[1:]:
        assert told(farm(other, DraftService(port="80", persistence=seconds))) == [], "these count in seconds"


@pytest.mark.parametrize(
    ("changed", "key"), [({"scheduler": "wrr"}, "scheduler"), ({"persistence": "60"}, "persistence")]
)
def test_what_netscaler_joins_in_any_has_one_scheduler_and_one_persistence(changed: dict[str, str], key: str) -> None:
    one = DraftService(protocol="tcp", port="53")
    assert told(farm("netscaler", one, DraftService(protocol="udp", port="53"))) == []
    other = msgspec.structs.replace(DraftService(protocol="udp", port="53"), **changed)
    only(farm("netscaler", one, other), f"vips[0].services[1].{key}", "type ANY", f"Write {key} = ")
    for engine in ENGINES[1:]:
        assert told(farm(engine, one, other)) == []
    apart = msgspec.structs.replace(other, port="54")
    assert told(farm("netscaler", one, apart)) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_an_ipv6_vip_is_refused_where_no_form_for_it_is_known(engine: str) -> None:
    draft = farm(engine)
    draft.vips[0].address = "fd00::10"
    if engine == "aloha":
        only(draft, "vips[0].address", "IPv4", "external")
    else:
        assert told(draft) == []


@pytest.mark.parametrize("engine", ["netlink", "keepalived", "external", "", "no such"])
def test_nothing_is_refused_for_another_balancer(engine: str) -> None:
    assert told(farm(engine, DraftService(port="80", scheduler="fo", persistence="7"), weights=("1", "60000"))) == []


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(ENGINES), st.text(max_size=80), st.text(max_size=80), st.text(max_size=80), st.text(max_size=80))
def test_any_text_in_a_draft_is_told_harmlessly_and_never_crashes(
    engine: str, port: str, persistence: str, weight: str, name: str
) -> None:
    draft = farm(
        engine, DraftService(port=port, persistence=persistence, scheduler="sh"),
        DraftService(protocol="udp", port=port, scheduler=name), weights=(weight, "900", "800"),
    )  # fmt: skip
    draft.servers[0].name = name
    for problem in told(draft):
        assert harmless(problem.text)
        assert len(problem.text) < 700


FILE = """\
name = "shop"
[director]
interface = "eth0"
engine = "{0}"
[[vips]]
address = "10.0.0.10"
[[vips.services]]
port = 80
scheduler = "fo"
[[servers]]
name = "web1"
address = "10.0.0.101"
"""


@pytest.mark.parametrize("engine", ["aloha", "barracuda"])
def test_a_file_is_refused_with_its_line_its_key_the_product_and_what_to_write(engine: str) -> None:
    with pytest.raises(FileRefused) as refused:
        loads(FILE.format(engine), "shop.toml")
    assert str(refused.value) == (
        f"shop.toml, line 9, vips[0].services[0].scheduler: {NAMES[engine]} has no scheduler fo. "
        'Write scheduler = "wlc", the nearest that it has.'
    )
    assert loads(FILE.format(engine).replace('"fo"', '"wlc"')).director.engine == engine


PAGE = (Path(__file__).parents[2] / "docs/load-balancers.md").read_text()


def test_the_page_has_the_word_of_each_product_for_each_scheduler() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \| (.+) \|$", PAGE, re.MULTILINE)
    told = {scheduler: words for scheduler, *words in rows}
    assert list(told) == list(SCHEDULERS)
    for scheduler, words in told.items():
        for product, word in zip(PRODUCTS.values(), words, strict=True):
            assert word == product.methods.get(scheduler, "-"), (product.name, scheduler)


def test_the_page_names_each_product_with_its_engine_and_that_none_was_met() -> None:
    for engine, product in PRODUCTS.items():
        assert re.search(rf'^\| .*{re.escape(product.name)}.* \| `"{re.escape(engine)}"` \|', PAGE, re.MULTILINE)
    assert "dsrwizard has never met any of these boxes." in PAGE
