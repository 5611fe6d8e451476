#!/usr/bin/env bash
# The demo does what the README says of it: its exit codes, and what stands in its report. Prints TAP.
set -u
build=${PW_BUILD_DIR:?}
build=$(cd "$build" && pwd)
dir=$(mktemp -d /tmp/pw-demo-XXXXXX)
n=0 failed=0 demo=
trap '[ -n "$demo" ] && kill "$demo" 2> /dev/null; wait 2> /dev/null; rm -rf "$dir"' EXIT

say() { # say OK TITLE
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - $2"
    else
        failed=$((failed + 1))
        echo "not ok $n - $2"
        tail -n 60 "$dir/$case.log" 2> /dev/null | sed 's/^/#   /'
    fi
}
run() { # run CASE OPTION...: the demo's exit code in $code, its files in $out
    case=$1 out=$dir/$1
    shift
    examples/lab/demo.sh --build "$build" --out "$out" "$@" > "$dir/$case.log" 2>&1 &
    demo=$!
    wait "$demo"
    code=$?
    demo=
}
truth() { "$build/examples/lab/hvlab" truth --dir "$out/lab" --json; }
ended() { # ended WAVE STATE: how many nodes of the wave are so
    python3 - "$out/patchwave.db" "$1" "$2" << 'PY'
import sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
columns = [c[1] for c in db.execute("PRAGMA table_info(run_nodes)")]
rows = [dict(zip(columns, r)) for r in db.execute("SELECT * FROM run_nodes")]
print(sum(str(r["wave"]) == sys.argv[2] and sys.argv[3] in map(str, r.values()) for r in rows))
PY
}
few=(--nodes 6 --speed 240 --waves '[2,"100%"]')

run default --nodes 12 --speed 240
say "$code" "the default demo ends with 0"
[ -s "$out/plan.json" ] && [ -s "$out/report.json" ] && [ -s "$out/report.md" ] && [ -s "$out/patchwave.db" ]
say $? "it leaves plan.json, report.json, report.md and patchwave.db"
[ "$(ended 1 done)" = 12 ]
say $? "every node is patched"
truth | python3 -c '
import json, sys
t = json.load(sys.stdin)
bad = [r for r in t["downtime"] if r["subject"] == "vm" and r["cause"] != "blackout"]
print("#", t["damage"], bad)
sys.exit(bool(t["damage"] or bad) or any(n["ubr"] != 4066 for n in t["nodes"]))'
say $? "no VM lost service except by blackouts, and nothing was harmed"
! pgrep -f -- "$out/" > /dev/null
say $? "no process of it is left"

run rolled-back "${few[@]}" --removable --fault backup-7001@wave1
[ "$code" = 13 ]
say $? "a failed gate with a way back: rolled back, exit code 13 (got $code)"
[ "$(ended 2 not_started)" = 4 ]
say $? "wave 2 never started"
truth | python3 -c 'import json,sys; sys.exit(any(n["ubr"] != 4061 for n in json.load(sys.stdin)["nodes"]))'
say $? "every node has its old build"
grep -q "backup service" "$out/report.txt"
say $? "the report says why"

run halted "${few[@]}" --fault backup-7001@wave1
[ "$code" = 12 ]
say $? "a failed gate without a way back: halted, exit code 12 (got $code)"
[ "$(ended 1 done)" = 2 ] && [ "$(ended 2 not_started)" = 4 ]
say $? "the patched nodes stay patched, wave 2 never started"
truth | python3 -c 'import json,sys; sys.exit(any(n["paused"] or not n["on"] or not n["vmms"] for n in json.load(sys.stdin)["nodes"]))'
say $? "all of them in service"

run holding "${few[@]}" --fault backup-silent@wave1
[ "$code" = 11 ]
say $? "a gate without evidence: holding, exit code 11 (got $code)"
[ "$(ended 1 rolled_back)" = 0 ] && [ "$(ended 1 done)" = 2 ]
say $? "nothing is rolled back"
grep -qE "promote" "$dir/$case.log"
say $? "it says which verb leads on"

run mixed --nodes 8 --speed 240 --seed 11 --fleet mixed
[ "$code" = 0 ] || [ "$code" = 10 ]
say $? "the mixed fleet ends (exit code $code)"
truth > "$dir/truth.json"
python3 - "$out/plan.json" "$dir/truth.json" << 'PY'
import json, sys
plan, truth = (json.load(open(p)) for p in sys.argv[1:3])

def parks(value):
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "parks":
                yield from ((p["vm"], p["method"]) for p in inner)
            else:
                yield from parks(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from parks(inner)

methods = {"shut_down": "shutdown", "saved": "save"}
planned = set(parks(plan))
parked = {(r["id"], methods[r["cause"]]) for r in truth["downtime"] if r["subject"] == "vm" and r["cause"] in methods}
others = [r for r in truth["downtime"] if r["subject"] == "vm" and r["cause"] not in methods and r["cause"] != "blackout"]
print("# planned", sorted(planned), "parked", sorted(parked), "others", others)
sys.exit(not planned or planned != parked or bool(others))
PY
say $? "the VMs that lost service, and by which method, are exactly the plan's"
python3 - "$out/patchwave.db" << 'PY'
import sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
rows = db.execute("SELECT name, measured_ms, predicted_p5, predicted_p95 FROM downtime "
                  "WHERE subject = 'vm' AND cause IN ('saved', 'shut_down')").fetchall()
misses = [r for r in rows if not r[2] <= (r[1] or 0) <= r[3]]
print("#", len(rows), "parked,", len(misses), "outside P5 to P95:", misses)
sys.exit(not rows or any(r[3] <= 0 for r in rows) or len(misses) > len(rows) // 2)
PY
say $? "their minutes stand beside what was predicted, misses counted"
echo "1..$n"
[ "$failed" = 0 ]
