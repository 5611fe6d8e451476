Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Delete our checkpoint and wait until its disks are merged: a node is not done before (O4).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

function Test-Merged {
    param([string]$Id)
    $vm = Get-VmOrStop -Id $Id
    @(Get-OurCheckpoints -Vm $vm).Count -eq 0 -and (Get-VmBusy -Vm $vm) -ne 'merge'
}

Invoke-DriverAction -Action 'merge' -Run {
    $id = Get-VmArgument
    $vm = Get-VmOrStop -Id $id
    if (Test-Merged -Id $id) { return New-Result -Result ([ordered]@{ merged = $false; already = $true }) }
    Invoke-Effect -Do { foreach ($ours in @(Get-OurCheckpoints -Vm $vm)) { $null = Remove-VMSnapshot -VMSnapshot $ours -Confirm:$false } } -Unchanged {
        @(Get-OurCheckpoints -Vm $vm).Count -gt 0
    }
    if (-not (Wait-Until -Until { Test-Merged -Id $id })) { Stop-Unknown -Message 'the disks are still being merged' }
    New-Result -Result ([ordered]@{ merged = $true })
} -Witness {
    $id = Get-VmArgument
    if (-not (Test-VmmsAnswers)) { return New-Witness -Word 'cannot_tell' }
    $vm = Find-Vm -Id $id
    if ($null -eq $vm) { return New-Witness -Word 'cannot_tell' }
    if ((Get-VmBusy -Vm $vm) -eq 'merge') { return New-Witness -Word 'running' }
    New-Witness -Done (Test-Merged -Id $id)
}
