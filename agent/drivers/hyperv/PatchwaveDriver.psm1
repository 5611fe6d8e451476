Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# What every action of this driver shares: the request, the answer, errors, and looks at the node that more than one action
# takes. Windows PowerShell 5.1 under LocalSystem (probe:local-system, probe:execution-policy); the wire is ASCII both ways
# (docs/driver.md, O29).
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$script:Request = $null
$script:DeadlineMs = 0
$script:GroupIds = @{}
$script:Witnessing = $false

# Codes of the platform that have a name in the contract. What is not here is told by looking: refused when nothing changed,
# failed otherwise.
$script:Known = @{
    '0x00000422' = @('refused', 'wusa needs the Windows Update service, which is disabled here; use dism')
    '0x80070005' = @('access', 'the agent has to run as LocalSystem; see docs/windows.md, rights')
    '0x80070070' = @('no_space', 'free at least three times the size of the package')
    '0x800705aa' = @('refused', 'not enough memory on the target')
    '0x800706ba' = @('busy', 'the management service does not answer yet')
    '0x80071398' = @('refused', 'not a possible owner, or a volume is not healthy: look at owners and virtual disks')
    '0x80071709' = @('refused', 'a paused node takes no groups')
    '0x80071718' = @('busy', 'the cluster service has not joined yet')
    '0x80071737' = @('refused', 'the target node is not up')
    '0x8007174b' = @('busy', 'the group is locked or moving: a backup or another move runs')
    '0x80240009' = @('busy', 'another servicing operation runs')
    '0x80240017' = @('not_applicable', 'the package is for another product or older than what is installed')
    '0x80240044' = @('access', 'Windows Update refuses remote sessions: the agent''s service has to run it')
    '0x800f0805' = @('not_found', 'the package name is not on this node')
    '0x800f081e' = @('not_applicable', 'the package is for another product or older than what is installed')
    '0x800f0823' = @('failed', 'a newer servicing stack is required first')
    '0x800f0825' = @('not_removable', 'the package is permanent; the way back is a newer fixed update or a rebuilt node')
    '0x800f082f' = @('needs_reboot', 'a pending operation blocks servicing: restart the drained node first')
    '0x800f0830' = @('needs_reboot', 'a pending operation blocks servicing: restart the drained node first')
    '0x800f0838' = @('failed', 'a checkpoint package is missing beside the target')
    '0x80070bc2' = @('needs_reboot', 'a restart is pending')
    '0x80041010' = @('busy', 'the management service does not answer yet')
    '0xc03a0014' = @('refused', 'an image that is attached is not there on the target')
}

# --- JSON ---------------------------------------------------------------------------------------------------------------

