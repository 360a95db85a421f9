"""One run at a time: locks on files, which the kernel gives back when their holder ends, however it ends.

A run holds two of them from its look at the hosts to its end. The first is the machine's: whatever changes this
director, or changes real servers from here, is done by one run at a time, whoever started it and for whichever
deployment. The second is the deployment's, beside its journal: a home directory may be mounted on several machines.
Who holds a lock is written in its file, for those who have to wait.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pwd
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import msgspec

from dsrwizard import files
from dsrwizard.core.model.errors import Locked, LookError
from dsrwizard.core.model.shown import Shown

SHARED = Path("/run/lock")
"""Where the machine's lock is for all users: on Debian everybody may make files there, elsewhere root makes it."""
POLL_SECONDS = 0.1
_BRIEF = ("guard", "weight")
BRIEF_SECONDS = 3.0
"""How long a run waits for one of these, whatever its operator says: they set weights and are over."""
_SETTLE_SECONDS = 0.3
"""A holder has the lock a moment before its name is in the file."""
_LARGEST = 65_536
_MOST_NAMES = 40
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EIO)
"""What flock(2) says on a network file system that has no locks."""
_SUBJECTS = {"weight": "weight change", "roll-back": "rollback"}
_SHARED_MODE = 0o666


class Holder(Shown, frozen=True, kw_only=True):
    """Who holds a lock. `since` in seconds since the epoch; `machine` is the machine's id (machine-id(5)), `journal`
    the file the run writes to."""

    verb: str
    deployment: str
    pid: int
    user: str
    host: str
    since: float
    machine: str = ""
    journal: str = ""

    @property
    def subject(self) -> str:
        """`apply of shop`."""
        verb = _SUBJECTS.get(self.verb, self.verb)
        return f"{verb} of {self.deployment}" if self.deployment else verb

    @property
    def who(self) -> str:
        """`pid 4711, user ops, on director1`."""
        pid = f"pid {self.pid}" + (", this program" if self._is_here() else "")
        return f"{pid}, user {self.user}, on {self.host}"

    def _is_here(self) -> bool:
        return self.pid == os.getpid() and self.machine == machine_id()


class _Content(Shown, frozen=True, kw_only=True):
    """What stands in a lock's file: its holder, and in the machine's also the last run of each deployment."""

    holder: Holder | None = None
    last: dict[str, Holder] = {}


_decoder = msgspec.json.Decoder(_Content)


class Lease:
    """The right to change hosts, until its block ends. `notes` are sentences that the operator should read: an earlier
    run that ended without letting go, and a lock that covers less than it should. `holder`: who has it."""

    def __init__(self, notes: Sequence[str] = (), holder: Holder | None = None) -> None:
        self.notes = tuple(dict.fromkeys(notes))
        self.holder = holder


