Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# Looks at the node that more than one action takes: its place in the cluster, its VMs, vmms, whether it is empty, its disks.
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1"

$script:GroupIds = @{}
$script:GroupIdsOf = 0

# --- cluster --------------------------------------------------------------------------------------------------------------

# The cluster node object of a name; null on a machine without cluster.
function Get-NodeObject {
    param([string]$Name = (Get-NodeName))
    @(Get-ClusterNode -Name $Name)[0]
}

function Get-NodeState {
    param([string]$Name = (Get-NodeName))
    Get-Word -Number (Get-NodeObject -Name $Name).State -Of 'node'
}

# Volumes are asked for by themselves; where they are listed as groups of type 4 too (probe:csv-groups), they count once.
function Get-OwnedGroups {
    $node = Get-NodeObject
    @($node | Get-ClusterGroup | Where-Object { [uint32]$_.GroupType -ne 4 })
}

function Get-OwnedCsvs {
    $name = Get-NodeName
    @(Get-ClusterSharedVolume | Where-Object { $_.OwnerNode.Name -eq $name })
}

# --- virtual machines -----------------------------------------------------------------------------------------------------

# The VM with that id on this node, or null. Errors other than "not here" (vmms down) go up.
function Find-Vm {
    param([string]$Id)
    @(Get-VM | Where-Object { $_.Id.ToString() -eq $Id }) | Select-Object -First 1
}

function Get-VmOrStop {
    param([string]$Id)
    $vm = Find-Vm -Id $Id
    if ($null -eq $vm) { Stop-Driver -Code 'not_found' -Message ('no virtual machine ' + $Id + ' on this node') }
    $vm
}

# The cluster group of a VM, or null where it is not clustered. Its id is looked up once per request.
function Find-VmGroup {
    param([string]$Id)
    if ($script:GroupIdsOf -ne (Get-RequestNumber)) { $script:GroupIds = @{} }
    $script:GroupIdsOf = Get-RequestNumber
    if (-not $script:GroupIds.ContainsKey($Id)) {
        $map = Get-VmMap
        foreach ($key in $map.Keys) { $script:GroupIds[$map[$key]] = $key }
    }
    if (-not $script:GroupIds.ContainsKey($Id)) { return $null }
    $wanted = $script:GroupIds[$Id]
    @(Get-ClusterGroup | Where-Object { $_.Id -eq $wanted }) | Select-Object -First 1
}

function Get-VmResources {
    Get-ClusterResource | Where-Object { $_.ResourceType.Name -eq 'Virtual Machine' }
}

# What decides where a VM's group may be, by group id: the VM's resource and that of its configuration, each with possible owners of
# its own (probe:vm-resource).
function Get-PlacingResources {
    $placing = @{}
    foreach ($resource in @(Get-ClusterResource | Where-Object { @('Virtual Machine', 'Virtual Machine Configuration') -contains $_.ResourceType.Name })) {
        $id = $resource.OwnerGroup.Id
        if (-not $placing.ContainsKey($id)) { $placing[$id] = @() }
        $placing[$id] += $resource
    }
    $placing
}

# The names of the nodes that each of these resources may run on.
function Get-PossibleOwners {
    param($Resources)
    $shared = $null
    foreach ($resource in @($Resources)) {
        $own = @($resource | Get-ClusterOwnerNode | ForEach-Object { $_.OwnerNodes } | ForEach-Object { [string]$_.Name })
        if ($null -eq $shared) { $shared = $own } else { $shared = @($shared | Where-Object { $own -contains $_ }) }
    }
    $shared
}

# Group id -> VM id. The VM is told by the resource's private property (probe:vm-resource): names are for people and may repeat.
function Get-VmMap {
    $map = @{}
    foreach ($parameter in @(Get-VmResources | Get-ClusterParameter -Name 'VmID')) {
        $map[$parameter.ClusterObject.OwnerGroup.Id] = ([string]$parameter.Value).ToLowerInvariant()
    }
    $map
}

function Get-VmState {
    param($Vm)
    $busy = Get-VmBusy -Vm $Vm
    $state = Get-Word -Number $Vm.State -Of 'vm' -Otherwise 'other'
    if ($state -eq 'running' -and $busy -eq 'migration') { return 'migrating' }
    $state
}

