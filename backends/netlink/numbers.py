"""The numbers of the IPVS generic netlink interface (linux/ip_vs.h, linux/netlink.h, linux/genetlink.h)."""

from __future__ import annotations

from enum import IntEnum

FAMILY = "IPVS"
VERSION = 1

NETLINK_GENERIC = 16
NLM_F_REQUEST = 0x1
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLMSG_ERROR = 2
NLMSG_DONE = 3
NLA_TYPE_MASK = 0x3FFF
NLA_F_NESTED = 0x8000
GENL_ID_CTRL = 16
CTRL_CMD_GETFAMILY = 3
CTRL_ATTR_FAMILY_ID = 1
CTRL_ATTR_FAMILY_NAME = 2


class Command(IntEnum):
    NEW_SERVICE = 1
    SET_SERVICE = 2
    DEL_SERVICE = 3
    GET_SERVICE = 4
    NEW_DEST = 5
    SET_DEST = 6
    DEL_DEST = 7
    GET_DEST = 8
    GET_DAEMON = 11


class MessageAttr(IntEnum):
    """IPVS_CMD_ATTR_*: what a message holds."""

    SERVICE = 1
    DEST = 2
    DAEMON = 3


class Svc(IntEnum):
    """IPVS_SVC_ATTR_*."""

    AF = 1
    PROTOCOL = 2
    ADDR = 3
    PORT = 4
    FWMARK = 5
    SCHED_NAME = 6
    FLAGS = 7
    TIMEOUT = 8
    NETMASK = 9
    STATS = 10
    PE_NAME = 11
    STATS64 = 12


class Daemon(IntEnum):
    """IPVS_DAEMON_ATTR_*."""

    STATE = 1


class Dest(IntEnum):
    """IPVS_DEST_ATTR_*."""

    ADDR = 1
    PORT = 2
    FWD_METHOD = 3
    WEIGHT = 4
    U_THRESH = 5
    L_THRESH = 6
    ACTIVE_CONNS = 7
    INACT_CONNS = 8
    PERSIST_CONNS = 9
    STATS = 10
    ADDR_FAMILY = 11
    STATS64 = 12
    TUN_TYPE = 13
    TUN_PORT = 14
    TUN_FLAGS = 15


class Count(IntEnum):
    """IPVS_STATS_ATTR_*; rates (6 to 10) are not read, they are the kernel's own averages."""

    CONNS = 1
    INPKTS = 2
    OUTPKTS = 3
    INBYTES = 4
    OUTBYTES = 5


FLAG_PERSISTENT = 0x1
FLAG_HASHED = 0x2

METHODS: dict[int, str] = {0: "nat", 1: "local", 2: "tun", 3: "dr", 4: "bypass"}
"""IP_VS_CONN_F_FWD_MASK's values. ipvsadm gives no destination `bypass`, but the kernel has the number."""

_METHOD = "method "


def method_name(number: int) -> str:
    """A forwarding method by its word; one of a newer kernel by its number (`method 5`), so that it can be restored."""
    return METHODS.get(number, f"{_METHOD}{number}")


def method_number(name: str) -> int:
    """The number for the word. Raises KeyError for what is neither."""
    known = {word: number for number, word in METHODS.items()}
    rest = name.removeprefix(_METHOD)
    return int(rest) if name != rest and rest.isdecimal() else known[name]
