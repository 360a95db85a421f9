"""dsrwizard's side of a hostile WinRM endpoint, as a process of its own: what one observation comes to, in seconds and
memory. Reads a server as a JSON line from standard input and answers with a JSON line, until the input ends."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from backends.winrm import connector, open_winrm, reach, transport
from dsrwizard.core.model.deployment import Deployment, Director, RealServer, Service, Vip
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion
from dsrwizard.engine.servers.windows import WindowsServer

PASSWORD = "canary-Pa55word"
SECONDS = {
    (transport, "OPERATION_SECONDS"): 1, (transport, "_GRACE"): 2,
    (transport, "CONNECT_SECONDS"): 3.0, (reach, "CONNECT_SECONDS"): 3.0, (connector, "OPERATION_SECONDS"): 1,
    (connector, "CONNECT_SECONDS"): 3.0, (connector, "AWAY_SECONDS"): 2.0, (connector, "_HURRY_SECONDS"): 1.0,
}  # fmt: skip
"""What is waited for, shortened, so that a test need not."""
LONGEST = 45.0
"""Seconds that an observation may take with these, on a loaded machine: logins, deadline, and what ends the script."""


class Operator:
    """Knows the password, and accepts certificates."""

    def secret(self, question: SecretQuestion) -> Secret | None:
        return Secret(PASSWORD)

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return True


def _memory(name: str) -> int:
    """VmRSS or VmHWM of this process in kB (proc(5))."""
    text = Path("/proc/self/status").read_text()
    return int(text.partition(f"{name}:")[2].split()[0])


def observed(server: RealServer) -> dict[str, Any]:
    """One observation over a connection of its own, for which there is little time."""
    server = msgspec.structs.replace(server, look_seconds=5)
    deployment = Deployment(
        name="shop",
        director=Director(interface="eth0", engine="external"),
        vips=(Vip(address="10.0.0.10", services=(Service(port=80),)),),
        servers=(server,),
    )
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _memory("VmRSS"), time.monotonic()
    port = WindowsServer(server, lambda: open_winrm(server.name, server, Operator()))
    found: dict[str, Any] = {"kind": "", "lines": [], "defect": ""}
    facts = None
    try:
        facts = port.observe(deployment)
    except DsrError as error:
        found |= {"kind": error.kind, "lines": list(error.lines())}
    except Exception as error:  # noqa: BLE001 - that there is none is what the test asks
        found["defect"] = repr(error)[:500]
    with contextlib.suppress(DsrError):
        port.close()
    found["seconds"] = time.monotonic() - began
    found["megabytes"] = (_memory("VmHWM") - before) / 1024
    if facts is not None:
        whole = repr(facts)
        found |= {"facts": whole[:2_000], "raw": [sign for sign in whole if not sign.isprintable()][:20]}
    return found


def main() -> None:
    for (module, name), seconds in SECONDS.items():
        setattr(module, name, seconds)
    for line in sys.stdin:
        print(json.dumps(observed(RealServer(**json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