function Get-VmBusy {
    param($Vm)
    foreach ($status in @($Vm.OperationalStatus)) {
        $word = Get-Word -Number $status -Of 'vm_status' -Otherwise ''
        if ($word) { return $word }
    }
    $null
}

# Our checkpoints of a VM, by the name that checkpoint and park_vm give them.
function Get-OurCheckpoints {
    param($Vm)
    @(Get-VMSnapshot -VM $Vm | Where-Object { $_.Name -eq 'patchwave' })
}

function Test-MakesIsolated {
    @(Get-Command -Name 'New-VM' -ErrorAction SilentlyContinue | Where-Object { $_.Parameters.ContainsKey('GuestStateIsolationType') }).Count -gt 0
}

# The isolation type is a property of the VM (probe:isolation-property). A module that cannot make isolated VMs has none; one that
# can, but does not show the type, leaves it unknown.
function Get-Isolation {
    param($Vm, [bool]$MakesIsolated)
    if (-not (Test-Member -Object $Vm -Name 'GuestStateIsolationType') -and -not $MakesIsolated) { return 'none' }
    switch ([string](Get-Value -Object $Vm -Name 'GuestStateIsolationType' -Otherwise 'unknown')) {
        'TrustedLaunch' { return 'trusted_launch' } 'VBS' { return 'vbs' } 'SNP' { return 'snp' } 'TDX' { return 'tdx' } 'Disabled' { return 'none' } '' { return 'none' }
    }
    $null
}

# --- vmms, and what keeps a node from being empty -------------------------------------------------------------------------

function Get-VmmsState {
    Get-Word -Number @(Get-Service -Name 'vmms')[0].Status -Of 'service'
}

# Not running is not stopped: between the two are services that start, stop or are paused.
function Test-Vmms { (Get-VmmsState) -eq 'running' }

# Whether Get-VM answers, which is later than the service's running (O8).
function Test-VmmsAnswers {
    if (-not (Test-Vmms)) { return $false }
    try { $null = @(Get-VM) } catch { return $false }
    $true
}

# vmwp.exe carries the VM's GUID on its command line (probe:vmwp-guid).
function Get-WorkerIds {
    @(foreach ($p in @(Get-CimInstance -ClassName Win32_Process -Filter "Name='vmwp.exe'")) {
        if ([string]$p.CommandLine -match '([0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})') { $Matches[1].ToLowerInvariant() } else { 'pid ' + $p.ProcessId }
    })
}

function New-Left {
    param([string]$Kind, [string]$Id, $Name, [string]$Why)
    [ordered]@{ kind = $Kind; id = $Id; name = $Name; why = $Why }
}

# What keeps the node from being empty (O2). -Form vmms asks Get-VM, and for the worker processes of VMs that it does not list, or lists
# as down: they arrive. -Form processes asks for worker processes alone: after stop_vmms nothing else tells. Parked VMs are Off or Saved
# and may stay; a group stays only if it is theirs and offline.
function Get-Left {
    param([string]$Form, [string[]]$Parked)
    $state = Get-NodeState
    if ($state -ne 'paused') { New-Left -Kind 'node' -Id (Get-NodeName) -Name (Get-NodeName) -Why ('the node is ' + $state) }
    $told = @()
    if ($Form -eq 'vmms') {
        $told = @(foreach ($vm in @(Get-VM)) {
            $now = Get-VmState -Vm $vm
            $id = $vm.Id.ToString()
            if (@('off', 'saved') -notcontains $now) { New-Left -Kind 'vm' -Id $id -Name $vm.Name -Why $now }
            elseif ($null -ne (Get-VmBusy -Vm $vm)) { New-Left -Kind 'vm' -Id $id -Name $vm.Name -Why ('busy: ' + (Get-VmBusy -Vm $vm)) }
        })
        $told
    }
    foreach ($id in @(Get-WorkerIds)) {
        if (@($told | ForEach-Object { $_.id }) -notcontains $id) { New-Left -Kind 'process' -Id $id -Name 'vmwp.exe' -Why 'a worker process runs' }
    }
    $vms = Get-VmMap
    foreach ($group in @(Get-OwnedGroups)) {
        $vm = $vms[$group.Id]
        if ($null -eq $vm) { New-Left -Kind 'group' -Id $group.Id -Name $group.Name -Why 'the group is owned by this node' }
        elseif ($Parked -notcontains $vm) { New-Left -Kind 'group' -Id $group.Id -Name $group.Name -Why 'the group of a virtual machine that was not parked' }
        elseif (-not (Test-Pinned -Group $group)) { New-Left -Kind 'group' -Id $group.Id -Name $group.Name -Why 'the group of a parked virtual machine could be elsewhere' }
        elseif ([int]$group.State -ne 1) { New-Left -Kind 'group' -Id $group.Id -Name $group.Name -Why 'the group of a parked virtual machine is not offline' }
    }
    foreach ($csv in @(Get-OwnedCsvs)) { New-Left -Kind 'csv' -Id $csv.Id -Name $csv.Name -Why 'the volume is owned by this node' }
}

