Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# The VMs on this node with everything that the planner needs. Movability is a fact, not a label (O6).
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1"

# The cluster group and what places it by VM id, read once for the whole cluster.
function Get-Roles {
    $roles = @{}
    $vms = Get-VmMap
    $placing = Get-PlacingResources
    foreach ($group in @(Get-ClusterGroup)) {
        if ($vms.ContainsKey($group.Id)) { $roles[$vms[$group.Id]] = @{ group = $group; resources = $placing[$group.Id] } }
    }
    $roles
}

# An empty list would mean any node to the planner: a VM that its two resources allow on no node in common stays where it is.
function Get-Owners {
    param($Role)
    $possible = @(Get-PossibleOwners -Resources $Role.resources)
    if ($possible.Count -eq 0) { $possible = @(Get-NodeName) }
    $preferred = @(Get-ClusterOwnerNode -Group $Role.group.Name)
    [ordered]@{
        possible = $possible
        preferred = @($preferred | ForEach-Object { $_.OwnerNodes } | ForEach-Object { [string]$_.Name })
    }
}

function Test-Count {
    param([scriptblock]$Read)
    try { @(& $Read).Count -gt 0 } catch { $null }
}

# Shared storage has a cluster path or a share; anything else is the host's own disk, and the VM cannot leave without it.
function Test-LocalPath {
    param([string]$Path)
    $Path -notmatch '^[A-Za-z]:\\ClusterStorage\\' -and -not $Path.StartsWith('\\')
}

function Test-LocalDisk {
    param($Drives)
    @($Drives | Where-Object { $null -eq $_.DiskNumber -and $_.Path -and (Test-LocalPath -Path $_.Path) }).Count -gt 0
}

function Get-KeyProtector {
    param($Vm)
    try { $security = Get-VMSecurity -VM $Vm } catch { return $null }
    if ($security.Shielded) { return 'shielded' }
    if ($security.TpmEnabled) { return 'local' }
    $null
}

# Of several images the one that ties the VM to this host, where one does.
function Get-Iso {
    param($Vm)
    $images = @(@($Vm.DVDDrives) | Where-Object { $_.Path } | ForEach-Object { [string]$_.Path })
    $local = @($images | Where-Object { Test-LocalPath -Path $_ })
    @($local + $images + @($null))[0]
}

function Get-MemoryOf {
    param($Vm)
    [ordered]@{
        assigned_mib = (Get-MiB -Bytes $Vm.MemoryAssigned); startup_mib = (Get-MiB -Bytes $Vm.MemoryStartup)
        maximum_mib = (Get-MiB -Bytes $Vm.MemoryMaximum); dynamic = [bool]$Vm.DynamicMemoryEnabled
    }
}

function Get-VmFacts {
    param($Vm, $Role)
    $owners = [ordered]@{ possible = @(); preferred = @() }
    $group = $null
    if ($null -ne $Role) {
        $group = $Role.group
        $owners = Get-Owners -Role $Role
    }
    $drives = @($Vm.HardDrives)
    $facts = [ordered]@{
        id = $Vm.Id.ToString(); name = [string]$Vm.Name; node = (Get-NodeName); state = (Get-VmState -Vm $Vm); clustered = ($null -ne $group); group = $null
        memory = (Get-MemoryOf -Vm $Vm); cpus = [int]$Vm.ProcessorCount; dirty_mib_s = $null; priority = 0
        heartbeat = (Get-Word -Number $Vm.Heartbeat -Of 'heartbeat'); busy = (Get-VmBusy -Vm $Vm); isolation = (Get-Isolation -Vm $Vm -MakesIsolated $script:MakesIsolated)
        dda = (Test-Count -Read { Get-VMAssignableDevice -VM $Vm }); gpu = (Test-Count -Read { Get-VMGpuPartitionAdapter -VM $Vm })
        local_disk = (Test-LocalDisk -Drives $drives); passthrough = (@($drives | Where-Object { $null -ne $_.DiskNumber }).Count -gt 0)
        shared_disk = (@($drives | Where-Object { $_.SupportPersistentReservations -or ([string]$_.Path).EndsWith('.vhds') }).Count -gt 0)
        iso = (Get-Iso -Vm $Vm); switches = @(@($Vm.NetworkAdapters) | Where-Object { $_.SwitchName } | ForEach-Object { [string]$_.SwitchName } | Sort-Object -Unique)
        key_protector = (Get-KeyProtector -Vm $Vm); cpu_compat = [bool](Get-VMProcessor -VM $Vm).CompatibilityForMigrationEnabled; version = [string]$Vm.Version
        stop_action = (Get-Word -Number $Vm.AutomaticStopAction -Of 'stop_action'); start_action = (Get-Word -Number $Vm.AutomaticStartAction -Of 'start_action')
        possible_owners = $owners.possible; preferred_owners = $owners.preferred; anti_affinity = @(); auto_failback = $false
        uptime_ms = [long][Math]::Floor($Vm.Uptime.TotalMilliseconds); replication = ([int]$Vm.ReplicationState -ne 0); role = $null
    }
    if ($null -eq $group) { return $facts }
    $facts.group = [string]$group.Id
    $facts.priority = [int]$group.Priority
    $facts.anti_affinity = @(@($group.AntiAffinityClassNames) | Where-Object { $_ } | ForEach-Object { [string]$_ })
    $facts.auto_failback = [int]$group.AutoFailbackType -eq 1
    $facts
}

# Big nodes are told in pages of 200, by a cursor that is the id of the last VM told. Kept between looks: each look at a cluster asks every node.
Invoke-DriverAction -Action 'vms' -Resident $true -Run {
    $cursor = Get-Argument -Name 'cursor' -Kind 'text' -Otherwise ''
    if (-not (Test-VmmsAnswers)) { Stop-Driver -Code 'busy' -Message 'vmms does not answer' -Hint 'the VMs are told again once it runs' }
    $all = @(Get-VM | Sort-Object -Property { $_.Id.ToString() } | Where-Object { $_.Id.ToString() -gt $cursor })
    $page = @($all | Select-Object -First 200)
    $roles = Get-Roles
    $script:MakesIsolated = Test-MakesIsolated
    $next = $null
    if ($all.Count -gt $page.Count) { $next = $page[$page.Count - 1].Id.ToString() }
    New-Result -Result ([ordered]@{ vms = @(foreach ($vm in $page) { Get-VmFacts -Vm $vm -Role $roles[$vm.Id.ToString()] }); next = $next })
}
