# Installs the loopback adapter where no window can: pasted by hand on Server Core of 2008 R2.

$id = [DsrLoopback]::Register('RUNBOOK\@ADAPTER@')
[DsrLoopback]::Bind($id)
do { Start-Sleep -Seconds 1; $new = Get-WmiObject Win32_NetworkAdapter | Where-Object { $_.PNPDeviceID -eq $id } }
while (-not $new.NetConnectionID)
$new.NetConnectionID = '@ADAPTER@'; $new.Put() | Out-Null
$id    # keep it: the undo needs it
