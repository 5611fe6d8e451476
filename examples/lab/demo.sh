#!/usr/bin/env bash
# The main job on one machine: a lab of Hyper-V nodes (real sshd and agents, simulated hypervisor) is patched in waves
# 12 -> 24 -> all by the real controller.
set -euo pipefail

usage() {
    cat <<'T'
usage: examples/lab/demo.sh [OPTION...]
  --out DIR          where plan.json, report.json, report.md, patchwave.db are left (default: ./demo-out)
  --nodes N          nodes of the lab (default 72)
  --speed S          fleet minutes per real minute (default 180)
  --seed N           of the lab's world (default 1)
  --waves JSON       waves of the rollout (default '[12, 24, "100%"]')
  --fleet NAME       default: every VM can move; mixed: some cannot and are parked with consent
  --removable        the patch can be removed; the first node rehearses it (O14)
  --fault NAME@NODE  a fault of the lab (`hvlab fault list`); NODE is a name, or waveN for a node of that wave; may be repeated
  --keep             leave the lab running (prints how to end it)
  --build DIR        a finished build to use instead of building
  --help
Exit code: that of `patchwave run` (docs/cli.md): 0 all nodes done, 11 holding, 12 halted, 13 rolled back, ...
T
}

say() { printf '%s\n' "$*"; }
die() { printf 'demo.sh: %s\n' "$*" >&2; exit 2; }
ms() { date +%s%3N; }
seconds() { awk -v a="$1" -v b="$(ms)" 'BEGIN { printf "%.1f s", (b - a) / 1000 }'; }

root=$(cd "$(dirname "$0")/../.." && pwd)
out=demo-out nodes=72 speed=180 seed=1 fleet=default removable= keep= build= faults=()
waves='[12, 24, "100%"]'
while (($#)); do
    case $1 in
    --out) out=${2:?}; shift 2 ;;
    --nodes) nodes=${2:?}; shift 2 ;;
    --speed) speed=${2:?}; shift 2 ;;
    --seed) seed=${2:?}; shift 2 ;;
    --waves) waves=${2:?}; shift 2 ;;
    --fleet) fleet=${2:?}; shift 2 ;;
    --removable) removable=1; shift ;;
    --fault) [[ ${2:?} == ?*@?* ]] || die "--fault is NAME@NODE, not \"$2\""; faults+=("$2"); shift 2 ;;
    --keep) keep=1; shift ;;
    --build) build=$(cd "${2:?}" && pwd); shift 2 ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; die "unknown option $1" ;;
    esac
done

# What is missing, then the build.
if [[ -z $build ]]; then
    t=$(ms); bash "$root/tests/install.sh" build demo >&2; say "installed what was missing in $(seconds "$t")"
    t=$(ms); build=$root/build/demo; mkdir -p "$root/build"
    (cd "$root" && cmake -S . -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=RelWithDebInfo -DPW_TESTS=OFF >"$build.log" 2>&1 &&
        cmake --build "$build" -j"$(nproc)" --target patchwave patchwave-agent hvlab hvlab-driver >>"$build.log" 2>&1) ||
        { tail -20 "$build.log" >&2; die "the build failed; see $build.log"; }
    say "built in $(seconds "$t")"
fi
patchwave=$build/orchestrator/patchwave hvlab=$build/examples/lab/hvlab
for program in "$patchwave" "$hvlab" "$build/agent/patchwave-agent"; do
    [[ -x $program ]] || die "$program is not there"
done

known=$("$hvlab" fault list)
for fault in "${faults[@]}"; do
    grep -q "^${fault%@*} " <<<"$known" || die "there is no fault \"${fault%@*}\"; \`$hvlab fault list\` shows them"
done

mkdir -p "$out"; out=$(cd "$out" && pwd)
rm -f "$out"/patchwave.db* "$out"/plan.json "$out"/report.json "$out"/report.md
lab=$out/lab; rm -rf "$lab"
export PATCHWAVE_DB=$out/patchwave.db
lab_pid=
stop_lab() {
    if [[ -n $lab_pid ]]; then kill "$lab_pid" 2>/dev/null; wait "$lab_pid" 2>/dev/null; lab_pid=; fi
    return 0
}
trap stop_lab EXIT
trap 'exit 130' INT TERM

