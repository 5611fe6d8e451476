Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Virtual disks and storage jobs, as words; Health and state come as text or as numbers by the version of the module's type data.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

function Get-HealthWord {
    param($Status)
    switch ([string]$Status) {
        'Healthy' { return 'healthy' } '0' { return 'healthy' }
        'Warning' { return 'warning' } '1' { return 'warning' }
        'Unhealthy' { return 'unhealthy' } '2' { return 'unhealthy' }
    }
    'unknown'
}

# By its name, which is taken to be the same in every language (probe:storage-job-names). One that is not known is shown as other; a disk that is
# being repaired is not healthy meanwhile, whatever its job is called.
function Get-JobKind {
    param([string]$Name)
    switch -Regex ($Name) {
        'Repair' { return 'repair' } 'Regenerat' { return 'regeneration' } 'Optimi[sz]' { return 'optimize' } 'Rebalanc' { return 'rebalance' }
    }
    'other'
}

function Get-Jobs {
    foreach ($job in @(Get-StorageJob)) {
        $state = ([string]$job.JobState).ToLowerInvariant()
        if (@('completed', 'terminated', 'killed', '7', '8', '9') -contains $state) { continue }
        [ordered]@{
            id = [string]$job.UniqueId; kind = (Get-JobKind -Name $job.Name); state = $state; percent = [int]$job.PercentComplete
            bytes_total = [long]$job.BytesTotal
        }
    }
}

function Get-Disks {
    foreach ($disk in @(Get-VirtualDisk)) {
        [ordered]@{ id = [string]$disk.UniqueId; name = [string]$disk.FriendlyName; health = (Get-HealthWord -Status $disk.HealthStatus) }
    }
}

Invoke-DriverAction -Action 'storage_health' -Run {
    if (-not (Test-S2D)) { return New-Result -Result ([ordered]@{ s2d = $false; virtual_disks = @(); jobs = @(); rack_aware = $false }) }
    $aware = @(Get-VirtualDisk | Where-Object { @('StorageRack', '4') -notcontains [string]$_.FaultDomainAwareness })
    New-Result -Result ([ordered]@{ s2d = $true; virtual_disks = @(Get-Disks); jobs = @(Get-Jobs); rack_aware = ($aware.Count -eq 0) })
}
