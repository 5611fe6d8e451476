# Setting up @NODE@ for patchwave (Windows Server 2025). Once per node, in an elevated Windows PowerShell, as an administrator.
# The folder that this script lies in holds patchwave-agent.exe and drivers\hyperv (the driver's whole folder).
# It may be repeated. None of this was tried on a real node yet: step 7 looks at what is relied upon, and so does `patchwave-agent probe`.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$program = 'C:\Program Files\patchwave'
$agent = 'C:\Program Files\patchwave\patchwave-agent.exe'
$data = Join-Path -Path $env:ProgramData -ChildPath 'patchwave'
$ssh = Join-Path -Path $env:ProgramData -ChildPath 'ssh'
$openssh = Join-Path -Path $env:SystemRoot -ChildPath 'System32\OpenSSH'

'1  the agent and its driver (only SYSTEM and administrators may write below Program Files)'
if (Get-Service -Name 'patchwave-agent' -ErrorAction SilentlyContinue) {
    $open = @(& $agent journal --open --config (Join-Path -Path $data -ChildPath 'agent.json'))
    if ($open.Count -gt 0) { throw ('the agent that is there has open operations; it ends them first: ' + ($open -join '; ')) }
    Stop-Service -Name 'patchwave-agent'
}
$null = New-Item -ItemType Directory -Force -Path $program, $data
Copy-Item -Force -Path (Join-Path -Path $PSScriptRoot -ChildPath 'patchwave-agent.exe') -Destination $program
Copy-Item -Recurse -Force -Path (Join-Path -Path $PSScriptRoot -ChildPath 'drivers') -Destination $program

'2  a dedicated account, no administrator (O27), in a group of its own'
$groups = @{ 'patchwave-access' = 'may reach the pipe of patchwave-agent' }
foreach ($name in $groups.Keys) {
    if (-not (Get-LocalGroup -Name $name -ErrorAction SilentlyContinue)) { $null = New-LocalGroup -Name $name -Description $groups[$name] }
}
if (-not (Get-LocalUser -Name '@USER@' -ErrorAction SilentlyContinue)) {
    $password = ConvertTo-SecureString -String ([guid]::NewGuid().ToString('N') + 'aA1!') -AsPlainText -Force # nobody needs it
    $null = New-LocalUser -Name '@USER@' -Password $password -AccountNeverExpires -PasswordNeverExpires -UserMayNotChangePassword
}
foreach ($name in 'patchwave-access', 'OpenSSH Users') {
    $members = @(Get-LocalGroupMember -Group $name -ErrorAction SilentlyContinue | ForEach-Object { $_.SID.Value })
    if ($members -notcontains (Get-LocalUser -Name '@USER@').SID.Value) { Add-LocalGroupMember -Group $name -Member '@USER@' }
}

