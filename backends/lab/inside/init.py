"""The guest's first process: mounts, modules, hosts and cables, then the agent.

Every host gets a root of its own: this machine's files, read-only, under the lab's own files, under memory. So a host
may write anywhere, and this machine's files look the same wherever the program is installed.
"""

# pathlib is slow to import in the guest; printing goes to the boot log.
# ruff: noqa: PTH101, PTH102, PTH103, PTH110, PTH123, PTH208, PTH211, T201

from __future__ import annotations

import os
import sys
import traceback

from backends.lab.inside import agent, files, kernel

_MEMORY = "/lab/fs"  # the tmpfs that holds what the hosts write
_OLD_ROOT = "/lab/old"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_OPS_ID = 1000
_TRAITS = ("ssh", "service", "forward", "route")
_EACH_CONNECTION_ITS_WAY = (
    "/proc/sys/net/ipv4/fib_multipath_hash_policy",
    "/proc/sys/net/ipv6/fib_multipath_hash_policy",
)


def main() -> None:
    """Never returns: when this process ends, the guest does."""
    try:
        _boot(sys.argv[1], int(sys.argv[2]))
    except BaseException:  # noqa: BLE001 - whatever it was belongs in the boot log, which the machine shows
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    kernel.power_off()


def _boot(recipe: str, files_allowed: int) -> None:
    os.environ.clear()
    os.environ["PATH"] = _PATH
    os.umask(0o022)
    _note("first process")
    _prepare(recipe)
    files.keep_few(files_allowed)
    _note("roots and modules")
    names = sorted(os.listdir(f"{_MEMORY}/recipe/hosts"))
    hosts = {name: _start_host(name) for name in names}
    for host in hosts.values():
        host.take_namespaces()
    with open("/run/lab-namespaces", "w") as file:  # for whoever makes faults on them: see mending
        for host in hosts.values():
            file.write(f"{host.name} {' '.join(map(str, host.namespaces))}\n")
    _note("namespaces")
    _run(["ip", "-batch", f"{_MEMORY}/recipe/net/cables"])
    _note("cables")
    for host in hosts.values():
        host.cables_are_there()
    for host in hosts.values():
        host.wait_until_up()
    _note("ready")
    _serve({name: host.namespaces for name, host in hosts.items()})


def _serve(hosts: dict[str, tuple[int, ...]]) -> None:
    """Has the agent work until the other end is gone. It is another process, as it goes from host to host, and the
    first one's root and namespaces are what others go by: /proc/1."""
    pid = os.fork()
    if pid == 0:
        try:
            kernel.adopt_orphans()
            agent.Agent(hosts).serve()
        except BaseException:  # noqa: BLE001 - see main
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(0)
    while os.wait()[0] != pid:
        pass


def _prepare(recipe: str) -> None:
    """Brings the lab's files into memory, loads the modules everything needs, and moves to a writable root."""
    kernel.mount("lab", "/run", "tmpfs", 0, "mode=755")
    for directory in ("recipe", "hostfs", "modules/lib", "roots", "base/lab/fs", "base/lab/old"):
        os.makedirs(f"/run/{directory}")
    os.symlink("/usr/lib/uml/modules", "/run/modules/lib/modules")
    # IPVS, dummy and the rest stay out until somebody needs them: loading them is part of what is shown and tested.
    _run(["modprobe", "-d", "/run/modules", "-a", "overlay", "veth", "bridge", "ipv6"])
    _copy(f"{recipe}/base", "/run/base")
    _copy(f"{recipe}/hosts", "/run/recipe/hosts")
    _copy(f"{recipe}/net", "/run/recipe/net")
    for closed in _read("/run/recipe/net/closed").splitlines():
        os.chmod(f"/run/base{closed}", 0o700)
        os.setxattr(f"/run/base{closed}", "trusted.overlay.opaque", b"y")  # this machine's does not show through
    for empty in _read("/run/recipe/net/empty").splitlines():
        os.setxattr(f"/run/base{empty}", "trusted.overlay.opaque", b"y")
    release = os.uname().release
    # Where every program of every host looks for the running kernel's modules, and the kernel itself, too.
    modules = "/run/base" + os.path.realpath("/lib") + "/modules"
    os.makedirs(modules)
    os.symlink(f"/usr/lib/uml/modules/{release}", f"{modules}/{release}")
    kernel.mount("/", "/run/hostfs", "", kernel.MS_BIND)

    kernel.mount("sysfs", "/sys", "sysfs")
    kernel.enter_root(_mount_root("/run/roots/kernel", "/run", "/run/roots/kernel/upper"), _OLD_ROOT)
    kernel.mount(f"{_OLD_ROOT}/run", _MEMORY, "", kernel.MS_MOVE)
    for directory in ("/proc", "/sys", "/dev"):
        kernel.mount(_OLD_ROOT + directory, directory, "", kernel.MS_MOVE)
    kernel.detach(_OLD_ROOT)
    kernel.mount("run", "/run", "tmpfs", 0, "mode=755")
    os.mkdir("/run/netns")
    os.makedirs("/dev/pts", exist_ok=True)
    os.makedirs("/dev/shm", exist_ok=True)
    kernel.mount("devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666")
    kernel.mount("shm", "/dev/shm", "tmpfs", 0, "mode=1777")


