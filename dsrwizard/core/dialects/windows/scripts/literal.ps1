# For parameters that are patterns: a name that matches itself alone. Windows Server 2012 and later.

function Get-Literal {
    param($text)
    return [Management.Automation.WildcardPattern]::Escape([string]$text)
}
