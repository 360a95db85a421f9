"""The check `director.settings`: settings, rules and routes of the director that stop or misdirect clients' packets."""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from dsrwizard.core.diagnosis.director_bgp import announced
from dsrwizard.core.diagnosis.evidence import Evidence
from dsrwizard.core.diagnosis.found import Fault, Found, Where
from dsrwizard.core.model.checks import Check
from dsrwizard.core.model.deployment import Vip
from dsrwizard.core.model.director_facts import ComingIn, DirectorLook
from dsrwizard.core.model.facts import Failure, Interface
from dsrwizard.core.model.steps import DIRECTOR
from dsrwizard.core.model.values import canonical
from dsrwizard.core.plan.director import settings_of

REVERSE_PATH = 18
"""EXDEV: the kernel's word for reverse-path filtering (fib_validate_source)."""
_VS = "net.ipv4.vs."
_TOLD = (
    "secure_tcp", "sloppy_tcp", "conntrack", "schedule_icmp", "ignore_tunneled", "conn_reuse_mode", "cache_bypass",
    "sync_threshold", "run_estimation",
)  # fmt: skip
_USUAL = {"conn_reuse_mode": "1", "run_estimation": "1", "sync_threshold": "3 50"}


def settings(evidence: Evidence, faults: Found) -> list[Check]:
    """`director.settings`: one check for each setting that does harm, or one that passes."""
    look = evidence.director_look
    if look is None or not evidence.deployment.director.in_kernel:
        return []
    where = Where(check="director.settings", host=DIRECTOR)
    found = [*_defences(faults, where, look), *_backup(faults, where, look), *_mute(evidence, faults, where, look)]
    found += [*_stops(evidence, faults, look), *_coming(evidence, faults, look), *_unreached(evidence, faults, look)]
    found += [*_drifted(evidence, faults, where, look), *announced(evidence, faults, where, evidence.observed.director)]
    if found:
        return found
    if not look.settings:
        return [
            where.unknown("The settings of the director could not be read.", look.problem, "Run dsrwizard as root.")
        ]
    told = [
        f"{name}={look.settings[_VS + name]}" for name in _TOLD
        if look.settings.get(_VS + name, _USUAL.get(name, "0")) != _USUAL.get(name, "0")
    ]  # fmt: skip
    told += _as_planned(evidence, look)
    told += [f"rp_filter={value}" for value in _strict(evidence, look)]
    if look.counters.get(_RP_COUNTER) and _strict(evidence, look):
        told.append(f"IPReversePathFilter has counted {look.counters[_RP_COUNTER]} packets so far")
    return [where.passed("No setting of the director drops or misdirects clients' packets.", ", ".join(told))]


def _fault() -> Fault:
    return Fault(host=DIRECTOR, cause="director-setting")


def _defences(faults: Found, where: Where, look: DirectorLook) -> Iterable[Check]:
    """IPVS' defences against floods (kernel doc networking/ipvs-sysctl): 3 is always, 2 is automatic and at work."""
    drop, rate = look.settings.get(_VS + "drop_packet", ""), look.settings.get(_VS + "am_droprate", "")
    if drop == "2" or (drop == "3" and rate not in ("", "0")):
        share = f"one of {rate}" if drop == "3" else "some"
        yield _defence(
            faults, where, "drop_packet", f"IPVS drops {share} of clients' packets to defend itself.",
            f"drop_packet={drop}, am_droprate={rate}", drop,
        )  # fmt: skip
    drop = look.settings.get(_VS + "drop_entry", "")
    if drop in ("2", "3"):
        yield _defence(
            faults, where, "drop_entry", "IPVS drops entries of its connection table at random to defend itself.",
            f"drop_entry={drop}", drop,
        )  # fmt: skip


def _defence(faults: Found, where: Where, name: str, message: str, seen: str, value: str) -> Check:
    if value == "2":
        seen += f": memory is short (amemthresh), which {name}=1 answers so"
    return faults.fail(
        where, Fault(host=DIRECTOR, cause="director-setting", server=name), message, seen,
        f"On the director: sysctl -w {_VS}{name}=0",
    )  # fmt: skip


