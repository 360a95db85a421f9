"""File access of the product: its own files are private to their owner, and files of other users are refused.

What lies in the state folder decides what is done as root: the journal says what a teardown undoes. So nothing is read
or written there that another user could have put or exchanged: neither a file of theirs, nor one in a folder of theirs,
nor one behind a symbolic link of theirs. The user who runs this, root and whoever owns `/` are trusted.

All of this raises OSError, whose `strerror` is a sentence without its full stop.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import select
import stat
import time
from pathlib import Path

READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600
_MOST_PARTS = 200
_PIECE = 1 << 16


class NotOurs(PermissionError):
    """Another user owns it, or could exchange it. `part` is what is theirs: the path itself or a part of the way."""

    def __init__(self, path: Path, part: Path, status: os.stat_result, *, todo: bool = True) -> None:
        kind = "symbolic link" if stat.S_ISLNK(status.st_mode) else "folder" if stat.S_ISDIR(status.st_mode) else "file"
        other, own = _user(status.st_uid), _user(os.geteuid())
        said = f"the {kind} {part} belongs to {other}, but dsrwizard runs as {own}"
        said += f", so {other} could replace what is there"
        if todo:
            said += f". Start it with sudo -H to use the files of {own}"
        if todo and path.absolute().is_relative_to(state_dir()):
            said += f", or set XDG_STATE_HOME to a folder of {own}, and move the old files there"
        super().__init__(errno.EPERM, said, str(path))
        self.said = said


def state_dir() -> Path:
    """Where dsrwizard keeps its state: `$XDG_STATE_HOME/dsrwizard`, usually `~/.local/state/dsrwizard`."""
    from platformdirs import user_state_path

    return user_state_path("dsrwizard")


def refuse_what_others_own(path: Path) -> None:
    """Refuses what another user could exchange: a folder on the way that is theirs, or a symbolic link of theirs."""
    path = path.absolute()
    seen: set[Path] = set()
    waiting = [path, *path.parents]
    while waiting:
        part = waiting.pop()
        if part in seen:
            continue
        seen.add(part)
        try:
            status = part.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not _trusted(status.st_uid):
            raise NotOurs(path, part, status)
        if stat.S_ISLNK(status.st_mode) and len(seen) < _MOST_PARTS:
            behind = part.parent / os.readlink(part)  # noqa: PTH115 - what is written in it, not where it ends
            waiting += [behind, *behind.parents]


def folder(path: Path, *, narrow: bool = True) -> None:
    """Makes a folder of ours with all that lead to it, 0700; one of ours that is wider is narrowed."""
    refuse_what_others_own(path)
    _make(path)
    home = state_dir()
    for one in (path, *path.parents) if narrow else ():
        if one != path and not one.is_relative_to(home):
            break
        status = one.stat()
        if status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
            one.chmod(_PRIVATE_FOLDER)


def _make(path: Path) -> None:
    """With all that lead to it: `mkdir(parents=True)` makes those as wide as the umask lets it."""
    missing = [one for one in (path, *path.parents) if not one.exists()]
    for one in reversed(missing):
        with contextlib.suppress(FileExistsError):
            one.mkdir(mode=_PRIVATE_FOLDER)


def read(path: Path, most: int, *, ours: bool = False) -> bytes:
    """The bytes of an ordinary file. Larger than `most`, a pipe, a device or a folder: OSError. `ours`: see above."""
    return looked(path, most, ours=ours)[0]


def piped(path: Path, most: int, seconds: float) -> bytes:
    """The same, also from a pipe, such as `<(command)` of a shell: one that gives nothing for so long, or has not ended
    in six times as long, is an OSError."""
    descriptor = os.open(path, READ)
    try:
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return read(path, most)
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)  # it hangs up only when somebody has written and gone
        content = bytearray()
        end = time.monotonic() + 6 * seconds
        while len(content) <= most:
            if not poll.poll(max(0.0, min(seconds, end - time.monotonic())) * 1000):
                raise TimeoutError(errno.ETIMEDOUT, f"it is a pipe that sent nothing for {seconds:g} s", str(path))
            piece = os.read(descriptor, _PIECE)
            if not piece:
                return bytes(content)
            content += piece
    finally:
        os.close(descriptor)
    raise _too_large(path, most)


def looked(path: Path, most: int, *, ours: bool = False) -> tuple[bytes, os.stat_result]:
    """The same with the file's status."""
    descriptor = os.open(path, READ)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        _ordinary(path, status)
        if ours:  # once it is there: what is missing says nothing, whoever could have made it
            refuse_what_others_own(path)
            if not _trusted(status.st_uid):
                raise NotOurs(path, path, status)
        content = bytearray()
        # In pieces: asked for all at once, Python takes as much memory as the file may be large, not as it is.
        while len(content) <= most and (piece := file.read(min(_PIECE, most + 1 - len(content)))):
            content += piece
    if len(content) > most:
        raise _too_large(path, most)
    return bytes(content), status


