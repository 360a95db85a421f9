# Writes JSON in PowerShell 2.0, which has no ConvertTo-Json.

function ConvertTo-Text {
    param($value)
    if ($null -eq $value) {
        return 'null'
    }
    if ($value -is [bool]) {
        if ($value) {
            return 'true'
        }
        return 'false'
    }
    if ($value -is [Collections.IDictionary]) {
        $parts = @()
        foreach ($name in @($value.Keys)) {
            $parts += (ConvertTo-Text ([string]$name)) + ':' + (ConvertTo-Text $value[$name])
        }
        return '{' + ($parts -join ',') + '}'
    }
    if ($value -is [Array]) {
        $parts = @()
        foreach ($entry in $value) {
            $parts += ConvertTo-Text $entry
        }
        return '[' + ($parts -join ',') + ']'
    }
    if ($value -is [string]) {
        $text = New-Object -TypeName Text.StringBuilder
        foreach ($letter in $value.ToCharArray()) {
            $code = [int]$letter
            if (($code -lt 32) -or ($code -gt 126) -or ($code -eq 34) -or ($code -eq 92)) {
                $ignored = $text.Append('\u' + $code.ToString('x4'))
            }
            else {
                $ignored = $text.Append($letter)
            }
        }
        return '"' + $text.ToString() + '"'
    }
    return [string]$value
}
