Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Restart the node, if it still runs the boot that the request means and is empty. A restart that did happen is the success of
# a repeat.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveServicing.psm1"

Invoke-DriverAction -Action 'reboot' -Run {
    $boot = Get-Argument -Name 'boot_id' -Kind 'text'
    $parked = @(Get-Argument -Name 'parked' -Kind 'texts' -Otherwise @())
    $now = Get-BootId
    if ($now -ne $boot) { return New-Result -Result ([ordered]@{ boot_id = $now; already = $true }) }
    Assert-Empty -Parked $parked
    if (-not (Test-ServicingIdle)) { Stop-Driver -Code 'busy' -Message 'servicing is in progress' }
    # Forced: any session, a disconnected one too, would refuse it (1191), and at /t 0 nothing implies /f. The node was drained for this.
    $exit = Invoke-Program -Name 'shutdown.exe' -Line '/r /f /t 0 /d p:2:17'
    # 1115: a shutdown is in progress; 1190: one is scheduled already (probe:shutdown-exits).
    if (@(0, 1115, 1190) -notcontains $exit) { Stop-ForExit -Program 'shutdown' -Exit $exit }
    # The machine goes away under this script. If it is still there at the limit, nothing is known.
    if (-not (Wait-Until -Until { (Get-BootId) -ne $boot })) { Stop-Unknown -Message 'the node has not gone down' }
    New-Result -Result ([ordered]@{ boot_id = (Get-BootId) })
} -Witness {
    $boot = Get-Argument -Name 'boot_id' -Kind 'text'
    $now = Get-BootId
    New-Witness -Done ($now -ne $boot) -Evidence ([ordered]@{ boot_id = $now })
}