def _backup(faults: Found, where: Where, look: DirectorLook) -> Iterable[Check]:
    if "backup" in (look.sync or ()) and look.settings.get(_VS + "backup_only") == "1":
        yield faults.fail(
            where, _fault(), "IPVS on the director passes nothing on: it is a backup, and backup_only is set.",
            f"synchronisation: {', '.join(look.sync or ())}; backup_only=1",
            f"On the director: sysctl -w {_VS}backup_only=0",
        )  # fmt: skip


def _mute(evidence: Evidence, faults: Found, where: Where, look: DirectorLook) -> Iterable[Check]:
    """Whether the director answers ARP for its own VIPs (ip-sysctl, arp_ignore): it cannot hear itself."""
    if evidence.deployment.director.bgp is not None:
        return  # nobody asks for them by ARP, and several directors have them
    nic = evidence.deployment.director.interface
    director = evidence.observed.director
    values = {name: look.settings.get(_conf(name, "arp_ignore"), "") for name in ("all", nic)}
    numbers = [int(value) for value in values.values() if value.isdecimal()]
    if director is None or not numbers:
        return
    mode = max(numbers)
    for vip in evidence.deployment.vips:
        if vip.ip.version != 4:
            continue
        held = [(link, entry) for link in director.interfaces if (entry := link.has(vip.address)) and link.up]
        if not held:
            continue
        on_nic = any(link.name == nic for link, _ in held)
        silent = mode == 8 or (mode in (1, 2) and not on_nic) or (mode == 3 and held[0][1].scope in ("host", "link"))
        if silent:
            fix = " ".join(
                f"{shlex.quote(_conf(name, 'arp_ignore'))}=0"
                for name, value in values.items()
                if value not in ("", "0")
            )
            yield faults.fail(
                where, Fault(host=DIRECTOR, cause="director-setting", server="arp_ignore"),
                f"The director does not answer ARP for {vip.address}: arp_ignore is {mode}, and it is on "
                f"{held[0][0].name}.",
                ", ".join(f"{name}: arp_ignore={value}" for name, value in values.items()),
                f"On the director: sysctl -w {fix}",
            )  # fmt: skip
            return


def _conf(interface: str, name: str) -> str:
    return f"net.ipv4.conf.{interface.replace('.', '/')}.{name}"


def _stops(evidence: Evidence, faults: Found, look: DirectorLook) -> Iterable[Check]:
    """Routes and rules that throw away what comes in for a VIP; those for a server's address or a client's are the way
    to it."""
    for vip in evidence.deployment.vips:
        stopped = _stopped(evidence, look, vip)
        if stopped:
            yield _convicted(evidence, faults, look, vip, stopped)


def _stopped(evidence: Evidence, look: DirectorLook, vip: Vip) -> list[ComingIn]:
    """What the kernel does with packets for the VIP, where it lets in none of those asked about."""
    mine = [one for one in look.coming if canonical(one.vip) == canonical(vip.address)]
    if not mine or any(one.kind == "local" or one.number == REVERSE_PATH for one in mine):
        return []
    return mine if _holder(evidence, vip) is not None else []  # director.vip says that it is not there


def _convicted(evidence: Evidence, faults: Found, look: DirectorLook, vip: Vip, stopped: list[ComingIn]) -> Check:
    where = Where(check="director.settings", host=DIRECTOR, vip=vip.address)
    fault = Fault(host=DIRECTOR, cause="director-setting", vip=vip.address)
    six = " -6" if vip.ip.version == 6 else ""
    said = "; ".join(f"from {one.client} on {one.interface}: {one.kind or one.problem}" for one in stopped[:3])
    for stop in look.stops:
        if canonical(vip.address) in map(canonical, stop.covers):
            return faults.fail(
                where, fault, f"A {stop.what} of the director throws away packets for {vip.address}.",
                f"ip {stop.what}: {stop.text}; {said}", f"On the director: ip{six} {stop.what} del {stop.text}",
            )  # fmt: skip
    return _untaken(faults, where, fault, look, vip, _holder(evidence, vip), said)


