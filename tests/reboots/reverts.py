"""Real servers that put themselves back: a real timer of systemd does it where the operator is cut off in the midst of
an apply, and a reboot or a power cut within its time forgets it."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.reboots.farm import ADDRESS, FIRST, VIP, VIP6, Farm
from tests.reboots.guests import Asker
from tests.reboots.table import Table, differs, silent

AFTER = 30
"""Seconds to the revert: the shortest that `--revert-after` takes."""
PATIENCE = 240
FAILED = (1, 3)
"""Exit codes: hosts have failed, or the run was stopped."""
CUT_OFF = {"networkd": "s1c1", "ifupdown": "s1c3", "nm": "s2c1", "netplan": "s3c1"}
"""The change at which each server loses the operator: the guard's first setting and its file, VIP, what keeps it."""
GOES_DOWN = {"networkd": ("s2c1", True), "ifupdown": ("s3c1", False), "nm": ("s2c1", False), "netplan": ("s3c1", True)}
"""The change at which each server goes down, and whether its power is cut instead of a reboot."""

_BEGUN = """exec 9<> <(:)
until [ -e /run/dsrwizard/run.*/@MARK@ ]; do
    [ "$SECONDS" -lt @PATIENCE@ ] || { echo "@MARK@ has not begun; seen: $(echo /run/dsrwizard/run.*/*)"; exit 1; }
    read -rt .03 -u 9
done
true # whatever the last look at it ended with
"""
_LOSES_OPERATOR = """drop() { iptables-legacy -I "$@" -j DROP; }
drop INPUT -s @DIRECTOR@ && drop OUTPUT -d @DIRECTOR@ ||
    { echo "it could not be cut off"; exit 1; }
cd /run/dsrwizard/run.* && unit=dsrwizard-revert-${PWD##*.} && cd /
echo "timer $(systemctl is-active "$unit.timer") $(echo /run/dsrwizard/run.*/awake)"
until [ -e /run/dsrwizard/reverted ]; do
    [ "$SECONDS" -lt @PATIENCE@ ] || { echo "it did not put itself back in $SECONDS s"; exit 1; }
    read -rt .2 -u 9
done
journalctl -q -b -o cat -u "$unit.service"
cat /run/dsrwizard/reverted
"""
_REACHED_AGAIN = "iptables-legacy -F INPUT; iptables-legacy -F OUTPUT; systemctl start lab-serve"
_GIVES_UP = "pkill -TERM -f 'bin/dsrwizard apply'"
"""The operator asks for its end; it comes once every dead connection is given up (`STOP_SECONDS`)."""
_LEFT = "ls -d /run/dsrwizard 2>/dev/null; systemctl list-units --all --no-legend --plain 'dsrwizard-revert*'"


def _script(text: str, mark: str) -> str:
    holes = {"@MARK@": mark, "@PATIENCE@": str(PATIENCE), "@DIRECTOR@": ADDRESS[FIRST]}
    for hole, value in holes.items():
        text = text.replace(hole, value)
    return text


def _silence(farm: Farm) -> None:
    """Nothing serves on the real servers: none of them can be proved, however late something comes."""
    farm.each(farm.servers, lambda name: farm.at[name].run("systemctl stop lab-serve"))


