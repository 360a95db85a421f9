"""The lab is what it says: its network, its services, and the launcher that joins a command to this terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from backends.lab import network
from tests.fakes.started import started
from tests.lab import harness
from tests.lab.harness import Lab, LabDied

ROOT = Path(__file__).resolve().parents[2]
LAUNCH = """
import sys
from backends.lab import run
from dsrwizard.core.model.errors import DsrError
try:
    sys.exit(run(sys.argv[1:]))
except DsrError as error:
    print("\\n".join(error.lines()), file=sys.stderr)
    sys.exit(error.exit_code)
"""
POWER_OFF = "from backends.lab.inside import kernel; kernel.power_off()"


def launcher(*command: str) -> list[str]:
    return [sys.executable, "-c", LAUNCH, *command]


def guests_of(process_group: int) -> list[str]:
    """Host processes that belong to guests of launchers in that session or group: children that still live."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and process_group in {int(fields[1]), int(fields[2])}:
            alive.append(stat.parent.name)
    return alive


# --- the network ------------------------------------------------------------------------------------------------


def test_every_host_has_its_own_name_address_and_etc(lab: Lab) -> None:
    for host in network.HOSTS:
        shown = lab.run(host.name, "hostname; cat /etc/hostname; ip -br addr show eth0; ip link show eth0").ok().stdout
        assert shown.splitlines()[:2] == [host.name, host.name]
        assert f"{host.address}/24" in shown
        assert f"{host.address6}/64" in shown
        assert host.mac in shown
        assert f"address {host.address}/24" in lab.read(host.name, "/etc/network/interfaces")
        assert lab.exists(host.name, "/etc/network/interfaces.d")
        assert not lab.exists(host.name, "/run/systemd/system")


def test_a_file_of_one_host_is_not_on_another(lab: Lab) -> None:
    for path in ("/etc/sysctl.d/99-x.conf", "/usr/local/sbin/x", "/run/x", "/var/lib/x"):
        lab.put(path, "x", host="web1")
        assert lab.read("web1", path) == "x"
        assert not lab.exists("web2", path)


def test_sysctls_belong_to_one_host(lab: Lab) -> None:
    lab.run("web1", "sysctl -qw net.ipv4.conf.all.arp_ignore=1").ok()
    assert lab.read("web1", "/proc/sys/net/ipv4/conf/all/arp_ignore") == "1\n"
    assert lab.read("web2", "/proc/sys/net/ipv4/conf/all/arp_ignore") == "0\n"
    assert lab.run("web2", "ls /sys/class/net").stdout.split() == ["eth0", "lo"]


@pytest.mark.parametrize("server", network.SERVERS, ids=lambda server: server.name)
def test_the_client_reaches_every_server_through_the_router(lab: Lab, server: network.Host) -> None:
    assert lab.request(server.address) == server.name
    assert lab.request(server.address6) == server.name
    assert lab.echo(server.address, "one two") == f"{server.name} one two"
    assert lab.echo(server.address6, "one two") == f"{server.name} one two"
    route = lab.run("client", ["ip", "route", "get", server.address]).ok().stdout
    assert f"via {network.ROUTER_OUTSIDE}" in route


def test_udp_answers_leave_from_the_address_that_was_asked(lab: Lab) -> None:
    # A connected socket drops answers from any other address, and these are not what the route would choose.
    lab.run("web2", "ip addr add 10.0.0.77/32 dev lo; ip addr add fd00:10::77/128 dev lo").ok()
    assert lab.echo("10.0.0.77", host="director") == "web2 hello"
    lab.run("director", "ip -6 route add fd00:10::77/128 via fd00:10::102").ok()
    assert lab.echo("fd00:10::77", host="director") == "web2 hello"


def test_the_service_stops_and_starts_on_one_address(lab: Lab) -> None:
    lab.stop_service("web3")
    assert lab.request("10.0.0.103", seconds=2) == ""
    lab.run("web3", "ip addr add 10.0.0.78/32 dev lo").ok()
    lab.start_service("web3", "10.0.0.103")
    assert lab.request("10.0.0.103", host="director") == "web3"
    assert lab.request("10.0.0.78", host="director", seconds=2) == ""
    lab.stop_service("web3")
    lab.start_service("web3")
    assert lab.request("10.0.0.78", host="director") == "web3"


def test_a_stream_goes_on_until_nobody_listens(lab: Lab) -> None:
    with lab.spawn("client", ["curl", "-sN", "http://10.0.0.101/stream"]) as stream:
        stream.expect(5 * "web1\n")


