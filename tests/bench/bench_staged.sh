#!/usr/bin/env bash
# A staged run of steps that do nothing: no VMs, no gates, installs that take no time and need no reboot (--reboots: each node's sshd and agent
# end and start, which is what a reboot costs here). The real controller takes a lab of N nodes through "12, then 24, then all", each step through real
# sshd, relay, agent, journal and driver process (the package is there: staged days ahead, O32): pause, move groups, empty, stop vmms, install, look, verify, start vmms, facts, resume, look. Three of a cluster at once. One JSON line per run: wall, CPU and
# memory of `patchwave run` alone (measure.py), per step, and the parts of a step's time (run_parts.py).
#   bench_staged.sh [--nodes 72] [--runs 3] [--speed N] [--build build/release]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nodes=72 runs=3 speed= reboots= build=$here/../../build/release
while (($#)); do
    case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --speed) speed=$2; shift 2 ;;
    --reboots) reboots=yes; shift ;;
    --build) build=$2; shift 2 ;;
    *) echo "bench_staged.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
# A look may take ten minutes of fleet time; a fleet that is asked all at once shares two cores here.
: "${speed:=$((nodes <= 72 ? 600 : 30000 / nodes))}"
build=$(cd "$build" && pwd)
patchwave=$build/orchestrator/patchwave hvlab=$build/examples/lab/hvlab
dir=$(mktemp -d) lab_pid=
stop_lab() { if [[ -n $lab_pid ]]; then kill "$lab_pid" 2>/dev/null; wait "$lab_pid" 2>/dev/null; lab_pid=; fi; return 0; }
trap 'stop_lab; rm -rf "$dir"' EXIT

# No VM, no group but the clusters' own, shared storage, nothing that takes its time: what is left is orchestration.
empty_world() {
    python3 - "$dir/lab" "$reboots" <<'P'
import json, sqlite3, sys
lab = sys.argv[1]
db = sqlite3.connect(f"{lab}/world.db")
db.execute('DELETE FROM groups WHERE id IN (SELECT "group" FROM vms)')
db.execute("DELETE FROM vms")
db.execute("DELETE FROM queue")
db.execute("UPDATE nodes SET install_factor = 1, reboot_factor = 1, migrate_factor = 1, resync_factor = 1")
db.execute("UPDATE clusters SET s2d = 0, max_out = 8")
db.commit()
if not sys.argv[2]:
    for row, (node,) in enumerate(db.execute("SELECT id FROM nodes").fetchall()):
        db.execute("INSERT INTO faults VALUES (?, 'no-reboot', ?, '', -1, 0, 1)", (row, node))
    db.commit()
path = f"{lab}/inventory.json"
inventory = json.load(open(path))
inventory["vms"] = []
for cluster in inventory["clusters"]:
    cluster["storage"] = "shared"
    cluster["max_out"] = 3
json.dump(inventory, open(path, "w"))
P
}

for ((i = 0; i < runs; i++)); do
    rm -rf "$dir/lab" "$dir"/bench.db*
    export PATCHWAVE_DB=$dir/bench.db
    "$hvlab" make --dir "$dir/lab" --nodes "$nodes" --speed "$speed" --agent "$build/agent/patchwave-agent" >/dev/null
    empty_world
    "$hvlab" serve --dir "$dir/lab" --processes >"$dir/lab.log" 2>&1 &
    lab_pid=$!
    "$hvlab" wait --dir "$dir/lab" >/dev/null
    {
        "$patchwave" init
        "$patchwave" inventory import "$dir/lab/inventory.json"
        "$patchwave" enroll --all --accept-new
        head -c 65536 /dev/zero | tr '\0' 'p' >"$dir/windows11.0-kb5061977-x64.msu"
        "$patchwave" patch add "$dir/windows11.0-kb5061977-x64.msu" --target 26100.4066 --reboot "$([[ $reboots ]] && echo always || echo if_required)"
        cat >"$dir/rollout.json" <<'T'
{"version": 1, "name": "staged", "patch": "KB5061977", "waves": [12, 24, "100%"], "gates": [],
 "policy": {"planner_may_approve": true, "deviations_max": 1000, "max_out_fleet": 72, "unreachable": "30d", "fresh": "30d", "timeout_factor": 100}}
T
        "$patchwave" plan "$dir/rollout.json" || (($? == 10))
        "$patchwave" stage staged
        "$patchwave" approve staged --ticket BENCH
    } >"$dir/setup.log" 2>&1 || { tail -5 "$dir/setup.log" >&2; exit 1; }
    line=$("$here/measure.py" --memory "$patchwave" run staged --on-hold exit 2>"$dir/run.log") || { tail -15 "$dir/run.log" >&2; exit 1; }
    parts=$("$here/run_parts.py" "$PATCHWAVE_DB")
    python3 - "$line" "$parts" "$nodes" <<'P'
import json, sys
cost, parts, nodes = json.loads(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3])
cost |= {"nodes": nodes, **parts, "cpu_ms_per_step": round(cost["cpu_s"] * 1000 / parts["steps"], 2),
         "wall_ms_per_step": round(cost["wall_s"] * 1000 / parts["steps"], 2)}
print(json.dumps(cost))
P
    stop_lab
done
