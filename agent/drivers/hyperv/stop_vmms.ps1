Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Stop (probe:vmms-stop) the virtual machine management service on an emptied node, with the services that depend on it (O8). Its start type is
# never changed.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

Invoke-DriverAction -Action 'stop_vmms' -Run {
    $parked = @(Get-Argument -Name 'parked' -Kind 'texts' -Otherwise @())
    $state = Get-VmmsState
    if ($state -eq 'stopped') { return New-Result -Result ([ordered]@{ state = 'stopped'; already = $true }) }
    if ($state -eq 'starting') { Stop-Driver -Code 'busy' -Message 'vmms is starting' -Hint 'ask again once it runs' }
    # One that stops already lists no VM any more: worker processes tell.
    $form = 'vmms'
    if ($state -ne 'running') { $form = 'processes' }
    $left = @(Get-Left -Form $form -Parked $parked)
    if ($left.Count -gt 0) {
        Stop-Driver -Code 'not_empty' -Message ('the node is not empty: ' + $left[0].kind + ' ' + $left[0].name + ' (' + $left[0].why + ')') -Hint ('left: ' + $left.Count)
    }
    $asked = Get-NowMs
    try {
        # Without -NoWait the command waits for as long as the service says that it stops, past every limit. What is kept of the limit is
        # for the way back.
        if ($state -ne 'stopping') { $null = Stop-Service -Name 'vmms' -Force -NoWait }
        if (-not (Wait-Until -Until { (Get-VmmsState) -eq 'stopped' } -LeaveMs 60000)) { Stop-Driver -Code 'failed' -Message 'vmms did not stop in time' }
    } catch {
        $e = Get-DriverError -Record $_
        $hint = Start-VmmsAgain
        Stop-Driver -Code 'failed' -Message $e.message -Native $e.native -Hint $hint
    }
    $row = Get-VmmsRow -Closed $false
    if ($null -eq $row -or $row.start_ms -lt $asked) {
        $row = New-Downtime -Subject 'vmms' -Id (Get-NodeName) -Cause 'vmms_stopped' -StartMs (Get-NowMs) -EndMs $null -How 'state change'
    }
    New-Result -Result ([ordered]@{ state = 'stopped' }) -Downtime $row
} -Witness {
    $state = Get-VmmsState
    if ($state -eq 'stopping') { return New-Witness -Word 'running' -Evidence ([ordered]@{ state = $state }) }
    if ($state -ne 'stopped') { return New-Witness -Done $false -Evidence ([ordered]@{ state = $state }) }
    New-Witness -Done $true -Evidence ([ordered]@{ state = $state }) -Downtime (Get-VmmsRow -Closed $false)
}
