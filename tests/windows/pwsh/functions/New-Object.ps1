# COM objects and what asks who runs the script are the host's; other .NET classes are the real ones.
[CmdletBinding(DefaultParameterSetName='net')]
param(
    [Parameter(ParameterSetName='net', Mandatory=$true, Position=0)] [string] $TypeName,
    [Parameter(ParameterSetName='net', Position=1)] [object[]] $ArgumentList,
    [Parameter(ParameterSetName='com', Mandatory=$true)] [string] $ComObject
)
$asks = @('Security.Principal.WindowsPrincipal', 'Security.Principal.SecurityIdentifier', 'Threading.Mutex',
    'Security.AccessControl.DirectorySecurity')
if ($ComObject -or $asks -contains $TypeName) {
    $answer = [DsrBridge]::Cmdlet('New-Object', $PSBoundParameters)
    if ($null -ne $answer.Error) { throw [DsrBridge]::Of($answer.Error) }
    return , $answer.Value
}
return , (DsrReal-New-Object @PSBoundParameters)
