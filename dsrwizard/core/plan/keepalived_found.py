"""keepalived's part of a deployment of which no journal tells: found by the names of its files. Pure."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from dsrwizard.core.dialects.keepalived.reading import only_ours
from dsrwizard.core.dialects.keepalived.writer import without_include
from dsrwizard.core.model.changes import Change, FileChange, FolderChange, KeepalivedChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.facts import Observed
from dsrwizard.core.model.guarding import guard_files
from dsrwizard.core.model.keepalived import (
    INCLUDE_LINE,
    KEEPALIVED_CONF,
    OWN_FOLDER,
    KeepalivedFacts,
    keepalived_drop_in,
    services_file,
    vrrp_file,
)
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.guard_unit import GUARD_STEP, guard_place
from dsrwizard.core.plan.keepalived import KEEPALIVED_STEP, director_hosts
from dsrwizard.core.record.owed import Owed

SETTINGS_STAY = "What was there before is not known: the kernel settings of a director stay."


def keepalived_found(deployment: Deployment, observed: Observed) -> list[Owed]:
    """What stands of it on the directors, as if owed. What else was in keepalived.conf is the operator's and stays."""
    if deployment.director.engine != "keepalived":
        return []
    addresses = {DIRECTOR: "local"} | {peer.name: peer.address for peer in deployment.director.peers}
    return [
        Owed(
            host=host.name, address=addresses[host.name], server="", phase="service", step=KEEPALIVED_STEP,
            title="keepalived has the VIPs and services of the deployment", change=change, order=number,
        )
        for host in director_hosts(deployment, observed)
        if host.facts is not None and host.facts.keepalived is not None
        for number, change in enumerate(_standing(deployment.name, host.facts.keepalived), 1)
    ] + [
        Owed(
            host=host.name, address=addresses[host.name], server="", phase="vip", step=GUARD_STEP,
            title="Run the guard as a systemd unit", change=FileChange(path=path, old=None, new=state), order=number,
        )
        for host in director_hosts(deployment, observed)
        if host.facts is not None and (place := guard_place(host.name, host.facts)) is not None
        for number, path in enumerate(guard_files(deployment.name), 101)
        if (state := place.files.get(path)) is not None
    ]  # fmt: skip


def _standing(name: str, seen: KeepalivedFacts) -> Iterator[Change]:
    mine = (services_file(name), vrrp_file(name))
    there = [(path, state) for path in (*mine, keepalived_drop_in(name)) if (state := seen.files.get(path)) is not None]
    if not there:
        return
    alone = not any(path.startswith(f"{OWN_FOLDER}/") and path not in mine for path in seen.texts)
    if alone:
        yield FolderChange(path=OWN_FOLDER, old=False, new=True)
    for path, state in there:
        yield FileChange(path=path, old=None, new=state)
    conf = seen.files.get(KEEPALIVED_CONF)
    if not alone or conf is None or INCLUDE_LINE not in conf.content:
        return
    whole = conf.content.startswith("# dsrwizard wrote this") and only_ours(conf.content)
    before = None if whole else msgspec.structs.replace(conf, content=without_include(conf.content))
    yield FileChange(path=KEEPALIVED_CONF, old=before, new=conf)
    if whole and seen.running:
        yield KeepalivedChange(of="daemon", old="stopped", new="running", by=seen.by)
