Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Put the disks of an emptied S2D node into maintenance, so that its absence is planned (O3). Refused, the node goes back untouched.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

Invoke-DriverAction -Action 'storage_out' -Run {
    $unit = Get-StorageUnit
    if ($null -eq $unit) { return New-Result -Result ([ordered]@{ disks = 0; already = $true }) }
    $disks = @(Get-StorageUnitDisks -Unit $unit)
    if ((Test-Maintenance -Disks $disks) -eq $true) { return New-Result -Result ([ordered]@{ disks = $disks.Count; already = $true }) }
    Invoke-Effect -Do { $null = Enable-StorageMaintenanceMode -InputObject $unit -ValidateVirtualDisksHealthy $true } -Unchanged {
        (Test-Maintenance -Disks @(Get-StorageUnitDisks -Unit $unit)) -eq $false
    }
    if (-not (Wait-Until -Until { (Test-Maintenance -Disks @(Get-StorageUnitDisks -Unit $unit)) -eq $true })) { Stop-Unknown -Message 'the disks have not followed yet' }
    New-Result -Result ([ordered]@{ disks = $disks.Count })
} -Witness {
    $unit = Get-StorageUnit
    if ($null -eq $unit) { return New-Witness -Done $true -Evidence ([ordered]@{ disks = 0 }) }
    $disks = @(Get-StorageUnitDisks -Unit $unit)
    New-Witness -Done ((Test-Maintenance -Disks $disks) -eq $true) -Evidence ([ordered]@{ disks = $disks.Count })
}
