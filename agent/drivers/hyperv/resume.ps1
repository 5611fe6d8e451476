Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Open the node again, which comes back paused after a restart (probe:paused-boot). No failback: VMs come home by the plan or not at all (O15).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

Invoke-DriverAction -Action 'resume' -Run {
    $state = Get-NodeState
    if ($state -eq 'up') { return New-Result -Result ([ordered]@{ state = 'up'; already = $true }) }
    if ($state -ne 'paused') { Stop-Driver -Code 'refused' -Message ('the node is ' + $state) -Hint 'the cluster service has to join first' }
    Invoke-Effect -Do { $null = Resume-ClusterNode -Name (Get-NodeName) -Failback NoFailback } -Unchanged { (Get-NodeState) -eq 'paused' }
    if (-not (Wait-Until -Until { (Get-NodeState) -eq 'up' })) { Stop-Unknown -Message 'the node is not up yet' }
    New-Result -Result ([ordered]@{ state = 'up' })
} -Witness {
    $state = Get-NodeState
    New-Witness -Done ($state -eq 'up') -Evidence ([ordered]@{ state = $state })
}
