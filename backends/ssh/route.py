"""How one host is reached: deployment, SSH configuration and defaults put together, in that order of weight."""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from backends.ssh import expand
from backends.ssh.algorithms import Algorithms, allowed
from backends.ssh.config import Settings, Value, broken, home, lookup
from backends.ssh.expand import File, Unfit
from dsrwizard.core.intake import fields
from dsrwizard.core.model.deployment import Client, RealServer
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.foreign import one_line
from dsrwizard.core.model.words import capital

CONNECT_TIMEOUT = 8.0
"""Seconds for TCP connect and SSH banner together, unless ConnectTimeout says otherwise."""
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_GLOBAL_KNOWN = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))
_DEPLOYMENT = "the deployment"
_DIGITS = 9
_Put = TypeVar("_Put")


@dataclass(frozen=True, slots=True)
class SshRoute:
    """Everything needed to reach and log in to one host. `host` is its name in messages; timeout in seconds."""

    host: str
    address: str
    port: int
    user: str
    required_key: File | None
    """The deployment's identity_file: it must be there."""
    key_files: tuple[File, ...]
    """Further keys, those of the configuration first; missing ones are passed over, as ssh does."""
    identities_only: bool
    jumps: tuple[str, ...]
    proxy_command: str | None
    known_name: str
    """HostKeyAlias, or empty: then the address and port are the name."""
    user_known: tuple[File, ...]
    global_known: tuple[File, ...]
    hash_names: bool
    timeout: float
    asks_dns: bool
    """Whether DNS may be asked for its host key: unless VerifyHostKeyDNS says no."""
    algorithms: Algorithms
    given: str
    """The address as the deployment or ProxyJump has it, by which the configuration finds this host."""

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names under which known_hosts may have the key, the one to write first (sshd(8))."""
        if self.known_name:
            return (self.known_name,)
        name = self.address.lower()
        return (name,) if self.port == 22 else (f"[{name}]:{self.port}", name)

    @property
    def at(self) -> str:
        """Address and port, for messages."""
        return self.address if self.port == 22 else f"{bracketed(self.address)} port {self.port}"


def bracketed(address: str) -> str:
    """An IPv6 address in brackets, anything else as it is."""
    return f"[{address}]" if ":" in address else address


def route_to(host: str, target: RealServer | Client) -> SshRoute:
    """The route to a real server or the client host. Raises HostError for a broken configuration, and for a name that
    no host or login can have."""
    name = target.name if isinstance(target, RealServer) else ""
    _check_host(host, target.address, _DEPLOYMENT)
    if target.user:
        _check_user(host, target.user, _DEPLOYMENT)
    settings = lookup(target.address, name, target.user)
    return _route(host, target.address, settings, target.user, target.port, target.identity_file)


def route_to_hop(hop: str, before: tuple[str, ...]) -> SshRoute:
    """The route to a jump host written as `[user@]host[:port]` or `ssh://…`, itself reached through `before`.

    Without `before` the jump host's own ProxyJump or ProxyCommand counts, as in ssh.
    """
    user, address, port = _hop_parts(hop)
    settings = lookup(address, "", user)
    if before:
        settings.pop("proxycommand", None)
        settings["proxyjump"] = [Value((",".join(before),), "ProxyJump")]
    return _route(f"jump host {hop}", address, settings, user, port, None)


def _route(
    host: str, given: str, settings: Settings, user: str | None, port: int | None, identity: str | None
) -> SshRoute:
    found = _Settings(settings)
    address = given
    if hostname := found.first("hostname"):
        address = _put(hostname.place, expand.with_tokens, hostname.text, {"h": given}, expand.IN_HOSTNAME)
        _check_host(host, address, hostname.place)
    if not user:
        setting = found.first("user")
        user = setting.text if setting else getpass.getuser()
        _check_user(host, user, setting.place if setting else "LOGNAME or USER of the environment")
    alias = found.first("hostkeyalias")
    if alias:
        _check_host(host, alias.text, alias.place)
    port = port or found.number("port", 1, 65535) or 22
    jump, command = found.either("proxyjump", "proxycommand")
    tokens = _tokens(given, address, port, user, alias.text if alias else given, jump.text if jump else "")
    hops = _put(jump.place, expand.with_tokens, jump.text, tokens, expand.IN_PROXY).split(",") if jump else []
    jumps = tuple(hop.strip() for hop in hops)
    return SshRoute(
        host=host,
        address=address,
        port=port,
        user=user,
        required_key=_identity(host, identity, tokens) if identity else None,
        key_files=found.files("identityfile", tokens, *(home() / ".ssh" / key for key in _DEFAULT_KEYS)),
        identities_only=found.yes("identitiesonly"),
        # `Host *` with `ProxyJump bastion` matches the bastion, too; ssh does not jump to a host through itself either.
        jumps=() if jumps and _hop_parts(jumps[-1])[1].lower() == given.lower() else jumps,
        proxy_command=_put(command.place, expand.proxy_command, command.text, tokens) if command else None,
        known_name=alias.text.lower() if alias else "",
        user_known=found.files("userknownhostsfile", tokens, home() / ".ssh" / "known_hosts"),
        global_known=found.files("globalknownhostsfile", None, *_GLOBAL_KNOWN),
        hash_names=found.yes("hashknownhosts"),
        timeout=float(found.number("connecttimeout", 1, 3600) or CONNECT_TIMEOUT),
        asks_dns=not ((asks := found.first("verifyhostkeydns")) and asks.text.lower() == "no"),
        algorithms=allowed(found.first),
        given=given,
    )


class _Settings:
    """The settings found for one host, read one by one. Raises HostError that names file and line."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def first(self, key: str) -> Value | None:
        return self._settings[key][0] if key in self._settings else None

    def yes(self, key: str) -> bool:
        value = self.first(key)
        return value is not None and value.text.lower() == "yes"

    def either(self, *keys: str) -> tuple[Value | None, ...]:
        """ProxyJump and ProxyCommand exclude each other: the first to be found counts, `none` turns both off."""
        key = next((each for each in self._settings if each in keys), "")
        value = self.first(key)
        if value is None or value.text.lower() == "none":
            return tuple(None for _ in keys)
        return tuple(value if each == key else None for each in keys)

    def number(self, key: str, lowest: int, highest: int) -> int | None:
        value = self.first(key)
        if value is None or value.text.lower() == "none":
            return None
        if not value.text.isdecimal() or len(value.text) > _DIGITS or not lowest <= int(value.text) <= highest:
            raise broken(value.place, f"“{one_line(value.text, 40)}” is not a number from {lowest} to {highest}")
        return int(value.text)

    def files(self, key: str, tokens: dict[str, str] | None, *default: Path) -> tuple[File, ...]:
        """The files a keyword names, `none` being no file. Without `tokens` nothing is put into their names but `~`."""
        if key not in self._settings:
            return tuple(expand.plain_path(path) for path in default)
        # IdentityFile stands several times with one file each, the others once with several.
        named = [
            (value.place, word)
            for value in self._settings[key]
            for word in ([value.text] if key == "identityfile" else value.words)
            if word.lower() != "none"
        ]
        return tuple(dict.fromkeys(_put(place, expand.file, word, tokens) for place, word in named))