# --- SSH --------------------------------------------------------------------------------------------------------


SSH = ["env", "LC_ALL=C", "ssh"]
"""In Turkish, where I is no capital of i, OpenSSH does not know the names of its own options."""


@pytest.mark.parametrize("host", [host for host in network.HOSTS if host.ssh], ids=lambda host: host.name)
def test_the_director_logs_in_by_key(lab: Lab, host: network.Host) -> None:
    for address in (host.address, host.address6, host.name):
        command = [*SSH, "-i", "/lab/root/.ssh/id_ed25519", "-o", "BatchMode=yes", f"root@{address}", "hostname"]
        assert lab.run("director", command).ok().stdout == host.name + "\n"


def test_known_hosts_can_be_forgotten_and_a_changed_key_is_refused(lab: Lab) -> None:
    ssh = [*SSH, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "root@web1", "true"]
    lab.forget_hosts()
    assert "Host key verification failed" in lab.run("director", ssh).stderr
    lab.know_hosts()
    lab.run("director", ssh).ok()
    lab.change_host_key("web2")
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in lab.run("director", [*ssh[:-2], "root@web2", "true"]).stderr


def test_passwords_are_real(lab: Lab) -> None:
    script = f"""
import paramiko
for host, user, password in [("web1", "root", {harness.ROOT_PASSWORD!r}), ("web1", "root", "wrong"),
                             ({harness.OPS_HOST!r}, {harness.OPS_USER!r}, {harness.OPS_PASSWORD!r})]:
    transport = paramiko.Transport((host, 22))
    transport.start_client()
    try:
        transport.auth_password(user, password)
        print(user, "in")
    except paramiko.AuthenticationException:
        print(user, "refused")
    transport.close()
"""
    shown = lab.run("director", [sys.executable, "-c", script]).ok().stdout
    assert shown.splitlines() == ["root in", "root refused", "ops in"]


def test_ops_may_use_sudo_with_the_password(lab: Lab) -> None:
    if lab.run("web3", "command -v sudo").status:
        pytest.skip("sudo is not installed on this machine")
    ssh = [*SSH, "-o", "BatchMode=yes", f"{harness.OPS_USER}@{harness.OPS_HOST}", "sudo -k -S -p '' id -un"]
    assert lab.run("director", ssh, stdin=harness.OPS_PASSWORD + "\n").ok().stdout == "root\n"
    assert lab.run("director", ssh, stdin="wrong\n").status != 0


# --- the kernel -------------------------------------------------------------------------------------------------


def test_ipvs_is_loaded_when_asked_for_and_schedulers_by_themselves(lab: Lab) -> None:
    assert "ip_vs" not in lab.read("director", "/proc/modules")
    lab.run("director", "modprobe ip_vs").ok()
    for scheduler in ("rr", "wrr", "lc", "wlc", "sh", "dh", "sed", "nq", "lblc", "lblcr", "mh", "fo", "ovf"):
        lab.run("director", f"ipvsadm -A -t 10.0.0.9:80 -s {scheduler} && ipvsadm -D -t 10.0.0.9:80").ok()
    for module in ("dummy", "macvlan", "ipip", "iptable_filter", "xt_tcpudp"):
        lab.run("director", ["modprobe", module]).ok()


def test_requests_through_ipvs_reach_every_server(lab: Lab) -> None:
    lab.run("director", f"modprobe ip_vs; ip addr add {network.VIP}/32 dev eth0; ipvsadm -A -t {network.VIP}:80 -s rr")
    for server in network.SERVERS:
        guard = "sysctl -qw net.ipv4.conf.all.arp_ignore=1 net.ipv4.conf.all.arp_announce=2"
        lab.run(server.name, f"{guard}; ip addr add {network.VIP}/32 dev lo").ok()
        lab.run("director", f"ipvsadm -a -t {network.VIP}:80 -r {server.address} -g").ok()
    answers = lab.requests(network.VIP, 6)
    assert sorted(answers) == sorted(2 * harness.SERVERS)


# --- the harness ------------------------------------------------------------------------------------------------


def test_large_outputs_and_inputs_arrive_whole(lab: Lab) -> None:
    text = "0123456789abcde\n" * 65536  # 1 MiB
    assert lab.run("web1", "cat", stdin=text).ok().stdout == text
    both = lab.run("web1", "head -c 300000 /dev/zero | tr '\\0' o; head -c 300000 /dev/zero | tr '\\0' e >&2").ok()
    assert (both.stdout, both.stderr) == ("o" * 300000, "e" * 300000)


