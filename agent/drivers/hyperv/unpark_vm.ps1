Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Start a parked VM: a clustered one through its group once the node is open, another one as soon as vmms answers (O4).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

function Test-Running {
    param([string]$Id)
    $group = Find-VmGroup -Id $Id
    if ($null -ne $group -and $group.OwnerNode.Name -ne (Get-NodeName)) { return [int]$group.State -eq 0 }
    $vm = Find-Vm -Id $Id
    $null -ne $vm -and (Get-VmState -Vm $vm) -eq 'running'
}

# When it came up: by its worker's event, else by its own uptime, else by the clock where the uptime is older than the stop (a
# saved state may keep counting; probe:uptime-restored).
function Get-Up {
    param([string]$Id, [long]$SinceMs)
    $started = Find-VmStarted -Id $Id -SinceMs $SinceMs
    if ($null -ne $started) { return [ordered]@{ ms = $started; how = 'event 18500' } }
    $now = Get-NowMs
    $vm = Find-Vm -Id $Id
    if ($null -eq $vm) { return [ordered]@{ ms = $now; how = 'state change' } }
    $up = $now - [long][Math]::Floor($vm.Uptime.TotalMilliseconds)
    if ($up -le $SinceMs) { return [ordered]@{ ms = $now; how = 'state change' } }
    [ordered]@{ ms = $up; how = 'uptime' }
}

# The outage that has ended. Where it runs already, only an event or its uptime tells when it came up: the clock tells when it was looked at.
function Get-Outage {
    param([string]$Id, [string]$Method, $SinceMs, [bool]$Now)
    if ($null -eq $SinceMs) { return $null }
    $up = Get-Up -Id $Id -SinceMs $SinceMs
    if (-not $Now -and $up.how -eq 'state change') { return $null }
    $cause = 'shut_down'
    if ($Method -eq 'save') { $cause = 'saved' }
    New-Downtime -Subject 'vm' -Id $Id -Cause $cause -StartMs $SinceMs -EndMs $up.ms -How $up.how
}

Invoke-DriverAction -Action 'unpark_vm' -Run {
    $id = Get-VmArgument
    $method = Get-Argument -Name 'method' -Kind 'text' -OneOf 'shutdown', 'save'
    $since = Get-Argument -Name 'down_since_ms' -Kind 'number' -Otherwise $null
    if (Test-Running -Id $id) {
        return New-Result -Result ([ordered]@{ state = 'running'; already = $true }) -Downtime (Get-Outage -Id $id -Method $method -SinceMs $since -Now $false)
    }
    $group = Find-VmGroup -Id $id
    if ($null -ne $group) {
        Invoke-Effect -Do { $null = $group | Start-ClusterGroup } -Unchanged { -not (Test-Running -Id $id) }
    } else {
        $vm = Get-VmOrStop -Id $id
        Invoke-Effect -Do { $null = Start-VM -VM $vm -Confirm:$false } -Unchanged { -not (Test-Running -Id $id) }
    }
    if (-not (Wait-Until -Until { Test-Running -Id $id })) { Stop-Unknown -Message 'the virtual machine does not run yet' }
    New-Result -Result ([ordered]@{ state = 'running' }) -Downtime (Get-Outage -Id $id -Method $method -SinceMs $since -Now $true)
} -Witness {
    $id = Get-VmArgument
    if (-not (Test-VmmsAnswers)) { return New-Witness -Word 'cannot_tell' }
    if (Test-Running -Id $id) {
        $method = Get-Argument -Name 'method' -Kind 'text' -OneOf 'shutdown', 'save'
        $since = Get-Argument -Name 'down_since_ms' -Kind 'number' -Otherwise $null
        $row = Get-Outage -Id $id -Method $method -SinceMs $since -Now $false
        return New-Witness -Done $true -Evidence ([ordered]@{ state = 'running' }) -Downtime $row
    }
    $vm = Find-Vm -Id $id
    if ($null -eq $vm) { return New-Witness -Word 'cannot_tell' }
    $state = Get-VmState -Vm $vm
    if ($state -eq 'starting') { return New-Witness -Word 'running' -Evidence ([ordered]@{ state = $state }) }
    New-Witness -Done $false -Evidence ([ordered]@{ state = $state })
}
