Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Move everything else off the node: each group that is not a running VM's and each volume (O1). What an offline, parked VM
# leaves behind goes too where its owners allow (O4).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

# Tries the targets in their order; null when one took it, else why the last one did not.
function Move-Thing {
    param($Thing, [string]$Kind, [string[]]$To, [string]$Me)
    $why = 'no target was given'
    foreach ($target in $To) {
        if ($target -eq $Me) { continue }
        try {
            if ($Kind -eq 'csv') { $null = $Thing | Move-ClusterSharedVolume -Node $target } else { $null = $Thing | Move-ClusterGroup -Node $target }
            return [ordered]@{ to = $target; why = $null }
        } catch {
            $why = $target + ': ' + $_.Exception.Message
        }
    }
    [ordered]@{ to = $null; why = $why }
}

function Get-Movable {
    $vms = Get-VmMap
    foreach ($group in @(Get-OwnedGroups)) {
        $kind = 'group'
        if ($vms.ContainsKey($group.Id) -and [int]$group.State -ne 1) { continue }
        @{ kind = $kind; id = $group.Id; thing = $group; role = $vms.ContainsKey($group.Id) }
    }
    foreach ($csv in @(Get-OwnedCsvs)) { @{ kind = 'csv'; id = $csv.Id; thing = $csv; role = $false } }
}

Invoke-DriverAction -Action 'move_groups' -Run {
    $to = @(Get-Argument -Name 'to' -Kind 'texts')
    $moved = @()
    $left = @()
    foreach ($item in @(Get-Movable)) {
        $end = Move-Thing -Thing $item.thing -Kind $item.kind -To $to -Me (Get-NodeName)
        if ($null -eq $end.why) { $moved += , ([ordered]@{ kind = $item.kind; id = $item.id; to = $end.to }) }
        else { $left += , ([ordered]@{ kind = $item.kind; id = $item.id; why = $end.why }) }
    }
    $result = [ordered]@{ moved = $moved; left = $left }
    if ($moved.Count -eq 0 -and $left.Count -eq 0) { $result.already = $true }
    New-Result -Result $result
} -Witness {
    $still = @(Get-Movable | Where-Object { -not $_.role })
    $pending = @($still | Where-Object { $_.kind -eq 'group' -and [int]$_.thing.State -eq 4 })
    $evidence = [ordered]@{ left = @($still | ForEach-Object { $_.id }) }
    if ($pending.Count -gt 0) { return New-Witness -Word 'running' -Evidence $evidence }
    New-Witness -Done ($still.Count -eq 0) -Evidence $evidence
}
