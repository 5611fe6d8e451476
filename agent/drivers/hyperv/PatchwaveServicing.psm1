Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# What is installed on the node and waits for a restart, what the folder of a package may hold, and the programs that change it.
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1"

# --- the store ------------------------------------------------------------------------------------------------------------

$script:CbsKey = 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing'

function Get-Build {
    $key = Get-ItemProperty -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion'
    [ordered]@{ build = [int]$key.CurrentBuildNumber; ubr = [int]$key.UBR; caption = [string]$key.ProductName }
}

# Cumulative updates by the servicing registry: their names carry build.UBR, never the KB number (probe:cbs-states).
function Get-Rollups {
    foreach ($name in @(Get-ChildItem -Path ($script:CbsKey + '\Packages\Package_for_RollupFix~*') -Name)) {
        if ($name -notmatch '~~(\d+)\.(\d+)\.\d+\.\d+$') { continue }
        $build = [int]$Matches[1]
        $ubr = [int]$Matches[2]
        $state = [int](Get-ItemProperty -LiteralPath ($script:CbsKey + '\Packages\' + $name) -Name 'CurrentState').CurrentState
        [ordered]@{ identity = $name; build = $build; ubr = $ubr; state = (Get-Word -Number $state -Of 'package' -Otherwise ('other ' + $state)) }
    }
}

function Find-Rollup {
    param([int]$Build, [int]$Ubr)
    @(Get-Rollups | Where-Object { $_.build -eq $Build -and $_.ubr -eq $Ubr }) | Select-Object -First 1
}

# The newest rollup below the given one that is installed or superseded: what a removal would fall back to (O14).
function Find-Predecessor {
    param([int]$Build, [int]$Ubr)
    $older = @(Get-Rollups | Where-Object { $_.build -eq $Build -and $_.ubr -lt $Ubr -and @('installed', 'superseded', 'uninstall_pending') -contains $_.state })
    if ($older.Count -eq 0) { return $null }
    ($older | Sort-Object -Property { $_.ubr } -Descending | Select-Object -First 1)
}

# Marks of a pending restart by name (probe:pending-marks). Those of the servicing stack block an installation; renames alone mean
# nothing (any installer leaves them) and are only reported.
function Get-PendingMarks {
    if (Test-Path -LiteralPath ($script:CbsKey + '\RebootPending')) { 'RebootPending' }
    if (Test-Path -LiteralPath ($script:CbsKey + '\PackagesPending')) { 'PackagesPending' }
    if (Test-Path -LiteralPath ($script:CbsKey + '\RebootInProgress')) { 'RebootInProgress' }
    if (Test-Path -LiteralPath ($env:SystemRoot + '\WinSxS\pending.xml')) { 'pending.xml' }
    if (Test-Path -LiteralPath 'HKLM:\SOFTWARE\Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired') { 'RebootRequired' }
    $session = Get-ItemProperty -LiteralPath 'HKLM:\SYSTEM\CurrentControlSet\Control\Session Manager'
    $renames = Get-Value -Object $session -Name 'PendingFileRenameOperations' -Otherwise @()
    if (@($renames).Count -gt 0) { 'PendingFileRenameOperations' }
    $cache = 'HKLM:\SOFTWARE\Microsoft\ServerManager\ServicingStorage\ServerComponentCache'
    if ((Test-Path -LiteralPath $cache) -and [int](Get-Value -Object (Get-ItemProperty -LiteralPath $cache) -Name 'RestartRequired' -Otherwise 0) -ne 0) { 'ServerManagerRestart' }
    $names = 'HKLM:\SYSTEM\CurrentControlSet\Control\ComputerName\'
    $active = Get-ItemProperty -LiteralPath ($names + 'ActiveComputerName')
    if ($active.ComputerName -ne (Get-ItemProperty -LiteralPath ($names + 'ComputerName')).ComputerName) { 'ComputerRename' }
}

# The day of an entry of Get-HotFix, as text. Its type reads it when it is asked for, and throws or says nothing under some cultures (O13).
function Get-HotFixDate {
    param($Fix)
    try { $date = $Fix.InstalledOn } catch { return $null }
    if ($date -isnot [DateTime]) { return $null }
    Format-Date -Date $date -Form 'yyyy-MM-dd'
}

function Test-Blocking {
    param([string[]]$Marks)
    @($Marks | Where-Object { @('RebootPending', 'PackagesPending', 'RebootInProgress', 'pending.xml') -contains $_ }).Count -gt 0
}

# Whether servicing waits for a restart: what ends a verification. The other marks are for those who plan (O11).
function Test-Pending {
    param([string[]]$Marks)
    (Test-Blocking -Marks $Marks) -or $Marks -contains 'RebootRequired'
}

# Whether nothing services the node now: no worker of the servicing stack and none of its programs (probe:servicing-processes).
function Test-ServicingIdle {
    @(Get-CimInstance -ClassName Win32_Process -Filter "Name='TiWorker.exe' OR Name='DismHost.exe' OR Name='Dism.exe' OR Name='wusa.exe'").Count -eq 0
}

# LastBootUpTime moves when the clock is set; the creation time of the session manager does not and is new with each boot (probe:boot-id-smss).
function Get-BootId {
    $first = Get-CimInstance -ClassName Win32_Process -Filter "Name='smss.exe'" | Sort-Object -Property { $_.CreationDate } | Select-Object -First 1
    'smss-' + (Format-Date -Date $first.CreationDate.ToUniversalTime() -Form 'yyyyMMddTHHmmssfff')
}

function Get-BootMs {
    ConvertTo-Ms -Date (Get-CimInstance -ClassName Win32_OperatingSystem).LastBootUpTime
}

# --- packages on disk -----------------------------------------------------------------------------------------------------

# A file name that the agent's store takes (package_name_ok), and no other.
function Test-PackageName {
    param([string]$Name)
    $Name.Length -lt 160 -and $Name -cmatch '^[A-Za-z0-9_+()~-][A-Za-z0-9._+()~-]*\z'
}

$script:LockedSddl = 'O:SYG:SYD:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)'

# Whether only SYSTEM and the administrators have any right on the folder: every rule names one of them, and so does the owner
# (probe:acl-form).
function Test-LockedFolder {
    param([string]$Path)
    $sddl = [string](Get-Acl -LiteralPath $Path).Sddl
    $rules = @([regex]::Matches($sddl, '\(([^)]*)\)') | ForEach-Object { $_.Groups[1].Value.Split(';') | Select-Object -Last 1 })
    $others = @($rules | Where-Object { @('SY', 'BA', 'S-1-5-18', 'S-1-5-32-544') -notcontains $_ })
    $sddl -match '^O:(SY|BA)' -and $rules.Count -gt 0 -and $others.Count -eq 0
}

# Rights are set before anything is put in. An existing folder with foreign rights gets the right ones, and is looked at again.
function New-LockedFolder {
    param([string]$Path)
    if (-not (Test-Path -LiteralPath $Path -PathType Container)) { $null = New-Item -Path $Path -ItemType Directory }
    if (Test-LockedFolder -Path $Path) { return }
    $acl = Get-Acl -LiteralPath $Path
    $acl.SetSecurityDescriptorSddlForm($script:LockedSddl)
    Set-Acl -LiteralPath $Path -AclObject $acl
    if (-not (Test-LockedFolder -Path $Path)) { Stop-Driver -Code 'access' -Message 'the folder for packages cannot be closed to others' }
}

# --- programs ----------------------------------------------------------------------------------------------------------

# Runs a program of System32 to its end and returns its exit code; the argument list is one line because Start-Process joins
# without quoting.
function Invoke-Program {
    param([string]$Name, [string]$Line)
    $process = Start-Process -FilePath ($env:SystemRoot + '\System32\' + $Name) -ArgumentList $Line -Wait:$true -PassThru:$true -WindowStyle Hidden
    [int]$process.ExitCode
}

# Exit codes of dism and wusa by class. What is not here is an HRESULT and looked up, or simply failed (probe:servicing-exits).
$script:ExitClasses = @{ 0 = 'done'; 3010 = 'done'; 1641 = 'done'; 2359301 = 'done'; 2359302 = 'already'; 2359303 = 'absent' }

function Get-ExitClass {
    param([int]$Exit)
    if ($script:ExitClasses.ContainsKey($Exit)) { return $script:ExitClasses[$Exit] }
    $known = Find-KnownCode -Native (Format-Native -Code $Exit)
    if ($null -ne $known) { return $known.code }
    'failed'
}

# Ends the action when what it was to do is not there; an exit code that says "done" changes nothing about that.
function Stop-ForExit {
    param([string]$Program, [int]$Exit)
    $native = Format-Native -Code $Exit
    $hint = $null
    $known = Find-KnownCode -Native $native
    if ($null -ne $known) { $hint = $known.hint }
    $code = Get-ExitClass -Exit $Exit
    if ($code -eq 'absent') { $code = 'not_found' }
    $message = $Program + ' ended with ' + $Exit
    if ($code -eq 'done' -or $code -eq 'already') { $code = 'failed'; $message += ', but the package is as before' }
    Stop-Driver -Code $code -Message $message -Native $native -Hint $hint
}

Export-ModuleMember -Function '*'
