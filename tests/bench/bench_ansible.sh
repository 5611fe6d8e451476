#!/usr/bin/env bash
# Ansible's `serial: [12, 24, "100%"]` with 12 no-op tasks on N plain sshd nodes: wall and client CPU, one JSON line per run.
#   bench_ansible.sh [--nodes 72] [--runs 3] [--kex curve25519-sha256]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nodes=72 runs=3 kex=
while (($#)); do
    case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --kex) kex=$2; shift 2 ;;
    *) echo "bench_ansible.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
command -v ansible-playbook >/dev/null || { echo "bench_ansible.sh: ansible-playbook is missing (tests/install.sh bench)" >&2; exit 3; }
dir=$(mktemp -d)
trap 'bash "$here/sshd_fleet.sh" stop "$dir" 2>/dev/null; rm -rf "$dir"' EXIT
bash "$here/sshd_fleet.sh" start "$dir" "$nodes"
args="-o UserKnownHostsFile=$dir/known_hosts -o ControlMaster=auto -o ControlPersist=60s${kex:+ -o KexAlgorithms=$kex}"
{
    echo '[all:vars]'
    echo 'ansible_port=2209'
    echo "ansible_user=$(id -un)"
    echo "ansible_ssh_private_key_file=$dir/id"
    echo "ansible_ssh_common_args=$args"
    echo '[all]'
    cat "$dir/nodes"
} >"$dir/inventory"
export ANSIBLE_FORKS=50 ANSIBLE_PIPELINING=1 ANSIBLE_STDOUT_CALLBACK=minimal ANSIBLE_DEPRECATION_WARNINGS=0
export ANSIBLE_SSH_CONTROL_PATH_DIR="$dir/cp" ANSIBLE_LOCAL_TEMP="$dir/tmp" ANSIBLE_NOCOLOR=1
for ((i = 0; i < runs; i++)); do
    rm -rf "$dir/cp"
    "$here/measure.py" ansible-playbook -i "$dir/inventory" "$here/ansible/rollout.yml" 2>"$dir/out" || { tail -5 "$dir/out" >&2; exit 1; }
done
