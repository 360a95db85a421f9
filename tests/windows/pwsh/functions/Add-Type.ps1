# The source is compiled for real, under another name; then the host's own class answers by the name it has.
[CmdletBinding()]
param([Parameter(Mandatory=$true, Position=0)] [string] $TypeDefinition)
if ([DsrServer]::IsNew($TypeDefinition)) {
    $renamed = $TypeDefinition -replace 'class Dsr(Loopback|Interface)\b', 'class DsrReal$1'
    DsrReal-Add-Type -TypeDefinition $renamed
}
[DsrServer]::AddType($TypeDefinition)
