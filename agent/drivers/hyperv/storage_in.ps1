Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Take the disks of this S2D node out of maintenance; before resume, on every way back (O3, O12).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

Invoke-DriverAction -Action 'storage_in' -Run {
    $unit = Get-StorageUnit
    if ($null -eq $unit) { return New-Result -Result ([ordered]@{ disks = 0; already = $true }) }
    $disks = @(Get-StorageUnitDisks -Unit $unit)
    if ((Test-Maintenance -Disks $disks) -eq $false) { return New-Result -Result ([ordered]@{ disks = $disks.Count; already = $true }) }
    Invoke-Effect -Do { $null = Disable-StorageMaintenanceMode -InputObject $unit } -Unchanged {
        (Test-Maintenance -Disks @(Get-StorageUnitDisks -Unit $unit)) -eq $true
    }
    if (-not (Wait-Until -Until { (Test-Maintenance -Disks @(Get-StorageUnitDisks -Unit $unit)) -eq $false })) { Stop-Unknown -Message 'the disks have not followed yet' }
    New-Result -Result ([ordered]@{ disks = $disks.Count })
} -Witness {
    $unit = Get-StorageUnit
    if ($null -eq $unit) { return New-Witness -Done $true -Evidence ([ordered]@{ disks = 0 }) }
    $disks = @(Get-StorageUnitDisks -Unit $unit)
    New-Witness -Done ((Test-Maintenance -Disks $disks) -eq $false) -Evidence ([ordered]@{ disks = $disks.Count })
}
