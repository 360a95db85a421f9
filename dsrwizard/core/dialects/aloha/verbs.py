"""The verbs by which an ALOHA could be driven over SSH: UNVERIFIED, and off. Nothing in dsrwizard runs them.

`alohactl2` is documented with its form, its exit codes and the attributes of its objects; the words for transactions,
for objects and for scopes are not. A verb that is not known is None here and is never guessed. Once a real box has
shown them (`alohactl2 help`), they are entered here, and `VERIFIED` says so.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

VERIFIED = False
FORM = "sudo alohactl2 [-S SCOPE | -T TRANSACTION] COMMAND [NAME] [--ATTRIBUTE VALUE | --reset-ATTRIBUTE]"
VERBS: dict[str, str | None] = {
    "open a transaction": None,
    "commit a transaction": None,
    "discard a transaction": None,
    "scope of the configuration": None,
    "make a farm (l4-farm)": None,
    "change a farm (l4-farm)": None,
    "delete a farm (l4-farm)": None,
    "make a server (l4-server)": None,
    "change a server (l4-server)": None,
    "delete a server (l4-server)": None,
    "give a farm its VIP and port": None,
    "read counters": None,
    "save over a reboot": None,
}
"""What a driver has to say → the word for it."""
ASK = "alohactl2 help"
"""The command whose output shows them; it changes nothing."""
BALANCES = {
    "roundrobin": "roundrobin",
    "leastconn": "least-connections",
    "source": "hash-source",
    "dest": "hash-destination",
    "shortestexpected": "shortest-expected-delay",
    "neverqueue": "never-queue",
}
"""Words of `balance` in the text → those of the objects, which has none for locality ("L4 Farm", ALOHA 15.5)."""

AfterExit = Literal["done", "wait", "unchanged", "unsaved", "stop"]


class AlohaExit(NamedTuple):
    """What an exit code means, and what a run does after it: goes on, waits and tries again, gives up with nothing
    changed, warns that a reboot loses it, or stops everything."""

    meaning: str
    after: AfterExit


EXITS: dict[int, AlohaExit] = {
    0: AlohaExit("done", "done"),
    1: AlohaExit("syntax", "unchanged"),
    2: AlohaExit("no scope given", "unchanged"),
    3: AlohaExit("no transaction given", "unchanged"),
    4: AlohaExit("neither scope nor transaction given", "unchanged"),
    20: AlohaExit("no such transaction", "unchanged"),
    21: AlohaExit("no such defaults", "unchanged"),
    22: AlohaExit("no such object", "unchanged"),
    23: AlohaExit("the object exists", "unchanged"),
    24: AlohaExit("a mandatory attribute is missing", "unchanged"),
    25: AlohaExit("a value is invalid", "unchanged"),
    100: AlohaExit("the API is locked", "wait"),
    101: AlohaExit("the configuration is invalid; the original was restored", "unchanged"),
    102: AlohaExit("it could not be applied; the original was restored and applied again", "unchanged"),
    110: AlohaExit("the transaction is corrupted", "unchanged"),
    111: AlohaExit("the transaction cannot be created", "unchanged"),
    112: AlohaExit("there is no context for the module", "unchanged"),
    113: AlohaExit("the transaction could not be prepared", "unchanged"),
    114: AlohaExit("the configuration could not be backed up", "unchanged"),
    115: AlohaExit("the configuration could not be installed", "unchanged"),
    120: AlohaExit("the original was NOT restored: the box may be without its configuration", "stop"),
    121: AlohaExit("the original was restored and not applied: the box may be without its configuration", "stop"),
    122: AlohaExit("it could not be saved, or not be sent to the other node", "unsaved"),
}


def unknown() -> tuple[str, ...]:
    """What a driver has to say and has no word for."""
    return tuple(what for what, word in VERBS.items() if word is None)


def drivable() -> bool:
    """Whether this box could be driven: every verb is known, and seen on a real box."""
    return VERIFIED and not unknown()
