"""What a diagnosis costs by itself, from 10 VIPs on 10 real servers to 100 on 100, whatever is wrong.

    python -m tests.bench.diagnose

Everything has been looked at before, so neither network nor hosts are timed. Beside the seconds of the processor: the
cost of one (VIP, server) pair against the smallest healthy farm, which stays near 1 where nothing is looked through
again for every pair.
"""

from __future__ import annotations

import time

import msgspec

from dsrwizard.core.diagnosis import Evidence, diagnose
from dsrwizard.engine.verify import gather
from tests.unit.diagnosed import Farm

SIZES = (10, 30, 100)


def healthy(size: int) -> Evidence:
    """A farm of `size` VIPs on as many servers, as seen by one verification."""
    farm = Farm(servers=size, addresses=tuple(f"10.0.200.{number}" for number in range(1, size + 1)))
    return gather(farm.deployment, farm.observed(), farm.world.wire())


def silent(evidence: Evidence) -> Evidence:
    """Every VIP is there and drops what is sent to it."""
    probes = {
        key: msgspec.structs.replace(one, signature="silence", answered_by="") for key, one in evidence.probes.items()
    }
    return msgspec.structs.replace(evidence, probes=probes)


def unseen(evidence: Evidence) -> Evidence:
    """Silence, no login and no answer to ping: all is asked of what little was seen."""
    pings = {key: msgspec.structs.replace(one, milliseconds=None) for key, one in evidence.pings.items()}
    observed = msgspec.structs.replace(evidence.observed, servers={})
    return msgspec.structs.replace(silent(evidence), pings=pings, observed=observed)


def unbalanced(evidence: Evidence) -> Evidence:
    """IPVS has every service and no destination: a fault for every pair."""
    director = evidence.observed.director
    assert director is not None
    empty = tuple(msgspec.structs.replace(service, destinations=()) for service in director.services or ())
    director = msgspec.structs.replace(director, services=empty)
    return msgspec.structs.replace(evidence, observed=msgspec.structs.replace(evidence.observed, director=director))


def main() -> None:
    cases = {"healthy": lambda seen: seen, "all silent": silent, "nothing seen": unseen, "no destinations": unbalanced}
    per_pair = 0.0
    print(f"{'':18}" + "".join(f"{f'{size} × {size}':>22}" for size in SIZES))
    farms = {size: healthy(size) for size in SIZES}
    for name, change in cases.items():
        cells = []
        for size in SIZES:
            evidence = change(farms[size])
            begun = time.process_time()
            report = diagnose(evidence)
            seconds = time.process_time() - begun
            per_pair = per_pair or seconds / size**2
            cells.append(f"{seconds:8.3f} s  ×{seconds / size**2 / per_pair:4.1f} {len(report.failures):>5}")
        print(f"{name:18}" + "".join(f"{cell:>22}" for cell in cells))
    print("columns: seconds, cost of a pair against 10 × 10 healthy, failures named")


if __name__ == "__main__":
    main()
