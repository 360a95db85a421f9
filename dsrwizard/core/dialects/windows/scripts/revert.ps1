# The end of what the task runs, as the system itself: takes the steps of one run back, unless somebody keeps them.
# `$run` is the run's folder. Whoever renames the file `armed` in it first, this or who keeps the steps, has decided.

function Write-Sign {
    return
}
function Get-Holding {
    # The adapter that a change is made on; empty where it is none, or one that Windows always has.
    param($change)
    $key = ''
    if ($change.what -eq 'adapter') {
        return ''
    }
    if ($change.what -eq 'address') {
        $key = ($change.name -split '\|')[0]
    }
    elseif (@('dns-registration', 'netbios') -contains $change.what) {
        $key = $change.name
    }
    elseif (@('firewall-rule', 'site-binding', 'listen-address', 'certificate') -notcontains $change.what) {
        $key = (Split-Key -key $change.name).adapter
    }
    if ($key -eq 'pseudo') {
        return ''
    }
    return $key
}
function Test-Between {
    # Whether each component is bound as it was, or as this run binds it.
    param($change, $present)
    $now = $present -split ','
    $old = ([string]$change.before) -split ','
    $new = ([string]$change.after) -split ','
    foreach ($component in '@UNBINDABLE@') {
        $bound = $now -contains $component
        if (($bound -ne ($old -contains $component)) -and ($bound -ne ($new -contains $component))) {
            return $false
        }
    }
    return $true
}
function Test-Mixed {
    # Whether each part is as it was, or as this run writes it: it was ended between the two.
    param($change, $present)
    $now = @($present -split ',')
    $old = @(([string]$change.before) -split ',')
    $new = @(([string]$change.after) -split ',')
    $at = 0
    while ($at -lt $now.Count) {
        if (($now[$at] -ne $old[$at]) -and ($now[$at] -ne $new[$at])) {
            return $false
        }
        $at = $at + 1
    }
    return $true
}
function Test-Ours {
    # Whether it is as this run left it. `$last`: the run may have been ended in the middle of this change.
    param($change, $present, $last)
    if ([string]$present -eq [string]$change.after) {
        return $true
    }
    if ($change.what -eq 'adapter') {
        return ($present -eq 'unfinished')
    }
    if (($change.what -eq 'binding') -and ($change.name -like '*/[*]')) {
        return (Test-Between -change $change -present ([string]$present))
    }
    if (-not $last) {
        return $false
    }
    if ($change.what -eq 'dns-registration') {
        return (Test-Mixed -change $change -present ([string]$present))
    }
    # A rule is replaced by removing it first.
    return (($change.what -eq 'firewall-rule') -and ($present -eq $null))
}
function Undo-Begun {
    # Takes one change back. The text 'changed' is thrown where it is neither as before nor as this run left it.
    param($change, $last)
    $key = Get-Holding -change $change
    if (($key -ne '') -and ((Read-Adapter -name $key) -ne 'present')) {
        # It is gone, or goes with its device, and with it all that was set on it.
        return
    }
    $present = Read-Setting -what $change.what -name $change.name
    if ([string]$present -eq [string]$change.before) {
        return
    }
    if (-not (Test-Ours -change $change -present $present -last $last)) {
        throw 'changed'
    }
    if (($change.what -eq 'adapter') -and ($present -eq 'present') -and (Test-Used -name $change.name)) {
        throw 'changed'
    }
    Undo-Change -change $change -half $false
}
function Undo-Patiently {
    # Nothing where it worked, else the line of the note. Windows may be busy with what broke the connection.
    param($change, $last)
    $left = 3
    while ($left -gt 0) {
        $left = $left - 1
        try {
            $ignored = @(Undo-Begun -change $change -last $last)
            return ''
        }
        catch {
            $message = ([string]$_.Exception.Message) -replace '\s+', ' '
        }
        if ($message -eq 'changed') {
            return ('stays ' + $change.about)
        }
        if ($left -gt 0) {
            Start-Sleep -Milliseconds 2000
        }
    }
    return ('failed ' + $change.about + ': ' + $message)
}
function Get-Begun {
    # The changes that had begun, the last first, with what was there before each.
    $found = @()
    foreach ($step in $steps) {
        $index = 0
        foreach ($change in $step.changes) {
            $index = $index + 1
            $text = Read-Text -path ($run + '\mark.s' + [string]$step.number + 'c' + [string]$index)
            if ($text -ne $null) {
                $guid, $before = $text -split "`n", 2
                if ([string]$guid -ne '') {
                    $known[$change.name] = [string]$guid
                }
                $change['before'] = $null
                if (([string]$before).Length -gt 0 -and $before.Substring(0, 1) -eq '+') {
                    $change['before'] = $before.Substring(1)
                }
                $found = @($change) + $found
            }
        }
    }
    return $found
}

Write-Text -path ($run + '\awake') -text (Get-ProcessMark -number $PID)
$blind = 0
$waiting = $true
while ($waiting -and [IO.File]::Exists($run + '\armed')) {
    $until = $null
    try {
        $until = [int64](Read-Text -path ($run + '\until'))
    }
    catch {
        $until = $null
    }
    if (($until -eq $null) -or ($until -eq 0)) {
        $blind = $blind + 1
        $waiting = ($blind -lt '@AFTER@')
    }
    else {
        $waiting = ((Get-Seconds) -lt $until)
    }
    if ($waiting) {
        Start-Sleep -Milliseconds 1000
    }
}
if (-not (Move-File -from ($run + '\armed') -to ($run + '\fired'))) {
    exit 0
}
if (Test-Alive -path ($run + '\script')) {
    $running = [string](Read-Text -path ($run + '\script'))
    Stop-Process -Id ([int]($running -split ' ')[0]) -Force
}
$lock = $null
$turns = 0
while (($lock -eq $null) -and ($turns -lt 30)) {
    $lock = Enter-Lock
    $turns = $turns + 1
}
$step = @{ number = 0 }
$found = @()
$last = $true
foreach ($change in @(Get-Begun)) {
    $line = [string](Undo-Patiently -change $change -last $last)
    if ($line -ne '') {
        $found += @{ key = (Get-Holding -change $change); line = $line }
    }
    $last = $false
}
$lines = @()
foreach ($one in $found) {
    if (([string]$one.key -eq '') -or ((Read-Adapter -name $one.key) -eq 'present')) {
        # What was set on an adapter that is gone by now is gone with it.
        $lines += $one.line
    }
}
$epoch = New-Object -TypeName DateTime -ArgumentList @(1970, 1, 1)
$at = [int64][Math]::Floor(((Get-Date).ToUniversalTime() - $epoch).TotalSeconds)
$note = @('reverted ' + [string]$at) + $lines
Write-Text -path ($run + '\note') -text ($note -join "`n")
if ([IO.File]::Exists($place + '\reverted')) {
    [IO.File]::Delete($place + '\reverted')
}
$ignored = Move-File -from ($run + '\note') -to ($place + '\reverted')
[IO.Directory]::Delete($run, $true)
Remove-Tasks -name ($task + $nonce)
if ($lock -ne $null) {
    $lock.ReleaseMutex()
}
