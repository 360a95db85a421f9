"""What the kernel's refusals mean for the operator: an errno becomes an error with what, why and next."""

from __future__ import annotations

import errno
import os

from dsrwizard.core.model.errors import CommandFailed, DsrError, LookError, NoPrivilege

LOAD = "Run `sudo modprobe ip_vs`."
AS_ROOT = "Run it as root (`sudo dsrwizard …`) or with CAP_NET_ADMIN; a container needs that capability, too."
NOT_LOADED = "The kernel module ip_vs is not loaded."
MAY_NOT_LOAD = f"{NOT_LOADED[:-1]}, and only root (CAP_SYS_MODULE) may load it."
NO_PRIVILEGE = "Only root (CAP_NET_ADMIN) may read or change the IPVS table."

_MEANINGS: dict[int, tuple[str, str]] = {
    errno.EEXIST: ("It already exists.", "Look at `ipvsadm -Ln`, then plan again."),
    errno.ESRCH: ("The service does not exist (any more).", "Look at `ipvsadm -Ln`, then plan again."),
    errno.ENOMEM: ("The kernel is out of memory.", "Free memory on the director, then try again."),
    errno.EINVAL: (
        "The kernel rejects one of its values, such as a real server's address that is not a host's.",
        "Check addresses and the persistence mask in the deployment.",
    ),
    errno.ERANGE: ("A weight or threshold is out of range.", "Use a weight from 0 to 65535."),
    errno.EAFNOSUPPORT: ("The kernel's IPVS has no IPv6.", "Use a kernel with CONFIG_IP_VS_IPV6, or an IPv4 VIP."),
    errno.EPROTONOSUPPORT: (
        "The kernel's IPVS lacks this protocol.",
        "Use a kernel with CONFIG_IP_VS_PROTO_TCP and _UDP.",
    ),
}


def unreadable(number: int) -> DsrError:
    """Why IPVS could not be read."""
    if number in (errno.EPERM, errno.EACCES):
        return LookError("IPVS could not be read.", NO_PRIVILEGE, AS_ROOT)
    if number in (errno.ENOENT, errno.EOPNOTSUPP, errno.EPROTONOSUPPORT):
        return LookError("IPVS could not be read.", NOT_LOADED, LOAD)
    return LookError("IPVS could not be read.", f"The kernel says: {os.strerror(number)}.", "Try again; see `dmesg`.")


def refused(number: int, what: str, *, scheduler: str = "", destination: bool = False) -> DsrError:
    """Why a change to IPVS was refused. `what` is the whole first sentence, e.g. "web1 could not be added."."""
    if number in (errno.EPERM, errno.EACCES):
        return NoPrivilege(what, NO_PRIVILEGE, AS_ROOT)
    if number == errno.ENOENT and scheduler:
        return CommandFailed(
            what,
            f"The kernel has no scheduler {scheduler}.",
            f"Run `sudo modprobe ip_vs_{scheduler}`, or choose another scheduler.",
        )
    if number == errno.ENOENT and destination:
        return CommandFailed(
            what, "The destination does not exist (any more).", "Look at `ipvsadm -Ln`, then plan again."
        )
    if number in (errno.ENOENT, errno.EOPNOTSUPP):
        return CommandFailed(what, NOT_LOADED, LOAD)
    why, next_ = _MEANINGS.get(number, (f"The kernel says: {os.strerror(number)}.", "See `dmesg` on the director."))
    return CommandFailed(what, why, next_)
