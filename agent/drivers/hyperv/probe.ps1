Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# Looks, read-only, at every fact about Windows that the driver relies on and nobody published (probe.json, O30), and writes what
# this node shows. No judgement: the report goes home.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveServicing.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

function Show-Event {
    param([hashtable]$Filter)
    $newest = @(Get-Events -Filter $Filter | Select-Object -First 1)
    if ($newest.Count -eq 0) { return 'no such event on this node yet' }
    [ordered]@{
        id = [int]$newest[0].Id; level = [int]$newest[0].Level
        values = @($newest[0].Properties | ForEach-Object { if ($null -eq $_.Value) { 'null' } else { $_.Value.GetType().Name + ' ' + [string]$_.Value } })
    }
}

function Show-ErrorId {
    param([scriptblock]$Do)
    try { $null = & $Do } catch { return [string]$_.FullyQualifiedErrorId }
    'no error'
}

# A channel by its events of the last day, or why it cannot be asked.
function Show-Channel {
    param([string]$Name)
    try { $n = @(Get-WinEvent -FilterHashtable @{ LogName = $Name; StartTime = (ConvertFrom-Ms -Ms ((Get-NowMs) - 86400000)) }).Count } catch { return $Name + ': ' + $_.FullyQualifiedErrorId }
    $Name + ': ' + $n
}

function Show-Writers {
    $lines = @(Get-WriterLines)
    @($lines.Count, @(ConvertTo-Writers -Lines $lines).Count) + @($lines | Where-Object { $_ } | Select-Object -First 8)
}

function Show-VmResources {
    $map = Get-VmMap
    $here = @(Get-VM)
    $known = @($here | Where-Object { $map.Values -contains $_.Id.ToString() })
    $paired = @((Get-PlacingResources).Values | Where-Object { @($_).Count -eq 2 })
    @(@(Get-VmResources).Count, $map.Count, $known.Count, @($here | Where-Object { $_.IsClustered }).Count, $paired.Count)
}

function Show-StorageUnit {
    $unit = Find-StorageUnit
    if ($null -eq $unit) { return 'no scale unit of this name' }
    @([string]$unit.FriendlyName) + @(Get-StorageUnitDisks -Unit $unit | ForEach-Object { @($_.OperationalStatus) -join ',' })
}

function Show-TimeSource {
    $parameters = Get-ItemProperty -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\Parameters'
    @([string]$parameters.Type, [string](Get-Value -Object $parameters -Name 'NtpServer' -Otherwise 'no NtpServer')) +
    @(Get-CimInstance -ClassName Win32_NTDomain | ForEach-Object { [string]$_.DomainControllerName })
}

# The agent's store, which it names in its request; without one, where it is by default.
function Get-StorePath {
    $request = $null
    if ([Console]::IsInputRedirected) { try { $request = ConvertFrom-Json -InputObject ([Console]::In.ReadToEnd()) } catch { $request = $null } }
    Get-Value -Object (Get-Value -Object $request -Name 'args') -Name 'store' -Otherwise ($env:ProgramData + '\patchwave\state\packages')
}

# Each package that was staged on this node: what its signature is taken for, and whose it is.
function Show-Signatures {
    param([string]$Store)
    if (-not (Test-Path -LiteralPath $Store -PathType Container)) { return 'no package is staged on this node yet' }
    $files = @(foreach ($name in @(Get-ChildItem -Path $Store -Name)) {
        $folder = [System.IO.Path]::Combine($Store, $name)
        Get-ChildItem -Path $folder -Name | Where-Object { $_ -notmatch '\.(lock|part)$' } | ForEach-Object { [System.IO.Path]::Combine($folder, $_) }
    })
    if ($files.Count -eq 0) { return 'no package is staged on this node yet' }
    foreach ($file in $files) {
        $signature = Get-AuthenticodeSignature -FilePath $file
        $signer = ''
        if ($null -ne $signature.SignerCertificate) { $signer = ' ' + [string]$signature.SignerCertificate.Subject }
        [string][System.IO.Path]::GetFileName($file) + ' ' + [string]$signature.Status + $signer
    }
}

