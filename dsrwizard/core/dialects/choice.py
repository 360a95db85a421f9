"""The choice of dialect: the system of a real server and the advice for it."""

from __future__ import annotations

from dsrwizard.core.dialects.advice import Advice
from dsrwizard.core.dialects.linux.advice import LinuxAdvice
from dsrwizard.core.dialects.windows.advice import WindowsAdvice
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.facts import ServerFacts


def runs_windows(server: RealServer, facts: ServerFacts | None = None) -> bool:
    """Whether the server runs Windows: by its facts, otherwise by how it is reached or set up."""
    if facts is not None:
        return facts.windows is not None
    return server.connect == "winrm" or (server.system or "").startswith("windows")


def advice_for(server: RealServer, facts: ServerFacts | None) -> Advice:
    """The commands of the server's system; `facts` name its interfaces, where they are known."""
    return WindowsAdvice(server, facts) if runs_windows(server, facts) else LinuxAdvice(server, facts)
