"""Validators for single fields of a deployment: each takes a text and returns a `Refusal` or None.

They do not look at other fields (`validate` does) or at hosts. Spaces around a value are ignored. Sources: interface
names, kernel `dev_valid_name` (net/core/dev.c) and the names sysctl keeps for itself (net/ipv4/devinet.c); persistence,
`MAX_TIMEOUT` of ipvsadm, 31 days; weight, ipvsadm(8), 0 to 65535; ports, RFC 6335; login and host names, `valid_ruser`
and `valid_hostname` of OpenSSH since 9.6 (ssh.c; CVE-2023-51385).
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Address, ip_address
from typing import get_args

from dsrwizard.core.intake.problems import Refusal, shown
from dsrwizard.core.model.deployment import IN_KERNEL, SCHEDULERS, Address, EngineName, payload_bytes

MAX_PERSISTENCE = 2_678_400
MAX_WEIGHT = 65_535
MAX_NAME = 63
MAX_INTERFACE = 15
MAX_PAYLOAD = 1400
PROBES = ("dns", "echo")
MAX_PAGE = 200
HEX_PAYLOAD = 'Write the bytes in hexadecimal, for example payload = "hex:00 01 0a".'
RESERVED_NAMES = ("director", "client")
NO_PORT_CHANGE = (
    "Direct routing cannot change ports (it rewrites only the MAC address): the real server must answer on the "
    "service's port."
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)
_HOSTNAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?", re.ASCII)
_DNS_NAME = re.compile(
    r"(?=.{1,253}\Z)(?=.*[A-Za-z])(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*"
    r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?",
    re.ASCII,
)
_SHELL = frozenset("'`\"$;&<>|(){}")
"""Characters with a meaning in a shell, in any position. OpenSSH lets `$` pass in a login name; a shell expands it."""
_NO_HOST = _SHELL | frozenset("\\,*?!#@/")
"""For a host also what has a meaning in known_hosts and in front of a host. OpenSSH refuses the first two of these."""
_MAX_LOGIN = 255
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_DURATION = re.compile(r"([0-9]{1,9})\s*([a-z]+)", re.ASCII | re.IGNORECASE)
_UNITS = {"s": 1, "sec": 1, "seconds": 1, "m": 60, "min": 60, "minutes": 60, "h": 3600, "hours": 3600, "d": 86400}
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_RESERVED_V4 = IPv4Network("240.0.0.0/4")


def parsed(text: str) -> Address | None:
    """The text as an address, or None."""
    try:
        return ip_address(text.strip())
    except ValueError:
        return None


def whole_number(text: str) -> int | None:
    """The text as a whole number, or None."""
    text = text.strip()
    return int(text) if _INTEGER.fullmatch(text) else None


def suggestion(text: str, known: list[str]) -> str:
    """The known word that was probably meant, or an empty text."""
    close = get_close_matches(text.strip().lower(), known, n=1, cutoff=0.6)
    return close[0] if close else ""


def address(text: str) -> Refusal | None:
    """Checks a host's address: one IPv4 or IPv6 address that packets can be sent to."""
    text = text.strip()
    if not text:
        return Refusal("The address is missing.", "Write an IP address, for example 10.0.0.101.")
    ip = parsed(text)
    if ip is None:
        return _not_an_address(text)
    return _unusable(ip, "a host in the network")


def address6(text: str) -> Refusal | None:
    """Checks the IPv6 address of a server whose `address` is IPv4."""
    text = text.strip()
    if not text:
        return None
    ip = parsed(text)
    if ip is not None and ip.version == 4:
        return Refusal(
            f"{ip} is an IPv4 address. This field takes an IPv6 address.", "Write the server's IPv6 address."
        )
    return address(text)


