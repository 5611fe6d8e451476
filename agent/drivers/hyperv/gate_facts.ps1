Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Facts for the gates, by type; what they mean is judged elsewhere. Events are asked for by provider and id, never by text.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveServicing.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

# --- cluster_health ---

# Where the node stands, of the texts that a cluster has for it (probe:node-fault-domain).
function Get-FaultDomain {
    param($Node)
    foreach ($part in @($Node.FaultDomain)) {
        if ([string]$part -match '^Rack:(.+)$') { return $Matches[1] }
    }
    $null
}

function Get-Nodes {
    foreach ($node in @(Get-ClusterNode)) {
        [ordered]@{
            id = [string]$node.Name; state = (Get-Word -Number $node.State -Of 'node'); drain = (Get-Word -Number $node.DrainStatus -Of 'drain')
            vote = [int]$node.NodeWeight; dynamic_vote = [int]$node.DynamicWeight; fault_domain = (Get-FaultDomain -Node $node)
        }
    }
}

# The kind of the witness is its resource type, whose name no language changes (probe:resource-types).
function Get-Quorum {
    $resource = (Get-ClusterQuorum).QuorumResource
    $quorum = [ordered]@{ witness = 'none'; witness_state = $null; witness_vote = [int](Get-Cluster).WitnessDynamicWeight }
    if ($null -eq $resource) { return $quorum }
    switch ($resource.ResourceType.Name) {
        'File Share Witness' { $quorum.witness = 'share' }
        'Cloud Witness' { $quorum.witness = 'cloud' }
        default { $quorum.witness = 'disk' }
    }
    $quorum.witness_state = Get-Word -Number $resource.State -Of 'resource' -Otherwise 'failed'
    $quorum
}

# A group that is offline because nobody wants it online is no failure (probe:persistent-state); bit 1 of its status says that a backup or a
# move holds it (probe:group-locked).
function Get-Groups {
    $vms = Get-VmMap
    $placing = Get-PlacingResources
    foreach ($group in @(Get-ClusterGroup)) {
        [ordered]@{
            id = [string]$group.Id; name = [string]$group.Name; type = (Get-Word -Number $group.GroupType -Of 'group_type' -Otherwise 'other')
            state = (Get-Word -Number $group.State -Of 'group' -Otherwise 'failed'); owner = [string]$group.OwnerNode.Name; vm = $vms[$group.Id]
            wanted_online = ([int]$group.PersistentState -eq 1); locked = (([long]$group.StatusInformation -band 1) -eq 1); pinned = ($placing.ContainsKey($group.Id) -and @(Get-PossibleOwners -Resources $placing[$group.Id]).Count -le 1)
        }
    }
}

# A volume is as good as its worst node sees it; redirected access of ReFS on its non-owners is normal (reason 32,
# probe:refs-redirected).
function Get-Csvs {
    $states = @(Get-ClusterSharedVolumeState)
    $up = @(Get-ClusterNode | Where-Object { [int]$_.State -ne 1 } | ForEach-Object { $_.Name })
    foreach ($csv in @(Get-ClusterSharedVolume)) {
        $word = 'direct'
        foreach ($state in @($states | Where-Object { $_.Name -eq $csv.Name -and $up -contains $_.Node })) {
            $one = Get-Word -Number $state.StateInfo -Of 'csv' -Otherwise 'unavailable'
            if ($one -eq 'redirected' -and [int]$state.FileSystemRedirectedIOReason -eq 32) { continue }
            if ($one -ne 'direct') { $word = $one }
        }
        $healthy = $word -eq 'direct' -and (Get-Word -Number $csv.State -Of 'resource') -eq 'online'
        [ordered]@{ id = [string]$csv.Id; name = [string]$csv.Name; owner = [string]$csv.OwnerNode.Name; state = $word; healthy = $healthy }
    }
}

function Get-FailedResources {
    foreach ($resource in @(Get-ClusterResource | Where-Object { [int]$_.State -eq 4 })) {
        [ordered]@{ id = [string]$resource.Id; name = [string]$resource.Name; type = [string]$resource.ResourceType.Name; owner = [string]$resource.OwnerNode.Name }
    }
}

function Get-Bandwidth {
    if (@(Get-Command -Name 'Get-SmbBandwidthLimit' -ErrorAction SilentlyContinue).Count -eq 0) { return $null }
    try { $limit = @(Get-SmbBandwidthLimit -Category LiveMigration) } catch { return $null }
    if ($limit.Count -eq 0) { return $null }
    Get-MiB -Bytes $limit[0].BytesPerSecond
}

function Get-Properties {
    param($Cluster)
    [ordered]@{
        max_parallel_migrations = [int]$Cluster.MaximumParallelMigrations; migration_bandwidth_mib_s = (Get-Bandwidth)
        auto_balancer_mode = [int]$Cluster.AutoBalancerMode
        move_type_threshold = [int](Get-ClusterResourceType -Name 'Virtual Machine' | Get-ClusterParameter -Name 'MoveTypeThreshold').Value
        enforced_anti_affinity = ([int]$Cluster.ClusterEnforcedAntiAffinity -eq 1); quarantine_threshold = [int]$Cluster.QuarantineThreshold
    }
}

