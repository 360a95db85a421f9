"""BIRD's part of a deployment on a director: what has to be written, and what is taken back. Pure.

Its own file and one line in the operator's; then BIRD checks all of its files and reads them. A check that fails takes
the files back, and BIRD has read none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from typing import NamedTuple

import msgspec

from dsrwizard.core.dialects.bird.writer import OwnAddresses, bird_text, included, with_include, without_include
from dsrwizard.core.model.bird import BIRD_CONF, BIRD_UNIT, BirdFacts, bird_file
from dsrwizard.core.model.changes import AddressChange, Change, FileChange, FileState, UnitChange
from dsrwizard.core.model.deployment import Bgp, Deployment
from dsrwizard.core.model.errors import UsageError
from dsrwizard.core.model.facts import Interface
from dsrwizard.core.model.steps import DIRECTOR, Step
from dsrwizard.core.record.owed import Owed

BIRD_STEP = "bgp"


class BirdPlan(NamedTuple):
    """`problem`: why this director cannot announce anything; then there are no steps."""

    steps: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""


def plan_bird(deployment: Deployment, host: str, interfaces: Sequence[Interface], bird: BirdFacts) -> BirdPlan:
    """The step that has BIRD announce the VIPs of a deployment from one director; none where nothing is missing."""
    bgp = deployment.director.bgp
    if bgp is None:
        return BirdPlan()
    problem = _problem(deployment, bgp, interfaces, bird)
    if problem:
        return BirdPlan(problem=problem)
    own = own_addresses(deployment, interfaces)
    try:
        text = bird_text(deployment, bgp, own, bfd_there=bool(bird.bfd))
    except UsageError as refused:
        return BirdPlan(problem=str(refused))
    changes: list[Change] = []
    if bird.own is None or bird.own.content != text:
        mode = bird.own.mode if bird.own is not None else 0o644
        changes.append(
            FileChange(path=bird_file(deployment.name), old=bird.own, new=FileState(content=text, mode=mode))
        )
    conf = bird.conf or FileState()
    if not included(conf.content):
        wanted = msgspec.structs.replace(conf, content=with_include(conf.content))
        changes.append(FileChange(path=BIRD_CONF, old=bird.conf, new=wanted))
    notes = []
    if bird.systemd and not bird.enabled:
        notes.append(
            f"{BIRD_UNIT} does not start at boot, so this director would not come back. Run: systemctl enable bird"
        )
    if not changes and bird.running:
        return BirdPlan(notes=tuple(notes))
    step = Step(
        id=BIRD_STEP, purpose="bgp", host=host, phase="vip",
        title=f"BIRD tells {bgp.neighbour} of the VIPs, while the guard finds this director fit",
        why="The router spreads clients over all directors that announce the VIPs.",
        changes=(*changes, UnitChange(of="bird")),
    )  # fmt: skip
    return BirdPlan((step,), tuple(notes))


def own_addresses(deployment: Deployment, interfaces: Sequence[Interface]) -> OwnAddresses:
    """A director's addresses towards the router: the first of each family on the interface that leads to it, and the
    one in the router's network where there are several."""
    bgp = deployment.director.bgp
    router = ip_address(bgp.neighbour) if bgp is not None else None
    vips = {vip.ip for vip in deployment.vips}
    link = _towards(deployment, interfaces)
    found: dict[int, str] = {}
    for entry in link.addresses if link is not None else ():
        ip = ip_address(entry.address)
        if ip in vips or entry.scope != "global":
            continue
        near = router is not None and router in ip_network(f"{ip}/{entry.prefix}", strict=False)
        if ip.version not in found or near:
            found[ip.version] = str(ip)
    return OwnAddresses(found.get(4), found.get(6))


