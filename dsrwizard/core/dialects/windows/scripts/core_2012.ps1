# Installs the loopback adapter where no window can: pasted by hand on Server Core from 2012 on.

$id = [DsrLoopback]::Register('RUNBOOK\@ADAPTER@')
[DsrLoopback]::Bind($id)
while (-not (Get-NetAdapter -IncludeHidden | Where-Object { $_.PnPDeviceID -eq $id })) { Start-Sleep -Seconds 1 }
Get-NetAdapter -IncludeHidden | Where-Object { $_.PnPDeviceID -eq $id } | Rename-NetAdapter -NewName '@ADAPTER@'
$id    # keep it: the undo needs it
