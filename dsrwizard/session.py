"""What the wizard saves between runs: the draft being entered, where the operator was, and the deployments applied.

Everything lies below `state_dir()`, readable by its owner alone. A draft has no field for a secret, so none is written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from dsrwizard import files
from dsrwizard.core.intake.draft import Draft, DraftServer
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import DsrError
from dsrwizard.files import state_dir

if TYPE_CHECKING:
    from dsrwizard.core.model.checks import Report
    from dsrwizard.core.model.snapshot import Happening, Snapshot

__all__ = ["Session", "state_dir"]

_FILE = "session.json"
_MAX_BYTES = 16_000_000
Notice = Callable[[str], None]


def deployments_dir() -> Path:
    """Where the deployment files of what the wizard applied are kept, as `<name>.toml`."""
    return state_dir() / "deployments"


def save_deployment(deployment: Deployment) -> Path:
    """Keeps the file of a deployment that is being applied and returns its path. Raises DsrError."""
    from dsrwizard.core.intake.deployment_file import MAX_BYTES, dumps

    path = deployments_dir() / f"{deployment.name}.toml"
    content = dumps(deployment).encode()
    if len(content) > MAX_BYTES:
        raise DsrError(
            "The deployment file could not be saved.", f"It would be larger than {MAX_BYTES // 1_000_000} MB.",
            "Split it into two deployments; they may share servers.",
        )  # fmt: skip
    _write(path, content, "The deployment file")
    return path


def incident_text(snapshot: Snapshot, report: Report | None = None, events: Sequence[Happening] = ()) -> str:
    """The incident as text, in this machine's time zone and with its kernel and Python named."""
    from dsrwizard.core.tell.incident import incident

    versions = (f"Linux {os.uname().release} {os.uname().machine}", f"Python {sys.version.split()[0]}")
    return incident(snapshot, report, events=events, versions=versions, zone=datetime.now().astimezone().tzinfo or UTC)


def incident_path(deployment: str, at: float) -> Path:
    """Where an incident is kept unless the operator says otherwise, named for deployment and moment."""
    return state_dir() / "incidents" / f"{deployment}-{datetime.fromtimestamp(at):%Y%m%d-%H%M%S}.txt"


def save_incident(path: Path, text: str) -> None:
    """Writes it for its owner alone. Raises DsrError."""
    _write(path, text.encode(), "The incident")


def forget_deployment(name: str) -> None:
    """Removes the file kept for a deployment, after its teardown. Missing is fine. Raises DsrError."""
    path = deployments_dir() / f"{name}.toml"
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DsrError(f"{path} could not be removed.", _reason(error), "Remove it by hand.") from None


class OpenForm(msgspec.Struct):
    """A real server's form that is open: the server as it is typed, and its number in the draft; -1: a new one."""

    server: DraftServer
    number: int = -1


class _Saved(msgspec.Struct):
    draft: Draft
    step: str = ""
    visited: list[str] = []
    ticks: dict[str, list[str]] = {}
    form: OpenForm | None = None
    listed: str = ""


@dataclass
class Session:
    """The wizard's draft, the step the operator is at (its id), the steps visited, what was ticked in runbooks (server,
    address and system → titles of steps), the form that is open, the list that is being imported, and the file they
    are kept in."""

    draft: Draft = field(default_factory=Draft)
    step: str = ""
    visited: set[str] = field(default_factory=set)
    ticks: dict[str, set[str]] = field(default_factory=dict)
    form: OpenForm | None = None
    listed: str = ""
    path: Path = field(default_factory=lambda: state_dir() / _FILE)
    kept: bool = True
    """Whether it is saved at all: not while another terminal has the wizard open, whose session is in that file."""

    def save(self) -> None:
        """Writes the session, whole or not at all. Raises DsrError when the disk does not take it."""
        if not self.kept:
            return
        saved = _Saved(
            draft=self.draft,
            step=self.step,
            visited=sorted(self.visited),
            ticks={book: sorted(titles) for book, titles in self.ticks.items() if titles},
            form=self.form,
            listed=self.listed,
        )
        try:
            content = msgspec.json.format(msgspec.json.encode(saved))
        except UnicodeEncodeError:  # a terminal in another encoding hands over bytes that are no characters
            raise DsrError(
                "The wizard's session could not be saved.",
                "A field contains bytes that are not text.",
                "Type it again.",
            ) from None
        _write(self.path, content, "The wizard's session")

    @classmethod
    def load(cls, directory: Path | None = None, notice: Notice | None = None) -> Session | None:
        """The session kept in a directory (`state_dir()` if none is given), or None when there is none.

        A file that cannot be understood is set aside, one that cannot be read is left; both are told to `notice`.
        """
        path = (state_dir() if directory is None else directory) / _FILE
        tell = notice or _ignore
        try:
            raw = files.read(path, _MAX_BYTES, ours=True)
        except FileNotFoundError:
            return None
        except OSError as error:
            tell(f"The session of the last run cannot be read ({_reason(error)}). A new session was started.")
            return None
        try:
            saved = msgspec.json.decode(raw, type=_Saved)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            tell(_set_aside(path))
            return None
        return cls(
            draft=saved.draft,
            step=saved.step,
            visited=set(saved.visited),
            ticks={book: set(titles) for book, titles in saved.ticks.items()},
            form=saved.form,
            listed=saved.listed,
            path=path,
        )

    def discard(self) -> None:
        """Removes the session from the disk. Missing is fine. Raises DsrError."""
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise DsrError(
                "The wizard's session could not be removed.", _reason(error), f"Remove {self.path}."
            ) from None


def _ignore(_: str) -> None:
    pass


def _set_aside(path: Path) -> str:
    aside = path.with_name(f"{path.name}.damaged")
    try:
        path.replace(aside)
    except OSError:
        return "The session of the last run is damaged. A new session was started."
    return f"The session of the last run is damaged; it was set aside as {aside}. A new session was started."


def _write(path: Path, content: bytes, what: str) -> None:
    """Writes a file for its owner alone: a reader sees the old one or the new one, also after a crash."""
    try:
        files.replace(path, content)
    except OSError as error:
        raise DsrError(
            f"{what} could not be saved.",
            f"{path}: {_reason(error)}.",
            "Free some space there, or set XDG_STATE_HOME to another folder.",
        ) from None


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