def opened(path: Path, flags: int, *, state: bool = True) -> int:
    """The descriptor of a file of ours, made with 0600 in a folder of ours where it is missing.

    `state`: it is a file of the state folder, which is never a link; one that is wider is narrowed. Otherwise it is
    among the operator's own files: a link of theirs is followed, and what is there stays as wide as it is.
    """
    folder(path.parent, narrow=state)
    if not state:
        refuse_what_others_own(path)
    never = os.O_NOFOLLOW if state else 0
    descriptor = os.open(path, flags | never | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, _PRIVATE_FILE)
    try:
        status = os.fstat(descriptor)
        _ordinary(path, status)
        if not _trusted(status.st_uid):
            raise NotOurs(path, path, status)
        if state and status.st_uid == os.geteuid() and stat.S_IMODE(status.st_mode) & 0o077:
            os.fchmod(descriptor, _PRIVATE_FILE)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def replace(path: Path, content: bytes) -> None:
    """Writes a file of ours whole or not at all, 0600, and to the disk."""
    import tempfile  # takes a while, and most commands write nothing

    folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except BaseException:  # an interrupt, too: nothing is left beside it
        Path(temporary).unlink(missing_ok=True)
        raise


def sync_folder(path: Path) -> None:
    """The names in a folder are on the disk: a file that is new or was moved there is found after a power cut. Some
    network file systems have nothing of the kind (fsync(2))."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    except OSError as problem:
        if problem.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    finally:
        os.close(descriptor)


def export(path: Path, content: str) -> None:
    """Writes a text where the operator says: readable as their umask wants it, 0600 in the state folder. Not through
    another user's symbolic link, and not over another user's file where everybody may write, such as in /tmp."""
    if path.absolute().is_relative_to(state_dir()):
        replace(path, content.encode(errors="replace"))
        return
    _refuse_links(path.absolute())
    _make(path.parent)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY, 0o666)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
        status = os.fstat(descriptor)
        if path.parent.stat().st_mode & stat.S_IWOTH and not _trusted(status.st_uid):
            raise NotOurs(path, path, status, todo=False)
        os.set_blocking(descriptor, True)
        if stat.S_ISREG(status.st_mode):
            file.truncate(0)
        file.write(content)


def _too_large(path: Path, most: int) -> OSError:
    return OSError(errno.EFBIG, f"it is larger than {_size(most)}", str(path))


def _ordinary(path: Path, status: os.stat_result) -> None:
    """A pipe or a device may never end."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))


def _refuse_links(path: Path) -> None:
    for part in (path, *path.parents):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            status = part.lstat()
            if stat.S_ISLNK(status.st_mode) and not _trusted(status.st_uid):
                raise NotOurs(path, part, status, todo=False)


def _trusted(uid: int) -> bool:
    return uid in (os.geteuid(), 0) or uid == Path("/").stat().st_uid


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _size(most: int) -> str:
    return f"{most // 1_000_000} MB" if most >= 1_000_000 else f"{most // 1000} kB" if most >= 1000 else f"{most} bytes"
