"""The load balancer's runbooks: the product's own words with this deployment's addresses, in the safe order, ticked by
what was proved from outside."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from dsrwizard.cli.main import run
from dsrwizard.core.dialects.aloha.writer import aloha_text
from dsrwizard.core.intake.deployment_file import dumps
from dsrwizard.core.intake.importers import read
from dsrwizard.core.model.checks import Check, CheckOutcome, Report
from dsrwizard.core.model.deployment import Balancer, Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.tell.runbook import HandBook, html, markdown, text
from dsrwizard.core.tell.runbook.balancer import balancer_book, balancer_proofs, contradictions
from dsrwizard.core.tell.runbook.step import COMPARED

PRODUCTS = ("netscaler", "loadbalancer.org", "aloha", "barracuda", "other")
SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0", engine="external"),
    vips=(
        Vip(
            address="10.0.0.10",
            services=(
                Service(port=80, scheduler="wrr", persistence=120),
                Service(port=53, protocol="udp", scheduler="wrr"),
            ),
        ),
    ),
    servers=(
        RealServer(name="web1", address="10.0.0.101", weight=10),
        RealServer(name="web2", address="10.0.0.102", weight=20),
    ),
)
Shelf = Callable[[str], HandBook]


def flat(book: HandBook) -> str:
    return " ".join(text(book).split())


def typed(book: HandBook) -> list[str]:
    return [line for step in book.steps for command in step.commands for line in command.split("\n")]


@pytest.mark.parametrize("product", PRODUCTS)
def test_every_step_says_why_how_to_see_it_and_how_to_undo_it_with_the_deployments_own_addresses(product: str) -> None:
    book = balancer_book(SHOP, product)
    for step in book.steps:
        assert step.why
        assert step.hand or step.commands
        assert step.see or step.check, f"{step.title}: how does one see that it took?"
        assert step.undo or step.back or step.proves, f"{step.title}: how is it undone?"
    said = text(book)
    for address in ("10.0.0.10", "10.0.0.101", "10.0.0.102"):
        assert address in said
    assert not re.search(r"<[A-Za-z ]+>|VIP_ADDRESS|x\.x\.x\.x|\bNone\b|\{|\}", said)


@pytest.mark.parametrize("product", PRODUCTS)
def test_no_server_gets_clients_before_it_is_proved_through_the_vip(product: str) -> None:
    """The safe order: each server is proved, then admitted, and not before."""
    steps = balancer_book(SHOP, product).steps
    for server in ("web1", "web2"):
        mine = [(number, step.proves) for number, step in enumerate(steps) if step.server == server]
        assert [proves for _, proves in mine] == ["vip.probe", "client.bypass"]
    before = " ".join(
        " ".join((*step.hand, *step.commands)) for step in steps[: [s.server for s in steps].index("web1")]
    )
    held = {
        "netscaler": "-state DISABLED", "loadbalancer.org": "--action halt --vip shop_80 --rip web2",
        "aloha": "No server stands in it yet", "barracuda": "Status Disable",
        "other": "disabled at first",
    }  # fmt: skip
    assert held[product] in before
    for word in ("enable service", "--action online", "Status Enable", "   server web"):
        assert word not in before


@pytest.mark.parametrize("product", PRODUCTS)
def test_markdown_and_html_have_every_command_whole(product: str) -> None:
    book = balancer_book(SHOP, product)
    page, written = html(book), markdown(book)
    assert written.count("- [ ] done") == len(book.steps) == page.count('<input type="checkbox">')
    for line in typed(book):
        assert line in written
        assert line.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;") in page
    assert written == markdown(balancer_book(SHOP, product))


def test_netscaler_is_told_in_its_own_commands_with_the_traps_of_mac_mode() -> None:
    lines = typed(balancer_book(SHOP, "netscaler"))
    assert lines[:2] == ["enable ns feature LB", "enable ns mode MBF"]
    assert [line for line in lines if line.startswith(("add lb vserver", "bind lb vserver"))][:3] == [
        "add lb vserver dsr_shop_10.0.0.10_80 ANY 10.0.0.10 80 -m MAC -lbMethod ROUNDROBIN -sessionless DISABLED "
        '-persistenceType SOURCEIP -timeout 2 -cltTimeout 120 -comment "dsrwizard shop"',
        "bind lb vserver dsr_shop_10.0.0.10_80 dsr_shop_10.0.0.10_80_web1 -weight 10",
        "bind lb vserver dsr_shop_10.0.0.10_80 dsr_shop_10.0.0.10_80_web2 -weight 20",
    ]
    services = [line for line in lines if line.startswith("add service")]
    assert len(services) == 4
    assert all(" ANY " in line and "-usip YES" in line and "-healthMonitor YES" in line for line in services)
    assert lines[-1] == "save ns config"


@pytest.mark.parametrize("scheduler", ["wrr", "wlc", "sh"])
def test_what_is_typed_on_a_netscaler_is_read_back_as_the_same_farm(scheduler: str) -> None:
    """By the importer of ns.conf, which was written for the files of others."""
    weights = (10, 20) if scheduler != "sh" else (1, 1)
    farm = msgspec.structs.replace(
        SHOP,
        vips=tuple(
            Vip(address=address, services=(Service(port=80, scheduler=scheduler, persistence=60), Service(port=443)))
            for address in ("10.0.0.10", "10.0.0.11")
        ),
        servers=tuple(
            msgspec.structs.replace(server, weight=weight) for server, weight in zip(SHOP.servers, weights, strict=True)
        ),
    )
    found = read("\n".join(typed(balancer_book(farm, "netscaler"))), kind="netscaler")
    assert [
        (vip.address, [(one.port, one.scheduler, one.persistence) for one in vip.services]) for vip in found.vips
    ] == [(address, [("80", scheduler, "60"), ("443", "wlc", "0")]) for address in ("10.0.0.10", "10.0.0.11")]
    assert [(server.address, server.weight, server.vips) for server in found.servers] == [
        (server.address, str(server.weight), None) for server in farm.servers
    ]


@pytest.mark.parametrize(("scheduler", "sessionless"), [("sh", "ENABLED"), ("mh", "ENABLED"), ("wlc", "DISABLED")])
def test_sessionless_goes_with_a_hash_alone(scheduler: str, sessionless: str) -> None:
    services = (Service(port=80, scheduler=scheduler),)
    servers = tuple(msgspec.structs.replace(server, weight=5) for server in SHOP.servers)
    farm = msgspec.structs.replace(SHOP, vips=(Vip(address="10.0.0.10", services=services),), servers=servers)
    said = "\n".join(typed(balancer_book(farm, "netscaler")))
    assert f"-sessionless {sessionless} " in said
    assert ("not Maglev" in flat(balancer_book(farm, "netscaler"))) is (scheduler == "mh")
    own = msgspec.structs.replace(farm, balancer=Balancer(method="SRCIPSRCPORTHASH"))
    assert "-lbMethod SRCIPSRCPORTHASH -sessionless ENABLED" in "\n".join(typed(balancer_book(own, "netscaler")))


def test_netscaler_has_one_virtual_server_for_tcp_and_udp_of_one_port() -> None:
    both = (Service(port=53), Service(port=53, protocol="udp"))
    farm = msgspec.structs.replace(SHOP, vips=(Vip(address="10.0.0.10", services=both),))
    book = balancer_book(farm, "netscaler")
    assert sum(line.startswith("add lb vserver") for line in typed(book)) == 1
    assert "tcp/53 and udp/53 of 10.0.0.10" in flat(book)
    assert "-monitorName dsr_tcp_53" in "\n".join(typed(book))


def test_loadbalancer_org_reloads_once_per_service_and_never_says_all() -> None:
    lines = typed(balancer_book(SHOP, "loadbalancer.org"))
    first = lines[: lines.index("lbcli --action reload-ldirectord") + 1]
    assert [re.findall(r"--action (\S+)", line)[0] for line in first] == [
        "add-vip", "edit-vip", "add-rip", "halt", "add-rip", "halt", "reload-ldirectord",
    ]  # fmt: skip
    assert "--forwarding gate" in first[0]
    assert "--persistent on --persist_time 120" in first[1]
    assert not [line for line in lines if "services" in line]
    assert not [line for line in lines if re.search(r"[;&|$`<>(){}'\"\\]", line)], (
        "pasted into a shell of the appliance"
    )


def test_aloha_has_the_exact_text_and_barracuda_a_line_per_server() -> None:
    (whole,) = [step for step in balancer_book(SHOP, "aloha").steps if step.proves == COMPARED]
    assert "\n\n".join(whole.commands) + "\n" == aloha_text(SHOP)
    said = flat(balancer_book(SHOP, "barracuda"))
    for words in (
        "Service Name shop-80, Type Layer 4 - TCP, Virtual IP 10.0.0.10, Port 80", "Adaptive Scheduling off",
        "Default Scheduling Policy Weighted Round-Robin",
        "Service Persist Type Layer 4 (Client IP), Persist (Seconds) 120",
        "Testing Method TCP Port Check on port 80", "web1 10, web2 20", "Type Layer 4 - UDP",
        "Edit the real server 10.0.0.101 of shop-80, 10.0.0.101 of shop-53-udp: Direct Server Return is Enable",
        "the only proof that Direct Server Return is on for this server", "Route-Path mode", "ADVANCED > Backup",
    ):  # fmt: skip
        assert words in said, words


def test_any_other_has_the_words_of_known_products() -> None:
    said = flat(balancer_book(SHOP, "other"))
    for words in ("F5: nPath", "A10: no-dest-nat", "Kemp: Force L4", "wrr (weighted round robin"):
        assert words in said


@pytest.mark.parametrize("product", PRODUCTS)
def test_a_server_at_weight_0_gets_no_clients(product: str) -> None:
    held = msgspec.structs.replace(SHOP.servers[1], weight=0)
    book = balancer_book(msgspec.structs.replace(SHOP, servers=(SHOP.servers[0], held)), product)
    (step,) = [step for step in book.steps if (step.server, step.proves) == ("web2", "client.bypass")]
    done = " ".join((*step.hand, *step.commands))
    for word in ("enable service", "--action online", "Status Enable", "Enable the member", "server web2"):
        assert word not in done


@pytest.mark.parametrize("product", PRODUCTS[:-1])
def test_a_deployment_that_the_product_cannot_express_has_no_runbook(product: str) -> None:
    farm = msgspec.structs.replace(SHOP, vips=(Vip(address="10.0.0.10", services=(Service(port=80, scheduler="fo"),)),))
    with pytest.raises(UsageError, match=r"vips\[0\]\.services\[0\]\.scheduler: .* has no scheduler fo") as refused:
        balancer_book(farm, product)
    assert 'scheduler = "wlc"' in str(refused.value)
    assert "fo (weighted failover" in flat(balancer_book(farm, "other"))


# --- ticks -----------------------------------------------------------------------------------------------------------

FRAMES = "reply frames from 02:00:0a:00:00:65 (web1), 02:00:0a:00:00:66 (web2); IPVS has counted no reply"


def seen(check: str, host: str, outcome: CheckOutcome, service: str = "tcp/80", evidence: str = "") -> Check:
    return Check(
        check=check, host=host, outcome=outcome, vip="10.0.0.10", service=service, evidence=evidence,
        message=f"{check} {outcome}", cause="vip-missing" if outcome == "fail" else "", fix="Mend it.",
    )  # fmt: skip


def report(*checks: Check) -> Report:
    return Report(deployment="shop", verdict="unknown", checks=checks)


@pytest.mark.parametrize(
    ("proves", "checks", "outcome"),
    [
        ("arp.audit", [seen("arp.audit", "director", "pass")], "proved"),
        ("arp.audit", [seen("arp.audit", "director", "fail")], "failed"),
        ("arp.audit", [seen("arp.audit", "web2", "fail")], "failed"),
        ("arp.audit", [seen("arp.audit", "director", "unknown")], "open"),
        ("arp.audit", [], "open"),
        ("vip.probe", [seen("vip.probe", "web1", "pass"), seen("vip.probe", "web1", "pass", "udp/53")], "proved"),
        ("vip.probe", [seen("vip.probe", "web1", "pass"), seen("vip.probe", "web1", "fail", "udp/53")], "failed"),
        ("vip.probe", [seen("vip.probe", "web1", "pass"), seen("vip.probe", "web1", "unknown", "udp/53")], "open"),
        ("vip.probe", [seen("vip.probe", "web2", "pass")], "open"),
        ("vip.probe", [seen("vip.probe", "web1", "pass"), seen("vip.probe", "web2", "fail")], "proved"),
        ("client.bypass", [seen("client.bypass", "client", "pass", evidence=FRAMES)], "proved"),
        ("client.bypass", [seen("client.bypass", "client", "pass", evidence=FRAMES.replace("web1", "webx"))], "open"),
        ("client.bypass", [seen("client.bypass", "client", "pass", evidence="replies arrive with TTL 63")], "open"),
        ("client.bypass", [seen("client.bypass", "client", "fail", evidence=FRAMES)], "failed"),
        ("client.bypass", [seen("client.bypass", "client", "skipped")], "open"),
    ],
)
@pytest.mark.parametrize("product", ["netscaler", "aloha", "barracuda"])
def test_a_step_is_ticked_by_what_was_proved_from_outside(
    product: str, proves: str, checks: list[Check], outcome: str
) -> None:
    book = balancer_book(SHOP, product)
    found = [
        proof.outcome
        for step, proof in zip(book.steps, balancer_proofs(book, SHOP, report(*checks)), strict=True)
        if step.proves == proves and (step.server == "web1" or proves == "arp.audit")
    ]
    assert found
    assert set(found) == {outcome}


def test_the_steps_show_what_proved_or_refuted_them() -> None:
    book = balancer_book(SHOP, "netscaler")
    made = report(seen("vip.probe", "web1", "pass"), seen("vip.probe", "web2", "fail"))
    proofs = balancer_proofs(book, SHOP, made)
    said = text(book, proofs)
    assert "[x] Prove web1 through the VIP" in said
    assert "[!] Prove web2 through the VIP" in said
    assert "FAILED: vip.probe fail Cause: vip-missing. Mend it." in " ".join(said.split())
    written = markdown(book, proofs)
    assert written.count("- [x] done") == 1
    assert written.count("- [ ] done") == len(book.steps) - 1
    assert html(book, proofs).count('<input type="checkbox" checked>') == 1


def test_a_box_that_must_say_up_while_the_vip_is_dead_has_a_line() -> None:
    """The line that sells this program."""
    made = report(
        seen("server.port", "web1", "pass"), seen("vip.probe", "web1", "pass"),
        seen("server.port", "web2", "pass"), seen("vip.probe", "web2", "fail"),
        seen("server.port", "web2", "skipped", "udp/53"), seen("vip.probe", "web2", "fail", "udp/53"),
    )  # fmt: skip
    assert contradictions(SHOP, made, "NetScaler") == (
        "10.0.0.102:80 accepts connections, so the NetScaler says that web2 is up. 10.0.0.10:80 is dead through web2: "
        "vip-missing. Mend it.",
    )
    (other,) = contradictions(
        SHOP, report(seen("server.port", "web1", "fail"), seen("vip.probe", "web1", "pass")), "ALOHA"
    )
    assert "so the ALOHA says that web1 is down. 10.0.0.10:80 works through web1" in other
    agreed = (seen("server.port", "web1", "fail"), seen("vip.probe", "web1", "fail"))
    assert contradictions(SHOP, report(*agreed), "ALOHA") == ()


# --- the command -----------------------------------------------------------------------------------------------------


class TestTheCommand:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "shop.toml"
        path.write_text(dumps(SHOP))
        return path

    def test_prints_the_runbook_of_the_product_that_is_asked_for(
        self, file: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for product, title in (("aloha", "ALOHA as the load"), ("other", "Load balancer as the load")):
            assert run(["runbook", str(file), "--balancer", product]) == 0
            assert capsys.readouterr().out.startswith(title)

    def test_a_product_that_the_file_names_comes_first_and_the_servers_by_hand_follow(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        named = msgspec.structs.replace(
            SHOP, director=msgspec.structs.replace(SHOP.director, engine="barracuda"),
            servers=(SHOP.servers[0], msgspec.structs.replace(SHOP.servers[1], connect="manual")),
        )  # fmt: skip
        path, out = tmp_path / "named.toml", tmp_path / "out"
        path.write_text(dumps(named))
        out.mkdir()
        assert run(["runbook", str(path), "--format", "html", "--output", str(out)]) == 0
        assert sorted(one.name for one in out.iterdir()) == ["shop-load-balancer.html", "shop-web2.html"]
        assert run(["runbook", str(path), "--host", "web1"]) == 0
        assert "Barracuda" not in capsys.readouterr().out

    def test_a_report_of_verify_ticks_the_steps_and_says_what_the_box_hides(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = report(
            seen("server.port", "web2", "pass"), seen("vip.probe", "web2", "fail"), seen("vip.probe", "web1", "pass"),
        )  # fmt: skip
        told = tmp_path / "report.json"
        told.write_bytes(msgspec.json.encode(made))
        assert run(["runbook", str(file), "--balancer", "netscaler", "--report", str(told)]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "[x] Prove web1 through the VIP" in said
        assert "so the NetScaler says that web2 is up. 10.0.0.10:80 is dead through web2: vip-missing." in said

    def test_the_text_of_an_aloha_is_compared(
        self, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        tab = tmp_path / "tab.txt"
        tab.write_text(aloha_text(SHOP))
        arguments = ["runbook", str(file), "--balancer", "aloha", "--compare", str(tab)]
        assert run(arguments) == 0
        assert "Proved: The text of the box says what the file says." in capsys.readouterr().out
        tab.write_text(aloha_text(SHOP).replace("   mode gateway\n", "", 1))
        assert run(arguments) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "FAILED: Line 1: The mode of dsr_shop_80 is nat (none is written)" in said
        assert "- Line 1: The mode of dsr_shop_80 is nat" in said

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (["--balancer", "f5"], "'f5' is not one of"),
            (["--balancer", "aloha", "--host", "web1"], "cannot be used together"),
            (["--balancer", "netscaler", "--compare", "NOTHING"], "--compare is for the text of an ALOHA"),
            (["--balancer", "aloha", "--compare", "NOTHING"], "cannot be read. No such file or directory."),
            (["--balancer", "aloha", "--report", "NOTHING"], "cannot be read. No such file or directory."),
            (["--balancer", "aloha", "--report", "FILE"], "is not a report of dsrwizard verify."),
            (["--balancer", "aloha", "--report", "OTHERS"], "is the report of other, not of shop."),
        ],
    )
    def test_refuses_with_what_to_do_instead(
        self, file: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        others = file.with_name("others.json")
        others.write_text(json.dumps(msgspec.to_builtins(Report(deployment="other", verdict="pass", checks=()))))
        places = {"NOTHING": str(file.with_name("nothing")), "FILE": str(file), "OTHERS": str(others)}
        assert run(["runbook", str(file), *(places.get(word, word) for word in arguments)]) == 2
        assert says in " ".join(capsys.readouterr().err.split())

    @pytest.mark.parametrize(("engine", "says"), [("netlink", "is this machine"), ("barracuda", "is another one")])
    def test_no_runbook_for_a_box_that_is_not_the_load_balancer(
        self, file: Path, engine: str, says: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file.write_text(dumps(SHOP).replace('"external"', f'"{engine}"'))
        assert run(["runbook", str(file), "--balancer", "aloha"]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("product", ["aloha", "barracuda"])
def test_a_large_farm_has_its_runbook_within_seconds(product: str) -> None:
    """Four thousand servers, each of them probed: the work grows with them, and not with their square."""
    servers = tuple(
        RealServer(name=f"web{number}", address=f"10.1.{number // 250}.{number % 250 + 1}") for number in range(4_000)
    )
    farm = msgspec.structs.replace(
        SHOP, vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),), servers=servers
    )
    made = report(
        *(seen("vip.probe", server.name, "pass") for server in servers),
        *(seen("server.port", server.name, "pass") for server in servers),
        seen("client.bypass", "client", "pass", evidence=FRAMES),
    )
    began = time.process_time()
    book = balancer_book(farm, product)
    proofs = balancer_proofs(book, farm, made)
    assert len(text(book, proofs)) > 1_000_000
    assert contradictions(farm, made, "box") == ()
    assert time.process_time() - began < 20
    assert sum(proof.outcome == "proved" for proof in proofs) >= 4_000
