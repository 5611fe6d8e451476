# Setting up @NODE@ for patchwave (Windows Server 2025). Once per node, in an elevated Windows PowerShell, as an administrator.
# The folder that this script lies in holds patchwave-agent.exe and drivers\hyperv (the driver's whole folder).
# It may be repeated. None of this was tried on a real node yet: step 8 looks at what is relied upon, and so does `patchwave-agent probe`.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'
$WarningPreference = 'SilentlyContinue' # "waiting for service ..."
$program = 'C:\Program Files\patchwave'
$agent = 'C:\Program Files\patchwave\patchwave-agent.exe'
$data = Join-Path -Path $env:ProgramData -ChildPath 'patchwave'
$ssh = Join-Path -Path $env:ProgramData -ChildPath 'ssh'
$openssh = Join-Path -Path $env:SystemRoot -ChildPath 'System32\OpenSSH'

# A program that ended badly does not stop a script of PowerShell by itself.
function Assert-Done {
    param([string]$What)
    if ($LASTEXITCODE -ne 0) { throw ($What + ' ended with ' + $LASTEXITCODE) }
}

# Who owns it and who else has a right on it, as Windows writes that down: owner, then one rule per pair of brackets (probe:acl-form).
function Get-Rules {
    param([string]$Path)
    $sddl = [string](Get-Acl -LiteralPath $Path).Sddl
    @{ Owner = [regex]::Match($sddl, '^O:(S-1-[0-9-]+|[A-Z]{2})').Groups[1].Value; All = @([regex]::Matches($sddl, '\(([^)]*)\)') | ForEach-Object { $_.Groups[1].Value }) }
}

# Whether only SYSTEM and the administrators may do more than read it, and only -Reader besides may read.
function Test-Closed {
    param([string]$Path, [string]$Reader = '')
    $rules = Get-Rules -Path $Path
    $others = @($rules.All | Where-Object { -not ($_ -match ';(SY|BA)$' -or ($Reader -ne '' -and $_ -match (';0x1200a9;;;' + $Reader + '$'))) })
    @('SY', 'BA') -contains $rules.Owner -and $rules.All.Count -gt 0 -and $others.Count -eq 0
}

# Members by their SIDs. The command fails for a whole group when an account in it is gone: then the group tells nothing.
function Get-MemberSids {
    param([string]$Group)
    try { Get-LocalGroupMember -Group $Group | ForEach-Object { $_.SID.Value } } catch { $null = $_ }
}

'1  the agent and its driver (only SYSTEM and administrators may write below Program Files)'
if (Get-Service -Name 'patchwave-agent' -ErrorAction SilentlyContinue) {
    $open = @(& $agent journal --open --config (Join-Path -Path $data -ChildPath 'agent.json'))
    if ($open.Count -gt 0) { throw ('the agent that is there has open operations; it ends them first: ' + ($open -join '; ')) }
    Stop-Service -Name 'patchwave-agent'
}
$null = New-Item -ItemType Directory -Force -Path $program
Copy-Item -Force -Path (Join-Path -Path $PSScriptRoot -ChildPath 'patchwave-agent.exe') -Destination $program
Copy-Item -Recurse -Force -Path (Join-Path -Path $PSScriptRoot -ChildPath 'drivers') -Destination $program

'2  a dedicated account, no administrator (O27)'
if (-not (Get-LocalUser -Name '@USER@' -ErrorAction SilentlyContinue)) {
    $password = ConvertTo-SecureString -String ([guid]::NewGuid().ToString('N') + 'aA1!') -AsPlainText -Force # nobody needs it
    $null = New-LocalUser -Name '@USER@' -Password $password -AccountNeverExpires -PasswordNeverExpires -UserMayNotChangePassword
}
$sid = (Get-LocalUser -Name '@USER@').SID.Value
# Who may log on through sshd as it is shipped. Where the group is missing, the looks below tell whether that matters.
if (Get-LocalGroup -Name 'OpenSSH Users' -ErrorAction SilentlyContinue) {
    if (@(Get-MemberSids -Group 'OpenSSH Users') -notcontains $sid) { Add-LocalGroupMember -Group 'OpenSSH Users' -Member '@USER@' }
}

