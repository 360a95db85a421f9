# Unpacks the script in the environment and runs it.

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
if ($env:PROCESSOR_ARCHITEW6432) {
    [Console]::Out.WriteLine('@MARKER@ 32-bit')
    exit 3
}
$bytes = [Convert]::FromBase64String('@PARTS@')
$stream = New-Object -TypeName IO.MemoryStream
$stream.Write($bytes, 0, $bytes.Length)
$stream.Position = 0
$mode = [IO.Compression.CompressionMode]::Decompress
$unpacked = New-Object -TypeName IO.Compression.GZipStream -ArgumentList @($stream, $mode)
$reader = New-Object -TypeName IO.StreamReader -ArgumentList @($unpacked)
$script = $reader.ReadToEnd()
[Console]::Out.WriteLine('@MARKER@')
Invoke-Expression -Command $script
