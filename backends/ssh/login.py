"""Logging in: keys, then a second factor or a password, with what the operator is asked and what refusal says."""

from __future__ import annotations

import paramiko

from backends.memory import Memory
from backends.ssh.config import stamp
from backends.ssh.keys import KeyFile, KeyProblem, Offer, Ring, WrongPassphrase, open_key, read
from backends.ssh.route import Route
from backends.ssh.transport import Transport
from dsrwizard.core.errors import LoginRefused
from dsrwizard.core.ports import Asker, SecretQuestion
from dsrwizard.core.secret import Secret

TRIES = 3
"""How often a password or passphrase is asked for, as ssh does."""
_TYPING = 600.0
"""Seconds a server's own question (a one-time code) may wait for the operator."""


_SHA1_ONLY = "RSA keys, if its SSH server knows them with SHA-1 alone, which is refused here (use an ed25519 key)"


class HungUp(Exception):
    """The server closed the connection during login, e.g. after MaxAuthTries or LoginGraceTime: dial again, go on."""


class Login:
    """One login with its state, which outlives the connection: a key once refused is not offered again, and an answer
    the operator typed is used even if the server had hung up meanwhile."""

    def __init__(self, route: Route, asker: Asker, memory: Memory) -> None:
        """Raises LoginRefused where the deployment's identity_file cannot be used."""
        self._route, self._asker, self._memory = route, asker, memory
        self._ring = Ring(route, required=_required(route))
        self._left = list(self._ring.offers)
        self._tried: list[str] = []
        self._allowed: tuple[str, ...] = ()
        self._slot = ("password", route.user, route.address, route.port)
        self._wrong: Secret | None = None
        self._passwords = 0
        self._again: Secret | None = None
        self._declined = self._asked = False

    def close(self) -> None:
        self._ring.close()

    def go(self, transport: Transport) -> None:
        """Logs in. Raises LoginRefused, and HungUp when the connection is gone and another is worth while."""
        try:
            if not self._with_keys(transport):
                self._with_password(transport)
        except (paramiko.SSHException, EOFError, OSError) as error:
            if not transport.is_active():
                raise HungUp from error
            raise self.refused(str(error)) from error

    def refused(self, why: str = "") -> LoginRefused:
        """The error that says what was tried and what the server would take."""
        route = self._route
        said = [why.rstrip(".") + "."] if why else []
        said += [f"Tried: {', '.join(self._tried)}." if self._tried else "There was no key to try."]
        if self._declined:
            said.append("No password was given.")
        if self._allowed:
            said.append(f"The server takes: {', '.join(self._allowed)}.")
        said += [f"Not usable: {problem}." for problem in self._ring.problems]
        return LoginRefused(
            f"{route.host}: login as {route.user} at {route.at} was refused.",
            " ".join(said),
            f"Check user and identity_file of this host, or put your public key into ~{route.user}/.ssh/authorized_keys"
            " there (ssh-copy-id).",
        )

    def _with_keys(self, transport: Transport) -> bool:
        while self._left:
            offer = self._left[0]
            self._asked = False
            key = offer.key or self._opened(offer)
            if key and not transport.is_active():
                raise HungUp  # it was the passphrase that took so long; the opened key is remembered
            self._left.pop(0)
            if key is None:
                continue
            if offer.file and not self._route.algorithms.takes(key.get_name()):
                self._ring.not_allowed(offer.file, key.get_name())
                continue
            try:
                rest = transport.auth_publickey(self._route.user, key)
            except paramiko.BadAuthenticationType as error:
                self._allowed = tuple(error.allowed_types)
                self._left.clear()
                return False
            except paramiko.AuthenticationException as error:
                if self._asked and not transport.is_active():
                    self._left.insert(0, offer)  # the server left while the passphrase was typed: not the key's fault
                    raise HungUp from error
                self._note(offer.label)
                self._sha1_only(transport, key)
                if not transport.is_active():
                    raise HungUp from error
                continue
            if not rest:
                return True
            self._note(f"{offer.label} (accepted, the server wants more)")
            self._allowed = tuple(rest)
            self._left = [Offer(offer.label, key=key)]  # needed again should the server hang up before the password
            self._with_password(transport)
            return True
        return False

    def _sha1_only(self, transport: Transport, key: paramiko.PKey) -> None:
        """Says so where the server may have refused an RSA key because it knows no signature but SHA-1's (RFC 8332)."""
        told = transport.server_extensions.get("server-sig-algs", b"")
        if key.get_name() == "ssh-rsa" and b"rsa-sha2" not in told and _SHA1_ONLY not in self._ring.problems:
            self._ring.problems.append(_SHA1_ONLY)

    def _note(self, label: str) -> None:
        if label not in self._tried:
            self._tried.append(label)

    def _opened(self, offer: Offer) -> paramiko.PKey | None:
        """A key file as a key; None, with the reason noted, where it cannot be opened."""
        file = offer.file
        assert file is not None, "an offer has a key or a file"  # noqa: S101
        slot = (file.path, stamp(file.path))
        wrong: Secret | None = None
        for _ in range(TRIES):
            with self._memory.key_lock:
                if slot in self._memory.keys:
                    return self._memory.keys[slot]
            secret = self._passphrase(file, wrong) if file.encrypted else None
            if file.encrypted and secret is None:
                self._ring.problems.append(f"{file.file.text}: its passphrase was not given")
                return None
            try:
                with self._memory.key_lock:  # one host decrypts, the others find it done
                    if slot not in self._memory.keys:
                        self._memory.keys[slot] = open_key(file, secret.reveal() if secret else None)
                    return self._memory.keys[slot]
            except WrongPassphrase:
                wrong = secret
            except KeyProblem as problem:
                self._ring.problems.append(f"{file.file.text}: {problem}")
                return None
        self._memory.drop(("passphrase", file.path), wrong)
        self._ring.problems.append(f"{file.file.text}: its passphrase was wrong {TRIES} times")
        return None

    def _passphrase(self, file: KeyFile, wrong: Secret | None) -> Secret | None:
        question = SecretQuestion(
            kind="passphrase", host=self._route.host, user=self._route.user, detail=file.file.text
        )
        self._asked = True
        return self._memory.obtain(self._asker, ("passphrase", file.path), question, wrong)

    def _with_password(self, transport: Transport) -> None:
        if not self._allowed:
            try:
                transport.auth_none(self._route.user)
            except paramiko.BadAuthenticationType as error:
                self._allowed = tuple(error.allowed_types)
            else:
                return  # a server that wants no proof at all
        ways = [way for way in ("password", "keyboard-interactive") if way in self._allowed]
        if not ways:
            raise self.refused()
        while self._passwords < TRIES:
            secret = self._password()
            if secret is None:
                self._declined = True
                raise self.refused()
            if not transport.is_active():
                raise HungUp
            try:
                rest = self._send(transport, ways[0], secret)
            except paramiko.BadAuthenticationType as error:
                self._allowed = tuple(error.allowed_types)
                raise self.refused() from error
            except paramiko.AuthenticationException as error:
                if secret is not self._again and not transport.is_active():
                    self._again = secret  # refused, or was the server gone already? The same once more will tell.
                    raise HungUp from error
                self._wrong, self._passwords = secret, self._passwords + 1
                self._note_password()
                if not transport.is_active():
                    raise HungUp from error
                continue
            if not rest:
                return
            self._allowed, ways = tuple(rest), [way for way in ways if way in rest]
            if not ways:
                raise self.refused("The password was right, the server wants more.")
        self._memory.drop(self._slot, self._wrong)
        raise self.refused()

    def _note_password(self) -> None:
        times = "once" if self._passwords == 1 else f"{self._passwords} times"
        self._tried = [each for each in self._tried if not each.startswith("password ")] + [f"password ({times})"]

    def _password(self) -> Secret | None:
        route = self._route
        question = SecretQuestion(
            kind="password", host=route.host, user=route.user, detail=f"login password of {route.user} at {route.at}"
        )
        return self._memory.obtain(self._asker, self._slot, question, self._wrong)

    def _send(self, transport: Transport, way: str, secret: Secret) -> list[str]:
        if way == "password":
            return transport.auth_password(self._route.user, secret.reveal(), fallback=False)
        given = False

        def answer(_title: str, _instructions: str, prompts: list[tuple[str, bool]]) -> list[str]:
            nonlocal given
            answers = []
            for prompt, _echo in prompts:
                if not given:
                    given = True
                    answers.append(secret.reveal())
                    continue
                question = SecretQuestion(
                    kind="password", host=self._route.host, user=self._route.user, detail=prompt.strip()
                )
                more = self._asker.secret(question)
                answers.append(more.reveal() if more else "")
            return answers

        patience, transport.auth_timeout = transport.auth_timeout, _TYPING
        try:
            return transport.auth_interactive(self._route.user, answer)
        finally:
            transport.auth_timeout = patience


def _required(route: Route) -> KeyFile | None:
    if route.required_key is None:
        return None
    try:
        return read(route.required_key)
    except KeyProblem as problem:
        raise LoginRefused(
            f"{route.host}: the identity file {route.required_key.text} cannot be used.",
            f"{str(problem)[0].upper()}{str(problem)[1:]}.",
            "Correct identity_file of this host; ssh-keygen -t ed25519 makes a new key.",
        ) from problem
