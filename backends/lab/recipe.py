"""Writes what one guest boots from: a private directory with its first program and the files of every host.

The files are written here, on the machine, because that is quick and easy to read; the guest copies them into its own
memory, where they belong to root.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.lab import network
from dsrwizard.core.dialects.script_files import filled
from dsrwizard.core.model.errors import LookError

HOME = "/lab/root"  # root's home directory in the lab: never the user's own, whose keys and settings stay out
IDENTITY_FILE = "~/.ssh/id_ed25519"
DEPLOYMENT_FILE = "/lab/shop.toml"
RICH_FILE = "/lab/rich.toml"  # several VIPs and services: faults can be made on one of them alone
KNOWN_HOSTS_FILE = "/lab/known_hosts"  # every host's key; a copy is ~/.ssh/known_hosts when asked for
ROOT_PASSWORD = "root-in-the-lab"  # noqa: S105 - of the lab's servers and its client, for tests of passwords
OPS_USER = "ops"  # an ordinary user on web3 whose sudo asks for a password
OPS_PASSWORD = "ops-in-the-lab"  # noqa: S105
OPS_HOST = "web3"
PACKAGE_ROOT = Path(__file__).resolve().parents[2]

# openssl passwd -6 of the passwords above
_ROOT_HASH = "$6$dsrlabroot$UPs1ryvolHgGsVQWF1urUeuFB98dsQZXxByeGh0zzP0pvuu6CZwpGTkxp1Ly5z06y/MNJTOmyjbMSsGMdw1Tp."
_OPS_HASH = "$6$dsrlabops1$6sOFMqIEp7mU.kT1iCSuWh6RO9FFrgHSd/.iLWsw/sxbXEelhY6Y5uCfFcIuvccWmrZJL.FxqRMqj/e7hnEeZ."
_ROOT_SHADOW = f"root:{_ROOT_HASH}:19000:0:99999:7:::\n"
_ROOT_SUDOERS = "root ALL=(ALL:ALL) ALL\n"
_SSHD_CONFIG = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp internal-sftp
"""
_EMPTY = (Path("/etc/keepalived"), Path("/etc/bird"))
"""What this machine has in these says nothing about the lab's directors."""
_BASHRC = """PS1='\\u@\\h:\\w\\$ '
alias ll='ls -l'
"""


@dataclass(frozen=True)
class Recipe:
    """The directory a guest boots from."""

    directory: Path

    @property
    def init(self) -> Path:
        """The program the kernel starts."""
        return self.directory / "init"


def write(
    directory: Path, ssh_keygen: str, *, known_hosts: bool, files: int, servers: int = network.USUAL, directors: int = 1
) -> Recipe:
    """Fills the directory; with `known_hosts` the director knows every host's key already.

    `files`: how many files of the machine the guest may hold open. `servers`: how many real servers there are; the
    deployments that come with the lab have the usual ones, and all of its `directors`.
    """
    hosts = network.hosts(servers, directors)
    keys = _make_keys(directory / "keys", ssh_keygen, hosts)
    _write_base(directory / "base", keys, (directory / "keys/identity.pub").read_text(), hosts, directors)
    for host in hosts:
        _write_host(directory / "hosts" / host.name, host, directory / "keys")
        _put(directory / "net" / host.name, network.addresses(host))
    for director in network.directors(directors):
        home = directory / "hosts" / director.name / HOME.lstrip("/")
        _put(home / ".ssh/id_ed25519", (directory / "keys/identity").read_text(), 0o600)
        _put(home / ".ssh/id_ed25519.pub", (directory / "keys/identity.pub").read_text())
        _put(home / ".ssh/known_hosts", _known_hosts(keys, hosts) if known_hosts else "", 0o600)
    _put(directory / "net/cables", network.cables(hosts))
    for name, trait in {"ssh": "ssh", "service": "service", "forward": "forwards", "route": "routes"}.items():
        _put(directory / "net" / f"who-{name}", "\n".join(h.name for h in hosts if getattr(h, trait)))
    _put(directory / "init", _first_program(directory, files), 0o755)
    return Recipe(directory)


