"""How one host is reached: deployment, SSH configuration and defaults put together, in that order of weight."""

from __future__ import annotations

import getpass
import os
import re
import socket
from dataclasses import dataclass
from pathlib import Path

from backends.ssh.config import Settings, Value, broken, home, lookup
from dsrwizard.core.model import Client, RealServer

CONNECT_TIMEOUT = 8.0
"""Seconds for TCP connect and SSH banner together, unless ConnectTimeout says otherwise."""
_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa")
_GLOBAL_KNOWN = (Path("/etc/ssh/ssh_known_hosts"), Path("/etc/ssh/ssh_known_hosts2"))


@dataclass(frozen=True, slots=True)
class Route:
    """Everything needed to reach and log in to one host. `host` is its name in messages; timeout in seconds."""

    host: str
    address: str
    port: int
    user: str
    required_key: Path | None
    """The deployment's identity_file: it must be there."""
    key_files: tuple[Path, ...]
    """Further keys, those of the configuration first; missing ones are passed over, as ssh does."""
    identities_only: bool
    jumps: tuple[str, ...]
    proxy_command: str | None
    known_name: str
    """HostKeyAlias, or empty: then the address and port are the name."""
    user_known: tuple[Path, ...]
    global_known: tuple[Path, ...]
    hash_names: bool
    timeout: float

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


def route_to(host: str, target: RealServer | Client) -> Route:
    """The route to a real server or the client host. Raises HostError for a broken configuration."""
    name = target.name if isinstance(target, RealServer) else ""
    settings = lookup(target.address, name, target.user)
    return _route(host, target.address, settings, target.user, target.port, target.identity_file)


def route_to_hop(hop: str, before: tuple[str, ...]) -> Route:
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
) -> Route:
    def text(key: str) -> str | None:
        return settings[key][0].text if key in settings else None

    hostname = text("hostname")
    address = _tokens(hostname, {"h": given}) if hostname else given
    user = user or text("user") or getpass.getuser()
    port = port or _number(settings, "port", 1, 65535) or 22
    tokens = {"h": address, "n": given, "p": str(port), "r": user, "u": getpass.getuser(), "d": str(home())}
    tokens |= {"l": socket.gethostname(), "i": str(os.getuid()), "k": text("hostkeyalias") or given}
    keys = [_path(value.text, tokens) for value in settings.get("identityfile", []) if value.text.lower() != "none"]
    if "identityfile" not in settings:
        keys = [home() / ".ssh" / key for key in _DEFAULT_KEYS]
    jump, command = _first(settings, "proxyjump", "proxycommand")
    # `Host *` with `ProxyJump bastion` matches the bastion, too; ssh does not jump to a host through itself either.
    hops = tuple(_tokens(hop.strip(), tokens) for hop in jump.split(",")) if jump else ()
    user_known = settings["userknownhostsfile"][0].words if "userknownhostsfile" in settings else ()
    global_known = settings["globalknownhostsfile"][0].words if "globalknownhostsfile" in settings else ()
    return Route(
        host=host,
        address=address,
        port=port,
        user=user,
        required_key=_path(identity, tokens) if identity else None,
        key_files=tuple(dict.fromkeys(keys)),
        identities_only=(text("identitiesonly") or "no").lower() == "yes",
        jumps=() if hops and _hop_parts(hops[-1])[1].lower() == given.lower() else hops,
        proxy_command=_tokens(command, tokens) if command else None,
        known_name=(text("hostkeyalias") or "").lower(),
        user_known=_files(user_known, tokens) if user_known else (home() / ".ssh" / "known_hosts",),
        global_known=_files(global_known, tokens) if global_known else _GLOBAL_KNOWN,
        hash_names=(text("hashknownhosts") or "no").lower() == "yes",
        timeout=float(_number(settings, "connecttimeout", 1, 3600) or CONNECT_TIMEOUT),
    )


def _hop_parts(hop: str) -> tuple[str | None, str, int | None]:
    spec = hop.removeprefix("ssh://").rstrip("/")
    user, _, place = spec.rpartition("@")
    found = re.fullmatch(r"\[(?P<v6>[^]]+)\](?::(?P<p6>\d+))?|(?P<host>[^:]+)(?::(?P<port>\d+))?|(?P<bare>.+)", place)
    if not found:
        raise broken("ProxyJump", f"“{hop}” is no host")
    port = found["p6"] or found["port"]
    return user or None, found["v6"] or found["host"] or found["bare"], int(port) if port else None


def _first(settings: Settings, *keys: str) -> tuple[str | None, ...]:
    """ProxyJump and ProxyCommand exclude each other; `none` turns both off (ssh_config(5))."""
    for key in keys:
        if key in settings:
            value = settings[key][0].text
            return tuple(value if each == key and value.lower() != "none" else None for each in keys)
    return tuple(None for _ in keys)


def _number(settings: Settings, key: str, lowest: int, highest: int) -> int | None:
    if key not in settings:
        return None
    value = settings[key][0]
    if value.text.lower() == "none":
        return None
    if not value.text.isdecimal() or not lowest <= int(value.text) <= highest:
        raise broken(value.place, f"“{value.text}” is no number from {lowest} to {highest}")
    return int(value.text)


def _tokens(text: str, tokens: dict[str, str]) -> str:
    text = re.sub(r"\$\{(\w+)\}", lambda found: os.environ.get(found[1], ""), text)
    return re.sub(r"%(.)", lambda found: "%" if found[1] == "%" else tokens.get(found[1], found[0]), text)


def _path(text: str, tokens: dict[str, str]) -> Path:
    return Path(_tokens(text, tokens)).expanduser()


def _files(words: tuple[str, ...], tokens: dict[str, str]) -> tuple[Path, ...]:
    return tuple(_path(word, tokens) for word in words if word.lower() != "none")
