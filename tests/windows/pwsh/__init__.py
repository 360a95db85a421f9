"""A real PowerShell that runs scripts on a modelled Windows host.

Its commands are bound as that version of Windows binds them; what they do is the model's.
"""

from tests.windows.pwsh.found import pwsh
from tests.windows.pwsh.process import PowerShell
from tests.windows.pwsh.values import (
    Collection,
    Hash,
    NotModelled,
    Object,
    PowerShellError,
    Static,
    Version,
    wildcard,
)

__all__ = [
    "Collection",
    "Hash",
    "NotModelled",
    "Object",
    "PowerShell",
    "PowerShellError",
    "Static",
    "Version",
    "pwsh",
    "wildcard",
]
