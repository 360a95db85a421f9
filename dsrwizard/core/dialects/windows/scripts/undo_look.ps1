# What a look says of the undo: lines as a Linux server's look has them (core.dialects.undo).

function Get-Undo {
    foreach ($run in @(Get-Runs)) {
        $turns = 0
        while (($turns -lt 5) -and (Test-Going -run $run)) {
            Start-Sleep -Milliseconds 1000
            $turns = $turns + 1
        }
        if (Test-Going -run $run) {
            Write-Output 'going'
        }
        elseif ([IO.File]::Exists($run + '\awake')) {
            if ([IO.File]::Exists($run + '\armed') -and (Test-Alive -path ($run + '\awake'))) {
                $until = [string](Read-Text -path ($run + '\until'))
                Write-Output ('armed ' + $until + ' ' + [string](Get-Seconds))
            }
            elseif ([IO.File]::Exists($run + '\armed') -or [IO.File]::Exists($run + '\fired')) {
                Write-Output 'ended'
            }
        }
    }
    if ([IO.File]::Exists($place + '\reverted')) {
        foreach ($line in ([string][IO.File]::ReadAllText($place + '\reverted') -split "`n")) {
            if ($line -ne '') {
                Write-Output $line
            }
        }
    }
}
