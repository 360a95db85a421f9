"""The runbook of a Linux real server: at run time, and kept over a reboot by what manages its network."""

from __future__ import annotations

from dsrwizard.core.dialects.commands import IPV6_MANNER
from dsrwizard.core.model.deployment import Deployment, RealServer
from dsrwizard.core.tell.runbook.step import RunbookStep

GUARD = ("net.ipv4.conf.all.arp_ignore=1", "net.ipv4.conf.all.arp_announce=2")
FILE = "/etc/sysctl.d/90-dsr.conf"


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
                why=f"The server must own the VIP. Always /{vip.prefix}: with a shorter prefix it takes its own "
                "network for local and loses it.",
                commands=(f"ip addr add {vip.address}/{vip.prefix} dev {link}{manner}",),
                check=(f"ip addr show to {vip.address}",),
                undo=(f"ip addr del {vip.address}/{vip.prefix} dev {link}",),
                proves="vip.probe",
                vip=vip.address,
            )
        )
    found += [_kept(deployment, server), _listen(deployment, server), _way_back(deployment, server)]
    before = ("Everything as root. Guard first, address second: in between, the server would claim the VIP.",)
    return before, tuple(found)


def _guard() -> RunbookStep:
    return RunbookStep(
        title="Guard: stay silent about the VIP in ARP",
        why="Without it this server answers ARP for the VIP and takes the director's traffic. On `all`: on lo or on a "
        "dummy interface alone it does nothing.",
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
        why="An address set at run time is gone after the next reboot. Write it for the one thing that manages this "
        "server's network; the commands are for a systemd unit, which works beside all of them.",
        hand=(
            "ifupdown: `up ip addr replace …` lines in a stanza of their own in /etc/network/interfaces.d.",
            "NetworkManager: a dummy connection instead: "
            f"nmcli con add type dummy ifname dsr0 con-name dsr {addresses}",
            "netplan: the addresses under `lo:` in `ethernets:` of a file of their own, each with its /32.",
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
        why="The application must listen on the VIP or on all addresses, and the firewall must let its clients in. The "
        "port is that of the VIP: direct routing cannot change ports.",
        hand=("Where the application is bound to the server's own address, add the VIP to it, or bind it to all.",),
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
        title="Replies go by the router",
        why="Answers carry the VIP as source and must not come back to the director, which would drop them. The "
        "default gateway is the router, never the director (that is for NAT).",
        check=(
            f"ip {six}route get {client} from {vip.address}",
            "sysctl net.ipv4.conf.all.rp_filter    # 1 is strict: with the way back by another interface it drops",
        ),
    )
