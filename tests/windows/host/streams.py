"""The .NET streams that unpack a script."""

from __future__ import annotations

import gzip
import io
from typing import Any

from tests.windows.powershell import NotModelled, Object, PowerShellError

DECOMPRESS = Object("CompressionMode", {"value__": 0})
"""`[IO.Compression.CompressionMode]::Decompress`."""


class MemoryStream(Object):
    """`IO.MemoryStream`: written, wound back, read by another stream."""

    def __init__(self) -> None:
        self.buffer = io.BytesIO()
        super().__init__(
            "MemoryStream",
            {"Position": self.buffer.tell},
            {"Write": self._write},
            assigned=self._wind,
        )

    def _wind(self, name: str, value: int) -> None:
        self.buffer.seek(int(value))

    def _write(self, data: bytes, offset: int, count: int) -> None:
        self.buffer.write(data[offset : offset + count])


class GZipStream(Object):
    """`IO.Compression.GZipStream` over a MemoryStream."""

    def __init__(self, arguments: list[Any]) -> None:
        stream, mode = arguments
        if isinstance(mode, str):  # from .NET 4.5 on it may be a CompressionMode or a CompressionLevel
            raise PowerShellError('Multiple ambiguous overloads found for "GZipStream" and the argument count: "2".')
        if not isinstance(stream, MemoryStream) or mode is not DECOMPRESS:
            raise NotModelled(f"a GZipStream to {mode}")
        self.stream = stream
        super().__init__("GZipStream", {})


def reader(arguments: list[Any]) -> Object:
    """`IO.StreamReader` over a GZipStream, in UTF-8."""
    (source,) = arguments
    if not isinstance(source, GZipStream):
        raise NotModelled("a StreamReader of that")

    def read() -> str:
        try:
            return gzip.decompress(source.stream.buffer.read()).decode()
        except (OSError, EOFError) as error:
            raise PowerShellError("The magic number in GZip header is not correct.") from error

    return Object("StreamReader", {}, {"ReadToEnd": read})
