"""Whether a policy forbids installing the loopback adapter, by the entries of its lists. Pure.

`DenyDeviceIDs = 1` and the like only turn lists on; what they forbid are the entries in the keys of the same names
(Microsoft, "DeviceInstallation Policy CSP"). What is forbidden comes before what is allowed, unless the policies are
layered: then device ids come before classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

DEVICE = "*msloop"
CLASS = "{4d36e972-e325-11ce-bfc1-08002be10318}"
"""Network adapters."""
SWITCHES = (
    "AllowAdminInstall", "AllowDenyLayered", "AllowDeviceClasses", "AllowDeviceIDs", "DenyDeviceClasses",
    "DenyDeviceClassesRetroactive", "DenyDeviceIDs", "DenyDeviceIDsRetroactive", "DenyUnspecified",
)  # fmt: skip
Restricted = Literal["", "DenyUnspecified", "DenyDeviceIDs", "DenyDeviceClasses"]


def restricted(on: Sequence[str], lists: Mapping[str, Sequence[str]]) -> Restricted:
    """The policy that forbids it, empty where none does. `on`: the switches that are 1."""
    if "AllowAdminInstall" in on:
        return ""  # administrators may, whatever the other policies say

    def names(policy: str, what: str) -> bool:
        entries = {entry.strip().lower() for entry in lists.get(policy, ())}
        return policy in on and what in entries

    allowed_id, allowed_class = names("AllowDeviceIDs", DEVICE), names("AllowDeviceClasses", CLASS)
    if names("DenyDeviceIDs", DEVICE):
        return "DenyDeviceIDs"
    if "AllowDenyLayered" in on and allowed_id:
        return ""
    if names("DenyDeviceClasses", CLASS):
        return "DenyDeviceClasses"
    return "DenyUnspecified" if "DenyUnspecified" in on and not (allowed_id or allowed_class) else ""


def retroactive(on: Sequence[str], policy: Restricted) -> bool:
    """Whether the policy also takes away devices that are there already."""
    return bool(policy) and f"{policy}Retroactive" in on