def vip(text: str) -> Refusal | None:
    """Checks a VIP: one IPv4 or IPv6 address without prefix, port or zone."""
    text = text.strip()
    if not text:
        return Refusal("The VIP is missing.", "Write the address clients use, for example 10.0.0.10.")
    ip = parsed(text)
    if ip is not None:
        return _unusable(ip, "a VIP")
    head, slash, _ = text.partition("/")
    ip = parsed(head)
    if slash and ip is not None:
        return Refusal(
            f"A VIP has no prefix length: {shown(text)}.",
            f"Write {ip}: dsrwizard always uses /{ip.max_prefixlen} for a VIP.",
        )
    host, port = _with_port(text)
    if host:
        return Refusal(f"A VIP has no port: {shown(text)}.", f"Write {host} here and {port} as the port of a service.")
    return _not_an_address(text)


def _unusable(ip: Address, role: str) -> Refusal | None:
    mapped = ip.ipv4_mapped if isinstance(ip, IPv6Address) else None
    if mapped is not None:
        return Refusal(f"{ip} is an IPv4 address in IPv6 notation.", f"Write {mapped}.")
    if isinstance(ip, IPv6Address) and ip.scope_id is not None:
        bare = str(ip).partition("%")[0]
        return Refusal(
            f"{ip} has a zone (%{ip.scope_id}).", f"Write an address without %…, not link-local like {bare}."
        )
    why = ""
    if ip.is_unspecified or (ip.version == 4 and ip in _THIS_NETWORK):
        why = "means “no address”"
    elif ip.is_loopback:
        why = "is a loopback address: it never leaves the machine"
    elif ip.is_multicast:
        why = "is a multicast address"
    elif ip.is_link_local:
        why = "is a link-local address: routers do not forward it, and IPVS cannot know its interface"
    elif ip.version == 4 and ip in _RESERVED_V4:
        why = "is a broadcast or reserved address"
    if not why:
        return None
    return Refusal(f"{ip} cannot be {role}: it {why}.", "Write an ordinary unicast address, for example 10.0.0.10.")


def _with_port(text: str) -> tuple[str, str]:
    """`10.0.0.1:80` and `[fd00::1]:80` as address and port; two empty texts for anything else."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+)):([0-9]{1,5})", text, re.ASCII)
    if match is None:
        return "", ""
    host = match[1] or match[2]
    return (host, match[3]) if parsed(host) is not None else ("", "")


def _not_an_address(text: str) -> Refusal:
    head, slash, _ = text.partition("/")
    if slash and parsed(head) is not None:
        return Refusal(
            f"The address has a prefix length: {shown(text)}.", f"Write {head.strip()} without the prefix length."
        )
    host, _port = _with_port(text)
    if host:
        return Refusal(f"The address has a port: {shown(text)}.", f"Write {host}. {NO_PORT_CHANGE}")
    inner = text.strip("[]")
    if inner != text and parsed(inner) is not None:
        return Refusal(f"The address is in brackets: {shown(text)}.", f"Write {inner}.")
    user, at, rest = text.partition("@")
    if at and user and rest and ":" not in user:
        return Refusal("The address has a user name before it.", f"Write {shown(rest)} here and the name as user.")
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if len(parts) > 1 and all(parsed(part) is not None for part in parts):
        return Refusal(
            f"More than one address: {shown(text)}.", "Write one address; add an entry for each of the others."
        )
    if re.fullmatch(r"[0-9.]+", text, re.ASCII):
        groups = text.split(".")
        plain = ".".join(group.lstrip("0") or "0" for group in groups)
        if len(groups) == 4 and plain != text and parsed(plain) is not None:
            return Refusal(f"{shown(text)} has leading zeros.", f"Write {plain}.")
        return Refusal(f"{shown(text)} is not an IPv4 address.", "Write four numbers from 0 to 255, like 10.0.0.101.")
    if "://" in text:
        return Refusal("This is a URL, not an address.", "Write only the IP address, for example 10.0.0.101.")
    if _HOSTNAME.fullmatch(text):
        return Refusal(f"{shown(text)} is a name, not an address.", "Write its IP address; IPVS needs it.")
    return Refusal(f"{shown(text)} is not an IP address.", "Write one like 10.0.0.101 or fd00::101.")


def port(text: str) -> Refusal | None:
    """Checks a service's port, 1 to 65535."""
    if not text.strip():
        return Refusal("The port is missing.", "Write the port clients use, for example 80.")
    return _in_range(text, "port", 1, 65_535, "Write a number from 1 to 65535, for example 80.")


