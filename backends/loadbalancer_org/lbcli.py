"""Requests to the API v2 of a Loadbalancer.org appliance: what may be sent, and what its answers say.

Sources: LB_API_Library, its clients, templates and endpoints. That library nests its answers in one way, a client of
others in another, and some boxes answer with lines of text: so an answer is gone through for whatever has a status or
an `ldirectord` in it. Passwords and keys are in no message.
"""

from __future__ import annotations

import contextlib
import json
import re
from base64 import b64encode
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backends.appliance import https
from backends.appliance.door import Management, ManagementApi
from backends.appliance.https import AnswerHeard, Https, unreadable
from backends.winrm.trust import Trust
from dsrwizard.core.dialects.loadbalancer_org.words import HARMLESS_WORD
from dsrwizard.core.model.errors import CommandFailed, HostError, LoginRefused, UsageError
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.secret import Secret

LBCLI_API = ManagementApi(
    host="Loadbalancer.org", port=9443, path="/api/v2/", certificate_of="loadbalancer.org",
    listener="ss -ltn", settings="lbcli --action api --function get",
)  # fmt: skip
DUMP = {"action": "list", "function": "dumpconfig"}
FLOATING = {"action": "list", "function": "floatingip"}
_STATUSES = frozenset({"success", "failed", "exists", "missing", "fatal"})
_READING = frozenset({"list", "nodestatus"})
_NEVER = frozenset({"services", "check_password", "check_secret", "check_login"})
_DEEPEST = 24
_SAID = 200
_LINE = re.compile(r"\b(success|failed|exists|missing|fatal)\b", re.IGNORECASE)

LbcliAction = Mapping[str, str]


class LbcliRefused(CommandFailed):
    """An action that was refused; `status` is its word for that."""

    status = ""


class Lbcli:
    """One operator's way to one appliance; there is no login and no session."""

    def __init__(
        self, place: Management, trust: Trust, password: Secret, key: Secret, heard: AnswerHeard | None = None
    ) -> None:
        self.place = place
        self._https = Https(place, trust, heard)
        self._password, self._key = password, key

    def close(self) -> None:
        self._https.close()

    def read(self, action: LbcliAction) -> Any:
        """The answer to an action that changes nothing, as JSON."""
        return self._exchange([action])[0]

    def send(self, actions: Sequence[LbcliAction]) -> None:
        """Actions in order. Raises LbcliRefused for the first that was refused; what is to be deleted and is not there
        counts as deleted, and what is there already as added: whoever sends looks at the configuration afterwards."""
        answer, text = self._exchange(actions)
        told = [one for one in walk(answer) if _status(one)] if text is None else []
        words = _LINE.findall(text) if text is not None else []
        for number, action in enumerate(actions):
            mine = next((one for one in told if one.get("action") == action["action"]), None)
            if mine is None and len(told) == len(actions) - number and "action" not in told[0]:
                mine = told[0]
            if mine is not None:
                told.remove(mine)
            status = _status(mine) if mine is not None else words[number].lower() if number < len(words) else ""
            if status in ("failed", "fatal") or (status == "missing" and not action["action"].startswith("delete-")):
                said = one_line(str((mine or {}).get("message") or (mine or {}).get("error") or ""), _SAID)
                refused = LbcliRefused(
                    f"{self.place.host}: {https.named(shown(action))} was refused.",
                    f"It says: {status}{f': {said}' if said else ''}.", "Look at that service there.",
                )  # fmt: skip
                refused.status = status
                refused.halfway = len(actions) > 1
                raise refused

    def _exchange(self, actions: Sequence[LbcliAction]) -> tuple[Any, str | None]:
        """The answer as JSON, or None and its text where it is none."""
        for action in actions:
            allowed(action)
        changes = any(action["action"] not in _READING for action in actions)
        login = f"{self.place.user}:{self._password.reveal()}".encode()
        headers = {
            "Accept": "application/json", "Content-Type": "application/json",
            "Authorization": f"Basic {b64encode(login).decode()}",
            "X-LB-APIKEY": b64encode(self._key.reveal().encode()).decode(),
        }  # fmt: skip
        what = " and ".join(shown(action) for action in actions)
        status, raw = self._https.exchange(
            "POST", "", json.dumps({"lbcli": [dict(action) for action in actions]}), headers, changes=changes,
            what=https.named(what), largest=https.LARGEST,
        )  # fmt: skip
        if status in (401, 403):
            raise LoginRefused(
                f"{self.place.host}: login as {self.place.user} at {self.place.at} was refused.",
                "It does not say whether user, password or key is wrong.",
                "Check user under [balancer]. On it: lbcli --action api --function get",
            )
        if status == 404:
            raise HostError(
                f"{self.place.host}: {self.place.at} has no API v2.", "It answered HTTP status 404.",
                "Turn the API on there: lbcli --action api --function enable; see lbcli --help",
            )  # fmt: skip
        if status != 200:
            raise HostError(
                f"{self.place.host}: {self.place.at} answered with HTTP status {status}.",
                f"Whether {https.named(what)} was carried out is not known." if changes else "",
                "Try again.",
            )
        try:
            return json.loads(raw), None
        except (ValueError, RecursionError):
            text = raw.decode("utf-8", "replace").strip()
        with contextlib.suppress(ValueError, RecursionError):
            return [json.loads(line) for line in text.splitlines() if line.strip()], None
        if text.startswith(("<", "{", "[")) or not _LINE.search(text):
            what = "something that is neither JSON nor a status"
            raise unreadable(self.place, what, changes=changes)
        return None, text


def allowed(action: LbcliAction) -> None:
    """Raises UsageError for an action that must not reach the appliance: it pastes each value into a shell."""
    for name, value in action.items():
        if name in _NEVER or not HARMLESS_WORD.fullmatch(name) or not HARMLESS_WORD.fullmatch(value):
            raise UsageError(
                f"{one_line(name, 60)} = {one_line(value, 60)} is not sent to the Loadbalancer.org.",
                "Its API gives every value to a shell as it is.",
                "Use letters, digits, “.”, “_”, “:” and “-” alone.",
            )


def shown(action: LbcliAction) -> str:
    """An action in a sentence."""
    return " ".join(action[name] for name in ("action", "vip", "rip", "ip") if name in action)


def _status(found: Mapping[str, Any] | None) -> str:
    status = (found or {}).get("status")
    return status.lower() if isinstance(status, str) and status.lower() in _STATUSES else ""


def walk(answer: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every object of an answer, in order; a text that is JSON counts as what it is."""
    if depth > _DEEPEST:
        return
    if isinstance(answer, str) and answer.lstrip()[:1] in ("{", "["):
        try:
            answer = json.loads(answer)
        except (ValueError, RecursionError):
            return
    if isinstance(answer, dict):
        yield answer
        for value in answer.values():
            yield from walk(value, depth + 1)
    elif isinstance(answer, list):
        for value in answer:
            yield from walk(value, depth + 1)
