"""What a Windows host answers at the ports of WinRM before anybody has logged in, and what follows for the settings."""

from __future__ import annotations

from typing import Literal

from dsrwizard.core.model.deployment import Auth, Winrm
from dsrwizard.core.model.shown import Shown

HTTP, HTTPS = 5985, 5986


class Door(Shown, frozen=True, kw_only=True):
    """One port. `silent`: nothing came back, as when a firewall drops packets. `tls` None: it spoke neither way.

    `names` are those of its certificate, `verified` whether that is trusted here by name or address. `schemes` are the
    ways to log in that it offers, in lower case.
    """

    port: int
    state: Literal["open", "refused", "silent", "unreachable"]
    tls: bool | None = None
    winrm: bool = False
    schemes: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    verified: bool = False

    @property
    def words(self) -> str:
        """What it is, as the rest of a sentence that begins with the port."""
        match self.state:
            case "refused":
                return "refuses connections: WinRM has no listener there"
            case "silent":
                return "does not answer: a firewall drops the packets, or nobody listens (Windows is silent then, too)"
            case "unreachable":
                return "cannot be reached from here"
        if self.tls is None or not self.winrm:
            return "answers, but not as WinRM does"
        way = "HTTPS" if self.tls else "HTTP"
        logins = ", ".join(_SCHEMES.get(one, one) for one in self.schemes) or "no login"
        said = f"answers as WinRM over {way}; takes {logins}"
        if self.tls:
            for_whom = f" for {', '.join(self.names)}" if self.names else ""
            said += f"; its certificate{for_whom} is {'trusted' if self.verified else 'to be compared by fingerprint'}"
        return said


_SCHEMES = {"negotiate": "NTLM and Kerberos", "kerberos": "Kerberos", "basic": "Basic", "credssp": "CredSSP"}


class Contact(Shown, frozen=True, kw_only=True):
    """All the ports that were tried. `best` is the one to use, TLS first, or None."""

    address: str
    doors: tuple[Door, ...]

    @property
    def best(self) -> Door | None:
        found = [door for door in self.doors if door.winrm and (door.tls or "negotiate" in door.schemes)]
        return next((door for door in found if door.tls), found[0] if found else None)

    @property
    def sentences(self) -> tuple[str, ...]:
        """One for each port."""
        return tuple(f"Port {door.port} {door.words}." for door in self.doors)

    @property
    def settings(self) -> tuple[Winrm, int | None, Auth] | None:
        """`winrm`, `port` (None: the usual one) and `auth` that fit, or None."""
        best = self.best
        if best is None:
            return None
        winrm: Winrm = "https" if best.tls else "http"
        usual = HTTPS if best.tls else HTTP
        ways = best.schemes
        auth: Auth = "ntlm" if "negotiate" in ways else "kerberos" if "kerberos" in ways else "basic"
        return winrm, None if best.port == usual else best.port, auth
