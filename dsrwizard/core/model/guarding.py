"""What a guard holds out of the IPVS table, and the file that says so to everybody else on this machine."""

from __future__ import annotations

from pathlib import Path

from dsrwizard.core.model.shown import Shown

_UNITS = "/etc/systemd/system"
GUARD_UNITS = f"{_UNITS}/dsrwizard-guard-"
"""How the paths of guards' files begin."""
FOLDER = Path("/run/dsrwizard")
"""Root's alone, and empty after a boot: by then nothing is held out any more."""
VERSION = 1
SILENT_SECONDS = 5.0
"""A guard whose last round is older than this is not at work."""

UNGUARDED = "No guard is seen at work here, though the deployment asks for one: nobody takes dead servers out."


class DestinationPlace(Shown, frozen=True):
    """A destination: a real server behind one service of a VIP. `service` as `tcp/80`."""

    vip: str
    service: str
    server: str

    def __str__(self) -> str:
        return f"{self.server} in {self.vip} {self.service}"


class HeldOut(Shown, frozen=True, kw_only=True):
    """A destination that is held out at weight 0. `rip`: the server's address; `weight` is the one it had, `since` in
    seconds since the epoch; `well_since`: from when on it has answered again, 0 while it does not; `back_at`: it is not
    let in before then."""

    place: DestinationPlace
    rip: str = ""
    weight: int
    why: str
    since: float
    well_since: float = 0.0
    back_at: float = 0.0


class GuardState(Shown, frozen=True, kw_only=True):
    """What a guard wrote after its last round. `at`, `since` in seconds since the epoch; `round_seconds`: how long the
    round took; `blind`: why nothing is changed now; `alarms`: what an operator should know; `watchdog`: after so
    many seconds without a heartbeat a service manager starts it again, 0: none does; `ended`: it was stopped."""

    version: int = VERSION
    deployment: str
    pid: int
    since: float
    at: float
    every: float
    floor: int
    rounds: int = 0
    round_seconds: float = 0.0
    held: tuple[HeldOut, ...] = ()
    blind: str = ""
    alarms: tuple[str, ...] = ()
    watchdog: float = 0.0
    ended: bool = False
    announces: bool | None = None
    """Whether it has BIRD announce the VIPs; None: this deployment has no BGP."""

    def alive(self, now: float) -> bool:
        """Whether it is at work. A clock that was set back makes no guard dead."""
        return not self.ended and now - self.at <= max(SILENT_SECONDS, 4 * self.every)

    @property
    def over(self) -> bool:
        """It was stopped and holds nothing out: there is nothing to tell of it."""
        return self.ended and not self.held

    @property
    def words(self) -> str:
        """What it does now, in a line."""
        said = "" if self.announces is None else f"{'announces' if self.announces else 'withholds'} the VIPs; "
        return said + self._words

    @property
    def _words(self) -> str:
        if self.blind:
            return f"blind: {self.blind}"
        held = ", ".join(dict.fromkeys(one.place.server for one in self.held))
        alarms = f"{len(self.alarms)} alarm{'' if len(self.alarms) == 1 else 's'}" if self.alarms else ""
        return "; ".join(filter(None, (f"holds out {held}" if held else "holds nothing out", alarms)))

    def holds(self, vip: str, service: str, server: str) -> HeldOut | None:
        """What it holds out at that place."""
        place = DestinationPlace(vip, service, server)
        return next((one for one in self.held if one.place == place), None)


class Holdings(Shown, frozen=True, kw_only=True):
    """What of a deployment this machine holds now, by a quick look. `vips`: those on its interfaces, as the kernel
    writes them; `keepalived`: whether it runs here, None: not known."""

    vips: tuple[str, ...] = ()
    keepalived: bool | None = None


def guard_unit(deployment: str) -> str:
    """The name of the systemd unit that runs a deployment's guard."""
    return f"dsrwizard-guard-{deployment}.service"


def guard_files(deployment: str) -> tuple[str, str, str]:
    """The deployment file that the guard reads, its unit, and the link by which that is enabled."""
    unit = guard_unit(deployment)
    return f"{GUARD_UNITS}{deployment}.toml", f"{_UNITS}/{unit}", f"{_UNITS}/multi-user.target.wants/{unit}"


def health_path(deployment: str, place: DestinationPlace) -> Path:
    """The file by which a guard tells keepalived of a destination: `0` and a line break is well, `1` dead
    (keepalived.conf(5), track_file)."""
    return FOLDER / "health" / deployment / f"{place.server}-{place.service.replace('/', '-')}-{place.vip}"


def state_path(deployment: str, folder: Path = FOLDER) -> Path:
    """The file of a deployment's guard."""
    return folder / f"guard-{deployment}.json"
