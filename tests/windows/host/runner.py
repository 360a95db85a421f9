"""The modelled host as what a WinRM endpoint runs its commands with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from xml.sax.saxutils import escape

from tests.windows.host.machine import WindowsHost

_PROGRESS = (
    '<Obj S="progress" RefId="0"><TN RefId="0"><T>System.Management.Automation.PSCustomObject</T></TN>'
    '<MS><I64 N="SourceId">1</I64><PR N="Record"><AV>Preparing modules for first use.</AV></PR></MS></Obj>'
)


class ModelRunner:
    """Runs PowerShell on a model. Its errors come out as CLIXML with a progress report, as PowerShell writes them."""

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
        errors: list[str] = []
        try:
            return self.host.execute(
                script, lambda line: out(f"{line}\r\n".encode()), errors.append, environment=environment
            )
        finally:
            if errors:
                said = "".join(f'<S S="Error">{escape(line)}_x000D__x000A_</S>' for line in errors)
                uri = "http://schemas.microsoft.com/powershell/2004/04"
                err(f'#< CLIXML\r\n<Objs Version="1.1.0.1" xmlns="{uri}">{_PROGRESS}{said}</Objs>'.encode())
