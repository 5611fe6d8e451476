#!/bin/bash
# mixed.sh PSHOST.DLL [NODES]: a rollout over a simulated fleet in which every other node's agent has the real agent/drivers/hyperv (under
# pshost) and the others the lab's own driver; both act on one world. TAP: every node is patched, and the ledger is the truth for both kinds.
# About 2 minutes; MIXED_SPEED, MIXED_FLEET, MIXED_EVERY change the lab, MIXED_KEEP leaves its files.
set -u
here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${PSHOST_SOCKET:-}" ]; then
    exec "$here/with-pshost.sh" "$1" "$0" "$@"
fi
nodes=${2:-12} speed=${MIXED_SPEED:-180} bin=${PW_BUILD_DIR:?}
patchwave=$bin/orchestrator/patchwave hvlab=$bin/examples/lab/hvlab
dir=$(mktemp -d /tmp/pw-mixed-XXXXXX)
lab=$dir/lab lab_pid=
export PATCHWAVE_DB=$dir/patchwave.db

end_lab() {
    if [ -n "$lab_pid" ]; then
        kill "$lab_pid" 2> /dev/null
        wait "$lab_pid" 2> /dev/null
        lab_pid=
    fi
}
end() {
    end_lab
    [ -n "${MIXED_KEEP:-}" ] || rm -rf "$dir"
}
trap end EXIT
trap 'exit 130' INT TERM

n=0 failed=0
tell() { # tell CODE WHAT [LOG]
    n=$((n + 1))
    if [ "$1" = 0 ]; then
        echo "ok $n - mixed: $2"
    else
        failed=1
        echo "not ok $n - mixed: $2"
        [ -z "${3:-}" ] || tail -n 30 "$3" | sed 's/^/# /'
    fi
}
need() { # need CODE WHAT LOG: without it there is nothing more to see
    tell "$@"
    [ "$1" = 0 ] || {
        echo "1..$n"
        exit 1
    }
}
differs() { # differs SQL: the comparison finds what the SQL does to a copy of the ledger
    cp "$dir/patchwave.db" "$dir/altered.db"
    python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute(sys.argv[2]).rowcount, "rows altered")
db.commit()' "$dir/altered.db" "$1" > "$dir/altered.log" && grep -q '^1 rows' "$dir/altered.log" &&
        ! python3 "$here/ledger.py" "$dir/altered.db" "$dir/truth.json" "$dir/windows-nodes" >> "$dir/altered.log" 2>&1
}

# The lab: every other node with the Hyper-V driver.
"$hvlab" make --dir "$lab" --nodes "$nodes" --seed 5 --speed "$speed" --fleet "${MIXED_FLEET:-mixed}" --agent "$bin/agent/patchwave-agent" > "$dir/make.log" 2>&1
need $? "a lab of $nodes nodes" "$dir/make.log"
"$here/mkdriver.sh" "$dir/hyperv" "$bin/tests/powershell/psrun" "$PSHOST_SOCKET" "hvlab:$lab/driver.sock" "$speed"
i=0 every=${MIXED_EVERY:-2}
for conf in "$lab"/nodes/*/agent.json; do
    i=$((i + 1))
    if [ $((i % every)) = 1 ]; then
        sed -i "s|\"driver\": \"[^\"]*\"|\"driver\": \"$dir/hyperv\"|" "$conf"
        sed -n 's/.*"node": "\([^"]*\)".*/\1/p' "$conf" >> "$dir/windows-nodes"
    fi