def test_status_signals_and_timeouts(lab: Lab) -> None:
    assert lab.run("router", "exit 9").status == 9
    assert lab.run("router", "kill -TERM $$").status == 128 + signal.SIGTERM
    assert lab.run("router", ["no-such-program"]).status == 127
    with pytest.raises(TimeoutError):
        lab.run("router", "exec sleep 100", timeout=1)
    with lab.spawn("router", "echo said; exec sleep 100") as late:
        late.expect("said")
        with pytest.raises(TimeoutError, match="said"):
            late.wait(0.1)
    with lab.spawn("router", "echo up; exec sleep 100") as sleeper:
        sleeper.expect("up")
        assert lab.run("web1", "echo meanwhile").stdout == "meanwhile\n"
        sleeper.signal(signal.SIGTERM)
        assert sleeper.wait().status == 128 + signal.SIGTERM


def test_a_command_may_have_a_terminal(lab: Lab) -> None:
    with lab.spawn("director", ["bash", "--norc"], terminal=(33, 101)) as shell:
        shell.send("stty size; tty\n")
        shell.expect("33 101")
        shell.resize(40, 120)
        shell.send("stty size\n")
        shell.expect("40 120")
        shell.send("sh -c 'echo go; exec sleep 100'\n")
        shell.expect("go\r\n")
        shell.send("\x03")
        shell.send("echo ended $?\n")
        shell.expect("ended 130")
        shell.send("exit 3\n")
        assert shell.wait().status == 3


def test_a_dead_guest_is_reported_with_its_log() -> None:
    with Lab() as lab, pytest.raises(LabDied, match="ready"):
        lab.run("director", [sys.executable, "-c", POWER_OFF])


# --- the launcher -----------------------------------------------------------------------------------------------


def test_the_launcher_returns_output_errors_and_status_untouched() -> None:
    script = "cat; echo out; echo err >&2; hostname; echo $DSRWIZARD_LAB; exit 7"
    got = subprocess.run(
        launcher("bash", "-c", script), input=b"in\n\x03\x04\xff\r\n", capture_output=True, cwd=ROOT, check=False
    )
    assert got.stdout == b"in\n\x03\x04\xff\r\nout\ndirector\n/lab/shop.toml\n"
    assert got.stderr == b"err\n"
    assert got.returncode == 7


def test_the_command_line_passes_streams_and_status_through() -> None:
    got = subprocess.run(
        [sys.executable, "-m", "dsrwizard", "lab", "--", "sh", "-c", "cat; hostname; echo err >&2; exit 7"],
        input=b"in\n", capture_output=True, cwd=ROOT, check=False,
    )  # fmt: skip
    assert (got.stdout, got.stderr, got.returncode) == (b"in\ndirector\n", b"err\n", 7)


def test_the_user_s_home_and_environment_stay_out() -> None:
    env = os.environ | {"SSH_AUTH_SOCK": "/nowhere", "XDG_STATE_HOME": "/nowhere", "NO_COLOR": "1", "LANG": "C.UTF-8"}
    script = "echo ~ $HOME; env; cat ~/.ssh/known_hosts; cat $DSRWIZARD_LAB"
    got = subprocess.run(
        launcher("bash", "-c", script), stdin=subprocess.DEVNULL, capture_output=True, cwd=ROOT, check=False, env=env
    )
    shown = got.stdout.decode()
    assert shown.startswith("/lab/root /lab/root\n")
    assert "NO_COLOR=1\n" in shown
    assert "LANG=C.UTF-8\n" in shown
    assert "/nowhere" not in shown
    assert "ssh-ed25519" not in shown  # nothing is known in advance
    assert shown.endswith(network.deployment("~/.ssh/id_ed25519"))


def test_a_missing_kernel_is_one_clear_error(tmp_path: Path) -> None:
    env = os.environ | {"PATH": str(tmp_path)}
    got = subprocess.run(launcher("true"), capture_output=True, text=True, cwd=ROOT, check=False, env=env)
    assert got.returncode == 3
    assert got.stdout == ""
    what, why, mend = got.stderr.splitlines()
    assert what == "The lab cannot start on this machine."
    assert "linux.uml" in why
    assert mend.startswith("Install what is missing: sudo apt-get install ")
    assert "user-mode-linux" in mend


