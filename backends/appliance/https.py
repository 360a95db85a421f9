"""Requests to an appliance's API: pinned, bounded, silent in logs; what went wrong as errors of the core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from backends.appliance.door import CONNECT_SECONDS, Management, no_connection
from backends.winrm.trust import Trust
from dsrwizard.core.model.balancer_facts import ApplianceAnswer
from dsrwizard.core.model.errors import AnswerUnreadable, ConnectionLost, HostKeyChanged
from dsrwizard.core.model.foreign import one_line

ANSWER_SECONDS = 30.0
LARGEST = 32_000_000
"""Bytes of one answer: some 20,000 services with all they are asked for."""


AnswerHeard = Callable[[ApplianceAnswer], None]
"""Is told every answer to a request that changes nothing, before anybody makes sense of it; logins are none."""


class Https:
    """A session. Its connections are made to one place, with the certificate that was accepted there."""

    def __init__(self, place: Management, trust: Trust, heard: AnswerHeard | None = None) -> None:
        self.place = place
        self._heard = heard
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = False if trust.fingerprint else trust.authorities or True
        self._http.mount("https://", _Pinned(trust))

    def close(self) -> None:
        self._http.close()

    def exchange(
        self, method: str, path: str, text: str | None, headers: Mapping[str, str], *, changes: bool, what: str,
        largest: int = LARGEST,
    ) -> tuple[int, bytes]:  # fmt: skip
        """HTTP status and body. `what` names the request in errors; `changes`: whether it was carried out matters.

        Raises HostKeyChanged, ConnectTimeout, ConnectionLost (then it is not known whether it was carried out) and
        AnswerUnreadable.
        """
        try:
            with self._http.request(
                method, f"{self.place.url}{path}", data=text, headers=headers, stream=True, allow_redirects=False,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            ) as answer:  # fmt: skip
                raw = b""
                for piece in answer.iter_content(65_536):
                    raw += piece
                    if len(raw) > largest:
                        raise unreadable(self.place, f"more than any {self.place.host} sends", changes=changes)
                if self._heard is not None and not changes:
                    self._heard(ApplianceAnswer(
                        method=method, base=self.place.api.path, path=path, sent=text, status=answer.status_code,
                        body=raw,
                    ))  # fmt: skip
                return answer.status_code, raw
        except requests.exceptions.SSLError as error:
            raise HostKeyChanged(
                f"{self.place.host}: the certificate of {self.place.at} is not the one that was shown before.",
                "It changed between two connections, or does not carry that address.",
                f"Do not log in. Ask the {self.place.host}'s owner which certificate it has.",
            ) from error
        except requests.exceptions.ConnectTimeout as error:
            raise no_connection(self.place, TimeoutError()) from error
        except (requests.exceptions.RequestException, OSError) as error:
            lost = ConnectionLost(
                f"{self.place.host}: the connection to {self.place.at} broke.",
                f"Whether {what} was carried out is not known." if changes else "", "Look again.",
            )  # fmt: skip
            lost.begun = changes
            raise lost from error


def unreadable(place: Management, what: str, *, changes: bool) -> AnswerUnreadable:
    """An answer that makes no sense."""
    found = AnswerUnreadable(
        f"{place.host}: {place.at} gave an answer that was not accepted.", f"It answered {what}.",
        "Check address and port under [balancer].",
    )  # fmt: skip
    found.begun = changes
    return found


def named(text: str) -> str:
    """A request in a sentence."""
    return one_line(text, 160)


class _Pinned(HTTPAdapter):
    """Asks every connection for the certificate with this fingerprint, where there is one."""

    def __init__(self, trust: Trust) -> None:
        self._print = trust.fingerprint
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        if self._print:
            options["assert_fingerprint"] = self._print
        super().init_poolmanager(*arguments, **options)


def _silence() -> None:
    """What these libraries log holds passwords and session ids; what matters reaches the operator as a HostError."""
    for name in ("urllib3", "requests"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.CRITICAL + 1)
        logger.addHandler(logging.NullHandler())


_silence()
