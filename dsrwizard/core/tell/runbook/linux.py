"""The runbook of a Linux real server: settings at run time, and settings that survive a reboot."""

from __future__ import annotations

from dsrwizard.core.dialects.commands import IPV6_MANNER
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.tell.runbook.step import RunbookStep

GUARD = ("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
FILE = "/etc/sysctl.d/zzz-dsr.conf"


def steps(deployment: Deployment, server: RealServer) -> tuple[tuple[str, ...], tuple[RunbookStep, ...]]:
    """What to have at hand, and the steps: guard before address, as always."""
    vips = deployment.vips_of(server)
    link = server.vip_interface
    found: list[RunbookStep] = []
    if any(vip.ip.version == 4 for vip in vips):
        found.append(_guard())
    if link != "lo":
        found.append(
            RunbookStep(
                title=f"Dummy interface {link}",
                why="It carries the VIPs.",
                commands=(f"ip link add {link} type dummy", f"ip link set {link} up"),
                check=(f"ip link show {link}",),
                undo=(f"ip link del {link}",),
            )
        )
    for vip in vips:
        manner = IPV6_MANNER if vip.ip.version == 6 else ""
        found.append(
            RunbookStep(
                title=f"VIP {vip.address}/{vip.prefix} on {link}",
                why=f"The server must own the VIP. Always use /{vip.prefix}: with a shorter prefix the server would "
                "treat the whole network as local and lose its connection to it.",
                commands=(f"ip addr add {vip.address}/{vip.prefix} dev {link}{manner}",),
                check=(f"ip addr show to {vip.address}",),
                undo=(f"ip addr del {vip.address}/{vip.prefix} dev {link}",),
                proves="vip.probe",
                vip=vip.address,
            )
        )
    found += [_kept(deployment, server), _listen(deployment, server), _way_back(deployment, server)]
    before = (
        "Run everything as root. Set the ARP guard before the address: otherwise the server would claim the "
        "VIP in between.",
    )
    return before, tuple(found)


def _guard() -> RunbookStep:
    return RunbookStep(
        title="ARP guard: do not answer for the VIP",
        why="Without it, this server answers ARP for the VIP and takes the director's traffic. Set it on `all`: on "
        "lo or a dummy interface alone it has no effect.",
        commands=(
            f"printf '%s\\n' {' '.join(GUARD)} > {FILE}",
            *(f"sysctl -w {setting}" for setting in GUARD),
        ),
        check=tuple(f"sysctl {setting.partition('=')[0]}" for setting in GUARD),
        undo=(
            "# only when no VIP is left on this server:",
            f"rm {FILE}",
            *(f"sysctl -w {setting.partition('=')[0]}=0" for setting in GUARD),
        ),
        proves="arp.audit",
    )


def _kept(deployment: Deployment, server: RealServer) -> RunbookStep:
    link = server.vip_interface
    vips = deployment.vips_of(server)
    lines = [
        f"ExecStart=/sbin/ip addr replace {vip.address}/{vip.prefix} dev {link}"
        + (IPV6_MANNER if vip.ip.version == 6 else "")
        for vip in vips
    ]
    unit = "/etc/systemd/system/dsr-vip.service"
    body = "\n".join(
        [
            f"cat > {unit} <<'END'", "[Unit]", "Description=VIPs for Direct Server Return",
            "After=systemd-sysctl.service", "Before=network.target", "[Service]", "Type=oneshot",
            "RemainAfterExit=yes", *lines, "[Install]", "WantedBy=multi-user.target", "END",
        ]
    )  # fmt: skip
    addresses = " ".join(f"+ipv{vip.ip.version}.addresses {vip.address}/{vip.prefix}" for vip in vips)
    return RunbookStep(
        title="The VIP after a reboot",
        why="An address set at run time is lost at the next reboot. Configure it in the software that manages this "
        "server's network. The commands below create a systemd unit, which works with all of them.",
        hand=(
            "ifupdown: put `up ip addr replace …` lines in a separate stanza in /etc/network/interfaces.d.",
            "NetworkManager: use a dummy connection instead: nmcli con add type dummy ifname dsr0 con-name dsr "
            f"{addresses}",
            "netplan: add the addresses under `lo:` in `ethernets:` in a separate file, each as /32.",
        ),
        commands=(body, "systemctl daemon-reload", "systemctl enable dsr-vip.service"),
        check=("systemctl is-enabled dsr-vip.service",),
        undo=("systemctl disable dsr-vip.service", f"rm {unit}", "systemctl daemon-reload"),
    )


def _listen(deployment: Deployment, server: RealServer) -> RunbookStep:
    checks = [
        f"ss -H{'u' if service.protocol == 'udp' else 't'}ln 'sport = :{service.port}'"
        for vip in deployment.vips_of(server)
        for service in vip.services
    ]
    opened = [
        f"{'ip6tables' if vip.ip.version == 6 else 'iptables'} -I INPUT -d {vip.address} -p {service.protocol} "
        f"--dport {service.port} -j ACCEPT"
        for vip in deployment.vips_of(server)
        for service in vip.services
    ]
    return RunbookStep(
        title="Application and firewall",
        why="The application must listen on the VIP or on all addresses, and the firewall must let clients in. The "
        "port must be the VIP's port: direct routing cannot change ports.",
        hand=(
            "If the application is bound to the server's own address, also bind it to the VIP, or bind it to all "
            "addresses.",
        ),
        commands=("# only where the firewall drops them:", *dict.fromkeys(opened)),
        check=tuple(dict.fromkeys(checks)),
        undo=tuple(dict.fromkeys(line.replace(" -I ", " -D ") for line in opened)),
        proves="vip.probe",
        every=True,
    )


def _way_back(deployment: Deployment, server: RealServer) -> RunbookStep:
    vip = deployment.vips_of(server)[0]
    six = "-6 " if vip.ip.version == 6 else ""
    client = "2001:db8::1" if vip.ip.version == 6 else "192.0.2.1"
    return RunbookStep(
        title="Replies leave through the router",
        why="Replies have the VIP as source and must not go through the director, which would drop them. The "
        "default gateway must be the router, never the director (that is for NAT).",
        check=(
            f"ip {six}route get {client} from {vip.address}",
            "sysctl net.ipv4.conf.all.rp_filter    # 1 is strict: with the way back by another interface it drops",
        ),
    )
