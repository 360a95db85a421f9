"""Which ciphers, MACs, key exchanges and kinds of key may be used: what is safe, and what ssh_config(5) says instead.

CBC, 3DES, MD5 and SHA-1 are in no default. Those of them that exist here can be allowed for one old host in the SSH
configuration, with the keywords and the lists of ssh: `+`, `-`, `^`, `*` and `?`. Names that do not exist here are
passed over: an OpenSSH has many that paramiko has not. A list of which nothing is left is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from backends.ssh.config import Value, broken, matches
from dsrwizard.core.model.errors import HostError
from dsrwizard.core.model.foreign import one_line


@dataclass(frozen=True, slots=True)
class AlgorithmKind:
    """One sort of algorithm: its keyword in ssh_config(5), the words for it, what is safe, what is not but exists here.

    `why` says as a clause what is refused and for what reason.
    """

    keyword: str
    noun: str
    safe: tuple[str, ...]
    weak: tuple[str, ...] = ()
    why: str = ""


CIPHERS = AlgorithmKind(
    "Ciphers",
    "cipher",
    ("aes128-ctr", "aes192-ctr", "aes256-ctr", "aes128-gcm@openssh.com", "aes256-gcm@openssh.com"),
    ("aes256-cbc", "aes192-cbc", "aes128-cbc", "3des-cbc"),
    "CBC mode and 3DES leak parts of a session (CVE-2008-5161, CVE-2016-2183)",
)
MACS = AlgorithmKind(
    "MACs",
    "MAC",
    ("hmac-sha2-256", "hmac-sha2-512", "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com"),
    ("hmac-sha1", "hmac-sha1-96", "hmac-md5", "hmac-md5-96"),
    "MD5 and SHA-1 are broken hashes, and MACs ending in -96 are truncated as well",
)
KEX = AlgorithmKind(
    "KexAlgorithms",
    "key exchange",
    # curve25519 first: it costs a tenth of what larger groups do, which counts with 50 hosts on two cores.
    (
        *("curve25519-sha256", "curve25519-sha256@libssh.org", "mlkem768x25519-sha256"),
        *("ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "diffie-hellman-group16-sha512"),
        *("diffie-hellman-group-exchange-sha256", "diffie-hellman-group14-sha256"),
    ),
    why="SHA-1 is a broken hash, and group1 has 1024 bits only",
)
_KEYS = (
    *("ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"),
    *("rsa-sha2-512", "rsa-sha2-256"),
)
HOST_KEYS = AlgorithmKind(
    "HostKeyAlgorithms",
    "host key algorithm",
    _KEYS,
    why="ssh-rsa signs with SHA-1, a broken hash, and ssh-dss keys are too short",
)
PUBLIC_KEYS = AlgorithmKind(
    "PubkeyAcceptedAlgorithms",
    "key algorithm",
    (*_KEYS, "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"),
)
_OLD_KEYWORDS = {"PubkeyAcceptedAlgorithms": "pubkeyacceptedkeytypes"}
_SIGNED_BY = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}
_SAFEST = ("curve25519-sha256", "ssh-ed25519", "aes128-ctr", "hmac-sha2-256")
_WEAK = re.compile(r"sha1|ssh-rsa|ssh-dss|cbc|3des|arcfour|md5|-96|group1-")
_NO_ALGORITHM = ("ext-info-", "kex-strict-")
"""What stands among the key exchanges and is none (RFC 8308; OpenSSH, PROTOCOL)."""
_NAMED = 12
"""How many of a server's algorithms a message names."""


@dataclass(frozen=True, slots=True)
class Algorithms:
    """What may be used with one host, the preferred first. `places`: where the configuration says so, by keyword."""

    ciphers: tuple[str, ...]
    macs: tuple[str, ...]
    kex: tuple[str, ...]
    host_keys: tuple[str, ...]
    public_keys: tuple[str, ...]
    known_first: bool
    """Host key algorithms of known keys come first: ssh does so unless a list of one's own says the order."""
    places: Mapping[str, str]

    def takes(self, key_type: str) -> bool:
        """Whether a key of this type, as in a public key, may be used to log in."""
        plain = key_type.removesuffix("-cert-v01@openssh.com")
        return any(name in self.public_keys for name in _SIGNED_BY.get(plain, (plain,)))


