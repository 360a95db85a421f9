# The process that runs scripts for the tests: loads the bridge, compiled once, and does what standard input says.
param([string]$Bridge, [string]$Kept)
$ErrorActionPreference = 'Stop'
$hash = (Get-FileHash -LiteralPath $Bridge).Hash.Substring(0, 16)
$library = Join-Path $Kept "bridge-$hash.dll"
if (-not (Test-Path -LiteralPath $library)) {
    $null = New-Item -ItemType Directory -Force -Path $Kept
    $mine = "$library.$PID"
    Add-Type -Path $Bridge -OutputAssembly $mine
    Move-Item -LiteralPath $mine -Destination $library -Force
}
Add-Type -Path $library
try { [DsrServer]::Serve() }
catch {
    [Console]::Error.WriteLine($_.Exception.ToString())
    exit 1
}