def connection_port(text: str) -> Refusal | None:
    """Checks the port of the connection to a host; empty: the default port."""
    if not text.strip():
        return None
    return _in_range(text, "port", 1, 65_535, "Write this host's SSH port, or leave it out for 22.")


def weight(text: str) -> Refusal | None:
    """Checks a real server's weight, 0 (drained) to 65535."""
    if not text.strip():
        return Refusal("The weight is missing.", "Write 1, or a higher number for a larger share.")
    return _in_range(text, "weight", 0, MAX_WEIGHT, "Write a whole number from 0 (drained) to 65535; 1 is usual.")


def guard(wanted: bool, engine: str) -> Refusal | None:
    """Checks whether a guard can be had with this engine."""
    if wanted and engine not in IN_KERNEL:
        return Refusal(
            "A guard needs IPVS on this machine.", 'Remove guard, or write engine = "netlink". '
            "With another load balancer, use its own health checks.",
        )  # fmt: skip
    return None


def guard_floor(number: int) -> Refusal | None:
    """Checks the share of a service's real servers that a guard leaves in, in per cent."""
    if 1 <= number <= 100:
        return None
    return Refusal(f"{number} is not a share in per cent.", "Write a whole number from 1 to 100; 50 is usual.")


def persistence(text: str) -> Refusal | None:
    """Checks the persistence: how long a client stays on its real server, in whole seconds; 0: off."""
    text = text.strip()
    hint = f"Write whole seconds from 0 (off) to {MAX_PERSISTENCE} (31 days)."
    if not text:
        return Refusal("The persistence is missing.", hint)
    duration = _DURATION.fullmatch(text)
    if duration and duration[2].lower() in _UNITS:
        seconds = int(duration[1]) * _UNITS[duration[2].lower()]
        return Refusal(
            "Persistence is a number of seconds, without a unit.", f"Write {seconds}." if _allowed(seconds) else hint
        )
    return _in_range(text, "persistence", 0, MAX_PERSISTENCE, hint)


def _allowed(seconds: int) -> bool:
    return 0 <= seconds <= MAX_PERSISTENCE


def _in_range(text: str, noun: str, low: int, high: int, hint: str) -> Refusal | None:
    number = whole_number(text)
    if number is None:
        return Refusal(f"{shown(text.strip())} is not a whole number.", hint)
    if not low <= number <= high:
        return Refusal(f"{number} is not a valid {noun}.", hint)
    return None


def protocol(text: str) -> Refusal | None:
    return _one_of(text, "protocol", ["tcp", "udp"])


def engine(text: str) -> Refusal | None:
    return _one_of(text, "engine", list(get_args(EngineName)))


def connect(text: str) -> Refusal | None:
    return _one_of(text, "connection method", ["ssh", "winrm", "manual"])


def winrm(text: str) -> Refusal | None:
    return _one_of(text, "WinRM transport", ["https", "http"])


def auth(text: str) -> Refusal | None:
    return _one_of(text, "WinRM login method", ["ntlm", "kerberos", "basic"])


def system(text: str) -> Refusal | None:
    """Checks the system of a server set up by hand; empty: not set."""
    return _one_of(text, "system", ["linux", "windows-2003", "windows-2008", "windows-2012"]) if text else None


def ca_file(text: str) -> Refusal | None:
    """Checks the path of a CA certificate. The value is never quoted, because people paste the certificate itself
    here."""
    if "-----BEGIN" in text:
        return Refusal(
            "This is the certificate itself, not a path.", "Write the path of its file, for example ~/ca.pem."
        )
    if not text.strip().isprintable():
        return Refusal("The path contains characters that are not allowed in a path.", "Write for example ~/ca.pem.")
    return None


