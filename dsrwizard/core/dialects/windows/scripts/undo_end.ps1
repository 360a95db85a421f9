# Ends the undo of a run, and leaves no file and no task of it.

function Write-Text {
    # Somebody may read it at this moment; then Windows refuses.
    param($path, $text)
    $left = 20
    while ($left -gt 0) {
        $left = $left - 1
        try {
            [IO.File]::WriteAllText($path, [string]$text)
            return
        }
        catch {
            if ($left -eq 0) {
                throw
            }
            Start-Sleep -Milliseconds 50
        }
    }
}
function Move-File {
    # Whether it was there to be moved: of two who try, one has it.
    param($from, $to)
    $left = 20
    while ([IO.File]::Exists($from)) {
        try {
            [IO.File]::Move($from, $to)
            return $true
        }
        catch {
            $left = $left - 1
            if ($left -eq 0) {
                throw
            }
            Start-Sleep -Milliseconds 50
        }
    }
    return $false
}
function Remove-Tasks {
    # Those whose names begin so. A task that is removed while it runs ends its script by itself.
    param($name)
    $service = New-Object -ComObject Schedule.Service
    $service.Connect()
    $folder = $service.GetFolder('\')
    foreach ($one in @($folder.GetTasks(1))) {
        if ([string]$one.Name -like ($name + '*')) {
            $folder.DeleteTask([string]$one.Name, 0)
        }
    }
}
function Remove-Place {
    if ([IO.Directory]::Exists($place) -and (@([IO.Directory]::GetFileSystemEntries($place)).Count -eq 0)) {
        [IO.Directory]::Delete($place, $false)
    }
}
function Remove-Runs {
    # The tasks first: a folder that is left says that a task may be.
    if ([IO.Directory]::Exists($place)) {
        Remove-Tasks -name $task
        foreach ($folder in @(Get-Runs)) {
            [IO.Directory]::Delete($folder, $true)
        }
    }
}
