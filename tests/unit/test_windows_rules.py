"""Which clients of a VIP a rule of Windows' firewall lets in, by all its conditions; and what forbids an adapter."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from dsrwizard.core.dialects.windows.firewall import admitted, extent
from dsrwizard.core.dialects.windows.install_policy import CLASS, restricted, retroactive
from dsrwizard.core.model.deployment import Service, Vip
from dsrwizard.core.model.windows_facts import Firewall, FirewallRule, Site, SiteBinding, WindowsFacts

VIP = Vip(address="10.0.0.10", services=(Service(port=80),))
VIP6 = Vip(address="fd00::10", services=(Service(port=80),))
WEB = Service(port=80)
ON = Firewall(profiles={"domain": True, "private": True, "public": True})
FACTS = WindowsFacts(version="10.0.20348", firewall=ON, rules=())
IIS = msgspec.structs.replace(
    FACTS,
    sites=(Site(name="Web", started=True, bindings=(SiteBinding(protocol="http", information="*:80:"),)),),
)


def rule(**fields: Any) -> FirewallRule:
    return msgspec.structs.replace(FirewallRule(name="r", enabled=True, protocol=6, ports="80"), **fields)


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, "all"),
        ({"ports": "*"}, "all"),
        ({"ports": "443"}, "none"),
        ({"ports": "1-65535"}, "all"),
        ({"ports": "RPC,80"}, "all"),
        ({"ports": "RPC"}, "none"),
        ({"protocol": 256, "ports": "*"}, "all"),
        ({"protocol": 17}, "none"),
        ({"enabled": False}, "none"),
        ({"allow": False}, "none"),
        ({"profiles": 1}, "none"),
        ({"application": r"C:\nginx\nginx.exe", "ports": "*"}, "some"),
        ({"application": "System"}, "some"),
        ({"service": "w3svc"}, "some"),
        ({"service": "winmgmt", "ports": "*", "application": r"C:\Windows\system32\svchost.exe"}, "none"),
        ({"service": "*"}, "some"),
        ({"remote_addresses": "LocalSubnet"}, "some"),
        ({"remote_addresses": "10.0.0.0/255.255.255.0"}, "some"),
        ({"remote_addresses": "0.0.0.0/0"}, "all"),
        ({"remote_addresses": "0.0.0.0-127.255.255.255,128.0.0.0-255.255.255.255"}, "all"),
        ({"remote_addresses": "0.0.0.0-9.255.255.255,11.0.0.0-255.255.255.255"}, "some"),
        ({"remote_addresses": "::/0"}, "some"),
        ({"remote_ports": "1024-65535"}, "some"),
        ({"remote_ports": "0-65535"}, "all"),
        ({"interfaces": ("Ethernet",)}, "some"),
        ({"interface_types": "RemoteAccess"}, "some"),
        ({"interface_types": "Lan"}, "some"),
        ({"secure": True}, "some"),
        ({"addresses": "10.0.0.10/255.255.255.255"}, "all"),
        ({"addresses": "10.0.0.1-10.0.0.20"}, "all"),
        ({"addresses": "10.0.0.101"}, "none"),
        ({"addresses": "LocalSubnet"}, "none"),
    ],
)
def test_a_rule_counts_when_it_is_for_every_client(fields: dict[str, Any], wanted: str) -> None:
    found = rule(**fields)
    assert extent(FACTS, found, VIP, WEB) == wanted
    facts = msgspec.structs.replace(FACTS, rules=(found,))
    assert admitted(facts, VIP, WEB) == (wanted == "all")


def test_the_rule_that_iis_brings_is_for_http_sys_and_counts_where_it_serves() -> None:
    stock = rule(application="System")
    assert extent(IIS, stock, VIP, WEB) == "all"
    assert extent(IIS, rule(application="System", ports="8080"), VIP, Service(port=8080)) == "some"


def test_addresses_of_one_family_are_everybody_for_that_family() -> None:
    assert extent(FACTS, rule(remote_addresses="::/0"), VIP6, WEB) == "all"
    assert extent(FACTS, rule(remote_addresses="0.0.0.0/0"), VIP6, WEB) == "some"


NET = CLASS.upper()


@pytest.mark.parametrize(
    ("on", "lists", "wanted"),
    [
        ((), {}, ""),
        (("DenyDeviceIDs",), {}, ""),
        (("DenyDeviceIDs",), {"DenyDeviceIDs": ["USB\\Class_08", "USBSTOR\\Disk"]}, ""),
        (("DenyDeviceIDs",), {"DenyDeviceIDs": ["USB\\Class_08", "*MSLOOP"]}, "DenyDeviceIDs"),
        ((), {"DenyDeviceIDs": ["*MSLOOP"]}, ""),
        (("DenyDeviceClasses",), {"DenyDeviceClasses": ["{36fc9e60-c465-11cf-8056-444553540000}"]}, ""),
        (("DenyDeviceClasses",), {"DenyDeviceClasses": [NET]}, "DenyDeviceClasses"),
        (("DenyUnspecified",), {}, "DenyUnspecified"),
        (("DenyUnspecified", "AllowDeviceIDs"), {"AllowDeviceIDs": ["*msloop"]}, ""),
        (("DenyUnspecified", "AllowDeviceIDs"), {"AllowDeviceIDs": ["PCI\\CC_0200"]}, "DenyUnspecified"),
        (("DenyUnspecified",), {"AllowDeviceIDs": ["*MSLOOP"]}, "DenyUnspecified"),
        (("DenyUnspecified", "AllowDeviceClasses"), {"AllowDeviceClasses": [NET]}, ""),
        (
            ("DenyDeviceClasses", "AllowDeviceIDs"),
            {"DenyDeviceClasses": [NET], "AllowDeviceIDs": ["*MSLOOP"]},
            "DenyDeviceClasses",
        ),
        (
            ("DenyDeviceClasses", "AllowDeviceIDs", "AllowDenyLayered"),
            {"DenyDeviceClasses": [NET], "AllowDeviceIDs": ["*MSLOOP"]},
            "",
        ),
        (("DenyUnspecified", "AllowAdminInstall"), {}, ""),
    ],
)
def test_a_policy_forbids_the_adapter_by_the_entries_of_its_lists(
    on: tuple[str, ...], lists: dict[str, list[str]], wanted: str
) -> None:
    assert restricted(on, lists) == wanted


def test_a_retroactive_policy_takes_adapters_away_that_are_there() -> None:
    assert retroactive(("DenyDeviceIDs", "DenyDeviceIDsRetroactive"), "DenyDeviceIDs")
    assert not retroactive(("DenyDeviceClassesRetroactive",), "DenyDeviceIDs")
    assert not retroactive(("DenyDeviceIDsRetroactive",), "")
