"""Each kind of change on the director: is what is there still what was seen, and then the change itself.

Every function raises CommandFailed "changed meanwhile" where something else is there now, so that nobody's work is
written over, and other DsrErrors where the system refuses.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

from backends.director.disk import AGAIN, needs_root, read_file, refused, write_file
from backends.netlink.ipvs import Ipvs, service_name
from backends.netlink.problems import AS_ROOT
from dsrwizard.core.dialects.keepalived.putting import script
from dsrwizard.core.model.bird import BIRD_FOLDER
from dsrwizard.core.model.changes import (
    AddressChange,
    AnnounceChange,
    Change,
    DestinationChange,
    DestinationState,
    FileChange,
    FileState,
    FolderChange,
    KeepalivedChange,
    LinkChange,
    ModuleChange,
    SavedTableChange,
    ServiceChange,
    ServiceState,
    SysctlChange,
    UnitChange,
)
from dsrwizard.core.model.errors import CommandFailed, NoPrivilege
from dsrwizard.core.model.facts import Interface
from dsrwizard.core.model.values import endpoint

COMMAND_SECONDS = 120
"""systemd takes half a minute to read its units again on a machine that is short of everything."""
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SAID = 6
"""Lines of what keepalived says of files that it refuses."""
_FOLDERS = (".network.d", BIRD_FOLDER, "multi-user.target.wants")
"""Ends of folders of a network manager, BIRD or systemd that may be missing; the first two go when they are empty."""


def changed_meanwhile(what: str, present: str, seen: str) -> CommandFailed:
    return CommandFailed(
        f"{what} changed meanwhile.", f"Now it is {present}; when it was checked, it was {seen}.", AGAIN
    )


class DirectorChanges:
    """Carries changes out on this machine. `root` is where `/proc/sys` and files are looked for."""

    def __init__(self, ipvs: Ipvs, root: Path = Path("/")) -> None:
        self._ipvs = ipvs
        self._root = root

    def carry_out(self, change: Change) -> None:
        """Makes one change. Raises DsrError; then nothing of it is in force."""
        kinds: dict[type, Callable[..., None]] = {
            SysctlChange: self._sysctl,
            FileChange: self._file,
            AddressChange: self._address,
            LinkChange: self._link,
            UnitChange: self._units,
            ServiceChange: self._service,
            DestinationChange: self._destination,
            ModuleChange: self._module,
            AnnounceChange: self._announce,
            SavedTableChange: self._saved,
            FolderChange: self._folder,
            KeepalivedChange: self._keepalived,
        }
        kinds[type(change)](change)

    # --- kernel settings and files

    def sysctl(self, key: str) -> str | None:
        """The present value with its blanks evened out, or None where this kernel or network has no such key."""
        try:
            return " ".join(self._setting(key).read_text(encoding="utf-8", errors="replace").split())
        except OSError:
            return None

    def _setting(self, key: str) -> Path:
        # sysctl(8): a dot inside an interface's name is written as a slash
        parts = key.translate(str.maketrans("./", "/.")).split("/")
        if any(part in ("", ".", "..") for part in parts):
            raise CommandFailed(f"{key!r} is not a kernel setting.", "", "Write it like net.ipv4.conf.all.arp_ignore.")
        return self._root.joinpath("proc/sys", *parts)

    def _sysctl(self, change: SysctlChange) -> None:
        present = self.sysctl(change.key)
        if present is None:
            raise CommandFailed(f"{change.key} could not be set.", "This kernel has no such setting.", AGAIN)
        if present != " ".join(change.old.split()):
            raise changed_meanwhile(change.key, present, change.old)
        try:
            self._setting(change.key).write_text(change.new + "\n", encoding="utf-8")
        except PermissionError:
            why = "Only root (CAP_NET_ADMIN) may change network settings."
            raise NoPrivilege(f"{change.key} could not be set.", why, AS_ROOT) from None
        except OSError as error:
            raise refused(f"{change.key} could not be set to {change.new}.", error) from None

    def _file(self, change: FileChange) -> None:
        path = self._root / change.path.lstrip("/")
        folder = str(path.parent)
        if change.new is not None and folder.endswith(_FOLDERS) and not path.parent.is_dir():
            path.parent.mkdir(parents=True)
            path.parent.chmod(0o755)  # whatever the umask: BIRD reads its files as a user of its own
        if change.new is not None and not path.parent.is_dir():
            raise CommandFailed(f"{change.path} could not be written.", "Its directory does not exist.", AGAIN)
        present = read_file(path, change.path)
        if present != change.old:
            raise changed_meanwhile(change.path, _told(present), _told(change.old))
        try:
            if change.new is None:
                path.unlink(missing_ok=True)
                if folder.endswith(_FOLDERS[:2]) and not any(path.parent.iterdir()):
                    path.parent.rmdir()
            else:
                write_file(path, change.new)
        except PermissionError:
            raise needs_root(f"{change.path} could not be written.") from None
        except OSError as error:
            raise refused(f"{change.path} could not be written.", error) from None

    def _folder(self, change: FolderChange) -> None:
        path = self._root / change.path.lstrip("/")
        if not change.new and not path.is_dir():
            return  # gone with the last file in it
        if path.is_dir() != change.old:
            raise changed_meanwhile(change.path, _there(path.is_dir()), _there(change.old))
        try:
            if change.new:
                path.mkdir(mode=0o755)
            elif not any(path.iterdir()):
                path.rmdir()  # what others have put into it stays
        except PermissionError:
            raise needs_root(f"{change.path} could not be changed.") from None
        except OSError as error:
            raise refused(f"{change.path} could not be changed.", error) from None

    # --- the network

    def _address(self, change: AddressChange) -> None:
        from backends.netlink import links

        present = any(_carries(link, change) for link in links.interfaces())
        if present != change.old:
            what = f"{change.address}/{change.prefix} on {change.interface}"
            raise changed_meanwhile(what, _there(present), _there(change.old))
        if change.new == change.old:
            return
        act = links.add_address if change.new else links.remove_address
        act(change.interface, change.address, change.prefix)

    def _link(self, change: LinkChange) -> None:
        from backends.netlink import links

        present = next((link for link in links.interfaces() if link.name == change.interface), None)
        what = f"The interface {change.interface}"
        if (present is not None) != change.old:
            raise changed_meanwhile(what, _there(present is not None), _there(change.old))
        if present is None:
            links.add_dummy(change.interface)
            return
        if present.kind != "dummy":
            raise changed_meanwhile(what, present.kind or "hardware", "a dummy interface")
        left = [entry.address for entry in present.addresses if entry.scope != "link"]
        if left:
            raise CommandFailed(
                f"{what} was not removed.",
                f"It still has {', '.join(left)}, which dsrwizard did not add.",
                f"If nobody needs it, run `ip link del {change.interface}`.",
            )
        links.remove_link(change.interface)

    def _announce(self, change: AnnounceChange) -> None:
        if not change.new:
            return
        from backends.packets.announce import announce

        announce(change.interface, change.address)

    # --- IPVS

    def _service(self, change: ServiceChange) -> None:
        found = self._ipvs.service(change.service)
        present = found.state if found else None
        if present != change.old:
            raise changed_meanwhile(
                f"The IPVS service {service_name(change.service)}", _service_told(present), _service_told(change.old)
            )
        if change.new is None:
            if found is None:
                return
            if found.destinations:
                # the kernel would remove them with the service, also those of others
                left = ", ".join(endpoint(entry.address, entry.port) for entry in found.destinations)
                raise CommandFailed(
                    f"The IPVS service {service_name(change.service)} was not removed.",
                    f"It still has destinations: {left}.",
                    "Remove them first if nobody needs them (`ipvsadm -d`), then try again.",
                )
            self._ipvs.del_service(change.service)
        elif present is None:
            self._ipvs.add_service(change.service, change.new)
        else:
            self._ipvs.set_service(change.service, change.new)

    def _destination(self, change: DestinationChange) -> None:
        service = self._ipvs.service(change.service)
        real = endpoint(change.address, change.port)
        if service is None:
            raise CommandFailed(
                f"The destination {real} could not be changed.",
                f"The IPVS service {service_name(change.service)} does not exist (any more).",
                AGAIN,
            )
        found = service.destination(change.address, change.port)
        present = found.state if found else None
        if present != change.old:
            raise changed_meanwhile(
                f"The destination {real} of the IPVS service {service_name(change.service)}",
                _destination_told(present),
                _destination_told(change.old),
            )
        if change.new is None:
            if present is not None:
                self._ipvs.del_destination(change.service, change.address, change.port)
        elif present is None:
            self._ipvs.add_destination(change.service, change.address, change.port, change.new)
        else:
            self._ipvs.set_destination(change.service, change.address, change.port, change.new)

    def _saved(self, change: SavedTableChange) -> None:
        from backends.director import boot
        from backends.netlink import links

        if not change.new:
            boot.remove(change.deployment, self._root)
            return
        settings = {key: value for key in change.settings if (value := self.sysctl(key)) is not None}
        services = self._ipvs.services() if change.services else []
        boot.write(boot.of_kernel(change, services, links.interfaces(), settings, self._root), self._root)

    # --- programs

    def _module(self, change: ModuleChange) -> None:
        if change.new:
            run(
                ["modprobe", "--", change.module],
                f"The kernel module {change.module} could not be loaded.",
                "Install the modules of the running kernel (`uname -r`); in a container load it on the host.",
            )

    def _keepalived(self, change: KeepalivedChange) -> None:
        text = script(change)
        if text:
            words = {
                "read": "keepalived did not read its files again.",
                "running": "keepalived did not start.",
                "stopped": "keepalived did not stop.",
            }
            what = words.get(change.new, "keepalived does not take the new files.")
            # By standard input: files of the operator's may hold a password, and arguments are for everybody to see.
            run(["sh", "-s"], what, "See `journalctl -u keepalived`.", lines=_SAID, text=text)

    def _units(self, change: UnitChange) -> None:
        if change.of == "networkd":
            run(["networkctl", "reload"], "networkd could not read its files again.", "See `networkctl status`.")
            return
        if change.of == "bird":
            from backends.director.bird import read_again

            read_again()
            return
        if change.of == "service":
            verb = "restart" if change.new == "running" else "stop"
            next_ = f"See `journalctl -u {change.unit}`."
            run(["systemctl", verb, change.unit], f"{change.unit} did not {verb}.", next_)
            return
        run(["systemctl", "daemon-reload"], "systemd could not reload its unit files.", "See `systemctl status`.")


def run(argv: list[str], what: str, next_: str, lines: int = 1, text: str = "") -> None:
    """Runs a program without a shell, with `text` as its standard input. Raises CommandFailed that begins with `what`
    and quotes the last `lines` of what the program said."""
    path = f"{os.environ.get('PATH', '')}:{SYSTEM_PATH}"
    program = shutil.which(argv[0], path=path)
    if program is None:
        raise CommandFailed(what, f"This machine has no program {argv[0]}.", next_)
    try:
        done = subprocess.run(
            [program, *argv[1:]],
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=COMMAND_SECONDS,
            env={**os.environ, "LC_ALL": "C", "PATH": path},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CommandFailed(what, f"{argv[0]} did not finish within {COMMAND_SECONDS} seconds.", next_) from None
    except OSError as error:
        raise refused(what, error) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CommandFailed(what, f"{argv[0]} says: {' '.join(said[-lines:]) or f'status {done.returncode}'}", next_)


def _there(present: bool) -> str:
    return "there" if present else "not there"


def _told(state: FileState | None) -> str:
    if state is None:
        return "not there"
    if state.target is not None:
        return f"a link to {state.target}"
    return f"a file of {len(state.content.encode())} bytes, mode {state.mode:04o}"


def _carries(link: Interface, change: AddressChange) -> bool:
    wanted = ip_address(change.address)
    return link.name == change.interface and any(
        ip_address(entry.address) == wanted and entry.prefix == change.prefix for entry in link.addresses
    )


def _service_told(state: ServiceState | None) -> str:
    if state is None:
        return "not there"
    words = [f"scheduler {state.scheduler}", f"persistence {state.persistence} s" if state.persistence else ""]
    if state.netmask is not None:
        words.append(f"mask {state.netmask:#x}" if state.netmask > 128 else f"prefix {state.netmask}")
    words += [f"flags {state.flags:#x}" if state.flags else "", state.persistence_engine]
    return ", ".join(filter(None, words))


def _destination_told(state: DestinationState | None) -> str:
    if state is None:
        return "not there"
    limits = f", thresholds {state.upper}/{state.lower}" if state.upper or state.lower else ""
    return f"{state.method}, weight {state.weight}{limits}"
