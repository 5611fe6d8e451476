Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# The facts of "patched": build.UBR, the package's own state, pending marks, servicing, boot, and Get-HotFix for the record.
# UBR shows the new number before servicing ends; nothing here is judged (O13).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveServicing.psm1"

# Get-HotFix throws for an id that it does not list (probe:hotfix-absent).
function Find-HotFix {
    param([string]$Kb)
    try { $found = @(Get-HotFix -Id $Kb) } catch { $found = @() }
    $answer = [ordered]@{ listed = ($found.Count -gt 0); installed_on = $null }
    if ($found.Count -gt 0) { $answer.installed_on = Get-HotFixDate -Fix $found[0] }
    $answer
}

Invoke-DriverAction -Action 'verify' -Run {
    $build = Get-Argument -Name 'build' -Kind 'number'
    $ubr = Get-Argument -Name 'ubr' -Kind 'number'
    $kb = Get-Argument -Name 'kb' -Kind 'text'
    $os = Get-Build
    $package = Find-Rollup -Build $build -Ubr $ubr
    $state = 'absent'
    if ($null -ne $package) { $state = $package.state }
    $predecessor = Find-Predecessor -Build $build -Ubr $ubr
    $below = $null
    if ($null -ne $predecessor) { $below = '' + $predecessor.build + '.' + $predecessor.ubr }
    $marks = @(Get-PendingMarks)
    New-Result -Result ([ordered]@{
        build = $os.build; ubr = $os.ubr; package = $state; predecessor = $below; pending = (Test-Pending -Marks $marks); marks = $marks
        servicing_idle = (Test-ServicingIdle); boot_id = (Get-BootId); hotfix = (Find-HotFix -Kb $kb)
    })
}
