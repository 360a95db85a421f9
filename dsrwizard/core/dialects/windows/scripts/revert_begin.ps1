# The beginning of what the task runs. What it compiles, and the programs it starts, come from administrators' folders.

$env:TEMP = $run
$env:TMP = $run
$env:PATH = $env:windir + '\System32'
