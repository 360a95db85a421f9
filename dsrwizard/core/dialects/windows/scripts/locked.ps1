# From here on this script alone changes something on the host.

$lock = Enter-Lock
$turns = 0
while (($lock -eq $null) -and ($turns -lt 2) -and (Test-AnyGoing)) {
    # The host takes back what an earlier run did, which ends.
    $lock = Enter-Lock
    $turns = $turns + 1
}
if ($lock -eq $null) {
    Send-Busy
}
