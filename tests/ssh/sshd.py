"""A real OpenSSH sshd on a loopback port, with keys of its own, and an operator who answers from a list."""

from __future__ import annotations

import base64
import contextlib
import getpass
import hashlib
import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from tests.ports import free_port

SSHD = "/usr/sbin/sshd"
USER = getpass.getuser()
ROOT = os.getuid() == 0
ACCOUNT = "op"
"""Who is not root where root runs the tests; any other user is it already."""
LOGIN = ACCOUNT if ROOT else USER

SUDO = """#!/bin/sh
# Refuses and asks as sudo -S -p PROMPT does: prompt on standard error, one line of standard input byte by byte.
test "$1" = -S && test "$2" = -p || { echo "sudo: usage" >&2; exit 1; }
prompt=$3; shift 3
case "$SUDO_MODE" in
open) exec "$@" ;;
missing) echo "/bin/sh: 1: exec: sudo: not found" >&2; exit 127 ;;
not-in) echo "op is not in the sudoers file." >&2; exit 1 ;;
tty) echo "sudo: sorry, you must have a tty to run sudo" >&2; exit 1 ;;
esac
echo "We trust you have received the usual lecture." >&2
for try in 1 2 3; do
    printf %s "$prompt" >&2
    word=""
    while letter=$(dd bs=1 count=1 2>/dev/null; echo .); letter=${letter%.}; test "$letter" != "
"; do
        test -n "$letter" || { echo "sudo: no password was provided" >&2; exit 1; }
        word=$word$letter
    done
    test "$word" = "$SUDO_WORD" && exec "$@"
    test $try = 3 || echo "Sorry, try again." >&2
done
echo "sudo: 3 incorrect password attempts" >&2
exit 1
"""


@dataclass
class Operator:
    """Answers questions from a list, in order; no answer left means "no"."""

    answers: list[str] = field(default_factory=list)
    accepts: bool = False
    secrets: list[SecretQuestion] = field(default_factory=list)
    keys: list[HostKeyQuestion] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    __hash__ = object.__hash__

    def secret(self, question: SecretQuestion) -> Secret | None:
        with self.lock:
            self.secrets.append(question)
            return Secret(self.answers.pop(0)) if self.answers else None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        with self.lock:
            self.keys.append(question)
            return self.accepts


def keygen(path: Path, kind: str = "ed25519", passphrase: str = "") -> Path:
    """A new key pair; the private file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in (path, path.with_name(path.name + ".pub")):
        old.unlink(missing_ok=True)
    # Few KDF rounds: the strength of a test's passphrase is not what is tested.
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-a", "1", "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return path


def public(path: Path) -> str:
    """`type base64` of a key's public file."""
    return " ".join(path.with_name(path.name + ".pub").read_text().split()[:2])


def fingerprint(path: Path) -> str:
    """Computed here a second time, as `ssh-keygen -l` prints it."""
    blob = base64.b64decode(public(path).split()[1])
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


class Sshd:
    """One server. `options` are lines of sshd_config(5) put first; `host_keys` are the kinds of its host keys.

    `account`: the login is not root's, whoever runs the tests, and sudo behaves as `sudo` says: `open`, `asks`,
    `not-in`, `tty`, or `missing`.
    """

    def __init__(
        self,
        where: Path,
        *,
        options: tuple[str, ...] = (),
        host_keys: tuple[str, ...] = ("ed25519",),
        sudo: str = "open",
        account: bool = False,
    ) -> None:
        where.mkdir(parents=True, exist_ok=True)
        self.where, self.port = where, free_port()
        self.host_keys = {kind: keygen(where / f"host_{kind}", kind) for kind in host_keys}
        self.authorized = where / "authorized_keys"
        self.authorized.touch(mode=0o600)
        self._options = options
        self._account = account
        self.sudo = sudo
        self.word = "sudo-word"
        self._process: subprocess.Popen[str] | None = None

    @property
    def log(self) -> Path:
        return self.where / "log"

    def allow(self, key: Path) -> None:
        with self.authorized.open("a") as file:
            file.write(public(key) + "\n")

    def start(self) -> Sshd:
        programs = self.where / "bin"
        programs.mkdir(exist_ok=True)
        if not ROOT or self._account:
            self._program("sudo", SUDO)
        if self._account:
            self._program("id", "#!/bin/sh\necho 1000\n")
        lines = [
            *self._options,
            f"Port {self.port}",
            "ListenAddress 127.0.0.1",
            *(f"HostKey {path}" for path in self.host_keys.values()),
            f"AuthorizedKeysFile {self.authorized}",
            f"PidFile {self.where / 'pid'}",
            "StrictModes no",
            # Without PAM an sshd of an ordinary user, who cannot read shadow, takes every account for locked.
            f"UsePAM {'no' if ROOT else 'yes'}",
            "PasswordAuthentication no",
            "KbdInteractiveAuthentication no",
            "PermitRootLogin yes",
            "MaxStartups 100",
            f"SetEnv PATH={programs}:/usr/bin:/bin SUDO_MODE={self.sudo} SUDO_WORD={self.word}",
        ]
        config = self.where / "sshd_config"
        config.write_text("\n".join(lines) + "\n")
        if ROOT:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        assert self._process.stderr
        said = []
        for line in self._process.stderr:
            said.append(line)
            if "Server listening" in line:
                # From here on nobody reads the pipe; what sshd logs is little and fits into it.
                return self
        raise AssertionError(f"sshd did not start: {''.join(said)}")

    def _program(self, name: str, text: str) -> None:
        (self.where / "bin" / name).write_text(text)
        (self.where / "bin" / name).chmod(0o755)

    def _command(self) -> list[str]:
        sshd = [SSHD, "-D", "-e", "-f", str(self.where / "sshd_config")]
        if not (ROOT and self._account):
            return sshd
        # Another name for root, in a mount namespace with an /etc of its own; for the connector it is a user who needs
        # sudo. An overlay, because a single mounted file vanishes when the machine's own is replaced.
        script = (
            "mount -t tmpfs none /mnt && mkdir /mnt/upper /mnt/work"
            " && mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work /etc"
            f" && echo {ACCOUNT}:x:0:0::/:/bin/sh >>/etc/passwd"
            ' && exec "$@"'
        )
        return ["unshare", "--mount", "sh", "-c", script, "sh", *sshd]

    @property
    def user(self) -> str:
        return LOGIN if self._account else USER

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(60)
            if self._process.stderr:
                self._process.stderr.close()
            self._process = None

    def sessions(self) -> list[int]:
        """Process ids of the connections that are being served."""
        assert self._process
        return _children(self._process.pid)

    def cut(self) -> None:
        """Kills all that serves a connection."""
        for each in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def processes(self) -> list[int]:
        """All that serves a connection; as an ordinary user sshd has two processes for each."""
        return [each for pid in self.sessions() for each in (pid, *_children(pid))]

    def server(self, key: Path | None = None, name: str = "web1", user: str | None = None) -> RealServer:
        identity = str(key) if key else None
        return RealServer(
            name=name, address="127.0.0.1", port=self.port, user=user or self.user, identity_file=identity
        )

    def known_line(self, kind: str = "ed25519") -> str:
        return f"[127.0.0.1]:{self.port} {public(self.host_keys[kind])}\n"


def _children(parent: int) -> list[int]:
    command = ["ps", "-o", "pid=", "--ppid", str(parent)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]
