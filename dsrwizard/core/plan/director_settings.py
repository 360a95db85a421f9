"""The steps that prepare a director's kernel, whichever engine balances there: the module, then the settings."""

from __future__ import annotations

from collections.abc import Mapping

from dsrwizard.core.model.changes import ModuleChange, SysctlChange
from dsrwizard.core.model.steps import Step

MODULE = "ip_vs"


def settings_steps(
    host: str, settings: Mapping[str, tuple[str, str, str]], found: Mapping[str, str], *, loaded: bool
) -> list[Step]:
    """The steps for one director. `settings`: key → (wanted, default where it is not there yet, reason); `found`: key →
    value now; `loaded`: the module is. A setting of IPVS that is not there then is one this kernel does not know."""
    steps = []
    if not loaded:
        steps.append(
            Step(
                id="module", purpose="module", host=host, phase="prepare", title=f"Load the kernel module {MODULE}",
                why="IPVS is the kernel's load balancer.", changes=(ModuleChange(module=MODULE),),
            )
        )  # fmt: skip
    for key, (wanted, default, reason) in settings.items():
        present = found.get(key)
        if present is None:
            if loaded or not key.startswith("net.ipv4.vs."):
                continue  # this kernel does not know it
            present = default
        if present != wanted:
            steps.append(
                Step(
                    id=f"sysctl {key}", purpose="setting", host=host, phase="prepare", title=f"{key} = {wanted}",
                    why=reason, changes=(SysctlChange(key=key, old=present, new=wanted),),
                )
            )  # fmt: skip
    return steps