# Whether no other node may own the VM of the group: only then may it stay, offline, on an empty node (O4).
function Test-Pinned {
    param($Group)
    $owners = @(Get-PossibleOwners -Resources (Get-PlacingResources)[$Group.Id])
    $name = Get-NodeName
    @($owners | Where-Object { $_ -ne $name }).Count -eq 0
}

# The guard of install, uninstall and reboot: O2's second form on the node itself, right before the effect.
function Assert-Empty {
    param([string[]]$Parked)
    $left = @(Get-Left -Form 'processes' -Parked $Parked)
    if (Test-Vmms) { $left += @(Get-Left -Form 'vmms' -Parked $Parked | Where-Object { $_.kind -eq 'vm' }) }
    if ($left.Count -eq 0) { return }
    Stop-Driver -Code 'not_empty' -Message ('the node is not empty: ' + $left[0].kind + ' ' + $left[0].name + ' (' + $left[0].why + ')') -Hint ('left: ' + $left.Count)
}

# The services that need vmms and start by themselves: stopped with it, they come back with it, and only they.
function Start-VmmsDependents {
    foreach ($service in @(@(Get-Service -Name 'vmms')[0].DependentServices)) {
        if ([int]$service.Status -eq 1 -and [int]$service.StartType -eq 2) { $null = Start-Service -Name $service.Name }
    }
}

# The way back of a vmms that did not stop (O8): best effort, the caller reports the failure. One that still stops takes no start and is
# waited for. Returns what is true then, in words.
function Start-VmmsAgain {
    try {
        $null = Wait-Until -Until { (Get-VmmsState) -ne 'stopping' } -LeaveMs 15000
        if (Test-Vmms) { return 'vmms runs; the node goes back into service' }
        $null = Start-Service -Name 'vmms'
        if (Test-Vmms) { return 'vmms was started again; the node goes back into service' }
    } catch { Write-DriverProgress -Percent 0 -Text 'vmms could not be started again' }
    'vmms does not run: it is ' + (Get-VmmsState)
}

# --- storage ------------------------------------------------------------------------------------------------------------

function Test-S2D { [int](Get-Cluster).S2DEnabled -eq 1 }

function Find-StorageUnit {
    $name = Get-NodeName
    @(Get-StorageFaultDomain -Type StorageScaleUnit | Where-Object { $_.FriendlyName -eq $name }) | Select-Object -First 1
}

# This node as a storage fault domain; null without S2D, and only then: a node of an S2D cluster whose disks are not found must not
# restart as if it had none (O3).
function Get-StorageUnit {
    if (-not (Test-S2D)) { return $null }
    $unit = Find-StorageUnit
    if ($null -eq $unit) {
        Stop-Driver -Code 'failed' -Message ('Storage Spaces Direct is on, but no storage scale unit is named ' + (Get-NodeName)) -Hint 'compare Get-StorageFaultDomain -Type StorageScaleUnit with the name of the node'
    }
    $unit
}

function Get-StorageUnitDisks {
    param($Unit)
    @(Get-StorageFaultDomain -Type PhysicalDisk -StorageFaultDomain $Unit)
}

# Whether the disks are in maintenance: true for all, false for none, null for some, which is neither in nor out. Their status is text
# or number, by the version of the module's type data (probe:storage-maintenance).
function Test-Maintenance {
    param($Disks)
    $in = @($Disks | Where-Object { (@($_.OperationalStatus) -join ',') -match 'Maintenance|53285' })
    if ($in.Count -eq 0) { return $false }
    if ($in.Count -eq $Disks.Count) { return $true }
    $null
}

Export-ModuleMember -Function '*'
