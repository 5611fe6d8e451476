#!/usr/bin/env bash
# `patchwave stage` of one large package to the nodes of a lab, and the same once more when every node has it. One JSON line each.
#   bench_stage.sh [--nodes 4] [--mib 1024] [--parallel 8] [--build build/release]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nodes=4 mib=1024 parallel=8 build=$here/../../build/release
while (($#)); do
    case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --mib) mib=$2; shift 2 ;;
    --parallel) parallel=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    *) echo "bench_stage.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
build=$(cd "$build" && pwd)
patchwave=$build/orchestrator/patchwave hvlab=$build/examples/lab/hvlab
dir=$(mktemp -d) lab_pid=
stop_lab() { if [[ -n $lab_pid ]]; then kill "$lab_pid" 2>/dev/null; wait "$lab_pid" 2>/dev/null; lab_pid=; fi; return 0; }
trap 'stop_lab; rm -rf "$dir"' EXIT
export PATCHWAVE_DB=$dir/bench.db
"$hvlab" make --dir "$dir/lab" --nodes "$nodes" --agent "$build/agent/patchwave-agent" >/dev/null
"$hvlab" serve --dir "$dir/lab" --processes >"$dir/lab.log" 2>&1 &
lab_pid=$!
"$hvlab" wait --dir "$dir/lab" >/dev/null
head -c $((mib << 20)) /dev/urandom >"$dir/windows11.0-kb5061977-x64.msu"
{
    "$patchwave" init
    "$patchwave" inventory import "$dir/lab/inventory.json"
    "$patchwave" enroll --all --accept-new
    "$patchwave" patch add "$dir/windows11.0-kb5061977-x64.msu" --target 26100.4066
    echo '{"version": 1, "name": "stage", "patch": "KB5061977", "waves": ["100%"], "gates": []}' >"$dir/rollout.json"
    "$patchwave" plan "$dir/rollout.json" || (($? == 10))
} >"$dir/setup.log" 2>&1 || { tail -5 "$dir/setup.log" >&2; exit 1; }
for what in cold again; do
    line=$("$here/measure.py" --memory "$patchwave" stage stage --parallel "$parallel" 2>"$dir/stage.log") || { tail -5 "$dir/stage.log" >&2; exit 1; }
    grep -q "^$nodes of $nodes nodes have the package" "$dir/stage.log" || { echo "bench_stage.sh: not every node is in the plan" >&2; exit 1; }
    python3 - "$line" "$what" "$nodes" "$mib" <<'P'
import json, sys
cost, what, nodes, mib = json.loads(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
print(json.dumps({"stage": what, "nodes": nodes, "mib": mib, **cost, "mib_per_s": round(nodes * mib / cost["wall_s"], 1)}))
P
done
