# What every script begins with: errors stop it, nothing reports progress, answers go out as frames.
# `ConvertTo-Text` is in json_2008.ps1 and json_2012.ps1.

$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$nonce = '@NONCE@'
function Send-Frame {
    param($document)
    $document['nonce'] = $nonce
    $bytes = [Text.Encoding]::UTF8.GetBytes((ConvertTo-Text $document))
    [Console]::Out.WriteLine('<<DSR:' + [Convert]::ToBase64String($bytes) + ':DSR>>')
}
