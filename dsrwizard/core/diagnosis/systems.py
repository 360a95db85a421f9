"""The choice of platform and advice for each real server; no other module of the diagnosis asks for its system."""

from __future__ import annotations

from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.linux.platform import LinuxPlatform
from dsrwizard.core.diagnosis.server_view import Platform, ServerView
from dsrwizard.core.diagnosis.windows.platform import WindowsPlatform
from dsrwizard.core.dialects.choice import advice_for, runs_windows

_LINUX: Platform = LinuxPlatform()
_WINDOWS: Platform = WindowsPlatform()


def server_views(evidence: Evidence) -> list[ServerView]:
    """Every real server of the deployment, with the advice and the platform of its system."""
    views = []
    for server in evidence.deployment.servers:
        facts = evidence.observed.servers.get(server.name)
        platform = _WINDOWS if runs_windows(server, facts) else _LINUX
        views.append(ServerView(evidence, server, advice_for(server, facts), platform))
    return views
