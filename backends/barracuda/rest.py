"""One look at a Barracuda: a login, and one request that changes nothing.

Sources, none of them the maker's reference: gist lewiryan/7dd1f1c5 for login, token and paths of v2; PHP status pages
against `/restapi/v2`, which send the login as a form; the REST documentation of the sister product WAF for the token as
the user of Basic authentication. How to log out is not known: the token ends by itself. Password and token are in no
message.
"""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any
from urllib.parse import urlencode

from backends.appliance import door, https
from backends.appliance.door import Management, ManagementApi, shown_certificate
from backends.appliance.https import Https, unreadable
from backends.memory import Memory, memory_of
from backends.winrm.trust import check_certificate
from dsrwizard.core.model.deployment import Balancer
from dsrwizard.core.model.errors import DsrError, HostError, LoginRefused, LookError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import Asker, SecretQuestion

BARRACUDA_API = ManagementApi(
    host="Barracuda", port=443, path="/restapi/v2", certificate_of="barracuda",
    listener="its web interface, ADVANCED > Secure Administration", settings="ADVANCED > Secure Administration",
)  # fmt: skip
GROUPS = "/virtual_service_groups"
TRIES = 2
"""How often the password is asked for."""


def read(balancer: Balancer, asker: Asker) -> Any:
    """The services of the first address that answers."""
    problems: list[DsrError] = []
    for address in balancer.addresses:
        try:
            place = door.management(BARRACUDA_API, balancer, address)
            session = Https(place, check_certificate(place, shown_certificate(place), asker))
            try:
                token = _logged_in(session, place, balancer, asker, memory_of(asker))
                return _got(session, place, token)
            finally:
                session.close()
        except LoginRefused:
            raise
        except DsrError as problem:
            problems.append(problem)
    raise problems[0] if problems else LookError("[balancer] has no address.")


def _logged_in(session: Https, place: Management, balancer: Balancer, asker: Asker, memory: Memory) -> Secret:
    slot = ("barracuda", place.user, balancer.addresses)
    question = SecretQuestion(kind="balancer", host=place.host, user=place.user, detail=f"at {place.at}")
    wrong: Secret | None = None
    for _ in range(TRIES):
        secret = memory.obtain(asker, slot, question, wrong)
        if secret is None:
            break
        token = _token(session, place, secret)
        if token is not None:
            return token
        wrong = secret
    memory.drop(slot, wrong)
    raise LoginRefused(
        f"{place.host}: login as {place.user} at {place.at} was refused.",
        f"{TRIES} passwords were tried." if wrong is not None else "No password was given.",
        "Check user under [balancer]: a local account of the Barracuda with rights to its API.",
    )  # fmt: skip


def _token(session: Https, place: Management, password: Secret) -> Secret | None:
    """None: refused. As JSON, then as a form: nobody knows which firmware takes which."""
    given = {"username": place.user, "password": password.reveal()}
    forms = (("application/json", json.dumps(given)), ("application/x-www-form-urlencoded", urlencode(given)))
    status = 0
    for kind, text in forms:
        headers = {"Accept": "application/json", "Content-Type": kind}
        status, raw = session.exchange("POST", "/login", text, headers, changes=True, what="the login")
        if status == 404:
            raise HostError(
                f"{place.host}: {place.at} has no REST API v2.", "It answered HTTP status 404.",
                "Look which version of the API its firmware has. Its checklist needs none: dsrwizard runbook FILE",
            )  # fmt: skip
        if status in (200, 201):
            token = _parsed(place, raw)
            found = token.get("token") if isinstance(token, dict) else None
            if isinstance(found, str) and found:
                return Secret(found)
    if status in (400, 401, 403):
        return None
    raise unreadable(place, f"HTTP status {status} to the login, and no token", changes=False)


def _got(session: Https, place: Management, token: Secret) -> Any:
    login = b64encode(f"{token.reveal()}:".encode()).decode()
    headers = {"Accept": "application/json", "Authorization": f"Basic {login}"}
    status, raw = session.exchange("GET", GROUPS, None, headers, changes=False, what=https.named(f"GET {GROUPS}"))
    if status in (401, 403):
        raise HostError(
            f"{place.host}: {place.at} did not show its services to {place.user}.",
            f"It answered HTTP status {status}.",
            "Give that account rights to its services, or use the checklist: dsrwizard runbook FILE",
        )  # fmt: skip
    if status != 200:
        raise HostError(f"{place.host}: {place.at} answered with HTTP status {status}.", "", "Try again.")
    return _parsed(place, raw)


def _parsed(place: Management, raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise unreadable(place, "something that is not JSON", changes=False) from None
