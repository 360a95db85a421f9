"""One session with NITRO at one address: login, calls, what its errors mean, logout.

Sources: the NITRO reference; developer-docs.netscaler.com, "error handling" and "connecting"; the clients of
netscaler.adc and adc-nitro-go. Passwords and session ids are in no message.
"""

from __future__ import annotations

import contextlib
import json
import logging
from typing import Any
from urllib.parse import quote

import requests
from requests.adapters import HTTPAdapter

from backends.netscaler.door import CONNECT_SECONDS, Management, no_connection
from backends.winrm.trust import Trust
from dsrwizard.core.model.errors import (
    AnswerUnreadable,
    CommandFailed,
    ConnectionLost,
    HostError,
    HostKeyChanged,
    LoginRefused,
    NoPrivilege,
)
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.secret import Secret

ANSWER_SECONDS = 30.0
LARGEST = 32_000_000
"""Bytes of one answer: some 20,000 services with all they are asked for."""
SESSION_SECONDS = 900
MISSING, EXISTS, INVALID, SAVING, EXPIRED, TIMED_OUT, NOT_ALLOWED = 258, 273, 278, 293, 444, 1027, 2138
_SAID = 200
_FULL = "20 people and programs at a time may be logged in to a NetScaler, its GUI included."

NitroRow = dict[str, str]


class SessionOver(Exception):
    """The NetScaler has ended the session; the request was not carried out."""


class NitroRefused(CommandFailed):
    """A call that was refused, with NITRO's own number."""

    code = 0


class Nitro:
    """A session. `send` and `get` raise HostError and its kinds, SessionOver, and NitroRefused."""

    def __init__(self, place: Management, trust: Trust) -> None:
        self.place = place
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.verify = False if trust.fingerprint else trust.authorities or True
        self._http.mount("https://", _Pinned(trust))
        self._token = ""

    def log_in(self, password: Secret) -> None:
        """Raises LoginRefused where the password is wrong."""
        given = {"username": self.place.user, "password": password.reveal(), "timeout": SESSION_SECONDS}
        try:
            answer = self._exchange("POST", "config/login", {"login": given})
        except NitroRefused as refused:
            if refused.code in (EXPIRED, TIMED_OUT, INVALID):
                raise HostError(f"{self.place.host}: {self.place.at} gave no session.", refused.why, _FULL) from None
            raise LoginRefused(
                f"{self.place.host}: login as {self.place.user} at {self.place.at} was refused.", refused.why,
                "Check user under [balancer] and its password; the user needs the command policy network or superuser.",
            ) from None  # fmt: skip
        token = answer.get("sessionid")
        if not isinstance(token, str) or not token:
            raise AnswerUnreadable(f"{self.place.host}: {self.place.at} answered the login without a session.", "", "")
        self._token = token

    def close(self) -> None:
        """Logs out: sessions are few."""
        if self._token:
            with contextlib.suppress(Exception):
                self._exchange("POST", "config/logout", {"logout": {}})
            self._token = ""
        self._http.close()

    def get(self, path: str) -> list[NitroRow]:
        """The objects at a path: as they come, one alone or none at all, with keys in lower case and values as text."""
        kind = path.partition("?")[0].split("/")[1]
        answer = self._exchange("GET", path, None)
        found: object = next((value for key, value in answer.items() if key.lower() == kind), [])
        rows = [found] if isinstance(found, dict) else found if isinstance(found, list) else []
        return [{str(key).lower(): _text(value) for key, value in row.items()} for row in rows if isinstance(row, dict)]

    def send(self, method: str, path: str, body: dict[str, Any] | None) -> None:
        """One call that changes something. ConnectionLost: whether it did is not known."""
        self._exchange(method, path, body)

    def _exchange(self, method: str, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        headers = {"Accept": "application/json"}
        if self._token:
            headers["Cookie"] = f"NITRO_AUTH_TOKEN={quote(self._token, safe='')}"
        if body is not None:
            headers["Content-Type"] = "application/json"
        text = None if body is None else json.dumps(body)
        try:
            with self._http.request(
                method, f"{self.place.url}/{path}", data=text, headers=headers, stream=True, allow_redirects=False,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            ) as answer:  # fmt: skip
                raw = b""
                for piece in answer.iter_content(65_536):
                    raw += piece
                    if len(raw) > LARGEST:
                        raise self._unreadable(path, "more than any NetScaler sends", method)
                status = answer.status_code
        except requests.exceptions.SSLError as error:
            raise HostKeyChanged(
                f"{self.place.host}: the certificate of {self.place.at} is not the one that was shown before.",
                "It changed between two connections, or does not carry that address.",
                "Do not log in. Ask the NetScaler's owner which certificate it has.",
            ) from error
        except requests.exceptions.ConnectTimeout as error:
            raise no_connection(self.place, TimeoutError()) from error
        except (requests.exceptions.RequestException, OSError) as error:
            lost = ConnectionLost(
                f"{self.place.host}: the connection to {self.place.at} broke.",
                f"Whether {_named(method, path)} was carried out is not known." if method != "GET" else "",
                "Look again.",
            )
            lost.begun = method != "GET"
            raise lost from error
        return self._understood(method, path, status, raw)

    def _understood(self, method: str, path: str, status: int, raw: bytes) -> dict[str, Any]:
        if not raw.strip() and status in (200, 201):
            return {}
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            if status == 401:
                raise SessionOver from None
            raise self._unreadable(path, f"HTTP status {status} and something that is not JSON", method) from None
        if not isinstance(answer, dict):
            raise self._unreadable(path, "JSON that is no answer of NITRO", method)
        code = answer.get("errorcode", 0)
        code = code if isinstance(code, int) and not isinstance(code, bool) else -1
        if status in (200, 201) and not code:
            return answer
        if code in (EXPIRED, TIMED_OUT) and not path.startswith("config/log"):
            raise SessionOver
        said = one_line(str(answer.get("message", "")), _SAID)
        what = f"{self.place.host}: {_named(method, path)} was refused."
        if code == NOT_ALLOWED:
            raise NoPrivilege(
                what, f"It says: {said}",
                "Give the user the command policy network or superuser; reading needs read-only.",
            )  # fmt: skip
        if status >= 500 and status != 599:
            what = f"{self.place.host}: {self.place.at} answered with HTTP status {status}."
            raise HostError(what, said, "Try again.")
        refused = NitroRefused(what, f"It says: {said} (error {code}, HTTP status {status}).", "Look at it there.")
        refused.code = code
        raise refused

    def _unreadable(self, path: str, what: str, method: str) -> AnswerUnreadable:
        found = AnswerUnreadable(
            f"{self.place.host}: {self.place.at} gave an answer that was not accepted.", f"It answered {what}.",
            "Check address and port under [balancer].",
        )  # fmt: skip
        found.begun = method != "GET"
        return found


def _named(method: str, path: str) -> str:
    return one_line(f"{method} {path}", 160)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(_text(one) for one in value)
    return one_line(str(value), 1_000) if isinstance(value, str | int | float) else ""


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