def _towards(deployment: Deployment, interfaces: Sequence[Interface]) -> Interface | None:
    """The interface in the router's network."""
    bgp = deployment.director.bgp
    if bgp is None:
        return None
    router = ip_address(bgp.neighbour)
    for link in interfaces:
        for entry in link.addresses:
            own = ip_address(entry.address)
            alone = own.max_prefixlen == entry.prefix
            if (
                own.version == router.version
                and not alone
                and router in ip_network(f"{own}/{entry.prefix}", strict=False)
            ):
                return link
    return None


def _problem(deployment: Deployment, bgp: Bgp, interfaces: Sequence[Interface], bird: BirdFacts) -> str:
    if not bird.version:
        return bird.problem or "BIRD is not installed here. Install it (`apt install bird2`), then run this again."
    if bird.problem:
        return bird.problem
    if not bird.version.startswith("2."):
        return f"BIRD {bird.version} is installed here, and its files are written for BIRD 2. Install bird2."
    if bird.conf is not None and bird.conf.target is not None:
        return f"{BIRD_CONF} is a link to {bird.conf.target}. Put a file in its place, then run this again."
    if _towards(deployment, interfaces) is None:
        return (
            f"The router {bgp.neighbour} is in no network of this director. BGP needs it as a neighbour: give an "
            "interface an address there, or name another router."
        )
    for vip in deployment.vips:
        for link in interfaces:
            if link.name != deployment.director.vip_interface and link.has(vip.address) is not None:
                return (
                    f"The VIP {vip.address} is on {link.name} here, where this director would answer ARP for it, and "
                    f"other directors have it, too. Take it off: ip addr del {vip.address}/{vip.prefix} dev {link.name}"
                )
    for session in bird.sessions:
        if session.neighbour == bgp.neighbour:
            return (
                f"BIRD has a session with {bgp.neighbour} already: the protocol {session.protocol}. A router keeps one "
                f"session with this director. Take it out of {BIRD_CONF}, or name another router."
            )
    return ""


def refuse_other_way(deployment: Deployment, owed: Sequence[Owed]) -> None:
    """Raises UsageError where the VIPs that are in force would have to move between this machine's interfaces: they are
    on lo with BGP, and on the servers' network without."""
    here = deployment.director.vip_interface
    vips = {vip.ip for vip in deployment.vips}
    for item in owed:
        change = item.change
        if item.host != DIRECTOR or not isinstance(change, AddressChange) or ip_address(change.address) not in vips:
            continue
        if change.new and (change.interface == "lo") != (here == "lo"):
            now = "with" if change.interface == "lo" else "without"
            raise UsageError(
                f"{deployment.name} is in force {now} [director.bgp], and its file says otherwise now.",
                f"Its VIPs would have to move from {change.interface} to {here}, and nobody would serve in between.",
                f"Run the teardown of {deployment.name} first, then apply the file.",
            )


def of_bird(change: Change) -> bool:
    """Whether it is a file of BIRD's."""
    return isinstance(change, FileChange) and change.path.startswith("/etc/bird/")


def bare_bird(bird: BirdFacts | None) -> BirdFacts | None:
    """BIRD as it would be without our part."""
    if bird is None:
        return None
    conf = bird.conf
    if conf is not None and included(conf.content):
        conf = msgspec.structs.replace(conf, content=without_include(conf.content))
    return msgspec.structs.replace(bird, own=None, conf=conf)


def line_only(change: Change, present: object) -> FileChange | None:
    """What takes our line out of the operator's file, where that was edited since: it loses our line, nothing else."""
    if not isinstance(change, FileChange) or change.path != BIRD_CONF or not isinstance(present, FileState):
        return None
    if present in (change.old, change.new) or not included(present.content):
        return None
    left = msgspec.structs.replace(present, content=without_include(present.content))
    return FileChange(path=BIRD_CONF, old=present, new=left)


def in_order(changes: Sequence[Change]) -> list[Change]:
    """The line goes first: where the folder is gone and the line is not, BIRD does not start any more."""
    first = sorted(changes, key=lambda one: not (isinstance(one, FileChange) and one.path == BIRD_CONF))
    return [*first, UnitChange(of="bird")] if first else []
