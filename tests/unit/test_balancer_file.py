"""The deployment file where an appliance balances: what `[balancer]` takes, and what is refused and in which words."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backends.loadbalancer_org.port import LoadbalancerOrg
from backends.netscaler.port import NetScaler
from dsrwizard.cli.wiring import _open_balancer
from dsrwizard.core.intake.deployment_file import FileRefused, dumps, loads
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.plan.engines import refuse_unbuilt
from tests.fakes.box_shop import Operator

ROOT = Path(__file__).parents[2]
BALANCER = '[balancer]\naddresses = ["10.1.0.5", "10.1.0.6"]\nuser = "nsroot"\n'


def text(engine: str, rest: str = BALANCER, more: str = "") -> str:
    return (
        f'name = "shop"\n[director]\ninterface = "eth0"\nengine = "{engine}"\n{more}\n'
        '[[vips]]\naddress = "10.0.0.10"\n[[vips.services]]\nport = 80\n'
        f'[[servers]]\nname = "web1"\naddress = "10.0.0.101"\n{rest}'
    )


def read(engine: str, rest: str = BALANCER) -> Deployment:
    return loads(text(engine, rest))


def refused(*words: str, engine: str = "netscaler", rest: str = BALANCER, more: str = "") -> None:
    with pytest.raises(FileRefused) as error:
        loads(text(engine, rest, more))
    told = " ".join(error.value.lines())
    for word in words:
        assert word in told, told


@pytest.mark.parametrize("engine", ["netscaler", "loadbalancer.org", "aloha", "barracuda"])
def test_a_product_has_its_management(engine: str) -> None:
    deployment = read(engine)
    assert deployment.balancer is not None
    assert (deployment.balancer.addresses, deployment.balancer.user) == (("10.1.0.5", "10.1.0.6"), "nsroot")
    assert deployment.balancer.save, "what was set up is there after a reboot of the appliance"
    assert loads(dumps(deployment)) == deployment


@pytest.mark.parametrize(
    ("engine", "in_kernel", "driven"),
    [
        ("netlink", True, True), ("keepalived", True, True), ("external", False, False), ("netscaler", False, True),
        ("loadbalancer.org", False, True), ("aloha", False, False), ("barracuda", False, False),
    ],
)  # fmt: skip
def test_the_two_questions_about_who_balances(engine: str, in_kernel: bool, driven: bool) -> None:
    rest = "" if engine in ("netlink", "keepalived", "external") else BALANCER
    director = read(engine, rest).director
    assert (director.in_kernel, director.driven) == (in_kernel, driven)


def test_no_other_question_is_asked_about_another_product() -> None:
    asked = re.compile(r"""engine (?:==|!=) ["'](?:external|netscaler|loadbalancer\.org|aloha|barracuda)""")
    sources = [path for part in ("dsrwizard", "screens", "backends") for path in (ROOT / part).rglob("*.py")]
    found = {path.name for path in sources if asked.search(path.read_text())}
    assert found <= {"balancer.py", "plan.py"}, "ask director.in_kernel or director.driven"


def test_a_text_and_a_checklist_need_no_address() -> None:
    assert read("aloha", "").balancer is None
    assert read("barracuda", "").balancer is None


@pytest.mark.parametrize("engine", ["netscaler", "loadbalancer.org"])
def test_what_is_driven_has_to_be_found(engine: str) -> None:
    refused("nothing says where it is", "[balancer]", engine=engine, rest="")
    refused("management address", "addresses = [", engine=engine, rest='[balancer]\nuser = "a"\n')
    refused("The user is missing", "never write it here", engine=engine, rest='[balancer]\naddresses = ["10.1.0.5"]\n')


@pytest.mark.parametrize("engine", ["netlink", "keepalived", "external"])
def test_no_appliance_no_balancer(engine: str) -> None:
    refused("the engine names none", 'engine = "netscaler"', engine=engine)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"10.1.0.6"', '"10.1.0.5"', "listed already"),
        ('"10.1.0.6"', '"10.0.0.10"', "10.0.0.10 is the VIP"),
        ('"10.1.0.6"', '"10.0.0.101"', 'is server "web1"'),
        ('"10.1.0.6"', '"lb.example"', "is a name, not an address"),
        ('"10.1.0.6"', '"10.1.0.6", "10.1.0.7"', "a pair has two"),
        ('"nsroot"', '"ns root"', "not a valid login name"),
        ('user = "nsroot"', 'user = "nsroot"\nport = 80', "clear text"),
        ('user = "nsroot"', 'user = "nsroot"\nport = 70000', "HTTPS management"),
        ('user = "nsroot"', 'user = "nsroot"\npassword = "hunter2"', "A secret does not belong in this file."),
        ('user = "nsroot"', 'user = "nsroot"\napi_token = "hunter2"', "A secret does not belong in this file."),
        ('user = "nsroot"', 'user = "nsroot"\nmethod = "srcipsrcporthash"', 'Did you mean "SRCIPSRCPORTHASH"?'),
        ('user = "nsroot"', 'user = "nsroot"\nmethod = "LRTM"', "Write one of"),
        ('user = "nsroot"', 'user = "nsroot"\nnsip = "10.1.0.7"', "Did you mean addresses?"),
    ],
)
def test_what_a_balancer_cannot_be(old: str, new: str, words: str) -> None:
    refused(words, rest=BALANCER.replace(old, new))
    with pytest.raises(FileRefused) as error:
        read("netscaler", BALANCER.replace(old, new))
    assert "hunter2" not in " ".join(error.value.lines())


def test_a_method_is_for_a_netscaler() -> None:
    with_method = BALANCER + 'method = "SRCIPSRCPORTHASH"\n'
    assert read("netscaler", with_method).balancer is not None
    refused("method is for a NetScaler", engine="aloha", rest=with_method)


def test_a_method_that_heeds_no_weights_is_refused_where_they_differ() -> None:
    second = '[[servers]]\nname = "web2"\naddress = "10.0.0.102"\nweight = 2\n'
    refused("weights do nothing", rest=second + BALANCER + 'method = "SRCIPSRCPORTHASH"\n')
    assert read("netscaler", second + BALANCER + 'method = "ROUNDROBIN"\n')


@pytest.mark.parametrize("engine", ["netscaler", "loadbalancer.org", "aloha", "barracuda"])
def test_an_appliance_has_no_guard_and_no_second_director_of_ours(engine: str) -> None:
    refused("A guard needs IPVS on this machine.", engine=engine, more="guard = true")
    refused("yours is another product", engine=engine, more='address = "10.0.0.2"')


@pytest.mark.parametrize("engine", ["netscaler", "loadbalancer.org", "aloha", "barracuda"])
def test_every_product_can_be_worked_with(engine: str) -> None:
    refuse_unbuilt(read(engine))


@pytest.mark.parametrize(("engine", "kind"), [("netscaler", NetScaler), ("loadbalancer.org", LoadbalancerOrg)])
def test_each_driven_product_has_its_own_driver(engine: str, kind: type) -> None:
    assert type(_open_balancer(read(engine), Operator())) is kind