def _mount_root(place: str, memory: str, upper: str) -> str:
    """Mounts one root, with `upper` as its uppermost layer, and says where."""
    for directory in (f"{place}/work", f"{place}/root", upper):
        os.makedirs(directory, exist_ok=True)
    layers = f"lowerdir={memory}/base:{memory}/hostfs,upperdir={upper},workdir={place}/work"
    kernel.mount("overlay", f"{place}/root", "overlay", 0, layers)
    return f"{place}/root"


class _Host:
    """A host that is being started: the process that builds it, and its namespaces."""

    def __init__(self, name: str, pid: int, heard: int, told: int) -> None:
        self.name = name
        self._heard = heard
        self._told = told
        self._pid = pid
        self.namespaces: tuple[int, ...] = ()

    def take_namespaces(self) -> None:
        """Holds the namespaces from now on, whatever becomes of the process; names them for `ip` in the batch."""
        self.wait_until_up()  # they are there
        pid, name = self._pid, self.name
        self.namespaces = tuple(os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in kernel.NAMESPACES)
        os.close(os.open(f"/run/netns/{name}", os.O_CREAT | os.O_WRONLY))
        kernel.mount(f"/proc/{pid}/ns/net", f"/run/netns/{name}", "", kernel.MS_BIND)

    def cables_are_there(self) -> None:
        os.write(self._told, b".")

    def wait_until_up(self) -> None:
        if os.read(self._heard, 1) != b".":
            raise RuntimeError(f"{self.name} did not come up")


def _start_host(name: str) -> _Host:
    heard, say = os.pipe()
    listen, told = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            _be_host(name, listen, say)
        except BaseException:  # noqa: BLE001 - see main
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(1)
    os.close(say)
    os.close(listen)
    return _Host(name, pid, heard, told)


def _be_host(name: str, listen: int, say: int) -> None:
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNET)
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    os.write(say, b".")
    kernel.set_hostname(name)
    batch = _read(f"{_MEMORY}/recipe/net/{name}")
    serves = {what: name in _read(f"{_MEMORY}/recipe/net/who-{what}").split() for what in _TRAITS}
    root = _mount_root(f"{_MEMORY}/roots/{name}", _MEMORY, f"{_MEMORY}/recipe/hosts/{name}")
    kernel.mount("proc", f"{root}/proc", "proc")
    kernel.mount("sysfs", f"{root}/sys", "sysfs")
    kernel.mount("/dev", f"{root}/dev", "", kernel.MS_BIND | kernel.MS_REC)
    kernel.mount("run", f"{root}/run", "tmpfs", 0, "mode=755")
    kernel.enter_root(root, _OLD_ROOT)
    kernel.detach(_OLD_ROOT)
    for directory in ("/run/sshd", "/run/lock"):
        os.mkdir(directory)

    os.read(listen, 1)
    with open("/run/network.batch", "w") as file:
        file.write(batch)
    if serves["forward"]:
        for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            with open(f"/proc/sys/net/{key}", "w") as file:
                file.write("1")
    if serves["ssh"]:
        # Beside the batch: sshd listens on the wildcard and needs no address yet.
        sshd = os.posix_spawn("/usr/sbin/sshd", ["/usr/sbin/sshd"], os.environ)
    _run(["ip", "-batch", "/run/network.batch"])
    if serves["route"]:
        for key in _EACH_CONNECTION_ITS_WAY:
            with open(key, "w") as file:
                file.write("1")  # by addresses and ports; both families' default takes addresses alone
        os.mkdir("/run/bird")
        _run(["bird"])
    if serves["service"]:
        from backends.lab.inside import serve

        serve.start()
        with open("/proc/self/comm", "w") as file:
            file.write("lab-service")
    if serves["ssh"]:
        os.waitpid(sshd, 0)
        _wait_for("/run/sshd.pid")
    _note(f"{name} is up")
    os.write(say, b".")
    if serves["service"]:
        serve.stay()
    os._exit(0)


def _wait_for(path: str) -> None:
    """sshd writes its pid file after it listens; a host without it in ten seconds is broken."""
    import time

    for _ in range(1000):
        if os.path.exists(path):
            return
        time.sleep(0.01)
    raise RuntimeError(f"no {path}")


def _run(argv: list[str]) -> None:
    pid = os.posix_spawnp(argv[0], argv, os.environ)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        print(f"{' '.join(argv)}: status {status}", file=sys.stderr)


def _note(what: str) -> None:
    print(f"{_read('/proc/uptime').split()[0]} s: {what}", flush=True)


def _read(path: str) -> str:
    with open(path) as file:
        return file.read()


def _copy(source: str, target: str) -> None:
    """Copies a tree with the files' modes; what is in /home/ops is that user's, everything else root's."""
    os.makedirs(target, exist_ok=True)
    private = target.endswith(("/.ssh", "/lab/root"))
    os.chmod(target, 0o700 if private else 0o755)
    if "/home/ops" in target:
        os.chown(target, _OPS_ID, _OPS_ID)
    for entry in os.scandir(source):
        copy = f"{target}/{entry.name}"
        if entry.is_dir():
            _copy(entry.path, copy)
            continue
        with open(entry.path, "rb") as file, open(copy, "wb") as new:
            new.write(file.read())
        os.chmod(copy, entry.stat().st_mode & 0o777)
        if "/home/ops" in target:
            os.chown(copy, _OPS_ID, _OPS_ID)
