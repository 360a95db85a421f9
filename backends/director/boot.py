"""What a boot of this director brings back: looked at, and the file that it reads, written."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from socket import if_nametoindex
from typing import Literal

from backends.director.disk import read_file
from dsrwizard import files
from dsrwizard.core.model import guarding
from dsrwizard.core.model.changes import FileState, SavedTableChange
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import CommandFailed, DsrError, UsageError
from dsrwizard.core.model.facts import DirectorFacts, Interface, VirtualService
from dsrwizard.core.model.guarding import GuardState, guard_files
from dsrwizard.core.model.restoring import (
    FOLDER,
    MAX_BYTES,
    VERSION,
    DirectorBoot,
    SavedDestination,
    SavedDirector,
    SavedService,
    SavedState,
    SavedVip,
    older,
    read,
    saved_path,
    written,
)
from dsrwizard.core.model.values import parsed
from dsrwizard.core.plan.director_boot import files_of, saved_change, started, unit_file
from dsrwizard.engine import guard_file
from dsrwizard.engine.guard_file import without_guard

_HAND = ("etc/rc.local", "etc/rc.d/rc.local", "etc/local.d", "etc/init.d", "etc/cron.d", "var/spool/cron/crontabs/root")
_KEEPS: dict[str, Literal["static", "yes"]] = {
    "static": "static", "yes": "yes", "true": "yes", "on": "yes", "1": "yes",
}  # fmt: skip


def program() -> tuple[str, ...]:
    """What a unit has to run for this installation, by its absolute path: the console script beside the interpreter, or
    the interpreter with the module."""
    script = Path(sys.executable).parent / "dsrwizard"
    return (str(script),) if os.access(script, os.X_OK) else (sys.executable, "-m", "dsrwizard")


def look(deployment: Deployment, facts: DirectorFacts, settings: Sequence[str], root: Path) -> DirectorBoot:
    """What is there. What cannot be read counts as not there. Changes nothing."""
    interface = deployment.director.interface
    network_file, keeps = _networkd(interface, root)
    paths = (*files_of(deployment.name, network_file), *guard_files(deployment.name))
    found = {path: _file(root, path) for path in paths}
    unit = found.get(unit_file(deployment.name))
    runs = started(unit.content) if unit else ""
    state, problem = _saved(deployment, facts, settings, root)
    return DirectorBoot(
        systemd=(root / "run/systemd/system").is_dir(),
        init=(root / "run/openrc").is_dir() or (root / "run/initctl").exists(),
        writable=os.access(root / "etc/systemd/system", os.W_OK, effective_ids=True),
        program=program(),
        program_gone=runs if runs and not os.access(root / runs.lstrip("/"), os.X_OK) else "",
        files=found,
        networkd=network_file,
        keeps=keeps,
        networkmanager=_networkmanager(interface, root),
        ifupdown=_ifupdown(interface, root),
        saved=state,
        saved_problem=problem,
        by_hand=tuple(_by_hand(deployment.name, root)),
    )


def _file(root: Path, path: str) -> FileState | None:
    try:
        return read_file(root / path.lstrip("/"), path)
    except DsrError:
        return None


# --- the network managers


def _index(interface: str) -> int:
    try:
        return if_nametoindex(interface)
    except OSError:
        return 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _networkd(interface: str, root: Path) -> tuple[str, Literal["", "static", "yes"]]:
    """The name of the .network file by which networkd has set the interface up (its own record, sd-network.h), and
    which addresses that file or a drop-in of others has it keep."""
    record = _lines(root / f"run/systemd/netif/links/{_index(interface)}")
    path = next((line.partition("=")[2] for line in record if line.startswith("NETWORK_FILE=")), "")
    if not path.startswith("/"):
        return "", ""
    name = path.rpartition("/")[2]
    kept = ""
    for file in (root / path.lstrip("/"), *sorted((root / "etc/systemd/network" / f"{name}.d").glob("*.conf"))):
        if not file.name.startswith("dsrwizard-"):
            for line in _lines(file):
                key, _, value = line.partition("=")
                kept = value.strip().lower() if key.strip() == "KeepConfiguration" else kept
    return name, _KEEPS.get(kept, "")


def _networkmanager(interface: str, root: Path) -> bool:
    """NetworkManager's record of a device it manages (NetworkManager(8), /run/NetworkManager/devices)."""
    record = _lines(root / f"run/NetworkManager/devices/{_index(interface)}")
    return "managed=true" in record and (root / "etc/NetworkManager/dispatcher.d").is_dir()


