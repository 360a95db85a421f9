"""The operator's side of a hostile SSH server, in a process of its own: jobs come in, what happened goes out.

Memory is what the process grew by at most while it dealt with that one server (VmHWM of proc(5), reset before).
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from backends.ssh import config, connector, dial, open_ssh, route, session, transport
from backends.ssh import privilege as sudo
from dsrwizard.core.model.deployment import RealServer
from dsrwizard.core.model.errors import DsrError
from dsrwizard.core.model.secret import Secret
from dsrwizard.core.ports import HostKeyQuestion, SecretQuestion


class Operator:
    """Answers from a list, accepts every key, and remembers what was asked."""

    def __init__(self, answers: list[str]) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str]] = []

    def secret(self, question: SecretQuestion) -> Secret | None:
        self.asked.append((question.kind, question.detail))
        return Secret(self.answers.pop(0)) if self.answers else None

    def accept_key(self, question: HostKeyQuestion) -> bool:
        return True


def kilobytes(what: str) -> int:
    [line] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{what}:")]
    return int(line.split()[1])


def do(job: dict[str, Any]) -> dict[str, Any]:
    operator = Operator(list(job.get("answers", [])))
    told: dict[str, Any] = {"kind": "", "message": "", "trace": "", "defect": "", "status": None, "sizes": None}
    Path("/proc/self/clear_refs").write_text("5")
    before, begin = kilobytes("VmRSS"), time.monotonic()
    lines = 0

    def line(_: str) -> None:
        nonlocal lines
        lines += 1

    try:
        target = RealServer(name="web1", address="127.0.0.1", port=job["port"], user="root")
        opened = open_ssh("web1", target, operator)
        try:
            script = "# " + "x" * job.get("script", 0) + "\ntrue"
            answer = opened.run(script, deadline=job["deadline"], on_line=line)
            told |= {"status": answer.status, "sizes": [len(answer.stdout), len(answer.stderr)]}
        finally:
            opened.close()
    except DsrError as error:
        told |= {"kind": error.kind, "message": str(error), "trace": "".join(traceback.format_exception(error))}
    except Exception as error:  # noqa: BLE001 - a defect is what is looked for
        told |= {"defect": "".join(traceback.format_exception(error)), "message": repr(error)}
    return told | {
        "seconds": time.monotonic() - begin,
        "grown": kilobytes("VmHWM") - before,
        "asked": operator.asked,
        "lines": lines,
        "threads": sorted(thread.name for thread in threading.enumerate()),
    }


def main() -> None:
    """Reads a list of jobs per line and writes their results; the jobs of one line are done side by side."""
    logging.basicConfig(stream=sys.stderr, level=logging.DEBUG)
    config.SYSTEM_CONFIG = Path("/no-such-place/ssh_config")
    route._GLOBAL_KNOWN = ()  # type: ignore[assignment]
    # Patience is cut short: what is tested is that there is an end to it.
    dial._NEGOTIATION = dial._LOGIN = connector._OPENING = sudo._SILENCE = transport._STALL = 2.0
    for line in sys.stdin:
        jobs = json.loads(line)
        text = jobs[0].get("config", "").format(port=jobs[0]["port"])  # read by all jobs of the line
        (Path.home() / ".ssh" / "config").write_text(f"ConnectTimeout 2\n{text}")
        with ThreadPoolExecutor(len(jobs)) as pool:
            print(json.dumps(list(pool.map(do, jobs))), flush=True)
    assert session.OUTPUT > 0


if __name__ == "__main__":
    main()
