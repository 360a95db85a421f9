"""Faults in a running lab: their scripts run on the hosts, and the state before is kept to mend them.

Process 1 of the guest holds every host's namespaces and has written down which of its descriptors they are; root on the
director shares its process table and so may enter them. That needs no network, which may be what is broken.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from backends.lab import network, recipe
from backends.lab.making import BASE, FORGET, STRANGER, Made
from backends.lab.naming import ALL, parse, parse_all
from dsrwizard import out
from dsrwizard.core.model.errors import DsrError, LookError, UsageError

_ROOT = Path("/proc/1/root")
_NAMESPACES = _ROOT / "run/lab-namespaces"  # written by backends.lab.inside.init
_KEPT = _ROOT / "run/lab-faults.json"
_SECONDS = 300
"""A script that applies a deployment takes long on a loaded machine."""


def run(words: Sequence[str]) -> int:
    """The commands `fault [CAUSE[:VARIANT]@HOST[/VIP[/SERVICE]] …]` and `mend [the same …]`; prints what was done and
    returns the exit code.

    Raises `UsageError` for names that mean nothing, `LookError` outside the lab, `DsrError` when a script fails.
    """
    command, *names = words
    lab = _Faulty()
    if command == "mend":
        chosen = parse_all(names) if names else None
        mended, problems = lab.mend(chosen)
        for made in mended:
            out.line(f"Mended: {made.name}.")
        if problems:
            raise problems[0]
        if not mended:
            out.line("No fault is active.")
        return 0
    if not names:
        _show(lab.made)
        return 0
    now = lab.make(parse_all(names))
    for made in now:
        out.line(f"Made: {made.name}. {made.fault.why}")
    file = recipe.RICH_FILE if any(made.rich for made in now) else "$DSRWIZARD_LAB"
    out.line(f"See it: dsrwizard verify {file}    Undo it: dsrwizard lab mend")
    return 0


def _show(made: Sequence[Made]) -> None:
    for fault in ALL:
        narrow = {"": "", "vip": "[/VIP]", "service": "[/VIP[/SERVICE]]"}[fault.narrow]
        out.line(f"{fault.kind}@{{{','.join(fault.hosts)}}}{narrow}")
        out.line(f"    {fault.why}")
    for vip, services in network.SERVICES.items():
        out.line(f"VIP {vip}: {', '.join(f'{protocol}/{port}' for protocol, port in services)}")
    out.line(f"Active now: {', '.join(one.name for one in made) or 'none'}")


class _Faulty:
    """The lab's hosts and the faults made on them."""

    def __init__(self) -> None:
        try:
            lines = _NAMESPACES.read_text().splitlines()
        except OSError as error:
            raise LookError(
                "This is not the lab's director.",
                "Faults can be made only in the lab, as root on its director.",
                "Start it with dsrwizard lab -- bash, or with dsrwizard lab --fault CAUSE@HOST.",
            ) from error
        self._namespaces = {name: numbers for name, *numbers in map(str.split, lines)}
        self._kept: dict[str, list[str]] = json.loads(_KEPT.read_text()) if _KEPT.exists() else {}

    @property
    def made(self) -> list[Made]:
        """The faults in force, the oldest first."""
        return [parse(name) for name in self._kept]

    def make(self, wanted: Sequence[Made]) -> list[Made]:
        """Makes them in the order given; one that fails leaves nothing of itself, and those before it stand."""
        for made in wanted:
            if made.name in self._kept:
                raise UsageError(f"{made.name} is already active.", "", f"Mend it with: dsrwizard lab mend {made.name}")
        for made in wanted:
            self._make(made)
        return list(wanted)

    def _make(self, made: Made) -> None:
        fault = made.fault
        if fault.needs and self._run(made, fault.actions[0].at, fault.needs).returncode:
            raise DsrError(
                f"{made.name} cannot be made now: on {made.host}, {made.lacks}."
                if fault.actions[0].at in ("", made.host)
                else f"{made.name} cannot be made now: {made.lacks}.",
                "It needs an applied deployment with no other fault there.",
                f"Apply it first: dsrwizard apply {recipe.RICH_FILE if made.rich else '$DSRWIZARD_LAB'} --yes    "
                "Faults made: dsrwizard lab fault",
            )
        kept: list[str] = []
        for action in fault.actions:
            done = self._run(made, action.at, action.make)
            if done.returncode:
                for past, before in [*zip(fault.actions, kept, strict=False), (action, done.stdout)][::-1]:
                    self._run(made, past.at, past.mend, before)
                raise DsrError(f"{made.name} could not be made.", done.stderr.strip())
            kept.append(done.stdout.strip())
        self._kept[made.name] = kept
        self._write()

    def mend(self, wanted: Sequence[Made] | None) -> tuple[list[Made], list[DsrError]]:
        """Mends these (None: all), the youngest first, because a younger fault remembers what an older one left."""
        for made in wanted or ():
            if made.name not in self._kept:
                there = ", ".join(self._kept) or "none"
                raise UsageError(f"{made.name} is not active.", f"Active faults: {there}.")
        mended: list[Made] = []
        problems: list[DsrError] = []
        for made in [one for one in reversed(self.made) if wanted is None or one in wanted]:
            try:
                self._mend(made)
                mended.append(made)
            except DsrError as problem:
                problems.append(problem)
        return mended, problems

    def _mend(self, made: Made) -> None:
        problems = []
        for action, before in [*zip(made.fault.actions, self._kept[made.name], strict=True)][::-1]:
            done = self._run(made, action.at, action.mend, before)
            if done.returncode:
                problems.append(done.stderr.strip())
        if made.fault.learned:
            self._run(made, network.ROUTER.name, FORGET)
        del self._kept[made.name]
        self._write()
        if problems:
            raise DsrError(
                f"{made.name} could not be fully mended.", " ".join(problems),
                "Look with dsrwizard verify $DSRWIZARD_LAB; dsrwizard apply $DSRWIZARD_LAB repairs what it can.",
            )  # fmt: skip

    def _write(self) -> None:
        new = _KEPT.with_suffix(".new")
        new.write_text(json.dumps(self._kept))
        new.replace(_KEPT)

    def _run(self, made: Made, at: str, script: str, kept: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._enter(at or made.host), "sh", "-c", script],
            env=os.environ | made.variables | {"KEPT": kept},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )

    def _enter(self, place: str) -> list[str]:
        if place in (BASE, STRANGER):
            return ["nsenter", "--target=1", "--net", "--uts", "--mount"]
        net, uts, mnt = self._namespaces[place]
        return ["nsenter", f"--net=/proc/1/fd/{net}", f"--uts=/proc/1/fd/{uts}", f"--mount=/proc/1/fd/{mnt}"]
