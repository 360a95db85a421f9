"""The guests' image, kept outside the checkout and made anew when what it is made of changes; and the ordinary user who
does all of this when root starts it."""

from __future__ import annotations

import hashlib
import os
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parents[1]
NOBODY = 65534
KEPT = 2
"""Images that stay in the cache: the one in use, and one of another state of the recipe."""
_NOT_FETCHED = re.compile(
    r"failed to fetch|could not (resolve|connect)|failure resolving|unable to (fetch|connect)|not found \[IP", re.I
)
"""What apt says where a mirror does not give it a file (apt's methods/connect.cc and apt-pkg/acquire-item.cc)."""


def cache() -> Path:
    """Where images are kept: the user's cache; root's own home is closed to the ordinary user it becomes."""
    if os.geteuid() == 0 or os.environ.get("REBOOTS_CACHE"):
        return Path(os.environ.get("REBOOTS_CACHE", "/var/cache/dsrwizard/reboots"))
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "dsrwizard" / "reboots"


def key() -> str:
    """What the image is made of, as a digest."""
    digest = hashlib.sha256()
    files = [HERE / "build.sh", *sorted((HERE / "inside").iterdir()), PROJECT / "requirements" / "run.txt"]
    files += [Path("/etc/os-release"), *sorted(Path("/etc/apt").glob("sources.list*/*"))]
    for path in files:
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    digest.update(" ".join(sorted(one.name for one in Path("/usr/lib/uml/modules").iterdir())).encode())
    return digest.hexdigest()[:16]


def image(work: Path, user: list[str]) -> Path:
    """The image, built if it is not in the cache. `work` is a folder for what is on the way; `user`: the words that
    make a command the ordinary user's."""
    folder = cache()
    path = folder / f"{key()}.img"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    if user:
        os.chown(folder, NOBODY, NOBODY)
    print("The guests' image is built, from the Debian mirror of this machine's own apt.", flush=True)
    site = work / "site"
    _dependencies(site)
    opened(work)
    built = subprocess.run(
        [*user, _copied(work) / "build.sh", path, _copied(work) / "inside", site],
        cwd=folder, check=False, env={**os.environ, "HOME": str(folder)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    if built.returncode:
        sys.stderr.write(built.stderr[-4000:])
        raise SystemExit(f"{not_built(built.stderr)} Nothing was tried.")
    old = sorted(folder.glob("*.img"), key=lambda one: one.stat().st_mtime)[:-KEPT]
    for one in old:
        one.unlink()
    return path


def not_built(said: str) -> str:
    """Why there is no image, by what mmdebstrap and apt said."""
    lines = [line for line in said.splitlines() if _NOT_FETCHED.search(line)]
    if not lines:
        return "The guests' image could not be built. The lines above say why."
    return (
        f"The guests' packages could not be fetched: {lines[0].strip()}\nRun `make reboots` where apt reaches its "
        "mirror. The image is then kept, and later runs need no network."
    )


def _copied(work: Path) -> Path:
    return work / "code" / "tests" / "reboots"


def _dependencies(site: Path) -> None:
    """What the product needs, for the guests' Python (that of Debian)."""
    said = subprocess.run(
        ["/usr/bin/python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    fetched = subprocess.run(
        [
            sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-deps",
            "--require-hashes", "--only-binary", ":all:", "--python-version", said.stdout.strip(), "--target", site,
            "-r", PROJECT / "requirements" / "run.txt",
        ],
        check=False,
    )  # fmt: skip
    if fetched.returncode:
        raise SystemExit(
            "The guests' Python packages could not be fetched. The lines above say why. Nothing was tried."
        )


def code(work: Path) -> Path:
    """A copy of the product and of these tests that the ordinary user may read."""
    target = work / "code"
    skip = shutil.ignore_patterns("__pycache__")
    for name in ("dsrwizard", "backends", "screens"):
        shutil.copytree(PROJECT / name, target / name, ignore=skip)
    shutil.copytree(HERE, target / "tests" / "reboots", ignore=skip)
    (target / "tests" / "__init__.py").touch()
    subprocess.run(  # for the guests, whose Python is this one, too; a file's time counts for nothing
        ["/usr/bin/python3", "-m", "compileall", "-qf", "-j", "2", "--invalidation-mode", "unchecked-hash", target],
        check=False, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    return target


def opened(work: Path) -> None:
    """Lets everyone read what is in a folder."""
    for folder, _, names in os.walk(work):
        Path(folder).chmod(0o755)
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o444)


def known(user: int) -> bool:
    """Whether a user is in passwd(5)."""
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def ordinary() -> list[str]:
    """The words that make a command an ordinary user's; empty where we are one. Ends the program where the user has no
    entry in passwd(5): ssh-keygen makes no key for such a user."""
    user = os.geteuid() or NOBODY
    if not known(user):
        raise SystemExit(
            f"The user with the number {user} has no line in /etc/passwd, and ssh-keygen makes no keys for such a "
            "user. Run `make reboots` as a user who has one. Nothing was tried."
        )
    if os.geteuid() != 0:
        return []
    return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"]
