Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Suspend BitLocker of the OS volume for the planned restarts (O12); a journalled option, never a default.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1"

function Get-OsVolume {
    if (@(Get-Command -Name 'Get-BitLockerVolume' -ErrorAction SilentlyContinue).Count -eq 0) { return $null }
    @(Get-BitLockerVolume | Where-Object { [string]$_.VolumeType -eq 'OperatingSystem' }) | Select-Object -First 1
}

function Test-Protected {
    $volume = Get-OsVolume
    $null -ne $volume -and @('On', '1') -contains [string]$volume.ProtectionStatus
}

Invoke-DriverAction -Action 'bitlocker_suspend' -Run {
    $reboots = Get-Argument -Name 'reboots' -Kind 'number'
    if (-not (Test-Protected)) { return New-Result -Result ([ordered]@{ volumes = 0; already = $true }) }
    $mount = (Get-OsVolume).MountPoint
    Invoke-Effect -Do { $null = Suspend-BitLocker -MountPoint $mount -RebootCount $reboots -Confirm:$false } -Unchanged { Test-Protected }
    New-Result -Result ([ordered]@{ volumes = 1 })
} -Witness {
    New-Witness -Done (-not (Test-Protected))
}