function ConvertTo-QuotedText {
    param([string]$Text)
    $plain = $Text.Replace('\', '\\').Replace('"', '\"')
    if ($plain -match '[^\x20-\x7E]') {
        $plain = [regex]::Replace($plain, '[^\x20-\x7E]', { param($m) '\u{0:x4}' -f [int][char]$m.Value })
    }
    '"' + $plain + '"'
}

# ConvertTo-Json of 5.1 cuts at its depth, writes dates as /Date()/ and may wrap arrays into objects. This writes what was
# built and nothing else: an enum, a date or an object of some module in an answer is a mistake of the action and ends it.
function ConvertTo-DriverJson {
    param($Value)
    if ($null -eq $Value) { return 'null' }
    if ($Value -is [string]) { return ConvertTo-QuotedText -Text $Value }
    if ($Value -is [bool]) { if ($Value) { return 'true' } else { return 'false' } }
    if ($Value -is [int] -or $Value -is [long] -or $Value -is [uint32] -or $Value -is [uint64]) { return [string]$Value }
    if ($Value -is [System.Collections.IDictionary]) {
        $members = @(foreach ($key in $Value.Keys) { (ConvertTo-QuotedText -Text $key) + ':' + (ConvertTo-DriverJson -Value $Value[$key]) })
        return '{' + ($members -join ',') + '}'
    }
    if ($Value -is [array]) {
        $items = @(foreach ($item in $Value) { ConvertTo-DriverJson -Value $item })
        return '[' + ($items -join ',') + ']'
    }
    throw ('an answer cannot hold a value of type ' + $Value.GetType().FullName)
}

function Write-DriverProgress {
    param([int]$Percent, [string]$Text)
    [Console]::Error.WriteLine((ConvertTo-DriverJson -Value ([ordered]@{ progress = [ordered]@{ percent = $Percent; text = $Text } })))
}

# --- errors -------------------------------------------------------------------------------------------------------------

# Ends the action without an answer: the effect has begun, its end was not seen, and the witness will decide (no evidence).
function Stop-Unknown {
    param([string]$Message)
    throw @{ patchwave = $true; code = ''; message = $Message; native = $null; hint = $null }
}

# Ends the action with an error of the contract.
function Stop-Driver {
    param([string]$Code, [string]$Message, $Native = $null, $Hint = $null)
    throw @{ patchwave = $true; code = $Code; message = $Message; native = $Native; hint = $Hint }
}

function Format-Native {
    param([int]$Code)
    '0x{0:x8}' -f $Code
}

# The first HRESULT of the chain that says more than "an exception of .NET" (0x8013....).
function Get-NativeCode {
    param($Exception)
    $e = $Exception
    while ($null -ne $e) {
        $text = Format-Native -Code $e.HResult
        if (-not $text.StartsWith('0x8013') -and $e.HResult -ne 0) { return $text }
        $e = $e.InnerException
    }
    $null
}

function Get-DriverError {
    param($Record, [string]$Otherwise = 'failed')
    if ($Record.TargetObject -is [hashtable] -and $Record.TargetObject.ContainsKey('patchwave')) {
        $own = $Record.TargetObject
        return [ordered]@{ code = $own.code; message = $own.message; native = $own.native; hint = $own.hint }
    }
    $native = Get-NativeCode -Exception $Record.Exception
    $code = $Otherwise
    $hint = $null
    if ($null -ne $native -and $script:Known.ContainsKey($native)) {
        $code = $script:Known[$native][0]
        $hint = $script:Known[$native][1]
    }
    [ordered]@{ code = $code; message = $Record.Exception.Message; native = $native; hint = $hint }
}

# Does one thing to the platform. When it fails, -Unchanged looks whether anything happened: that decides refused or failed.
function Invoke-Effect {
    param([scriptblock]$Do, [scriptblock]$Unchanged)
    try {
        & $Do
    } catch {
        $record = $_
        # A command that was called wrongly did nothing, but that is no refusal of the platform.
        if ($record.Exception -is [System.Management.Automation.ParameterBindingException]) { throw }
        $otherwise = 'failed'
        try { if (& $Unchanged) { $otherwise = 'refused' } } catch { $otherwise = 'failed' }
        $e = Get-DriverError -Record $record -Otherwise $otherwise
        if ($e.code -eq 'refused' -and $otherwise -eq 'failed') { $e.code = 'failed' }
        Stop-Driver -Code $e.code -Message $e.message -Native $e.native -Hint $e.hint
    }
}

# --- the request --------------------------------------------------------------------------------------------------------

function Test-Member {
    param($Object, [string]$Name)
    $null -ne $Object -and $null -ne $Object.PSObject.Properties[$Name]
}

# A property that may be absent. The comma keeps an array whole through the assignment: always assign, never wrap in @().
function Get-Value {
    param($Object, [string]$Name, $Otherwise = $null)
    if (Test-Member -Object $Object -Name $Name) { return , $Object.PSObject.Properties[$Name].Value }
    , $Otherwise
}

function Test-Kind {
    param($Value, [string]$Kind)
    switch ($Kind) {
        'text' { return $Value -is [string] -and $Value.Length -gt 0 }
        'number' { return $Value -is [int] -or $Value -is [long] }
        'flag' { return $Value -is [bool] }
        'texts' { return $Value -is [array] -and @($Value | Where-Object { $_ -isnot [string] }).Count -eq 0 }
        'object' { return $Value -is [System.Management.Automation.PSCustomObject] }
    }
    $false
}

# One argument of the request, of the kind it has to be. With -Otherwise it may be absent or null. Lists: wrap in @().
function Get-Argument {
    param([string]$Name, [string]$Kind, $Otherwise, [string[]]$OneOf = @())
    $value = Get-Value -Object $script:Request.args -Name $Name
    if ($null -eq $value -and $PSBoundParameters.ContainsKey('Otherwise')) { return $Otherwise }
    if (-not (Test-Kind -Value $value -Kind $Kind)) { Stop-Driver -Code 'bad_request' -Message ('argument ' + $Name + ' is not a ' + $Kind) }
    if ($OneOf.Count -gt 0 -and $OneOf -cnotcontains $value) { Stop-Driver -Code 'bad_request' -Message ('argument ' + $Name + ' is none of ' + ($OneOf -join ' ')) }
    $value
}

# The package of the request, with the fields that the action needs of it: pairs of name and kind.
function Get-PackageArgument {
    param($Fields)
    $package = Get-Argument -Name 'package' -Kind 'object'
    foreach ($field in $Fields) {
        if (-not (Test-Kind -Value (Get-Value -Object $package -Name $field[0]) -Kind $field[1])) { Stop-Driver -Code 'bad_request' -Message ('package has no ' + $field[0]) }
    }
    $package
}

function Get-VmArgument {
    $id = Get-Argument -Name 'vm' -Kind 'text'
    if ($id -notmatch '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$') { Stop-Driver -Code 'bad_request' -Message 'argument vm is not a GUID' }
    $id
}

function Get-NodeName { $script:Request.node }

# For the probe, which has no request.
function Set-DriverNode {
    param([string]$Name)
    $script:Request = @{ node = $Name }
}

function Read-Request {
    param([string]$Text, [string]$Action, [bool]$CanWitness)
    try { $request = ConvertFrom-Json -InputObject $Text } catch { Stop-Driver -Code 'bad_request' -Message 'the request is not JSON' }
    foreach ($field in @(@('contract', 'number'), @('action', 'text'), @('mode', 'text'), @('node', 'text'), @('limit_ms', 'number'), @('args', 'object'))) {
        if (-not (Test-Kind -Value (Get-Value -Object $request -Name $field[0]) -Kind $field[1])) {
            Stop-Driver -Code 'bad_request' -Message ('the request has no ' + $field[0])
        }
    }
    if ($request.contract -ne 1) { Stop-Driver -Code 'bad_request' -Message 'this driver speaks contract 1' }
    if ($request.action -cne $Action) { Stop-Driver -Code 'unsupported' -Message ('this is the action ' + $Action) }
    if (@('run', 'witness') -cnotcontains $request.mode) { Stop-Driver -Code 'bad_request' -Message 'mode is run or witness' }
    if ($request.mode -eq 'witness' -and -not $CanWitness) { Stop-Driver -Code 'bad_request' -Message ($Action + ' has no witness') }
    if ($request.limit_ms -le 0) { Stop-Driver -Code 'bad_request' -Message 'limit_ms is not positive' }
    $script:Request = $request
    $script:GroupIds = @{}
    $script:DeadlineMs = (Get-NowMs) + $request.limit_ms
}

# One request: runs the block of its mode; the answer as text.
function Invoke-Request {
    param([string]$Text, [string]$Action, [scriptblock]$Run, $Witness)
    $script:Witnessing = $false
    try {
        Read-Request -Text $Text -Action $Action -CanWitness ($null -ne $Witness)
        $block = $Run
        $script:Witnessing = $script:Request.mode -eq 'witness'
        if ($script:Witnessing) { $block = $Witness }
        $answer = @(& $block)
        if ($answer.Count -ne 1 -or $answer[0] -isnot [System.Collections.IDictionary]) { throw ($Action + ' answered ' + $answer.Count + ' objects') }
        $text = ConvertTo-DriverJson -Value $answer[0]
    } catch {
        $e = Get-DriverError -Record $_
        $text = ''
        if ($e.code -ne '') { $text = ConvertTo-DriverJson -Value ([ordered]@{ error = $e }) }
        # A look that failed decides nothing.
        if ($script:Witnessing -and $e.code -ne 'bad_request') { $text = ConvertTo-DriverJson -Value (New-Witness -Word 'cannot_tell' -Evidence $e) }
        [Console]::Error.WriteLine((ConvertTo-QuotedText -Text ([string]$_.FullyQualifiedErrorId)))
        if ($null -ne $_.ScriptStackTrace) { [Console]::Error.WriteLine((ConvertTo-QuotedText -Text $_.ScriptStackTrace)) }
    }
    $text
}

# The one door of every action: reads the request, writes one object, never leaves with a code. With -Resident (the action's `resident` in driver.json)
# it answers line by line until its input ends.
function Invoke-DriverAction {
    param([string]$Action, [scriptblock]$Run, $Witness = $null, [bool]$Resident = $false)
    # Under a locked-down language no .NET call works, so this is told before the first one (probe:language-mode).
    if ([string]$ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
        return '{"error":{"code":"access","message":"PowerShell runs in a constrained language mode","native":null,"hint":"allow the driver folder in the application control policy"}}'
    }
    if (-not $Resident) {
        [Console]::Out.Write((Invoke-Request -Text ([Console]::In.ReadToEnd()) -Action $Action -Run $Run -Witness $Witness)) # probe:stdin-file
        return
    }
    $line = [string][Console]::In.ReadLine() # probe:stdin-file
    while ($null -ne $line) {
        [Console]::Out.Write((Invoke-Request -Text $line -Action $Action -Run $Run -Witness $Witness) + "`n")
        $line = [Console]::In.ReadLine()
    }
}

function New-Result {
    param($Result, $Downtime = $null)
    if ($null -eq $Downtime) { return [ordered]@{ result = $Result } }
    [ordered]@{ result = $Result; downtime = @($Downtime) }
}

# With -Done: done or not_done. Otherwise the word itself.
function New-Witness {
    param($Done = $null, [string]$Word = '', $Evidence = $null, $Downtime = $null)
    if ($Word -eq '') { if ($Done) { $Word = 'done' } else { $Word = 'not_done' } }
    $answer = [ordered]@{ witness = $Word; evidence = $Evidence }
    if ($null -ne $Downtime) { $answer.downtime = @($Downtime) }
    $answer
}

function New-Downtime {
    param([string]$Subject, [string]$Id, [string]$Cause, [long]$StartMs, $EndMs, [string]$How)
    [ordered]@{ subject = $Subject; id = $Id; cause = $Cause; start_ms = $StartMs; end_ms = $EndMs; how = $How }
}

# --- time ---------------------------------------------------------------------------------------------------------------

$script:Epoch = New-Object -TypeName DateTime -ArgumentList 1970, 1, 1, 0, 0, 0, 1

# A date in digits: the calendar of the node's own language may count other years.
function Format-Date {
    param([DateTime]$Date, [string]$Form)
    $Date.ToString($Form, [System.Globalization.CultureInfo]::InvariantCulture)
}

function ConvertTo-Ms {
    param($Date)
    if ($null -eq $Date) { return $null }
    [long][Math]::Floor(($Date.ToUniversalTime() - $script:Epoch).TotalMilliseconds)
}

function ConvertFrom-Ms {
    param([long]$Ms)
    $script:Epoch.AddMilliseconds($Ms).ToLocalTime()
}

function Get-LeftMs { $script:DeadlineMs - (Get-NowMs) }

function Get-NowMs { ConvertTo-Ms -Date (Get-Date) }

# Waits until -Until is true; false when the request's limit is near. Never sleeps past the limit, less what -LeaveMs keeps for later.
function Wait-Until {
    param([scriptblock]$Until, [int]$StepMs = 1000, [int]$LeaveMs = 0)
    while ($true) {
        if (& $Until) { return $true }
        if ((Get-NowMs) + $StepMs + $LeaveMs -ge $script:DeadlineMs) { return $false }
        Start-Sleep -Milliseconds $StepMs
    }
}

# --- names and numbers ----------------------------------------------------------------------------------------------------

# A word of the contract for a number of Windows; -Otherwise for one that it does not know.
$script:Words = @{
    node = @{ 0 = 'up'; 1 = 'down'; 2 = 'paused'; 3 = 'joining' }
    drain = @{ 0 = 'not_initiated'; 1 = 'in_progress'; 2 = 'completed'; 3 = 'failed' }
    vm = @{ 2 = 'running'; 3 = 'off'; 4 = 'stopping'; 6 = 'saved'; 9 = 'paused'; 10 = 'starting'; 32773 = 'saving'; 32779 = 'saved'; 32780 = 'saving' }
    vm_status = @{
        32768 = 'checkpoint'; 23769 = 'checkpoint'; 32770 = 'merge'; 32772 = 'merge'; 32773 = 'export'; 32774 = 'migration'; 32776 = 'backup'
        32778 = 'migration'; 32779 = 'migration'; 32780 = 'migration'
    }
    heartbeat = @{ 0 = 'unknown'; 1 = 'disabled'; 2 = 'no_contact'; 3 = 'error'; 4 = 'lost'; 5 = 'ok'; 6 = 'ok'; 7 = 'error'; 8 = 'paused' }
    stop_action = @{ 2 = 'turn_off'; 3 = 'save'; 4 = 'shut_down' }
    start_action = @{ 2 = 'nothing'; 3 = 'start_if_running'; 4 = 'start' }
    group_type = @{ 111 = 'vm'; 1 = 'cluster'; 2 = 'available_storage'; 5 = 'pool'; 122 = 'file_server'; 100 = 'file_server'; 117 = 'cau' }
    group = @{ 0 = 'online'; 1 = 'offline'; 2 = 'failed'; 3 = 'partial'; 4 = 'pending' }
    resource = @{ 0 = 'online'; 1 = 'pending'; 2 = 'online'; 3 = 'offline'; 4 = 'failed'; 128 = 'pending'; 129 = 'pending'; 130 = 'pending' }
    csv = @{ 0 = 'unavailable'; 1 = 'paused'; 2 = 'direct'; 3 = 'redirected'; 4 = 'redirected' }
    interface = @{ 0 = 'unavailable'; 1 = 'failed'; 2 = 'unreachable'; 3 = 'up' }
    service = @{ 1 = 'stopped'; 2 = 'starting'; 3 = 'stopping'; 4 = 'running'; 5 = 'starting'; 6 = 'pausing'; 7 = 'paused' }
    start_type = @{ 0 = 'boot'; 1 = 'system'; 2 = 'automatic'; 3 = 'manual'; 4 = 'disabled' }
    package = @{ 112 = 'installed'; 96 = 'install_pending'; 80 = 'superseded'; 5 = 'uninstall_pending' }
}

# Group and resource states are numbered differently (Online is 0 there and 2 here), so each kind has its own list.
function Get-Word {
    param($Number, [string]$Of, $Otherwise = 'unknown')
    if ($null -eq $Number) { return $null }
    $key = [int]$Number
    if ($script:Words[$Of].ContainsKey($key)) { return $script:Words[$Of][$key] }
    $Otherwise
}

function Get-MiB {
    param([long]$Bytes)
    [long][Math]::Floor($Bytes / 1048576)
}

# --- looks at the node --------------------------------------------------------------------------------------------------

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

# --- servicing ----------------------------------------------------------------------------------------------------------

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

# --- packages on disk -----------------------------------------------------------------------------------------------------

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

# --- checkpoints and writers --------------------------------------------------------------------------------------------

# Our checkpoints of a VM, by the name that checkpoint and park_vm give them.
function Get-OurCheckpoints {
    param($Vm)
    @(Get-VMSnapshot -VM $Vm | Where-Object { $_.Name -eq 'patchwave' })
}

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

# --- programs and events ------------------------------------------------------------------------------------------------

# Runs a program of System32 to its end and returns its exit code; the argument list is one line because Start-Process joins
# without quoting.
function Invoke-Program {
    param([string]$Name, [string]$Line)
    $process = Start-Process -FilePath ($env:SystemRoot + '\System32\' + $Name) -ArgumentList $Line -Wait:$true -PassThru:$true -WindowStyle Hidden
    [int]$process.ExitCode
}

# Exit codes of dism and wusa by class. What is not here is an HRESULT and looked up, or simply failed (probe:servicing-exits).
$script:ExitClasses = @{ 0 = 'done'; 3010 = 'done'; 1641 = 'done'; 2359301 = 'done'; 2359302 = 'already'; 2359303 = 'absent'; 5 = 'access'; 1618 = 'busy'; 112 = 'no_space' }

function Get-ExitClass {
    param([int]$Exit)
    if ($script:ExitClasses.ContainsKey($Exit)) { return $script:ExitClasses[$Exit] }
    $native = Format-Native -Code $Exit
    if ($script:Known.ContainsKey($native)) { return $script:Known[$native][0] }
    'failed'
}

# Ends the action when what it was to do is not there; an exit code that says "done" changes nothing about that.
function Stop-ForExit {
    param([string]$Program, [int]$Exit)
    $native = Format-Native -Code $Exit
    $hint = $null
    if ($script:Known.ContainsKey($native)) { $hint = $script:Known[$native][1] }
    $code = Get-ExitClass -Exit $Exit
    if ($code -eq 'absent') { $code = 'not_found' }
    $message = $Program + ' ended with ' + $Exit
    if ($code -eq 'done' -or $code -eq 'already') { $code = 'failed'; $message += ', but the package is as before' }
    Stop-Driver -Code $code -Message $message -Native $native -Hint $hint
}

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

Export-ModuleMember -Function '*'
