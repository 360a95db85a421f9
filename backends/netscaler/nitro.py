"""One session with NITRO at one address: login, calls, what its errors mean, logout.

Sources: the NITRO reference; developer-docs.netscaler.com, "error handling" and "connecting"; the clients of
netscaler.adc and adc-nitro-go. Passwords and session ids are in no message.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import quote

from backends.appliance import https
from backends.appliance.door import Management
from backends.appliance.https import AnswerHeard, Https, unreadable
from backends.winrm.trust import Trust
from dsrwizard.core.model.errors import AnswerUnreadable, CommandFailed, HostError, LoginRefused, NoPrivilege
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.secret import Secret

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

    def __init__(self, place: Management, trust: Trust, heard: AnswerHeard | None = None) -> None:
        self.place = place
        self._https = Https(place, trust, heard)
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
        self._https.close()

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
        status, raw = self._https.exchange(
            method, f"/{path}", text, headers, changes=method != "GET", what=_named(method, path),
            largest=https.LARGEST,
        )  # fmt: skip
        return self._understood(method, path, status, raw)

    def _understood(self, method: str, path: str, status: int, raw: bytes) -> dict[str, Any]:
        if not raw.strip() and status in (200, 201):
            return {}
        try:
            answer = json.loads(raw)
        except (ValueError, RecursionError):
            if status == 401:
                raise SessionOver from None
            what = f"HTTP status {status} and something that is not JSON"
            raise unreadable(self.place, what, changes=method != "GET") from None
        if not isinstance(answer, dict):
            raise unreadable(self.place, "JSON that is no answer of NITRO", changes=method != "GET")
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


def _named(method: str, path: str) -> str:
    return https.named(f"{method} {path}")


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " ".join(_text(one) for one in value)
    return one_line(str(value), 1_000) if isinstance(value, str | int | float) else ""
