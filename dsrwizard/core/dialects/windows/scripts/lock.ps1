# One script that changes something at a time on a host: a named mutex, which Windows frees when its process ends. Who
# has it is in the process list: the command line of a script says what it does, for whom, and where that was begun.
# A look changes nothing and takes no part.

function Get-Holder {
    param($words)
    $oldest = $null
    foreach ($process in @(Get-WmiObject -Class Win32_Process -Filter "Name='powershell.exe'")) {
        $ours = ([string]$process.CommandLine).Contains($words)
        if ($ours -and ([int]$process.ProcessId -ne $PID)) {
            if (($oldest -eq $null) -or ([string]$process.CreationDate -le [string]$oldest.CreationDate)) {
                $oldest = $process
            }
        }
    }
    if ($oldest -eq $null) {
        return @{}
    }
    $line = [string]$oldest.CommandLine
    $title = $line.Substring($line.IndexOf($words) + 1)
    return @{
        process = [string]$oldest.ProcessId
        since = [string]$oldest.CreationDate
        title = $title.Substring(0, $title.IndexOf("'"))
    }
}
function Enter-Lock {
    try {
        $mutex = New-Object -TypeName Threading.Mutex -ArgumentList @($false, 'Global\dsrwizard')
    }
    catch {
        if ($_.Exception.GetBaseException() -is [UnauthorizedAccessException]) {
            # Another account has it, and does not share it.
            return $null
        }
        throw
    }
    try {
        if ($mutex.WaitOne(10000, $false)) {
            return $mutex
        }
        return $null
    }
    catch {
        if ($_.Exception.GetBaseException() -is [Threading.AbandonedMutexException]) {
            # Whoever had it was killed; it is ours now. What was left is in the facts.
            return $mutex
        }
        throw
    }
}
function Send-Busy {
    # Ends the script: somebody else is at it, or the host takes back what an earlier run did.
    $holder = @{}
    try {
        foreach ($words in @("'dsrwizard: revert", "'dsrwizard: change")) {
            # The task of an undo is there before it is at it.
            if (($holder.Count -eq 0) -and (($words -like '*change') -or (Test-AnyGoing))) {
                $holder = Get-Holder -words $words
            }
        }
    }
    catch {
        $holder = @{}
    }
    $holder['kind'] = 'busy'
    Send-Frame $holder
    exit 0
}
