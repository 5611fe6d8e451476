Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Move one clustered VM to the node that the plan names; the source may be paused (probe:paused-moves).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

function Get-Owner {
    param([string]$Id)
    $group = Find-VmGroup -Id $Id
    if ($null -eq $group) { return $null }
    $group.OwnerNode.Name
}

# The blackout of a live migration, from the event that the source writes. Its text is localised: the VM is found by its GUID
# among the values, the seconds are the last value that is a number (probe:blackout-event).
function Find-Blackout {
    param([string]$Id, [long]$SinceMs)
    $filter = @{ LogName = 'Microsoft-Windows-Hyper-V-VMMS-Admin'; Id = @(20415, 20417); StartTime = (ConvertFrom-Ms -Ms $SinceMs) }
    foreach ($found in @(Get-Events -Filter $filter)) {
        $values = @($found.Properties | ForEach-Object { [string]$_.Value })
        if (@($values | Where-Object { $_.Trim('{}') -eq $Id }).Count -eq 0) { continue }
        $numbers = @($values | Where-Object { $_ -match '^\d+([.,]\d+)?$' })
        if ($numbers.Count -eq 0) { continue }
        $seconds = [double]($numbers[$numbers.Count - 1].Replace(',', '.'))
        return [ordered]@{ ms = [long][Math]::Round($seconds * 1000); end_ms = (ConvertTo-Ms -Date $found.TimeCreated); how = ('event ' + $found.Id) }
    }
    $null
}

function Move-Live {
    param([string]$Id, [string]$To)
    $from = Get-Owner -Id $Id
    $start = Get-NowMs
    $wait = [int][Math]::Max(1, [Math]::Floor((Get-LeftMs) / 1000) - 5)
    Invoke-Effect -Do { $null = Move-ClusterVirtualMachineRole -VMId $Id -Node $To -MigrationType Live -Wait $wait } -Unchanged {
        (Get-Owner -Id $Id) -eq $from -and $null -ne (Find-Vm -Id $Id) -and (Get-VmState -Vm (Find-Vm -Id $Id)) -eq 'running'
    }
    if (-not (Wait-Until -Until { (Get-Owner -Id $Id) -eq $To })) { Stop-Unknown -Message 'the move has not ended' }
    $end = Get-NowMs
    $blackout = Find-Blackout -Id $Id -SinceMs $start
    $result = [ordered]@{ blackout_ms = $null; duration_ms = $end - $start }
    if ($null -eq $blackout) { return New-Result -Result $result }
    $result.blackout_ms = $blackout.ms
    $row = New-Downtime -Subject 'vm' -Id $Id -Cause 'blackout' -StartMs ($blackout.end_ms - $blackout.ms) -EndMs $blackout.end_ms -How $blackout.how
    New-Result -Result $result -Downtime $row
}

# A quick migration saves, moves and restores: the VM is down while its group is not online. The command returns at once, so
# that this can be watched.
function Move-Quick {
    param([string]$Id, [string]$To)
    $from = Get-Owner -Id $Id
    $start = Get-NowMs
    $script:DownMs = $null
    $script:Back = $false
    Invoke-Effect -Do { $null = Move-ClusterVirtualMachineRole -VMId $Id -Node $To -MigrationType Quick -Wait 0 } -Unchanged { (Get-Owner -Id $Id) -eq $from }
    $ended = Wait-Until -StepMs 500 -Until {
        $group = Find-VmGroup -Id $Id
        $online = [int]$group.State -eq 0
        if (-not $online -and $null -eq $script:DownMs) { $script:DownMs = Get-NowMs }
        $script:Back = $online -and $null -ne $script:DownMs -and $group.OwnerNode.Name -eq $from
        $script:Back -or ($online -and $group.OwnerNode.Name -eq $To)
    }
    if ($script:Back) { Stop-Driver -Code 'failed' -Message 'the virtual machine came back on its old node' }
    if (-not $ended) { Stop-Unknown -Message 'the move has not ended' }
    $end = Get-NowMs
    $down = $start
    $how = 'command start to online'
    if ($null -ne $script:DownMs) { $down = $script:DownMs; $how = 'state change' }
    $row = New-Downtime -Subject 'vm' -Id $Id -Cause 'quick' -StartMs $down -EndMs $end -How $how
    New-Result -Result ([ordered]@{ blackout_ms = ($end - $down); duration_ms = $end - $start }) -Downtime $row
}

Invoke-DriverAction -Action 'move_vm' -Run {
    $id = Get-VmArgument
    $to = Get-Argument -Name 'to' -Kind 'text'
    $method = Get-Argument -Name 'method' -Kind 'text' -OneOf 'live', 'quick'
    if (@(Get-ClusterNode | Where-Object { $_.Name -eq $to }).Count -eq 0) { Stop-Driver -Code 'not_found' -Message ('the cluster has no node ' + $to) }
    $owner = Get-Owner -Id $id
    if ($null -eq $owner) {
        $null = Get-VmOrStop -Id $id
        Stop-Driver -Code 'refused' -Message 'the virtual machine is not clustered: it is parked or stays (O5)'
    }
    if ($owner -eq $to) { return New-Result -Result ([ordered]@{ blackout_ms = $null; duration_ms = 0; already = $true }) }
    if ($owner -ne (Get-NodeName)) { Stop-Driver -Code 'not_found' -Message ('the virtual machine is on ' + $owner) }
    if ($method -eq 'live') { Move-Live -Id $id -To $to } else { Move-Quick -Id $id -To $to }
} -Witness {
    $id = Get-VmArgument
    $to = Get-Argument -Name 'to' -Kind 'text'
    $group = Find-VmGroup -Id $id
    if ($null -eq $group) { return New-Witness -Word 'cannot_tell' -Evidence ([ordered]@{ owner = $null }) }
    $evidence = [ordered]@{ owner = $group.OwnerNode.Name; state = (Get-Word -Number $group.State -Of 'group') }
    if ($evidence.owner -eq $to -and $evidence.state -ne 'pending') {
        $row = Find-Blackout -Id $id -SinceMs ((Get-NowMs) - 86400000)
        if ($null -eq $row) { return New-Witness -Done $true -Evidence $evidence }
        $row = New-Downtime -Subject 'vm' -Id $id -Cause 'blackout' -StartMs ($row.end_ms - $row.ms) -EndMs $row.end_ms -How $row.how
        return New-Witness -Done $true -Evidence $evidence -Downtime $row
    }
    if ($evidence.state -eq 'pending') { return New-Witness -Word 'running' -Evidence $evidence }
    if ($evidence.owner -ne (Get-NodeName)) { return New-Witness -Done $false -Evidence $evidence }
    if (-not (Test-VmmsAnswers)) { return New-Witness -Word 'cannot_tell' -Evidence $evidence }
    $vm = Find-Vm -Id $id
    if ($null -ne $vm -and (Get-VmBusy -Vm $vm) -eq 'migration') { return New-Witness -Word 'running' -Evidence $evidence }
    New-Witness -Done $false -Evidence $evidence
}
