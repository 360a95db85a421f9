"""Configuring N servers over SSH, side by side: the floor, dsrwizard's first and second run, ssh, pyinfra, Ansible.

    sudo python -m tests.bench.ssh_farm [N …]        default 20 and 50

The floor is a threaded paramiko program that connects once and sends one script that does all the work. Every row is a
program started from nothing, its imports included; the best of three rounds counts, each on servers that are as new.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.farm import Farm

VIP = "10.88.0.5"
ROUNDS = int(os.environ.get("ROUNDS", "3"))
REPOSITORY = Path(__file__).parents[2]
WORK = f"""
sysctl -qw net.ipv4.conf.all.arp_ignore=1
sysctl -qw net.ipv4.conf.all.arp_announce=2
printf 'net.ipv4.conf.all.arp_ignore = 1\\nnet.ipv4.conf.all.arp_announce = 2\\n' > /etc/sysctl.d/60-dsr.conf
ip addr show dev lo | grep -q {VIP}/32 || ip addr add {VIP}/32 dev lo
printf '[Service]\\nType=oneshot\\nExecStart=ip addr replace {VIP}/32 dev lo\\n' > /etc/systemd/system/dsr-vip.service
ip -j addr; sysctl net.ipv4.conf.all.arp_ignore
"""
RESET = f"""
ip addr del {VIP}/32 dev lo 2>/dev/null
sysctl -qw net.ipv4.conf.all.arp_ignore=0; sysctl -qw net.ipv4.conf.all.arp_announce=0
rm -rf /etc/sysctl.d/*dsr* /etc/systemd/system/*dsr*
"""
FLOOR = """
import sys, threading, paramiko
from concurrent.futures import ThreadPoolExecutor
key, known, script, *addresses = sys.argv[1:]
key = paramiko.Ed25519Key.from_private_key_file(key)
class Transport(paramiko.Transport):
    _preferred_kex = ("curve25519-sha256@libssh.org", *paramiko.Transport._preferred_kex)
def one(address):
    client = paramiko.SSHClient()
    client.load_host_keys(known)
    client.connect(address, username="root", pkey=key, allow_agent=False, look_for_keys=False,
                   transport_factory=Transport)
    stdin, stdout, stderr = client.exec_command("sh -s")
    stdin.write(script); stdin.channel.shutdown_write()
    stdout.read(); assert stdout.channel.recv_exit_status() == 0
    client.close()
with ThreadPoolExecutor(len(addresses)) as pool:
    list(pool.map(one, addresses))
"""
CONNECTOR = """
import sys
from concurrent.futures import ThreadPoolExecutor
from backends.ssh import open_ssh
from dsrwizard.core.model.deployment import RealServer
key, script, *addresses = sys.argv[1:]
class Nobody:
    def secret(self, question): return None
    def accept_key(self, question): return False
nobody = Nobody()
def one(address):
    server = RealServer(name="web", address=address, user="root", identity_file=key)
    connector = open_ssh("web", server, nobody)
    for _ in range(RUNS):
        assert connector.run(script, deadline=60).status == 0
    connector.close()
with ThreadPoolExecutor(len(addresses)) as pool:
    list(pool.map(one, addresses))
"""
PYINFRA = """
from pyinfra.operations import server
server.shell(name="dsr", commands=[open("{script}").read()], _sudo=False)
"""
ANSIBLE = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.posix.sysctl: {{name: net.ipv4.conf.all.arp_ignore, value: "1", sysctl_file: /etc/sysctl.d/60-dsr.conf}}
    - ansible.posix.sysctl: {{name: net.ipv4.conf.all.arp_announce, value: "2", sysctl_file: /etc/sysctl.d/60-dsr.conf}}
    - script: {script}
"""


@dataclass
class Row:
    """One way of doing the work. `keeps`: it runs on what the row before it has done."""

    name: str
    command: list[str]
    keeps: bool = False


def rows(farm: Farm, home: Path) -> Iterator[Row]:
    """The programs that are here; a word on standard error for one that is not."""
    python, key, known = sys.executable, str(farm.key), str(farm.known_hosts)
    yield Row("floor: paramiko, one script", [python, "-c", FLOOR, key, known, WORK, *farm.addresses])
    yield Row("connector alone, one script", [python, "-c", CONNECTOR.replace("RUNS", "1"), key, WORK, *farm.addresses])
    yield Row(
        "connector alone, two scripts", [python, "-c", CONNECTOR.replace("RUNS", "2"), key, WORK, *farm.addresses]
    )
    script = home / "work.sh"
    script.write_text(WORK)
    options = f"-F none -i {key} -o UserKnownHostsFile={known} -o BatchMode=yes"
    hosts = " ".join(farm.addresses)
    parallel = f"for host in {hosts}; do ssh {options} root@$host sh -s < {script} >/dev/null & done; wait"
    yield Row("ssh in parallel", ["sh", "-c", parallel])
    deployment = home / "farm.toml"
    deployment.write_text(_deployment(farm))
    apply = [python, "-m", "dsrwizard", "apply", str(deployment), "--yes"]
    yield Row("dsrwizard apply, first run", apply)
    yield Row("dsrwizard apply, second run", apply, keeps=True)
    if shutil.which("pyinfra"):
        (home / "deploy.py").write_text(PYINFRA.format(script=script))
        listed = home / "inventory.py"  # as an argument, fifty addresses are taken for one long file name
        listed.write_text(f"servers = {farm.addresses!r}\n")
        login = ["--ssh-user", "root", "--ssh-key", key]
        yield Row("pyinfra", ["pyinfra", "-y", *login, str(listed), str(home / "deploy.py")])
    else:
        print("pyinfra is not on PATH: no row", file=sys.stderr)
    if shutil.which("ansible-playbook"):
        (home / "play.yml").write_text(ANSIBLE.format(script=script))
        inventory = ",".join(farm.addresses) + ","
        login = ["-u", "root", "--private-key", key, "-f", str(farm.count)]
        login += ["--ssh-common-args", f"-F none -o UserKnownHostsFile={known}"]
        yield Row("ansible", ["ansible-playbook", "-i", inventory, *login, str(home / "play.yml")])
    else:
        print("ansible-playbook is not on PATH: no row", file=sys.stderr)


def _deployment(farm: Farm) -> str:
    lines = [
        'name = "farm"',
        "[director]",
        'interface = "br0"',
        'engine = "external"',
        "[[vips]]",
        f'address = "{VIP}"',
    ]
    lines += ["[[vips.services]]", "port = 80"]
    for number, address in enumerate(farm.addresses):
        lines += ["[[servers]]", f'name = "web{number}"', f'address = "{address}"', 'user = "root"']
        lines += [f'identity_file = "{farm.key}"']
    return "\n".join(lines) + "\n"


@contextmanager
def _home(farm: Farm) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        (home / ".ssh").mkdir(mode=0o700)
        shutil.copy(farm.known_hosts, home / ".ssh" / "known_hosts")
        yield home


def _used() -> float:
    """Seconds of CPU of the commands that have run so far, the servers' part not counted."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(count: int) -> None:
    """Prints the table for `count` servers."""
    with Farm(Path(tempfile.gettempdir()) / f"dsr-farm-{os.getpid()}", count) as farm:
        best: dict[str, tuple[float, float]] = {}
        for _ in range(ROUNDS):
            with _home(farm) as home:
                environment = {"HOME": str(home), "PYTHONPATH": str(REPOSITORY), "XDG_STATE_HOME": str(home / "state")}
                for row in rows(farm, home):
                    if not row.keeps:
                        for number in range(count):
                            farm.on(number, RESET)
                    begin, used = time.perf_counter(), _used()
                    result = farm.run(row.command, **environment)
                    seconds, used = time.perf_counter() - begin, _used() - used
                    if result.returncode:
                        print(f"{row.name}: failed: {(result.stderr or result.stdout)[-400:]}", file=sys.stderr)
                        continue
                    best[row.name] = min((seconds, used), best.get(row.name, (seconds, used)))
    if not best:
        raise SystemExit("Nothing ran.")
    floor = next(iter(best.values()))[0]
    print(f"{count} servers")
    for name, (seconds, used) in best.items():
        print(f"  {name:32} {seconds:7.2f} s  {seconds / floor:5.2f} × the floor  {used:6.2f} s of CPU here")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the farm is taken down, too
    for argument in sys.argv[1:] or ["20", "50"]:
        measure(int(argument))
