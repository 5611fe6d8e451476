Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# What the node is. Each fact that this machine cannot tell is null; none is guessed.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1", "$PSScriptRoot/PatchwaveNode.psm1", "$PSScriptRoot/PatchwaveServicing.psm1", "$PSScriptRoot/PatchwaveEvidence.psm1"

# A fact whose source may be missing on this kind of machine.
function Get-OrNull {
    param([scriptblock]$Read)
    try { & $Read } catch { $null }
}

function Test-Command {
    param([string]$Name)
    @(Get-Command -Name $Name -ErrorAction SilentlyContinue).Count -gt 0
}

function Get-Packages {
    foreach ($package in @(Get-Rollups)) { [ordered]@{ identity = $package.identity; build = $package.build; ubr = $package.ubr; state = $package.state } }
}

function Get-HotFixes {
    foreach ($fix in @(Get-HotFix)) { [ordered]@{ id = [string]$fix.HotFixID; installed_on = (Get-HotFixDate -Fix $fix) } }
}

# Services by which the rollout judges; a name that is not there is no service of this node.
function Get-Services {
    $names = @('vmms', 'ClusSvc', 'wuauserv', 'w32time', 'TrustedInstaller') + @(Get-BackupServiceNames)
    foreach ($service in @(Get-Service -Name $names -ErrorAction SilentlyContinue)) {
        [ordered]@{ name = $service.Name; state = (Get-Word -Number $service.Status -Of 'service'); start = (Get-Word -Number $service.StartType -Of 'start_type') }
    }
}

function Get-Interfaces {
    $name = Get-NodeName
    foreach ($interface in @(Get-ClusterNetworkInterface -Node $name)) {
        [ordered]@{ name = $interface.Name; state = (Get-Word -Number $interface.State -Of 'interface') }
    }
}

# Cumulative update by package and by UBR differ on a hotpatched node, unless a restart is still due.
function Test-Hotpatch {
    param($Os, $Marks)
    $installed = @(Get-Rollups | Where-Object { $_.state -eq 'installed' -and $_.build -eq $Os.build } | Sort-Object -Property { $_.ubr } | Select-Object -Last 1)
    if ($installed.Count -eq 0 -or (Test-Pending -Marks $Marks)) { return $false }
    $Os.ubr -gt $installed[0].ubr
}

# A restart that somebody waits for, servicing or not; renames of files are no reason (O11).
function Test-RestartDue {
    param([string[]]$Marks)
    @($Marks | Where-Object { $_ -ne 'PendingFileRenameOperations' }).Count -gt 0
}

function Get-BitLocker {
    $none = [ordered]@{ os_volume = 'off'; protectors = @(); escrowed = $null }
    if (-not (Test-Command -Name 'Get-BitLockerVolume')) { return $none }
    $volume = @(Get-BitLockerVolume | Where-Object { [string]$_.VolumeType -eq 'OperatingSystem' }) | Select-Object -First 1
    if ($null -eq $volume) { return $none }
    $state = 'off'
    if (@('On', '1') -contains [string]$volume.ProtectionStatus) { $state = 'on' }
    elseif (@($volume.KeyProtector).Count -gt 0) { $state = 'suspended' }
    [ordered]@{ os_volume = $state; protectors = @(@($volume.KeyProtector) | ForEach-Object { [string]$_.KeyProtectorType }); escrowed = $null }
}

function Get-Attestation {
    if (-not (Test-Command -Name 'Get-HgsClientConfiguration')) { return $null }
    $client = Get-HgsClientConfiguration
    if ([string]$client.Mode -eq 'Local') { return $null }
    ([string]$client.AttestationStatus).ToLowerInvariant()
}

