Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Stop a VM that cannot move and whose owner consented (O4): guest shutdown or save, with a checkpoint where the policy asks.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

function Get-Wanted {
    param([string]$Method)
    if ($Method -eq 'save') { 'saved' } else { 'off' }
}

# The cluster has to want it offline as well, else it starts it again (probe:stop-clustered); the group stays where it is.
function Stop-Role {
    param([string]$Id)
    $group = Find-VmGroup -Id $Id
    if ($null -ne $group -and ([int]$group.State -ne 1 -or [int]$group.PersistentState -ne 0)) { $null = $group | Stop-ClusterGroup }
}

Invoke-DriverAction -Action 'park_vm' -Run {
    $id = Get-VmArgument
    $method = Get-Argument -Name 'method' -Kind 'text' -OneOf 'shutdown', 'save'
    $checkpoint = Get-Argument -Name 'checkpoint' -Kind 'flag' -Otherwise $false
    $vm = Get-VmOrStop -Id $id
    $before = Get-VmState -Vm $vm
    if (@('off', 'saved') -contains $before) {
        Stop-Role -Id $id
        return New-Result -Result ([ordered]@{ state = $before; already = $true })
    }
    if ($before -ne 'running') { Stop-Driver -Code 'busy' -Message ('the virtual machine is ' + $before) }
    if ($null -ne (Get-VmBusy -Vm $vm)) { Stop-Driver -Code 'busy' -Message ('the virtual machine is busy: ' + (Get-VmBusy -Vm $vm)) }
    if ($checkpoint -and @(Get-OurCheckpoints -Vm $vm).Count -eq 0) {
        Invoke-Effect -Do { $null = Checkpoint-VM -VM $vm -SnapshotName 'patchwave' -Confirm:$false } -Unchanged { @(Get-OurCheckpoints -Vm $vm).Count -eq 0 }
    }
    $asked = Get-NowMs
    Invoke-Effect -Do {
        if ($method -eq 'save') { $null = Save-VM -VM $vm -Confirm:$false } else { $null = Stop-VM -VM $vm -Force -Confirm:$false }
    } -Unchanged { (Get-VmState -Vm (Get-VmOrStop -Id $id)) -eq 'running' }
    $wanted = Get-Wanted -Method $method
    if (-not (Wait-Until -Until { (Get-VmState -Vm (Get-VmOrStop -Id $id)) -eq $wanted })) { Stop-Unknown -Message 'the virtual machine is not down yet' }
    Stop-Role -Id $id
    $cause = 'shut_down'
    if ($method -eq 'save') { $cause = 'saved' }
    # A guest that shuts down serves nobody from the moment it was asked.
    New-Result -Result ([ordered]@{ state = $wanted }) -Downtime (New-Downtime -Subject 'vm' -Id $id -Cause $cause -StartMs $asked -EndMs $null -How 'state change')
} -Witness {
    $id = Get-VmArgument
    $wanted = Get-Wanted -Method (Get-Argument -Name 'method' -Kind 'text' -OneOf 'shutdown', 'save')
    if (-not (Test-VmmsAnswers)) { return New-Witness -Word 'cannot_tell' }
    $vm = Find-Vm -Id $id
    if ($null -eq $vm) { return New-Witness -Word 'cannot_tell' }
    $state = Get-VmState -Vm $vm
    $evidence = [ordered]@{ state = $state }
    if (@('stopping', 'saving') -contains $state) { return New-Witness -Word 'running' -Evidence $evidence }
    if (@('off', 'saved') -notcontains $state) { return New-Witness -Done $false -Evidence $evidence }
    New-Witness -Done $true -Evidence $evidence
}
