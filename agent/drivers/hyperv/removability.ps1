Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Whether the package could be removed, without touching it: the permanence of its manifest and a predecessor to fall back to
# (O14). The proof is only a real removal, so the best answer is "likely" (probe:mum-permanence).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveServicing.psm1"

Invoke-DriverAction -Action 'removability' -Run {
    $build = Get-Argument -Name 'build' -Kind 'number'
    $ubr = Get-Argument -Name 'ubr' -Kind 'number'
    $predecessor = Find-Predecessor -Build $build -Ubr $ubr
    $below = $null
    if ($null -ne $predecessor) { $below = '' + $predecessor.build + '.' + $predecessor.ubr }
    $answer = [ordered]@{ removable = 'unproved'; why = 'the package is not on this node yet'; predecessor = $below }
    $package = Find-Rollup -Build $build -Ubr $ubr
    if ($null -eq $package) { return New-Result -Result $answer }
    $manifest = $env:SystemRoot + '\servicing\Packages\' + $package.identity + '.mum'
    if (-not (Test-Path -LiteralPath $manifest)) {
        $answer.why = 'the package has no manifest to read'
    } elseif ((Get-Content -LiteralPath $manifest -Raw) -match 'permanence\s*=\s*"permanent"') {
        $answer.removable = 'no'
        $answer.why = 'its manifest says permanent'
    } elseif ($null -eq $below) {
        $answer.removable = 'no'
        $answer.why = 'there is no predecessor to fall back to'
    } else {
        $answer.removable = 'likely'
        $answer.why = 'its manifest is not permanent and a predecessor is there; only a removal proves it'
    }
    New-Result -Result $answer
}
