"""The one script that looks at a Windows host.

The script changes nothing and reads no localised text: settings come as numbers, adapters by GUID, index and component
id, IIS' configuration as XML that is read here. It carries both dialects and takes the one the host knows.
"""

from __future__ import annotations

from dsrwizard.core.dialects.windows.powershell import GENERATIONS, file, prelude

_SHARED = file("facts.ps1")
_MAIN = file("look.ps1")


def observe_script(nonce: str) -> str:
    """The looking script; both dialects are in it, behind the test of the host's version."""
    modern, legacy = GENERATIONS["2012"], GENERATIONS["2008"]
    chosen = (
        "if (([int]$PSVersionTable.PSVersion.Major -ge 3) -and "
        "([Environment]::OSVersion.Version -ge [Version]'6.2')) {\n"
        f"{modern.json}{modern.facts}\n}} else {{\n{legacy.json}{legacy.facts}\n}}\n"
    )
    return prelude(nonce) + _SHARED + chosen + _MAIN
