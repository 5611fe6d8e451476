#!/usr/bin/env bash
# The staged no-op run and Ansible's, turn by turn on the same machine in the same minutes: one JSON line per pair, with both ratios; and the
# transport's share of it (cold hello, ten calls per node) before them.
#   bench_beside.sh [--nodes 72] [--runs 3] [--build build/release]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nodes=72 runs=3 build=$here/../../build/release
while (($#)); do
    case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    *) echo "bench_beside.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
"$build/tests/bench/bench_ssh" "$nodes"
for ((i = 0; i < runs; i++)); do
    ours=$(bash "$here/bench_staged.sh" --nodes "$nodes" --runs 1 --build "$build")
    theirs=$(bash "$here/bench_ansible.sh" --nodes "$nodes" --runs 1 --kex curve25519-sha256)
    python3 - "$ours" "$theirs" <<'P'
import json, sys
ours, theirs = map(json.loads, sys.argv[1:])
print(json.dumps({"nodes": ours["nodes"], "patchwave": {k: ours[k] for k in ("wall_s", "cpu_s", "steps")},
                  "ansible": {k: theirs[k] for k in ("wall_s", "cpu_s")}, "cpu_ratio": round(theirs["cpu_s"] / ours["cpu_s"], 1),
                  "wall_ratio": round(theirs["wall_s"] / ours["wall_s"], 1)}))
P
done