def _untaken(
    faults: Found, where: Where, fault: Fault, look: DirectorLook, vip: Vip, holder: Interface | None, said: str
) -> Check:
    """The VIP is on an interface, but the kernel's routes do not say that its packets are for this machine."""
    six = " -6" if vip.ip.version == 6 else ""
    way = look.entries.get(canonical(vip.address))
    ask = f"On the director: ip{six} route get {vip.address} from CLIENT iif INTERFACE"
    if holder is None or way is None or way.kind == "local":
        return where.unknown(f"It is not known whether the director takes packets for {vip.address} in.", said, ask)
    seen = f"{said}; its route: {way.kind or way.problem} {way.entry} table {way.table}".rstrip()
    message = f"The director has {vip.address}, but its routes do not take the packets in."
    if way.table not in ("", "main", "local", "default"):
        return faults.fail(
            where, fault, message, seen,
            f"On the director: ip{six} rule shows what leads to table {way.table}; remove that rule, or the route "
            f"{way.entry} there.",
        )  # fmt: skip
    scope = "" if six else f" scope host src {vip.address}"
    return faults.fail(
        where, fault, message, seen,
        f"On the director: ip{six} route replace local {vip.address} dev {shlex.quote(holder.name)} table local proto "
        f"kernel{scope}",
    )  # fmt: skip


def _holder(evidence: Evidence, vip: Vip) -> Interface | None:
    director = evidence.observed.director
    return next((link for link in director.interfaces if link.has(vip.address)), None) if director else None


def _strict(evidence: Evidence, look: DirectorLook) -> list[str]:
    nic = evidence.deployment.director.interface
    found = {name: look.settings.get(_conf(name, "rp_filter"), "0") for name in ("all", nic)}
    return [f"{value} on {name}" for name, value in found.items() if value == "1"]


def _coming(evidence: Evidence, faults: Found, look: DirectorLook) -> Iterable[Check]:
    """Clients that came in by one interface and are dropped there, by what the kernel says of them afterwards."""
    lost = evidence.entered.lost if evidence.entered and not evidence.entered.problem else ()
    came = {(canonical(one.client), canonical(one.vip), one.interface) for one in lost}
    after = evidence.director_after
    told: set[str] = set()
    for one in after.coming if after else ():
        if (canonical(one.client), canonical(one.vip), one.interface) not in came or one.kind == "local":
            continue
        if one.number == REVERSE_PATH and one.interface not in told:
            told.add(one.interface)
            yield _reverse_path(evidence, faults, look, one)
        elif one.number not in (0, REVERSE_PATH):
            stop = next(
                (s for s in (after.stops if after else ()) if canonical(one.client) in map(canonical, s.covers)), None
            )
            if stop is not None and stop.text not in told:
                told.add(stop.text)
                six = " -6" if ":" in one.vip else ""
                yield faults.fail(
                    Where(check="director.settings", host=DIRECTOR, vip=one.vip), _fault(),
                    f"A {stop.what} of the director throws away packets of client {one.client}.",
                    f"ip {stop.what}: {stop.text}; {one.problem}",
                    f"On the director: ip{six} {stop.what} del {stop.text}",
                )  # fmt: skip


