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

function Open-Source {
    param([string]$Source)
    if ($Source -match '^https?://') { return [System.Net.WebRequest]::Create($Source).GetResponse().GetResponseStream() }
    New-Object -TypeName System.IO.FileStream -ArgumentList $Source, 'Open', 'Read', 'Read'
}

# Reads no faster than the cap (0: none; pieces of a tenth of a second's) and not past the size that is due; tells how far it has come.
function Copy-Source {
    param([string]$Source, [string]$To, [long]$Size, [long]$BytesPerSecond)
    $piece = 1MB
    if ($BytesPerSecond -gt 0 -and $BytesPerSecond / 10 -lt $piece) { $piece = [int][Math]::Floor($BytesPerSecond / 10) + 1 }
    $buffer = New-Object -TypeName 'byte[]' -ArgumentList $piece
    $from = Open-Source -Source $Source
    $file = $null
    try {
        $file = New-Object -TypeName System.IO.FileStream -ArgumentList $To, 'Create', 'Write', 'None'
        $begun = Get-NowMs
        [long]$done = 0
        $told = 0
        while ($done -le $Size -and ($n = $from.Read($buffer, 0, $piece)) -gt 0) {
            $file.Write($buffer, 0, $n)
            $done += $n
            $percent = [int][Math]::Floor($done * 100 / [Math]::Max($done, $Size))
            if ($percent -ne $told) { Write-DriverProgress -Percent $percent -Text '' }
            $told = $percent
            if ($BytesPerSecond -eq 0) { continue }
            $ahead = $done * 1000 / $BytesPerSecond - ((Get-NowMs) - $begun)
            if ($ahead -gt 1000) { $ahead = 1000 } # a clock that was set back holds nothing up for long
            if ($ahead -gt 0) { Start-Sleep -Milliseconds ([int]$ahead) }
        }
    } finally {
        $from.Dispose()
        if ($null -ne $file) { $file.Dispose() }
    }
}

Invoke-DriverAction -Action 'fetch_package' -Run {
    $source = Get-Argument -Name 'source' -Kind 'text'
    $sha256 = Get-Argument -Name 'sha256' -Kind 'text'
    $size = Get-Argument -Name 'size_bytes' -Kind 'number'
    $cap = Get-Argument -Name 'bytes_per_second' -Kind 'number' -Otherwise 0
    $path = Get-TargetPath
    if (Test-Package -Path $path -Sha256 $sha256) { return New-Result -Result ([ordered]@{ path = $path; already = $true }) }
    $folder = Get-Argument -Name 'to' -Kind 'text'
    New-LockedFolder -Path $folder
    $part = $path + '.part'
    Invoke-Effect -Do {
        Copy-Source -Source $source -To $part -Size $size -BytesPerSecond $cap
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