# Who else works on this cluster (O26): an updating run, a backup (probe:backup-in-progress), servicing on this node.
function Get-Busy {
    param($Cluster)
    foreach ($group in @(Get-ClusterGroup | Where-Object { [uint32]$_.GroupType -eq 117 -and [int]$_.State -eq 0 })) {
        if (Test-CauRunning -Group $group) { [ordered]@{ kind = 'cau'; text = [string]$group.Name } }
    }
    if ([int]$Cluster.BackupInProgress -eq 1) { [ordered]@{ kind = 'backup'; text = 'a backup of the cluster database is in progress' } }
    if (-not (Test-ServicingIdle)) { [ordered]@{ kind = 'servicing'; text = (Get-NodeName) } }
}

# The role is online also between its runs; a run keeps a resource of the group pending or the group locked (probe:cau-running).
function Test-CauRunning {
    param($Group)
    ([long]$Group.StatusInformation -band 1) -eq 1 -or @(Get-ClusterResource | Where-Object { $_.OwnerGroup.Id -eq $Group.Id -and [int]$_.State -ge 128 }).Count -gt 0
}

function Get-ClusterHealth {
    if (@(Get-Service -Name 'ClusSvc' | Where-Object { [int]$_.Status -eq 4 }).Count -eq 0) { Stop-Driver -Code 'busy' -Message 'the cluster service does not run' }
    $cluster = Get-Cluster
    $down = @(Get-ClusterNetwork | Where-Object { [int]$_.State -ne 3 }).Count + @(Get-ClusterNetworkInterface | Where-Object { [int]$_.State -eq 1 }).Count
    [ordered]@{
        cluster = [string]$cluster.Name; nodes = @(Get-Nodes); quorum = (Get-Quorum); groups = @(Get-Groups); csvs = @(Get-Csvs)
        resources_failed = @(Get-FailedResources); properties = (Get-Properties -Cluster $cluster); s2d = ([int]$cluster.S2DEnabled -eq 1)
        busy = @(Get-Busy -Cluster $cluster); stretched = (@(Get-ClusterGroup | Where-Object { [uint32]$_.GroupType -eq 119 }).Count -gt 0); networks_down = $down
    }
}

# --- backup_agent ---

# Winlogon writes a 7001 of its own for each logon: without the provider each of them would look like a failure.
function Get-Failures {
    param([long]$SinceMs)
    $filter = @{ LogName = 'System'; ProviderName = 'Service Control Manager'; Id = 7001; StartTime = (ConvertFrom-Ms -Ms $SinceMs) }
    foreach ($found in @(Get-Events -Filter $filter)) {
        $values = @($found.Properties | ForEach-Object { [string]$_.Value })
        if ($values.Count -lt 2) { continue }
        [ordered]@{ at_ms = (ConvertTo-Ms -Date $found.TimeCreated); service = $values[0]; depends_on = $values[1] }
    }
}

function Get-BackupAgent {
    $agents = @(foreach ($row in @(Get-BackupServices)) {
        foreach ($service in @(Get-Service -Name $row.service -ErrorAction SilentlyContinue)) {
            $expected = 'stopped'
            if ([int]$service.StartType -eq 2) { $expected = 'running' }
            [ordered]@{ product = $row.product; service = [string]$service.Name; state = (Get-Word -Number $service.Status -Of 'service'); expected = $expected }
        }
    })
    [ordered]@{ agents = $agents; last_job = $null; writers = @(ConvertTo-Writers -Lines @(Get-WriterLines)); events_7001 = @(Get-Failures -SinceMs (Get-Since)) }
}

# --- vm_heartbeat, event_log ---

# A Linux guest that is well may say no more than "applications unknown" (probe:heartbeat).
function Get-Heartbeats {
    if (-not (Test-VmmsAnswers)) { Stop-Driver -Code 'busy' -Message 'vmms does not answer' }
    $vms = @(foreach ($vm in @(Get-VM)) {
        [ordered]@{ id = $vm.Id.ToString(); name = [string]$vm.Name; state = (Get-VmState -Vm $vm); heartbeat = (Get-Word -Number $vm.Heartbeat -Of 'heartbeat') }
    })
    [ordered]@{ vms = $vms }
}

function Get-Since { [long](Get-Argument -Name 'since_ms' -Kind 'number' -Otherwise ((Get-NowMs) - 86400000)) }

# What counts: critical, error and warning of these channels, and by id what a channel writes as information.
function Get-EventCounts {
    $since = ConvertFrom-Ms -Ms (Get-Since)
    $counts = @{}
    foreach ($channel in @(Get-Channels)) {
        foreach ($found in @(Get-Events -Filter @{ LogName = $channel; Level = @(1, 2, 3); StartTime = $since })) {
            $key = $channel + '|' + $found.ProviderName + '|' + $found.Id + '|' + [int]$found.Level
            if (-not $counts.ContainsKey($key)) {
                $counts[$key] = [ordered]@{ channel = $channel; provider = [string]$found.ProviderName; id = [int]$found.Id; level = [int]$found.Level; n = 0 }
            }
            $counts[$key].n = $counts[$key].n + 1
        }
    }
    [ordered]@{ counts = @($counts.Keys | Sort-Object | ForEach-Object { $counts[$_] }) }
}

Invoke-DriverAction -Action 'gate_facts' -Run {
    $type = Get-Argument -Name 'type' -Kind 'text' -OneOf 'cluster_health', 'backup_agent', 'vm_heartbeat', 'event_log'
    switch ($type) {
        'cluster_health' { $facts = Get-ClusterHealth }
        'backup_agent' { $facts = Get-BackupAgent }
        'vm_heartbeat' { $facts = Get-Heartbeats }
        'event_log' { $facts = Get-EventCounts }
    }
    New-Result -Result $facts
}
