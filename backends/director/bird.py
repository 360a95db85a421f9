"""BIRD on this machine: looked at, and told to read its files again. It is asked by birdc, as an operator would."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from backends.director.disk import read_file
from dsrwizard.core.dialects.bird.answers import with_protocols
from dsrwizard.core.model.bird import BIRD_CONF, BIRD_FOLDER, BIRD_UNIT, BirdFacts, bird_file
from dsrwizard.core.model.deployment import Deployment
from dsrwizard.core.model.errors import CommandFailed, DsrError
from dsrwizard.core.model.foreign import one_line

SECONDS = 20.0
"""For one command. `birdc` answers at once where BIRD is well."""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_TAKEN = ("Reconfigured", "Reconfiguration in progress")
"""What `birdc configure` says where the files are in force, or will be in a moment (BIRD's reply codes 0003, 0004)."""


def look(deployment: Deployment, root: Path = Path("/")) -> BirdFacts:
    """What is there. What cannot be read counts as not there, with the reason. Changes nothing."""
    version = re.search(r"(\d+(?:\.\d+)+)", _said(["bird", "--version"]) or "")
    facts = BirdFacts(
        version=version[1] if version else "",
        systemd=(root / "run/systemd/system").is_dir(),
        enabled=(root / "etc/systemd/system/multi-user.target.wants" / BIRD_UNIT).is_symlink(),
        folder=(root / BIRD_FOLDER.lstrip("/")).is_dir(),
    )
    try:
        conf = read_file(root / BIRD_CONF.lstrip("/"), BIRD_CONF)
        own = read_file(root / bird_file(deployment.name).lstrip("/"), bird_file(deployment.name))
    except DsrError as problem:
        return BirdFacts(version=facts.version, problem=str(problem))
    facts = BirdFacts(
        version=facts.version, systemd=facts.systemd, enabled=facts.enabled, folder=facts.folder, conf=conf, own=own
    )
    said = _said(["birdc", "show", "protocols", "all"]) if facts.version else None
    return facts if said is None else with_protocols(facts, deployment.name, said)


def read_again() -> None:
    """Has BIRD check all of its files and, where they are right, read them; one that does not run is started. Raises
    CommandFailed, and then nothing new is in force."""
    checked = _run(["bird", "-p"])
    if checked.returncode:
        raise CommandFailed(
            "BIRD does not take its files, so they are not put in force.",
            f"bird -p says: {_last(checked)}",
            "If the line is in a file of yours, mend it, then run this again.",
        )
    if _said(["birdc", "show", "status"]) is None:
        started = _run(["systemctl", "start", BIRD_UNIT])
        if started.returncode:
            raise CommandFailed(f"{BIRD_UNIT} did not start.", f"systemctl says: {_last(started)}",
                                f"See `journalctl -u {BIRD_UNIT}`.")  # fmt: skip
        return
    configured = _run(["birdc", "configure"])
    if configured.returncode or not any(word in configured.stdout for word in _TAKEN):
        raise CommandFailed("BIRD did not read its files.", f"birdc says: {_last(configured)}", "See BIRD's log.")


def _said(argv: list[str]) -> str | None:
    """What a command prints; None where it is not there or fails."""
    try:
        done = _run(argv)
    except CommandFailed:
        return None
    return (done.stdout + done.stderr) if done.returncode == 0 else None


def _run(argv: list[str]) -> subprocess.CompletedProcess[str]:
    path = f"{os.environ.get('PATH', '')}:{_PATH}"
    program = shutil.which(argv[0], path=path)
    if program is None:
        raise CommandFailed(f"This machine has no program {argv[0]}.", "", "Install BIRD 2 (`apt install bird2`).")
    try:
        return subprocess.run(
            [program, *argv[1:]], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=SECONDS, env={**os.environ, "LC_ALL": "C", "PATH": path}, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise CommandFailed(f"{argv[0]} did not finish within {SECONDS:.0f} s.", "", "Look at BIRD's log.") from None
    except OSError as error:
        raise CommandFailed(f"{argv[0]} could not be run.", f"The system says: {error.strerror}.", "") from None


def _last(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return one_line(lines[-1] if lines else f"status {done.returncode}", 300)
