"""BIRD's file for a deployment: a real BIRD takes it, beside what operators have, and its answers are read."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsrwizard.core.dialects.bird.answers import with_protocols
from dsrwizard.core.dialects.bird.writer import (
    OwnAddresses,
    bird_text,
    included,
    symbol,
    with_include,
    without_include,
)
from dsrwizard.core.model.bird import BIRD_FOLDER, BIRD_INCLUDE, BirdFacts, OtherSession, bird_file, sign_of
from dsrwizard.core.model.deployment import Bgp, Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import UsageError

DEBIANS = """\
log syslog all;
protocol device {
}
protocol direct {
\tdisabled;
\tipv4;
\tipv6;
}
protocol kernel {
\tipv4 {
\t      export all;
\t};
}
protocol kernel {
\tipv6 { export all; };
}
protocol static {
\tipv4;
}
"""
"""What Debian's bird2 comes with, without its comments."""
BOTH = OwnAddresses("10.0.0.2", "fd00::2")


def shop(*vips: str, name: str = "shop", **bgp: object) -> Deployment:
    given = {"neighbour": "10.0.0.1", "local_as": 65010, "neighbour_as": 65000} | bgp
    return Deployment(
        name=name,
        director=Director(interface="eth0", bgp=msgspec.convert(given, Bgp)),
        vips=tuple(Vip(address=vip, services=(Service(port=80, scheduler="mh"),)) for vip in vips or ("10.0.0.10",)),
        servers=(RealServer(name="web1", address="10.0.0.101"),),
    )


def text_of(deployment: Deployment, own: OwnAddresses = BOTH, *, bfd_there: bool = False) -> str:
    assert deployment.director.bgp is not None
    return bird_text(deployment, deployment.director.bgp, own, bfd_there=bfd_there)


def checked(tmp_path: Path, conf: str, *own: tuple[str, str]) -> str:
    """Empty where a real `bird -p` takes the operator's file with ours beside it, otherwise what it says."""
    folder = tmp_path / "dsrwizard.d"
    folder.mkdir(exist_ok=True)
    for name, text in own:
        (folder / Path(bird_file(name)).name).write_text(text)
    file = tmp_path / "bird.conf"
    file.write_text(conf.replace(BIRD_FOLDER, str(folder)))
    bird = shutil.which("bird", path="/usr/sbin:/sbin:/usr/bin")
    assert bird is not None, "make packages brings it"
    said = subprocess.run([bird, "-p", "-c", str(file)], capture_output=True, text=True, check=False)
    return "" if said.returncode == 0 else said.stderr + said.stdout


FILES = {
    "one IPv4 VIP": (shop(), BOTH),
    "VIPs of both families over IPv4": (shop("10.0.0.10", "10.0.0.11", "fd00::10"), BOTH),
    "VIPs of both families over IPv6": (shop("10.0.0.10", "fd00::10", neighbour="fd00::1"), BOTH),
    "IPv6 alone": (shop("fd00::10", neighbour="fd00::1"), OwnAddresses(None, "fd00::2")),
    "without BFD": (shop(bfd=False), BOTH),
    "one AS for all": (shop(neighbour_as=65010), BOTH),
    "AS of four bytes": (shop(local_as=4200000001, neighbour_as=4200000002), BOTH),
    "a name that is no symbol": (shop(name="shop-1.eu"), BOTH),
    "the longest name": (shop(name="a" * 40), BOTH),
}


@pytest.mark.parametrize("case", FILES)
def test_a_real_bird_takes_the_file_beside_the_one_of_debian(case: str, tmp_path: Path) -> None:
    deployment, own = FILES[case]
    assert checked(tmp_path, with_include(DEBIANS), (deployment.name, text_of(deployment, own))) == ""


def test_the_check_is_no_formality(tmp_path: Path) -> None:
    spoilt = text_of(shop()).replace("as 65000;", "as many;")
    assert "syntax error" in checked(tmp_path, with_include(DEBIANS), ("shop", spoilt))


def test_an_empty_folder_of_ours_is_no_fault(tmp_path: Path) -> None:
    assert checked(tmp_path, with_include(DEBIANS)) == ""


def test_two_deployments_do_not_meet_in_their_names(tmp_path: Path) -> None:
    """A hyphen and a dot are no part of BIRD's names, and both become an underscore."""
    one, two = shop(name="a-b"), shop("10.0.0.11", name="a.b", neighbour="10.0.0.9")
    own = [(one.name, text_of(one)), (two.name, text_of(two, bfd_there=True))]
    assert checked(tmp_path, with_include(DEBIANS), *own) == ""
    assert len({symbol(name) for name in ("a-b", "a.b", "a_b")}) == 3
    assert sign_of("a-b") != sign_of("a.b")