class Locks:
    """The locks of the runs over one folder of journals. The machine's lock is in `shared`, a folder for all users;
    where there is none or it cannot be locked there, in `own`, which is the folder of journals unless it is given."""

    def __init__(self, folder: Path, shared: Path | None = None, own: Path | None = None) -> None:
        self._folder = folder
        places = [(shared, True)] if shared is not None else []
        self._places = [(place / f"dsrwizard-{_network()}.lock", open_) for place, open_ in places]
        self._places.append(((own or folder) / f".machine-{_network()}.lock", False))

    @contextmanager
    def hold(
        self, verb: str, deployment: str, *, wait: float = 0.0, waiting: Callable[[Locked], None] | None = None
    ) -> Iterator[Lease]:
        """Holds both locks while the block runs. Where somebody has one, waits for that many seconds, and calls
        `waiting` once as it begins to. Raises Locked, and LookError where nothing can be locked."""
        began = time.monotonic()
        end = began + wait
        told = False
        while True:
            me = self._me(verb, deployment)
            try:
                held, notes = self._taken(me)
                break
            except Locked as problem:
                last = max(end, began + BRIEF_SECONDS) if problem.brief else end
                if time.monotonic() >= last:
                    raise
                if not problem.brief:
                    if waiting is not None and not told:
                        waiting(problem)
                    told = True
            time.sleep(max(0.0, min(POLL_SECONDS, last - time.monotonic())))
        try:
            yield Lease(notes, me)
        except KeyboardInterrupt:
            for lock in held:
                lock.sign_off()
            held = []  # not let go: a run may go on in its thread until this program is gone
            raise
        finally:
            _let_go(held)

    def _me(self, verb: str, deployment: str) -> Holder:
        return Holder(
            verb=verb, deployment=deployment, pid=os.getpid(), user=user_name(), host=os.uname().nodename,
            since=time.time(), machine=machine_id(), journal=str(self._folder / f"{deployment}.jsonl"),
        )  # fmt: skip

    def _taken(self, me: Holder) -> tuple[list[_Lock], list[str]]:
        deployment = me.deployment
        held: list[_Lock] = []
        notes: list[str] = []
        problems: list[str] = []
        try:
            self._machine(me, held, notes, problems)
            if deployment:
                path = self._folder / f"{deployment}.lock"
                try:
                    held.append(_Lock(path, me))
                except OSError as problem:
                    problems.append(_because(path, problem))
                    notes.append(f"Runs on other machines are not noticed: {_because(path, problem)}." if held else "")
        except BaseException:  # Locked, or an interrupt: what was taken before is free again
            _let_go(held)
            raise
        if not held:
            raise LookError(
                "Nothing was begun, because no lock could be taken.",
                f"Two runs at once would undo each other's work. {'; '.join(problems)}.",
                "Set XDG_STATE_HOME to a folder on a disk of this machine.",
            )
        notes = [note for note in notes if note]
        return held, [*(note for lock in held if (note := lock.stale)), *notes]

    def _machine(self, me: Holder, held: list[_Lock], notes: list[str], problems: list[str]) -> None:
        """The machine's lock, in the first place that has one to give."""
        for number, (path, shared) in enumerate(self._places):
            try:
                held.append(_Lock(path, me, shared=shared))
            except OSError as problem:
                problems.append(_because(path, problem))
                continue
            if number:
                notes.append(f"Runs of other users on this machine are not noticed: {'; '.join(problems)}.")
            return
        notes.append(f"Runs for other deployments are not noticed: {'; '.join(problems)}.")

    def last(self, deployment: str) -> Holder | None:
        """The last run for this deployment that used this machine's lock, whoever started it: as far as that is still
        known, and only a hint, for any user may have written it."""
        for path, _ in self._places:
            with contextlib.suppress(OSError):
                content = _read(path)
                if deployment in content.last:
                    return content.last[deployment]
        return None


class _Lock:
    """One file, locked. Raises Locked where somebody else has it, and OSError where there can be no lock."""

    def __init__(self, path: Path, me: Holder, *, shared: bool = False) -> None:
        self._me, self._shared = me, shared
        self._descriptor = _opened_shared(path) if shared else files.opened(path, os.O_RDWR)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = _busy(path, self._descriptor)
            if problem is not None:
                os.close(self._descriptor)
                raise problem from None
        except OSError:
            os.close(self._descriptor)
            raise
        before = _content(self._descriptor)
        self._last = before.last
        self.stale = _stale(before.holder) if before.holder is not None else ""
        """What is to be said of the run that had it before and did not let go."""
        self._write(me)

    def _write(self, holder: Holder | None) -> None:
        """Who holds it is a help to others and no more: a full disk does not stand in the way of a run."""
        last = self._last
        if self._shared and self._me.deployment:
            newest = sorted({**last, self._me.deployment: self._me}.items(), key=lambda one: -one[1].since)
            last = dict(newest[:_MOST_NAMES])
        text = msgspec.json.encode(_Content(holder=holder, last=last)) + b"\n"
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, text, 0)

    def sign_off(self) -> None:
        """Its holder has come to its end, and this program has not."""
        self._write(None)

    def release(self) -> None:
        self._write(None)
        os.close(self._descriptor)


def _let_go(held: list[_Lock]) -> None:
    for lock in reversed(held):
        lock.release()


def _opened_shared(path: Path) -> int:
    """A lock's file that all users of the machine share. Nothing is followed and nothing but a plain file of its own is
    written: others may make files in that folder, too. fs.protected_regular (sysctl/fs) refuses O_CREAT for a file of
    somebody else's there, root included, so it is made only where there is none."""
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except FileNotFoundError:
        try:
            descriptor = os.open(path, flags | os.O_CREAT | os.O_EXCL, _SHARED_MODE)
        except FileExistsError:
            descriptor = os.open(path, flags)
        else:
            os.fchmod(descriptor, _SHARED_MODE)  # whatever the umask says: others could not lock it
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file of its own", str(path))
    return descriptor