def cut_off(farm: Farm, table: Table, before: dict[str, list[str]]) -> None:
    """The operator is cut off from every server in the midst of an apply. `before`: the servers' manifests."""
    _silence(farm)
    with Asker(farm, VIP[FIRST]) as asker, ThreadPoolExecutor(1) as beside:
        scripts = {name: farm.at[name].send(_script(_BEGUN + _LOSES_OPERATOR, CUT_OFF[name])) for name in farm.servers}
        words = f"apply --yes --wave off --revert-after {AFTER} 2>&1"
        apply = beside.submit(lambda: farm.dsrwizard(FIRST, words))
        ends = farm.each(farm.servers, lambda name: farm.at[name].result(scripts[name], PATIENCE + 60))
        farm.at[FIRST].run(_GIVES_UP)
        code, said = apply.result()
    farm.each(farm.servers, lambda name: farm.at[name].run(_REACHED_AGAIN))
    for name, after in farm.each(farm.servers, farm.manifest).items():
        status, seen = ends[name]
        by_timer = seen.startswith("timer active /run/dsrwizard/run.*/awake\n") and "Started dsrwizard-revert-" in seen
        table.note("operator cut off: a timer of systemd is armed and fires", name, "" if by_timer else seen[-300:])
        stays = "" if not status and "stays" not in seen else seen[-300:]
        table.note(
            "operator cut off: nothing differs from before the apply", name, stays or differs(before[name], after)
        )
        table.note("operator cut off: no ARP word about the VIP", name, silent(asker, name))
    table.note("the apply that is cut off fails", FIRST, "" if code in FAILED else f"{code}: {said[-300:]}")
    code, said = farm.dsrwizard(FIRST, "plan --json 2>&1")
    table.note("the next plan says which servers put themselves back", FIRST, _untold(farm, said))


def _untold(farm: Farm, said: str) -> str:
    """Empty where a plan says of each server, and of no other host, that it put itself back."""
    try:
        plan: dict[str, Any] = json.loads(said)
    except ValueError:
        return said[-300:]
    told = {host["host"] for host in plan["hosts"] if any("put itself back at" in note for note in host["notes"])}
    return "" if told == set(farm.servers) else f"it says so of {', '.join(sorted(told)) or 'none'}"


def rebooted(farm: Farm, table: Table) -> None:
    """Every server goes down within the time of the revert: what was armed is forgotten, and the next apply goes on
    from what is there."""
    _silence(farm)
    with Asker(farm, VIP[FIRST]) as asker, ThreadPoolExecutor(1) as beside:
        scripts = {name: farm.at[name].send(_script(_BEGUN, GOES_DOWN[name][0])) for name in farm.servers}
        apply = beside.submit(lambda: farm.dsrwizard(FIRST, "apply --yes --wave off 2>&1"))
        ends = farm.each(farm.servers, lambda name: _goes_down(farm, name, scripts[name]))
        farm.at[FIRST].run(_GIVES_UP)
        code, said = apply.result()
        states = farm.each(farm.servers, lambda name: _after_boot(farm, name))
    for name, state in states.items():
        how = "down within the revert's time"
        table.note(f"{how}: nothing of it is left, no VIP without guard", name, ends[name] or state, reboot=True)
        table.note(f"{how}: no ARP word about the VIP", name, silent(asker, name))
    table.note("the apply whose servers go down fails", FIRST, "" if code in FAILED else f"{code}: {said[-300:]}")
    code, said = farm.dsrwizard(FIRST, "apply --yes 2>&1")
    table.note("the next apply goes on", FIRST, "" if code == 0 else f"{code}: {said[-600:]}")
    whole = farm.each(farm.servers, lambda name: farm.state(name, (VIP[FIRST], VIP6)))
    for name, state in whole.items():
        table.note("the next apply: VIPs and guard", name, state)


def _goes_down(farm: Farm, name: str, script: int) -> str:
    status, said = farm.at[name].result(script, PATIENCE + 60)
    if status:
        return said or f"what waits for {GOES_DOWN[name][0]} ended with {status}"
    (farm.cut if GOES_DOWN[name][1] else farm.reboot)(name)
    return ""


def _after_boot(farm: Farm, name: str) -> str:
    """Empty where nothing of a revert is left, no unit has failed and the VIP is not there without the guard."""
    left = " ".join(farm.at[name].run(_LEFT).split())
    missing = farm.state(name, (VIP[FIRST], VIP6))
    units = "; ".join(one for one in missing.split("; ") if ".service" in one)
    bare = missing if "arp_" in missing and f"no {VIP[FIRST]}" not in missing else ""
    return "; ".join(filter(None, (left, units, bare)))
