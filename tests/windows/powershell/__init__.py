"""A small PowerShell: the part of the language that dsrwizard's scripts keep to, run against a modelled host.

It is strict where PowerShell is lax: a construct, command, parameter, property, method or class it does not know ends
the run with `NotModelled`, so that no test passes because the model shrugged.
"""

from tests.windows.powershell.interpreter import PowerShell
from tests.windows.powershell.values import (
    Collection,
    Hash,
    NotModelled,
    Object,
    PowerShellError,
    Static,
    Version,
    escaped,
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
    "escaped",
    "wildcard",
]
