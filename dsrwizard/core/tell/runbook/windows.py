"""The runbooks of Windows real servers, by generation.

What the vendors' guides get wrong is not repeated (field guide, section 6): /32 everywhere, a firewall rule instead of
no firewall, `weakhostsend=enabled` spelt as netsh knows it, the metric for routing only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsrwizard.core.dialects.script_files import filled
from dsrwizard.core.dialects.windows.commands import quoted
from dsrwizard.core.dialects.windows.powershell import LOOPBACK, file
from dsrwizard.core.model.deployment import Deployment, RealServer, Service, System, Vip
from dsrwizard.core.tell.runbook.step import RunbookStep

Built = tuple[tuple[str, ...], tuple[RunbookStep, ...]]
ADAPTER = "dsr"
"""Name of the loopback adapter in the runbooks: short, because people type it."""
_NO_WINDOWS = "Server Core has no such window. The written runbook has a block to paste into PowerShell instead."
_WITHOUT_CORE = (
    "Server Core of 2008, before R2, has no PowerShell either: there devcon.exe of Microsoft's driver kit installs "
    r"the adapter: devcon install %WinDir%\inf\netloop.inf *MSLOOP"
)


def _modern(deployment: Deployment, server: RealServer) -> Built:
    vips = deployment.vips_of(server)
    steps = [
        _add_adapter(
            (
                "Run hdwwiz. Next, “Install the hardware that I manually select from a list”, Next.",
                "Network adapters, Next; manufacturer Microsoft, adapter “Microsoft KM-TEST Loopback Adapter”, Next.",
                "The new adapter is the last one in Network Connections. Rename it as shown below.",
                _NO_WINDOWS,
            ),
            (f'Rename-NetAdapter -Name "Ethernet 2" -NewName "{ADAPTER}"    # the name that the new adapter got',),
            (f"Get-NetAdapter {ADAPTER} | Format-List Name, ifIndex, ComponentID",),
            comment="#",
            core="core_2012.ps1",
        ),
        RunbookStep(
            title="Unbind services from the adapter",
            why="Otherwise the adapter uses DHCP, registers the VIP in DNS under this server's name, and answers "
            "NetBIOS on it.",
            commands=(
                f"Set-NetIPInterface -InterfaceAlias {ADAPTER} -AddressFamily IPv4 -Dhcp Disabled -DadTransmits 0",
                f"Set-NetIPInterface -InterfaceAlias {ADAPTER} -AddressFamily IPv4 -InterfaceMetric 254",
                *(
                    (
                        f"Set-NetIPInterface -InterfaceAlias {ADAPTER} -AddressFamily IPv6 -DadTransmits 0 "
                        "-RouterDiscovery Disabled -InterfaceMetric 254",
                    )
                    if _six(vips)
                    else ()
                ),
                f"Get-NetAdapterBinding -Name {ADAPTER} | Where-Object ComponentID -in ms_msclient,ms_server,ms_pacer,"
                f"ms_lltdio,ms_rspndr{'' if _six(vips) else ',ms_tcpip6'} | Disable-NetAdapterBinding",
                f"Set-DnsClient -InterfaceAlias {ADAPTER} -RegisterThisConnectionsAddress $false "
                "-UseSuffixWhenRegistering $false",
                "Get-CimInstance Win32_NetworkAdapterConfiguration -Filter "
                f'"InterfaceIndex=$((Get-NetAdapter {ADAPTER}).ifIndex)" | '
                "Invoke-CimMethod -MethodName SetTcpipNetbios -Arguments @{ TcpipNetbiosOptions = [uint32]2 }",
            ),
            check=(
                f"Get-NetAdapterBinding -Name {ADAPTER} | Where-Object Enabled",
                f"Get-DnsClient -InterfaceAlias {ADAPTER} | Format-List Register*",
            ),
            undo=("# it goes with the adapter",),
        ),
        _weak_modern(server, vips),
        *(_address_modern(vip) for vip in vips),
        *(_firewall_modern(vip, service) for vip in vips for service in vip.services),
        *_sites(deployment, server),
    ]
    return (("Run everything in a PowerShell started as administrator.",), tuple(steps))


def _legacy(deployment: Deployment, server: RealServer) -> Built:
    vips = deployment.vips_of(server)
    steps = [
        _add_adapter(
            (
                "Run devmgmt.msc (Device Manager). Click the computer's name, then Action, Add legacy hardware.",
                "“Install the hardware that I manually select from a list”, Network adapters, Next.",
                "Manufacturer Microsoft, adapter “Microsoft Loopback Adapter”, Next, Next, Finish.",
                _NO_WINDOWS,
                _WITHOUT_CORE,
            ),
            (f'netsh interface set interface name="Local Area Connection 2" newname="{ADAPTER}"',),
            ("netsh interface ipv4 show interfaces",),
            comment="rem",
            core="core_2008.ps1",
        ),
        RunbookStep(
            title="Unbind services from the adapter",
            why="Otherwise the adapter registers the VIP in DNS under this server's name and answers NetBIOS on it.",
            hand=(
                f"Network Connections, {ADAPTER}, Properties: leave only Internet Protocol "
                f"{'Version 4 and 6' if _six(vips) else 'Version 4'} checked.",
                "Internet Protocol Version 4, Properties, Advanced, DNS: clear “Register this connection's addresses "
                "in DNS”. WINS: choose “Disable NetBIOS over TCP/IP”.",
            ),
            check=("rem in the same windows",),
            undo=("rem it goes with the adapter",),
        ),
        _weak_legacy(server, vips),
        *(_address_legacy(vip) for vip in vips),
        *(_firewall_legacy(vip, service) for vip in vips for service in vip.services),
        *_sites(deployment, server),
    ]
    before = (
        "Run everything in a command prompt started as administrator.",
        "Names in quotes depend on the language of Windows: use the names shown on this server.",
    )
    return before, tuple(steps)


def _oldest(deployment: Deployment, server: RealServer) -> Built:
    vips = [vip for vip in deployment.vips_of(server) if vip.ip.version == 4]
    steps = [
        _add_adapter(
            (
                "Control Panel, Add Hardware. “Yes, I have already connected the hardware”, Next.",
                "At the end of the list “Add a new hardware device”, Next; “Install the hardware that I manually "
                "select from a list”, Next.",
                "Network adapters, Next; manufacturer Microsoft, adapter “Microsoft Loopback Adapter”, Next, Finish.",
            ),
            (f'netsh interface set interface name="Local Area Connection 2" newname="{ADAPTER}"',),
            ("ipconfig /all",),
            comment="rem",
        ),
        RunbookStep(
            title="Unbind services from the adapter",
            why="Otherwise the adapter registers the VIP in DNS under this server's name and answers NetBIOS on it.",
            hand=(
                f"Network Connections, {ADAPTER}, Properties: leave only Internet Protocol (TCP/IP) checked.",
                "Internet Protocol (TCP/IP), Properties, Advanced. DNS: clear “Register this connection's addresses in "
                "DNS”. WINS: choose “Disable NetBIOS over TCP/IP”.",
                "On the first page of Advanced, clear “Automatic metric” and write 254: no route prefers the adapter "
                "then. The metric does not keep it from answering ARP; Windows answers for an address only on the "
                "adapter that holds it.",
            ),
            check=("rem in the same windows",),
            undo=("rem it goes with the adapter",),
        ),
    ]
    for vip in vips:
        steps.append(
            RunbookStep(
                title=f"VIP {vip.address} with mask 255.255.255.255",
                why="The server must own the VIP. Do not set a gateway: replies use the gateway of the other adapter.",
                commands=(
                    f'netsh interface ip set address name="{ADAPTER}" source=static addr={vip.address} '
                    "mask=255.255.255.255"
                    if vip is vips[0]
                    else f'netsh interface ip add address name="{ADAPTER}" addr={vip.address} mask=255.255.255.255',
                ),
                hand=(
                    "If Windows refuses the mask: set SubnetMask (REG_MULTI_SZ) 255.255.255.255 below "
                    "HKLM\\SYSTEM\\CurrentControlSet\\Services\\Tcpip\\Parameters\\Interfaces\\{GUID of the adapter}, "
                    "then disable and enable the adapter.",
                ),
                check=("ipconfig /all",),
                undo=(f'netsh interface ip delete address name="{ADAPTER}" addr={vip.address}',),
                proves="vip.probe",
                vip=vip.address,
            )
        )
        steps += [
            RunbookStep(
                title=f"Windows Firewall: {service.label}",
                why="Clients of the VIP must get in. Opening the port is enough; leave the firewall on.",
                commands=(
                    f"netsh firewall set portopening protocol={service.protocol.upper()} port={service.port} "
                    f'name="dsr {service.label}" mode=ENABLE profile=ALL',
                ),
                check=("netsh firewall show portopening",),
                undo=(
                    f"netsh firewall delete portopening protocol={service.protocol.upper()} port={service.port} "
                    "profile=ALL",
                ),
                proves="vip.probe",
                vip=vip.address,
                service=service.label,
            )
            for service in vip.services
            if vip is next(one for one in vips if service.label in {each.label for each in one.services})
        ]  # the port is opened on every address, so once
    steps.append(
        RunbookStep(
            title="IIS listens on the VIP",
            why="A site that is bound to one address does not answer on another.",
            hand=(
                "IIS Manager, Web Sites, the site, Properties, Web Site: IP address “(All Unassigned)”, or under "
                "Advanced one more entry with the VIP. Keep the server's own address: health checks go there.",
            ),
            check=("netstat -an",),
            proves="vip.probe",
            every=True,
        )
    )
    before = (
        "As an administrator. Windows Server 2003 needs no weak-host setting: its IPv4 is weak-host by design.",
        *(
            ("IPv6 VIPs are not possible on it: its IPv6 is strong-host and cannot be changed.",)
            if _six(deployment.vips_of(server))
            else ()
        ),
    )
    return before, tuple(steps)


def _six(vips: Sequence[Vip]) -> bool:
    return any(vip.ip.version == 6 for vip in vips)


def _add_adapter(
    hand: tuple[str, ...], commands: tuple[str, ...], check: tuple[str, ...], *, comment: str, core: str = ""
) -> RunbookStep:
    """`comment` begins a remark in the shell that is used; `core` is the script that does it without windows."""
    return RunbookStep(
        title="Loopback adapter",
        why="It holds the VIP out of the network's sight. On the server's own adapter, Windows would answer ARP for "
        "the VIP and take the director's traffic.",
        hand=(*hand, f"Rename the new adapter to {ADAPTER}; the next steps use this name:"),
        commands=commands,
        check=check,
        undo=(f"{comment} devmgmt.msc: Network adapters, right-click the adapter, Uninstall",),
        core=_without_windows(core) if core else (),
        proves="arp.audit",
    )


def _without_windows(script: str) -> tuple[str, ...]:
    """The block for PowerShell, with what dsrwizard itself compiles there; last, how to take the adapter away again."""
    made = filled(file(script), {"@ADAPTER@": ADAPTER}).strip()
    return (  # between plain quotes: the end of a here-string would have to stand at the margin
        f"Add-Type -TypeDefinition {quoted(LOOPBACK.strip())}\n{made}",
        "# to undo it, in that PowerShell or after pasting Add-Type again: [DsrLoopback]::Remove($id)",
    )


def _families(vips: Sequence[Vip]) -> list[int]:
    return sorted({vip.ip.version for vip in vips})


def _weak_modern(server: RealServer, vips: Sequence[Vip]) -> RunbookStep:
    nic = f"(Get-NetIPAddress -IPAddress {server.address}).InterfaceIndex"
    commands, undo = [], []
    for family in _families(vips):
        head = f"-AddressFamily IPv{family}"
        commands.append(f"Set-NetIPInterface -InterfaceIndex {nic} {head} -WeakHostReceive Enabled")
        commands.append(
            f"Set-NetIPInterface -InterfaceAlias {ADAPTER} {head} -WeakHostReceive Enabled -WeakHostSend Enabled"
        )
        undo.append(f"Set-NetIPInterface -InterfaceIndex {nic} {head} -WeakHostReceive Disabled")
    return RunbookStep(
        title="Weak-host model",
        why="In strong-host mode, Windows drops packets for the VIP, because they arrive on a different adapter "
        "from the one that holds it. Receive on both, send on the loopback.",
        commands=tuple(commands),
        check=("Get-NetIPInterface | Format-Table InterfaceAlias, AddressFamily, WeakHostReceive, WeakHostSend",),
        undo=tuple(undo),
        proves="vip.probe",
    )


def _weak_legacy(server: RealServer, vips: Sequence[Vip]) -> RunbookStep:
    commands, undo, checks = [], [], []
    for family in _families(vips):
        head = f"netsh interface ipv{family} set interface"
        commands.append(f'{head} "Local Area Connection" weakhostreceive=enabled')
        more = " routerdiscovery=disabled" if family == 6 else ""
        commands.append(
            f'{head} "{ADAPTER}" weakhostreceive=enabled weakhostsend=enabled metric=254 dadtransmits=0{more}'
        )
        undo.append(f'{head} "Local Area Connection" weakhostreceive=disabled')
        checks.append(f'netsh interface ipv{family} show interface "{ADAPTER}"')
    return RunbookStep(
        title="Weak-host model",
        why="In strong-host mode, Windows drops packets for the VIP, because they arrive on a different adapter "
        "from the one that holds it. Receive on both, send on the loopback. The metric only affects routing; it "
        "does not silence ARP.",
        hand=(f"“Local Area Connection” stands for the adapter with {server.address}.",),
        commands=tuple(commands),
        check=tuple(checks),
        undo=tuple(undo),
        proves="vip.probe",
    )


def _address_modern(vip: Vip) -> RunbookStep:
    return RunbookStep(
        title=f"VIP {vip.address}/{vip.prefix}",
        why=f"The server must own the VIP. Always /{vip.prefix} and no gateway. SkipAsSource keeps the server from "
        "using the VIP as source for its own connections.",
        commands=(
            f"New-NetIPAddress -InterfaceAlias {ADAPTER} -IPAddress {vip.address} -PrefixLength {vip.prefix} "
            "-SkipAsSource $true",
        ),
        check=(f"Get-NetIPAddress -IPAddress {vip.address} | Format-List PrefixLength, SkipAsSource, AddressState",),
        undo=(f"Remove-NetIPAddress -IPAddress {vip.address} -InterfaceAlias {ADAPTER} -Confirm:$false",),
        proves="vip.probe",
        vip=vip.address,
    )


def _address_legacy(vip: Vip) -> RunbookStep:
    six = vip.ip.version == 6
    where = f"{vip.address}/128" if six else f"{vip.address} 255.255.255.255"
    line = f'netsh interface ipv{vip.ip.version} add address "{ADAPTER}" {where}'
    return RunbookStep(
        title=f"VIP {vip.address}/{vip.prefix}",
        why=f"The server must own the VIP. Always /{vip.prefix} and no gateway. Without hotfix KB975808, Server 2008 "
        "refuses skipassource; the part after || then adds the VIP without it.",
        commands=(f"{line} skipassource=true || {line}",),
        check=(f'netsh interface ipv{vip.ip.version} show addresses "{ADAPTER}"',),
        undo=(f'netsh interface ipv{vip.ip.version} delete address "{ADAPTER}" {vip.address}',),
        proves="vip.probe",
        vip=vip.address,
    )


def _firewall_modern(vip: Vip, service: Service) -> RunbookStep:
    name = f"dsr-{vip.address}-{service.protocol}-{service.port}"
    return _firewall(
        vip,
        service,
        f"New-NetFirewallRule -Name {name} -DisplayName {name} -Direction Inbound -Action Allow "
        f"-Protocol {service.protocol.upper()} -LocalPort {service.port} -LocalAddress {vip.address} -Profile Any",
        check=f"Get-NetFirewallRule -Name {name}",
        undo=f"Remove-NetFirewallRule -Name {name}",
    )


def _firewall_legacy(vip: Vip, service: Service) -> RunbookStep:
    name = f"dsr-{vip.address}-{service.protocol}-{service.port}"
    return _firewall(
        vip,
        service,
        f"netsh advfirewall firewall add rule name={name} dir=in action=allow "
        f"protocol={service.protocol.upper()} localip={vip.address} localport={service.port} profile=any",
        check=f"netsh advfirewall firewall show rule name={name}",
        undo=f"netsh advfirewall firewall delete rule name={name}",
    )


def _firewall(vip: Vip, service: Service, command: str, *, check: str, undo: str) -> RunbookStep:
    return RunbookStep(
        title=f"Firewall rule for {vip.address} {service.label}",
        why="An adapter without a gateway gets the public profile, which has the strictest rules. The rule applies "
        "to every profile; the firewall stays on.",
        commands=(command,),
        check=(check,),
        undo=(undo,),
        proves="vip.probe",
        vip=vip.address,
        service=service.label,
    )


def _sites(deployment: Deployment, server: RealServer) -> list[RunbookStep]:
    ports = sorted(
        {s.port for vip in deployment.vips_of(server) for s in vip.services if s.protocol == "tcp"}
    )  # fmt: skip
    vips = [vip.address for vip in deployment.vips_of(server)]
    if not ports:
        return []
    return [
        RunbookStep(
            title="IIS listens on the VIP",
            why="A site that is bound to one address does not answer on another, and a listen list of http.sys leaves "
            "out what is not in it. Nothing is to be done where the bindings say * and the list is empty.",
            hand=(
                f"IIS Manager, the site of port {', '.join(map(str, ports))}, Bindings: add the VIP, and keep the "
                "server's own address for health checks. For HTTPS choose the same certificate.",
                *(
                    f"Where the list is not empty: netsh http add iplisten ipaddress={vip}. The undo is: "
                    f"netsh http delete iplisten ipaddress={vip}"
                    for vip in vips
                ),
                "http.sys may read its list only when it starts: if the VIP stays silent, restart the server.",
            ),
            check=("netsh http show iplisten", *(f"netstat -an | findstr :{port}" for port in ports)),
            proves="vip.probe",
            every=True,
        )
    ]


STEPS: dict[System, Callable[[Deployment, RealServer], Built]] = {
    "windows-2003": _oldest,
    "windows-2008": _legacy,
    "windows-2012": _modern,
}