# Where this node takes its time from, for the SNTP question that the agent asks itself: w32tm speaks the system's language.
function Get-TimeSource {
    $parameters = Get-ItemProperty -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Services\W32Time\Parameters'
    if ([string]$parameters.Type -ne 'NT5DS') {
        $first = ([string]$parameters.NtpServer).Split(' ')[0].Split(',')[0]
        if ($first -eq '') { return $null }
        if ($first.Contains(':')) { return $first }
        return $first + ':123'
    }
    $domain = @(Get-CimInstance -ClassName Win32_NTDomain | Where-Object { $_.DomainControllerName }) | Select-Object -First 1
    if ($null -eq $domain) { return $null }
    ([string]$domain.DomainControllerName).TrimStart('\') + ':123'
}

function Get-Bmc {
    if (-not (Test-Command -Name 'Get-PcsvDevice')) { return $null }
    [string](Get-PcsvDevice).IPv4Address
}

function Get-ClusterName {
    if (-not (Test-Command -Name 'Get-Cluster')) { return $null }
    (Get-Cluster).Name
}

function Get-Firmware {
    ([string](Get-CimInstance -ClassName Win32_BIOS).SMBIOSBIOSVersion).Trim()
}

# What the parent partition keeps for itself, where an administrator set it (probe:memory-reserve).
function Get-Reserve {
    $key = Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion\Virtualization'
    if (Test-Member -Object $key -Name 'MemoryReserve') { return [int]$key.MemoryReserve }
    $null
}

# Disks as the node sees them, one per path that answers (probe:storage-paths): a path that did not come back after a restart shows here (O12).
function Get-StoragePaths { @(Get-Disk).Count }

# A version is text such as '9.3' and '12.0': compared as numbers.
function Test-VersionTen {
    param($Vms)
    @($Vms | Where-Object { [int]([string]$_.Version).Split('.')[0] -ge 10 }).Count -gt 0
}

# Whether any of the looks is true; null where none is and one could not be told.
function Test-Any {
    param($Looks)
    if (@($Looks | Where-Object { $_ -eq $true }).Count -gt 0) { return $true }
    if (@($Looks | Where-Object { $null -eq $_ }).Count -gt 0) { return $null }
    $false
}

# The founding article: apply where two of three hold - Windows Server 2025, a VM of version 10.0 or newer, a security processor or
# virtualisation based security. It holds on every such server with a TPM. Microsoft names confidential VMs only (SNP, TDX), so both
# stand side by side, and the plan chooses. Without an answer of vmms its parts are not known.
function Get-Applicability {
    param([bool]$Server, [int]$Build, $Tpm, $Vbs)
    $version = $null
    $confidential = $null
    if (Test-VmmsAnswers) {
        $vms = @(Get-VM)
        $makes = Test-MakesIsolated
        $types = @($vms | ForEach-Object { [string](Get-Isolation -Vm $_ -MakesIsolated $makes) })
        $version = Test-VersionTen -Vms $vms
        if (@($types | Where-Object { $_ -eq '' }).Count -eq 0) { $confidential = @($types | Where-Object { @('snp', 'tdx') -contains $_ }).Count }
    }
    $running = $null
    if ($null -ne $Vbs) { $running = $Vbs -eq 2 }
    $three = @(($Server -and $Build -eq 26100), $version, (Test-Any -Looks @($Tpm, $running)))
    $yes = @($three | Where-Object { $_ -eq $true }).Count
    $open = @($three | Where-Object { $null -eq $_ }).Count
    $article = $null
    if ($yes -ge 2) { $article = $true } elseif ($yes + $open -lt 2) { $article = $false }
    $microsoft = $null
    if ($null -ne $confidential) { $microsoft = $confidential -gt 0 }
    [ordered]@{ server_2025 = $three[0]; vm_version_10 = $three[1]; security = $three[2]; article = $article; confidential_vms = $confidential; microsoft = $microsoft }
}

Invoke-DriverAction -Action 'facts' -Run {
    $os = Get-Build
    $system = Get-CimInstance -ClassName Win32_OperatingSystem
    $computer = Get-CimInstance -ClassName Win32_ComputerSystem
    $marks = @(Get-PendingMarks)
    $vbs = Get-OrNull -Read { [int](Get-CimInstance -Namespace 'root/Microsoft/Windows/DeviceGuard' -ClassName Win32_DeviceGuard).VirtualizationBasedSecurityStatus }
    $tpm = Get-OrNull -Read { [bool](Get-Tpm).TpmPresent }
    # Machines that were copied without sysprep share this id (probe:machine-guid).
    New-Result -Result ([ordered]@{
        node = (Get-NodeName); machine_id = [string](Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Cryptography' -Name 'MachineGuid').MachineGuid
        boot_id = (Get-BootId); boot_ms = (ConvertTo-Ms -Date $system.LastBootUpTime); now_ms = (Get-NowMs)
        cluster = (Get-OrNull -Read { Get-ClusterName }); model = ([string]$computer.Model).Trim(); firmware = (Get-OrNull -Read { Get-Firmware }); bmc = (Get-OrNull -Read { Get-Bmc })
        os = [ordered]@{ build = $os.build; ubr = $os.ubr; server = ([int]$system.ProductType -ne 1); caption = [string]$system.Caption }
        memory_mib = (Get-MiB -Bytes $computer.TotalPhysicalMemory); host_reserve_mib = (Get-OrNull -Read { Get-Reserve }); cpus = [int]$computer.NumberOfLogicalProcessors
        free_disk_bytes = [long](Get-CimInstance -ClassName Win32_LogicalDisk -Filter ("DeviceID='" + $env:SystemDrive + "'")).FreeSpace
        packages = @(Get-Packages); hotfixes = @(Get-OrNull -Read { Get-HotFixes } | Where-Object { $null -ne $_ })
        pending = [ordered]@{ reboot = (Test-RestartDue -Marks $marks); marks = $marks }; servicing_idle = (Test-ServicingIdle)
        services = @(Get-Services); switches = @(Get-OrNull -Read { @(Get-VMSwitch | ForEach-Object { [string]$_.Name }) } | Where-Object { $null -ne $_ })
        interfaces = @(Get-OrNull -Read { Get-Interfaces } | Where-Object { $null -ne $_ }); storage_paths = (Get-OrNull -Read { Get-StoragePaths })
        bitlocker = (Get-OrNull -Read { Get-BitLocker }); attestation = (Get-OrNull -Read { Get-Attestation }); vbs = $vbs; tpm = $tpm
        applicability = (Get-OrNull -Read { Get-Applicability -Server ([int]$system.ProductType -ne 1) -Build $os.build -Tpm $tpm -Vbs $vbs })
        hotpatch = (Test-Hotpatch -Os $os -Marks $marks); time_source = (Get-OrNull -Read { Get-TimeSource })
    })
}
