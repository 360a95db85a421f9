# Before the first step: what takes the steps back is written where administrators alone can read and write, and started
# as a task of the system's own. It has no trigger: it runs from now on, waits, and a reboot ends it for good. Nothing
# is changed before it says that it has loaded all that it needs.

function Test-Place {
    # The owner, and who may do what: the system (SY) and administrators (BA), all of it, and nobody else.
    $sddl = [string]([IO.Directory]::GetAccessControl($place)).GetSecurityDescriptorSddlForm(6)
    $rest = $sddl -replace '\(A;[A-Z]*;FA;;;(SY|BA)\)', ''
    return (@('O:BAD:P', 'O:BAD:PAI', 'O:SYD:P', 'O:SYD:PAI') -contains $rest)
}
function Start-Task {
    param($name, $folder)
    $service = New-Object -ComObject Schedule.Service
    $service.Connect()
    $definition = $service.NewTask(0)
    $definition.RegistrationInfo.Description = 'Undoes what dsrwizard changes on this server, unless dsrwizard ' +
        'reports in time that the change works. It removes itself.'
    $definition.Principal.UserId = 'S-1-5-18'
    $definition.Principal.LogonType = 5
    $definition.Principal.RunLevel = 1
    $definition.Settings.DisallowStartIfOnBatteries = $false
    $definition.Settings.StopIfGoingOnBatteries = $false
    $definition.Settings.ExecutionTimeLimit = 'PT0S'
    $definition.Settings.Priority = 4
    $action = $definition.Actions.Create(0)
    $action.Path = $env:windir + '\System32\WindowsPowerShell\v1.0\powershell.exe'
    $action.Arguments = '-NoProfile -NonInteractive -ExecutionPolicy Unrestricted -Command "' +
        '$dsrwizard = ' + '@TITLE@' + '; $run = ''' + $folder.Replace("'", "''") + '''; ' +
        'try { . ([ScriptBlock]::Create([IO.File]::ReadAllText($run + ''\revert.ps1''))) } ' +
        'catch { [IO.File]::WriteAllText($run + ''\broken'', $_.Exception.Message); exit 1 }"'
    $root = $service.GetFolder('\')
    $started = $root.RegisterTaskDefinition($name, $definition, 2, $null, $null, 5, 'D:P(A;;FA;;;SY)(A;;FA;;;BA)')
    $ignored = $started.Run($null)
    return $started
}
function Wait-Task {
    param($started, $folder)
    $turns = 0
    while (-not [IO.File]::Exists($folder + '\awake')) {
        $said = [string](Read-Text -path ($folder + '\broken'))
        if ($said -ne '') {
            throw ('the scheduled task for the undo ended: ' + $said)
        }
        # 3: ready, which is not running; 0x41303: it has not run yet.
        if (([int]$started.State -eq 3) -and ([int64]$started.LastTaskResult -ne 267011)) {
            throw ('the scheduled task for the undo ended at once, with the result 0x' +
                ([int64]$started.LastTaskResult -band 4294967295).ToString('X8'))
        }
        if ($turns -ge 120) {
            throw 'the scheduled task for the undo did not start within 60 seconds'
        }
        Start-Sleep -Milliseconds 500
        $turns = $turns + 1
    }
    if (-not (Test-Alive -path ($folder + '\awake'))) {
        throw 'the scheduled task for the undo ended at once'
    }
}
try {
    $folder = $place + '\run.' + $nonce
    $security = New-Object -TypeName Security.AccessControl.DirectorySecurity
    $security.SetSecurityDescriptorSddlForm('O:BAG:BAD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)')
    $ignored = [IO.Directory]::CreateDirectory($place, $security)
    if (-not (Test-Place)) {
        throw ('users other than administrators have access to the folder ' + $place)
    }
    $ignored = [IO.Directory]::CreateDirectory($folder)
    Write-Text -path ($folder + '\revert.ps1') -text ('@BEGIN@' + "`n" + $machinery + "`n" + '$session = ' +
        [string]$session + "`n" + '@REVERT@')
    $mark = Get-ProcessMark -number $PID
    if ($mark -eq '') {
        throw 'Windows does not tell when a process was started'
    }
    Write-Text -path ($folder + '\script') -text $mark
    $run = $folder
    Write-Sign
    Write-Text -path ($folder + '\armed') -text ''
    Wait-Task -started (Start-Task -name ($task + $nonce) -folder $folder) -folder $folder
    Write-Sign
}
catch {
    $message = [string]$_.Exception.Message
    try {
        $ignored = Move-File -from ($folder + '\armed') -to ($folder + '\over')
        Remove-Runs
        Remove-Place
    }
    catch {
        $message = $message + '; the folder ' + $place + ' could not be removed: ' + [string]$_.Exception.Message
    }
    Send-Frame @{ kind = 'unarmed'; message = $message }
    $lock.ReleaseMutex()
    exit 0
}
Send-Frame @{ kind = 'armed'; seconds = '@AFTER@' }
