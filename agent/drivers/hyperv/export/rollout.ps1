Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# One node's part of an approved plan, for shops that deploy by their own tool (O31), as `patchwave export --script NODE` wrote it.
# Run it as SYSTEM, with the package beside it, again and again until it ends with 0:
#   3010  installed: restart the node, then run this script again
#   0     the node is patched and back in service (again and again: it was already)
#   20    a guard failed, nothing was done; may be tried later
#   21    a step failed half way: the node stays paused, a person has to look
#   1     under AllSigned PowerShell itself refused this file; nothing was done
#   22    not signed by a publisher whom this node trusts, altered, expired, or not for this node; nothing was done
# Sign it with the certificate of the shop, whose public half is in the nodes' TrustedPublisher store: that signature, and no other
# thing in this file, is what a node believes. The digest of the slice is what the exporting command printed, for the board to compare.
#@PLAN@

$sliceText = @'
@SLICE@
'@
$sliceDigest = '@DIGEST@'

# The scripts that run, each as it is in an agent's driver folder. They go into a folder that is SYSTEM's alone, and are looked at by
# their digests in the slice before they run.
$files = @{}
#@FILES@

$folder = [System.IO.Path]::Combine($env:ProgramData, 'patchwave-export-' + $sliceDigest.Substring(0, 16))

function Write-Line {
    param([string]$Text)
    [Console]::Out.WriteLine($Text)
}

function Stop-Export {
    param([int]$Code, [string]$Why)
    Write-Line -Text ('STOPPED: ' + $Why)
    exit $Code
}

function Get-FilePath {
    param([string]$Name)
    [System.IO.Path]::Combine($folder, $Name)
}

# --- what the board signed ----------------------------------------------------------------------------------------------

