Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Remove the package by DISM, by the name that the servicing store has for it (O14): wusa always refuses combined packages.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveServicing.psm1"

function Test-Gone {
    param($Package)
    $null -eq $Package -or @('installed', 'install_pending', 'superseded') -notcontains $Package.state
}

Invoke-DriverAction -Action 'uninstall' -Run {
    $package = Get-PackageArgument -Fields @('build', 'number'), @('ubr', 'number')
    $parked = @(Get-Argument -Name 'parked' -Kind 'texts' -Otherwise @())
    $there = Find-Rollup -Build $package.build -Ubr $package.ubr
    if (Test-Gone -Package $there) {
        $pending = $null -ne $there -and $there.state -eq 'uninstall_pending'
        return New-Result -Result ([ordered]@{ exit = 0; class = 'already'; reboot_required = $pending; already = $true })
    }
    Assert-Empty -Parked $parked
    if (-not (Test-ServicingIdle)) { Stop-Driver -Code 'busy' -Message 'servicing is in progress' }
    $exit = Invoke-Program -Name 'Dism.exe' -Line ('/English /Online /Remove-Package /PackageName:' + $there.identity + ' /NoRestart /Quiet')
    if (-not (Test-Gone -Package (Find-Rollup -Build $package.build -Ubr $package.ubr))) { Stop-ForExit -Program 'dism' -Exit $exit }
    New-Result -Result ([ordered]@{ exit = $exit; class = 'done'; reboot_required = (Test-Blocking -Marks @(Get-PendingMarks)) })
} -Witness {
    $package = Get-PackageArgument -Fields @('build', 'number'), @('ubr', 'number')
    $there = Find-Rollup -Build $package.build -Ubr $package.ubr
    $state = 'absent'
    if ($null -ne $there) { $state = $there.state }
    $evidence = [ordered]@{ package = $state }
    if (Test-Gone -Package $there) { return New-Witness -Done $true -Evidence $evidence }
    if (-not (Test-ServicingIdle)) { return New-Witness -Word 'running' -Evidence $evidence }
    New-Witness -Done $false -Evidence $evidence
}
