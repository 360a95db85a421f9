"""keepalived on this machine, looked at with the script that is sent to other directors."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import suppress
from pathlib import Path

import msgspec

from dsrwizard.core.dialects.linux.keepalived import look_script, parse_look
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import LookError
from dsrwizard.core.model.facts import DirectorFacts
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.plan.keepalived import keepalived_settings

_SECONDS = 60
"""A director below an attack or its backup is slow, and then its keepalived is looked at."""


def runs(root: Path) -> bool | None:
    """Whether a keepalived of this network namespace runs. One whose namespace may not be read counts as ours: who
    says that there is none has to have seen it. None: nothing could be read."""
    try:
        own = _namespace(root / "proc/self")
        for process in (root / "proc").iterdir():
            if process.name.isdigit() and _named(process) == "keepalived" and _namespace(process) in (own, ""):
                return True
    except OSError:
        return None
    return False


def _named(process: Path) -> str:
    """Its name; empty where it has ended and only waits for its parent."""
    with suppress(OSError):
        name, _, rest = process.joinpath("stat").read_text("utf-8", "replace").partition("(")[2].rpartition(")")
        return "" if rest.split()[:1] in (["Z"], ["X"]) else name
    return ""


def _namespace(process: Path) -> str:
    """Empty: not known (a guard's unit may not trace other processes)."""
    with suppress(OSError):
        return str(process.joinpath("ns/net").readlink())
    return ""


def with_keepalived(deployment: Deployment, facts: DirectorFacts) -> DirectorFacts:
    """The facts with what keepalived's part in the deployment needs. Raises LookError."""
    nonce = secrets.token_hex(8)
    settings = keepalived_settings(deployment, deployment.director.interface)
    script = look_script(nonce, deployment.name, settings)
    try:
        done = subprocess.run(
            ["/bin/sh", "-s"], input=script, capture_output=True, text=True, errors="replace", timeout=_SECONDS,
            check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        why = f"The shell did not finish within {_SECONDS} s: this machine has too much to do, or a program hangs."
        raise LookError("keepalived could not be looked at.", why, "See what it does (top), then try again.") from None
    except OSError as error:
        why = f"/bin/sh could not be run: {error.strerror}."
        raise LookError("keepalived could not be looked at.", why, "Try again.") from None
    seen = parse_look(DIRECTOR, nonce, done.stdout)
    return msgspec.structs.replace(facts, keepalived=seen, sysctls={**facts.sysctls, **seen.sysctls})
