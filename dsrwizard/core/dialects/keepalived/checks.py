"""What `keepalived -t` lets pass and an operator would not, looked for in all of keepalived's files together. Pure.

Seen with keepalived 2.2.7: status 0 for an include without a match, for a virtual_server that is there twice, for a
script that does not exist, and for `vrrp_strict`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address
from typing import NamedTuple

from dsrwizard.core.dialects.keepalived.reading import Block, ConfigRead, nobody_in, parse, read
from dsrwizard.core.dialects.keepalived.writer import Leaving, Side, instance, own_globals
from dsrwizard.core.model.deployment import Deployment, Vrrp
from dsrwizard.core.model.keepalived import KEEPALIVED_CONF, OWN_FOLDER, services_file, services_of, vrrp_file


class FilesJudged(NamedTuple):
    """`problems` stand in the way of putting the files in force; `notes` are for the operator to know."""

    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def judged(deployment: Deployment, side: Side, texts: Mapping[str, str], missing: Collection[str] = ()) -> FilesJudged:
    """Judges the files as they are to be. `texts`: path → text; `missing`: paths that they name and that are not
    there."""
    if KEEPALIVED_CONF not in texts:
        return FilesJudged((f"{KEEPALIVED_CONF} does not exist, and keepalived starts without it and does nothing.",))
    found = read(texts)
    mine = {vrrp_file(deployment.name), services_file(deployment.name)}
    problems = [*_unread(found, mine), *_twice(found, mine), *_not_direct(found, mine)]
    problems += [
        f"No real server of {label} would have a weight, and keepalived refuses such a service. Have one ready, or "
        "take the service out of the deployment."
        for label in nobody_in(texts.get(services_file(deployment.name), ""))
    ]
    problems += _instances(deployment, side, found, mine)
    notes = [f"{block.place}: {' '.join(block.words)} finds no file." for block in found.unmatched]
    notes += [f"{path} is included from keepalived's files and was not looked at." for path in found.outside]
    notes += [f"keepalived's files name {path}, which does not exist." for path in sorted(missing)]
    strict, others = _globals(deployment, side, found)
    return FilesJudged((*problems, *strict), (*notes, *others))


def _unread(found: ConfigRead, mine: Collection[str]) -> Iterator[str]:
    read_files = {block.file for block in found.blocks}
    for path in sorted(set(mine) - read_files):
        yield f"{path} is included by no file of keepalived's, so it would do nothing."


def _servers(found: ConfigRead) -> Iterator[tuple[tuple[str, str, str], Block]]:
    for block in found.blocks:
        if block.words[0] == "virtual_server" and len(block.words) >= 3:
            protocol = (block.value("protocol") or "TCP").lower()
            yield (_plain(block.words[1]), block.words[2], protocol), block


def _twice(found: ConfigRead, mine: Collection[str]) -> Iterator[str]:
    """keepalived takes the second as more of the first: nobody can tell what is in force then."""
    first: dict[tuple[str, str, str], Block] = {}
    for key, block in _servers(found):
        other = first.setdefault(key, block)
        if other is not block and (block.file in mine or other.file in mine):
            yield f"virtual_server {key[0]} {key[2]}/{key[1]} is there twice: {other.place} and {block.place}."


def _not_direct(found: ConfigRead, mine: Collection[str]) -> Iterator[str]:
    for key, block in _servers(found):
        method = block.value("lvs_method")
        if block.file in mine and method != "DR":
            yield (
                f"{block.place}: virtual_server {key[0]} {key[1]} has the method {method or 'NAT (none is given)'}. "
                "Direct server return needs lvs_method DR."
            )


def _instances(deployment: Deployment, side: Side, found: ConfigRead, mine: Collection[str]) -> Iterator[str]:
    vrrp = deployment.director.vrrp or Vrrp()
    vips = {str(vip.ip) for vip in deployment.vips}
    for block in found.blocks:
        if block.file in mine or block.words[0] not in ("vrrp_instance", "static_ipaddress"):
            continue
        name = " ".join(block.words)
        if block.words == ("vrrp_instance", instance(deployment.name)):
            yield f"{block.place}: {name} is there already."
        if block.value("virtual_router_id") == str(vrrp.router_id) and block.value("interface") == side.interface:
            yield (
                f"{block.place}: {name} has virtual_router_id {vrrp.router_id} on {side.interface}, too. "
                "Write another router_id in [director.vrrp]."
            )
        for addresses in (block, *block.named("virtual_ipaddress"), *block.named("virtual_ipaddress_excluded")):
            for line in addresses.inner:
                if _plain(line.words[0].partition("/")[0]) in vips:
                    yield f"{line.place}: {name} has the VIP {line.words[0]} already."


def _globals(deployment: Deployment, side: Side, found: ConfigRead) -> tuple[list[str], list[str]]:
    """The operator's global_defs beside what this deployment needs: what stands in the way, and what should be added.
    They are never changed for him."""
    given: dict[str, Block] = {}
    for block in found.blocks:
        if block.words == ("global_defs",):
            given |= {line.words[0]: line for line in block.inner}
    problems = []
    strict = given.get("vrrp_strict")
    if strict is not None:
        problems.append(
            f"{strict.place}: vrrp_strict makes keepalived drop what is sent to the VIPs, and forbids unicast. "
            "Remove it."
        )
    notes = []
    for word, line, without in own_globals(deployment, side):
        present = given.get(word)
        if present is None:
            notes.append(f"global_defs in {KEEPALIVED_CONF} lacks “{line}”. Without it {without}. Add it there.")
        elif word == "lvs_sync_daemon" and " ".join(present.words) != line:
            notes.append(f"{present.place}: “{' '.join(present.words)}” is kept; this deployment needs “{line}”.")
    return problems, notes


def leaving_from(text: str, deployment: Deployment) -> tuple[Leaving, ...]:
    """What is in a services file of ours that is in force and no longer wanted."""
    wanted = {
        (str(vip.ip), service.protocol, str(service.port), _plain(rip))
        for vip, service in services_of(deployment)
        for server in deployment.servers_of(vip)
        if (rip := server.rip_for(vip)) is not None
    }
    found: list[Leaving] = []
    blocks = parse(text, OWN_FOLDER)
    for (vip, port, protocol), block in _servers(ConfigRead(blocks)):
        for real in block.named("real_server"):
            if len(real.words) < 3 or (vip, protocol, port, _plain(real.words[1])) in wanted:
                continue
            persistence = block.value("persistence_timeout")
            found.append(
                Leaving(
                    vip, protocol, int(port) if port.isdigit() else 0, _plain(real.words[1]), block.value("lvs_sched"),
                    int(persistence) if persistence.isdigit() else 0,
                )
            )  # fmt: skip
    return tuple(found)


def _plain(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        return text
