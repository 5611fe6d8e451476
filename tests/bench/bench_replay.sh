#!/usr/bin/env bash
# Coming back after kill -9. A lab of N nodes is patched by the real controller (examples/lab/demo.sh); in the middle the controller is killed
# and resumed to the end. One JSON line: time from the start of that `patchwave resume` to the claim of every node that was up; how large the
# finished log is and what of it the clusters' pictures take; CPU of `patchwave replay`; time from the start of `patchwave resume` to the
# first connection begun, with a run killed shortly before its end. The database stays in DIR; with --db FILE, a finished run's, no lab is
# made and nothing is claimed.
#   bench_replay.sh [--nodes 72] [--runs 5] [--after 700] [--build build/release] [--out DIR] [--db FILE]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
nodes=72 runs=5 after=700 build=$here/../../build/release out= db=
while (($#)); do
    case $1 in
    --nodes) nodes=$2; shift 2 ;;
    --runs) runs=$2; shift 2 ;;
    --after) after=$2; shift 2 ;;
    --build) build=$2; shift 2 ;;
    --out) out=$2; shift 2 ;;
    --db) db=$2; shift 2 ;;
    *) echo "bench_replay.sh: unknown option $1" >&2; exit 2 ;;
    esac
done
build=$(cd "$build" && pwd)
patchwave=$build/orchestrator/patchwave
work=$(mktemp -d) demo= lab=
end_all() {
    for pid in $demo $lab; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap end_all EXIT

entries() { sqlite3 -readonly "$1" "SELECT count(*) FROM log" 2>/dev/null || echo 0; }

# The demo up to `after` log entries, then kill -9; the lab goes on.
kill_midway() {
    local controller=
    mkdir -p "$out"
    "$here/../../examples/lab/demo.sh" --keep --nodes "$nodes" --out "$out" --build "$build" >"$out/demo.log" 2>&1 &
    demo=$!
    until (($(entries "$db") > after)); do
        kill -0 "$demo" 2>/dev/null || { tail -5 "$out/demo.log" >&2; exit 1; }
        sleep 0.2
    done
    controller=$(pgrep -P "$demo" -x patchwave)
    kill -9 "$controller"
    wait "$demo" || true
    demo=
    lab=$(sed -n 's/.*the lab still runs (pid \([0-9]*\)).*/\1/p' "$out/demo.log")
}

# Until every node that was not out is claimed again.
time_claims() {
    python3 - "$patchwave" "$db" <<'P'
import json, sqlite3, subprocess, sys, time
patchwave, path = sys.argv[1:]
ask = lambda q, *a: sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute(q, a).fetchall()
before = ask("SELECT max(seq) FROM log")[0][0]
up = {n for (n,) in ask("SELECT node FROM run_nodes WHERE NOT is_out")}
begin = time.monotonic()
run = subprocess.Popen([patchwave, "--db", path, "resume", "--on-hold", "exit"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
seen, first = set(), None
while up - seen and run.poll() is None and time.monotonic() < begin + 60:
    time.sleep(0.01)
    rows = db.execute("SELECT DISTINCT json_extract(event, '$.node') FROM log WHERE seq > ? AND kind = 'node_claimed'", (before,)).fetchall()
    seen = {n for (n,) in rows}
    first = first or (seen and time.monotonic() - begin)
took = time.monotonic() - begin
db.close()
code = run.wait()
print(json.dumps({"log_entries_at_kill": before, "nodes_up": len(up), "first_claim_s": round(first or 0, 3), "all_claimed_s": round(took, 3), "resumed_exit": code}))
P
}

# The finished log without its last twentieth is a run shortly before its end, killed. Listeners stand at the nodes' addresses; nobody
# answers, the first connection is all that is asked.
time_first_connection() {
    sqlite3 -readonly "$db" ".backup '$work/late.db'"
    sqlite3 "$work/late.db" "DELETE FROM log WHERE seq > (SELECT max(seq) * 95 / 100 FROM log)"
    "$patchwave" --db "$work/late.db" db rebuild >/dev/null
    python3 - "$patchwave" "$work/late.db" "$runs" <<'P'
import json, select, shutil, socket, sqlite3, statistics, subprocess, sys, time
patchwave, path, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])
text = sqlite3.connect(path).execute("SELECT event FROM log WHERE kind = 'inventory' ORDER BY seq DESC LIMIT 1").fetchone()[0]
listeners = []
for node in json.loads(text)["inventory"]["nodes"]:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((node["ssh"]["address"], node["ssh"].get("port", 22)))
    s.listen(8)
    listeners.append(s)
took = []
for i in range(runs):
    shutil.copy(path, path + ".try")
    begin = time.monotonic()
    run = subprocess.Popen([patchwave, "--db", path + ".try", "resume"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ready = select.select(listeners, [], [], 30)[0]
    took.append(time.monotonic() - begin)
    run.kill()
    run.wait()
    if not ready:
        sys.exit("no connection within 30 s")
    time.sleep(0.3)
    for s in listeners:
        s.setblocking(False)
        try:
            while True:
                s.accept()[0].close()
        except BlockingIOError:
            pass
print(json.dumps({"first_connection_s": round(statistics.median(took), 3)}))
P
}

time_replay() {
    python3 - "$patchwave" "$db" "$runs" "$here/measure.py" <<'P'
import json, os, sqlite3, statistics, subprocess, sys
patchwave, path, runs, measure = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
cpu, wall, rss = [], [], []
for i in range(runs):
    line = subprocess.run([measure, "--settle", "0", patchwave, "--db", path, "replay"], capture_output=True, text=True, check=True).stdout
    cost = json.loads(line)
    cpu.append(cost["cpu_s"]), wall.append(cost["wall_s"]), rss.append(cost["max_rss_kib"])
db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
one = lambda q: db.execute(q).fetchone()[0]
pictures = "kind = 'observed' AND json_extract(event, '$.what') = 'cluster'"
print(json.dumps({
    "database_bytes": os.path.getsize(path), "log_entries": one("SELECT count(*) FROM log"),
    "log_bytes": one("SELECT sum(length(CAST(event AS BLOB)) + length(commands)) FROM log"),
    "pictures": one(f"SELECT count(*) FROM log WHERE {pictures}"),
    "picture_bytes": one(f"SELECT sum(length(CAST(event AS BLOB))) FROM log WHERE {pictures}"),
    "replay_cpu_s": statistics.median(cpu), "replay_wall_s": statistics.median(wall), "replay_rss_kib": max(rss)}))
P
}

lines=()
if [[ -z $db ]]; then
    out=${out:-$work/demo}
    db=$out/patchwave.db
    kill_midway
    lines+=("$(time_claims)")
    kill "$lab" 2>/dev/null || true
    while kill -0 "$lab" 2>/dev/null; do sleep 0.2; done
    lab=
fi
lines+=("$(time_first_connection)")
lines+=("$(time_replay)")
python3 -c 'import json, sys
print(json.dumps({k: v for line in sys.argv[1:] for k, v in json.loads(line).items()}))' "${lines[@]}"