def _busy(path: Path, descriptor: int) -> Locked | None:
    """Who has it, as its file says, unless the kernel knows another holder. None: its holder had signed off and has let
    go meanwhile; now it is ours."""
    end = time.monotonic() + _SETTLE_SECONDS
    while True:
        holder = _content(descriptor).holder
        known = _locking(descriptor)
        if holder is not None and known in (0, holder.pid):
            break
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return None
        if time.monotonic() >= end:
            holder = None
            break
        time.sleep(0.02)
    if holder is not None:
        problem = Locked(_runs(holder), WHY, TO_DO)
        problem.brief = holder.verb in _BRIEF
        return problem
    who = f" (pid {known}, user {_owner(known)})" if known else ""
    return Locked(f"Another program{who} has locked {path}.", WHY, TO_DO)


def _runs(holder: Holder) -> str:
    return f"{holder.subject} has been running since {moment(holder.since)} ({holder.who})."


def locked_there(holder: Holder | None, host: str) -> Locked:
    """A real server is being changed by a run that may be another machine's. None: it is not known whose."""
    what = _runs(holder) if holder is not None else f"Another run of dsrwizard is changing {host}."
    why = f"It changes {host}, too. {WHY}" if holder is not None else WHY
    return Locked(what, why, TO_DO)


WHY = "Two runs at once would undo each other's work."
TO_DO = "Wait for it, or stop it there, then try again. On the command line, --wait SECONDS waits for it."


def _stale(holder: Holder) -> str:
    return (
        f"The {holder.subject} of {moment(holder.since)} ({holder.who}) has not come to its end: its lock was stale. "
        "What it left is looked at now."
    )


def moment(at: float, now: float | None = None) -> str:
    """A time on the wall: `12:03` today, otherwise with its date. Another may have written it, and it may be none."""
    try:
        then = datetime.fromtimestamp(at)
    except (ValueError, OverflowError, OSError):
        return "an unknown time"
    today = datetime.fromtimestamp(time.time() if now is None else now).date()
    return f"{then:%H:%M}" if then.date() == today else f"{then:%Y-%m-%d %H:%M}"


def _read(path: Path) -> _Content:
    descriptor = os.open(path, files.READ | os.O_NOFOLLOW)
    try:
        return _content(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else _Content()
    finally:
        os.close(descriptor)


def _content(descriptor: int) -> _Content:
    """What stands in it; nothing where that is not ours."""
    with contextlib.suppress(OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decoder.decode(os.pread(descriptor, _LARGEST, 0))
    return _Content()


def _locking(descriptor: int) -> int:
    """The process that has the lock, as the kernel says (proc_locks(5)); 0: it does not say."""
    status = os.fstat(descriptor)
    inode = f":{status.st_ino}"
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/locks").read_text(encoding="ascii", errors="replace").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5].endswith(inode) and int(words[4]) > 0:
                return int(words[4])
    return 0


def _owner(pid: int) -> str:
    try:
        return user_name(Path(f"/proc/{pid}").stat().st_uid)
    except OSError:
        return "unknown"


def user_name(uid: int | None = None) -> str:
    """A user's name, or the number where it has none; without a number, the one who runs this."""
    number = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def machine_id() -> str:
    """The id of this machine (machine-id(5)); empty where it has none, as many containers do."""
    with contextlib.suppress(OSError):
        text = Path("/etc/machine-id").read_text(encoding="ascii", errors="replace").strip()
        return text if text.isalnum() and len(text) == 32 else ""
    return ""


def _network() -> str:
    """The network this machine is to its processes: IPVS, addresses and settings belong to a network namespace, and
    two of them do not meet."""
    try:
        return str(Path("/proc/self/ns/net").stat().st_ino)
    except OSError:
        return "net"


def _because(path: Path, problem: OSError) -> str:
    why = "its file system has no locks" if problem.errno in _NO_LOCKS else problem.strerror or type(problem).__name__
    return f"{path} cannot be locked ({why})"