def _first_program(directory: Path, files: int) -> str:
    # A shell script, not the interpreter itself: some interpreters find their own library by /proc/self/exe.
    # -I -S: neither the user's settings nor site-packages, which take a second to read in the guest.
    start = f"import sys; sys.path.insert(0, {str(PACKAGE_ROOT)!r}); from backends.lab.inside.init import main; main()"
    words = [sys.executable, "-I", "-S", "-c", start, str(directory), str(files)]
    return f"#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nmount -t proc proc /proc\nexec {shlex.join(words)}\n"


def _make_keys(directory: Path, ssh_keygen: str, hosts: Sequence[network.Host]) -> dict[str, str]:
    """Makes the identity and every sshd's host key at once; returns the public host keys by host name."""
    directory.mkdir()
    names = ["identity", *(host.name for host in hosts if host.ssh)]
    running = [
        subprocess.Popen(
            [ssh_keygen, "-q", "-t", "ed25519", "-N", "", "-C", f"{name}@lab", "-f", str(directory / name)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        for name in names
    ]
    for process in running:
        errors = process.communicate()[1]
        if process.returncode:
            raise LookError("The lab's SSH keys could not be made.", errors.decode(errors="replace").strip())
    return {name: (directory / f"{name}.pub").read_text() for name in names[1:]}


def _known_hosts(keys: dict[str, str], hosts: Sequence[network.Host]) -> str:
    return "".join(
        f"{host.address},{host.address6},{host.name} {' '.join(keys[host.name].split()[:2])}\n"
        for host in hosts
        if host.ssh
    )


def _write_base(base: Path, keys: dict[str, str], identity: str, hosts: Sequence[network.Host], directors: int) -> None:
    """The files every host has in place of this machine's."""
    etc = base / "etc"
    _put(etc / "passwd", _passwd())
    _put(etc / "group", _group())
    # sshd takes an account without a line here for locked, and an ordinary user cannot read the machine's own.
    _put(etc / "shadow", _ROOT_SHADOW, 0o600)
    _put(etc / "sudoers", _ROOT_SUDOERS, 0o440)
    _put(etc / "hosts", _hosts_file(hosts))
    _put(etc / "resolv.conf", "")  # no name server: an unknown name is refused at once instead of after a timeout
    _put(etc / "ssh/sshd_config", _SSHD_CONFIG)
    _put(etc / "ssh/ssh_known_hosts", "")
    _put(base / HOME.lstrip("/") / ".ssh/authorized_keys", identity, 0o600)
    _put(base / HOME.lstrip("/") / ".bashrc", _BASHRC)
    _put(base / HOME.lstrip("/") / ".profile", ". ~/.bashrc\n")
    _put(base / KNOWN_HOSTS_FILE.lstrip("/"), _known_hosts(keys, hosts))
    _put(base / DEPLOYMENT_FILE.lstrip("/"), network.deployment(IDENTITY_FILE, directors))
    _put(base / RICH_FILE.lstrip("/"), network.rich_deployment(IDENTITY_FILE, directors))
    _put(base / "usr/local/bin/lab-service", _service_command(), 0o755)
    _write_closed(base)
    # Also there when the program runs from a checkout; an installed one comes first in PATH.
    _put(base / "usr/local/bin/dsrwizard", f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dsrwizard "$@"\n', 0o755)


def _write_closed(base: Path) -> None:
    """Empty files and directories for what this machine keeps from the user in /etc, and for root's home directory:
    root in the lab could not read them either, and useradd, sudo and others stop at a file that root cannot read.

    The directories are named in a list: nothing of this machine's may show through (see `backends.lab.inside.init`).
    """
    closed = []
    for top, directories, files in os.walk("/etc"):
        for name in files:
            path = Path(top, name)
            if path.is_file() and not os.access(path, os.R_OK) and not (base / path.relative_to("/")).exists():
                _put(base / path.relative_to("/"), "", 0o600)
        closed += [Path(top, name) for name in directories if not os.access(Path(top, name), os.R_OK | os.X_OK)]
    # Only where it is closed: the interpreter may be in it.
    closed += [root for root in (Path("/root"),) if not os.access(root, os.R_OK | os.X_OK)]
    for path in closed:
        (base / path.relative_to("/")).mkdir(parents=True, mode=0o700, exist_ok=True)
    _put(base.parent / "net/closed", "".join(f"{path}\n" for path in closed))
    for path in _EMPTY:
        (base / path.relative_to("/")).mkdir(parents=True, exist_ok=True)
    _put(base.parent / "net/empty", "".join(f"{path}\n" for path in _EMPTY))


def _write_host(upper: Path, host: network.Host, keys: Path) -> None:
    etc = upper / "etc"
    _put(etc / "hostname", host.name + "\n")
    _put(etc / "machine-id", hashlib.md5(host.name.encode(), usedforsecurity=False).hexdigest() + "\n", 0o444)
    _put(etc / "network/interfaces", network.interfaces(host))
    (etc / "network/interfaces.d").mkdir()
    if host.ssh:
        _put(etc / "ssh/ssh_host_ed25519_key", (keys / host.name).read_text(), 0o600)
        _put(etc / "ssh/ssh_host_ed25519_key.pub", (keys / f"{host.name}.pub").read_text())
    if host.routes:
        _put(etc / "bird/bird.conf", (PACKAGE_ROOT / "backends/lab/inside/router.bird.conf").read_text("utf-8"))
    if host.name == OPS_HOST:
        _put(etc / "passwd", _passwd() + f"{OPS_USER}:x:1000:1000::/home/{OPS_USER}:/bin/bash\n")
        _put(etc / "group", _group() + f"{OPS_USER}:x:1000:\n")
        _put(etc / "shadow", f"{_ROOT_SHADOW}{OPS_USER}:{_OPS_HASH}:19000:0:99999:7:::\n", 0o600)
        _put(etc / "sudoers", f"{_ROOT_SUDOERS}{OPS_USER} ALL=(ALL:ALL) ALL\n", 0o440)
        identity = (keys / "identity.pub").read_text()
        _put(upper / "home" / OPS_USER / ".ssh/authorized_keys", identity, 0o600)


def _passwd() -> str:
    """This machine's system accounts (sshd's among them), with root at home in the lab and nobody else's account."""
    lines = [f"root:x:0:0:root:{HOME}:/bin/bash"]
    for line in Path("/etc/passwd").read_text().splitlines():
        fields = line.split(":")
        if len(fields) == 7 and fields[2].isdigit() and (0 < int(fields[2]) < 1000 or fields[2] == "65534"):
            lines.append(line)
    return "\n".join(lines) + "\n"


def _group() -> str:
    lines = []
    for line in Path("/etc/group").read_text().splitlines():
        fields = line.split(":")
        if len(fields) == 4 and fields[2].isdigit() and (int(fields[2]) < 1000 or fields[2] == "65534"):
            lines.append(":".join([*fields[:3], ""]))
    return "\n".join(lines) + "\n"


def _hosts_file(hosts: Sequence[network.Host]) -> str:
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    lines += [f"{host.address} {host.name}\n{host.address6} {host.name}" for host in hosts]
    return "\n".join(lines) + "\n"


def _service_command() -> str:
    """The command `lab-service`, with which tests and curious people stop the services or bind them elsewhere.

    What is said of one service is kept until it is started again; the program is started anew for it.
    """
    inside = PACKAGE_ROOT / "backends/lab/inside"
    serve = shlex.join([sys.executable, "-I", "-S", str(inside / "serve.py")])
    return filled((inside / "lab-service.sh").read_text("utf-8"), {"@SERVE@": serve})


def _put(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