'3  the configuration of the agent, in a folder that the account may read; state and pipe are opened to it by its SID'
# Anybody may make folders below ProgramData, and who made one may always change its rights: SYSTEM must not believe what lies in such a one.
if (Test-Path -LiteralPath $data) {
    $owner = (Get-Rules -Path $data).Owner
    if (@('SY', 'BA') -notcontains $owner) { throw ($data + ' belongs to ' + $owner + ', not to the administrators: look what it is; if it is yours, icacls ' + $data + ' /setowner *S-1-5-32-544 /t') }
} else {
    $null = New-Item -ItemType Directory -Path $data
}
icacls.exe $data /setowner '*S-1-5-32-544' /q
Assert-Done -What 'icacls /setowner'
icacls.exe $data /inheritance:r /grant:r '*S-1-5-32-544:(OI)(CI)F' '*S-1-5-18:(OI)(CI)F' ('*' + $sid + ':(OI)(CI)RX') /q
Assert-Done -What 'icacls /grant:r'
$driver = (Join-Path -Path $program -ChildPath 'drivers\hyperv').Replace('\', '\\')
$state = (Join-Path -Path $data -ChildPath 'state').Replace('\', '\\')
$text = '{"node":"@NODE@","state_dir":"' + $state + '","socket":"\\\\.\\pipe\\patchwave-agent","socket_group":"' + $sid + '","driver":"' + $driver + '"}'
[IO.File]::WriteAllText((Join-Path -Path $data -ChildPath 'agent.json'), $text) # UTF-8 without BOM
icacls.exe (Join-Path -Path $data -ChildPath 'agent.json') /setowner '*S-1-5-32-544' /q
Assert-Done -What 'icacls /setowner'

'4  the service: LocalSystem, automatic start, no dependency on the cluster service or vmms (O28)'
& $agent install --config (Join-Path -Path $data -ChildPath 'agent.json')
Assert-Done -What 'patchwave-agent install'
Start-Service -Name 'patchwave-agent'

'5  sshd: its start; it writes its first configuration when it starts (probe:sshd-config-made)'
Set-Service -Name 'sshd' -StartupType Automatic
Start-Service -Name 'sshd'

'6  the key, in a file of its own outside the profile (a file that others may write, or own, is silently not used)'
$keys = Join-Path -Path $ssh -ChildPath 'patchwave_authorized_keys'
[IO.File]::WriteAllText($keys, "restrict @KEY@`n")
icacls.exe $keys /setowner '*S-1-5-32-544' /q
Assert-Done -What 'icacls /setowner'
icacls.exe $keys /inheritance:r /grant:r '*S-1-5-32-544:F' '*S-1-5-18:F' /q
Assert-Done -What 'icacls /grant:r'

'7  one program and nothing else for this account, above "Match Group administrators"; the firewall rule'
$config = Join-Path -Path $ssh -ChildPath 'sshd_config'
$before = [IO.File]::ReadAllText($config)
$block = @'
# patchwave: begin
Match User @USER@
    AuthorizedKeysFile __PROGRAMDATA__/ssh/patchwave_authorized_keys
    ForceCommand "C:\Program Files\patchwave\patchwave-agent.exe" ssh
    PasswordAuthentication no
    PermitTTY no
    AllowTcpForwarding no
# patchwave: end

'@
$rest = [regex]::Replace($before, '(?ms)^# patchwave: begin.*?^# patchwave: end\r?\n(\r?\n)?', '')
$at = [regex]::Match($rest, '(?im)^[ \t]*Match[ \t]')
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
Set-NetFirewallRule -Name 'OpenSSH-Server-In-TCP' -Enabled True
# As it is shipped it covers private networks only; one that somebody opened further stays so.
if ([string](Get-NetFirewallRule -Name 'OpenSSH-Server-In-TCP').Profile -eq 'Private') { Set-NetFirewallRule -Name 'OpenSSH-Server-In-TCP' -Profile Domain, Private }

'8  looks (O27, O28): nothing is changed any more'
$script:bad = 0
function Show-Look {
    param([string]$Title, [scriptblock]$Look)
    $answer = $false
    try { $answer = [bool](& $Look) } catch { $Title += ' (' + $_.Exception.Message + ')' }
    if ($answer) { 'ok    ' + $Title } else { 'NOT   ' + $Title; $script:bad++ }
}

# (probe:user-rights) Everybody whom a right may name and mean this account: itself, its groups, and the kinds of log-on it falls under.
$identities = @($sid, '@USER@', 'S-1-1-0', 'S-1-5-2', 'S-1-5-11', 'S-1-5-113', 'S-1-5-32-545')
$groups = @(Get-LocalGroup | Where-Object { @(Get-MemberSids -Group $_.Name) -contains $sid })
$identities += @($groups | ForEach-Object { $_.SID.Value; $_.Name })
$rights = Join-Path -Path $data -ChildPath 'rights.inf'
secedit.exe /export /areas USER_RIGHTS /cfg $rights /quiet
Assert-Done -What 'secedit'
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
# What holds for this account in the end, as sshd itself reads its configuration (probe:sshd-effective).
$effective = @(& (Join-Path -Path $openssh -ChildPath 'sshd.exe') -T -C 'user=@USER@,host=localhost,addr=127.0.0.1')
# A list that is there has to match a name of ours (Allow), or none (Deny). Names in sshd_config are in lower case, and may be patterns.
function Test-SshList {
    param([string]$Keyword, [string[]]$Names)
    $entries = @($effective | Where-Object { $_ -match ('^' + $Keyword + ' ') } | ForEach-Object { $_.Substring($Keyword.Length + 1).Trim('"').Replace('[', '`[') })
    @{ There = $entries.Count -gt 0; Ours = @($entries | Where-Object { $entry = $_; @($Names | Where-Object { $_ -like $entry }).Count -gt 0 }).Count -gt 0 }
}
$groupNames = @($groups | ForEach-Object { $_.Name })
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
Show-Look -Title 'sshd takes no password for it' -Look { @($effective | Where-Object { $_ -eq 'passwordauthentication no' }).Count -eq 1 }
Show-Look -Title 'only SYSTEM and administrators may read or write the key file' -Look { Test-Closed -Path $keys }
Show-Look -Title 'only SYSTEM and administrators may write the configuration of the agent' -Look {
    (Test-Closed -Path $data -Reader $sid) -and (Test-Closed -Path (Join-Path -Path $data -ChildPath 'agent.json') -Reader $sid)
}
Show-Look -Title 'no user may write the program and its driver' -Look {
    # Everybody and the like, with rights other than to read and execute, in the ways these are written.
    @(Get-Rules -Path $program | ForEach-Object { $_.All } | Where-Object { $_ -match (';(WD|AN|AU|BU|IU|NU|BG|' + $sid + ')$') -and $_ -notmatch ';(0x1200a9|GXGR|GRGX|FRFX);' }).Count -eq 0
}
Show-Look -Title 'it is no administrator' -Look { @(Get-LocalGroupMember -SID 'S-1-5-32-544' | ForEach-Object { $_.SID.Value }) -notcontains $sid }
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

'9  compare this fingerprint with what `patchwave enroll @NODE@` shows on the controller'
& (Join-Path -Path $openssh -ChildPath 'ssh-keygen.exe') -lf (Join-Path -Path $ssh -ChildPath 'ssh_host_ed25519_key.pub')
'Then, on the node and as SYSTEM (its row `account` says who looked): patchwave-agent probe --json, and send the report home.'
if ($script:bad -eq 0) { 'patchwave-setup: complete' } else { 'patchwave-setup: ' + $script:bad + ' looks failed' }
# sshd reads its configuration when it starts. Last, because the connection of who does this over SSH may end with it.
Restart-Service -Name 'sshd'