done
[ "$(grep -l "\"driver\": \"$dir/hyperv\"" "$lab"/nodes/*/agent.json | wc -l)" = "$(wc -l < "$dir/windows-nodes")" ] &&
    [ "$(wc -l < "$dir/windows-nodes")" -ge $((nodes / every)) ]
tell $? "one agent in $every has the Hyper-V driver"
"$hvlab" serve --dir "$lab" --processes > "$dir/lab.log" 2>&1 &
lab_pid=$!
"$hvlab" wait --dir "$lab" > "$dir/wait.log" 2>&1
need $? "every node's sshd and agent answer" "$dir/wait.log"
# The engine compiles what it runs for the first time; the fleet's clock need not count that.
for type in cluster_health vm_heartbeat backup_agent; do
    printf '{"contract":1,"action":"gate_facts","mode":"run","node":"HV01","op":"warm","limit_ms":600000,"args":{"type":"%s"}}' $type |
        timeout 60 "$dir/hyperv/psrun" -File gate_facts.ps1 > "$dir/warm.log"
done
for action in facts vms storage_health; do
    printf '{"contract":1,"action":"%s","mode":"run","node":"HV01","op":"warm","limit_ms":600000,"args":{}}' $action |
        timeout 60 "$dir/hyperv/psrun" -File $action.ps1 >> "$dir/warm.log"
done

# What the operator does.
"$patchwave" init > "$dir/init.log" 2>&1 && "$patchwave" inventory import "$lab/inventory.json" >> "$dir/init.log" 2>&1 &&
    timeout 120 "$patchwave" enroll --all --accept-new >> "$dir/init.log" 2>&1
need $? "imported and enrolled" "$dir/init.log"
head -c 1048576 /dev/zero | tr '\0' 'p' > "$dir/windows11.0-kb5061977-x64.msu"
"$patchwave" patch add "$dir/windows11.0-kb5061977-x64.msu" --kb KB5061977 --target 26100.4066 > "$dir/patch.log" 2>&1
need $? "the package is known" "$dir/patch.log"
while read -r vm method; do
    "$patchwave" consent add "$vm" --method "$method" --ticket CHG-MIXED > /dev/null
done < "$lab/consents"
# A real second is minutes of the lab: what travels over real SSH, or is answered by the engine, may be that old.
watch='"interval": "4m", "soak": "8m", "max_age": "30m"'
cat > "$dir/rollout.json" << JSON
{ "version": 1, "name": "mixed", "patch": { "kb": "KB5061977" }, "waves": [2, "100%"],
  "gates": [
    { "name": "time", "type": "time_sync", "scope": "node", "when": "both", "on_fail": "halt", $watch },
    { "name": "backup", "type": "backup_agent", "scope": "node", "when": "both", "on_fail": "halt", $watch },
    { "name": "cluster", "type": "cluster_health", "scope": "cluster", "when": "both", "on_fail": "halt", $watch },
    { "name": "heartbeat", "type": "vm_heartbeat", "scope": "node", "when": "after", "on_fail": "halt", $watch } ],
  "policy": { "planner_may_approve": true, "deviations_max": 500, "moves_per_vm": 4, "unreachable": "120m", "fresh": "20m", "rehearse": false } }
JSON
"$patchwave" plan "$dir/rollout.json" --out "$dir/plan.json" > "$dir/plan.log" 2>&1
rc=$?
[ $rc = 0 ] || [ $rc = 10 ]
need $? "planned" "$dir/plan.log"
"$patchwave" approve mixed --ticket CHG-MIXED > "$dir/approve.log" 2>&1
need $? "approved" "$dir/approve.log"
timeout 420 "$patchwave" run mixed --on-hold exit > "$dir/run.log" 2>&1
need $? "the run ends with every node done" "$dir/run.log"

# What really happened.
timeout 60 "$hvlab" truth --dir "$lab" --json > "$dir/truth.json"
need $? "the lab tells the truth to its owner" "$dir/lab.log"
python3 -c 'import json, sys
t = json.load(open(sys.argv[1]))
bad = [n for n in t["nodes"] if n["ubr"] != 4066 or n["paused"] or not n["on"] or not n["vmms"]]
print(t["damage"], bad)
sys.exit(bool(t["damage"] or bad))' "$dir/truth.json" > "$dir/after.log"
tell $? "every node has the new build and is in service, and nothing was harmed" "$dir/after.log"
python3 "$here/ledger.py" "$dir/patchwave.db" "$dir/truth.json" "$dir/windows-nodes" > "$dir/compare.log" 2>&1
tell $? "the ledger equals the truth, on nodes of both drivers" "$dir/compare.log"
sed 's/^/# /' "$dir/compare.log"
# A comparison that accepts everything proves nothing.
one="(SELECT max(rowid) FROM downtime WHERE subject = 'vm' AND how LIKE 'event%' AND end_at > start_at)"
differs "UPDATE downtime SET end_at = end_at + 300 WHERE rowid = $one"
tell $? "a row that is 0.3 s longer is found" "$dir/altered.log"
differs "DELETE FROM downtime WHERE rowid = $one"
tell $? "a row that is missing is found" "$dir/altered.log"
differs "UPDATE downtime SET id = 'another' WHERE rowid = $one"
tell $? "a row of another VM is found" "$dir/altered.log"
end_lab
! pgrep -f -- "$lab/" > "$dir/left.log"
tell $? "no process of it is left" "$dir/left.log"
echo "1..$n"
exit $failed
