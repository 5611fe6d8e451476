Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
# JSON in and out, for every action of this driver: the request, the answer, errors, time, the contract's words. Windows PowerShell 5.1
# under LocalSystem (probe:local-system, probe:execution-policy); the wire is ASCII both ways (docs/driver.md, O29).
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue'
$script:Request = $null
$script:DeadlineMs = 0
$script:Requests = 0
$script:Witnessing = $false

# Codes of the platform that have a name in the contract. What is not here is told by looking: refused when nothing changed,
# failed otherwise.
$script:Known = @{
    '0x00000002' = @('not_found', 'the package, or its folder, is gone')
    '0x00000003' = @('not_found', 'the package, or its folder, is gone')
    '0x00000005' = @('access', 'the agent has to run as LocalSystem; see docs/windows.md, rights')
    '0x00000070' = @('no_space', 'free at least three times the size of the package')
    '0x000000a1' = @('failed', 'wusa cannot open a package beside others or on a share; use dism')
    '0x000004a7' = @('refused', 'Windows holds users for logged on and did not restart, though it was forced to: log them off, then try again')
    '0x00000652' = @('busy', 'another installation runs; try again when it has ended')
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
    '0x800f081f' = @('failed', 'the component store lacks files: DISM /Online /Cleanup-Image /RestoreHealth')
    '0x800f0823' = @('failed', 'a newer servicing stack is required first')
    '0x800f0825' = @('not_removable', 'the package is permanent; the way back is a newer fixed update or a rebuilt node')
    '0x800f082f' = @('needs_reboot', 'a pending operation blocks servicing: restart the drained node first')
    '0x800f0830' = @('needs_reboot', 'a pending operation blocks servicing: restart the drained node first')
    '0x800f0831' = @('failed', 'what the package builds on is not there: DISM /Online /Cleanup-Image /RestoreHealth, or install that first')
    '0x800f0838' = @('failed', 'a checkpoint package is missing beside the target')
    '0x800f0922' = @('failed', 'installing failed late: CBS.log below C:\Windows\Logs\CBS says where')
    '0x800f0984' = @('failed', 'the component store is not what the package expects: DISM /Online /Cleanup-Image /RestoreHealth')
    '0x80073712' = @('failed', 'the component store is damaged: DISM /Online /Cleanup-Image /RestoreHealth')
    '0x80070bc2' = @('needs_reboot', 'a restart is pending')
    '0x00240003' = @('failed', 'completed with errors: the Setup log and CBS.log say which')
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

# What the contract calls a code of the platform, and what helps; null for one that has no name there.
function Find-KnownCode {
    param($Native)
    if ($null -eq $Native -or -not $script:Known.ContainsKey($Native)) { return $null }
    @{ code = $script:Known[$Native][0]; hint = $script:Known[$Native][1] }
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
    $known = Find-KnownCode -Native $native
    if ($null -ne $known) {
        $code = $known.code
        $hint = $known.hint
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

# Which request of this process it is: what is kept for one holds for no other.
function Get-RequestNumber { $script:Requests }

# For the probe, which has no request.
function Set-DriverNode {
    param([string]$Name)
    $script:Request = @{ node = $Name }
    $script:Requests = $script:Requests + 1
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
    $script:Requests = $script:Requests + 1
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
# it answers line by line until its input ends; a request's number stands before its answer.
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
        $request = $line -replace '^[0-9]+ ', ''
        $number = $line.Substring(0, $line.Length - $request.Length)
        [Console]::Out.Write($number + (Invoke-Request -Text $request -Action $Action -Run $Run -Witness $Witness) + "`n")
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

Export-ModuleMember -Function '*'
