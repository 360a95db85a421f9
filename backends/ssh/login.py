"""Logging in: keys, then a second factor or a password, with what the operator is asked and what refusal says."""

from __future__ import annotations

import time
from collections.abc import Callable

import paramiko

from backends.memory import Memory
from backends.ssh.config import stamp
from backends.ssh.conversation import Conversation
from backends.ssh.keys import KeyFile, KeyOffer, KeyProblem, Ring, WrongPassphrase, open_key, read
from backends.ssh.route import SshRoute
from backends.ssh.transport import Transport
from dsrwizard.core.model.errors import ConnectTimeout, LoginRefused
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.model.words import capital
from dsrwizard.core.ports import Asker, SecretQuestion

TRIES = 3
"""How often a password or passphrase is asked for, as ssh does."""
_WAYS = 8
"""How many of a server's ways to log in a message names."""
_TYPING = 600.0
"""Seconds a server's own question (a one-time code) may wait for the operator."""


_SHA1_ONLY = "RSA keys, if its SSH server knows them with SHA-1 alone, which is refused here (use an ed25519 key)"


class HungUp(Exception):
    """The server closed the connection during login, e.g. after MaxAuthTries or LoginGraceTime: dial again, go on."""


class Login:
    """One login with its state, which outlives the connection: a key once refused is not offered again, and an answer
    the operator typed is used even if the server had hung up meanwhile."""

    def __init__(self, route: SshRoute, asker: Asker, memory: Memory) -> None:
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
        self._sent: Secret | None = None
        self._questions = 0

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
        said = [one_line(why, 200).rstrip(".") + "."] if why else []
        said += [f"Tried: {', '.join(self._tried)}." if self._tried else "There was no key to try."]
        if self._declined:
            said.append("No password was given." if self._questions == 0 else "Its question was not answered.")
        if self._allowed:
            said.append(f"The server accepts: {one_line(', '.join(self._allowed[:_WAYS]), 120)}.")
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
                rest = self._in_time(transport, transport.auth_publickey, self._route.user, key)
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
            except (paramiko.SSHException, EOFError, OSError):
                if self._asked and not transport.is_active():
                    self._left.insert(0, offer)  # as above: nothing was said of the key
                raise
            if not rest:
                return True
            self._note(f"{offer.label} (accepted, the server wants more)")
            self._allowed = tuple(rest)
            self._left = [KeyOffer(offer.label, key=key)]  # needed again should the server hang up before the password
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

    def _opened(self, offer: KeyOffer) -> paramiko.PKey | None:
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
                self._in_time(transport, transport.auth_none, self._route.user)
            except paramiko.BadAuthenticationType as error:
                self._allowed = tuple(error.allowed_types)
            else:
                return  # a server that wants no proof at all
        ways = [way for way in ("password", "keyboard-interactive") if way in self._allowed]
        if not ways:
            raise self.refused()
        while self._passwords < TRIES:
            try:
                rest = self._once(transport, ways[0])
            except paramiko.BadAuthenticationType as error:
                self._allowed = tuple(error.allowed_types)
                raise self.refused() from error
            except paramiko.AuthenticationException as error:
                secret = self._sent
                if secret is not None and secret is not self._again and not transport.is_active():
                    self._again = secret  # refused, or was the server gone already? The same once more will tell.
                    raise HungUp from error
                self._wrong, self._passwords = secret or self._wrong, self._passwords + 1
                self._note_password(ways[0])
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

    def _once(self, transport: Transport, way: str) -> list[str]:
        """One try; `_sent` is the login password, where it was sent. Returns the ways the server wants besides."""
        self._sent = None
        if way == "keyboard-interactive":
            return self._in_its_words(transport)
        secret = self._password()
        if secret is None:
            self._declined = True
            raise self.refused()
        if not transport.is_active():
            raise HungUp
        self._sent = secret
        return self._in_time(transport, transport.auth_password, self._route.user, secret.reveal(), None, False)

    def _in_its_words(self, transport: Transport) -> list[str]:
        """One try by what the server asks."""
        talk = Conversation(
            self._route, self._asker, self._password, transport.auth_timeout, transport.close, self._questions
        )
        patience, transport.auth_timeout = transport.auth_timeout, _TYPING
        try:
            with talk:
                return transport.auth_interactive(self._route.user, talk.answer)
        except (paramiko.SSHException, EOFError, OSError) as error:
            unasked, self._questions = talk.asked == self._questions, talk.asked
            if talk.declined:
                self._declined = True
                raise self.refused() from error
            if talk.excess:
                raise self.refused("The server asks more questions than are answered") from error
            if talk.silent:
                raise self._too_slow(patience) from error
            if talk.given is None and unasked and not transport.is_active():
                raise HungUp from error  # before it had asked anything
            raise
        finally:
            transport.auth_timeout = patience
            self._sent, self._questions = talk.given, talk.asked

    def _in_time(self, transport: Transport, attempt: Callable[..., list[str]], *given: object) -> list[str]:
        """One try that takes no longer than the connection allows. Raises ConnectTimeout."""
        begin = time.monotonic()
        try:
            return attempt(*given)
        except paramiko.AuthenticationException as error:
            if transport.is_active() and time.monotonic() - begin >= transport.auth_timeout:
                raise self._too_slow(transport.auth_timeout) from error
            raise

    def _too_slow(self, patience: float) -> ConnectTimeout:
        return ConnectTimeout(
            f"{self._route.host}: {self._route.at} did not answer the login within {patience:g} s.",
            "Its SSH server, PAM or the directory behind it hangs.",
            "Look at that host's load and at its log of logins.",
        )

    def _note_password(self, way: str) -> None:
        times = "once" if self._passwords == 1 else f"{self._passwords} times"
        what = "password" if way == "password" or self._sent is not None else "the answers to its questions"
        self._tried = [each for each in self._tried if not each.startswith(f"{what} ")] + [f"{what} ({times})"]

    def _password(self) -> Secret | None:
        route = self._route
        question = SecretQuestion(
            kind="password", host=route.host, user=route.user, detail=f"login password of {route.user} at {route.at}"
        )
        return self._memory.obtain(self._asker, self._slot, question, self._wrong)


def _required(route: SshRoute) -> KeyFile | None:
    if route.required_key is None:
        return None
    try:
        return read(route.required_key)
    except KeyProblem as problem:
        raise LoginRefused(
            f"{route.host}: the identity file {route.required_key.text} cannot be used.",
            f"{capital(str(problem))}.",
            "Correct identity_file of this host; ssh-keygen -t ed25519 makes a new key.",
        ) from problem
