"""Files of this machine: read and written whole, and what goes wrong with them."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from dsrwizard import files
from dsrwizard.core.model.changes import FileState
from dsrwizard.core.model.errors import CommandFailed, DsrError, NoPrivilege

AGAIN = "Look again and make a new plan."


def read_file(path: Path, name: str) -> FileState | None:
    """The file as it is, None where there is none. Raises CommandFailed where it is no text or cannot be read."""
    try:
        if path.is_symlink():
            return FileState(target=os.readlink(path))  # noqa: PTH115 - the text of the link, not a normalised path
        if not path.exists():
            return None
        return FileState(path.read_bytes().decode(), stat.S_IMODE(path.stat().st_mode))
    except PermissionError:
        raise needs_root(f"{name} could not be read.") from None
    except UnicodeDecodeError:
        raise CommandFailed(
            f"{name} could not be read.", "It is not a text file (UTF-8).", "Check that file."
        ) from None
    except OSError as error:
        raise refused(f"{name} could not be read.", error) from None


def write_file(path: Path, state: FileState) -> None:
    """Puts a file in place whole or not at all; a file that was there keeps its owner. Raises OSError."""
    before = path.lstat() if path.is_symlink() or path.exists() else None
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        if state.target is not None:
            os.close(handle)
            Path(temporary).unlink()
            Path(temporary).symlink_to(state.target)
        else:
            with os.fdopen(handle, "wb") as file:
                file.write(state.content.encode())
                file.flush()
                if before is not None and (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(file.fileno(), before.st_uid, before.st_gid)
                os.fchmod(file.fileno(), state.mode)
                os.fsync(file.fileno())
        Path(temporary).replace(path)
        files.sync_folder(path.parent)
    except BaseException:  # an interrupt, too: nothing is left beside it
        Path(temporary).unlink(missing_ok=True)
        raise


def needs_root(what: str) -> NoPrivilege:
    """The error where only root may do something."""
    return NoPrivilege(what, "Only root may do that.", "Run it as root: `sudo dsrwizard …`.")


def refused(what: str, error: OSError) -> DsrError:
    """The error where the system refuses something."""
    return CommandFailed(what, f"The system says: {error.strerror or error}.", AGAIN)
