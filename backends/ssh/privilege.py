"""Becoming root on a host: by sudo, asking for its password only when sudo does."""

from __future__ import annotations

from backends.memory import Memory
from backends.ssh.login import TRIES
from backends.ssh.route import SshRoute
from backends.ssh.session import Clock, Overdue, SshCommand
from dsrwizard.core.model.errors import ConnectionLost, NoPrivilege
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Asker, SecretQuestion

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SILENCE = 20.0
"""Seconds in which sudo must say something."""
_REASONS = (
    (
        ("not in the sudoers", "not allowed to execute", "may not run sudo"),
        "is not allowed to by sudo",
        "Allow it in {file}: `{user} ALL=(root) /bin/sh`",
    ),
    (("sudo: not found", "sudo: command not found", "sudo: no such file"), "has no sudo there", "Install sudo there"),
    (("must have a tty", "no tty present"), "may use sudo only from a terminal", "Remove requiretty in {file}"),
)


def sudo_command(prompt: str, ready: str) -> str:
    """One command line that any login shell (sh, bash, csh, fish) reads alike."""
    return (
        f"/bin/sh -c 'LC_ALL=C; PATH=$PATH:{PATH}; export LC_ALL PATH; "
        f'if test "$(id -u)" = 0; then echo {ready}; exec /bin/sh -s; fi; '
        f'exec sudo -S -p "{prompt}" /bin/sh -c "echo {ready}; exec /bin/sh -s"\''
    )


class Sudo:
    """Becoming root in one run: asks for the password when sudo does, at most three times."""

    def __init__(self, route: SshRoute, asker: Asker, memory: Memory, clock: Clock) -> None:
        self._host, self._user, self._at = route.host, route.user, route.at
        self._asker, self._memory, self._clock = asker, memory, clock
        self._slot = ("sudo", route.user, route.at)
        self._wrong: Secret | None = None
        self._tries = 0

    def becomes_root(self, session: SshCommand, prompt: str, ready: str) -> bool:
        """True: a root shell waits for the script. False: sudo gave up before it had our answer, call it again.

        Raises NoPrivilege, ConnectionLost, Overdue.
        """
        seen, sent = 0, None
        patience = self._clock.left - _SILENCE
        going = True
        while going:
            try:
                going = session.step()
            except Overdue:
                raise self._silent(session) from None
            if ready.encode() in session.out.before:
                return True
            if session.err.before.count(prompt.encode()) > seen:
                seen += 1
                if sent is not None:
                    self._refused(sent)
                sent = self._ask()
                session.send(sent.reveal().encode() + b"\n")
                patience = self._clock.left - _SILENCE
            elif self._clock.left < patience:
                raise self._silent(session)
        if session.status is None:
            raise ConnectionLost(
                f"{self._host}: the connection broke before the script was started.", "", "Connect again."
            )
        said = session.err.noise.replace(prompt, "")
        if sent is not None and "incorrect password" in said:
            self._refused(sent)
            return False
        if sent is not None and ("timed out" in said or "no password was provided" in said):
            return False
        raise self._no(said or session.out.noise)

    def _ask(self) -> Secret:
        question = SecretQuestion(
            kind="sudo", host=self._host, user=self._user, detail=f"sudo password of {self._user} at {self._at}"
        )
        with self._clock.stopped():
            secret = self._memory.obtain(self._asker, self._slot, question, self._wrong)
        if secret is None:
            raise NoPrivilege(
                f"{self._host}: {self._user} needs a password for sudo, and none was given.",
                "",
                "Give it when asked, or log in as root, or allow it without password in sudoers: "
                f"`{self._user} ALL=(root) NOPASSWD: /bin/sh`.",
            )
        return secret

    def _refused(self, secret: Secret) -> None:
        self._wrong, self._tries = secret, self._tries + 1
        if self._tries >= TRIES:
            self._memory.drop(self._slot, secret)
            raise NoPrivilege(
                f"{self._host}: sudo refused the password of {self._user} {TRIES} times.",
                "",
                "Check the password; sudo may ask for root's (rootpw) instead of the user's.",
            )

    def _silent(self, session: SshCommand) -> NoPrivilege:
        said = quote(session.err.noise or session.out.noise)
        return NoPrivilege(
            f"{self._host}: sudo neither asked for a password nor gave a root shell.",
            f"The host says: {said}" if said else "The host says nothing.",
            f"Try by hand: ssh {self._user}@{self._at.split()[0]} sudo id",
        )

    def _no(self, said: str) -> NoPrivilege:
        file = f"/etc/sudoers.d on {self._host}"
        for words, reason, mend in _REASONS:
            if any(word in said.lower() for word in words):
                return NoPrivilege(
                    f"{self._host}: {self._user} is not root and {reason}.",
                    f"The host says: {quote(said)}",
                    f"{mend.format(file=file, user=self._user)}, or log in as root.",
                )
        quoted = quote(said)
        return NoPrivilege(
            f"{self._host}: {self._user} is logged in but cannot become root.",
            f"The host says: {quoted}" if quoted else "The host says nothing.",
            "Log in as root, or allow sudo for this user.",
        )


def quote(said: str) -> str:
    """The last lines of what a host said, as one line of a message."""
    lines = [line.strip() for line in said[-2000:].splitlines() if line.strip()]
    return one_line(" / ".join(lines[-3:])[-300:], 400)
