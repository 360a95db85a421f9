"""The dialect of Windows Server 2008 and 2008 R2: PowerShell 2.0 with WMI, COM, registry and P/Invoke.

Nothing here may use what came later: ConvertTo-Json, the Net cmdlets, Get-CimInstance, `[pscustomobject]`.
"""

from __future__ import annotations

JSON_2008 = ""
FACTS_2008 = ""
SETTINGS_2008 = ""
