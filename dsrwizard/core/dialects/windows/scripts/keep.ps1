# What was applied stays: the undo is disarmed, whichever run armed it.

$word = 'none'
foreach ($folder in @(Get-Runs)) {
    if (Move-File -from ($folder + '\armed') -to ($folder + '\over')) {
        $word = 'kept'
    }
    else {
        $word = 'back'
    }
}
if ([IO.File]::Exists($place + '\reverted')) {
    $word = 'back'
}
if ($word -eq 'kept') {
    try {
        Remove-Runs
        Remove-Place
    }
    catch {
        # Nothing is armed any more; the next run on this host removes what is left.
        Send-Frame @{ kind = 'log'; message = [string]$_.Exception.Message }
    }
}
Send-Frame @{ kind = 'keep'; word = $word }
