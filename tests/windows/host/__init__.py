"""A model of a Windows host: what dsrwizard's scripts see and change, with the defaults of each version.

It refuses what its version does not know and what a Windows host refuses. Nothing of it was taken from a running
Windows: docs/windows.md lists what a real host has yet to confirm.
"""

from tests.windows.host.machine import WindowsHost
from tests.windows.host.model import VERSIONS, Adapter, Address, Binding, Event, Rule, Site

__all__ = ["VERSIONS", "Adapter", "Address", "Binding", "Event", "Rule", "Site", "WindowsHost"]
