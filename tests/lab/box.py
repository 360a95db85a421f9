"""A fake appliance on the lab's second director, whose real IPVS does what it is set to (`tests.fakes.box_on_ipvs`)."""

from __future__ import annotations

import json
import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Any, Self

from backends.lab.guest import wizard_command
from backends.lab.recipe import PACKAGE_ROOT
from tests.fakes.loadbalancer_org import ORG_KEY, ORG_PASSWORD
from tests.fakes.netscaler import PASSWORD
from tests.lab.harness import PATIENCE, Lab, Process
from tests.windows.certificates import issue

BOX, ADDRESS, PORT = "lb2", "10.0.0.3", 8443
PEM, CA_FILE = "/root/box.pem", "/root/ca.pem"
"""The certificate with its key on the box, and without it where dsrwizard runs."""


class LabBox:
    """One that runs. `answers`: what dsrwizard asks for, in order. Stopped at the end of the `with` block; its IPVS and
    VIPs go."""

    def __init__(self, lab: Lab, product: str, folder: Path) -> None:
        self._lab = lab
        self.answers = {"netscaler": (PASSWORD,), "loadbalancer.org": (ORG_PASSWORD, ORG_KEY)}[product]
        pem = issue(folder / "box.pem", "box.example", addresses=(ADDRESS,)).file.read_text()
        lab.put(PEM, pem, host=BOX)
        lab.put(CA_FILE, pem.partition("-----BEGIN PRIVATE")[0])
        words = [sys.executable, "-m", "tests.fakes.box_on_ipvs", product, ADDRESS, str(PORT), PEM]
        self._process: Process = lab.spawn(BOX, words, cwd=str(PACKAGE_ROOT))
        self._heard = 0
        self.last = self._told()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._lab.run(
            BOX, "ipvsadm -C; ip -o addr show dev eth0 | grep -o '[0-9.]*/32' | xargs -rI@ ip addr del @ dev eth0"
        )

    def _told(self) -> dict[str, Any]:
        self._heard += 1
        there = self._process.wait_for(lambda: self._process.stdout.count("\n") >= self._heard, PATIENCE)
        assert there, f"{self._process.stdout}\n{self._process.stderr}"
        told: dict[str, Any] = json.loads(self._process.stdout.splitlines()[self._heard - 1])
        assert told["problems"] == []
        return told

    def order(self, **what: Any) -> dict[str, Any]:
        """See `box_on_ipvs`: what it is set to, and what was changed since the last order."""
        self._process.send(json.dumps(what) + "\n")
        self.last = self._told()
        return self.last

    def ipvs(self) -> str:
        """The kernel's own table, which the box only follows."""
        return self._lab.run(BOX, "ipvsadm -Sn").ok().stdout

    @staticmethod
    def _asked(run: Process, times: int) -> bool:
        """Whether so many questions were asked, or there will be no more."""
        return run.status is not None or run.stdout.count("): ") >= times

    def dsrwizard(self, *arguments: str, out: str = "/root/out") -> tuple[int, str]:
        """A run with the operator at the terminal: status, and what it wrote."""
        command = f"{shlex.join(wizard_command(*arguments))} >{out}"
        with self._lab.spawn("director", command, terminal=(40, 120)) as run:
            for number, answer in enumerate(self.answers, 1):
                asked = run.wait_for(partial(self._asked, run, number))
                assert asked, run.stdout
                if run.status is None:
                    run.send(answer + "\n")
            result = run.wait(2 * PATIENCE)
        assert not any(answer in result.stdout for answer in self.answers), "a secret is shown"
        return result.status, result.stdout + self._lab.read("director", out)
