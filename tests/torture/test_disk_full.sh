#!/usr/bin/env bash
# The disk under the controller's database fills during a run on a small lab (real controller, sshd, agents): the run
# stops issuing commands and names the file; when there is room again, `resume` goes on to the same end. Prints TAP.
set -u
build=${PW_BUILD_DIR:-build/debug}
[[ $build = /* ]] || build=$PWD/$build
patchwave=$build/orchestrator/patchwave hvlab=$build/examples/lab/hvlab agent=$build/agent/patchwave-agent
work=$(mktemp -d "${TMPDIR:-/tmp}/patchwave-full-XXXXXX")
mkdir "$work/small"
lab_pid= mounted=
finish() {
    if [[ -n $lab_pid ]]; then kill "$lab_pid" 2>/dev/null; wait "$lab_pid" 2>/dev/null; fi
    [[ -z $mounted ]] || umount "$work/small"
    rm -rf "$work"
}
trap finish EXIT
cd "$work" || exit 1
n=0 bad=0

report() { # OK TITLE [DETAIL]
    n=$((n + 1))
    if [[ $1 == 0 ]]; then echo "ok $n - $2"; else bad=$((bad + 1)); echo "not ok $n - $2"; sed 's/^/#   /' <<<"${3:-}" | tail -30; fi
}
p() { "$patchwave" "$@" </dev/null; }
ask() { sqlite3 -readonly "$PATCHWAVE_DB" "$1" 2>/dev/null; }
until_true() { local i limit=$(($1 * 10)); shift; for ((i = 0; i < limit; i++)); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
some() { [[ $(ask "$1") -gt 0 ]]; }
journal() { "$agent" journal --json --config "lab/nodes/$1/agent.json"; }
# Ops that a node began and that the log did not order: there must be none, at any time.
unordered() {
    local node
    for node in HV01 HV02 HV03 HV04; do
        journal $node | python3 -c 'import json, sys
for line in sys.stdin:
    r = json.loads(line)
    if r["kind"] == "start": print(r["op"])'
    done | sort -u >begun.txt
    ask 'SELECT op FROM steps' | sort -u >ordered.txt
    comm -23 begun.txt ordered.txt
}

if ! mount -t tmpfs -o size=24m patchwave-test "$work/small" 2>mount.err; then
    echo "ok 1 - the disk under the database fills # SKIP no right to mount a small disk: $(cat mount.err)"
    echo 1..1
    exit 0
fi
mounted=yes
export PATCHWAVE_DB=$work/small/patchwave.db
unset SUDO_USER
"$hvlab" make --dir lab --nodes 4 --seed 5 --speed 240 --agent "$agent" >/dev/null || exit 1
"$hvlab" serve --dir lab --processes >lab.log 2>&1 &
lab_pid=$!
"$hvlab" wait --dir lab
head -c 65536 /dev/zero | tr '\0' 'p' >windows11.0-kb5061977-x64.msu
cat >rollout.json <<'T'
{"version": 1, "name": "small", "patch": "KB5061977", "waves": [2, "100%"],
 "gates": [{"type": "cluster_health", "when": "both", "soak": "1m", "samples": 2, "interval": "10s"}],
 "policy": {"planner_may_approve": true, "unreachable": "60m", "fresh": "30m", "timeout_factor": 20}}
T
{ p init && p inventory import lab/inventory.json && p enroll --all --accept-new &&
    p patch add windows11.0-kb5061977-x64.msu --target 26100.4066 && p plan rollout.json && p approve small --ticket CHG-1; } >setup.log 2>&1
report $? 'inventory, keys, patch, plan and approval are in' "$(cat setup.log)"

p run small --on-hold exit >run.log 2>&1 &
run=$!
until_true 120 some "SELECT count(*) FROM run_nodes WHERE phase = 'draining'"
report $? 'a node is being drained' "$(cat run.log)"
dd if=/dev/zero of=small/filler bs=4096 >/dev/null 2>&1
wait $run
code=$?
[[ $code == 4 ]] && grep -q "$PATCHWAVE_DB: .*the disk is full" run.log
report $? 'the controller leaves with the code for the store, and names file and cause' "exit code $code"$'\n'"$(cat run.log)"
sleep 2 # what was under way on the nodes ends
rm -f small/filler
[[ -z $(unordered) ]]
report $? 'no node began an op that the log did not order' "$(unordered)"
before=$(wc -l <begun.txt)
p db check >check.log 2>&1
report $? 'file and chain are whole' "$(cat check.log)"
sleep 3
unordered >/dev/null
[[ $(wc -l <begun.txt) == "$before" ]]
report $? 'without a controller nothing is begun' "$(cat begun.txt)"

p resume --on-hold exit >resume.log 2>&1
code=$?
[[ $code == 0 ]]
report $? 'with room again, resume goes on to the end' "exit code $code"$'\n'"$(cat resume.log)"
[[ $(ask "SELECT count(*) FROM run_nodes WHERE ending = 'done'") == 4 ]]
report $? 'every node is done' "$(ask 'SELECT node, phase, ending, reason FROM run_nodes')"
[[ -z $(unordered) && $(ask "SELECT count(*) FROM (SELECT node FROM steps WHERE action = 'install' AND outcome = 'ok' GROUP BY node HAVING count(*) = 1)") == 4 ]]
report $? 'each was installed once, and nothing was begun unordered' "$(unordered)"
p replay >replay.log 2>&1 && grep -q 'every command is the same again' replay.log
report $? 'the whole log replays' "$(cat replay.log)"
echo "1..$n"
[[ $bad == 0 ]]
