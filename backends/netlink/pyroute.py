"""pyroute2 without the parts that nobody here uses.

The package imports all of itself as soon as any module of it is asked for (NDB, ethtool, conntrack, WireGuard), which
takes longer than all that is used. So its name is put in place first, and its modules are imported one by one.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec, module_from_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyroute2 import IPRoute


def _named() -> None:
    if "pyroute2" in sys.modules:
        return
    found = find_spec("pyroute2")
    if found is not None:
        sys.modules["pyroute2"] = module_from_spec(found)


_named()

from pyroute2.netlink import NetlinkError  # noqa: E402 - after its name is in place
from pyroute2.netlink.generic import AsyncGenericNetlinkSocket, GenericNetlinkSocket, ipvs  # noqa: E402 - as above

__all__ = ["AsyncGenericNetlinkSocket", "GenericNetlinkSocket", "NetlinkError", "ipvs", "route_socket"]


def route_socket() -> IPRoute:
    """A socket for addresses, links and routes."""
    from pyroute2.iproute import IPRoute

    return IPRoute()
