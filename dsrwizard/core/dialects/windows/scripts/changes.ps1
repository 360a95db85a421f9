# One change of a step: whether what it replaces is still what was observed, and how it is taken back.

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