def test_the_operators_bfd_is_used_and_no_second_one_made() -> None:
    assert "protocol bfd" in text_of(shop())
    there = text_of(shop(), bfd_there=True)
    assert "protocol bfd" not in there
    assert "bfd { min rx interval 100 ms;" in there, "the session asks for it all the same"
    assert "bfd" not in text_of(shop(bfd=False)).split("protocol bgp")[1]


def test_the_vips_are_in_tables_of_their_own_and_nothing_else_is_announced() -> None:
    """A kernel protocol with `export all`, as Debian has it, would route the VIPs away from this machine."""
    text = text_of(shop("10.0.0.10", "fd00::10"))
    assert "master" not in text
    assert text.count("import none; export all;") == 2
    assert text.count("{ table dsr_shop_4;") == 2  # the routes go in, the session takes them out
    assert f'route 10.0.0.10/32 via "{sign_of("shop")}";' in text
    assert f'route fd00::10/128 via "{sign_of("shop")}";' in text


def test_each_director_has_an_identifier_of_its_own() -> None:
    """RFC 6286: unique within an AS, and not zero."""
    assert "router id 10.0.0.2;" in text_of(shop())
    six = {OwnAddresses(None, f"fd00::{number:x}").router_id for number in range(2, 34)}
    assert len(six) == 32
    assert "0.0.0.0" not in six


def test_a_vip_that_no_router_could_send_to_is_refused() -> None:
    with pytest.raises(UsageError, match="no IPv6 address of its own"):
        text_of(shop("fd00::10"), OwnAddresses("10.0.0.2", None))


def test_a_name_of_an_interface_fits_into_the_kernel() -> None:
    """IFNAMSIZ is 16 with the zero at its end (linux/if.h)."""
    assert len(sign_of("a" * 40)) <= 15


@pytest.mark.parametrize("before", ["", DEBIANS, DEBIANS.rstrip("\n"), f"# {BIRD_INCLUDE}\n"])
def test_the_line_comes_and_goes_and_leaves_the_rest(before: str) -> None:
    after = with_include(before)
    assert included(after)
    assert not included(before)
    assert without_include(after) == before + ("\n" if before and not before.endswith("\n") else "")


SAID = """\
BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     08:18:28.571
opbfd      BFD        ---        up     08:18:28.571
dsr_shop_vips4 Static     dsr_shop_4 up     08:18:28.571
  Channel ipv4
    State:          UP
    Table:          dsr_shop_4
dsr_shop_bfd BFD        ---        up     08:18:28.571
dsr_shop_bgp BGP        ---        up     08:18:29.342  Established
  Router ID:      10.0.0.2
  BGP state:          Established
    Neighbor address: 10.0.0.1
    Neighbor AS:      65000
uplink     BGP        ---        start  08:18:29.342  Active        Socket: Connection refused
  BGP state:          Active
    Neighbor address: fe80::1%eth1
    Neighbor AS:      64999
pool       BGP        ---        up     08:18:29.342  Passive
  BGP state:          Passive
    Neighbor range:   10.0.0.0/24
"""


@given(st.text(max_size=400) | st.lists(st.sampled_from(SAID.splitlines())).map("\n".join))
def test_whatever_birdc_says_nothing_breaks(said: str) -> None:
    facts = with_protocols(BirdFacts(version="2.0.12"), "shop", said)
    for session in facts.sessions:
        assert (session.protocol + session.neighbour).isprintable()


def test_control_characters_of_bird_do_not_act() -> None:
    head = SAID.splitlines()[9].replace("uplink", "up\x1b[2Jlink")
    facts = with_protocols(BirdFacts(version="2.0.12"), "shop", f"{head}\n    Neighbor address: 10.0.0.1\x07\n")
    assert [one for one in facts.sessions if not (one.protocol + one.neighbour).isprintable()] == []


def test_what_birdc_says_tells_ours_from_others() -> None:
    facts = with_protocols(BirdFacts(version="2.0.12"), "shop", SAID)
    assert facts.running
    assert facts.state == "Established"
    assert facts.sessions == (OtherSession("uplink", "fe80::1"), OtherSession("pool", "10.0.0.0/24"))
    assert facts.bfd == ("opbfd",)
    other = with_protocols(BirdFacts(version="2.0.12"), "mail", SAID)
    assert other.state == ""
    assert OtherSession("dsr_shop_bgp", "10.0.0.1") in other.sessions
