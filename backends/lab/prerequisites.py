"""What the lab needs on this machine, and the one error that says what is missing and how to get it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from dsrwizard.core.errors import LookError

MODULES = Path("/usr/lib/uml/modules")
_SYSTEM_TOOLS = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "modprobe": "kmod",
    "ipvsadm": "ipvsadm",
}


@dataclass(frozen=True)
class Programs:
    """Where the programs are that the lab starts on this machine."""

    kernel: str
    ssh_keygen: str


def find() -> Programs:
    """The programs the lab starts; raises `LookError` naming everything that is missing, with one command for all."""
    missing: dict[str, str] = {}
    kernel = shutil.which("linux.uml")
    if kernel is None:
        missing["linux.uml (the kernel that runs as a program)"] = "user-mode-linux"
    elif not any(MODULES.glob("*/modules.dep")):
        missing[f"{MODULES} (that kernel's modules)"] = "user-mode-linux"
    found = {tool: _system_tool(tool) for tool in _SYSTEM_TOOLS}
    missing |= {tool: _SYSTEM_TOOLS[tool] for tool, path in found.items() if path is None}
    if kernel is None or missing:
        packages = " ".join(dict.fromkeys(missing.values()))
        raise LookError(
            "The lab cannot start on this machine.",
            f"Not found: {', '.join(missing)}.",
            f"Install what is missing: sudo apt-get install {packages}",
        )
    return Programs(kernel, found["ssh-keygen"] or "ssh-keygen")


def _system_tool(name: str) -> str | None:
    # An ordinary user's PATH has no sbin directories on Debian, though the guest will.
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
