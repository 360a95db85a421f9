"""What of pyroute2 is loaded, and when: a weight that is urgent waits for no module, and no command for parts that
nobody uses."""

from __future__ import annotations

import subprocess
import sys

_READY = """
import sys
from backends.director.port import LocalDirector
LocalDirector().ready()
before = set(sys.modules)
from backends.netlink.messages import IpvsSocket, destination_part, service_part
print(*sorted(set(sys.modules) - before))
"""
_ROUTES = """
import sys
from backends.netlink.links import interfaces
interfaces()
print(*sorted({"pyroute2.ndb", "pyroute2.ipdb", "pyroute2.ethtool", "pyroute2.wiset"} & set(sys.modules)))
"""


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_director_that_is_ready_loads_nothing_when_it_changes_a_weight() -> None:
    assert printed(_READY) == "\n"


def test_addresses_are_read_without_the_parts_that_nobody_uses() -> None:
    assert printed(_ROUTES) == "\n"
