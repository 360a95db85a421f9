"""keyboard-interactive (RFC 4256): a server asks in words of its own, and the operator must know whose words they are.

The login password is given to one question alone, which asks for a password and for nothing else and names no other
user. Everything further is put to the operator as a quotation of that server, and is never answered from memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from threading import Timer

import paramiko

from backends.ssh.route import SshRoute
from dsrwizard.core.model.foreign import lines, one_line
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Asker, SecretQuestion

_ROUNDS = 8
"""Rounds of one login attempt; PAM needs one for each module that asks and an empty one at the end."""
MOST_QUESTIONS = 12
"""Questions that are put to the operator for one login, however often the server hangs up in between."""
_NAME, _INSTRUCTION, _PROMPT = 100, 800, 200
"""Characters shown of a round's name and instruction, and of a question."""
_PASSWORD = re.compile(r"(?:(?P<owner>\S+?)(?:@\S+)?'s )?password(?: for (?P<login>\S+?)(?:@\S+)?)?: ?", re.IGNORECASE)
"""What PAM, BSD and OpenSSH ask: `Password: `, `root@web1's password: `, `Password for root: `."""


class NoAnswer(paramiko.SSHException):
    """The conversation ends without an answer, so that no server takes an empty one for a try."""


class Conversation:
    """One attempt to log in by it. Used in a `with`; `answer` is called from the connection's thread.

    `password` is asked for when the server asks. Afterwards `given` is the login password, if it was sent, `declined`
    says that the operator gave no answer, `silent` that the server went on with nothing, `excess` that it asked more
    than is answered.
    """

    def __init__(
        self,
        route: SshRoute,
        asker: Asker,
        password: Callable[[], Secret | None],
        patience: float,
        give_up: Callable[[], None],
        asked: int,
    ) -> None:
        self._route, self._asker, self._password = route, asker, password
        self._patience, self._give_up = patience, give_up
        self._rounds = 0
        self._timer: Timer | None = None
        self._over = False
        self.asked = asked
        self.given: Secret | None = None
        self.declined = self.silent = self.excess = False

    def __enter__(self) -> Conversation:
        self._wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._stop()

    def answer(self, name: str, instruction: str, prompts: Sequence[tuple[str, bool]]) -> list[str]:
        """The answers to one round. Raises NoAnswer where the operator gives none, and for questions without end."""
        self._stop()
        self._rounds += 1
        if self._rounds > _ROUNDS:
            self.excess = True
            raise NoAnswer
        answers = []
        for number, (prompt, echo) in enumerate(prompts):
            around = (name, instruction) if number == 0 else ("", "")
            secret = self._login_password(prompt, echo) or self._operators(*around, prompt)
            answers.append(secret.reveal())
        self._wait()
        return answers

    def _login_password(self, prompt: str, echo: bool) -> Secret | None:
        if self.given is not None or echo or not asks_for_password(prompt, self._route.user):
            return None
        self.given = self._password()
        if self.given is None:
            self.declined = True
            raise NoAnswer
        return self.given

    def _operators(self, name: str, instruction: str, prompt: str) -> Secret:
        self.asked += 1
        if self.asked > MOST_QUESTIONS:
            self.excess = True
            raise NoAnswer
        question = SecretQuestion(
            kind="prompt", host=self._route.host, user=self._route.user, asked=_quotation(name, instruction, prompt)
        )
        secret = self._asker.secret(question)
        if secret is None:
            self.declined = True
            raise NoAnswer
        return secret

    def _wait(self) -> None:
        """From here on it is the server's turn; the operator may take longer."""
        if self._over:
            return
        self._timer = Timer(self._patience, self._expired)
        self._timer.daemon = True
        self._timer.start()

    def _stop(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _expired(self) -> None:
        self.silent = True
        self._give_up()


def asks_for_password(prompt: str, user: str) -> bool:
    """Whether a question is the usual one for the password of this login."""
    found = _PASSWORD.fullmatch(prompt.strip(" \r\n")) if len(prompt) <= _PROMPT else None
    return found is not None and all(name in (None, user) for name in (found["owner"], found["login"]))


def _quotation(name: str, instruction: str, prompt: str) -> str:
    """What the server says, in its order, without what a terminal would obey."""
    parts = (one_line(name.strip(), _NAME), lines(instruction.strip(), _INSTRUCTION), one_line(prompt.strip(), _PROMPT))
    return "\n".join(part for part in parts if part)
