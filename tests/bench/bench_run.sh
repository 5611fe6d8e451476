#!/usr/bin/env bash
# The main job as the demo runs it (installs, reboots, moves, gates): what orchestration adds to it. One JSON line: wall and CPU and memory of
# `patchwave run` alone, the parts of a step's time, and from a node's boot to its claim (run_parts.py).
#   bench_run.sh [--nodes 72] [--speed 60] [--build build/release]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nodes=72 speed=60 build=$here/../../build/release
while (($#)); do
    case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --speed) speed=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    *) echo "bench_run.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
build=$(cd "$build" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
PATCHWAVE_MEASURE="$here/measure.py --memory" bash "$here/../../examples/lab/demo.sh" --build "$build" --out "$dir/out" --nodes "$nodes" \
    --speed "$speed" >"$dir/demo.log" 2>&1 || (($? == 10)) || { tail -15 "$dir/demo.log" >&2; exit 1; }
parts=$("$here/run_parts.py" "$dir/out/patchwave.db" --world "$dir/out/lab/world.db")
python3 - "$(grep '^{"wall_s"' "$dir/demo.log")" "$parts" "$nodes" "$speed" <<'P'
import json, sys
cost, parts, nodes, speed = json.loads(sys.argv[1]), json.loads(sys.argv[2]), *map(int, sys.argv[3:])
print(json.dumps({"nodes": nodes, "speed": speed, **cost, **parts, "cpu_ms_per_step": round(cost["cpu_s"] * 1000 / parts["steps"], 2)}))
P
