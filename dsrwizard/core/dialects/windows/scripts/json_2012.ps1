# Writes JSON: Windows Server 2012 and later have a cmdlet for it.

function ConvertTo-Text {
    param($value)
    return ConvertTo-Json -InputObject $value -Depth 8 -Compress
}
