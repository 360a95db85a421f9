"""`~/.ssh/config` and `/etc/ssh/ssh_config` and what they include, as `core.intake.ssh_settings` reads them.

paramiko's own reader knows no Include and one name per host. The files are read anew when one of them has changed.
"""

from __future__ import annotations

import getpass
import glob
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from dsrwizard import files
from dsrwizard.core.intake.ssh_settings import Settings, SshConfig, SshEntry, Value, matches, read_entries
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.words import capital

__all__ = ["Settings", "Value", "broken", "home", "lookup", "matches", "stamp"]

SYSTEM_CONFIG = Path("/etc/ssh/ssh_config")
_LARGEST = 4_000_000
"""Bytes of a file that is read."""

_Stamp = tuple[int, int] | None
_cache: dict[tuple[Path, ...], tuple[dict[Path, _Stamp], SshConfig]] = {}
_cache_lock = Lock()


def home() -> Path:
    """The HOME of this process; `~` in every path means this."""
    return Path.home()


def stamp(path: Path) -> _Stamp:
    """What changes when a file changes; None: it is not there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size


def lookup(address: str, name: str = "", user: str | None = None) -> Settings:
    """What the configuration files say for a host, first value first. Raises HostError for an unreadable file."""
    config = _config((home() / ".ssh" / "config", SYSTEM_CONFIG))
    return config.lookup(address, name, user, getpass.getuser())


def _config(files: tuple[Path, ...]) -> SshConfig:
    with _cache_lock:
        known = _cache.get(files)
        if known and all(stamp(path) == seen for path, seen in known[0].items()):
            return known[1]
        stamps: dict[Path, _Stamp] = {}
        config = SshConfig([entry for path in files for entry in _read(path, stamps)])
        _cache[files] = (stamps, config)
        return config


def _read(path: Path, stamps: dict[Path, _Stamp]) -> Iterator[SshEntry]:
    def included(words: tuple[str, ...], parent: str, _place: str) -> Iterator[tuple[str, str]]:
        for found in _included(words, Path(parent), stamps):
            text = _text(found, stamps)
            if text is not None:
                yield str(found), text

    text = _text(path, stamps)
    if text is not None:
        yield from read_entries(text, str(path), included, _refuse)


def _text(path: Path, stamps: dict[Path, _Stamp]) -> str | None:
    """None: there is no such file."""
    stamps[path] = stamp(path)
    try:
        return files.read(path, _LARGEST, ours=True).decode("utf-8", "surrogateescape")
    except FileNotFoundError:
        return None
    except files.NotOurs as error:
        raise HostError(
            f"The SSH configuration {one_line(str(path))} is not used.",
            f"{capital(error.said)}.",
            "Then connect again.",
        ) from error
    except OSError as error:
        raise broken(str(path), error.strerror or "it cannot be read") from error


def _refuse(place: str, why: str) -> None:
    raise broken(place, why)


def _included(words: tuple[str, ...], parent: Path, stamps: dict[Path, _Stamp]) -> Iterator[Path]:
    base = SYSTEM_CONFIG.parent if parent.is_relative_to(SYSTEM_CONFIG.parent) else home() / ".ssh"
    for word in words:
        pattern = base / Path(word).expanduser()
        stamps[pattern.parent] = stamp(pattern.parent)
        yield from (Path(found) for found in sorted(glob.glob(str(pattern))))  # noqa: PTH207  (absolute patterns)


def broken(place: str, why: str) -> HostError:
    """The error for a configuration that cannot be used."""
    return HostError(
        f"The SSH configuration cannot be used: {one_line(place)}.",
        one_line(f"{capital(why)}."),
        "Fix that line.",
    )
