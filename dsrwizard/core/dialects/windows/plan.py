"""The plan for a Windows real server. Facts in, steps out.

A loopback adapter that carries the VIPs and says nothing of them; the weak-host model on it and on the interface the
director's frames come in by; firewall and sites that let the VIP's clients in. What each is for: field guide C1 to C9.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dsrwizard.core.dialects.windows import profiles, sites
from dsrwizard.core.dialects.windows.commands import ADAPTER, PSEUDO, UNBINDABLE, windows_commands
from dsrwizard.core.dialects.windows.firewall import admitted, rule_name
from dsrwizard.core.dialects.windows.state import UNSEEN, value
from dsrwizard.core.model.changes import AddressChange, Change, CommandSet, LinkChange, WindowsChange, WindowsItem
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, Vip
from dsrwizard.core.model.facts import ServerFacts
from dsrwizard.core.model.steps import HostPlan, Purpose, Step
from dsrwizard.core.model.windows_facts import WindowsAdapter, WindowsFacts

DUPLICATE = 2
"""MSFT_NetIPAddress.AddressState of an address that another host has."""
METRIC = "254"
"""Of the loopback adapter, so that no route prefers it. It affects routing only and is no guard (field guide C11)."""
NETBIOS_OFF = 2
"""Win32_NetworkAdapterConfiguration.TcpipNetbiosOptions."""
_TOLD_APART = frozenset({"firewall", "firewall-rules", "firewall-rules-by-name", "sites"})
"""Sections with a note of their own where they could not be read."""
KEPT = ("ms_tcpip",)
"""The only binding the loopback adapter needs; `ms_tcpip6` too where a VIP is IPv6."""


def target(server: RealServer) -> str:
    """The name of the adapter that carries the VIPs on this server."""
    return ADAPTER if server.vip_interface == "lo" else server.vip_interface


def adapter_of(server: RealServer, facts: WindowsFacts) -> WindowsAdapter | None:
    """That adapter, where it is there."""
    return facts.adapter(target(server))


def nic_of(server: RealServer, facts: WindowsFacts) -> WindowsAdapter | None:
    """The adapter that holds the RIP, by which the director's frames come in."""
    return next(iter(facts.carrying(str(server.ip))), None)


def command_set_of(facts: WindowsFacts) -> CommandSet:
    """Whose commands carry changes out there."""
    return "windows-2008" if facts.dialect == "2008" else "windows-2012"


def plan_windows(deployment: Deployment, server: RealServer, facts: ServerFacts) -> HostPlan:
    """The steps that bring this server to the deployment, in the order of safety. `facts.windows` must be there."""
    assert facts.windows is not None  # noqa: S101 - the caller chose by it
    planner = _Planner(deployment, server, facts.windows)
    problem = planner.problem()
    if problem:
        return HostPlan(host=server.name, problem=problem)
    return HostPlan(host=server.name, steps=tuple(planner.steps()), notes=tuple(planner.notes()))


