"""A Textual driver that survives the loss of its terminal: a closed window, or a broken SSH session."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO, cast

from textual.drivers.linux_driver import LinuxDriver

if TYPE_CHECKING:
    from textual.app import App


class _Lasting:
    """A text file that drops what cannot be written. Otherwise Textual's writer thread would end and the app would
    wait for it."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def fileno(self) -> int:
        return self._file.fileno()


class LastingDriver(LinuxDriver):
    """The driver. The program continues without its terminal, so that it can finish its work and end cleanly."""

    def __init__(
        self, app: App[Any], *, debug: bool = False, mouse: bool = True, size: tuple[int, int] | None = None
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        if self._file is not None:
            self._file = cast(Any, _Lasting(self._file))

    @property
    def there(self) -> bool:
        """Whether the terminal still exists."""
        try:
            return os.isatty(self.fileno)
        except OSError:
            return False
