# Takes the script out of the environment, where it came in, and runs it. These lines become one command line, which
# cmd.exe reads first: none of " % & | < > ^ may be in it, and each statement ends with a semicolon.

$ErrorActionPreference = 'Stop';
$ProgressPreference = 'SilentlyContinue';
$dsrwizard = '@TITLE@';
if ($env:PROCESSOR_ARCHITEW6432) { [Console]::Out.WriteLine('@MARKER@ 32-bit'); exit 3 };
$text = '@PARTS@';
foreach ($name in '@NAMES@') { Remove-Item -LiteralPath ('Env:' + $name) };
[Console]::Out.WriteLine('@MARKER@');
try { . ([ScriptBlock]::Create([Regex]::Unescape($text))) }
catch { [Console]::Error.WriteLine($_.Exception.Message + ' (' + $_.FullyQualifiedErrorId + ')'); exit 1 }
