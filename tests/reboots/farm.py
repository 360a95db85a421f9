"""A farm of real Debian machines: a client, directors, and a real server for each network manager."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tests.reboots.guests import Guest, Segment

T = TypeVar("T")
MANAGERS = ("networkd", "ifupdown", "nm", "netplan")
ADDRESS = {
    "client": "10.0.0.50", "networkd": "10.0.0.101", "ifupdown": "10.0.0.102", "nm": "10.0.0.103",
    "netplan": "10.0.0.104", "director-networkd": "10.0.0.2", "director-ifupdown": "10.0.0.3",
    "director-nm": "10.0.0.4", "director-netplan": "10.0.0.5", "lb1": "10.0.0.6", "lb2": "10.0.0.7",
}  # fmt: skip
DIRECTORS = ("director-networkd", "director-ifupdown", "director-nm", "director-netplan")
PAIR = {"lb1": "networkd", "lb2": "ifupdown"}
"""Two directors that share a VIP by keepalived, and their network managers. The first is the preferred one."""
VIP = {
    "director-networkd": "10.0.0.10", "director-ifupdown": "10.0.0.11", "director-nm": "10.0.0.12",
    "director-netplan": "10.0.0.13", **dict.fromkeys(PAIR, "10.0.0.14"),
}  # fmt: skip
PREEMPT_SECONDS = 3
"""How long the preferred director of the pair waits: a minute, its default, would be waited for at every reboot."""
BGP_NAME, BGP_VIP = "shop-bgp", "203.0.113.10"
VIP6 = "fd00::10"
FIRST = "director-networkd"
"""The director with which real servers are tried; its deployment has an IPv6 VIP, too."""
SEEDED = Path(__file__).parent / "seeded"
"""What runs in a guest and is no part of the image: a change of it builds none."""
_SITE = "/opt/dsrwizard/lib/python3.11/site-packages"


def mac(name: str) -> str:
    return "02:00:" + bytes(map(int, ADDRESS[name].split("."))).hex(":")


def manager_of(machine: str) -> str:
    """Its network manager; a real server is called by it."""
    return PAIR.get(machine) or machine.removeprefix("director-")


def name_of(director: str) -> str:
    """The deployment of a director: each has one of its own, but for the pair."""
    return "shop-pair" if director in PAIR else "shop-" + director.removeprefix("director-")


def network(manager: str, address: str, last: str) -> dict[str, str]:
    """The files by which a network manager gives vec0 its addresses."""
    if manager == "client":  # it is the router of the others, too
        own = f"[Match]\nName=vec0\n[Network]\nAddress={address}/24\nAddress=10.0.0.1/24\nAddress=fd00::1/64\n"
        return {"/etc/systemd/network/10-vec0.network": own}
    four, six, router, router6 = f"{address}/24", f"fd00::{last}/64", "10.0.0.1", "fd00::1"
    if manager == "networkd":
        return {
            "/etc/systemd/network/10-vec0.network": f"[Match]\nName=vec0\n[Network]\nAddress={four}\nAddress={six}\n"
            f"Gateway={router}\nGateway={router6}\nIPv6AcceptRA=no\n"
        }
    if manager == "ifupdown":
        return {
            "/etc/network/interfaces": "source /etc/network/interfaces.d/*\nauto lo\niface lo inet loopback\n"
            "auto vec0\n"
            f"iface vec0 inet static\n    address {four}\n    gateway {router}\n"
            f"iface vec0 inet6 static\n    address {six}\n    gateway {router6}\n    accept_ra 0\n    dad-attempts 0\n"
        }
    if manager == "nm":
        return {
            "/etc/NetworkManager/system-connections/vec0.nmconnection": "[connection]\nid=vec0\ntype=ethernet\n"
            f"interface-name=vec0\n[ipv4]\nmethod=manual\naddress1={four},{router}\n"
            f"[ipv6]\nmethod=manual\naddress1={six},{router6}\n"
        }
    return {
        "/etc/netplan/10-vec0.yaml": "network:\n  version: 2\n  renderer: networkd\n  ethernets:\n    vec0:\n"
        f"      addresses: [{four}, '{six}']\n      accept-ra: false\n"
        f"      routes: [{{to: default, via: {router}}}, {{to: default, via: '{router6}'}}]\n"
    }


def of_pair() -> str:
    """What makes a deployment one of two directors."""
    _, other = PAIR
    return (
        f'engine = "keepalived"\nguard = true\n[director.vrrp]\npreempt_delay = {PREEMPT_SECONDS}\n'
        f'[[director.peers]]\nname = "{other}"\naddress = "{ADDRESS[other]}"\nuser = "root"\n'
    )


class Farm(Segment):
    """`image`: of all guests; `code`: the folder with the product."""

    def __init__(self, folder: Path, image: Path, code: Path) -> None:
        super().__init__(folder)
        self._image, self._code = image, code
        self.at: dict[str, Guest] = {}
        self.servers: tuple[str, ...] = ()
        self._keys = folder / "keys"
        self._keys.mkdir()
        for name in ("identity", *ADDRESS):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", self._keys / name],
                check=True, stdin=subprocess.DEVNULL,
            )  # fmt: skip

    def __enter__(self) -> Farm:
        super().__enter__()
        return self

    # --- machines

    def boot(self, *names: str) -> None:
        """Starts machines side by side and waits until they are up."""
        for name in names:
            manager, director = manager_of(name), name in VIP
            guest = Guest(
                self.dir, name, self._image, self.socket, mac(name), self._seed(name, manager), 512 if director else 256
            )
            if director:
                for part in ("dsrwizard", "backends", "screens"):
                    guest.add(self._code / part, f"{_SITE}/{part}")
            self.guests.append(guest)
            self.at[name] = guest
            if name in MANAGERS:
                self.servers += (name,)
        self.each(names, lambda name: self.at[name].start())
        self.each(names, self._up)

    def _up(self, name: str) -> None:
        self.at[name].ready()
        self.at[name].up(ADDRESS[name])

    def each(self, names: Sequence[str], work: Callable[[str], T]) -> dict[str, T]:
        """Does something on several machines at once."""
        with ThreadPoolExecutor(len(names) or 1) as pool:
            return dict(zip(names, pool.map(work, names), strict=True))

    def reboot(self, *names: str) -> None:
        def one(name: str) -> None:
            self.at[name].reboot()
            self.at[name].up(ADDRESS[name])

        self.each(names, one)

    def cut(self, *names: str) -> None:
        """Cuts the power of machines at once, and lets them boot."""
        for name in names:
            self.at[name].cut()
        self.each(names, lambda name: self.at[name].start())
        self.each(names, self._up)

    def _seed(self, name: str, manager: str) -> dict[str, str]:
        public = {one: " ".join((self._keys / f"{one}.pub").read_text().split()[:2]) for one in ADDRESS}
        files = {
            "/root/.ssh/authorized_keys": (self._keys / "identity.pub").read_text(),
            "/etc/hosts": "127.0.0.1 localhost\n", "/etc/hostname": f"{name}\n",
            "/etc/ssh/ssh_host_ed25519_key": (self._keys / name).read_text(),
            **{f"/lab/{one.name}": one.read_text("utf-8") for one in SEEDED.iterdir() if one.is_file()},
            "/lab/first": f"sh /lab/manage {'networkd' if manager == 'client' else manager}\n",
        }  # fmt: skip
        if name in VIP:
            files["/root/.ssh/id_ed25519"] = (self._keys / "identity").read_text()
            files["/root/.ssh/known_hosts"] = "".join(f"{ADDRESS[one]} {key}\n" for one, key in public.items())
        if name in PAIR:  # a boot does not wait for names that nobody tells it
            files["/etc/resolv.conf"] = "nameserver 192.0.2.53\n"
        last = ADDRESS[name].rpartition(".")[2]
        return files | network(manager, ADDRESS[name], last)

    # --- the product

    def deployment(self, director: str) -> str:
        first = director == FIRST
        text = f'name = "{name_of(director)}"\n[director]\ninterface = "vec0"\n'
        if director in PAIR:
            text += of_pair()
        for vip in (VIP[director], VIP6) if first else (VIP[director],):
            text += f'[[vips]]\naddress = "{vip}"\n[[vips.services]]\nprotocol = "tcp"\nport = 80\n'
            text += "" if director in PAIR else 'scheduler = "rr"\n'
        text += self._behind(first)
        return f'{text}[client]\naddress = "{ADDRESS["client"]}"\nuser = "root"\n'

    def announcing(self) -> str:
        """A deployment whose director tells a router of the VIP: the client is that router."""
        return (
            f'name = "{BGP_NAME}"\n[director]\ninterface = "vec0"\nguard = true\n'
            '[director.bgp]\nneighbour = "10.0.0.1"\nlocal_as = 65010\nneighbour_as = 65000\n'
            f'[[vips]]\naddress = "{BGP_VIP}"\n[[vips.services]]\nport = 80\n{self._behind(False)}'
        )

    def _behind(self, first: bool) -> str:
        """The real servers."""
        text = ""
        for name in self.servers:
            six = f'address6 = "fd00::{ADDRESS[name].rpartition(".")[2]}"\n' if first else ""
            text += f'[[servers]]\nname = "{name}"\naddress = "{ADDRESS[name]}"\n{six}connect = "ssh"\nuser = "root"\n'
        return text

    def dsrwizard(self, director: str, words: str, seconds: float = 300, text: str = "") -> tuple[int, str]:
        """Runs a command with the director's own deployment, or another one: exit code and what it printed."""
        guest = self.at[director]
        file = f"/root/{name_of(director)}.toml"
        script = f"cat >{file} <<'X'\n{text or self.deployment(director)}X\nexport HOME=/root LC_ALL=C.UTF-8\ncd\n"
        command, _, options = words.partition(" ")
        return guest.result(guest.send(f"{script}/opt/dsrwizard/bin/dsrwizard {command} {file} {options}"), seconds)

    def apply(self, director: str) -> str:
        """Empty, or what went wrong."""
        code, said = self.dsrwizard(director, "apply --yes 2>&1")
        return "" if code == 0 else f"apply: {code}: {said[-600:]}"

    def verdict(self, director: str) -> tuple[str, list[str]]:
        """The verdict, and the causes and checks that are not passed."""
        code, said = self.dsrwizard(director, "verify --json 2>&1")
        try:
            report: dict[str, Any] = json.loads(said)
        except ValueError:
            return f"verify ended with {code}: {said[-300:]}", []
        wrong = [
            f"{one['cause'] or one['check']} on {one['host']}: {one['message']}"
            for one in report["checks"] if one["outcome"] in ("fail", "unknown")
        ]  # fmt: skip
        return report["verdict"], wrong

    def served(self, director: str) -> str:
        """Empty where the client reaches every server through the VIP in turn, otherwise what it got."""
        got = self.at["client"].run(f"python3 /lab/get.py {VIP[director]} {2 * len(self.servers)}", 60).split()
        return "" if sorted(got) == sorted([*self.servers] * 2) else f"the client got {' '.join(got)}"

    # --- looking

    def state(self, server: str, vips: Sequence[str]) -> str:
        """Empty where the server holds every VIP and the guard, otherwise what is missing."""
        said = self.at[server].run(
            "ip -o addr show; sysctl net.ipv4.conf.all.arp_ignore net.ipv4.conf.all.arp_announce; systemctl --failed "
            "--no-legend"
        )
        wrong = [f"no {vip}" for vip in vips if f" {vip}/{128 if ':' in vip else 32} " not in said]
        wrong += [line for line in ("arp_ignore = 1", "arp_announce = 2") if f"all.{line}" not in said]
        wrong += [line.strip() for line in said.splitlines() if ".service" in line]
        return "; ".join(wrong)

    def manifest(self, name: str) -> list[str]:
        """Every file of /etc and its like with mode, owner and digest, the addresses, and the settings that matter."""
        return (
            self.at[name]
            .run(
                "cd /; w='etc usr/lib/systemd usr/local root/.ssh var/spool'; "
                "find $w -xdev ! -type d -printf '%p %m %u %l\\n' | sort; "
                "find $w -xdev -type d -printf '%p %m %u\\n' | sort; "
                "find $w -xdev -type f -print0 | sort -z | xargs -0 sha1sum | cut -c1-12,41-; "
                "ls -d /var/lib/dsrwizard 2>/dev/null; ip -o addr | awk '{print $2,$3,$4}'; "
                "grep -s . /proc/sys/net/ipv4/conf/*/arp_* /proc/sys/net/ipv4/conf/*/send_redirects "
                "/proc/sys/net/ipv6/conf/*/keep_addr_on_down"
            )
            .splitlines()
        )

    def asking(self, director: str, most: float) -> Callable[[], list[str]]:
        """The client asks the VIP all the time. What is returned waits until it is answered, at most so many seconds,
        and tells what it saw: every change, and the end."""
        client = self.at["client"]
        stop = client.dir / "ctl" / f"stop-{director}"
        stop.unlink(missing_ok=True)
        number = client.send(f"python3 -u /lab/ask.py {VIP[director]} /lab/host/{stop.name}")

        def answered(seconds: float) -> None:
            end = time.monotonic() + seconds
            while time.monotonic() < end and not client.said(number).rstrip().endswith(" ok"):
                time.sleep(0.2)

        answered(most)  # it has begun, and nothing is wrong yet

        def seen() -> list[str]:
            answered(most)
            time.sleep(1)
            stop.touch()
            return client.result(number, 60)[1].splitlines()

        return seen


def outage(seen: list[str]) -> tuple[float, int]:
    """The longest time without an answer in seconds, and how often a connection was refused."""
    longest, bad_since, refused = 0.0, None, 0
    for line in seen:
        when, what = line.split()[:2]
        refused += what == "ConnectionRefusedError"
        if what in ("ok", "end"):
            longest = max(longest, float(when) - bad_since) if bad_since is not None else longest
            bad_since = None
        elif bad_since is None:
            bad_since = float(when)
    return longest, refused
