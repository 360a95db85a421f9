# Loopback devices that dsrwizard made: their second hardware id, which they have from before they are registered.
# Also those without driver, which are no network adapter and which nothing else lists.

function Get-Marked {
    $root = 'HKLM:\SYSTEM\CurrentControlSet\Enum\ROOT\NET'
    if (Test-Path -LiteralPath $root) {
        foreach ($entry in @(Get-ChildItem -LiteralPath $root)) {
            $values = Get-ItemProperty -LiteralPath ($root + '\' + $entry.PSChildName)
            foreach ($id in @($values.HardwareID)) {
                if ([string]$id -like 'DSRWIZARD\*') {
                    Write-Output @{ id = ('ROOT\NET\' + $entry.PSChildName); mark = [string]$id }
                }
            }
        }
    }
}
