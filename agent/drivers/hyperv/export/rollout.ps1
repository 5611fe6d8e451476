Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# One node's part of a signed plan, for shops that deploy by their own tool (O31). `patchwave export --script NODE` fills in the slice
# below; two scripts come out, before and after the restart, and the tool restarts the node in between when the first one ends with
# 3010. Sign both with the certificate of the shop: this script refuses to run unsigned, changed, expired, or on another node.
#
# Exit codes: 0 done - 3010 installed, restart now - 20 a guard failed, nothing was done - 21 a step failed, look at the node -
# 22 not signed, expired, or not for this node.
Import-Module -Name "$PSScriptRoot/../PatchwaveDriver.psm1"

$slice = ConvertFrom-Json -InputObject '@SLICE@'

function Write-Line {
    param([string]$Text)
    [Console]::Out.WriteLine($Text)
}

function Stop-Export {
    param([int]$Code, [string]$Why)
    Write-Line -Text ('STOPPED: ' + $Why)
    exit $Code
}

# --- the slice is what the board signed ---------------------------------------------------------------------------------

function Assert-Slice {
    $signature = Get-AuthenticodeSignature -FilePath $PSCommandPath
    if ([string]$signature.Status -ne 'Valid') { Stop-Export -Code 22 -Why ('the signature of this script is ' + [string]$signature.Status) }
    if ($slice.node -ne [string](Get-CimInstance -ClassName Win32_ComputerSystem).Name) { Stop-Export -Code 22 -Why ('this script is for ' + $slice.node) }
    if ($slice.phase -eq 'before' -and (Get-NowMs) -gt $slice.expires_ms) { Stop-Export -Code 22 -Why 'the approval has expired' }
}

# --- guards, looked at on the node itself -------------------------------------------------------------------------------

# In service: a node that somebody else paused is not ours to work on (O7).
function Assert-InService {
    $state = Get-NodeState
    if ($state -ne 'up') { Stop-Export -Code 20 -Why ('this node is ' + $state) }
}

function Assert-Paused {
    $state = Get-NodeState
    if ($state -ne 'paused') { Stop-Export -Code 20 -Why ('this node is ' + $state + ', and should be paused by the first script') }
}

# One node out at a time.
function Assert-NobodyOut {
    foreach ($node in @(Get-ClusterNode)) {
        $state = Get-Word -Number $node.State -Of 'node'
        if ($node.Name -ne $slice.node -and $state -ne 'up') { Stop-Export -Code 20 -Why ($node.Name + ' is ' + $state) }
    }
}

# More than half of the votes have to be there without this node, and a configured witness has to be online (O20).
function Assert-Quorum {
    $witness = (Get-ClusterQuorum).QuorumResource
    $all = 0
    $left = 0
    if ($null -ne $witness) {
        if ((Get-Word -Number $witness.State -Of 'resource') -ne 'online') { Stop-Export -Code 20 -Why 'the witness is not online' }
        $all = [int](Get-Cluster).WitnessDynamicWeight
        $left = $all
    }
    foreach ($node in @(Get-ClusterNode)) {
        $all += [int]$node.DynamicWeight
        if ($node.Name -ne $slice.node -and [int]$node.State -eq 0) { $left += [int]$node.DynamicWeight }
    }
    if ($left * 2 -le $all) { Stop-Export -Code 20 -Why ('without this node ' + $left + ' of ' + $all + ' votes are left') }
}

# Every virtual disk healthy and no repair under way (O21).
function Assert-Disks {
    if (-not (Test-S2D)) { return }
    foreach ($disk in @(Get-VirtualDisk)) {
        if (@('Healthy', '0') -notcontains [string]$disk.HealthStatus) { Stop-Export -Code 20 -Why ('the virtual disk ' + $disk.FriendlyName + ' is ' + [string]$disk.HealthStatus) }
    }
    foreach ($job in @(Get-StorageJob | Where-Object { $_.Name -match 'Repair|Regenerat' -and @('Completed', '7') -notcontains [string]$_.JobState })) {
        Stop-Export -Code 20 -Why ('the storage job ' + $job.Name + ' runs')
    }
}

function Assert-Guards {
    if ($slice.phase -eq 'after') { Assert-Paused; return }
    Assert-InService
    Assert-NobodyOut
    Assert-Quorum
    Assert-Disks
}

# --- steps --------------------------------------------------------------------------------------------------------------

# Runs one action of the driver with the request that the agent would send, and gives back its answer.
function Invoke-Step {
    param($Step)
    $in = [System.IO.Path]::GetTempFileName()
    $out = [System.IO.Path]::GetTempFileName()
    $request = '{"contract":1,"action":"' + $Step.action + '","mode":"run","node":"' + $slice.node + '","op":"export","limit_ms":' + $Step.limit_ms + ',"args":' + $Step.args + '}'
    [System.IO.File]::WriteAllText($in, $request)
    $line = '-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "' + $PSScriptRoot + '/../' + $Step.action + '.ps1"'
    $null = Start-Process -FilePath ($env:SystemRoot + '\System32\WindowsPowerShell\v1.0\powershell.exe') -ArgumentList $line -Wait:$true -PassThru:$true -WindowStyle Hidden -RedirectStandardInput $in -RedirectStandardOutput $out
    $text = Get-Content -LiteralPath $out -Raw
    Remove-Item -LiteralPath $in
    Remove-Item -LiteralPath $out
    Write-Line -Text ($Step.action + ': ' + $text)
    try { ConvertFrom-Json -InputObject $text } catch { $null }
}

function Invoke-Steps {
    foreach ($step in @($slice.steps)) {
        $answer = Invoke-Step -Step $step
        if (-not (Test-Member -Object $answer -Name 'result')) { Stop-Export -Code 21 -Why ($step.action + ' did not succeed; the node stays as it is') }
        if ($step.action -eq 'check_empty' -and -not $answer.result.empty) { Stop-Export -Code 21 -Why 'the node is not empty' }
        if ($step.action -eq 'move_groups' -and @($answer.result.left | Where-Object { @($slice.parked) -notcontains $_.id }).Count -gt 0) { Stop-Export -Code 21 -Why 'a group or volume could not be moved' }
        if ($step.action -eq 'verify' -and ($answer.result.package -ne 'installed' -or $answer.result.pending)) { Stop-Export -Code 21 -Why 'the package is not proved to be in' }
    }
}

Set-DriverNode -Name $slice.node
Assert-Slice
Assert-Guards
Invoke-Steps
Write-Line -Text ('phase ' + $slice.phase + ' of plan ' + $slice.plan + ' is done on ' + $slice.node)
if ($slice.phase -eq 'before') { exit 3010 }
exit 0