def _put(place: str, how: Callable[..., _Put], *given: object) -> _Put:
    """What `how` makes of a value that stands at `place`. Raises HostError where it is unfit."""
    try:
        return how(*given)
    except Unfit as why:
        raise broken(place, str(why)) from why


def _tokens(given: str, address: str, port: int, user: str, key_name: str, jump: str) -> dict[str, str]:
    """The %-tokens of ssh_config(5). %C is a hash that programs use to tell connections apart."""
    local = socket.gethostname()
    told = f"{local}{address}{port}{user}{jump}".encode("utf-8", "surrogateescape")
    connection = hashlib.sha1(told, usedforsecurity=False).hexdigest()
    tokens = {"h": address, "n": given, "p": str(port), "r": user, "k": key_name, "j": jump, "C": connection}
    here = {"d": str(home()), "i": str(os.getuid()), "u": getpass.getuser(), "l": local, "L": local.partition(".")[0]}
    return tokens | here


def _identity(host: str, identity: str, tokens: dict[str, str]) -> File:
    """The deployment's identity_file, which knows no variables of the environment."""
    try:
        return expand.file(identity, tokens, variables=False)
    except Unfit as why:
        raise HostError(
            f"{host}: its identity_file cannot be used.",
            f"{capital(str(why))}.",
            "Correct it in the deployment.",
        ) from why


def _check_host(host: str, name: str, place: str) -> None:
    if not fields.host_name(name):
        raise HostError(
            f"{host}: “{one_line(name, 60)}” cannot be the name of a host.",
            "It begins with “-”, or has a space or a character that means something to a shell or in known_hosts.",
            f"Correct it in {one_line(place)}.",
        )


def _check_user(host: str, name: str, place: str) -> None:
    """The name is not quoted: people paste passwords there."""
    if not fields.login_name(name):
        raise HostError(
            f"{host}: the user name to log in with is refused.",
            "It begins with “-”, or has a space, a colon or a character that means something to a shell.",
            f"Correct it in {one_line(place)}.",
        )


def _hop_parts(hop: str) -> tuple[str | None, str, int | None]:
    """User, address and port of a jump host. Raises HostError where one of them is none."""
    spec = hop.removeprefix("ssh://").rstrip("/")
    user, _, place = spec.rpartition("@")
    found = re.fullmatch(
        r"\[(?P<v6>[^]]+)\](?::(?P<p6>[0-9]{1,5}))?|(?P<host>[^:]+)(?::(?P<port>[0-9]{1,5}))?|(?P<bare>[^/]+)", place
    )
    port = int((found and (found["p6"] or found["port"])) or 22)
    if not found or not 1 <= port <= 65535:
        raise broken("ProxyJump", f"“{one_line(hop, 60)}” is not a host name")
    address = found["v6"] or found["host"] or found["bare"]
    _check_host("A jump host", address, "ProxyJump of the SSH configuration")
    if user:
        _check_user("A jump host", user, "ProxyJump of the SSH configuration")
    return user or None, address, port if found["p6"] or found["port"] else None
