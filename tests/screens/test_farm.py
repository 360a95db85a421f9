"""The picture of the farm: which arrow is broken, the cause at it, and how it is reached and left."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from dsrwizard.core.model.snapshot import FarmFault, ServiceRow, Snapshot
from screens.live.farm import farm_rows
from screens.live.farm_screen import FarmScreen
from screens.live.table import LiveTable
from screens.questions.cause_page import CausePage
from screens.widgets.glyphs import use_ascii
from tests.fakes.pictures import AT, destination, healthy, picture, service, two_faults
from tests.fakes.world import World
from tests.screens.conftest import SIZES
from tests.screens.driving import seen, told, until
from tests.screens.test_snapshots import live_app

DEPLOYMENT = World.lab().deployment()


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("screens.clock.now", lambda: AT + 0.4)
    yield
    use_ascii(False)


def drawn(of: ServiceRow, snapshot: Snapshot | None = None, width: int = 74) -> list[str]:
    whole = snapshot or picture((of,))
    return [" ".join(row.text.split()) for row in farm_rows(DEPLOYMENT, whole, of, width)]


def line(lines: list[str], word: str) -> str:
    return next(one for one in lines if word in one)


@pytest.mark.parametrize(
    ("state", "weight", "there", "back"),
    [
        ("up", 1, "────▶", "────▶"), ("draining", 0, "─ ─ ▶", "────▶"), ("vip-dead", 1, "────▶", "─✗──▶"),
        ("unreachable", 1, "─✗──▶", "─ ─ ▶"), ("drifted", None, "─✗──▶", "─ ─ ▶"), ("drifted", 1, "────▶", "────▶"),
        ("unknown", 1, "────▶", "─?──▶"), ("vip-dead", 0, "─ ─ ▶", "─✗──▶"),
    ],
)  # fmt: skip
def test_the_arrow_is_broken_where_the_packets_end(state: str, weight: int | None, there: str, back: str) -> None:
    row = destination("web1", state=state, weight=weight)  # type: ignore[arg-type]
    text = line(drawn(service("10.0.0.10", (row,))), "web1 10.0.0.101")
    assert text.startswith(f"└{there} web1")
    assert text.endswith(f"{back} client")


def test_the_cause_is_under_its_server_and_its_fix() -> None:
    (one,) = two_faults().services
    lines = drawn(one, two_faults())
    number = lines.index(line(lines, "web3 10.0.0.103"))
    assert lines[number + 1] == "service-down: Nothing listens on tcp/80 there."
    assert lines[number + 2] == "Fix: Start the service on web3."
    other = lines.index(line(lines, "web2 10.0.0.102"))
    assert lines[other + 1].startswith("│ arp-leak: It answers ARP for the VIP"), "the stem goes on to the next server"


@pytest.mark.parametrize("width", [58, 74, 110])
def test_the_way_back_is_in_sight_at_every_width(width: int) -> None:
    (one,) = two_faults().services
    rows = [row.text for row in farm_rows(DEPLOYMENT, two_faults(), one, width)]
    assert max(map(len, rows)) <= width
    assert [text for text in rows if "web3" in text and "─✗──▶ client" in text]


def test_a_server_that_answers_for_the_vip_breaks_the_arrow_to_the_director() -> None:
    (one,) = two_faults().services
    lines = drawn(one)
    assert lines[2] == "✗ web2 takes requests past the director: it answers for 10.0.0.10"
    assert drawn(healthy().services[0])[2] == "▼"


def test_a_stranger_with_the_vip_and_a_service_that_ipvs_has_not() -> None:
    (one,) = healthy().services
    stranger = msgspec.structs.replace(
        one, owner="02:00:00:00:00:99", cause="duplicate-vip", message="A host outside the deployment has it.",
        fix="Find it.",
    )  # fmt: skip
    lines = drawn(stranger)
    assert lines[2] == "✗ VIP answered by 02:00:00:00:00:99"
    assert "duplicate-vip: A host outside the deployment has it." in "\n".join(lines)
    missing = msgspec.structs.replace(one, present=False)
    assert "✗ NOT IN IPVS" in "\n".join(drawn(missing))
    assert all("─✗──▶ web" in text for text in drawn(missing) if "▶ web" in text)


def test_replies_are_a_figure_and_a_fault_of_the_network_is_at_the_director() -> None:
    (one,) = healthy().services
    assert drawn(one)[-1] == "Replies go past the director: it saw 0 B of them."
    through = msgspec.structs.replace(one, totals=msgspec.structs.replace(one.totals, out_packets=7, out_bytes=4200))
    assert drawn(through)[-1].startswith("✗ 7 replies, 4.2 kB, came back through the director")
    fault = FarmFault(host="director", cause="path-mtu", message="Large packets are lost.", since=AT)
    assert "path-mtu: Large packets are lost." in "\n".join(
        drawn(one, msgspec.structs.replace(healthy(), faults=(fault,)))
    )


def test_an_ascii_console_gets_ascii_and_no_line_is_too_long() -> None:
    use_ascii(True)
    rows = tuple(
        destination(f"a-server-with-a-long-name-{number}", state=state, address="fd00:10:0:0:1:2:3:101")  # type: ignore[arg-type]
        for number, state in enumerate(("up", "vip-dead", "leaking", "unreachable", "draining"))
    )
    for row in farm_rows(DEPLOYMENT, picture((service("10.0.0.10", rows),)), service("10.0.0.10", rows), 74):
        assert row.text.isascii(), row.text
        assert len(row.text) <= 74, row.text


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("back", ["p", "escape"])
async def test_p_draws_three_broken_servers_whole_and_goes_back(size: tuple[int, int], back: str) -> None:
    said = "The VIP is not there. " * 5
    rows = tuple(
        destination(f"web{n}", state="vip-dead", cause="vip-missing", message=said, fix="Press m.") for n in (1, 2, 3)
    )
    app = live_app(picture((service("10.0.0.10", rows),)))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: "0/3 up" in seen(app))
        await pilot.press("p")
        await until(pilot, lambda: "Replies go past the director" in seen(app))
        text = seen(app)
        assert all(word in text for word in ("client clients", "director VIP 10.0.0.10", "web1", "web2", "web3"))
        assert text.count("vip-missing: The VIP is not there.") == 3
        await pilot.press(back)
        await until(pilot, lambda: "0/3 up" in seen(app) and not isinstance(app.screen, FarmScreen))


async def test_fifty_servers_scroll_and_enter_goes_to_the_one_that_was_chosen() -> None:
    rows = tuple(destination(f"web{number}") for number in range(1, 51))
    app = live_app(picture((service("10.0.0.10", rows),)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "50/50 up" in seen(app))
        await pilot.press("p")
        await until(pilot, lambda: "web1 " in seen(app))
        assert "web50" not in seen(app)
        await pilot.press("end")
        await until(pilot, lambda: "web50 " in seen(app))
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, FarmScreen))
        assert app.screen.query_one(LiveTable).key.endswith("web50")


async def test_x_explains_the_selected_line_and_the_arrows_change_the_service() -> None:
    (one,) = two_faults().services
    app = live_app(picture((one, service("10.0.0.11", (destination("web9", vip="10.0.0.11"),)))))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "2/4 up" in seen(app))
        await pilot.press("p")
        await until(pilot, lambda: "10.0.0.10 tcp/80 (1 of 2)" in seen(app))
        await pilot.press("home", "down", "x")
        await until(pilot, lambda: isinstance(app.screen, CausePage))
        assert "arp-leak" in seen(app)
        await pilot.press("escape", "right")
        await until(pilot, lambda: "10.0.0.11 tcp/80 (2 of 2)" in seen(app) and "web9" in seen(app))
        await pilot.press("left")
        await until(pilot, lambda: "(1 of 2)" in seen(app))


async def test_a_services_line_is_explained_and_says_why_m_mends_nothing_there() -> None:
    (one,) = healthy().services
    differs = msgspec.structs.replace(
        one,
        cause="ipvs-differs",
        message="IPVS has 10.0.0.10 tcp/80 with scheduler rr.",
        fix="Re-apply the deployment.",
    )
    app = live_app(picture((differs,)))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: "3/3 up" in seen(app))
        await pilot.press("home", "m")
        assert "with scheduler rr. m mends real servers, and this is none's fault. Press a" in told(app)
        await pilot.press("x")
        await until(pilot, lambda: isinstance(app.screen, CausePage))
