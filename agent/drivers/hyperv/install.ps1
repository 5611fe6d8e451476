Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Install the approved package on an empty node, by DISM or, where the policy says so, by wusa (O9). The package is opened
# without letting anybody write to it, hashed once more, and installed while it is held open (probe:held-package). Its folder is SYSTEM's and holds
# nothing else: what lies beside the target would be installed too.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveServicing.psm1"

function Open-Package {
    param([string]$Path, [string]$Sha256)
    try { $file = New-Object -TypeName System.IO.FileStream -ArgumentList $Path, 'Open', 'Read', 'Read' } catch {
        Stop-Driver -Code 'not_found' -Message 'the package cannot be opened for reading alone' -Native (Get-NativeCode -Exception $_.Exception)
    }
    $sha = [System.Security.Cryptography.SHA256]::Create()
    $digest = ([BitConverter]::ToString($sha.ComputeHash($file))).Replace('-', '').ToLowerInvariant()
    $sha.Dispose()
    if ($digest -ne $Sha256.ToLowerInvariant()) {
        $file.Dispose()
        Stop-Driver -Code 'refused' -Message ('the package is not the approved one: its SHA-256 is ' + $digest)
    }
    $file
}

# Digest and signature have to be the approved ones. Whether the signature of a WIM file can be read depends on the build
# (probe:msu-signature): only "not signed", "changed" and another signer are refused, and the digest holds in any case.
function Assert-Signature {
    param([string]$Path)
    $signature = Get-AuthenticodeSignature -FilePath $Path
    $status = [string]$signature.Status
    if (@('NotSigned', 'HashMismatch', 'NotTrusted') -contains $status) { Stop-Driver -Code 'refused' -Message ('the signature of the package is ' + $status) }
    if ($status -ne 'Valid') { Write-DriverProgress -Percent 0 -Text ('the signature of the package cannot be read: ' + $status); return }
    if ([string]$signature.SignerCertificate.Subject -notmatch 'O=Microsoft Corporation') {
        Stop-Driver -Code 'refused' -Message ('the package is signed by ' + $signature.SignerCertificate.Subject)
    }
}

# The folder of a package: SYSTEM's (and the administrators') alone, with the target and its checkpoint packages in it and nothing
# else, because DISM takes what it needs, and more, from there. Where it lies elsewhere it is copied into such a folder, made anew.
function Get-SafePath {
    param([string]$Path, [string]$Sha256, [string[]]$Names)
    $folder = [System.IO.Path]::GetDirectoryName($Path)
    $there = @(Get-ChildItem -Path $folder -Name)
    if ((Test-LockedFolder -Path $folder) -and @($there | Where-Object { $Names -notcontains $_ }).Count -eq 0) { return $Path }
    $own = [System.IO.Path]::Combine($folder, 'install-' + $Sha256.Substring(0, 16))
    if (Test-Path -LiteralPath $own) { Remove-Item -LiteralPath $own -Recurse }
    New-LockedFolder -Path $own
    foreach ($name in $Names) {
        $from = [System.IO.Path]::Combine($folder, $name)
        if (-not (Test-Path -LiteralPath $from -PathType Leaf)) { Stop-Driver -Code 'not_found' -Message ('the package ' + $name + ' is not there') }
        Copy-Item -LiteralPath $from -Destination ([System.IO.Path]::Combine($own, $name)) -Force
    }
    [System.IO.Path]::Combine($own, [System.IO.Path]::GetFileName($Path))
}

# Opens the target and each checkpoint package beside it, and keeps them open.
function Open-Packages {
    param([string]$Path, $Package, $Checkpoints)
    Open-Package -Path $Path -Sha256 $Package.sha256
    Assert-Signature -Path $Path
    foreach ($checkpoint in $Checkpoints) {
        $beside = [System.IO.Path]::Combine([System.IO.Path]::GetDirectoryName($Path), $checkpoint.name)
        Open-Package -Path $beside -Sha256 $checkpoint.sha256
        Assert-Signature -Path $beside
    }
}

# Checkpoint packages lie beside the target, under their names.
function Get-Checkpoints {
    param($Package)
    $list = Get-Value -Object $Package -Name 'checkpoints' -Otherwise @()
    foreach ($checkpoint in $list) {
        if (-not (Test-Kind -Value (Get-Value -Object $checkpoint -Name 'name') -Kind 'text') -or -not (Test-PackageName -Name $checkpoint.name)) {
            Stop-Driver -Code 'bad_request' -Message 'a checkpoint package has no plain file name'
        }
        if ([string](Get-Value -Object $checkpoint -Name 'sha256') -notmatch '^[0-9A-Fa-f]{64}$') { Stop-Driver -Code 'bad_request' -Message 'a checkpoint package has no digest' }
        $checkpoint
    }
}

