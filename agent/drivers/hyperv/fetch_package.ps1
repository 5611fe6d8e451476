Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Fetch the package from a share or by HTTPS as the computer's own account, into a folder that is SYSTEM's alone; it gets its
# name only when size and digest are the approved ones (O32).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveServicing.psm1"

function Get-Digest {
    param([string]$Path)
    $file = New-Object -TypeName System.IO.FileStream -ArgumentList $Path, 'Open', 'Read', 'Read'
    $sha = [System.Security.Cryptography.SHA256]::Create()
    try { ([BitConverter]::ToString($sha.ComputeHash($file))).Replace('-', '').ToLowerInvariant() } finally { $file.Dispose(); $sha.Dispose() }
}

function Test-Package {
    param([string]$Path, [string]$Sha256)
    (Test-Path -LiteralPath $Path -PathType Leaf) -and (Get-Digest -Path $Path) -eq $Sha256.ToLowerInvariant()
}

function Get-TargetPath {
    $name = Get-Argument -Name 'name' -Kind 'text'
    if ($name -notmatch '^[A-Za-z0-9][A-Za-z0-9._-]*$') { Stop-Driver -Code 'bad_request' -Message 'name is not a plain file name' }
    [System.IO.Path]::Combine((Get-Argument -Name 'to' -Kind 'text'), $name)
}

Invoke-DriverAction -Action 'fetch_package' -Run {
    $source = Get-Argument -Name 'source' -Kind 'text'
    $sha256 = Get-Argument -Name 'sha256' -Kind 'text'
    $size = Get-Argument -Name 'size_bytes' -Kind 'number'
    $path = Get-TargetPath
    if (Test-Package -Path $path -Sha256 $sha256) { return New-Result -Result ([ordered]@{ path = $path; already = $true }) }
    $folder = Get-Argument -Name 'to' -Kind 'text'
    New-LockedFolder -Path $folder
    $part = $path + '.part'
    Invoke-Effect -Do {
        if ($source -match '^https?://') { $null = Invoke-WebRequest -Uri $source -OutFile $part -UseBasicParsing } else { Copy-Item -LiteralPath $source -Destination $part -Force }
    } -Unchanged { -not (Test-Path -LiteralPath $path) }
    if ((Get-Item -LiteralPath $part).Length -ne $size -or (Get-Digest -Path $part) -ne $sha256.ToLowerInvariant()) {
        Remove-Item -LiteralPath $part
        Stop-Driver -Code 'refused' -Message 'what the source holds is not the approved package'
    }
    Move-Item -LiteralPath $part -Destination $path -Force
    New-Result -Result ([ordered]@{ path = $path })
} -Witness {
    New-Witness -Done (Test-Package -Path (Get-TargetPath) -Sha256 (Get-Argument -Name 'sha256' -Kind 'text'))
}
