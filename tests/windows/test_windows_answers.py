"""What a Windows host tells, at the border: nonsense makes that host unreadable with what was wrong; what is merely odd
is carried, and right."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from dsrwizard.core.dialects.windows import half_open
from dsrwizard.core.dialects.windows.answer import parse
from dsrwizard.core.dialects.windows.apply import FrameProgress
from dsrwizard.core.dialects.windows.frames import LARGEST
from dsrwizard.core.dialects.windows.site_xml import sites
from dsrwizard.core.model.errors import AnswerUnreadable
from dsrwizard.core.model.foreign import harmless
from dsrwizard.core.model.steps import Step
from dsrwizard.engine.locks import Lease
from tests.fakes.step_watch import Told
from tests.windows.answers import IIS, facts, framed, told
from tests.windows.conftest import VIP, Farm, shop
from tests.windows.diagnosed import NOW, SOME
from tests.windows.host import Binding, Rule, Site, WindowsHost

pytestmark = pytest.mark.long

Document = dict[str, Any]
HUGE = int("9" * 4_000)


def at(path: str, value: object) -> Callable[[Document], None]:
    """Puts a value where a path like `adapters.0.index` leads."""

    def change(document: Document) -> None:
        *way, last = path.split(".")
        here: Any = document
        for part in way:
            here = here[int(part) if part.isdecimal() else part]
        here[int(last) if last.isdecimal() else last] = value

    return change


@pytest.mark.parametrize("version", SOME)
def test_what_a_windows_tells_is_taken(version: str) -> None:
    windows = facts(version=version).windows
    assert windows is not None
    assert [site.name for site in windows.sites or ()] == ["Shop"]
    assert windows.listen_list == ("10.0.0.101", VIP)
    assert windows.certificates == {
        "10.0.0.101:443": f"{'AB' * 20} {IIS} MY",
        "[::]:443": f"{'CD' * 20} {IIS} WebHosting",
    }
    assert [(one.event, one.address, one.at) for one in windows.conflicts or ()] == [(4199, "10.0.0.77", NOW - 60)]


NONSENSE: dict[str, Callable[[Document], None]] = {
    "an adapter's index is a text": at("adapters.0.index", "twelve"),
    "an index of 4,000 digits": at("adapters.0.index", HUGE),
    "an index below 0": at("adapters.0.index", -1),
    "a list for a name": at("adapters.0.name", ["Ethernet"]),
    "a name with a bar": at("adapters.0.name", "a|b|c"),
    "a name that ends its quotes": at("adapters.0.name", 'x" & shutdown'),
    "a GUID that is none": at("adapters.0.guid", "{x}/4"),
    "a MAC that is a number": at("adapters.0.mac", 5),
    "an address that is none": at("adapters.0.addresses.0.address", "10.0.0.101/24"),
    "a prefix of 33": at("adapters.0.addresses.0.prefix", 33),
    "a prefix below 0": at("adapters.0.addresses.0.prefix", -5),
    "a prefix of 999": at("adapters.0.addresses.0.prefix", 999),
    "a gateway that is none": at("adapters.0.gateways", ["router"]),
    "no gateway in its place": at("adapters.0.gateways", [None]),
    "a metric of 4,000 digits": at("adapters.0.settings.0.metric", HUGE),
    "a family of 5": at("adapters.0.settings.0.family", 5),
    "an adapter that is a number": at("adapters.0", 7),
    "no adapters but a text": at("adapters", "none"),
    "too many adapters": at("adapters", [{"name": "x", "index": 1}] * 5_000),
    "a port above 65,535": at("listeners.0.port", 65_536),
    "a port as a fraction": at("listeners.0.port", 80.5),
    "a listener's address that is none": at("listeners.0.address", ""),
    "a protocol of its own": at("listeners.0.protocol", "sctp"),
    "a profile nobody knows": at("firewall.profiles", {"\x1b]0;x\x07": True}),
    "a rule without a name": at("rules", [{"enabled": True, "protocol": 6}]),
    "rules that are one rule": at("rules", {"name": "x"}),
    "a listen list with words": at("listen_list", ["everywhere"]),
    "conflicts of words": at("events", ["yes"]),
    "a conflict's age as a text": at("events.0.age", "old"),
    "a conflict of another century": at("events.0.age", 1e300),
    "a conflict's number as a list": at("events.0.event", [4199]),
    "certificates as a list": at("ssl", ["10.0.0.101:443"]),
    "a certificate of two parts": at("ssl", {"10.0.0.101:443": ["AB", IIS]}),
    "a certificate of numbers": at("ssl", {"10.0.0.101:443": [1, 2, 3]}),
    "sites as a number": at("site_xml", 1),
    "a dialect of its own": at("dialect", "1998"),
    "a policy of its own": at("restricted", "\x1b[2JAll is well"),
    "an administrator by a text": at("elevated", "true"),
    "no version": at("version", None),
    "more certificates than any host has": at("ssl", {str(n): ["", "", ""] for n in range(60_000)}),
}  # fmt: skip


@pytest.mark.parametrize("what", NONSENSE)
@pytest.mark.parametrize("version", SOME)
def test_nonsense_makes_the_host_unreadable_and_is_named(what: str, version: str) -> None:
    with pytest.raises(AnswerUnreadable) as caught:
        facts(NONSENSE[what], version)
    assert "cannot be right" in caught.value.why
    assert all(harmless(line) and len(line) < 500 for line in caught.value.lines())


def test_what_was_wrong_is_quoted() -> None:
    with pytest.raises(AnswerUnreadable, match=r"10\.0\.0\.101/24.* is not a valid address"):
        facts(NONSENSE["an address that is none"])


@pytest.mark.parametrize(
    "line",
    [
        "", "<<DSR::DSR>>", "<<DSR:e30=:DSR>>", "<<DSR:%%%:DSR>>", framed([]), framed(b"{" * 200_000), framed(b"\xff"),
        framed(b'{"nonce":"n","kind":"facts"'), framed({"kind": "facts", "nonce": "other"}), "a frame without its end",
        framed({"kind": ["facts"], "nonce": "n"}), framed(b"[" * 100_000), "<<DSR:" + "A" * (LARGEST + 10) + ":DSR>>",
    ],
    ids=range(13),
)  # fmt: skip
def test_no_frame_of_ours_is_an_answer_cut_short(line: str) -> None:
    line = framed(told())[:-7] if line == "a frame without its end" else line
    with pytest.raises(AnswerUnreadable, match="ended before it reported everything"):
        parse("win1", "n", line, now=NOW, reached="10.0.0.101")


def test_what_powershell_said_instead_is_told() -> None:
    with pytest.raises(AnswerUnreadable, match="Access is denied") as caught:
        parse("win1", "n", "", now=NOW, reached="10.0.0.101", said="\x1b[31mAccess is denied.\r\nAt line 3\x1b[0m")
    assert harmless(caught.value.why)


@pytest.mark.parametrize(
    ("told_as", "known"),
    [
        ("5F0D1D3C-0000-4000-8000-00000000000A", "5f0d1d3c-0000-4000-8000-00000000000a"),
        ("", ""),
        ("00000000-0000-0000-0000-000000000000", ""),
        ("5f0d1d3c-0000-4000-8000-00000000000a\x1b[2J", ""),
        ("x" * 9000, ""),
    ],
)
def test_the_machines_own_id_is_one_or_none(told_as: str, known: str) -> None:
    document = told("2022") | {"machine": told_as}
    assert parse("win1", "n", framed(document), now=NOW, reached="10.0.0.101").machine == known


ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\n\u2028"


@pytest.mark.parametrize("version", SOME)
def test_no_text_keeps_a_sign_that_acts(version: str) -> None:
    document = told(version)
    for path in ("version", "product", "powershell", "boot", "hostname", "firewall_problem"):
        document[path] = f"x{ESCAPE}"
    document["adapters"][0] |= {"name": f"Ethernet{ESCAPE}", "pnp_id": ESCAPE, "bindings": {f"ms_server{ESCAPE}": True}}
    document["rules"] = [
        {"name": ESCAPE, "enabled": True, "protocol": 6, "ports": ESCAPE, "addresses": ESCAPE, "group": ESCAPE}
    ]
    document["ssl"] = {ESCAPE: ["AB" * 20, IIS, "MY"], "0.0.0.0:443": ["AB" * 20, IIS, ESCAPE]}
    document["events"] = [{"event": 4199, "address": VIP, "mac": ESCAPE, "age": 1}]
    document["site_xml"] = (
        '<appcmd><SITE SITE.NAME="a&#x202e;&#155;"><binding bindingInformation="&#155;"/></SITE></appcmd>'
    )
    found = parse("win1", "n", framed(document), now=NOW, reached="10.0.0.101")
    assert found.windows is not None
    assert found.windows.sites
    assert not [sign for sign in repr(found) if not sign.isprintable()]
    for text in _texts(found):
        assert harmless(text), text


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for pair in value.items() for one in pair for text in _texts(one)]
    if isinstance(value, tuple | list):
        return [text for one in value for text in _texts(one)]
    fields = getattr(value, "__struct_fields__", ())
    return [text for field in fields for text in _texts(getattr(value, field))]


class TestOdd:
    """Rare, and right."""

    @pytest.mark.parametrize("mac", ["", "not present", "\x1b[31m", "02:00:0A:00:00:00:E0:01"])
    def test_link_layer_addresses(self, mac: str) -> None:
        """A tunnel has none, others have eight bytes."""
        windows = facts(at("adapters.0.mac", mac)).windows
        assert windows is not None
        assert windows.adapters[0].mac == ("02:00:0a:00:00:00:e0:01" if mac.endswith("01") else "")

    def test_zones_and_spellings_of_addresses(self) -> None:
        def change(document: Document) -> None:
            document["adapters"][0]["gateways"] = ["FE80::1%12", "0.0.0.0"]
            document["listen_list"] = ["FD00:0::10"]
            document["ssl"] = {"[FD00:0::10]:443": ["ab" * 20, IIS, "MY"], "shop.example:443": ["ab" * 20, IIS, "MY"]}
            document["listeners"].append({"protocol": "udp", "address": "fe80::1%12", "port": 0})

        found = facts(change)
        assert found.windows is not None
        assert [route.gateway for route in found.default_routes] == ["fe80::1", ""]
        assert found.windows.listen_list == ("fd00::10",)
        assert set(found.windows.certificates or {}) == {"[fd00::10]:443", "shop.example:443"}

    @pytest.mark.parametrize(
        "parts",
        [
            ["", IIS, "MY"],
            ["xyz", IIS, "MY"],
            ["ab" * 20, "12 34", "MY"],
            ["ab" * 20, IIS, 'a" b'],
            ["ab" * 20, IIS, "\x07"],
        ],
    )
    def test_a_certificate_that_cannot_be_copied_is_known_all_the_same(self, parts: list[str]) -> None:
        found = facts(at("ssl", {"0.0.0.0:443": parts}))
        assert found.windows is not None
        assert found.windows.certificates == {"0.0.0.0:443": ""}

    @pytest.mark.parametrize("version", SOME)
    @pytest.mark.parametrize("name", ["Shop & Sons | web", "50% off", "a|http|b", "Größe", "Ünïcode ✓ 日本", "O'Brien"])
    def test_a_site_of_any_name(self, farm: Callable[..., Farm], version: str, name: str) -> None:
        host = WindowsHost(version)
        host.listeners = []
        host.sites = [Site(name, [Binding("http", "10.0.0.101:80:")])]
        one = farm(host)
        before = host.state()
        typed = not set(name) & set("%'")
        assert one.apply().ok
        assert [entry.information for entry in host.sites[0].bindings] == ["10.0.0.101:80:", f"{VIP}:80:"][: 1 + typed]
        assert one.plan().steps == ()
        (planned,) = [entry for entry in one.plan().hosts if entry.host == "win1"]
        assert any("IIS Manager" in note and name in note for note in planned.notes) is not typed
        failed = [check for check in one.engine.verify(one.deployment).checks if check.cause == "site-binding"]
        assert bool(failed) is not typed
        assert typed or all(name in check.fix for check in failed)
        assert one.teardown().ok
        assert host.state() == before

    @pytest.mark.parametrize("host_name", ["a|b", "x'] y", "shop.example", "a&b"])
    def test_a_binding_of_any_host_name(self, farm: Callable[..., Farm], host_name: str) -> None:
        host = WindowsHost()
        host.listeners = []
        host.sites = [Site("Shop", [Binding("http", f"10.0.0.101:80:{host_name}")])]
        one = farm(host)
        assert one.apply().ok
        assert len(host.sites[0].bindings) == (2 if host_name == "shop.example" else 1)
        one.engine.verify(one.deployment)

    @pytest.mark.parametrize("version", SOME)
    @pytest.mark.parametrize("store", ["MY STORE OF 2024", "", "WEBHOSTING"])
    def test_a_certificate_store_of_any_name(self, farm: Callable[..., Farm], version: str, store: str) -> None:
        host = WindowsHost(version)
        host.listeners = []
        host.sites = [Site("Secure", [Binding("https", "10.0.0.101:443:", "ab" * 20, store)])]
        host.certificates = {"10.0.0.101:443": ("AB" * 20, IIS, store)}
        one = farm(host, shop(ports=(443,)))
        before = host.state()
        one.engine.verify(one.deployment)
        assert one.apply().ok
        assert host.certificates[f"{VIP}:443"] == ("AB" * 20, IIS, store or "MY")  # without a name it is MY
        assert one.plan().steps == ()
        assert one.teardown().ok
        assert host.state() == before

    @pytest.mark.parametrize(
        "ports", ["9" * 5_000, "80-" + "9" * 5_000, "80,,-,x", "８０", "²", "RPC, 80 , 81"], ids=range(6)
    )
    def test_a_rule_of_our_name_with_odd_ports(self, farm: Callable[..., Farm], ports: str) -> None:
        host = WindowsHost()
        host.rules.append(Rule(f"dsrwizard-{VIP}-tcp-80", ports=ports, profiles=1))
        one = farm(host)
        one.engine.verify(one.deployment)
        plan = one.plan()
        assert one.engine.apply(one.deployment, plan, lambda event: None, None, Lease()).ok
        one.engine.verify(one.deployment)


class TestSites:
    def test_xml_that_would_explode_is_not_known(self) -> None:
        bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><appcmd><SITE SITE.NAME="&b;"/></appcmd>'
        assert sites(bomb) is None
        assert sites("<a>" * 100_000) is None
        assert sites("<a " + " ".join(f'a{number}=""' for number in range(100_000)) + "/>") is None
        assert sites("<appcmd><SITE></appcmd>") is None
        assert sites("ERROR ( message:Access is denied )") is None

    def test_many_elements_take_little_time(self) -> None:
        began = time.process_time()
        found = sites("<appcmd>" + '<SITE SITE.NAME="x" state="Stopped"></SITE>' * 20_000 + "</appcmd>")
        assert found is not None
        assert len(found) == 20_000
        assert time.process_time() - began < 5

    def test_flags_that_are_no_number(self) -> None:
        (site,) = sites('<appcmd><SITE SITE.NAME="x"><binding sslFlags="²"/></SITE></appcmd>') or ()
        assert site.bindings[0].ssl_flags == 0


class TestHalfOpen:
    @pytest.mark.parametrize(
        "entry", [{"vip": VIP}, 7, {"vip": VIP, "port": HUGE, "client": VIP, "client_port": 1}, None,
                  {"vip": "x", "port": 1, "client": VIP, "client_port": 1},
                  {"vip": VIP, "port": 0, "client": VIP, "client_port": 1}]
    )  # fmt: skip
    def test_nonsense_is_unreadable(self, entry: object) -> None:
        with pytest.raises(AnswerUnreadable, match="cannot be right"):
            half_open.parse("win1", "n", framed({"kind": "half-open", "nonce": "n", "seen": [entry], "waiting": []}))


class TestProgress:
    def progress(self, heard: list[str]) -> FrameProgress:
        step = Step(id="a", host="win1", phase="vip", title="A", why="", changes=())
        return FrameProgress("n", [step], Told(heard))

    @pytest.mark.parametrize("step", [HUGE, -1, "1", [1], None, 1.5, True, {}], ids=range(8))
    def test_a_number_that_is_none_is_no_report(self, step: object) -> None:
        heard: list[str] = []
        one = self.progress(heard)
        one.feed(framed({"kind": "start", "nonce": "n", "step": step}))
        one.feed(framed({"kind": "done", "nonce": "n", "step": step, "message": ["x"]}))
        assert heard == []
        assert one.finished_steps == []

    def test_what_is_said_is_one_harmless_line(self) -> None:
        heard: list[str] = []
        one = self.progress(heard)
        one.feed(framed({"kind": "log", "nonce": "n", "message": f"installed{ESCAPE} x"}))
        one.feed(f"plain {ESCAPE} text")
        one.feed(framed({"kind": "start", "nonce": "n", "step": 1}))
        one.feed(framed({"kind": "failed", "nonce": "n", "step": 1, "message": f"no{ESCAPE}" + "x" * 100_000}))
        assert len(heard) == 4
        assert all(harmless(text) and len(text) <= 1_100 for text in [*heard, one.said])
