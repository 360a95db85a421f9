# Where the undo of a run is kept on the host, and whether somebody is at it. A folder of Windows' own, in which nobody
# but administrators can make anything; each run has its folder there:
#   revert.ps1, what the task runs; armed, it is to do so: whoever renames that file first has decided; until, when, in
#   seconds of this boot; script and awake, the processes of the run and of the task; mark.sNcM, change M of step N had
#   begun.
# A file of a process holds its number and when it was started: after a reboot none of them is alive.

$place = $env:windir + '\dsrwizard'
$task = 'dsrwizard-revert-'
function Get-Seconds {
    # No clock change moves it, and all processes count the same (QueryPerformanceCounter).
    return [int64][Math]::Floor([Diagnostics.Stopwatch]::GetTimestamp() / [Diagnostics.Stopwatch]::Frequency)
}
function Get-Runs {
    if ([IO.Directory]::Exists($place)) {
        foreach ($folder in @([IO.Directory]::GetDirectories($place, 'run.*'))) {
            Write-Output ([string]$folder)
        }
    }
}
function Read-Text {
    # Nothing where there is no such file, or where it is being written.
    param($path)
    try {
        return [IO.File]::ReadAllText($path)
    }
    catch {
        return $null
    }
}
function Get-ProcessMark {
    param($number)
    try {
        $process = Get-Process -Id ([int]$number)
        return ([string]$number + ' ' + [string]$process.StartTime.ToFileTimeUtc())
    }
    catch {
        return ''
    }
}
function Test-Alive {
    param($path)
    $text = [string](Read-Text -path $path)
    if ($text -eq '') {
        return $false
    }
    $number = @($text -split ' ')[0]
    return ((Get-ProcessMark -number $number) -eq $text)
}
function Test-Going {
    # Whether the task of this run takes back now.
    param($run)
    return ([IO.File]::Exists($run + '\fired') -and (Test-Alive -path ($run + '\awake')))
}
function Test-AnyGoing {
    foreach ($one in @(Get-Runs)) {
        if (Test-Going -run $one) {
            return $true
        }
    }
    return $false
}
