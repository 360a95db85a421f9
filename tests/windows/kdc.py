"""A Kerberos domain of its own for tests: MIT's KDC on loopback, with its database and keytabs in a temporary folder.

Passwords go in over standard input, so that no process list shows them.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.ports import free_port

REALM = "CORP.EXAMPLE"
OTHER = "OTHER.EXAMPLE"
"""A realm that no KDC answers for."""
_PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class Kdc:
    """`environment` is what client and server need to find it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.port = free_port(socket.SOCK_STREAM, socket.SOCK_DGRAM)
        self._write("krb5.conf", _CLIENT.format(realm=REALM, other=OTHER, port=self.port, folder=folder))
        self._write("kdc.conf", _KDC.format(realm=REALM, port=self.port, folder=folder))
        self._write("acl", "")
        self.environment: Mapping[str, str] = {
            "KRB5_CONFIG": str(folder / "krb5.conf"),
            "KRB5_KDC_PROFILE": str(folder / "kdc.conf"),
            "KRB5CCNAME": f"FILE:{folder}/tickets",
            "KRB5RCACHENAME": "none:",
        }
        self._run("kdb5_util", "create", "-s", "-r", REALM, said="master\nmaster\n")
        self._log = (folder / "kdc.out").open("wb")
        self._process = subprocess.Popen(
            [self._program("krb5kdc"), "-n", "-r", REALM], env=self._environment(), stdout=self._log, stderr=self._log
        )
        self._wait()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def user(self, name: str, password: str, options: str = "") -> None:
        """An account of the domain. `options` are kadmin's, such as `-maxlife 1s`."""
        self._run("kadmin.local", "-r", REALM, said=f"addprinc {options} {name}\n{password}\n{password}\n")

    def keytab(self, *principals: str, file: str = "host.keytab") -> Path:
        """A file with the keys of services, which are made where the domain does not know them yet."""
        for one in principals:
            self._run(
                "kadmin.local", "-r", REALM, said=f"addprinc -randkey {one}\nktadd -k {self._folder / file} {one}\n"
            )
        return self._folder / file

    def kinit(self, user: str, password: str, *options: str) -> None:
        """Gets a ticket into the cache that `environment` names."""
        self._run("kinit", *options, f"{user}@{REALM}", said=f"{password}\n")

    def kdestroy(self) -> None:
        self._run("kdestroy", "-q", "-A")

    def _run(self, program: str, *arguments: str, said: str = "") -> None:
        done = subprocess.run(
            [self._program(program), *arguments],
            input=said.encode(),
            env=self._environment(),
            capture_output=True,
            check=False,
        )
        assert not done.returncode, (program, done.stdout, done.stderr)

    @staticmethod
    def _program(name: str) -> str:
        found = shutil.which(name, path=_PATH)
        assert found, f"{name} is not installed: make packages"
        return found

    def _environment(self) -> dict[str, str]:
        return {**os.environ, **self.environment}

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)

    def _wait(self) -> None:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            assert self._process.poll() is None, (self._folder / "kdc.out").read_text()
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError("the KDC does not listen")


_CLIENT = """
[libdefaults]
default_realm = {realm}
dns_lookup_kdc = false
dns_lookup_realm = false
dns_canonicalize_hostname = false
rdns = false
kdc_timesync = 0
[realms]
{realm} = {{
 kdc = 127.0.0.1:{port}
}}
[domain_realm]
.corp.example = {realm}
.other.example = {other}
"""
_KDC = """
[kdcdefaults]
kdc_listen = 127.0.0.1:{port}
kdc_tcp_listen = 127.0.0.1:{port}
[realms]
{realm} = {{
 database_name = {folder}/principal
 key_stash_file = {folder}/stash
 acl_file = {folder}/acl
 max_life = 10h
}}
[logging]
kdc = FILE:{folder}/kdc.log
"""
