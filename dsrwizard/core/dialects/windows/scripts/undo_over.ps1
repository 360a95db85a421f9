# What an earlier run left armed is over: from here on this run answers for what is there. One that takes back now goes
# first, and needs the lock for it.

$turns = 0
$waiting = $true
while ($waiting) {
    $waiting = $false
    foreach ($folder in @(Get-Runs)) {
        $ended = Move-File -from ($folder + '\armed') -to ($folder + '\over')
        if ((-not $ended) -and (Test-Going -run $folder)) {
            $waiting = $true
        }
    }
    if ($waiting) {
        $lock.ReleaseMutex()
        if ($turns -ge 30) {
            Send-Busy
        }
        Start-Sleep -Milliseconds 1000
        $turns = $turns + 1
        $lock = Enter-Lock
        if ($lock -eq $null) {
            Send-Busy
        }
    }
}
try {
    Remove-Runs
    if ([IO.File]::Exists($place + '\reverted')) {
        [IO.File]::Delete($place + '\reverted')
    }
    Remove-Place
}
catch {
    Send-Frame @{
        kind = 'log'
        message = ('What is left of an earlier undo could not be removed: ' + [string]$_.Exception.Message)
    }
}
