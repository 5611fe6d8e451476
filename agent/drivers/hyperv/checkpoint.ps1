Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# A checkpoint of one VM, named so that merge finds it again. Its type is the VM's own setting; the cmdlet has none (O4).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

function Find-Ours {
    param($Vm)
    @(Get-OurCheckpoints -Vm $Vm) | Select-Object -First 1
}

Invoke-DriverAction -Action 'checkpoint' -Run {
    $vm = Get-VmOrStop -Id (Get-VmArgument)
    $ours = Find-Ours -Vm $vm
    if ($null -ne $ours) { return New-Result -Result ([ordered]@{ checkpoint = $ours.Id.ToString(); already = $true }) }
    if ($null -ne (Get-VmBusy -Vm $vm)) { Stop-Driver -Code 'busy' -Message ('the virtual machine is busy: ' + (Get-VmBusy -Vm $vm)) }
    Invoke-Effect -Do { $null = Checkpoint-VM -VM $vm -SnapshotName 'patchwave' -Confirm:$false } -Unchanged { $null -eq (Find-Ours -Vm $vm) }
    if (-not (Wait-Until -Until { $null -ne (Find-Ours -Vm $vm) })) { Stop-Unknown -Message 'the checkpoint is not there yet' }
    New-Result -Result ([ordered]@{ checkpoint = (Find-Ours -Vm $vm).Id.ToString() })
} -Witness {
    $id = Get-VmArgument
    if (-not (Test-VmmsAnswers)) { return New-Witness -Word 'cannot_tell' }
    $vm = Find-Vm -Id $id
    if ($null -eq $vm) { return New-Witness -Word 'cannot_tell' }
    if ($null -ne (Find-Ours -Vm $vm)) { return New-Witness -Done $true -Evidence ([ordered]@{ checkpoint = (Find-Ours -Vm $vm).Id.ToString() }) }
    if ((Get-VmBusy -Vm $vm) -eq 'checkpoint') { return New-Witness -Word 'running' }
    New-Witness -Done $false
}
