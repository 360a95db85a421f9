# What a run notes for its undo. Without one, `$run` is empty and nothing is noted.

$run = ''
function Write-Sign {
    # A sign of life: so many seconds from now. One that cannot be given lets the host put itself back the earlier.
    if ($run -ne '') {
        try {
            Write-Text -path ($run + '\until') -text ((Get-Seconds) + '@AFTER@')
        }
        catch {
            return
        }
    }
}
function Get-ChangeMark {
    # The name of a change within a run, both counted from 1.
    param($number, $index)
    return ('mark.s' + [string]$number + 'c' + [string]([int]$index + 1))
}
function Set-Begun {
    # From now on there may be something to take back: what was there before, and the GUID of an adapter that was made.
    param($mark, $change)
    if ($run -eq '') {
        return
    }
    Write-Sign
    if (-not [IO.File]::Exists($run + '\armed')) {
        throw 'this host has begun to put itself back, because nobody proved the steps in time'
    }
    $text = '-'
    if ($change.before -ne $null) {
        $text = '+' + [string]$change.before
    }
    $guid = ''
    if (($change.what -eq 'adapter') -and ($known[$change.name] -ne $null)) {
        $guid = [string]$known[$change.name]
    }
    Write-Text -path ($run + '\' + $mark) -text ($guid + "`n" + $text)
}
function Set-Made {
    param($mark, $change)
    if ($change.what -eq 'adapter') {
        Set-Begun -mark $mark -change $change
    }
}
function Clear-Begun {
    # The step took its own changes back.
    param($number, $count)
    $index = 0
    while (($run -ne '') -and ($index -lt $count)) {
        $path = $run + '\' + (Get-ChangeMark -number $number -index $index)
        if ([IO.File]::Exists($path)) {
            [IO.File]::Delete($path)
        }
        $index = $index + 1
    }
}
function Close-Run {
    # Nothing to take back is nothing to wait for.
    if ($run -eq '') {
        return
    }
    Write-Sign
    if (@([IO.Directory]::GetFiles($run, 'mark.*')).Count -gt 0) {
        return
    }
    if (Move-File -from ($run + '\armed') -to ($run + '\over')) {
        Remove-Runs
        Remove-Place
        Send-Frame @{ kind = 'disarmed' }
    }
}