# Valid says that the file is as it was signed, by a chain that Windows trusts; the store says that this shop trusts that publisher
# (probe:trusted-publisher).
function Assert-Signed {
    $signature = Get-AuthenticodeSignature -FilePath $PSCommandPath
    if ([string]$signature.Status -ne 'Valid') { Stop-Export -Code 22 -Why ('the signature of this script is ' + [string]$signature.Status) }
    $thumbprint = [string]$signature.SignerCertificate.Thumbprint
    if (-not (Test-Path -LiteralPath ('Cert:\LocalMachine\TrustedPublisher\' + $thumbprint))) {
        Stop-Export -Code 22 -Why ('this script is signed by ' + [string]$signature.SignerCertificate.Subject + ', who is no trusted publisher of this node')
    }
}

function Get-FileDigest {
    param([string]$Path)
    $file = New-Object -TypeName System.IO.FileStream -ArgumentList $Path, 'Open', 'Read', 'Read'
    $sha = [System.Security.Cryptography.SHA256]::Create()
    try { ([BitConverter]::ToString($sha.ComputeHash($file))).Replace('-', '').ToLowerInvariant() } finally { $file.Dispose(); $sha.Dispose() }
}

# Rights are set before anything is put in; a folder that others made is not taken over.
function Open-Folder {
    $sddl = 'O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'
    if (-not (Test-Path -LiteralPath $folder -PathType Container)) {
        $null = New-Item -Path $folder -ItemType Directory
        $acl = Get-Acl -LiteralPath $folder
        $acl.SetSecurityDescriptorSddlForm($sddl)
        Set-Acl -LiteralPath $folder -AclObject $acl
    }
    $is = [string](Get-Acl -LiteralPath $folder).Sddl
    if ($is -notmatch '^O:(SY|BA)' -or @([regex]::Matches($is, ';;;([^)]*)\)') | Where-Object { @('SY', 'BA') -notcontains $_.Groups[1].Value }).Count -gt 0) {
        Stop-Export -Code 20 -Why ('others may write to ' + $folder)
    }
}

function Write-Slice {
    [System.IO.File]::WriteAllText((Get-FilePath -Name 'slice.json'), $sliceText.Replace("`r", ''))
    $digest = Get-FileDigest -Path (Get-FilePath -Name 'slice.json')
    if ($digest -ne $sliceDigest) { Stop-Export -Code 22 -Why ('the slice was altered: its SHA-256 is ' + $digest) }
}

function Write-Scripts {
    foreach ($property in @($slice.files.PSObject.Properties)) {
        $path = Get-FilePath -Name $property.Name
        [System.IO.File]::WriteAllText($path, ($files[$property.Name] + "`n").Replace("`r", ''))
        if ((Get-FileDigest -Path $path) -ne $property.Value) { Stop-Export -Code 22 -Why ('the script ' + $property.Name + ' is not the one of the slice') }
    }
}

function Assert-Node {
    $name = [string](Get-CimInstance -ClassName Win32_ComputerSystem).Name
    if ($slice.node -ne $name) { Stop-Export -Code 22 -Why ('this script is for ' + $slice.node + ', and this is ' + $name) }
}

# --- guards, looked at on the node itself -------------------------------------------------------------------------------

# No drain begins that could not end within approval and window; a node that is out always goes on.
function Assert-Time {
    $now = Get-NowMs
    $end = $now + $slice.life_ms
    if ($now -gt $slice.expires_ms) { Stop-Export -Code 22 -Why ('the approval has expired at ' + $slice.expires) }
    if ($end -gt $slice.expires_ms) { Stop-Export -Code 22 -Why ('the approval expires at ' + $slice.expires + ', before this node would be back') }
    $windows = @($slice.windows)
    if ($windows.Count -gt 0 -and @($windows | Where-Object { $_.from_ms -le $now -and $end -le $_.to_ms }).Count -eq 0) { Stop-Export -Code 20 -Why 'no change window is open for long enough' }
    if (@($slice.freezes | Where-Object { $_.from_ms -lt $end -and $now -lt $_.to_ms }).Count -gt 0) { Stop-Export -Code 20 -Why 'a freeze is in the way' }
}

function Assert-Package {
    foreach ($package in @($slice.packages)) {
        $path = [System.IO.Path]::Combine($PSScriptRoot, $package.name)
        if (-not (Test-Path -LiteralPath $path -PathType Leaf)) { Stop-Export -Code 20 -Why ($package.name + ' is not beside this script') }
        if ((Get-FileDigest -Path $path) -ne $package.sha256) { Stop-Export -Code 20 -Why ($package.name + ' is not the approved package') }
    }
}

# In service: a node that somebody else paused is not ours to work on (O7).
function Assert-InService {
    $state = Get-NodeState
    if ($state -ne 'up') { Stop-Export -Code 20 -Why ('this node is ' + $state) }
}

function Get-OthersOut {
    foreach ($node in @(Get-ClusterNode)) {
        $state = Get-Word -Number $node.State -Of 'node'
        if ($node.Name -ne $slice.node -and $state -ne 'up') { $node.Name + ' is ' + $state }
    }
}

# One node out at a time.
function Assert-NobodyOut {
    $out = @(Get-OthersOut)
    if ($out.Count -gt 0) { Stop-Export -Code 20 -Why $out[0] }
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

# Every virtual disk healthy and no repair under way, in two looks: jobs start late (O21).
function Assert-Disks {
    if (-not (Test-S2D)) { return }
    foreach ($look in 1, 2) {
        foreach ($disk in @(Get-VirtualDisk)) {
            if (@('Healthy', '0') -notcontains [string]$disk.HealthStatus) { Stop-Export -Code 20 -Why ('the virtual disk ' + $disk.FriendlyName + ' is ' + [string]$disk.HealthStatus) }
        }
        foreach ($job in @(Get-StorageJob | Where-Object { $_.Name -match 'Repair|Regenerat' -and @('Completed', '7') -notcontains [string]$_.JobState })) {
            Stop-Export -Code 20 -Why ('the storage job ' + $job.Name + ' runs')
        }
        if ($look -eq 1) { Start-Sleep -Milliseconds 30000 }
    }
}

# What was proved was proved for these VMs. A VM that came since has no place in the plan; one that went is proved elsewhere.
function Assert-Planned {
    $here = @(Get-VM | Where-Object { @('off', 'saved') -notcontains (Get-VmState -Vm $_) } | ForEach-Object { $_.Id.ToString() })
    $planned = @($slice.vms)
    foreach ($id in $here) { if ($planned -notcontains $id) { Stop-Export -Code 20 -Why ('the virtual machine ' + $id + ' is not in the plan: plan again') } }
    foreach ($id in $planned) { if ($here -notcontains $id) { Stop-Export -Code 20 -Why ('the virtual machine ' + $id + ' does not run here any more: plan again') } }
}

# After a restart the cluster service joins when it can.
function Wait-Paused {
    $until = (Get-NowMs) + 900000
    while ($true) {
        $state = 'not in the cluster'
        try { $state = Get-NodeState } catch { $state = 'without an answer of the cluster service' }
        if ($state -eq 'paused' -or ($state -eq 'up' -and (Test-Path -LiteralPath (Get-FilePath -Name 'resumed') -PathType Leaf))) { return }
        if ($state -eq 'up' -or (Get-NowMs) -gt $until) { Stop-Export -Code 20 -Why ('this node is ' + $state + ', and was left paused') }
        Start-Sleep -Milliseconds 15000
    }
}

# --- steps --------------------------------------------------------------------------------------------------------------

# Runs one action of the driver with the request that the agent would send, and gives back its answer; null is no answer.
function Invoke-Action {
    param([string]$Action, [string]$Arguments = '{}', [long]$LimitMs = 120000)
    $in = Get-FilePath -Name 'request.json'
    $out = Get-FilePath -Name 'answer.json'
    $request = '{"contract":1,"action":"' + $Action + '","mode":"run","node":"' + $slice.node + '","op":"export","limit_ms":' + $LimitMs + ',"args":' + $Arguments + '}'
    [System.IO.File]::WriteAllText($in, $request)
    $line = '-NoLogo -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "' + (Get-FilePath -Name ($Action + '.ps1')) + '"'
    $null = Start-Process -FilePath ($env:SystemRoot + '\System32\WindowsPowerShell\v1.0\powershell.exe') -ArgumentList $line -Wait:$true -PassThru:$true -WindowStyle Hidden -RedirectStandardInput $in -RedirectStandardOutput $out
    $text = Get-Content -LiteralPath $out -Raw
    Write-Line -Text ($Action + ': ' + $text)
    try { ConvertFrom-Json -InputObject $text } catch { $null }
}

function Assert-Result {
    param($Answer, [string]$Action)
    if (-not (Test-Member -Object $Answer -Name 'result')) { Stop-Export -Code 21 -Why ($Action + ' did not succeed; the node stays as it is') }
}

# The node's facts, as far as they are compared after the restart; null while the node does not tell them.
function Read-Facts {
    $answer = Invoke-Action -Action 'facts'
    $health = Invoke-Action -Action 'gate_facts' -Arguments '{"type":"cluster_health"}'
    if (-not (Test-Member -Object $answer -Name 'result') -or -not (Test-Member -Object $health -Name 'result')) { return $null }
    $f = $answer.result
    [ordered]@{
        boot_id = $f.boot_id; memory_mib = $f.memory_mib; cpus = $f.cpus; switches = @($f.switches)
        interfaces = @($f.interfaces | ForEach-Object { [ordered]@{ name = $_.name; state = $_.state } }); storage_paths = $f.storage_paths
        bitlocker = [ordered]@{ os_volume = (Get-Value -Object $f.bitlocker -Name 'os_volume') }; attestation = $f.attestation
        csv_bad = @($health.result.csvs | Where-Object { -not $_.healthy }).Count
    }
}

# As a reader of JSON has it, so that both records are of one kind.
function ConvertTo-Record {
    param($Facts)
    ConvertFrom-Json -InputObject (ConvertTo-DriverJson -Value $Facts)
}

# Two nodes may have begun in the same moment, each seeing the other up: then neither goes on.
function Assert-Alone {
    $out = @(Get-OthersOut)
    if ($out.Count -eq 0) { return }
    $null = Invoke-Action -Action 'resume'
    Remove-Item -LiteralPath (Get-FilePath -Name 'before.json')
    Stop-Export -Code 20 -Why ($out[0] + ' too: this node was opened again')
}

# The package lies alone in a folder of SYSTEM's, with the checkpoint packages that it needs (O9).
function Copy-Packages {
    $store = Get-FilePath -Name 'packages'
    New-LockedFolder -Path $store
    foreach ($package in @($slice.packages)) {
        Copy-Item -LiteralPath ([System.IO.Path]::Combine($PSScriptRoot, $package.name)) -Destination ([System.IO.Path]::Combine($store, $package.name)) -Force
    }
    $store
}

# A path of the package goes in where the plan could not know it.
function Get-Arguments {
    param($Step, [string]$Store)
    $text = [string]$Step.args
    foreach ($package in @($slice.packages)) {
        $text = $text.Replace('"@' + $package.name + '@"', (ConvertTo-QuotedText -Text ([System.IO.Path]::Combine($Store, $package.name))))
    }
    $text
}

# What a step's answer has to say beyond that it succeeded.
function Assert-Said {
    param([string]$Action, $Result)
    if ($Action -eq 'check_empty' -and -not $Result.empty) { Stop-Export -Code 21 -Why 'the node is not empty' }
    if ($Action -eq 'move_groups') {
        $vms = Get-VmMap
        $stay = @($slice.parked)
        if (@($Result.left | Where-Object { $stay -notcontains $vms[$_.id] }).Count -gt 0) { Stop-Export -Code 21 -Why 'a group or volume could not be moved' }
    }
}

function Invoke-Steps {
    param($Steps, [string]$Store)
    foreach ($step in @($Steps)) {
        $answer = Invoke-Action -Action $step.action -Arguments (Get-Arguments -Step $step -Store $Store) -LimitMs $step.limit_ms
        Assert-Result -Answer $answer -Action $step.action
        Assert-Said -Action $step.action -Result $answer.result
        if ($step.action -eq 'pause') { Assert-Alone }
        if ($step.action -eq 'resume') { [System.IO.File]::WriteAllText((Get-FilePath -Name 'resumed'), $slice.plan) }
    }
}

# In, by the package's own state, with nothing pending: finishing takes minutes after the start.
function Wait-Verified {
    $until = (Get-NowMs) + 1800000
    while ($true) {
        $answer = Invoke-Action -Action 'verify' -Arguments $slice.verify
        Assert-Result -Answer $answer -Action 'verify'
        $v = $answer.result
        if ($v.package -eq 'installed' -and -not $v.pending -and $v.servicing_idle) { return }
        if ((Get-NowMs) -gt $until) { Stop-Export -Code 21 -Why ('the package is not proved to be in: ' + $v.package) }
        Start-Sleep -Milliseconds 15000
    }
}

# Come back whole or stay out (O12): what the node had before the drain, by the same words.
function Get-Whole {
    param($Facts)
    'memory ' + [string]$Facts.memory_mib
    'logical processors ' + [string]$Facts.cpus
    'virtual switches ' + (@($Facts.switches | Sort-Object) -join ', ')
    'cluster interfaces ' + (@($Facts.interfaces | ForEach-Object { $_.name + ' ' + $_.state } | Sort-Object) -join ', ')
    'storage paths ' + [string]$Facts.storage_paths
    'BitLocker ' + [string](Get-Value -Object $Facts.bitlocker -Name 'os_volume')
    'attestation ' + [string]$Facts.attestation
    'volumes that are not healthy ' + [string]$Facts.csv_bad
}

function Wait-Whole {
    $text = Get-Content -LiteralPath (Get-FilePath -Name 'before.json') -Raw
    $was = @(Get-Whole -Facts (ConvertFrom-Json -InputObject $text))
    $until = (Get-NowMs) + 900000
    while ($true) {
        $facts = Read-Facts
        $differs = @('the node does not tell its facts')
        if ($null -ne $facts) { $differs = @(Get-Whole -Facts (ConvertTo-Record -Facts $facts) | Where-Object { $was -notcontains $_ }) }
        if ($differs.Count -eq 0) { return }
        if ((Get-NowMs) -gt $until) { Stop-Export -Code 21 -Why ('the node is not as before the drain and stays paused: ' + $differs[0]) }
        Start-Sleep -Milliseconds 30000
    }
}

# --- the two halves -----------------------------------------------------------------------------------------------------

function Invoke-Out {
    param($Facts)
    Assert-Time
    Assert-Package
    Assert-InService
    Assert-NobodyOut
    Assert-Quorum
    Assert-Disks
    Assert-Planned
    $store = Copy-Packages
    Assert-NobodyOut
    [System.IO.File]::WriteAllText((Get-FilePath -Name 'before.json'), (ConvertTo-DriverJson -Value $Facts))
    Invoke-Steps -Steps $slice.out -Store $store
    [System.IO.File]::WriteAllText((Get-FilePath -Name 'installed'), $Facts.boot_id)
    Write-Line -Text ('plan ' + $slice.plan + ': installed on ' + $slice.node + '; restart it, then run this script again')
    exit 3010
}

function Invoke-Home {
    Wait-Paused
    Wait-Verified
    Invoke-Steps -Steps $slice.home
    Wait-Whole
    Invoke-Steps -Steps $slice.open
    [System.IO.File]::WriteAllText((Get-FilePath -Name 'ended'), $slice.plan)
    Write-Line -Text ('plan ' + $slice.plan + ' is done on ' + $slice.node)
    exit 0
}

function Invoke-Export {
    if (Test-Path -LiteralPath (Get-FilePath -Name 'ended') -PathType Leaf) {
        Write-Line -Text ('plan ' + $slice.plan + ' was done on ' + $slice.node + ' before')
        exit 0
    }
    $facts = Read-Facts
    if ($null -eq $facts) { Stop-Export -Code 20 -Why 'the node does not tell its facts' }
    if (-not (Test-Path -LiteralPath (Get-FilePath -Name 'before.json') -PathType Leaf)) { Invoke-Out -Facts $facts }
    $before = ConvertFrom-Json -InputObject (Get-Content -LiteralPath (Get-FilePath -Name 'before.json') -Raw)
    if ($before.boot_id -ne $facts.boot_id) { Invoke-Home }
    if (Test-Path -LiteralPath (Get-FilePath -Name 'installed') -PathType Leaf) {
        Write-Line -Text 'installed before: restart the node'
        exit 3010
    }
    Stop-Export -Code 21 -Why 'this script was begun here and did not end: look at the node'
}

Assert-Signed
Open-Folder
Write-Slice
$slice = ConvertFrom-Json -InputObject $sliceText
Assert-Node
Write-Scripts
# The driver's scripts are not signed one by one: this file's signature covers them. So the policy that this process was started with, AllSigned,
# has done its part; where a group policy says the same, it stays in force, and nothing can be done here (probe:execution-policy).
try {
    Set-ExecutionPolicy -ExecutionPolicy Bypass -Scope Process -Force
    Import-Module -Name (Get-FilePath -Name 'PatchwaveDriver.psm1'), (Get-FilePath -Name 'PatchwaveNode.psm1'), (Get-FilePath -Name 'PatchwaveServicing.psm1')
} catch {
    Stop-Export -Code 20 -Why ('the scripts in this file may not run here; a group policy for execution has to allow it: ' + $_.Exception.Message)
}
Set-DriverNode -Name $slice.node
try { Invoke-Export } catch {
    # Before the record nothing was done; after it a person has to look.
    $code = 20
    if (Test-Path -LiteralPath (Get-FilePath -Name 'before.json') -PathType Leaf) { $code = 21 }
    Stop-Export -Code $code -Why $_.Exception.Message
}
