# The source is compiled for real, under another name; then the host's own class answers by the name it has.
[CmdletBinding()]
param([Parameter(Mandatory=$true, Position=0)] [string] $TypeDefinition)
if ([DsrServer]::IsNew($TypeDefinition)) {
    $name = 'class DsrReal${1}_' + [guid]::NewGuid().ToString('N')
    $renamed = $TypeDefinition -replace 'class Dsr(Loopback|Interface)\b', $name
    DsrReal-Add-Type -TypeDefinition $renamed
}
[DsrServer]::AddType($TypeDefinition)