def test_the_wizard_without_a_terminal_is_one_clear_error() -> None:
    got = subprocess.run(launcher(), stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=ROOT, check=False)
    assert got.returncode == 3
    assert got.stderr.splitlines()[0] == "The wizard needs a terminal, and there is none here."
    assert "dsrwizard lab -- " in got.stderr.splitlines()[2]


@pytest.mark.parametrize(
    ("number", "ignored"),
    [
        (signal.SIGINT, []),
        (signal.SIGTERM, [signal.SIGINT, signal.SIGHUP]),  # as in a background job of a script below nohup
        (signal.SIGHUP, []),
    ],
)
def test_a_signal_ends_the_guest_and_leaves_nothing(
    number: signal.Signals, ignored: list[signal.Signals], tmp_path: Path
) -> None:
    env = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        started(launcher("bash", "-c", "echo up; exec sleep 100"), ignored),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=env,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        assert len(list(tmp_path.iterdir())) == 1
        groups = {int(pid) for pid in guests_of(process.pid)} - {process.pid}
        assert groups
        for other in ignored:
            process.send_signal(other)
        process.send_signal(number)
        assert process.wait(harness.PATIENCE) == 128 + number
    assert not list(tmp_path.iterdir())
    end = time.monotonic() + harness.PATIENCE  # a killed process may take a moment to be gone
    while left := [pid for group in groups for pid in guests_of(group)]:
        assert time.monotonic() < end, left
        time.sleep(0.1)


class Terminal:
    """A pseudo-terminal with a program on it, as a person sees it."""

    def __init__(self, argv: list[str], rows: int, cols: int, env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.resize(rows, cols)
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        self.process = subprocess.Popen(
            argv, stdin=slave, stdout=slave, stderr=slave, cwd=ROOT, env=os.environ | env, start_new_session=True
        )
        self.shown = b""

    def resize(self, rows: int, cols: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def expect(self, text: bytes, seconds: float = harness.PATIENCE) -> None:
        end = time.monotonic() + seconds
        while text not in self.shown:
            left = end - time.monotonic()
            assert left > 0, f"no {text!r} in {self.shown!r}"
            if select.select([self.master], [], [], left)[0]:
                self.shown += os.read(self.master, 65536)
        self.shown = self.shown.partition(text)[2]

    def type(self, text: bytes) -> None:
        os.write(self.master, text)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def test_a_shell_on_a_real_terminal() -> None:
    env = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LINES": "1", "COLUMNS": "2"}
    terminal = Terminal(launcher("bash", "--norc"), 37, 113, env)
    try:
        terminal.expect(b"# ")
        terminal.type(b"echo [$(stty size) $TERM $COLORTERM]\n")
        terminal.expect(b"[37 113 xterm-256color truecolor]")
        terminal.resize(50, 140)
        terminal.process.send_signal(signal.SIGWINCH)
        terminal.type(b"until [ \"$(stty size)\" = '50 140' ]; do :; done; echo re''sized\n")
        terminal.expect(b"resized")
        terminal.type(b"sh -c 'echo go; exec sleep 100'\n")
        terminal.expect(b"go\r\n")
        terminal.type(b"\x1a")
        terminal.expect(b"[1]+")  # the word after it is in the user's language
        terminal.type(b"kill %1\nexit 5\nexit 5\n")  # the first is refused while the job has not died yet
        assert terminal.process.wait(harness.PATIENCE) == 5
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()


def test_a_killed_launcher_restores_the_terminal() -> None:
    terminal = Terminal(launcher("bash", "--norc"), 24, 80, {"TERM": "xterm"})
    try:
        terminal.expect(b"# ")
        assert termios.tcgetattr(terminal.slave) != terminal.before
        terminal.process.terminate()
        terminal.expect(b"\x1b[?1049l")
        assert terminal.process.wait(harness.PATIENCE) == 128 + signal.SIGTERM
        assert termios.tcgetattr(terminal.slave) == terminal.before
    finally:
        terminal.close()


def test_a_guest_whose_launcher_was_killed_hard_ends_by_itself(tmp_path: Path) -> None:
    place = tmp_path / "a blank"
    place.mkdir()
    env = os.environ | {"TMPDIR": str(place)}
    with subprocess.Popen(
        launcher("bash", "-c", "echo up; exec sleep 100"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env=env,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        (kernel,) = (int(pid) for pid in guests_of(process.pid) if int(pid) != process.pid)
        process.kill()
    end = time.monotonic() + harness.PATIENCE
    while guests_of(kernel):
        assert time.monotonic() < end, f"still there: {guests_of(kernel)}"
        time.sleep(0.1)
