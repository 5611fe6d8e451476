Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# What gates and downtime rows rest on: event logs, the services of backup products, the writers of the shadow copy service.
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1"

# --- events ---------------------------------------------------------------------------------------------------------------

# Events of one or more filters; none is an empty answer. Only "nothing matched" and "no such log here" are none (by id, never by text; probe:event-errors).
function Get-Events {
    param([hashtable]$Filter)
    try {
        @(Get-WinEvent -FilterHashtable $Filter)
    } catch {
        if ($_.FullyQualifiedErrorId -notmatch '^(NoMatchingEventsFound|NoMatchingLogsFound|NoMatchingProvidersFound)') { throw }
    }
}

# When a service entered a state, from event 7036: its binary part is "name/state" in UTF-16, which no language changes (probe:service-event).
function Find-ServiceEvent {
    param([string]$Name, [int]$State, [long]$SinceMs)
    $filter = @{ LogName = 'System'; ProviderName = 'Service Control Manager'; Id = 7036; StartTime = (ConvertFrom-Ms -Ms $SinceMs) }
    foreach ($found in @(Get-Events -Filter $filter)) {
        foreach ($property in @($found.Properties)) {
            if ($property.Value -isnot [byte[]]) { continue }
            $text = [System.Text.Encoding]::Unicode.GetString($property.Value).TrimEnd([char]0)
            if ($text -eq ($Name + '/' + $State)) { return ConvertTo-Ms -Date $found.TimeCreated }
        }
    }
    $null
}

# When a VM was started (18500) or restored (18596), by its worker's event and GUID (probe:vm-started-event); null where the log does not tell.
function Find-VmStarted {
    param([string]$Id, [long]$SinceMs)
    $filter = @{ LogName = 'Microsoft-Windows-Hyper-V-Worker-Admin'; Id = @(18500, 18596); StartTime = (ConvertFrom-Ms -Ms $SinceMs) }
    foreach ($found in @(Get-Events -Filter $filter)) {
        if (@($found.Properties | Where-Object { ([string]$_.Value).Trim('{}') -eq $Id }).Count -gt 0) { return ConvertTo-Ms -Date $found.TimeCreated }
    }
    $null
}

# When vmms said that it is ready (14094), which is later than running (probe:vmms-ready-event).
function Find-VmmsReady {
    param([long]$SinceMs)
    $filter = @{ LogName = 'Microsoft-Windows-Hyper-V-VMMS-Admin'; Id = 14094; StartTime = (ConvertFrom-Ms -Ms $SinceMs) }
    $found = @(Get-Events -Filter $filter)
    if ($found.Count -eq 0) { return $null }
    ConvertTo-Ms -Date $found[0].TimeCreated
}

# The downtime row of vmms, open or closed, from its own events; null where the log does not tell when it stopped.
function Get-VmmsRow {
    param([bool]$Closed)
    $stopped = Find-ServiceEvent -Name 'vmms' -State 1 -SinceMs ((Get-NowMs) - 86400000)
    if ($null -eq $stopped) { return $null }
    if (-not $Closed) { return New-Downtime -Subject 'vmms' -Id (Get-NodeName) -Cause 'vmms_stopped' -StartMs $stopped -EndMs $null -How 'event 7036' }
    $how = 'events 7036 and 14094'
    $ready = Find-VmmsReady -SinceMs $stopped
    if ($null -eq $ready) {
        $how = 'event 7036'
        $ready = Find-ServiceEvent -Name 'vmms' -State 4 -SinceMs $stopped
    }
    if ($null -eq $ready) { return $null }
    New-Downtime -Subject 'vmms' -Id (Get-NodeName) -Cause 'vmms_stopped' -StartMs $stopped -EndMs $ready -How $how
}

# --- backup products ------------------------------------------------------------------------------------------------------

# Service names (never display names) of backup agents by product (probe:backup-services).
$script:BackupServices = @(
    @{ product = 'Veeam'; services = 'VeeamDeploySvc', 'VeeamDeploymentService', 'VeeamTransportSvc', 'VeeamHvIntegrationSvc', 'VeeamMountSvc', 'VeeamNFSSvc', 'VeeamBackupSvc', 'VeeamEndpointBackupSvc' }
    @{ product = 'Commvault'; services = 'GxCVD(*', 'GxClMgrS(*', 'GxFWD(*', 'GxVssProv(*', 'GxBlr(*' }
    @{ product = 'Veritas NetBackup'; services = 'NetBackup INET Daemon', 'NetBackup Legacy Network Service' }
    @{ product = 'Backup Exec'; services = 'BackupExecAgentAccelerator', 'BackupExecVSSProvider', 'BackupExecAgentBrowser', 'BackupExecRPCService' }
    @{ product = 'Windows Server Backup'; services = 'wbengine', 'VSS' }
    @{ product = 'DPM'; services = 'DPMRA' }
    @{ product = 'Rubrik'; services = 'Rubrik Backup Service' }
    @{ product = 'Cohesity'; services = 'CohesityAgent' }
    @{ product = 'Acronis'; services = 'MMS', 'AcrSch2Svc' }
    @{ product = 'Arcserve'; services = 'CASAD2DWebSvc', 'CASUniversalAgent' }
    @{ product = 'IBM Spectrum Protect'; services = 'dsmcad*', 'TSM*' }
)

function Get-BackupServices {
    foreach ($row in $script:BackupServices) { foreach ($name in $row.services) { @{ product = $row.product; service = $name } } }
}

function Get-BackupServiceNames { foreach ($row in @(Get-BackupServices)) { $row.service } }

# What `vssadmin list writers` prints, as lines. Its output goes through a file of our own: a redirected pipe would be read in the OEM
# code page, and only digits and GUIDs are used.
function Get-WriterLines {
    $file = [System.IO.Path]::GetTempFileName()
    try {
        $null = Start-Process -FilePath ($env:SystemRoot + '\System32\vssadmin.exe') -ArgumentList 'list writers' -Wait:$true -PassThru:$true -WindowStyle Hidden -RedirectStandardOutput $file
        Get-Content -LiteralPath $file
    } finally {
        Remove-Item -LiteralPath $file
    }
}

# Writers out of those lines: words are localised, the GUID and the number in brackets are not (probe:vss-writers).
function ConvertTo-Writers {
    param($Lines)
    $id = $null
    foreach ($line in $Lines) {
        if ($line -match '\{([0-9A-Fa-f-]{36})\}' -and $null -eq $id) { $id = $Matches[1].ToLowerInvariant() }
        elseif ($line -match '\[(\d+)\]' -and $null -ne $id) {
            [ordered]@{ id = $id; state = [int]$Matches[1]; stable = ([int]$Matches[1] -eq 1) }
            $id = $null
        }
    }
}

# Channels whose warnings and errors are counted; one that is absent counts as none (probe:event-channels).
function Get-Channels {
    'Microsoft-Windows-Hyper-V-VMMS-Admin'
    'Microsoft-Windows-Hyper-V-Worker-Admin'
    'Microsoft-Windows-Hyper-V-High-Availability-Admin'
    'Microsoft-Windows-Hyper-V-Hypervisor-Admin'
    'Microsoft-Windows-FailoverClustering/Operational'
    'System'
}

Export-ModuleMember -Function '*'