'3  the configuration of the agent: state and pipe are opened to the group by its SID'
$sid = (Get-LocalGroup -Name 'patchwave-access').SID.Value
$driver = (Join-Path -Path $program -ChildPath 'drivers\hyperv').Replace('\', '\\')
$state = (Join-Path -Path $data -ChildPath 'state').Replace('\', '\\')
$text = '{"node":"@NODE@","state_dir":"' + $state + '","socket":"\\\\.\\pipe\\patchwave-agent","socket_group":"' + $sid + '","driver":"' + $driver + '"}'
[IO.File]::WriteAllText((Join-Path -Path $data -ChildPath 'agent.json'), $text) # UTF-8 without BOM

'4  the service: LocalSystem, automatic start, no dependency on the cluster service or vmms (O28)'
if (-not (Get-Service -Name 'patchwave-agent' -ErrorAction SilentlyContinue)) { & $agent install --config (Join-Path -Path $data -ChildPath 'agent.json') }
Start-Service -Name 'patchwave-agent'

'5  the key, in a file of its own outside the profile (a file that others may write is silently not used)'
$keys = Join-Path -Path $ssh -ChildPath 'patchwave_authorized_keys'
[IO.File]::WriteAllText($keys, "restrict @KEY@`n")
icacls.exe $keys /inheritance:r /grant '*S-1-5-32-544:F' '*S-1-5-18:F'

'6  sshd: one program and nothing else for this account, above "Match Group administrators"; its start; its firewall rule'
$config = Join-Path -Path $ssh -ChildPath 'sshd_config'
$before = [IO.File]::ReadAllText($config)
$block = @'
# patchwave: begin
Match User @USER@
    AuthorizedKeysFile __PROGRAMDATA__/ssh/patchwave_authorized_keys
    ForceCommand "C:\Program Files\patchwave\patchwave-agent.exe" ssh
    PermitTTY no
    AllowTcpForwarding no
# patchwave: end

'@
$rest = [regex]::Replace($before, '(?ms)^# patchwave: begin.*?^# patchwave: end\r?\n(\r?\n)?', '')
$at = [regex]::Match($rest, '(?im)^\s*Match\s')
if ($at.Success) { $after = $rest.Substring(0, $at.Index) + $block + $rest.Substring($at.Index) } else { $after = $rest.TrimEnd() + "`r`n" + $block }
if ($after -ne $before) {
    [IO.File]::WriteAllText($config + '.before-patchwave', $before)
    [IO.File]::WriteAllText($config, $after)
}
& (Join-Path -Path $openssh -ChildPath 'sshd.exe') -t
if ($LASTEXITCODE -ne 0) {
    [IO.File]::WriteAllText($config, $before)
    throw 'sshd does not accept the configuration: it is as it was before'
}
Set-Service -Name 'sshd' -StartupType Automatic
Set-NetFirewallRule -Name 'OpenSSH-Server-In-TCP' -Enabled True -Profile Domain, Private

'7  looks (O27, O28): nothing is changed any more'
$script:bad = 0
function Show-Look {
    param([string]$Title, [scriptblock]$Look)
    $answer = $false
    try { $answer = [bool](& $Look) } catch { $Title += ' (' + $_.Exception.Message + ')' }
    if ($answer) { 'ok    ' + $Title } else { 'NOT   ' + $Title; $script:bad++ }
}

# (probe:user-rights) Everybody whom a right may name and mean this account: itself, its groups, and the kinds of log-on it falls under.
$identities = @((Get-LocalUser -Name '@USER@').SID.Value, '@USER@', $sid, 'S-1-1-0', 'S-1-5-2', 'S-1-5-11', 'S-1-5-113', 'S-1-5-32-545')
$identities += @(Get-LocalGroup | Where-Object { @(Get-LocalGroupMember -Group $_ -ErrorAction SilentlyContinue | ForEach-Object { $_.SID.Value }) -contains $identities[0] } | ForEach-Object { $_.SID.Value; $_.Name })
$rights = Join-Path -Path $data -ChildPath 'rights.inf'
secedit.exe /export /areas USER_RIGHTS /cfg $rights /quiet
$rightLines = @(Get-Content -LiteralPath $rights)
Remove-Item -LiteralPath $rights
function Test-Right {
    param([string]$Name)
    foreach ($line in $rightLines) {
        if ($line -match ('^\s*' + $Name + '\s*=\s*(.*)$')) {
            return @($Matches[1].Split(',') | ForEach-Object { $_.Trim().TrimStart('*') } | Where-Object { $identities -contains $_ }).Count -gt 0
        }
    }
    $false
}
$effective = @(& (Join-Path -Path $openssh -ChildPath 'sshd.exe') -T -C ('user=@USER@,host=localhost,addr=127.0.0.1'))
# A list that is there has to hold a name of ours (Allow), or none (Deny). Names in sshd_config are written in lower case.
function Test-SshList {
    param([string]$Keyword, [string[]]$Names)
    $entries = @($effective | Where-Object { $_ -match ('^' + $Keyword + ' ') } | ForEach-Object { $_.Substring($Keyword.Length + 1).Trim('"') })
    @{ There = $entries.Count -gt 0; Ours = @($entries | Where-Object { $Names -contains $_ }).Count -gt 0 }
}
$groupNames = @('patchwave-access', 'openssh users')
Show-Look -Title 'the account may log on over the network (SeNetworkLogonRight)' -Look { Test-Right -Name 'SeNetworkLogonRight' }
Show-Look -Title 'nothing denies it (SeDenyNetworkLogonRight)' -Look { -not (Test-Right -Name 'SeDenyNetworkLogonRight') }
Show-Look -Title 'AllowGroups and AllowUsers of sshd let it in' -Look {
    $g = Test-SshList -Keyword 'allowgroups' -Names $groupNames
    $u = Test-SshList -Keyword 'allowusers' -Names '@USER@'
    (-not $g.There -or $g.Ours) -and (-not $u.There -or $u.Ours)
}
Show-Look -Title 'DenyGroups and DenyUsers of sshd do not name it' -Look {
    -not (Test-SshList -Keyword 'denygroups' -Names $groupNames).Ours -and -not (Test-SshList -Keyword 'denyusers' -Names '@USER@').Ours
}
Show-Look -Title 'sshd runs one program for it' -Look { @($effective | Where-Object { $_ -match '^forcecommand .*patchwave-agent\.exe"? ssh$' }).Count -eq 1 }
Show-Look -Title 'sshd reads its own key file for it' -Look { @($effective | Where-Object { $_ -match '^authorizedkeysfile .*patchwave_authorized_keys$' }).Count -eq 1 }
Show-Look -Title 'only SYSTEM and administrators may write the key file' -Look { @((Get-Acl -LiteralPath $keys).Access | Where-Object { @('S-1-5-18', 'S-1-5-32-544') -notcontains $_.IdentityReference.Translate([Security.Principal.SecurityIdentifier]).Value }).Count -eq 0 }
Show-Look -Title 'it is no administrator' -Look { @(Get-LocalGroupMember -Group (Get-LocalGroup -SID 'S-1-5-32-544') | ForEach-Object { $_.SID.Value }) -notcontains $identities[0] }
# ForceCommand is quoted for it (probe:ssh-default-shell).
Show-Look -Title 'the shell of sshd is the one it ships with (cmd.exe)' -Look {
    $shell = Get-ItemProperty -Path 'HKLM:\SOFTWARE\OpenSSH' -ErrorAction SilentlyContinue
    $null -eq $shell -or $null -eq $shell.PSObject.Properties['DefaultShell'] -or $shell.DefaultShell -match '\\cmd\.exe$'
}
Show-Look -Title 'sshd starts with the machine' -Look { [int](Get-Service -Name 'sshd').StartType -eq 2 }
Show-Look -Title 'the firewall rule covers the profiles of all networks' -Look {
    $rule = Get-NetFirewallRule -Name 'OpenSSH-Server-In-TCP'
    $covered = [string]$rule.Profile
    $open = @(Get-NetConnectionProfile | ForEach-Object { ([string]$_.NetworkCategory).Replace('DomainAuthenticated', 'Domain') } | Where-Object { $covered -notmatch ($_ + '|Any') })
    [string]$rule.Enabled -eq 'True' -and $open.Count -eq 0
}
Show-Look -Title 'the agent runs, and starts with the machine' -Look { $s = Get-Service -Name 'patchwave-agent'; [int]$s.Status -eq 4 -and [int]$s.StartType -eq 2 }

'8  compare this fingerprint with what `patchwave enroll @NODE@` shows on the controller'
& (Join-Path -Path $openssh -ChildPath 'ssh-keygen.exe') -lf (Join-Path -Path $ssh -ChildPath 'ssh_host_ed25519_key.pub')
'Then, on the node: patchwave-agent probe --json, and send the report home.'
if ($script:bad -eq 0) { 'patchwave-setup: complete' } else { 'patchwave-setup: ' + $script:bad + ' looks failed' }
# sshd reads its configuration when it starts. Last, because the connection of who does this over SSH may end with it.
Restart-Service -Name 'sshd'