def _ifupdown(interface: str, root: Path) -> bool:
    """ifupdown's record of the interfaces that are up (interfaces(5))."""
    record = [*_lines(root / "run/network/ifstate"), *_lines(root / f"run/network/ifstate.{interface}")]
    up = any(line.split("=")[0] == interface for line in record if line)
    return up and (root / "etc/network/if-up.d").is_dir()


def _by_hand(deployment: str, root: Path) -> Iterable[str]:
    """Files that run `dsrwizard restore` at boot for this deployment, or for every file in its folder."""
    for place in _HAND:
        path = root / place
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            lines = _lines(file) if file.is_file() else []
            run = [line for line in lines if not line.lstrip().startswith("#") and "dsrwizard" in line]
            if any(
                "restore" in line.split() and (deployment in line.split() or FOLDER in "".join(lines)) for line in run
            ):
                yield f"/{file.relative_to(root)}"


# --- the file that a boot reads


def _saved(deployment: Deployment, facts: DirectorFacts, settings: Sequence[str], root: Path) -> tuple[SavedState, str]:
    path = saved_path(deployment.name)
    try:
        content = files.read(root / path.lstrip("/"), MAX_BYTES)
    except FileNotFoundError:
        return "missing", f"{path} is missing"
    except PermissionError:
        return "unknown", ""
    except OSError as error:
        return "unreadable", f"{path} cannot be read: {error.strerror}"
    try:
        saved = read(content, deployment.name)
    except UsageError as error:
        return "unreadable", error.what.rstrip(".")
    if facts.services is None:
        return "current", ""
    change = saved_change(deployment, settings, there=True)
    difference = older(saved, of_kernel(change, facts.services, facts.interfaces, facts.sysctls, root))
    return ("older", f"{path} is older than the table: {difference}") if difference else ("current", "")


def of_kernel(
    change: SavedTableChange,
    services: Sequence[VirtualService],
    links: Sequence[Interface],
    settings: dict[str, str],
    root: Path,
) -> SavedDirector:
    """What is to be kept, as the kernel has it. What a guard holds out has its own weight in it: after a boot the guard
    holds nothing out."""
    services = without_guard(services, guard_of(change.deployment, root))
    wanted = {(parsed(key.address), key.protocol, key.port) for key in change.services}
    here = {parsed(entry.address): entry.prefix for link in links for entry in link.addresses}
    whole = {vip: here.get(parsed(vip), parsed(vip).max_prefixlen) for vip in change.vips}
    return SavedDirector(
        version=VERSION,
        deployment=change.deployment,
        interface=change.interface,
        vips=tuple(SavedVip(address=vip, prefix=prefix) for vip, prefix in whole.items()),
        settings={key: settings[key] for key in change.settings if key in settings},
        services=tuple(
            SavedService(
                key=one.key, state=one.state,
                destinations=tuple(
                    SavedDestination(address=to.address, port=to.port, state=to.state) for to in one.destinations
                ),
            )
            for one in services
            if (parsed(one.key.address), one.key.protocol, one.key.port) in wanted
        ),
        rips=change.rips,
    )  # fmt: skip


def guard_of(deployment: str, root: Path) -> GuardState | None:
    """What the deployment's guard wrote last."""
    return guard_file.read(deployment, root / guarding.FOLDER.relative_to("/"))


def write(saved: SavedDirector, root: Path) -> None:
    """Writes the file, root's alone, whole or not at all, and to the disk. Raises CommandFailed."""
    path = root / saved_path(saved.deployment).lstrip("/")
    try:
        files.replace(path, written(saved))
    except OSError as error:
        raise _failed(saved.deployment, "written", error) from None


def remove(deployment: str, root: Path) -> None:
    """Removes the file, and its folder where that was the last. Raises CommandFailed."""
    path = root / saved_path(deployment).lstrip("/")
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir() and not any(path.parent.iterdir()):
            path.parent.rmdir()
    except OSError as error:
        raise _failed(deployment, "removed", error) from None


def _failed(deployment: str, done: str, error: OSError) -> CommandFailed:
    return CommandFailed(
        f"{saved_path(deployment)} could not be {done}.", f"The system says: {error.strerror or error}.",
        f"Make {FOLDER} writable for root, then apply again.",
    )  # fmt: skip


def is_there(deployment: str, root: Path) -> bool:
    """Whether the file is there at all."""
    try:
        return stat.S_ISREG((root / saved_path(deployment).lstrip("/")).lstat().st_mode)
    except OSError:
        return False
