"""Memory of one operator's run: answers, decrypted keys, shared connections. Nothing is written to disk."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import msgspec

from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Asker, SecretQuestion

if TYPE_CHECKING:
    import paramiko


@dataclass(slots=True)
class _Slot:
    lock: Lock = field(default_factory=Lock)
    secret: Secret | None = None
    declined: float = 0.0


@dataclass(slots=True)
class Shared:
    """A connection several hosts go through, open while it has users."""

    lock: Lock = field(default_factory=Lock)
    link: Any = None
    users: int = 0
    failure: DsrError | None = None
    failed: float = 0.0


class Memory:
    """One per asker. Every method is safe from many threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._slots: defaultdict[Hashable, _Slot] = defaultdict(_Slot)
        self._shared: defaultdict[Hashable, Shared] = defaultdict(Shared)
        self.keys: dict[tuple[Path, tuple[int, int] | None], paramiko.PKey] = {}
        self.key_lock = Lock()

    def obtain(
        self, asker: Asker, slot: Hashable, question: SecretQuestion, failed: Secret | None = None
    ) -> Secret | None:
        """The secret for a slot: remembered, or asked once however many hosts wait for it.

        `failed` is the answer that did not work: it is not given again, and the question says `refused`. A "no" counts
        for everybody who was waiting; whoever comes later is asked anew.
        """
        came = time.monotonic()
        with self._lock:
            mine = self._slots[slot]
        with mine.lock:
            if mine.secret is not None and mine.secret is not failed:
                return mine.secret
            if mine.declined > came:
                return None
            mine.secret = asker.secret(msgspec.structs.replace(question, refused=failed is not None))
            if mine.secret is None:
                mine.declined = time.monotonic()
            return mine.secret

    def drop(self, slot: Hashable, secret: Secret | None) -> None:
        """Forgets an answer that did not work, so that the next attempt begins with a fresh question."""
        with self._lock:
            mine = self._slots[slot]
        with mine.lock:
            if mine.secret is secret:
                mine.secret = None

    def shared(self, key: Hashable) -> Shared:
        with self._lock:
            return self._shared[key]

    def forget(self) -> None:
        with self._lock:
            self._slots.clear()
            self.keys.clear()


_memories: WeakKeyDictionary[Asker, Memory] = WeakKeyDictionary()
_memories_lock = Lock()


def memory_of(asker: Asker) -> Memory:
    """The memory of this asker; one of its own for an asker that cannot be remembered."""
    with _memories_lock:
        try:
            return _memories.setdefault(asker, Memory())
        except TypeError:
            return Memory()


def forget(asker: Asker) -> None:
    """Drops everything kept for this asker."""
    with _memories_lock:
        try:
            memory = _memories.pop(asker, None)
        except TypeError:
            return
    if memory:
        memory.forget()
