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
    if (-not (Test-PackageName -Name $name)) { Stop-Driver -Code 'bad_request' -Message 'name is not a plain file name' }
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
            if ($ahead -lt -1000) { $begun -= [long][Math]::Floor($ahead + 1000) } # what a source that stood still kept back is not made up for
        }
    } finally {
        $from.Dispose()
        if ($null -ne $file) { $file.Dispose() }
    }
}

function Remove-Part {
    param([string]$Path)
    Remove-Item -LiteralPath $Path -ErrorAction SilentlyContinue # what keeps it there is not why the pull failed
}

function Assert-Whole {
    param([string]$Path, [long]$Size, [string]$Sha256)
    $length = (Get-Item -LiteralPath $Path).Length
    if ($length -lt $Size) { Stop-Driver -Code 'failed' -Message ('what the source sends ended after ' + $length + ' of ' + $Size + ' bytes') }
    if ($length -ne $Size -or (Get-Digest -Path $Path) -ne $Sha256.ToLowerInvariant()) {
        Stop-Driver -Code 'refused' -Message 'what the source holds is not the approved package'
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
    Remove-Part -Path $part # of a pull that was killed
    try {
        Invoke-Effect -Do {
            Copy-Source -Source $source -To $part -Size $size -BytesPerSecond $cap
        } -Unchanged { -not (Test-Path -LiteralPath $part) }
        Assert-Whole -Path $part -Size $size -Sha256 $sha256
        Move-Item -LiteralPath $part -Destination $path -Force
    } catch {
        Remove-Part -Path $part
        throw
    }
    New-Result -Result ([ordered]@{ path = $path })
} -Witness {
    New-Witness -Done (Test-Package -Path (Get-TargetPath) -Sha256 (Get-Argument -Name 'sha256' -Kind 'text'))
}
