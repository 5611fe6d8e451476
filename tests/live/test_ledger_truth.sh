#!/usr/bin/env bash
# The ledger of a whole run equals what really happened to every VM: with VMs that must be parked, a migration that fails
# half-way, an event that is never logged, and agents killed in mid-op. Prints TAP.
set -u
build=${PW_BUILD_DIR:?}
build=$(cd "$build" && pwd)
dir=$(mktemp -d /tmp/pw-ledger-XXXXXX)
n=0 failed=0 demo=

say() { # say OK TITLE
    n=$((n + 1))
    if [ "$1" = 0 ]; then echo "ok $n - $2"; else failed=$((failed + 1)); echo "not ok $n - $2"; fi
}
trap '[ -n "$demo" ] && kill "$demo" 2> /dev/null; wait 2> /dev/null; rm -rf "$dir"' EXIT

# The same seed makes the same VMs: their ids are known before the lab is.
"$build/examples/lab/hvlab" make --dir "$dir/twin" --nodes 8 --seed 11 --fleet mixed --agent /bin/true > /dev/null
mapfile -t vms < <(python3 - "$dir/twin" << 'PY'
import json, sys
inventory = json.load(open(sys.argv[1] + "/inventory.json"))
stuck = {line.split()[0] for line in open(sys.argv[1] + "/consents")}
movable = [v["id"] for v in inventory["vms"] if v["id"] not in stuck]
print(movable[0], movable[7], movable[20], movable[33], sep="\n")
PY
)
examples/lab/demo.sh --nodes 8 --seed 11 --fleet mixed --speed 240 --build "$build" --out "$dir/out" \
    --fault "event-lost@${vms[0]}" --fault "event-lost@${vms[1]}" --fault "move-fails-halfway@${vms[2]}" \
    --fault "slow-move@${vms[3]}" > "$dir/demo.log" 2>&1 &
demo=$!
killed=0
for round in $(seq 1200); do # now and then an agent is killed while its node has an op in hand
    kill -0 "$demo" 2> /dev/null || break
    sleep 0.1
    [ $((round % 50)) = 0 ] && [ "$killed" -lt 6 ] || continue
    victim=$(pgrep -f "serve --config $dir/out/lab/nodes/HV0[1-8]/agent.json" | sed -n "$((1 + killed))p")
    [ -n "$victim" ] && kill -9 "$victim" && killed=$((killed + 1))
done
wait "$demo"
code=$?
demo=
tail -n 40 "$dir/demo.log" | sed 's/^/# /'
[ "$killed" -gt 0 ]
say $? "agents were killed while it ran ($killed)"
[ "$code" = 0 ] || [ "$code" = 10 ]
say $? "the run ended (exit code $code)"
"$build/examples/lab/hvlab" truth --dir "$dir/out/lab" --json > "$dir/truth.json"
say $? "the lab tells the truth to its owner"
python3 tests/live/ledger_truth.py "$dir/out/patchwave.db" "$dir/truth.json"
say $? "the ledger equals the truth, VM by VM"
python3 -c 'import json,sys; sys.exit(not any(r["cause"] in ("shut_down", "saved") for r in json.load(open(sys.argv[1]))["downtime"]))' "$dir/truth.json"
say $? "VMs were parked in it"
python3 -c 'import json,sys; d = json.load(open(sys.argv[1]))["damage"]; print("#", d); sys.exit(bool(d))' "$dir/truth.json"
say $? "nothing was harmed"

# A comparison that accepts everything proves nothing.
cp "$dir/out/patchwave.db" "$dir/altered.db"
python3 -c 'import sqlite3,sys
db = sqlite3.connect(sys.argv[1])
db.execute("UPDATE downtime SET end_at = end_at + 300 WHERE rowid = (SELECT min(rowid) FROM downtime WHERE subject = \"vm\")".replace("\"", chr(39)))
db.commit()' "$dir/altered.db"
! python3 tests/live/ledger_truth.py "$dir/altered.db" "$dir/truth.json" > /dev/null
say $? "a row that is 0.3 s longer is found"
python3 -c 'import sqlite3,sys
db = sqlite3.connect(sys.argv[1])
db.execute("DELETE FROM downtime WHERE rowid = (SELECT max(rowid) FROM downtime WHERE subject = \"vm\" AND end_at IS NOT NULL)".replace("\"", chr(39)))
db.commit()' "$dir/altered.db"
! python3 tests/live/ledger_truth.py "$dir/altered.db" "$dir/truth.json" > /dev/null
say $? "a row that is missing is found"
echo "1..$n"
[ "$failed" = 0 ]
