# Carries out the steps in `$steps`. A change first makes sure that what it replaces is still what was observed; a step
# that fails takes back its own earlier changes, last first, and the steps after it do not run.

function Test-Before {
    param($change)
    if (-not $change.checked) {
        return
    }
    $present = Read-Setting -what $change.what -name $change.name
    if ([string]$present -ne [string]$change.before) {
        throw ('changed meanwhile: ' + $change.what + ' ' + $change.name + ' is "' + [string]$present + '", was "' +
            [string]$change.before + '"')
    }
}
foreach ($step in $steps) {
    Send-Frame @{ kind = 'start'; step = $step.number }
    $done = @()
    try {
        foreach ($change in $step.changes) {
            Test-Before -change $change
            Write-Setting -what $change.what -name $change.name -before $change.before -after $change.after
            $done += $change
        }
        Send-Frame @{ kind = 'done'; step = $step.number }
    }
    catch {
        $message = [string]$_.Exception.Message
        $word = 'failed'
        $index = $done.Count - 1
        while ($index -ge 0) {
            $change = $done[$index]
            try {
                Write-Setting -what $change.what -name $change.name -before $change.after -after $change.before
            }
            catch {
                $word = 'halfway'
                $message = $message + '; taking back ' + $change.what + ' ' + $change.name + ': ' +
                    [string]$_.Exception.Message
            }
            $index = $index - 1
        }
        Send-Frame @{ kind = $word; step = $step.number; message = $message }
        exit 0
    }
}