@dataclass(frozen=True, slots=True)
class AlgorithmOffer:
    """What a server offers, as in its KEXINIT (RFC 4253, 7.1); ciphers and MACs in both directions."""

    kex: Sequence[str]
    host_keys: Sequence[str]
    ciphers: tuple[Sequence[str], Sequence[str]]
    macs: tuple[Sequence[str], Sequence[str]]


def allowed(first: Callable[[str], Value | None]) -> Algorithms:
    """What the configuration allows; `first` gives the value of a keyword. Raises HostError that names the line."""
    places: dict[str, str] = {}

    def listed(kind: AlgorithmKind) -> tuple[str, ...]:
        value = first(kind.keyword.lower()) or first(_OLD_KEYWORDS.get(kind.keyword, ""))
        if value is None:
            return kind.safe
        places[kind.keyword] = value.place
        names = assembled(value.text, kind.safe, (*kind.safe, *kind.weak))
        if not names:
            known = ", ".join((*kind.safe, *kind.weak))
            raise broken(value.place, f"{kind.keyword} allows no {kind.noun} that exists here; these do: {known}")
        return names

    order = first(HOST_KEYS.keyword.lower())
    return Algorithms(
        ciphers=listed(CIPHERS),
        macs=listed(MACS),
        kex=listed(KEX),
        host_keys=listed(HOST_KEYS),
        public_keys=listed(PUBLIC_KEYS),
        known_first=order is None or order.text.startswith(("+", "-")),
        places=places,
    )


def assembled(text: str, default: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """A list of ssh_config(5) made whole: `+` adds to the default, `-` takes from it, `^` puts in front (OpenSSH,
    kex_assemble_names). The names may be patterns."""
    sign = text[:1] if text[:1] in ("+", "-", "^") else ""
    patterns = [part.strip() for part in text.removeprefix(sign).split(",") if part.strip()]
    named = [name for pattern in patterns for name in known if matches([pattern], [name])]
    match sign:
        case "+":
            names = [*default, *named]
        case "-":
            names = [name for name in default if name not in named]
        case "^":
            names = [*named, *default]
        case _:
            names = named
    return tuple(dict.fromkeys(names))


def nothing_in_common(host: str, at: str, address: str, ours: Algorithms, offer: AlgorithmOffer) -> HostError | None:
    """The error for a server with which some sort of algorithm cannot be agreed on; None where all can."""
    pairs = [(KEX, ours.kex, offer.kex), (HOST_KEYS, ours.host_keys, offer.host_keys)]
    pairs += [(CIPHERS, ours.ciphers, each) for each in offer.ciphers]
    pairs += [(MACS, ours.macs, each) for each in offer.macs]
    lacking = {kind.keyword: (kind, theirs) for kind, mine, theirs in pairs if not set(mine) & set(theirs)}
    if not lacking:
        return None
    nouns = " and no ".join(kind.noun for kind, _ in lacking.values())
    why, lines, elsewhere, hopeless = [], [], [], False
    for kind, theirs in lacking.values():
        why.append(f"It offers {_names(theirs)}.")
        weak = [name for name in kind.weak if name in theirs]
        if place := ours.places.get(kind.keyword):
            why.append(f"{kind.keyword} allows none of them ({place}).")
            elsewhere.append(f"change {kind.keyword} in {place}")
        elif weak or any(_WEAK.search(name) for name in theirs):
            why.append(f"Refused: {kind.why}.")
        else:
            why.append(f"This machine supports {', '.join(kind.safe)}.")
        if weak and kind.keyword not in ours.places:
            lines.append(f"“{kind.keyword} +{weak[0]}”")
        hopeless = hopeless or not (weak or kind.keyword in ours.places)
    if hopeless:
        todo = f"Update its SSH server, or let it accept {', '.join(_SAFEST)}."
    else:
        written = [f"write {' and '.join(lines)} under “Host {address}” at the top of ~/.ssh/config"] if lines else []
        ways = " and ".join([*written, *elsewhere])
        todo = f"Update its SSH server. To allow it for this one host, {ways}."
    return HostError(f"{host}: {at} offers no {nouns} that is allowed.", " ".join(why), todo)


def _names(offered: Sequence[str]) -> str:
    offered = [name for name in offered if not name.startswith(_NO_ALGORITHM)]
    more = len(offered) - _NAMED
    named = ", ".join(one_line(name, 64) for name in offered[:_NAMED] if name)
    return f"{named} and {more} more" if more > 0 else named or "none at all"