def dns_name(text: str) -> Refusal | None:
    """Checks the name of a Windows server in its certificate and in Kerberos; empty: none."""
    text = text.strip()
    if not text:
        return None
    if parsed(text.strip("[]")) is not None:
        return Refusal(
            "dns_name is a name, not an address.", "Write the server's full name, for example web1.corp.example."
        )
    if not _DNS_NAME.fullmatch(text):
        return Refusal(
            f"{shown(text)} is not a host name.", "Write the server's full name, for example web1.corp.example."
        )
    return None


def kerberos_service(text: str) -> Refusal | None:
    """Checks the service a Kerberos ticket is for; empty: WSMAN, then HTTP."""
    return _one_of(text, "Kerberos service", ["WSMAN", "HTTP"]) if text else None


def look_seconds(text: str) -> Refusal | None:
    """Checks the seconds that a look at a Windows server may take."""
    hint = "Write whole seconds from 20 to 900; 60 is usual."
    if not text.strip():
        return Refusal("The seconds for a look are missing.", hint)
    return _in_range(text, "look_seconds", 20, 900, hint)


def kerberos_user(text: str) -> Refusal | None:
    """Checks a login that Kerberos is to know: a local account is not in the domain."""
    if text.strip().startswith(".\\"):
        return Refusal(
            "Kerberos has no local accounts.",
            'Write user@REALM, or leave user out for the ticket at hand. Or auth = "ntlm".',
        )
    return None


def probe(text: str) -> Refusal | None:
    """Checks how a UDP service is probed; empty: chosen by its port."""
    if not text or text in PROBES:
        return None
    meant = suggestion(text, list(PROBES))
    hint = f'Did you mean "{meant}"?' if meant else 'Write "dns" or "echo", or what to send as payload = "…".'
    return Refusal(f"{shown(text)} is not a kind of probe.", hint)


def payload(text: str) -> Refusal | None:
    """Checks the payload for a UDP service; empty: chosen by its port. It is never quoted, because it may contain a
    community string or a token."""
    if not text:
        return None
    try:
        size = len(payload_bytes(text))
    except UnicodeEncodeError:
        return Refusal("The payload contains characters that cannot be sent.", HEX_PAYLOAD)
    except ValueError:
        return Refusal("The text after hex: is not made of pairs of hexadecimal digits.", HEX_PAYLOAD)
    if not text.isprintable():
        return Refusal("The payload contains control characters.", HEX_PAYLOAD)
    if not size:
        return Refusal("The payload is empty.", 'Write what to send, for example payload = "ping".')
    if size > MAX_PAYLOAD:
        return Refusal(
            f"The payload is {size} bytes long.", f"Write at most {MAX_PAYLOAD} bytes: it is sent in one packet."
        )
    return None


def page(text: str) -> Refusal | None:
    """Checks the path that is asked for by HTTP; empty: "/". RFC 3986 3.3 and 3.4."""
    if not text:
        return None
    if not text.startswith("/") or not text.isascii() or not text.isprintable() or " " in text:
        return Refusal(f"{shown(text)} is not a path.", 'Write it as in a URL, for example page = "/large.html".')
    if len(text) > MAX_PAGE:
        return Refusal(f"The page has {len(text)} characters.", f"Write at most {MAX_PAGE}.")
    return None


def scheduler(text: str) -> Refusal | None:
    """Checks an IPVS scheduler, by its kernel name."""
    return _one_of(text, "IPVS scheduler", list(SCHEDULERS))


def _one_of(text: str, noun: str, known: list[str]) -> Refusal | None:
    if text in known:
        return None
    meant = suggestion(text, known)
    hint = f'Did you mean "{meant}"?' if meant else f"Write one of {', '.join(known)}."
    return Refusal(f"{shown(text)} is not a known {noun}.", hint)


def name(text: str) -> Refusal | None:
    """Checks a deployment's name: it is used in file names and messages."""
    text = text.strip()
    if not text:
        return Refusal("The name is missing.", "Write a short name, for example web1.")
    if len(text) > MAX_NAME:
        return Refusal(f"The name is {len(text)} characters long.", f"Write at most {MAX_NAME}.")
    if not _NAME.fullmatch(text):
        return Refusal(
            f"{shown(text)} is not a valid name.",
            "Use letters (a-z), digits, “-”, “_” and “.”, starting with a letter or digit.",
        )
    return None


