"""A defect of dsrwizard itself, as an error the operator can read and report: never a traceback on the terminal.

Met while it deals with one host, it is that host's failure and no other's. `guarded` sees to it for what is done with a
host, `apart` for what is concluded from all of them.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any, Self, TypeVar, cast

import msgspec

from dsrwizard import files
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.facts import Failure, Observed
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.steps import DIRECTOR

T = TypeVar("T")

LOG = "defects.log"
MOST_BYTES = 1_000_000
"""Of the log: who watches meets the same defect again and again."""
MOST_HOSTS = 16
"""Hosts that are told from the others one by one; where more make it fail, none is left to conclude from."""
_PLACES = 40
_WORDS = {"observe": "looked at", "half_open": "looked at", "connections": "looked at", "services": "looked at"}
_told: set[str] = set()
_telling = Lock()


class Defect(DsrError):
    """An unexpected failure. Its trace goes to a file: places in the program only, no values, so no secret."""

    kind = "defect"

    @classmethod
    def of(cls, error: BaseException, host: str = "", doing: str = "dealt with") -> Self:
        """The error for an unexpected exception, met while `host` was `doing` (“looked at”). Its text is left out: it
        may quote anything."""
        frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
        name = one_line(type(error).__name__, 80)
        where = f" at {frames[-1].filename.rpartition('/')[2]}:{frames[-1].lineno}" if frames else ""
        path = files.state_dir() / LOG
        kept = _keep(f"{name}{where}\n{''.join(traceback.format_list(frames))}\n")
        what = f"{host} could not be {doing}: dsrwizard itself failed." if host else "dsrwizard itself failed."
        told = f"Please report it with {path}." if kept else "Please report it."
        return cls(what, f"It is a defect: {name}{where}.", told)


def _keep(trace: str) -> bool:
    """Writes a trace to the log, once; whether it is there."""
    with _telling:
        if trace in _told:
            return True
        path = files.state_dir() / LOG
        try:
            descriptor = files.opened(path, os.O_WRONLY | os.O_APPEND)
            with os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace") as file:
                if file.tell() > MOST_BYTES:
                    file.truncate(0)
                file.write(trace)
        except OSError:
            return False
        _told.add(trace)
        return True


def failure_of(problem: BaseException, host: str = "") -> Failure:
    """An error as a value. What is no DsrError is a defect and says so."""
    error = problem if isinstance(problem, DsrError) else Defect.of(problem, host)
    return Failure(kind=error.kind, what=error.what, why=error.why, next=error.next)


@contextmanager
def blaming(host: str, doing: str) -> Iterator[None]:
    """What goes wrong within it in a way nobody thought of is a Defect met with this host."""
    try:
        yield
    except DsrError:
        raise
    except Exception as error:
        raise Defect.of(error, host, doing) from error


def guarded(port: T, host: str) -> T:
    """The port of one host. Its methods raise what they may, and for anything else a Defect that names the host."""
    return cast(T, _Guarded(port, host))


class _Guarded:
    def __init__(self, port: object, host: str) -> None:
        self._port, self._host = port, host

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            with blaming(self._host, _WORDS.get(name, "worked on")):
                return found(*args, **kwargs)

        return call


def apart(observed: Observed, work: Callable[[Observed], T], doing: str, *others: str) -> T:
    """What `work` concludes from the hosts observed. It must change nothing: it is called again where it fails.

    A host whose answer makes it fail counts as one that could not be looked at, with a Defect for its failure, and the
    others are concluded from all the same. `others`: names that are no server's or director's and whose answer `work`
    leaves out when they are in `failed`. Raises DsrError, and as it is what fails whatever the hosts answered.
    """
    for left in range(MOST_HOSTS, -1, -1):
        try:
            return work(observed)
        except DsrError:
            raise
        except Exception as error:
            # The director first and the others last: of two that make it fail together, the second is to blame.
            names = [*([DIRECTOR] if observed.director else []), *observed.servers]
            names += [name for name in others if name not in observed.failed]
            guilty = [_guilty(observed, work, names)] if left else names
            if not any(guilty):
                raise
            observed = _without(observed, {name: failure_of(Defect.of(error, name, doing)) for name in guilty})
    return work(observed)


def _guilty(observed: Observed, work: Callable[[Observed], object], names: Sequence[str]) -> str:
    """The first host whose answer makes the work fail that was done without it; empty: it fails without any."""
    out = Failure(kind="defect", what="It was left out.")

    def fails(count: int) -> bool:
        try:
            work(_without(observed, dict.fromkeys(names[count:], out)))
        except DsrError:
            return False
        except Exception:  # noqa: BLE001 - the question is whether it fails
            return True
        return False

    fine, failing = 0, len(names)
    if not names or fails(0):
        return ""
    while failing - fine > 1:
        middle = (fine + failing) // 2
        if fails(middle):
            failing = middle
        else:
            fine = middle
    return names[failing - 1]


def _without(observed: Observed, failures: Mapping[str, Failure]) -> Observed:
    return msgspec.structs.replace(
        observed,
        director=None if DIRECTOR in failures else observed.director,
        servers={name: facts for name, facts in observed.servers.items() if name not in failures},
        failed={**observed.failed, **failures},
    )
