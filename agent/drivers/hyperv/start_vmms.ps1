Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Start the virtual machine management service and wait until Get-VM answers, which is later than "running" (O8).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

Invoke-DriverAction -Action 'start_vmms' -Run {
    if (Test-VmmsAnswers) {
        Start-VmmsDependents
        return New-Result -Result ([ordered]@{ state = 'running'; already = $true }) -Downtime (Get-VmmsRow -Closed $true)
    }
    if (-not (Wait-Until -Until { (Get-VmmsState) -ne 'stopping' })) { Stop-Unknown -Message 'vmms is still stopping' }
    if (-not (Test-Vmms)) { Invoke-Effect -Do { $null = Start-Service -Name 'vmms' } -Unchanged { -not (Test-Vmms) } }
    if (-not (Wait-Until -Until { Test-VmmsAnswers })) { Stop-Unknown -Message 'Get-VM does not answer yet' }
    Start-VmmsDependents
    New-Result -Result ([ordered]@{ state = 'running' }) -Downtime (Get-VmmsRow -Closed $true)
} -Witness {
    $state = Get-VmmsState
    if ($state -eq 'starting' -or ($state -eq 'running' -and -not (Test-VmmsAnswers))) {
        return New-Witness -Word 'running' -Evidence ([ordered]@{ state = $state; answers = $false })
    }
    if ($state -ne 'running') { return New-Witness -Done $false -Evidence ([ordered]@{ state = $state }) }
    New-Witness -Done $true -Evidence ([ordered]@{ state = $state }) -Downtime (Get-VmmsRow -Closed $true)
}