def _unreached(evidence: Evidence, faults: Found, look: DirectorLook) -> Iterable[Check]:
    """A client host that cannot be reached, because the kernel drops what it answers: the same befalls its packets to
    the VIPs. Only where the kernel has counted such packets meanwhile is that sure."""
    if not isinstance(evidence.client, Failure) or faults.find(DIRECTOR, "director-setting"):
        return
    client = evidence.deployment.client
    stop = next((one for one in look.stops if client is not None and client.address in one.covers), None)
    if stop is not None and any(one.number and _of_client(evidence, one) for one in look.coming):
        yield faults.fail(
            Where(check="director.settings", host=DIRECTOR), _fault(),
            f"A {stop.what} of the director throws away packets of the client host.",
            f"ip {stop.what}: {stop.text}",
            f"On the director: ip{' -6' if stop.version == 6 else ''} {stop.what} del {stop.text}",
        )  # fmt: skip
        return
    one = next((one for one in look.coming if one.number == REVERSE_PATH and _of_client(evidence, one)), None)
    if one is None:
        return
    before, after = look.counters.get(_RP_COUNTER), evidence.director_after
    now = after.counters.get(_RP_COUNTER) if after is not None else None
    if before is not None and now is not None and now > before:
        yield _reverse_path(evidence, faults, look, one)
        return
    way = look.ways.get(canonical(one.client))
    yield Where(check="director.settings", host=DIRECTOR, vip=one.vip).unknown(
        f"Reverse-path filtering of the director would drop packets of {one.client} that come in on {one.interface}.",
        f"the way back to it is by {way.interface if way is not None else 'another interface'}",
        f"On the director, while a client connects: nstat -az {_RP_COUNTER}",
    )


def _of_client(evidence: Evidence, one: ComingIn) -> bool:
    client = evidence.deployment.client
    return client is not None and client.address == one.client


_RP_COUNTER = "TcpExtIPReversePathFilter"


def _reverse_path(evidence: Evidence, faults: Found, look: DirectorLook, one: ComingIn) -> Check:
    after = evidence.director_after or look
    way = after.ways.get(canonical(one.client))
    by = f"; the way back to it is by {way.interface}" if way is not None and way.interface else ""
    keys = {name: look.settings.get(_conf(name, "rp_filter"), "0") for name in ("all", one.interface)}
    # The greater of both is in force, so that a 2 (loose) on the interface is enough against a 1 (strict) on either.
    loose = {key: "0" for key, value in keys.items() if value != "0"} if "2" in keys.values() else {one.interface: "2"}
    fix = " ".join(f"{shlex.quote(_conf(name, 'rp_filter'))}={value}" for name, value in loose.items())
    risen = after.counters.get(_RP_COUNTER, 0) - look.counters.get(_RP_COUNTER, 0)
    seen = ", ".join(f"{name}: rp_filter={value}" for name, value in keys.items())
    return faults.fail(
        Where(check="director.settings", host=DIRECTOR, vip=one.vip),
        Fault(host=DIRECTOR, cause="director-setting", server="rp_filter"),
        f"Reverse-path filtering of the director drops clients' packets that come in on {one.interface}.",
        f"{seen}; from {one.client}{by}" + (f"; IPReversePathFilter rose by {risen}" if risen > 0 else ""),
        f"On the director: sysctl -w {fix}",
    )  # fmt: skip


def _drifted(evidence: Evidence, faults: Found, where: Where, look: DirectorLook) -> Iterable[Check]:
    """Settings that apply set, and somebody has changed since."""
    now = look.settings | (evidence.observed.director.sysctls if evidence.observed.director else {})
    wanted = settings_of(evidence.deployment)
    gone = {
        key: now[key] for key, (value, _, _) in wanted.items() if key in evidence.kept and now.get(key, value) != value
    }
    if gone:
        fix = " ".join(f"{shlex.quote(key)}={wanted[key][0]}" for key in gone)
        yield faults.fail(
            where, Fault(host=DIRECTOR, cause="director-setting", server="drift", aside=True),
            f"{len(gone)} setting{'s' if len(gone) > 1 else ''} of the director, which dsrwizard set, "
            f"{'have' if len(gone) > 1 else 'has'} another value now.",
            ", ".join(f"{key}={value}" for key, value in gone.items()), f"On the director: sysctl -w {fix}",
        )  # fmt: skip


def _as_planned(evidence: Evidence, look: DirectorLook) -> list[str]:
    """Settings that apply would change, as told where they are somebody else's."""
    now = evidence.observed.director.sysctls if evidence.observed.director else look.settings
    wanted = settings_of(evidence.deployment)
    return [
        f"{key}={now[key]} (apply sets {value})"
        for key, (value, _, _) in wanted.items()
        if now.get(key, value) != value
    ]
