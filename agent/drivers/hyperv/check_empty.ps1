Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# What is left on the node, in the two forms of O2: by Get-VM while vmms runs, by worker processes afterwards.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

Invoke-DriverAction -Action 'check_empty' -Run {
    $form = Get-Argument -Name 'form' -Kind 'text' -OneOf 'vmms', 'processes'
    $parked = @(Get-Argument -Name 'parked' -Kind 'texts' -Otherwise @())
    if ($form -eq 'vmms' -and -not (Test-VmmsAnswers)) { Stop-Driver -Code 'busy' -Message 'vmms does not answer' -Hint 'ask for the form processes' }
    $left = @(Get-Left -Form $form -Parked $parked)
    New-Result -Result ([ordered]@{ empty = ($left.Count -eq 0); left = $left })
}