def server_name(text: str) -> Refusal | None:
    """Checks a real server's name: as `name`, and not reserved for another host."""
    if text.strip().lower() in RESERVED_NAMES:
        return Refusal(f"{shown(text.strip())} is a reserved name.", "Write another name, for example web1.")
    return name(text)


def interface(text: str) -> Refusal | None:
    """Checks a network interface name by Linux rules, without the suffixes that tools print after it."""
    text = text.strip()
    if not text:
        return Refusal("The interface is missing.", "Write its name as `ip link` shows it, for example eth0.")
    for mark, what in ((":", "an alias label"), ("@", "what `ip link` prints after the name")):
        head = text.partition(mark)[0]
        if mark in text and interface_name(head):
            return Refusal(f"{shown(text)} contains {what}.", f"Write {head}.")
    if len(text.encode("utf-8", "replace")) > MAX_INTERFACE:
        return Refusal(f"{shown(text)} is too long for an interface name.", f"Linux allows {MAX_INTERFACE} characters.")
    if not interface_name(text):
        return Refusal(
            f"{shown(text)} is not a valid interface name.",
            "Write a name as `ip link` shows it: letters, digits, “-”, “_” and “.”.",
        )
    return None


def interface_name(text: str) -> bool:
    """Whether Linux accepts this as an interface name and sysctl can address it."""
    return (
        len(text) <= MAX_INTERFACE
        and re.fullmatch(r"[A-Za-z0-9_.+-]+", text, re.ASCII) is not None
        and text not in (".", "..", "all", "default")
        and not text.startswith("-")
    )


def director_interface(text: str) -> Refusal | None:
    """Checks the director's interface in the real servers' network."""
    if text.strip() == "lo":
        return Refusal(
            "lo cannot reach other hosts.", "Write the interface in the real servers' network, for example eth0."
        )
    return interface(text)


def vip_interface(text: str) -> Refusal | None:
    """Checks the interface that holds the VIP on a real server: `lo` or a dummy interface."""
    if not text.strip():
        return Refusal("The interface for the VIP is missing.", 'Write "lo", or the name of a dummy interface.')
    return interface(text)


def user(text: str) -> Refusal | None:
    """Checks a login name; empty: taken from ssh's configuration. It is never quoted, because people paste passwords
    here."""
    text = text.strip()
    if not text or login_name(text):
        return None
    if _SHELL & set(text):
        return Refusal(
            "This is not a valid login name: it contains a character with a meaning in a shell.",
            "Write only the name, for example root.",
        )
    return Refusal(
        "This is not a valid login name.", "Write only the name, for example root. dsrwizard asks for passwords."
    )


def login_name(text: str) -> bool:
    """Whether this may be sent to a host as the name to log in with, and stand in a command of ~/.ssh/config."""
    return _word(text) and ":" not in text and not _SHELL & set(text) and not text.endswith("\\")


def host_name(text: str) -> bool:
    """Whether this may be looked up as a host, written to known_hosts, and stand in a command of ~/.ssh/config.

    IPv6 addresses are, without brackets and with or without a zone.
    """
    return _word(text) and not _NO_HOST & set(text)


def _word(text: str) -> bool:
    """Whether this is one word that no program takes for an option."""
    return 0 < len(text) <= _MAX_LOGIN and text.isprintable() and " " not in text and not text.startswith("-")


def identity_file(text: str) -> Refusal | None:
    """Checks the path of a private key. The value is never quoted, because people paste the key itself here."""
    if "-----BEGIN" in text or "PRIVATE KEY" in text:
        return Refusal(
            "This is the private key itself, not a path.", "Write the path of its file, for example ~/.ssh/id_ed25519."
        )
    if not text.strip().isprintable():
        return Refusal(
            "The path contains characters that are not allowed in a path.", "Write for example ~/.ssh/id_ed25519."
        )
    if "${" in text:
        return Refusal("Environment variables are not expanded here.", "Write the full path.")
    return None
