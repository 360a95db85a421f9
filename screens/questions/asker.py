"""The engine's Asker for the terminal program: its threads wait while one dialog at a time asks the operator."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Lock
from typing import Any

from textual.app import App
from textual.message import Message

from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.gathering import KeyGathering
from screens.questions.host_keys import HostKeysModal
from screens.questions.modals import HostKeyModal, SecretAnswer, SecretModal

AskerAnswer = SecretAnswer | bool | frozenset[int] | None
AskerQuestion = SecretQuestion | HostKeyQuestion | tuple[HostKeyQuestion, ...]


class QuestionAsked(Message, bubble=False):
    """One question; a worker thread waits for `future`."""

    def __init__(self, question: AskerQuestion, future: Future[AskerAnswer]) -> None:
        super().__init__()
        self.question = question
        self.future = future


class ScreenAsker:
    """Implements `core.ports.Asker` over an app that hands its `QuestionAsked` messages to `ask`.

    An answer given "for every server" is offered once to each host that asks for the same kind; if a host refuses it,
    the operator is asked again. After `close` every question is answered with no, including the open one.
    """

    def __init__(self, app: App[Any]) -> None:
        self._app = app
        self._turn = Lock()
        self._state = Lock()
        self._waiting: Future[AskerAnswer] | None = None
        self._closed = False
        self._for_all: dict[str, Secret] = {}
        self._keys = KeyGathering(self._turn, self._ask_keys)

    def secret(self, question: SecretQuestion) -> Secret | None:
        with self._turn:
            known = self._for_all.get(question.kind) if question.kind != "prompt" else None
            if known is not None and not question.refused:
                return known
            answer = self._put(question)
            if not isinstance(answer, SecretAnswer):
                return None
            if answer.for_all and question.kind != "prompt":
                self._for_all[question.kind] = answer.secret
            return answer.secret

    def accept_key(self, question: HostKeyQuestion) -> bool:
        """Several hosts whose keys are unknown at the same time become one list."""
        return self._keys.accept(question)

    def _ask_keys(self, questions: tuple[HostKeyQuestion, ...]) -> frozenset[int]:
        if len(questions) == 1:
            return frozenset({0}) if self._put(questions[0]) is True else frozenset()
        answer = self._put(questions)
        return answer if isinstance(answer, frozenset) else frozenset()

    def close(self) -> None:
        """Ends all waiting and forgets the secrets; called when the app ends."""
        with self._state:
            self._closed = True
            waiting = self._waiting
        self._for_all.clear()
        if waiting is not None:
            answer(waiting, None)

    def ask(self, asked: QuestionAsked) -> None:
        """Shows the dialog for one question; called by the app, on its loop."""
        future = asked.future
        if isinstance(asked.question, tuple):
            self._app.push_screen(HostKeysModal(asked.question), lambda ticked: answer(future, ticked))
        elif isinstance(asked.question, HostKeyQuestion):
            modal = HostKeyModal(asked.question, self._app.size.width)
            self._app.push_screen(modal, lambda choice: answer(future, choice == "accept"))
        else:
            self._app.push_screen(SecretModal(asked.question), lambda given: answer(future, given))

    def _put(self, question: AskerQuestion) -> AskerAnswer:
        future: Future[AskerAnswer] = Future()
        with self._state:
            if self._closed:
                return None
            self._waiting = future
        if not self._app.post_message(QuestionAsked(question, future)):
            return None
        return future.result()


def answer(future: Future[AskerAnswer], value: AskerAnswer) -> None:
    """Answers a question once; a later answer to the same question is dropped."""
    if not future.done():
        future.set_result(value)
