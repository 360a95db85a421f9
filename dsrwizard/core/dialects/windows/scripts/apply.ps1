# Carries out the steps in `$steps`. A change first makes sure that what it replaces is still what was observed; a step
# that fails takes back its own changes, last first and the one that failed included, and the steps after it do not run.

function Test-Before {
    param($change)
    $present = Read-Setting -what $change.what -name $change.name
    if ($present -eq 'unfinished') {
        # A device of ours that a killed script left: whoever wants the adapter begins anew, whoever does not removes it.
        return
    }
    if (-not $change.checked) {
        # On an adapter that was not there nothing could be observed.
        $change['before'] = $present
        return
    }
    if ([string]$present -ne [string]$change.before) {
        throw ('changed meanwhile: ' + $change.what + ' ' + $change.name + ' is "' + [string]$present + '", was "' +
            [string]$change.before + '"')
    }
}
function Undo-Change {
    param($change, $half)
    if ($half) {
        # It failed in the middle: whether it took is not known.
        $present = Read-Setting -what $change.what -name $change.name
        if ([string]$present -eq [string]$change.before) {
            return
        }
    }
    Write-Setting -what $change.what -name $change.name -before $change.after -after $change.before
}
foreach ($step in $steps) {
    Send-Frame @{ kind = 'start'; step = $step.number }
    $begun = @()
    $half = $false
    try {
        foreach ($change in $step.changes) {
            Test-Before -change $change
            $begun += $change
            $half = $true
            Write-Setting -what $change.what -name $change.name -before $change.before -after $change.after
            $half = $false
        }
        Send-Frame @{ kind = 'done'; step = $step.number }
    }
    catch {
        $message = [string]$_.Exception.Message
        $word = 'failed'
        $index = $begun.Count - 1
        while ($index -ge 0) {
            $change = $begun[$index]
            try {
                Undo-Change -change $change -half $half
            }
            catch {
                $word = 'halfway'
                $message = $message + '; taking back ' + $change.what + ' ' + $change.name + ': ' +
                    [string]$_.Exception.Message
            }
            $half = $false
            $index = $index - 1
        }
        Send-Frame @{ kind = $word; step = $step.number; message = $message }
        $lock.ReleaseMutex()
        exit 0
    }
}
$lock.ReleaseMutex()
