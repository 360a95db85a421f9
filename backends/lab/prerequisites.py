"""What the lab needs on this machine, and the one error that says what is missing and how to get it."""

from __future__ import annotations

import os
import resource
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from backends.lab import network
from backends.lab.confine import MEMORY_FLAGS
from backends.lab.inside.files import NEEDED
from dsrwizard.core.model.errors import LookError

MEMORY_MIB = 768
MODULES = Path("/usr/lib/uml/modules")
_SYSTEM_TOOLS = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "modprobe": "kmod",
    "ipvsadm": "ipvsadm",
}
_OF_A_PAIR = {"keepalived": "keepalived"}
_OF_MORE = {"bird": "bird2", "birdc": "bird2"}


@dataclass(frozen=True)
class Machine:
    """What the lab starts on this machine, and what it may use of it."""

    kernel: str
    ssh_keygen: str
    memory: str  # the directory of the file that is the lab's memory
    files: int  # how many files may be open


def find(directors: int = 1) -> Machine:
    """What there is for a lab with so many directors; raises `LookError` naming every program that is missing, with one
    command for all, or what else the lab cannot do without.
    """
    missing: dict[str, str] = {}
    kernel = shutil.which("linux.uml")
    if kernel is None:
        missing["linux.uml (the kernel that runs as a program)"] = "user-mode-linux"
    elif not any(MODULES.glob("*/modules.dep")):
        missing[f"{MODULES} (that kernel's modules)"] = "user-mode-linux"
    needed = _SYSTEM_TOOLS | ({} if directors == 1 else _OF_A_PAIR if directors == network.PAIR else _OF_MORE)
    found = {tool: _system_tool(tool) for tool in needed}
    missing |= {tool: needed[tool] for tool, path in found.items() if path is None}
    if kernel is None or missing:
        packages = " ".join(dict.fromkeys(missing.values()))
        raise LookError(
            "The lab cannot start on this machine.",
            f"Not found: {', '.join(missing)}.",
            f"Install what is missing: sudo apt-get install {packages}",
        )
    return Machine(kernel, found["ssh-keygen"] or "ssh-keygen", _memory_directory(), _files())


def _files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if hard == resource.RLIM_INFINITY:
        return sys.maxsize
    if hard < NEEDED:
        raise LookError(
            "The lab cannot start: the limit on open files is too low.",
            f"The hard limit for one process is {hard} here (ulimit -Hn), and the lab's kernel needs {NEEDED}.",
            "Raise the hard limit to 4096 and start the lab from there: a line with nofile in"
            " /etc/security/limits.conf, LimitNOFILE= of a systemd unit, --ulimit nofile=4096 of a container.",
        )
    return hard


def _memory_directory() -> str:
    """In memory if possible. A container's /dev/shm may be too small: what is full there ends the lab's kernel."""
    tried = dict.fromkeys(["/dev/shm", tempfile.gettempdir(), "/var/tmp"])
    for directory in tried:
        try:
            os.close(os.open(directory, MEMORY_FLAGS, 0o700))
            room = os.statvfs(directory)
        except OSError:
            continue
        if not room.f_flag & os.ST_NOEXEC and room.f_bavail * room.f_frsize >= MEMORY_MIB << 20:
            return directory
    raise LookError(
        "The lab has no space for its memory.",
        f"It needs a file of {MEMORY_MIB} MiB without a name (O_TMPFILE), not mounted noexec; none can be made in"
        f" {', '.join(tried)}.",
        "Free some space there, or set TMPDIR to a directory with enough space.",
    )


def _system_tool(name: str) -> str | None:
    # An ordinary user's PATH has no sbin directories on Debian, though the guest will.
    return shutil.which(name, path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]))
