"""The one script that looks at a Windows host.

The script changes nothing and reads no localised text: settings come as numbers, adapters by GUID, index and component
id, IIS' configuration as XML that is read here. It carries both dialects and takes the one the host knows.
"""

from __future__ import annotations

from collections.abc import Sequence

from dsrwizard.core.dialects.script_files import filled
from dsrwizard.core.dialects.windows.install_policy import SWITCHES
from dsrwizard.core.dialects.windows.powershell import DEVICES, GENERATIONS, array, file, prelude
from dsrwizard.core.dialects.windows.revert import PLACE

SECONDS = 60.0
"""How long a look may take, unless the deployment says otherwise."""
_RULES_SHARE = 3
"""The firewall's rules get this part of the time: there may be 50,000, and everything else has to be read, too."""
_SHARED = filled(file("facts.ps1"), {"'@SWITCHES@'": array(SWITCHES)})
_UNDO = file("undo_look.ps1")
_MAIN = file("look.ps1")


def observe_script(nonce: str, *, own_rules: Sequence[str] = (), seconds: float = SECONDS) -> str:
    """The looking script; both dialects are in it, behind the test of the host's version. `seconds` is all the time
    there is; `own_rules` are asked for by name where the firewall has too many rules to read them all."""
    modern, legacy = GENERATIONS["2012"], GENERATIONS["2008"]
    chosen = (
        "if (([int]$PSVersionTable.PSVersion.Major -ge 3) -and "
        "([Environment]::OSVersion.Version -ge [Version]'6.2')) {\n"
        f"{modern.json}{modern.facts}\n}} else {{\n{legacy.json}{legacy.facts}\n}}\n"
    )
    budget = max(1, int(seconds / _RULES_SHARE))
    main = filled(_MAIN, {"'@RULE_SECONDS@'": str(budget), "'@OWN_RULES@'": array(tuple(own_rules))})
    return "# dsrwizard: look\n" + prelude(nonce) + _SHARED + DEVICES + PLACE + _UNDO + chosen + main
