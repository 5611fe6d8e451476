Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Pause the node without draining it: the plan, not the cluster, says where VMs go (O2). A node that somebody else paused is
# never taken over (O7).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

Invoke-DriverAction -Action 'pause' -Run {
    $ours = Get-Argument -Name 'found_ours' -Kind 'flag'
    $state = Get-NodeState
    if ($state -eq 'paused' -and $ours) { return New-Result -Result ([ordered]@{ state = 'paused'; already = $true }) }
    if ($state -eq 'paused') { Stop-Driver -Code 'found_paused' -Message 'the node was paused before us' -Hint 'ask who paused it; resume it when they are done' }
    if ($state -ne 'up') { Stop-Driver -Code 'refused' -Message ('the node is ' + $state) }
    Invoke-Effect -Do { $null = Suspend-ClusterNode -Name (Get-NodeName) } -Unchanged { (Get-NodeState) -eq 'up' }
    if (-not (Wait-Until -Until { (Get-NodeState) -eq 'paused' })) { Stop-Unknown -Message 'the node is not paused yet' }
    New-Result -Result ([ordered]@{ state = 'paused' })
} -Witness {
    $state = Get-NodeState
    New-Witness -Done ($state -eq 'paused') -Evidence ([ordered]@{ state = $state })
}
