Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue' # these hold in this file only, and a warning would be part of the answer
$WarningPreference = 'SilentlyContinue'
# One cluster-wide setting, read and set; the controller's log holds the old value and restores it (O18). What 0 means for the load
# balancer: probe:balancer-mode.
Import-Module -Name "$PSScriptRoot/PatchwaveDriver.psm1"

function Get-SettingName {
    $name = Get-Argument -Name 'name' -Kind 'text'
    if (@('auto_balancer_mode', 'max_parallel_migrations', 'move_type_threshold') -cnotcontains $name) {
        Stop-Driver -Code 'not_found' -Message ('this driver sets no ' + $name)
    }
    $name
}

function Read-Setting {
    param([string]$Name)
    switch ($Name) {
        'auto_balancer_mode' { return [int](Get-Cluster).AutoBalancerMode }
        'max_parallel_migrations' { return [int](Get-Cluster).MaximumParallelMigrations }
        'move_type_threshold' { return [int](Get-ClusterResourceType -Name 'Virtual Machine' | Get-ClusterParameter -Name 'MoveTypeThreshold').Value }
    }
}

function Write-Setting {
    param([string]$Name, [int]$Value)
    switch ($Name) {
        'auto_balancer_mode' { (Get-Cluster).AutoBalancerMode = $Value }
        'max_parallel_migrations' { (Get-Cluster).MaximumParallelMigrations = $Value }
        'move_type_threshold' { $null = Get-ClusterResourceType -Name 'Virtual Machine' | Set-ClusterParameter -Name 'MoveTypeThreshold' -Value $Value }
    }
}

Invoke-DriverAction -Action 'cluster_setting' -Run {
    $name = Get-SettingName
    $value = [int](Get-Argument -Name 'value' -Kind 'number')
    $old = Read-Setting -Name $name
    $expected = Get-Argument -Name 'expected' -Kind 'number' -Otherwise $old
    if ($old -ne $value -and $old -ne $expected) {
        Stop-Driver -Code 'refused' -Message ($name + ' is ' + $old + ', not ' + $expected + ' as expected: somebody changed it')
    }
    if ($old -eq $value) { return New-Result -Result ([ordered]@{ old = $old; new = $old; already = $true }) }
    Invoke-Effect -Do { Write-Setting -Name $name -Value $value } -Unchanged { (Read-Setting -Name $name) -eq $old }
    $now = Read-Setting -Name $name
    if ($now -ne $value) { Stop-Driver -Code 'failed' -Message ('the setting is ' + $now + ' after it was set to ' + $value) }
    New-Result -Result ([ordered]@{ old = $old; new = $now })
} -Witness {
    $name = Get-SettingName
    $value = [int](Get-Argument -Name 'value' -Kind 'number')
    $now = Read-Setting -Name $name
    New-Witness -Done ($now -eq $value) -Evidence ([ordered]@{ value = $now })
}
