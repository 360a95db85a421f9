# What every modelled cmdlet does once its parameters are bound; its name is put in for each.
process {
    $answer = [DsrBridge]::Cmdlet('@NAME@', $PSBoundParameters)
    if ($null -ne $answer.Error) {
        $parts = @(([DsrHostError]$answer.Error), $answer.Id, 'NotSpecified', $null)
        $record = DsrReal-New-Object -TypeName Management.Automation.ErrorRecord -ArgumentList $parts
        $PSCmdlet.WriteError($record)
    } else { $answer.Value }
}
