"""What is owed belongs to a machine: its id, or its address where the id is not known; never its name."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from dsrwizard.core.model.changes import AddressChange, SysctlChange
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.outcome import Outcome
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.record.accounts import Account
from dsrwizard.core.record.owed import Entry, Intent, Recognised, Result, RunBegan, deployed_since, owed
from dsrwizard.engine.journal import Journals

ONE, TWO = "1" * 32, "2" * 32
GUARD = SysctlChange(key="net.ipv4.conf.all.arp_ignore", old="0", new="1")
VIP = AddressChange(interface="lo", address="10.0.0.10", prefix=32, old=False, new=True)
Change = SysctlChange | AddressChange


def made(host: str, address: str, machine: str, change: Change, at: float = 0.0) -> list[Entry]:
    step = Step(id="step", host=host, phase="vip", title="Step", why="", changes=(change,))
    return [
        Intent(run="r", at=at, address=address, step=step, machine=machine),
        Result(run="r", at=at, host=host, step="step", outcome=Outcome.CHANGED),
    ]


def known(host: str, address: str, machine: str, was_address: str, was_machine: str) -> Recognised:
    return Recognised(
        run="r", at=1.0, host=host, address=address, machine=machine, was_address=was_address, was_machine=was_machine
    )


def told(entries: list[Entry]) -> list[tuple[str, str, str, str]]:
    return [
        (item.host, item.address, item.machine[:1], str(getattr(item.change, "key", "")).rpartition(".")[2])
        for item in owed(entries)
    ]


VIP_AT = [*made("web1", "10.0.0.101", ONE, VIP)]
BACK = VIP.inverse()


@pytest.mark.parametrize(
    ("entries", "left"),
    [
        pytest.param([*VIP_AT, *made("www1", "10.0.0.101", ONE, BACK)], [], id="renamed"),
        pytest.param([*VIP_AT, *made("web1", "10.0.0.111", ONE, BACK)], [], id="new address"),
        pytest.param([*VIP_AT, *made("www9", "10.0.0.111", ONE, BACK)], [], id="both at once"),
        pytest.param([*VIP_AT, *made("www1", "10.0.0.101", "", BACK)], [], id="id no longer told"),
        pytest.param(
            [*made("web1", "10.0.0.101", "", VIP), *made("www1", "10.0.0.101", ONE, BACK)], [], id="id told since"
        ),
        pytest.param(
            [*made("web1", "10.0.0.101", "", VIP), *made("www1", "10.0.0.101", "", BACK)], [], id="never told, renamed"
        ),
        pytest.param(
            [*VIP_AT, *made("web1", "10.0.0.101", TWO, VIP)],
            [("web1", "10.0.0.101", "1", ""), ("web1", "10.0.0.101", "2", "")],
            id="another machine at the address",
        ),
        pytest.param(
            [*VIP_AT, *made("web3", "10.0.0.103", TWO, VIP), *made("web1", "10.0.0.103", ONE, BACK)],
            [("web3", "10.0.0.103", "2", "")],
            id="took the address of another",
        ),
        pytest.param(
            [*VIP_AT, *made("web2", "10.0.0.102", "", VIP), *made("web1", "10.0.0.101", ONE, BACK)],
            [("web2", "10.0.0.102", "", "")],
            id="a copy beside it, told by address",
        ),
        pytest.param(
            [*VIP_AT, known("www1", "10.0.0.111", ONE, "10.0.0.101", ONE)],
            [("www1", "10.0.0.111", "1", "")],
            id="recognised under another name and address",
        ),
        pytest.param(
            [*VIP_AT, known("web1", "10.0.0.101", TWO, "10.0.0.101", ONE), *made("web1", "10.0.0.101", TWO, BACK)],
            [],
            id="recognised with another id",
        ),
        pytest.param(
            [
                *VIP_AT,
                *made("web3", "10.0.0.103", TWO, VIP),
                known("web1", "10.0.0.103", ONE, "10.0.0.101", ONE),
                known("web3", "10.0.0.101", TWO, "10.0.0.103", TWO),
                *made("web1", "10.0.0.103", "", BACK),
            ],
            [("web3", "10.0.0.101", "2", "")],
            id="addresses swapped, then the id is not told",
        ),
        pytest.param(
            [*VIP_AT, *made("web1", "10.0.0.101", TWO, GUARD), known("web1", "10.0.0.101", TWO, "10.0.0.101", ONE)],
            [("web1", "10.0.0.101", "2", ""), ("web1", "10.0.0.101", "2", "arp_ignore")],
            id="what is owed under both ids is owed on one machine",
        ),
        pytest.param(
            [*made(DIRECTOR, "local", ONE, VIP), *made(DIRECTOR, "local", TWO, VIP)],
            [(DIRECTOR, "local", "1", ""), (DIRECTOR, "local", "2", "")],
            id="another director",
        ),
        pytest.param(
            [*made(DIRECTOR, "local", ONE, VIP), *made("web1", "10.0.0.101", ONE, BACK)],
            [(DIRECTOR, "local", "1", ""), ("web1", "10.0.0.101", "1", "")],
            id="a copy of the director is no director",
        ),
    ],
)
def test_whose_a_change_is(entries: list[Entry], left: list[tuple[str, str, str, str]]) -> None:
    assert told(entries) == left


def test_when_a_vip_was_put_there_goes_with_the_machine() -> None:
    entries = [*made("web1", "10.0.0.101", ONE, VIP, at=5.0), known("www1", "10.0.0.111", ONE, "10.0.0.101", ONE)]
    assert deployed_since(entries) == {"www1": 5.0}


# Written by dsrwizard before entries had a machine.
FORMER = """\
{"type":"RunBegan","run":"a","at":1.0,"verb":"apply","deployment":{"name":"shop","director":{"interface":"eth0"},\
"vips":[{"address":"10.0.0.10","services":[{"port":80}]}],"servers":[{"name":"web1","address":"10.0.0.101"}]},\
"version":"1.0"}
{"type":"Intent","run":"a","at":2.0,"address":"10.0.0.101","step":{"id":"vip 10.0.0.10","host":"web1","phase":"vip",\
"title":"VIP","why":"","changes":[{"type":"AddressChange","interface":"lo","address":"10.0.0.10","prefix":32,\
"old":false,"new":true,"system":"linux"}],"purpose":"vip","vip":"10.0.0.10","service":"","interrupts":"",\
"proof":null,"server":"","owner":""}}
{"type":"Result","run":"a","at":3.0,"host":"web1","step":"vip 10.0.0.10","outcome":"changed","detail":""}
{"type":"RunEnded","run":"a","at":4.0,"ok":true}
"""


def test_a_journal_without_machines_is_read(tmp_path: Path) -> None:
    (tmp_path / "shop.jsonl").write_text(FORMER)
    (item,) = owed(Journals(tmp_path).of("shop").entries())
    assert (item.host, item.address, item.machine, item.change) == ("web1", "10.0.0.101", "", VIP)


# --- who may have left -----------------------------------------------------------------------------------------------

SHOP = Deployment(
    name="shop",
    director=Director(interface="eth0"),
    vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
    servers=(RealServer(name="web1", address="10.0.0.101", user="ops"), RealServer(name="web2", address="10.0.0.102")),
)
APPLIED = [RunBegan(run="r", at=0.0, verb="apply", deployment=SHOP, version="1"), *VIP_AT]


@pytest.mark.parametrize(
    ("servers", "left"),
    [
        ({"web1": "10.0.0.101"}, []),
        ({"www1": "10.0.0.101"}, []),
        ({"web1": "10.0.0.102", "web2": "10.0.0.101"}, []),
        ({"web2": "10.0.0.102"}, [("web1", "10.0.0.101")]),
        ({"web1": "10.0.0.111"}, [("10.0.0.101", "10.0.0.101")]),
        ({"web1": "10.0.0.111", "10.0.0.101": "10.0.0.112"}, [("10.0.0.101-former", "10.0.0.101")]),
    ],
)
def test_who_may_have_left_is_a_matter_of_addresses(servers: dict[str, str], left: list[tuple[str, str]]) -> None:
    wanted = msgspec.structs.replace(
        SHOP, servers=tuple(RealServer(name=name, address=address) for name, address in servers.items())
    )
    found = Account(APPLIED).leaving(wanted)
    assert [(server.name, server.address) for server in found] == left
    assert all(server.user == "ops" for server in found), "it is reached as before"