# The lab.
begin=$(ms)
"$hvlab" make --dir "$lab" --nodes "$nodes" --seed "$seed" --speed "$speed" --fleet "$fleet" ${removable:+--removable} \
    --agent "$build/agent/patchwave-agent" || die "no lab was made"
"$hvlab" serve --dir "$lab" --processes >"$out/lab.log" 2>&1 &
lab_pid=$!
"$hvlab" wait --dir "$lab" >/dev/null || die "the lab did not come up; see $out/lab.log"
say "lab of $nodes nodes is up after $(seconds "$begin"); its time runs $speed times faster; everything below is simulated time"

# What the operator does: import, pin host keys, record the package and consents, plan, approve, run.
"$patchwave" init >/dev/null
"$patchwave" inventory import "$lab/inventory.json" >/dev/null
"$patchwave" enroll --all --accept-new >"$out/enroll.log"
package=$out/windows11.0-kb5061977-x64.msu
[[ -f $package ]] || head -c 1048576 /dev/zero | tr '\0' 'p' >"$package"
"$patchwave" patch add "$package" --kb KB5061977 --target 26100.4066 >/dev/null
if [[ -f $lab/consents ]]; then # VMs that cannot move: their owners' word, one "GUID METHOD" per line
    while read -r vm method; do "$patchwave" consent add "$vm" --method "$method" --ticket CHG-DEMO >/dev/null; done <"$lab/consents"
fi
# A real second is minutes of the lab: what travels over real SSH may be that old.
watch='"interval": "4m", "soak": "8m", "max_age": "20m"'
cat >"$out/rollout.json" <<T
{
  "version": 1,
  "name": "kb5061977",
  "patch": { "kb": "KB5061977" },
  "waves": $waves,
  "gates": [
    { "name": "time", "type": "time_sync", "scope": "node", "when": "both", "on_fail": "halt", $watch },
    { "name": "backup", "type": "backup_agent", "scope": "node", "when": "both", "on_fail": "rollback", $watch },
    { "name": "cluster", "type": "cluster_health", "scope": "cluster", "when": "both", "on_fail": "rollback", $watch },
    { "name": "heartbeat", "type": "vm_heartbeat", "scope": "node", "when": "after", "on_fail": "rollback", $watch }
  ],
  "policy": { "planner_may_approve": true, "deviations_max": 120, "moves_per_vm": 4, "rollback_moves_per_vm": 8, "unreachable": "60m", "fresh": "10m", "rehearse": $([[ -n $removable ]] && echo true || echo false) }
}
T
"$patchwave" plan "$out/rollout.json" --out "$out/plan.json" >"$out/plan.txt" || (($? == 10)) || { cat "$out/plan.txt"; exit 3; }
sed -n '1,60p' "$out/plan.txt"
"$patchwave" approve kb5061977 --ticket CHG-DEMO

# Faults: NAME@NODE, or NAME@waveN for the first node of that wave.
for fault in "${faults[@]}"; do
    name=${fault%@*} subject=${fault##*@}
    if [[ $subject =~ ^wave([0-9]+)$ ]]; then
        subject=$("$patchwave" plan show kb5061977 --json | python3 -c '
import json, sys
wave = int(sys.argv[1])
print(next((n["node"] for n in json.load(sys.stdin)["nodes"] if n.get("wave") == wave), ""))' "${BASH_REMATCH[1]}")
        [[ -n $subject ]] || die "the plan has no wave ${BASH_REMATCH[1]}"
    fi
    "$hvlab" fault --dir "$lab" add "$name" "$subject" || die "the fault cannot be set"
    say "fault: $name on $subject"
done

set +e
# Benchmarks put a program before it that measures it.
${PATCHWAVE_MEASURE:-} "$patchwave" run kb5061977 --on-hold exit
code=$?
set -e
"$patchwave" report >"$out/report.txt" && cat "$out/report.txt"
"$patchwave" report --json >"$out/report.json"
"$patchwave" report --markdown >"$out/report.md"
say
say "from lab start to report: $(seconds "$begin")   exit code $code   files: $out"
if [[ -n $keep ]]; then
    say "the lab still runs (pid $lab_pid): try   PATCHWAVE_DB=$PATCHWAVE_DB $patchwave status   and end it with   kill $lab_pid"
    trap - EXIT; lab_pid=
fi
exit "$code"