function Assert-Installable {
    param($Package, $Parked)
    Assert-Empty -Parked $Parked
    $os = Get-Build
    if ($os.build -ne $Package.build) { Stop-Driver -Code 'not_applicable' -Message ('the package is for build ' + $Package.build + ', the node has ' + $os.build) }
    $marks = @(Get-PendingMarks)
    if (Test-Blocking -Marks $marks) { Stop-Driver -Code 'needs_reboot' -Message ('a restart is pending: ' + ($marks -join ' ')) }
    if (-not (Test-ServicingIdle)) { Stop-Driver -Code 'busy' -Message 'servicing is in progress' }
}

function Invoke-Install {
    param([string]$Tool, [string]$Path)
    if ($Tool -eq 'wusa') { return Invoke-Program -Name 'wusa.exe' -Line ('"' + $Path + '" /quiet /norestart') }
    # Its log is its own, where only administrators write: one of ours in a folder for all could be a link to something of SYSTEM's.
    Invoke-Program -Name 'Dism.exe' -Line ('/English /Online /Add-Package /PackagePath:"' + $Path + '" /NoRestart /Quiet')
}

function Get-PackageToInstall {
    $package = Get-PackageArgument -Fields @('path', 'text'), @('sha256', 'text'), @('build', 'number'), @('ubr', 'number')
    if ($package.sha256 -notmatch '^[0-9A-Fa-f]{64}$') { Stop-Driver -Code 'bad_request' -Message 'package.sha256 is not a digest' }
    if ($package.path.Contains('"')) { Stop-Driver -Code 'bad_request' -Message 'package.path holds a quotation mark' }
    $package
}

Invoke-DriverAction -Action 'install' -Run {
    $package = Get-PackageToInstall
    $tool = Get-Argument -Name 'tool' -Kind 'text' -OneOf 'dism', 'wusa'
    $parked = @(Get-Argument -Name 'parked' -Kind 'texts' -Otherwise @())
    $checkpoints = @(Get-Checkpoints -Package $package)
    if ($checkpoints.Count -gt 0 -and $tool -ne 'dism') { Stop-Driver -Code 'refused' -Message 'wusa takes one package; checkpoint packages need dism' }
    $there = Find-Rollup -Build $package.build -Ubr $package.ubr
    if ($null -ne $there -and @('installed', 'install_pending', 'superseded') -contains $there.state) {
        return New-Result -Result ([ordered]@{ exit = 0; class = 'already'; reboot_required = ($there.state -eq 'install_pending'); already = $true })
    }
    Assert-Installable -Package $package -Parked $parked
    $names = @([System.IO.Path]::GetFileName($package.path)) + @($checkpoints | ForEach-Object { $_.name })
    $path = Get-SafePath -Path $package.path -Sha256 $package.sha256 -Names $names
    $held = @()
    try {
        Open-Packages -Path $path -Package $package -Checkpoints $checkpoints | ForEach-Object { $held += $_ }
        Assert-Empty -Parked $parked
        $exit = Invoke-Install -Tool $tool -Path $path
    } finally {
        foreach ($file in $held) { $file.Dispose() }
        # What cannot be removed now, because something still reads it, is removed before the next installation: it says nothing about this one.
        if ($path -ne $package.path) { Remove-Item -LiteralPath ([System.IO.Path]::GetDirectoryName($path)) -Recurse -ErrorAction SilentlyContinue }
    }
    $class = Get-ExitClass -Exit $exit
    $now = Find-Rollup -Build $package.build -Ubr $package.ubr
    # The exit code is not the outcome: the package's own state is (a folder's other packages may fail, a newer node refuses).
    if ($null -eq $now -or @('installed', 'install_pending') -notcontains $now.state) {
        Stop-ForExit -Program $tool -Exit $exit
    }
    if ($class -ne 'already') { $class = 'done' }
    New-Result -Result ([ordered]@{ exit = $exit; class = $class; reboot_required = ($now.state -eq 'install_pending') })
} -Witness {
    $package = Get-Argument -Name 'package' -Kind 'object'
    $now = Find-Rollup -Build $package.build -Ubr $package.ubr
    $state = 'absent'
    if ($null -ne $now) { $state = $now.state }
    $evidence = [ordered]@{ package = $state }
    if (@('installed', 'install_pending', 'superseded') -contains $state) { return New-Witness -Done $true -Evidence $evidence }
    if (-not (Test-ServicingIdle)) { return New-Witness -Word 'running' -Evidence $evidence }
    New-Witness -Done $false -Evidence $evidence
}