class _Planner:
    def __init__(self, deployment: Deployment, server: RealServer, facts: WindowsFacts) -> None:
        self.deployment, self.server, self.facts = deployment, server, facts
        self.vips = deployment.vips_of(server)
        self.families = sorted({vip.ip.version for vip in self.vips})
        self.target = target(server)
        self.adapter = adapter_of(server, facts)
        self.nic = nic_of(server, facts)
        self.system = command_set_of(facts)
        self.left: list[str] = []
        """What `steps` could not plan, because what is there now is not known."""

    def problem(self) -> str:
        """Why nothing can be planned; empty: it can."""
        facts, name = self.facts, self.server.name
        if facts.elevated is False:
            return (
                "The login has no administrator rights, so nothing can be changed. Log in as the built-in "
                "Administrator or a domain administrator, or allow local administrators over the network: reg add "
                r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System /v LocalAccountTokenFilterPolicy "
                "/t REG_DWORD /d 1 /f"
            )
        blind = facts.addresses_unknown
        if blind and (self.nic is None or self.adapter is None or "addresses" in self.adapter.unknown):
            return (
                f"Not everything that a plan needs could be read on this host: {blind} Without it, dsrwizard cannot "
                "tell which adapter has which address. Fix that on the host, then plan again."
            )
        if self.nic is None:
            return (
                f"No adapter on this host has {self.server.address}. The address may belong to another host, or NAT "
                "may translate it on the way. Direct routing needs the server's own address in the director's network."
            )
        if self.nic.loopback or self.nic.pseudo:
            return f"{self.server.address} is on {self.nic.name}, a loopback interface, not on a network adapter."
        if self.nic is self.adapter:
            return (
                f"{self.target} has {self.server.address} and carries this connection. It cannot have the VIP as well."
            )
        if self.adapter is not None and not (self.adapter.loopback or self.adapter.pseudo):
            return (
                f"{self.target} is not a loopback adapter. On a real adapter Windows would answer ARP for the VIP. "
                f'Leave vip_interface out to get a new adapter, or use "{PSEUDO}" for the built-in one.'
            )
        if self.adapter is None and self.target == PSEUDO:
            return "The built-in Loopback Pseudo-Interface 1 was not found on this host. Leave vip_interface out."
        if self.target == PSEUDO and facts.dialect == "2008":
            return "dsrwizard cannot set up the built-in pseudo-interface on this Windows. Leave vip_interface out."
        if self.adapter is None and facts.restricted:
            return (
                f"A policy ({facts.restricted}) forbids installing devices, so no loopback adapter can be added. "
                f'Have the policy lifted for *MSLOOP, or use vip_interface = "{PSEUDO}" for {name}.'
            )
        if self.adapter is None and facts.wow64:
            return (
                "WinRM runs a 32-bit PowerShell on this host, which cannot install devices. "
                "Make it run the 64-bit PowerShell in System32."
            )
        if self._moves_to_public() and profiles.lost_on_public(facts, self.server.address, self._port()):
            return (
                "This Windows has one firewall profile for all its networks, the strictest. The network of the "
                "loopback adapter has no gateway, so it is Public, and no rule lets this connection in on Public: the "
                f"login would be lost. First let it in, then plan again: {profiles.admit_everywhere(self._port())} "
                f"(This opens port {self._port()} on every network of the server. To limit it, add remoteip= with the "
                "director's address.)"
            )
        for vip in self.vips:
            for adapter in facts.carrying(str(vip.ip)):
                if not (adapter.loopback or adapter.pseudo):
                    return self._on_the_network(vip, adapter)
        return ""

    def _on_the_network(self, vip: Vip, adapter: WindowsAdapter) -> str:
        """Why a VIP on an adapter of a network stops the plan, and how to take it off there."""
        entry = next(one for one in adapter.addresses if one.address == str(vip.ip))
        does = "where Windows answers ARP for it"
        if entry.state == DUPLICATE:
            does = "where Windows gave it up because another host has it"
        elif not adapter.up:
            does = "which is disabled and answers ARP for it when it is enabled"
        take = " ".join(windows_commands(self._address(adapter.name, vip, entry.prefix, there=True))[:1])
        return (
            f"{vip.address} is on {adapter.name}, {does}. dsrwizard did not put it there and does not remove it. "
            f"Remove it by hand: {take}"
        )

    def steps(self) -> Iterable[Step]:
        """The steps, in order."""
        if self.adapter is None:
            yield self._install()
        yield from self._weak_host()
        yield from self._hygiene()
        for vip in self.vips:
            yield from self._vip(vip)
            yield from self._firewall(vip)
            yield from self._sites(vip)

    def notes(self) -> list[str]:
        notes = []
        for vip in self.vips:
            for adapter in self.facts.carrying(str(vip.ip)):
                if adapter is not self.adapter:
                    notes.append(f"{vip.address} is already on {adapter.name}, not on {self.target}. It stays there.")
        notes += self._unread()
        notes += self._ways_out()
        notes += self._own_address()
        if self.adapter is not None and self.adapter.name.lower() != self.target.lower():
            notes.append(
                f"The loopback adapter {self.target} is called {self.adapter.name} there. dsrwizard knows it by its "
                "device, so its name does not matter."
            )
        left = self.facts.unfinished(self.target)
        if left:
            notes.append(
                f"An earlier run was cut off while it made the adapter {self.target}: "
                f"{', '.join(one.id for one in left)} has no driver. It is removed when the adapter is made."
            )
        strangers = [adapter.name for adapter in self.facts.loopbacks if adapter is not self.adapter]
        if strangers:
            notes.append(f"Other loopback adapters are left unchanged: {', '.join(strangers)}.")
        if self.facts.dialect == "2008" and self.target != PSEUDO:
            notes.append(
                f"dsrwizard cannot see which protocols are bound to {self.target} on this version of Windows. In the "
                "adapter's properties, leave only Internet Protocol checked."
            )
        notes += self._firewall_notes()
        notes += self._natural_notes()
        by_hand = [
            f"{site.name} ({vip.ip}:{service.port})"
            for vip in self.vips
            for service in vip.services
            for site, binding in sites.left_out(self.facts, vip, service)
            if not sites.typeable(site, binding)
        ]
        if by_hand:
            notes.append(
                "appcmd does not accept the names or host names of these sites. Add the bindings in IIS Manager: "
                f"{', '.join(dict.fromkeys(by_hand))}."
            )
        if self.facts.sites is None:
            why = self.facts.blind("sites")
            notes.append(
                f"The IIS sites could not be read{f' ({why})' if why else ''}. Make sure that they are bound to all "
                "addresses or to the VIP."
            )
        unlike = [
            one for vip in self.vips for service in vip.services for one in sites.unlike(self.facts, vip, service)
        ]
        if unlike:
            notes.append(
                "The certificate is copied for the VIP, its other settings are not: "
                f"{'; '.join(dict.fromkeys(unlike))}. Compare both with netsh http show sslcert, "
                "and set them where they matter."
            )
        return notes

    def _moves_to_public(self) -> bool:
        """Whether the steps make the host's one profile Public: a network without a gateway is added."""
        adds = any(vip.ip.version == 4 and not self.facts.carrying(str(vip.ip)) for vip in self.vips)
        return adds and profiles.single(self.facts)

    def _port(self) -> int:
        """Of this connection."""
        return self.server.port or (5986 if self.server.winrm == "https" else 5985)

    def _own_address(self) -> list[str]:
        """What a check of the server's own address meets afterwards; the VIP has a rule of its own."""
        ports = sorted({one.port for vip in self.vips for one in vip.services if one.protocol == "tcp"})
        address, notes = self.server.address, []
        if self._moves_to_public():
            lost = [str(port) for port in ports if profiles.lost_on_public(self.facts, address, port)]
            if lost:
                notes.append(
                    "This Windows has one firewall profile for all its networks. The loopback adapter's network is "
                    f"Public, so the rules that now let in port {', '.join(lost)} of {address} stop counting. Change "
                    "them to all profiles if anything connects there, such as a health check."
                )
        current = self.facts.firewall.current if self.facts.firewall else None
        if not self.deployment.director.in_kernel and current is not None:
            shut = [
                str(port)
                for port in ports
                if not any(profiles.open_on(self.facts, address, port, one) is not False
                           for one in profiles.NAMES if current & one)
            ]  # fmt: skip
            if shut:
                notes.append(
                    f"The firewall lets nobody in at {address} port {', '.join(shut)}, and the plan opens the VIP "
                    "only. If the load balancer checks the server's own address, add a rule for that, or let it check "
                    "the VIP."
                )
        return notes

    def _ways_out(self) -> list[str]:
        """Windows chooses the way of replies by metric alone, not by the adapter of the request."""
        return [
            f"This server has more than one default gateway: {self.facts.ways_shown(family)}. Windows sends replies "
            "from the VIP by the one with the lowest metric. Make sure that clients are reached by it."
            for family in self.families
            if len({adapter.name for adapter, _ in self.facts.ways_out(family)}) > 1
        ]

    def _firewall_notes(self) -> list[str]:
        facts = self.facts
        if facts.firewall is not None and facts.rules is None and facts.own_rules is not None:
            return [
                f"Not all rules of the firewall could be read: {facts.firewall_problem} The plan adds dsrwizard's own "
                "rule, which does no harm where another one lets clients in already."
            ]
        if facts.firewall is None or facts.rules is None:
            return [
                f"The firewall could not be checked: {facts.firewall_problem or 'its rules are unknown'}. "
                "Its service, MpsSvc, may be stopped or disabled. No rule is planned for the VIP. When the firewall "
                "runs again, make sure that it lets clients in."
            ]
        return []

    def _unread(self) -> list[str]:
        """What could not be read and so is left as it is, or may matter."""
        notes = []
        if self.left:
            notes.append(
                f"Not planned, because what is there now could not be read: {', '.join(dict.fromkeys(self.left))}. "
                "Fix that on the host, then plan again."
            )
        more = self.facts.unread(without=_TOLD_APART)
        if more:
            notes.append(f"Could not be read on this host: {'; '.join(more)}")
        if self.adapter is not None and not self.adapter.up and not self.adapter.pseudo:
            notes.append(
                f"{self.target} is disabled, so the VIP on it does not serve, and some of its settings cannot be read. "
                "Enable it, then plan again."
            )
        if self.facts.restricted_retroactively and self.adapter is not None:
            notes.append(
                f"A policy ({self.facts.restricted}) takes loopback adapters away, those that are there included: "
                f"{self.target} may be gone at the next restart. Have the policy lifted for *MSLOOP."
            )
        return notes

    def _natural_notes(self) -> list[str]:
        """What is so by nature on this Windows, whatever is planned."""
        notes = []
        services = [(vip, service) for vip in self.vips for service in vip.services]
        if any(sites.serving(self.facts, service) for _, service in services):
            notes.append(
                f"A program on {self.server.name} that calls the VIP reaches itself, never another server. Windows "
                "refuses integrated login to itself under another name (401.1); let such programs call the server's "
                "own name, or list the VIP's name in BackConnectionHostNames."
            )
        lacking = [item for vip, service in services for item, _, _ in sites.missing(self.facts, vip, service)]
        if "listen-address" in lacking:
            notes.append(f"{sites.HTTP_STARTS}.")
        return notes

    # -- the adapter

    def _install(self) -> Step:
        return Step(
            id=f"adapter {self.target}",
            purpose="adapter",
            host=self.server.name,
            phase="prepare",
            title=f"Loopback adapter {self.target}",
            why="It has the VIP without showing it to the network.",
            changes=(LinkChange(interface=self.target, old=False, new=True, system=self.system),),
        )

    def _weak_host(self) -> list[Step]:
        """Receive on the NIC, receive and send on the loopback: Windows drops packets for another interface's address
        otherwise (field guide C2)."""
        assert self.nic is not None  # noqa: S101 - `problem` has made sure
        changes: list[Change] = []
        for family in self.families:
            changes += self._set("weak-receive", f"{self.nic.guid}/{family}", "Enabled")
            changes += self._set("weak-receive", f"{self.target}/{family}", "Enabled")
            changes += self._set("weak-send", f"{self.target}/{family}", "Enabled")
        return self._step(
            "weak-host", f"Weak-host model on {self.nic.name} and {self.target}",
            "With the strong-host model Windows drops packets for the VIP: they arrive on an interface without it.",
            changes,
        )  # fmt: skip

    def _hygiene(self) -> list[Step]:
        """The step that keeps the VIP out of DHCP, DNS, NetBIOS and every protocol but IP."""
        changes: list[Change] = []
        if self.target != PSEUDO:
            if self.system != "windows-2008":  # there netsh makes the adapter static with its first address
                changes += self._set("dhcp", f"{self.target}/4", "Disabled")
            changes += self._set("dad", f"{self.target}/4", "0")
            if 6 in self.families:
                changes += self._set("dad", f"{self.target}/6", "0")
                changes += self._set("router-discovery", f"{self.target}/6", "Disabled")
            changes += self._unbound()
            changes += self._set("dns-registration", self.target, "false,false")
            changes += self._set("netbios", self.target, str(NETBIOS_OFF))
            for family in self.families:
                changes += self._set("metric", f"{self.target}/{family}", METRIC)
        return self._step(
            "hygiene", f"{self.target}: IP only, no DHCP, DNS or NetBIOS",
            "Otherwise Windows registers the VIP under this server's name, and clients bypass the director.",
            changes,
        )  # fmt: skip

    def _unbound(self) -> list[Change]:
        """Everything but IP unbound, where this Windows can tell what is bound. A fresh adapter's bindings are not
        known before it is there: the script unbinds what it finds."""
        kept = (*KEPT, "ms_tcpip6") if 6 in self.families else KEPT
        if self.system == "windows-2008":
            return []
        if self.adapter is None:
            keep = ",".join(kept)
            return [WindowsChange(item="binding", key=f"{self.target}/*", old=None, new=keep, system=self.system)]
        changes: list[Change] = []
        for component, bound in sorted((self.adapter.bindings or {}).items()):
            wanted = "Enabled" if component in kept else "Disabled"
            if component in kept or (bound and component in UNBINDABLE):
                changes += self._set("binding", f"{self.target}/{component}", wanted)
        return changes

    # -- one VIP

    def _vip(self, vip: Vip) -> list[Step]:
        entries = [
            (self.target if adapter is self.adapter else adapter.name, entry.prefix)
            for adapter in self.facts.carrying(str(vip.ip))
            for entry in adapter.addresses
            if entry.address == str(vip.ip)
        ]
        wrong = [(name, prefix) for name, prefix in entries if prefix != vip.prefix]
        changes: list[Change] = [self._address(name, vip, prefix, there=True) for name, prefix in wrong]
        if not any(prefix == vip.prefix for _, prefix in entries):
            changes.append(self._address(self.target, vip, vip.prefix, there=False))
        return self._step(
            "vip", f"VIP {vip.address}/{vip.prefix} on {self.target}",
            "The director forwards packets unchanged. The server drops them unless it has the VIP.", changes,
            vip.address,
            interrupts=f"{self.server.name} loses the VIP for a moment while its prefix changes."
            if wrong else "",
        )  # fmt: skip

    def _address(self, name: str, vip: Vip, prefix: int, *, there: bool) -> AddressChange:
        return AddressChange(
            interface=name, address=str(vip.ip), prefix=prefix, old=there, new=not there, system=self.system
        )

    def _firewall(self, vip: Vip) -> list[Step]:
        changes: list[Change] = []
        for service in vip.services:
            if not admitted(self.facts, vip, service):
                changes += self._set(
                    "firewall-rule", rule_name(vip, service), f"{service.protocol} {service.port} {vip.ip}"
                )
        return self._step(
            "firewall", f"Firewall rule for {vip.address}",
            "No rule lets clients of the VIP in. One rule is added; the firewall stays on.", changes, vip.address,
        )  # fmt: skip

    def _sites(self, vip: Vip) -> list[Step]:
        changes: list[Change] = []
        for service in vip.services:
            changes += self._served(vip, service)
        once = list(dict.fromkeys(changes))  # two services may want the same, such as the VIP in the list of http.sys
        return self._step(
            "sites", f"IIS and http.sys listen on {vip.address}",
            "The sites are bound to single addresses that do not include the VIP.", once, vip.address,
        )  # fmt: skip

    def _served(self, vip: Vip, service: Service) -> list[Change]:
        wanted = sites.missing(self.facts, vip, service)
        return [change for item, key, new in wanted for change in self._set(item, key, new)]

    # -- parts

    def _set(self, item: WindowsItem, key: str, wanted: str) -> list[Change]:
        """The change to this value, none where it is so. What cannot be seen is set on our own adapter: one that is not
        there yet, or of which Windows does not tell it, as NetBIOS and DNS while it has no address. The value before is
        nothing then, and taking it back is left to taking the adapter away."""
        before = value(self.facts, item, key)
        ours = key.rpartition("/")[0] in ("", self.target) and key.startswith(self.target)
        if before == wanted:
            return []
        if before is UNSEEN and (not ours or item == "binding"):
            self.left.append(f"{item} {key}")
            return []
        old = before if isinstance(before, str) else None
        return [WindowsChange(item=item, key=key, old=old, new=wanted, system=self.system)]

    def _step(
        self, purpose: Purpose, title: str, why: str, changes: Sequence[Change], vip: str = "", interrupts: str = ""
    ) -> list[Step]:
        if not changes:
            return []
        return [
            Step(
                id=f"{purpose} {vip}".rstrip(),
                purpose=purpose,
                vip=vip,
                host=self.server.name,
                phase="vip" if vip else "guard",
                title=title,
                why=why,
                changes=tuple(changes),
                interrupts=interrupts,
            )
        ]
