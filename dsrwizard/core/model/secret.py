"""A password or passphrase that cannot be printed, logged, compared into a message or written to a file by accident."""

from __future__ import annotations

from typing import NoReturn


class Secret:
    """Holds a secret; `reveal()` is the only way to it. Its text form is `***` in every format, also in JSON."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself, to be handed straight to the library that needs it."""
        return self._value

    def __str__(self) -> str:
        return "***"

    def __repr__(self) -> str:
        return "Secret(***)"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is never written anywhere")
