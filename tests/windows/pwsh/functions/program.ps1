# A program of the host: its name is put in for each.
$answer = [DsrBridge]::Native('@NAME@', $args)
if ($null -ne $answer.Error) { throw $answer.Error }
$global:LASTEXITCODE = [int]$answer.Value[0]
$answer.Value[1]
