"""A Barracuda ADC: its REST API v2 over TLS on loopback, as far as anybody has told. Whoever writes makes an error.

The login, the token as the user of Basic authentication and the path are what others' scripts use; how a service looks
is no document's, so its shape is a switch (`BarracudaManners`).
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.https_box import HttpsNodes, Reply

BARRACUDA_USER, BARRACUDA_PASSWORD = "api-reader", "pa&ss=w/ört of it"
_TOKEN = "eyJldCI6IjE0NzM5=:secret-token"


@dataclass
class BarracudaManners:
    """Behaviour that is not verified."""

    form: bool = False
    """The login is a form, and JSON is refused with status 400."""
    switch: str = "direct_server_return"
    """What the field is called; empty: it is not told."""
    words: tuple[str, str] = ("Enable", "Disable")
    wrapped: bool = True
    """Objects of one kind are keyed by their names below `data`; otherwise they are lists."""
    dashes: bool = False
    number: bool = False
    """Ports and weights are numbers."""


@dataclass
class BarracudaServer:
    name: str
    address: str
    status: str = "enable"
    weight: int = 1
    direct: bool = True


class FakeBarracuda:
    """`requests` has method and path of each; `errors` what nobody may send."""

    def __init__(self, certificate: Path, manners: BarracudaManners | None = None) -> None:
        self.manners = manners or BarracudaManners()
        self.kind = "Layer 4 - TCP"
        self.vip, self.port_of_service = "10.0.0.10", 80
        self.servers: list[BarracudaServer] = []
        self.requests: list[tuple[str, str]] = []
        self.errors: list[str] = []
        self.status = 200
        """Of its answer about services."""
        self.missing = False
        """It has no REST API v2."""
        self.page = b""
        """What it answers in place of its services."""
        self._nodes = HttpsNodes(certificate, certificate, 1, self._reply, b"<html>Barracuda: log in</html>")
        self.address, self.port = self._nodes.addresses[0], self._nodes.port

    def close(self) -> None:
        self._nodes.close()

    def _reply(self, node: int, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> Reply:
        self.requests.append((method, path))
        if self.missing:
            return Reply(404, b"not found")
        if (method, path) == ("POST", "/restapi/v2/login"):
            return self._login(headers.get("Content-Type", ""), raw.decode())
        if (method, path) != ("GET", "/restapi/v2/virtual_service_groups"):
            self.errors.append(f"{method} {path}")
            return Reply(405, b"{}")
        if headers.get("Authorization") != f"Basic {b64encode(f'{_TOKEN}:'.encode()).decode()}":
            return Reply(401, b'{"error":{"msg":"Please log in to get valid token"}}')
        return Reply(self.status, self.page or json.dumps(self._services()).encode())

    def _login(self, kind: str, text: str) -> Reply:
        if self.manners.form is not kind.startswith("application/x-www-form-urlencoded"):
            return Reply(400, b'{"error":{"msg":"bad request"}}')
        given = {key: values[0] for key, values in parse_qs(text).items()} if self.manners.form else json.loads(text)
        if (given.get("username"), given.get("password")) != (BARRACUDA_USER, BARRACUDA_PASSWORD):
            return Reply(401, b'{"error":{"msg":"invalid credentials"}}')
        return Reply(200, json.dumps({"token": _TOKEN}).encode())

    def _several(self, kind: str, found: list[dict[str, Any]]) -> Any:
        return {"object": kind, "data": {one["name"]: one for one in found}} if self.manners.wrapped else found

    def _told(self, fields: dict[str, Any]) -> dict[str, Any]:
        made = {key: str(value) if isinstance(value, int) and not self.manners.number else value
                for key, value in fields.items()}  # fmt: skip
        return {key.replace("_", "-"): value for key, value in made.items()} if self.manners.dashes else made

    def _services(self) -> Any:
        servers = []
        for one in self.servers:
            switch = {self.manners.switch: self.manners.words[0 if one.direct else 1]} if self.manners.switch else {}
            servers.append(self._told({
                "name": one.name, "ip_address": one.address, "port": self.port_of_service, "status": one.status,
                "weight": one.weight, "backup_server": "No",
            } | switch))  # fmt: skip
        shop = self._told({"name": "shop", "ip_address": self.vip, "port": self.port_of_service, "type": self.kind})
        shop["servers"] = self._several("Server", servers)
        mail = self._told({"name": "mail", "ip_address": "10.0.9.10", "port": 25, "type": "TCP Proxy"})
        mail["servers"] = self._several("Server", [self._told({"name": "m1", "ip_address": "10.0.9.1", "port": 25})])
        services = self._several("Virtual Service", [mail, shop])
        return self._several("Virtual Service Group", [{"name": "default", "virtual_services": services}])
