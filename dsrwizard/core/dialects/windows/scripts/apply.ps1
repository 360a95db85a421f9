# Carries out the steps in `$steps`. A change first makes sure that what it replaces is still what was observed; a step
# that fails takes back its own changes, last first and the one that failed included, and the steps after it do not run.

foreach ($step in $steps) {
    Write-Sign
    Send-Frame @{ kind = 'start'; step = $step.number }
    $begun = @()
    $half = $false
    try {
        foreach ($change in $step.changes) {
            Test-Before -change $change
            Set-Begun -mark (Get-ChangeMark -number $step.number -index $begun.Count) -change $change
            $begun += $change
            $half = $true
            Write-Setting -what $change.what -name $change.name -before $change.before -after $change.after
            $half = $false
            Set-Made -mark (Get-ChangeMark -number $step.number -index ($begun.Count - 1)) -change $change
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
        if ($word -eq 'failed') {
            Clear-Begun -number $step.number -count $begun.Count
        }
        Send-Frame @{ kind = $word; step = $step.number; message = $message }
        Close-Run
        $lock.ReleaseMutex()
        exit 0
    }
}
Close-Run
$lock.ReleaseMutex()
