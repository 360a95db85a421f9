"""COM objects and .NET objects that scripts make: the firewall's policy and rules, principals, a string builder."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.windows.host import files, tasks
from tests.windows.host.model import Rule
from tests.windows.pwsh import Collection, NotModelled, Object, PowerShellError

if TYPE_CHECKING:
    from tests.windows.host.machine import WindowsHost

_FIELDS = {
    "Name": "name", "Grouping": "group", "Protocol": "protocol", "LocalPorts": "ports", "LocalAddresses": "addresses",
    "Direction": "direction", "Action": "action", "Profiles": "profiles", "Enabled": "enabled",
    "RemoteAddresses": "remote", "RemotePorts": "remote_ports", "ApplicationName": "application",
    "ServiceName": "service", "Interfaces": "interfaces", "InterfaceTypes": "types", "SecureFlags": "secure",
    "LocalAppPackageId": "package", "LocalUserOwner": "owner",
}  # fmt: skip


class _RuleObject(Object):
    def __init__(self, rule: Rule, host: WindowsHost | None = None) -> None:
        self.rule = rule
        properties = {name: getattr(rule, attribute) for name, attribute in _FIELDS.items()}
        if rule.addresses not in ("*", "") and "/" not in rule.addresses:
            mask = "" if ":" in rule.addresses else "/255.255.255.255"
            properties["LocalAddresses"] = rule.addresses + mask  # as Windows gives them back
        if rule.protocol == 1:
            properties["LocalPorts"] = None
        if host is not None and host.rule_seconds:

            def direction() -> int:
                host.now += timedelta(seconds=host.rule_seconds)
                return rule.direction

            properties["Direction"] = direction
        super().__init__("INetFwRule", properties, assigned=self._assigned_to)

    def _assigned_to(self, name: str, value: Any) -> None:
        attribute = {key.lower(): one for key, one in _FIELDS.items()}[name.lower()]
        setattr(self.rule, attribute, value)


def create(host: WindowsHost, given: dict[str, Any]) -> Any:
    """`New-Object`."""
    if "comobject" in given:
        match str(given["comobject"]).lower():
            case "hnetcfg.fwpolicy2":
                return _policy(host)
            case "hnetcfg.fwrule":
                return _RuleObject(Rule("", ports="*", enabled=False, profiles=0x7FFFFFFF))
            case "schedule.service":
                return tasks.service(host)
            case other:
                raise NotModelled(f"COM object {other}")
    match str(given["typename"]).lower():
        case "security.principal.windowsprincipal":
            return Object(
                "WindowsPrincipal", {}, {"IsInRole": lambda sid: host.elevated and str(sid) == "S-1-5-32-544"}
            )
        case "threading.mutex":
            owned, name = given["argumentlist"]
            assert (owned, name) == (False, r"Global\dsrwizard")
            return host.mutex()
        case "security.principal.securityidentifier":
            return Object(str(given["argumentlist"]), {})
        case "security.accesscontrol.directorysecurity":
            return files.security()
        case other:
            raise NotModelled(f"type {other}")


def _policy(host: WindowsHost) -> Object:
    def served() -> None:
        if not host.firewall_service:
            raise PowerShellError(
                "There are no more endpoints available from the endpoint mapper. (Exception from HRESULT: 0x800706D9)"
            )

    def listed() -> list[Any]:
        served()
        host.called("list rules", changing=False)
        return [_RuleObject(rule, host) for rule in host.rules]

    def named(name: str) -> Any:
        served()
        for rule in host.rules:
            if rule.name.lower() == name.lower():
                return _RuleObject(rule)
        raise PowerShellError("The system cannot find the file specified. (Exception from HRESULT: 0x80070002)")

    def add(rule: _RuleObject) -> None:
        served()
        if not host.elevated:
            raise PowerShellError("Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))")
        if "fwrule" in host.broken:
            raise PowerShellError(host.broken["fwrule"])
        host.called("add rule")
        host.rules.append(rule.rule)
        host.done("add rule")

    def remove(name: str) -> None:
        served()
        if not host.elevated:
            raise PowerShellError("Access is denied. (Exception from HRESULT: 0x80070005 (E_ACCESSDENIED))")
        host.called("remove rule")
        host.rules = [rule for rule in host.rules if rule.name != name]
        host.done("remove rule")

    rules = Collection("INetFwRules", listed, {"Add": add, "Remove": remove, "Item": named})
    return Object(
        "INetFwPolicy2",
        {
            "Rules": rules,
            "LocalPolicyModifyState": host.policy_state,
            "CurrentProfileTypes": host.profile_types,
        },
        {
            "FirewallEnabled": lambda number: host.profiles[number],
            "BlockAllInboundTraffic": lambda number: host.block_all,
        },
    )