function Show-DefaultShell {
    if (-not (Test-Path -LiteralPath 'HKLM:\SOFTWARE\OpenSSH')) { return 'not set' }
    [string](Get-Value -Object (Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\OpenSSH') -Name 'DefaultShell' -Otherwise 'not set')
}

# What a look gave, as text, number, flag, list or table.
function ConvertTo-Plain {
    param($Value)
    if ($null -eq $Value -or $Value -is [string] -or $Value -is [bool] -or $Value -is [int] -or $Value -is [long] -or $Value -is [System.Collections.IDictionary]) { return $Value }
    if ($Value -is [array]) { return @(foreach ($item in $Value) { ConvertTo-Plain -Value $item }) }
    [string]$Value
}

$store = Get-StorePath
$looks = @{
    'stdin-file' = { [Console]::IsInputRedirected }
    'language-mode' = { [string]$ExecutionContext.SessionState.LanguageMode }
    'execution-policy' = { [string](Get-ExecutionPolicy) }
    'local-system' = { @([string]$env:USERPROFILE, @(Get-ClusterNode).Count, @(Get-VirtualDisk).Count) }
    'service-enum' = { @([int]@(Get-Service -Name 'ClusSvc')[0].Status, [int]@(Get-Service -Name 'ClusSvc')[0].StartType) }
    'event-record' = { Show-Event -Filter @{ LogName = 'System'; Level = @(1, 2, 3, 4) } }
    'event-errors' = {
        Show-ErrorId -Do { Get-WinEvent -FilterHashtable @{ LogName = 'System'; Id = 65000; ProviderName = 'Service Control Manager' } }
        Show-ErrorId -Do { Get-WinEvent -FilterHashtable @{ LogName = 'No-Such-Log' } }
    }
    'event-channels' = { @(Get-Channels | ForEach-Object { Show-Channel -Name $_ }) }
    'service-event' = { Show-Event -Filter @{ LogName = 'System'; ProviderName = 'Service Control Manager'; Id = 7036 } }
    'blackout-event' = { Show-Event -Filter @{ LogName = 'Microsoft-Windows-Hyper-V-VMMS-Admin'; Id = @(20415, 20417) } }
    'vm-started-event' = { Show-Event -Filter @{ LogName = 'Microsoft-Windows-Hyper-V-Worker-Admin'; Id = @(18500, 18596) } }
    'vmms-ready-event' = { Show-Event -Filter @{ LogName = 'Microsoft-Windows-Hyper-V-VMMS-Admin'; Id = 14094 } }
    'msu-signature' = { Show-Signatures -Store $store }
    'trusted-publisher' = { Test-Path -LiteralPath 'Cert:\LocalMachine\TrustedPublisher' }
    'ssh-original-command' = { $null }
    'ssh-default-shell' = { Show-DefaultShell }
    'user-rights' = { $null }
    'sshd-effective' = { $null }
    'sshd-config-made' = { $null }
    'setup-objects' = { $null }
    'acl-form' = { [string](Get-Acl -LiteralPath ($env:SystemRoot + '\System32\config')).Sddl }
    'pending-marks' = { @(Get-PendingMarks) }
    'machine-guid' = { [string](Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Cryptography' -Name 'MachineGuid').MachineGuid }
    'vm-resource' = { Show-VmResources }
    'csv-groups' = { @(Get-ClusterGroup | Where-Object { [uint32]$_.GroupType -eq 4 } | ForEach-Object { [string]$_.Id }) }
    'group-locked' = { @(Get-ClusterGroup | Where-Object { [long]$_.StatusInformation -ne 0 } | ForEach-Object { $_.Name + ' ' + [long]$_.StatusInformation }) }
    'resource-types' = { @((Get-ClusterQuorum).QuorumResource | ForEach-Object { [string]$_.ResourceType.Name }) }
    'node-fault-domain' = { @(Get-ClusterNode | ForEach-Object { $_.Name + ' ' + (@($_.FaultDomain) -join ' ') }) }
    'backup-in-progress' = { [int](Get-Cluster).BackupInProgress }
    'balancer-mode' = { @([int](Get-Cluster).AutoBalancerMode, [int](Get-Cluster).AutoBalancerLevel) }
    'storage-job-names' = { @(Get-StorageJob | ForEach-Object { [string]$_.Name }) }
    'heartbeat' = { @(Get-VM | Where-Object { [int]$_.State -eq 2 } | ForEach-Object { if ($null -eq $_.Heartbeat) { 'null' } else { '' + [int]$_.Heartbeat } }) }
    'process' = { (Start-Process -FilePath ($env:SystemRoot + '\System32\whoami.exe') -Wait:$true -PassThru:$true -WindowStyle Hidden).ExitCode }
    'vmwp-guid' = { @(Get-CimInstance -ClassName Win32_Process -Filter "Name='vmwp.exe'" | ForEach-Object { [string]$_.CommandLine }) }
    'boot-id-smss' = { @((Get-BootId), (Get-BootMs)) }
    'servicing-processes' = { @(Get-CimInstance -ClassName Win32_Process -Filter "Name='TiWorker.exe' OR Name='DismHost.exe' OR Name='Dism.exe' OR Name='wusa.exe'").Count }
    'cbs-states' = { @(Get-Rollups | ForEach-Object { $_.identity + ' ' + $_.state }) }
    'dism-enum' = { @(Get-WindowsPackage -Online | Where-Object { $_.PackageName -match '^Package_for_RollupFix~' } | ForEach-Object { $_.PackageName + ' ' + [int]$_.PackageState }) }
    'mum-permanence' = { @(Get-Rollups | ForEach-Object { Test-Path -LiteralPath ($env:SystemRoot + '\servicing\Packages\' + $_.identity + '.mum') }) }
    'servicing-exits' = { $null }
    'held-package' = { $null }
    'shutdown-exits' = { $null }
    'paused-boot' = { $null }
    'paused-moves' = { $null }
    'stop-clustered' = { $null }
    'vmms-stop' = { @(@(Get-Service -Name 'vmms')[0].DependentServices | ForEach-Object { $_.Name }) }
    'uptime-restored' = { @(Get-VM | ForEach-Object { [long][Math]::Floor($_.Uptime.TotalMilliseconds) }) }
    'isolation-property' = { @(Get-VM | Select-Object -First 1 | ForEach-Object { $null -ne $_.PSObject.Properties['GuestStateIsolationType'] }) }
    'persistent-state' = { @(Get-ClusterGroup | ForEach-Object { '' + [int]$_.State + ' ' + [int]$_.PersistentState }) }
    'refs-redirected' = { @(Get-ClusterSharedVolumeState | ForEach-Object { $_.Node + ' ' + [int]$_.StateInfo + ' ' + [int]$_.FileSystemRedirectedIOReason }) }
    'cau-running' = { @(Get-ClusterGroup | Where-Object { [uint32]$_.GroupType -eq 117 } | ForEach-Object { '' + [int]$_.State + ' ' + [long]$_.StatusInformation }) }
    'storage-classes' = { @(Get-VirtualDisk | ForEach-Object { [string]$_.HealthStatus + ' ' + [string]$_.FaultDomainAwareness }) + @(Get-StorageJob | ForEach-Object { [string]$_.Name + ' ' + [string]$_.JobState }) }
    'storage-maintenance' = { Show-StorageUnit }
    'storage-paths' = { @(Get-Disk).Count }
    'scheduled-reboot' = { @(Get-ScheduledTask -TaskPath '\Microsoft\Windows\UpdateOrchestrator\' | ForEach-Object { $_.TaskName + ' ' + [string]$_.State }) }
    'backup-services' = { @(Get-Service -Name @(Get-BackupServiceNames) -ErrorAction SilentlyContinue | ForEach-Object { $_.Name }) }
    'vss-writers' = { Show-Writers }
    'hotfix-absent' = { Show-ErrorId -Do { Get-HotFix -Id 'KB0000000' } }
    'vbs-status' = { [int](Get-CimInstance -Namespace 'root/Microsoft/Windows/DeviceGuard' -ClassName Win32_DeviceGuard).VirtualizationBasedSecurityStatus }
    'time-source' = { Show-TimeSource }
    'bitlocker' = { @(Get-BitLockerVolume | ForEach-Object { [string]$_.VolumeType + ' ' + [string]$_.ProtectionStatus }) }
    'bmc' = { [string](Get-PcsvDevice).IPv4Address }
    'attestation' = { [string](Get-HgsClientConfiguration).Mode }
    'memory-reserve' = { @((Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization').PSObject.Properties.Name) }
    'smb-limit' = { @(Get-SmbBandwidthLimit -Category LiveMigration | ForEach-Object { [long]$_.BytesPerSecond }) }
}

function Get-Seen {
    $rows = (ConvertFrom-Json -InputObject (Get-Content -LiteralPath "$PSScriptRoot/probe.json" -Raw)).probes
    foreach ($row in $rows) {
        $seen = [ordered]@{ id = [string]$row.id; expected = [string]$row.expected; used_by = [string]$row.used_by; observed = $null; error = $null }
        $look = $looks[$row.id]
        # Nothing found is an empty list; null is what cannot be looked at without doing it.
        try {
            $found = @(& $look)
            if ($found.Count -eq 1) { $seen.observed = ConvertTo-Plain -Value $found[0] } else { $seen.observed = @(ConvertTo-Plain -Value $found) }
        } catch { $seen.error = [string]$_.Exception.Message }
        $seen
    }
}

Set-DriverNode -Name ([string](Get-CimInstance -ClassName Win32_ComputerSystem).Name)
$os = Get-Build
[Console]::Out.Write((ConvertTo-DriverJson -Value ([ordered]@{ node = (Get-NodeName); build = ('' + $os.build + '.' + $os.ubr); probe = @(Get-Seen) })))
