"""The modelled host as what a WinRM endpoint runs its commands with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.windows.host.machine import WindowsHost


class ModelRunner:
    """Runs PowerShell on a model. Its errors come out as lines of text."""

    def __init__(self, host: WindowsHost) -> None:
        self.host = host

    def run(
        self,
        script: str,
        *,
        environment: Mapping[str, str],
        stdin: bytes,
        out: Callable[[bytes], None],
        err: Callable[[bytes], None],
        user: str,
    ) -> int:
        return self.host.execute(
            script,
            lambda line: out(f"{line}\r\n".encode()),
            lambda line: err(f"{line}\r\n".encode()),
            environment=environment,
        )
